/* Options of weft_open from code, text, environment and command line: one table for all four. */
#include "core/alloc.h"
#include "core/env.h"
#include "core/log.h"
#include "fabric/facade.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

extern char **environ;

typedef enum kind { TEXT, INT, SEED, REAL } kind;

static const struct {
    const char *name;
    size_t offset;
    kind kind;
    double lo, hi;
} option[] = {
#define AT(member) #member, offsetof(weft_open_options, member)
    {AT(accelerator), TEXT, 0, 0},   {AT(strategy), TEXT, 0, 0},     {AT(devices), TEXT, 0, 0},
    {AT(num_nodes), INT, 1, 1e6},    {AT(precision), TEXT, 0, 0},    {AT(nonfinite), TEXT, 0, 0},
    {AT(seed), SEED, 0, 0},          {AT(threads), INT, 1, 4096},    {AT(log_every), INT, 1, 1e9},
    {AT(timeout), REAL, 0.001, 1e9}, {AT(bucket_mb), INT, 1, 65536}, {AT(keep), INT, 1, 1e6},
    {AT(heartbeat), REAL, -1, 1e6},
#undef AT
};

#define OPTIONS ((int)(sizeof option / sizeof option[0]))

/* Variables beside the options'. */
static const char *const other[] = {"WEFT_LOG_LEVEL", "WEFT_FAIL_ALLOC", "WEFT_RELAUNCHED",
                                    "WEFT_MPIRUN", "WEFT_PROGRESS_SECONDS"};

#define OTHERS ((int)(sizeof other / sizeof other[0]))

static int find(const char *name, size_t length)
{
    for (int i = 0; i < OPTIONS; i++) {
        const char *o = option[i].name;
        size_t k = 0;
        while (k < length && o[k] && (name[k] == o[k] || (name[k] == '-' && o[k] == '_')))
            k++;
        if (k == length && !o[k])
            return i;
    }
    return -1;
}

static weft_status set(weft_open_options *o, int i, const char *what, const char *value)
{
    char *at = (char *)o + option[i].offset;
    int64_t whole = 0;
    if (option[i].kind == TEXT) {
        memcpy(at, &value, sizeof value);
    } else if (option[i].kind == REAL) {
        WEFT_TRY(weft__parse_f64(what, value, option[i].lo, option[i].hi, (double *)(void *)at));
    } else if (option[i].kind == SEED) {
        WEFT_TRY(weft__parse_int(what, value, 0, INT64_MAX, &whole));
        *(uint64_t *)(void *)at = (uint64_t)whole;
    } else {
        WEFT_TRY(
            weft__parse_int(what, value, (int64_t)option[i].lo, (int64_t)option[i].hi, &whole));
        *(int *)(void *)at = (int)whole;
    }
    return WEFT_OK;
}

static weft_status unknown(const char *word)
{
    const char *name[OPTIONS];
    for (int i = 0; i < OPTIONS; i++)
        name[i] = option[i].name;
    weft__parse_choice("option", word, name, OPTIONS);
    return WEFT_EARG;
}

/* "strategy=ddp devices=4". */
static weft_status read_text(weft__settings *s, const char *text)
{
    char *rest = NULL;
    if (!(s->owned = weft__strdup(text)))
        return WEFT_ENOMEM;
    for (char *word = strtok_r(s->owned, " \t\n", &rest); word;
         word = strtok_r(NULL, " \t\n", &rest)) {
        char *equals = strchr(word, '=');
        if (!equals)
            return weft__fail(WEFT_EARG, "options text: \"%.80s\" is not of the form name=value",
                              word);
        *equals = '\0';
        int i = find(word, strlen(word));
        WEFT_TRY(i < 0 ? unknown(word) : set(&s->o, i, word, equals + 1));
    }
    return WEFT_OK;
}

static void variable_of(int i, char *out, size_t size)
{
    int n = snprintf(out, size, "WEFT_%s", option[i].name);
    for (int k = 0; k < n; k++)
        out[k] = (char)toupper((unsigned char)out[k]);
}

/* A variable that looks like ours and is not may be a misspelling: it is named, once. */
static void warn_of_strangers(void)
{
    char text[OPTIONS][40];
    const char *known[OPTIONS + OTHERS];
    for (int i = 0; i < OPTIONS; i++) {
        variable_of(i, text[i], sizeof text[i]);
        known[i] = text[i];
    }
    for (int i = 0; i < OTHERS; i++)
        known[OPTIONS + i] = other[i];
    for (char **e = environ; *e; e++) {
        char name[40];
        size_t n = strcspn(*e, "=");
        bool ours = n >= sizeof name || strncmp(*e, "WEFT_", 5) != 0;
        snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : 0), *e);
        for (int i = 0; i < OPTIONS + OTHERS; i++)
            ours |= strcmp(name, known[i]) == 0;
        for (int i = 0; i < OPTIONS + OTHERS && !ours; i++)
            if (weft__distance(name, known[i]) <= 2)
                weft__say(WEFT_LOG_WARNING, "the variable %s is not known; did you mean %s?", name,
                          known[i]);
    }
}

static weft_status read_environment(weft__settings *s)
{
    for (int i = 0; i < OPTIONS; i++) {
        char name[40];
        variable_of(i, name, sizeof name);
        const char *value = weft__env_text(name);
        if (value)
            WEFT_TRY(set(&s->o, i, name, value));
    }
    warn_of_strangers();
    return WEFT_OK;
}

/* A word that we leave to the program may be a misspelt one of ours. */
static void warn_of_likeness(const char *word, size_t n)
{
    char name[32];
    if (n < 6 || n >= sizeof name || strncmp(word, "--", 2) != 0)
        return;
    snprintf(name, sizeof name, "%.*s", (int)(n - 2), word + 2);
    for (int i = 0; i < OPTIONS; i++)
        if (weft__distance(name, option[i].name) <= 1 + (n > 8))
            weft__say(WEFT_LOG_WARNING, "--%s is left to the program; did you mean --%s?", name,
                      option[i].name);
}

/* Takes --option=value and --option value out of argv; "--" ends the search. */
static weft_status read_arguments(weft__settings *s, int *argc, char **argv)
{
    int kept = 1, k = 1;
    while (k < *argc && strcmp(argv[k], "--") != 0) {
        const char *word = argv[k], *equals = strchr(word, '=');
        size_t n = equals ? (size_t)(equals - word) : strlen(word);
        int i = n > 2 && strncmp(word, "--", 2) == 0 ? find(word + 2, n - 2) : -1;
        if (i < 0) {
            warn_of_likeness(word, n);
            argv[kept++] = argv[k++];
            continue;
        }
        if (!equals && k + 1 == *argc)
            return weft__fail(WEFT_EARG, "%s takes a value", word);
        WEFT_TRY(set(&s->o, i, word, equals ? equals + 1 : argv[k + 1]));
        k += equals ? 1 : 2;
    }
    while (k < *argc)
        argv[kept++] = argv[k++];
    *argc = kept;
    argv[kept] = NULL;
    return WEFT_OK;
}

weft_status weft__settings_read(weft__settings *s, const weft_open_options *code, const char *text,
                                int *argc, char ***argv)
{
    if (code)
        s->o = *code;
    if (text)
        WEFT_TRY(read_text(s, text));
    WEFT_TRY(read_environment(s));
    return argc && argv && *argc > 0 ? read_arguments(s, argc, *argv) : WEFT_OK;
}

void weft__settings_free(weft__settings *s)
{
    weft__free(s->owned);
}
