/* JSON lines: an object a row, {"step":1,"epoch":0,"wall_s":0.5,"loss":0.25}. Numbers are the shortest
 * text that reads back as the same double. JSON has no word for what is not finite: these are the
 * texts "NaN", "Infinity" and "-Infinity", as in protobuf's JSON, which float() and Number() take.
 * The file is the truth after a resume. */
#include "core/alloc.h"
#include "core/quiet.h"
#include "logger/logger.h"
#include "logger/rows.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A metric's name, and what stands for it in a row: ,"loss": */
struct key {
    char *name, *text;
    size_t bytes; /* of text */
};

struct jsonl {
    weft__rows_file file;
    struct key *key;
    int64_t keys;
    char *row;
    size_t key_room, row_room;
};

/* A JSON text of `name`, where bytes that are not UTF-8 become ?. NULL without memory. */
static char *encode(const char *name)
{
    json_t *text = json_string(name);
    char *plain = text ? NULL : weft__strdup(name);
    for (unsigned char *p = (unsigned char *)plain; p && *p; p++)
        *p = *p < 128 ? *p : '?';
    if (plain)
        text = json_string(plain);
    char *out = text ? json_dumps(text, JSON_ENCODE_ANY) : NULL;
    json_decref(text);
    weft__free(plain);
    return out;
}

static bool taken(const struct jsonl *l, const char *text)
{
    static const char *const fixed[] = {",\"step\":", ",\"epoch\":", ",\"wall_s\":"};
    bool yes = false;
    for (int i = 0; i < 3; i++)
        yes |= strcmp(text, fixed[i]) == 0;
    for (int64_t i = 0; i < l->keys; i++)
        yes |= strcmp(text, l->key[i].text) == 0;
    return yes;
}

/* ,"name": or, where a row has that already, ,"name_": and so on. */
static weft_status add(struct jsonl *l, const char *name)
{
    char *quoted = encode(name);
    size_t n = quoted ? strlen(quoted) : 0;
    struct key k = {.name = weft__strdup(name), .text = quoted ? weft__new(n + 3, 1) : NULL};
    weft_status s = weft__grow(&l->key, &l->key_room, (size_t)l->keys + 1, sizeof k);
    if (!s && k.name && k.text)
        sprintf(k.text, ",%s:", quoted);
    while (!s && k.name && k.text && taken(l, k.text)) {
        char *longer = weft__new(++n + 3, 1);
        if (longer)
            sprintf(longer, "%.*s_\":", (int)n - 1, k.text);
        weft__free(k.text);
        k.text = longer;
    }
    free(quoted);
    if (s || !k.name || !k.text) {
        weft__free(k.name);
        weft__free(k.text);
        return weft__fail(WEFT_ENOMEM, "jsonl logger: no memory for the name %.100s", name);
    }
    k.bytes = n + 2;
    l->key[l->keys++] = k;
    return WEFT_OK;
}

/* The key of a name, looked for from `hint` on, because names come in the same order every time. */
static const struct key *find(struct jsonl *l, const char *name, int64_t hint)
{
    for (int64_t k = 0; k < l->keys; k++) {
        const struct key *at = &l->key[(hint + k) % l->keys];
        if (strcmp(at->name, name) == 0)
            return at;
    }
    return add(l, name) ? NULL : &l->key[l->keys - 1];
}

static size_t number(char *out, double v)
{
    if (!isfinite(v))
        return (size_t)sprintf(out, isnan(v) ? "\"NaN\""
                                    : v > 0  ? "\"Infinity\""
                                             : "\"-Infinity\"");
    int digits = 14;
    do
        sprintf(out, "%.*g", ++digits, v);
    while (digits < 17 && strtod(out, NULL) != v);
    return weft__rows_number(out, v, digits);
}

/* True for a whole row of a step up to `keep`. */
static bool stays(const char *line, ssize_t n, int64_t keep)
{
    json_t *o = n > 0 && line[n - 1] == '\n'
                    ? json_loadb(line, (size_t)n, JSON_REJECT_DUPLICATES, NULL)
                    : NULL;
    const json_t *step = json_object_get(o, "step");
    const bool yes = json_is_integer(step) && json_integer_value(step) <= keep;
    json_decref(o);
    return yes;
}

/* Whether the first line is a row, or there is none. */
static weft_status ours(void *self, FILE *in, bool *yes)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t n = getline(&line, &room, in);
    (void)self;
    *yes = n <= 0 || stays(line, n, INT64_MAX);
    free(line);
    return WEFT_OK;
}

static void copy(const void *self, FILE *in, FILE *out)
{
    const struct jsonl *l = self;
    char *line = NULL;
    size_t room = 0;
    for (ssize_t n; in && (n = getline(&line, &room, in)) > 0;)
        if (stays(line, n, l->file.keep))
            fwrite(line, 1, (size_t)n, out);
    free(line);
}

static weft_status write_row(struct jsonl *l, const weft_record *r)
{
    size_t n;
    WEFT_TRY(weft__grow(&l->row, &l->row_room, 4 * (size_t)WEFT__NUMBER + 32, 1));
    n = (size_t)sprintf(l->row, "{\"step\":%lld,\"epoch\":%lld,\"wall_s\":", (long long)r->step,
                        (long long)r->epoch);
    n += number(l->row + n, r->wall_s);
    for (int64_t i = 0; i < r->n; i++) {
        const struct key *k = find(l, r->name[i], i);
        if (!k)
            return WEFT_ENOMEM;
        WEFT_TRY(weft__grow(&l->row, &l->row_room, n + k->bytes + 2 * (size_t)WEFT__NUMBER, 1));
        memcpy(l->row + n, k->text, k->bytes);
        n += k->bytes;
        n += number(l->row + n, r->value[i]);
    }
    n += (size_t)sprintf(l->row + n, "}\n");
    if (!l->file.begun)
        WEFT_TRY(weft__rows_begin(&l->file, ours, NULL));
    if (l->file.fd < 0)
        WEFT_TRY(weft__rows_rewrite(&l->file, copy, l));
    return weft__rows_append(&l->file, l->row, n);
}

static weft_status record(void *self, const weft_record *r)
{
    weft__quiet quiet;
    weft__quiet_begin(&quiet);
    weft_status s = write_row(self, r);
    weft__quiet_end(&quiet);
    return s;
}

static weft_status resume(void *self, int64_t step)
{
    weft__rows_resume(&((struct jsonl *)self)->file, step);
    return WEFT_OK;
}

static void finish(void *self)
{
    weft__rows_finish(&((struct jsonl *)self)->file);
}

static void destroy(void *self)
{
    struct jsonl *l = self;
    weft__rows_free(&l->file);
    for (int64_t i = 0; i < l->keys; i++) {
        weft__free(l->key[i].name);
        weft__free(l->key[i].text);
    }
    weft__free(l->key);
    weft__free(l->row);
}

static const weft_logger_ops jsonl = {.size = sizeof(weft_logger_ops),
                                      .name = "jsonl",
                                      .record = record,
                                      .resume = resume,
                                      .finish = finish,
                                      .destroy = destroy};

weft_logger *weft_logger_jsonl(weft_fabric *f, const char *path)
{
    struct jsonl l = {0};
    return weft__rows_logger(f, path, &jsonl, &l, sizeof l, &l.file);
}
