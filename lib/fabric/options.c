/* The table of weft_open's options: one for code, text, environment and command line. */
#include "fabric/options.h"

#include "core/env.h"
#include "core/error.h"
#include "core/log.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

typedef enum kind { TEXT, INT, SEED, REAL, FLAG } kind;

static const struct {
    const char *name;
    size_t offset;
    kind kind;
    double lo, hi;
    bool off; /* WEFT_OFF too */
} option[] = {
#define AT(member) #member, offsetof(weft_open_options, member)
    {AT(accelerator), TEXT, 0, 0, false},
    {AT(strategy), TEXT, 0, 0, false},
    {AT(devices), TEXT, 0, 0, false},
    {AT(num_nodes), INT, 1, 1e6, false},
    {AT(precision), TEXT, 0, 0, false},
    {AT(nonfinite), TEXT, 0, 0, false},
    {AT(seed), SEED, 0, 0, false},
    {AT(threads), INT, 1, 4096, false},
    {AT(log_every), INT, 1, 1e9, false},
    {AT(timeout), REAL, 0.001, 1e9, false},
    {AT(bucket_mb), INT, 1, 65536, false},
    {AT(keep), INT, 1, 1e6, true},
    {AT(print_config), FLAG, 0, 0, false},
    {AT(heartbeat), REAL, 1, 1e6, true},
    {AT(init_scale), REAL, 1e-30, 1e30, true},
    {AT(growth_factor), REAL, 1, 1e30, false},
    {AT(backoff_factor), REAL, 1e-30, 1, false},
    {AT(growth_interval), INT, 1, 1e9, false},
    {AT(min_scale), REAL, 1e-30, 1e30, false},
    {AT(reproducible), INT, 1, 2048, false},
    {AT(process_group_backend), TEXT, 0, 0, false},
    {AT(overlap_comm), TEXT, 0, 0, false},
    {AT(share_devices), FLAG, 0, 0, false},
    {AT(matmul_precision), TEXT, 0, 0, false},
    {AT(graph), TEXT, 0, 0, false},
#undef AT
};

#define OPTIONS ((int)(sizeof option / sizeof option[0]))
_Static_assert(OPTIONS <= WEFT__OPTIONS, "raise WEFT__OPTIONS");

int weft__option_find(const char *name, size_t length)
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

const char *weft__option_name(int i)
{
    return i < OPTIONS ? option[i].name : NULL;
}

bool weft__option_is_flag(int i)
{
    return option[i].kind == FLAG;
}

void weft__option_variable(int i, const char *prefix, char name[WEFT__VARIABLE])
{
    int n = snprintf(name, WEFT__VARIABLE, "%s_%s", prefix, option[i].name);
    for (int k = 0; k < n; k++)
        name[k] = (char)toupper((unsigned char)name[k]);
}

static void *member(weft_open_options *o, int i)
{
    return (char *)o + option[i].offset;
}

static weft_status set_int(int i, const char *what, const char *value, int *out)
{
    int64_t whole;
    WEFT_TRY(weft__parse_int(what, value, (int64_t)option[i].lo, (int64_t)option[i].hi, &whole));
    *out = (int)whole;
    return WEFT_OK;
}

/* WEFT_OFF, in words. */
static bool set_off(int i, const char *value, void *at)
{
    if (!option[i].off || strcasecmp(value, "off") != 0)
        return false;
    if (option[i].kind == INT)
        *(int *)at = WEFT_OFF;
    else
        *(double *)at = WEFT_OFF;
    return true;
}

static weft_status set_text(const char *what, const char *value, const char **out)
{
    if (strlen(value) >= WEFT__OPTION_TEXT - WEFT__VARIABLE)
        return weft__fail(WEFT_EARG, "%s has a value of %zu bytes, \"%.40s...\"", what,
                          strlen(value), value);
    *out = value;
    return WEFT_OK;
}

static weft_status set_seed(const char *what, const char *value, uint64_t *out)
{
    int64_t whole;
    WEFT_TRY(weft__parse_int(what, value, 0, INT64_MAX, &whole));
    *out = (uint64_t)whole;
    return WEFT_OK;
}

static weft_status set(int i, const char *what, const char *value, void *at)
{
    if (set_off(i, value, at))
        return WEFT_OK;
    switch (option[i].kind) {
    case INT:
        return set_int(i, what, value, at);
    case SEED:
        return set_seed(what, value, at);
    case REAL:
        return weft__parse_f64(what, value, option[i].lo, option[i].hi, at);
    case FLAG:
        return weft__parse_bool(what, value, at);
    default:
        return set_text(what, value, at);
    }
}

weft_status weft__option_set(weft__settings *s, int i, const char *what, const char *value,
                             weft__source from)
{
    WEFT_TRY(set(i, what, value, member(&s->o, i)));
    if (s->from[i] && s->from[i] != from && !s->quiet)
        weft__say(WEFT_LOG_DEBUG, "%s takes the place of what %s was before", what, option[i].name);
    s->from[i] = (unsigned char)from;
    return WEFT_OK;
}

/* Its value as a number, NAN for those that are none. */
static double number_of(const weft__settings *s, int i)
{
    const void *at = member((weft_open_options *)&s->o, i);
    switch (option[i].kind) {
    case INT:
        return *(const int *)at;
    case REAL:
        return *(const double *)at;
    case SEED:
        return (double)*(const uint64_t *)at;
    case FLAG:
        return *(const bool *)at;
    default:
        return *(const char *const *)at != NULL;
    }
}

static bool in_range(int i, double v)
{
    if (option[i].off && v == WEFT_OFF)
        return true;
    return (option[i].kind != INT && option[i].kind != REAL) ||
           (v >= option[i].lo && v <= option[i].hi);
}

weft_status weft__options_of_code(weft__settings *s, const weft_open_options *code)
{
    s->o = *code;
    for (int i = 0; i < OPTIONS; i++) {
        double v = number_of(s, i);
        if (v == 0)
            continue;
        if (!in_range(i, v))
            return weft__fail(WEFT_EARG,
                              "weft_open: .%s is %g; it takes a number from %g to %g, 0 for the "
                              "default%s",
                              option[i].name, v, option[i].lo, option[i].hi,
                              option[i].off ? ", or WEFT_OFF" : "");
        s->from[i] = WEFT__FROM_CODE;
    }
    return WEFT_OK;
}

void weft__option_text(const weft__settings *s, int i, char text[WEFT__OPTION_TEXT])
{
    const void *at = member((weft_open_options *)&s->o, i);
    const char *word = option[i].kind == TEXT ? *(const char *const *)at : NULL;
    double v = number_of(s, i);
    if (option[i].kind == TEXT)
        snprintf(text, WEFT__OPTION_TEXT, "%s", word ? word : "auto");
    else if (option[i].kind == SEED)
        snprintf(text, WEFT__OPTION_TEXT, "%llu", (unsigned long long)*(const uint64_t *)at);
    else if (option[i].kind == FLAG)
        snprintf(text, WEFT__OPTION_TEXT, "%s", v != 0 ? "true" : "false");
    else if (option[i].off && v == WEFT_OFF)
        snprintf(text, WEFT__OPTION_TEXT, "off");
    else
        snprintf(text, WEFT__OPTION_TEXT, "%.15g", v);
}

bool weft__settings_variable(const weft__settings *s, int i, weft__source from,
                             char text[WEFT__OPTION_TEXT])
{
    char value[WEFT__OPTION_TEXT];
    text[0] = '\0';
    if (i >= OPTIONS)
        return false;
    if (s->from[i] != from)
        return true;
    weft__option_variable(i, "WEFT", text);
    weft__option_text(s, i, value);
    size_t n = strlen(text);
    snprintf(text + n, WEFT__OPTION_TEXT - n, "=%.*s", (int)(WEFT__OPTION_TEXT - n - 2), value);
    return true;
}

void weft__settings_print(const weft__settings *s)
{
    static const char *const source[] = {
        [WEFT__FROM_DEFAULT] = "default",
        [WEFT__FROM_CODE] = "code",
        [WEFT__FROM_TEXT] = "text",
        [WEFT__FROM_COMMAND] = "command line",
    };
    for (int i = 0; i < OPTIONS; i++) {
        char value[WEFT__OPTION_TEXT], variable[WEFT__VARIABLE];
        const char *from = source[s->from[i]];
        weft__option_text(s, i, value);
        weft__option_variable(i, s->from[i] == WEFT__FROM_LIGHTNING ? "LT" : "WEFT", variable);
        weft__say(WEFT_LOG_SILENT, "%s=%s (%s)", option[i].name, value, from ? from : variable);
    }
}
