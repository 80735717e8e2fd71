/* The command line. */
#include "gpt2.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Sizes by name; what is 0 in the options comes from here. */
static const struct size {
    const char *name;
    int64_t layers, heads, width, context, batch;
    double lr;
} sizes[] = {{"toy", 4, 4, 64, 64, 16, 3e-3},
             {"mini", 6, 6, 384, 256, 16, 1e-3},
             {"124M", 12, 12, 768, 1024, 8, 6e-4}};

enum kind { TEXT, WHOLE, REAL, FLAG };

#define OPTION(kind, name, member)                                                                 \
    {                                                                                              \
        name, kind, offsetof(options, member)                                                      \
    }
static const struct known {
    const char *name;
    enum kind kind;
    size_t at;
} known[] = {OPTION(TEXT, "size", size),
             OPTION(TEXT, "text", text),
             OPTION(TEXT, "data", data),
             OPTION(TEXT, "vocab", vocab),
             OPTION(TEXT, "merges", merges),
             OPTION(TEXT, "from", from),
             OPTION(TEXT, "run", run),
             OPTION(TEXT, "metrics", metrics),
             OPTION(TEXT, "prompt", prompt),
             OPTION(WHOLE, "layers", layers),
             OPTION(WHOLE, "heads", heads),
             OPTION(WHOLE, "width", width),
             OPTION(WHOLE, "context", context),
             OPTION(WHOLE, "length", length),
             OPTION(WHOLE, "batch", batch),
             OPTION(WHOLE, "accumulate", accumulate),
             OPTION(WHOLE, "steps", steps),
             OPTION(WHOLE, "stop", stop),
             OPTION(WHOLE, "warmup", warmup),
             OPTION(WHOLE, "evaluate", evaluate),
             OPTION(WHOLE, "save", save),
             OPTION(WHOLE, "print", print),
             OPTION(WHOLE, "sample", sample),
             OPTION(WHOLE, "top-k", top_k),
             OPTION(WHOLE, "chunk", chunk),
             OPTION(REAL, "lr", lr),
             OPTION(REAL, "min-lr", min_lr),
             OPTION(REAL, "decay", decay),
             OPTION(REAL, "clip", clip),
             OPTION(REAL, "dropout", dropout),
             OPTION(REAL, "temperature", temperature),
             OPTION(REAL, "peak", peak),
             OPTION(FLAG, "recompute", recompute)};

static const struct known *find(const char *word, size_t n)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i].name) == n && !memcmp(known[i].name, word, n))
            return &known[i];
    return NULL;
}

/* Numbers are not below 0. */
static bool put(options *o, const struct known *k, const char *value)
{
    char *end = "", *to = (char *)o + k->at;
    bool good = true;
    if (k->kind == TEXT) {
        memcpy(to, &value, sizeof value);
    } else if (k->kind == WHOLE) {
        const int64_t v = strtoll(value, &end, 10);
        good = *value && v >= 0 && v < INT64_C(1) << 40;
        memcpy(to, &v, sizeof v);
    } else {
        const double v = strtod(value, &end);
        good = *value && v >= 0 && v < 1e18;
        memcpy(to, &v, sizeof v);
    }
    return good && !*end;
}

/* --name value, --name=value, or --flag. */
static const char *read_words(int argc, char **argv, options *o)
{
    static char why[400];
    for (int i = 1; i < argc; i++) {
        const char *word = strncmp(argv[i], "--", 2) ? "" : argv[i] + 2, *value = strchr(word, '=');
        const struct known *k = find(word, value ? (size_t)(value - word) : strlen(word));
        const bool flag = k && k->kind == FLAG;
        const char *given = argv[i];
        if (flag && !value) {
            *(bool *)((char *)o + k->at) = true;
            continue;
        }
        value = value ? value + 1 : i + 1 < argc && !flag ? argv[++i] : NULL;
        if (k && !flag && value && put(o, k, value))
            continue;
        int n = snprintf(why, sizeof why, "%.60s%s; the options are", given,
                         k ? " takes no such value" : " is not known");
        for (size_t j = 0; j < sizeof known / sizeof *known && n < (int)sizeof why; j++)
            n += snprintf(why + n, sizeof why - (size_t)n, " %s", known[j].name);
        return why;
    }
    return NULL;
}

static const char *complete(options *o)
{
    const struct size *s = sizes;
    while (s < sizes + 3 && strcmp(s->name, o->size))
        s++;
    if (s == sizes + 3)
        return "--size is toy, mini or 124M";
    o->layers = o->layers ? o->layers : s->layers;
    o->heads = o->heads ? o->heads : s->heads;
    o->width = o->width ? o->width : s->width;
    o->context = o->context ? o->context : s->context;
    o->batch = o->batch ? o->batch : s->batch;
    o->lr = o->lr > 0 ? o->lr : s->lr;
    o->min_lr = o->min_lr > 0 ? o->min_lr : o->lr / 10;
    o->length = o->length ? o->length : o->context;
    o->stop = o->stop && o->stop < o->steps ? o->stop : o->steps;
    o->text = o->text || o->data ? o->text : "/usr/share/common-licenses";
    o->data = o->data ? o->data : "data";
    if (o->length > o->context)
        return "--length is larger than --context";
    if (o->width % o->heads)
        return "--width is no multiple of --heads";
    if (!o->vocab != !o->merges)
        return "--vocab and --merges come together";
    return o->steps > 0 && o->accumulate > 0 ? NULL : "--steps and --accumulate are at least 1";
}

const char *options_read(int argc, char **argv, options *o)
{
    *o = (options){.size = "toy",
                   .run = "run",
                   .metrics = "metrics.csv",
                   .prompt = "\n",
                   .accumulate = 1,
                   .steps = 300,
                   .warmup = 20,
                   .evaluate = 100,
                   .save = 500,
                   .print = 10,
                   .sample = 200,
                   .top_k = 40,
                   .chunk = 1024,
                   .decay = 0.1,
                   .clip = 1,
                   .temperature = 0.8};
    const char *bad = read_words(argc, argv, o);
    return bad ? bad : complete(o);
}
