/* Options of weft_open, wherever they come from. */
#ifndef FABRIC_OPTIONS_H
#define FABRIC_OPTIONS_H
#include <weft/fabric.h>

/* Later ones win over earlier ones. */
typedef enum weft__source {
    WEFT__FROM_DEFAULT,
    WEFT__FROM_CODE,      /* WEFT_OPEN(...) */
    WEFT__FROM_TEXT,      /* weft_open_text */
    WEFT__FROM_LIGHTNING, /* LT_OPTION, set by Lightning's launcher */
    WEFT__FROM_VARIABLE,  /* WEFT_OPTION */
    WEFT__FROM_COMMAND    /* --option */
} weft__source;

#define WEFT__OPTIONS 48      /* the most that there may be */
#define WEFT__VARIABLE 40     /* room for the name of a variable */
#define WEFT__OPTION_TEXT 400 /* room for "WEFT_NAME=value"; longer values are refused */

/* Options after the code's, the environment's and the command line's have been laid over each
 * other. Texts are borrowed from them, or from `owned`. */
typedef struct weft__settings {
    weft_open_options o;
    unsigned char from[WEFT__OPTIONS]; /* a weft__source each */
    char *owned;                       /* the text given to weft_open_text, cut into words */
    bool quiet;                        /* set before reading: another rank says the warnings */
    bool lightning;                    /* LT_CLI_USED: a launcher has started the processes */
} weft__settings;

/* Lays text, environment and command line over the code's options; takes Weft's own words out of
 * argv. */
weft_status weft__settings_read(weft__settings *s, const weft_open_options *code, const char *text,
                                int *argc, char ***argv);
/* Sets the option that argv[0], of n words, is; *words is how many words it and its value are, 0 if
 * it is none of ours. */
weft_status weft__settings_take(weft__settings *s, char *const *argv, int n, int *words);
/* WEFT_EARG if options contradict each other. */
weft_status weft__settings_check(const weft__settings *s);
/* Says every option, its value and where that came from. */
void weft__settings_print(const weft__settings *s);
/* "WEFT_NAME=value" of option i if it came from there; false once i is past the last option. */
bool weft__settings_variable(const weft__settings *s, int i, weft__source from,
                             char text[WEFT__OPTION_TEXT]);
void weft__settings_free(weft__settings *s);

/* The table's own part, for reading: the option of that name, -1 if there is none. "num-nodes" is
 * "num_nodes". */
int weft__option_find(const char *name, size_t length);
/* Its name; NULL past the last one. */
const char *weft__option_name(int i);
/* "WEFT_NAME" where the prefix is "WEFT". */
void weft__option_variable(int i, const char *prefix, char name[WEFT__VARIABLE]);
/* Stands alone, without a value, for true. */
bool weft__option_is_flag(int i);
/* Sets it to `value`, a text that `what` gave. */
weft_status weft__option_set(weft__settings *s, int i, const char *what, const char *value,
                             weft__source from);
/* Takes the code's options over; WEFT_EARG names the first that is out of range. */
weft_status weft__options_of_code(weft__settings *s, const weft_open_options *code);
/* Its value as text. */
void weft__option_text(const weft__settings *s, int i, char text[WEFT__OPTION_TEXT]);
#endif
