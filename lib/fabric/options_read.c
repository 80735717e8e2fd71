/* Reading the options of weft_open from text, environment and command line. */
#include "core/alloc.h"
#include "core/env.h"
#include "core/error.h"
#include "core/log.h"
#include "fabric/options.h"
#include "precision/precision.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <weft/sys/strategy.h>

extern char **environ;

/* Variables beside the options'. */
static const char *const other[] = {
    "WEFT_LOG_LEVEL",        "WEFT_FAIL_ALLOC", "WEFT_RELAUNCHED",  "WEFT_MPIRUN",
    "WEFT_PROGRESS_SECONDS", "WEFT_ONEDNN",     "WEFT_MOCK_MEMORY", "WEFT_MOCK_SEED",
    "WEFT_MOCK_DEVICES",     "WEFT_CUDNN",      "WEFT_NCCL"};

#define OTHERS ((int)(sizeof other / sizeof other[0]))

static weft_status unknown(const char *word)
{
    const char *name[WEFT__OPTIONS];
    int n = 0;
    while ((name[n] = weft__option_name(n)))
        n++;
    weft__parse_choice("option", word, name, n);
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
        int i = weft__option_find(word, equals ? (size_t)(equals - word) : strlen(word));
        if (!equals && (i < 0 || !weft__option_is_flag(i)))
            return weft__fail(WEFT_EARG, "options text: \"%.80s\" is not of the form name=value",
                              word);
        if (equals)
            *equals = '\0';
        WEFT_TRY(i < 0
                     ? unknown(word)
                     : weft__option_set(s, i, word, equals ? equals + 1 : "true", WEFT__FROM_TEXT));
    }
    return WEFT_OK;
}

/* A variable that looks like ours and is not may be a misspelling: it is named, once. */
static void warn_of_strangers(void)
{
    char text[WEFT__OPTIONS][WEFT__VARIABLE];
    const char *known[WEFT__OPTIONS + OTHERS];
    int n = 0;
    for (; weft__option_name(n); n++) {
        weft__option_variable(n, "WEFT", text[n]);
        known[n] = text[n];
    }
    for (int i = 0; i < OTHERS; i++)
        known[n++] = other[i];
    for (char **e = environ; *e; e++) {
        char name[WEFT__VARIABLE];
        size_t length = strcspn(*e, "=");
        bool ours = length >= sizeof name || strncmp(*e, "WEFT_", 5) != 0;
        snprintf(name, sizeof name, "%.*s", (int)(length < sizeof name ? length : 0), *e);
        for (int i = 0; i < n; i++)
            ours |= strcmp(name, known[i]) == 0;
        for (int i = 0; i < n && !ours; i++)
            if (weft__distance(name, known[i]) <= 2)
                weft__say(WEFT_LOG_WARNING, "the variable %s is not known; did you mean %s?", name,
                          known[i]);
    }
}

/* What the program says without having been asked is no contradiction. */
static bool contradicts(const weft__settings *s, int i, const char *value)
{
    char code[WEFT__OPTION_TEXT];
    if (s->from[i] == WEFT__FROM_DEFAULT)
        return false;
    weft__option_text(s, i, code);
    if (strcmp(weft__option_name(i), "precision") == 0) /* "32" is "32-true" */
        return strcmp(weft__precision_name(code), "32-true") &&
               strcmp(weft__precision_name(code), weft__precision_name(value));
    return strcasecmp(code, "auto") && strcasecmp(code, value);
}

/* LT_STRATEGY and so on count where Lightning's launcher says that it set them. */
static weft_status read_lightning(weft__settings *s)
{
    static const char *const name[] = {"accelerator", "strategy", "devices", "num_nodes",
                                       "precision"};
    const char *flag = weft__env_text("LT_CLI_USED"), *value;
    if (flag)
        WEFT_TRY(weft__parse_bool("LT_CLI_USED", flag, &s->lightning));
    for (int k = 0; k < 5; k++) {
        int i = weft__option_find(name[k], strlen(name[k]));
        char variable[WEFT__VARIABLE];
        weft__option_variable(i, "LT", variable);
        if (!(value = weft__env_text(variable)))
            continue;
        if (!s->lightning) {
            if (!s->quiet)
                weft__say(WEFT_LOG_WARNING,
                          "%s is not read, because LT_CLI_USED=1 does not say that a launcher set "
                          "it; Weft's own variable is WEFT_%s",
                          variable, variable + 3);
            continue;
        }
        if (contradicts(s, i, value))
            return weft__fail(WEFT_EARG,
                              "%s is set in the program and, otherwise, to \"%.60s\" in %s by the "
                              "launcher: leave one of them out",
                              name[k], value, variable);
        WEFT_TRY(weft__option_set(s, i, variable, value, WEFT__FROM_LIGHTNING));
    }
    return WEFT_OK;
}

static weft_status read_environment(weft__settings *s)
{
    WEFT_TRY(read_lightning(s));
    for (int i = 0; weft__option_name(i); i++) {
        char name[WEFT__VARIABLE];
        weft__option_variable(i, "WEFT", name);
        const char *value = weft__env_text(name);
        if (value)
            WEFT_TRY(weft__option_set(s, i, name, value, WEFT__FROM_VARIABLE));
    }
    if (!s->quiet)
        warn_of_strangers();
    return WEFT_OK;
}

/* A word that we leave to the program may be a misspelt one of ours. */
static void warn_of_likeness(const char *word)
{
    char name[32];
    size_t n = strcspn(word, "=");
    if (n < 6 || n >= sizeof name || strncmp(word, "--", 2) != 0)
        return;
    snprintf(name, sizeof name, "%.*s", (int)(n - 2), word + 2);
    for (int i = 0; weft__option_name(i); i++)
        if (weft__distance(name, weft__option_name(i)) <= 1 + (n > 8))
            weft__say(WEFT_LOG_WARNING, "--%s is left to the program; did you mean --%s?", name,
                      weft__option_name(i));
}

weft_status weft__settings_take(weft__settings *s, char *const *argv, int n, int *words)
{
    const char *word = argv[0], *equals = strchr(word, '='), *value = equals ? equals + 1 : "true";
    size_t length = equals ? (size_t)(equals - word) : strlen(word);
    int i =
        length > 2 && strncmp(word, "--", 2) == 0 ? weft__option_find(word + 2, length - 2) : -1;
    *words = i >= 0;
    if (i < 0)
        return WEFT_OK;
    if (!equals && !weft__option_is_flag(i)) {
        if (n < 2 || strncmp(argv[1], "--", 2) == 0)
            return weft__fail(WEFT_EARG, "%s takes a value", word);
        value = argv[1];
        *words = 2;
    }
    return weft__option_set(s, i, word, value, WEFT__FROM_COMMAND);
}

/* Reads first, then takes out: argv is as it was if a word of it is wrong. */
static weft_status read_arguments(weft__settings *s, int *argc, char **argv)
{
    int kept = 1, end = 1, words;
    for (; end < *argc && strcmp(argv[end], "--") != 0; end += words ? words : 1) {
        WEFT_TRY(weft__settings_take(s, argv + end, *argc - end, &words));
        if (!words && !s->quiet)
            warn_of_likeness(argv[end]);
    }
    for (int k = 1; k < *argc; k += words ? words : 1) {
        words = 0;
        if (k < end)
            WEFT_TRY(weft__settings_take(s, argv + k, *argc - k, &words));
        if (!words)
            argv[kept++] = argv[k];
    }
    *argc = kept;
    argv[kept] = NULL;
    return WEFT_OK;
}

weft_status weft__settings_read(weft__settings *s, const weft_open_options *code, const char *text,
                                int *argc, char ***argv)
{
    if (code)
        WEFT_TRY(weft__options_of_code(s, code));
    if (text)
        WEFT_TRY(read_text(s, text));
    WEFT_TRY(read_environment(s));
    return argc && argv && *argc > 0 ? read_arguments(s, argc, *argv) : WEFT_OK;
}

weft_status weft__settings_check(const weft__settings *s)
{
    const int i = weft__option_find("strategy", 8);
    if (!s->o.strategy_ops || s->from[i] == WEFT__FROM_DEFAULT ||
        strcasecmp(s->o.strategy, "auto") == 0)
        return WEFT_OK;
    return weft__fail(WEFT_EARG,
                      "weft_open: .strategy_ops (\"%.40s\") and strategy \"%.40s\" contradict each "
                      "other: leave one of them out",
                      s->o.strategy_ops->name ? s->o.strategy_ops->name : "?", s->o.strategy);
}

void weft__settings_free(weft__settings *s)
{
    weft__free(s->owned);
}
