/* Strict reading of text: whole string, range, nearest match for what is not known. */
#ifndef CORE_ENV_H
#define CORE_ENV_H
#include <weft/status.h>

/* Whole text as a number in lo..hi, else WEFT_EARG with a message that names `what`. */
weft_status weft__parse_int(const char *what, const char *text, int64_t lo, int64_t hi,
                            int64_t *out);
weft_status weft__parse_f64(const char *what, const char *text, double lo, double hi, double *out);
/* true/1/yes/on, false/0/no/off. */
weft_status weft__parse_bool(const char *what, const char *text, bool *out);
/* Index of text among n words, ignoring case; else -1 and a message naming `what`, all words and
 * the nearest. */
int weft__parse_choice(const char *what, const char *text, const char *const *word, int n);
/* Insertions, deletions and replacements from one word to the other, ignoring case; words of more
 * than 64 bytes are far from all. */
int weft__distance(const char *a, const char *b);
/* The word nearest to text by edit distance, or NULL if none is near. */
const char *weft__nearest(const char *text, const char *const *word, int n);

/* Environment variables. 1: it is set and good; 0: not set; negative: it is set and bad. */
int weft__env_int(const char *name, int64_t lo, int64_t hi, int64_t *out);
/* The index of its value; -1 if not set; -2 if it is none of them. */
int weft__env_choice(const char *name, const char *const *word, int n);
/* Its value, NULL if not set or empty. */
const char *weft__env_text(const char *name);
#endif
