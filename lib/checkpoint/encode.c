/* The MANIFEST's text: JSON, an item a line, its digest last. */
#include "checkpoint/manifest.h"
#include "core/alloc.h"
#include "core/error.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <weft/version.h>
#include <xxhash.h>

struct text {
    char *p;
    size_t n, room;
};

static weft_status append(struct text *t, const char *more)
{
    size_t n = strlen(more);
    WEFT_TRY(weft__grow(&t->p, &t->room, t->n + n + 1, 1));
    memcpy(t->p + t->n, more, n + 1);
    t->n += n;
    return WEFT_OK;
}

/* Appends o, with `end` of its characters left out at the end, and takes it over. */
static weft_status append_json(struct text *t, json_t *o, size_t end)
{
    char *line = o ? json_dumps(o, JSON_COMPACT) : NULL;
    weft_status s = WEFT_ENOMEM;
    if (line) {
        line[strlen(line) - end] = '\0';
        s = append(t, line);
    } else {
        weft__fail(s, "no memory for the MANIFEST");
    }
    free(line);
    json_decref(o);
    return s;
}

static json_t *file_json(const weft__file *f)
{
    char hex[WEFT__ID];
    snprintf(hex, sizeof hex, "%016llx", (unsigned long long)f->digest);
    return json_pack("{s:s,s:I,s:I,s:s}", "name", f->name, "size", (json_int_t)f->size, "image",
                     (json_int_t)f->image, "digest", hex);
}

static json_t *piece_json(const weft__entry *e, const weft__piece *p)
{
    size_t n = (size_t)weft__piece_blocks(e, p);
    char *hex = weft__new(n * 16 + 1, 1);
    json_t *o = NULL;
    if (hex) {
        for (size_t i = 0; i < n; i++)
            snprintf(hex + 16 * i, WEFT__ID, "%016llx", (unsigned long long)p->digest[i]);
        o = json_pack("[i,I,I,I,s]", p->shard, (json_int_t)p->first, (json_int_t)p->count,
                      (json_int_t)p->offset, hex);
    }
    weft__free(hex);
    return o;
}

static json_t *tensor_json(const weft__entry *e)
{
    json_t *shape = json_array(), *slabs = json_array();
    for (int d = 0; d < e->rank; d++)
        json_array_append_new(shape, json_integer(e->shape[d]));
    for (size_t i = 0; i < e->npieces; i++)
        json_array_append_new(slabs, piece_json(e, &e->piece[i]));
    if (json_array_size(slabs) != e->npieces || json_array_size(shape) != (size_t)e->rank) {
        json_decref(slabs);
        json_decref(shape);
        return NULL;
    }
    return json_pack("{s:s,s:s,s:s,s:s,s:o,s:o}", "name", e->name, "kind", "tensor", "dtype",
                     weft_dtype_name(e->dtype), "placement", weft__placement_word[e->placement],
                     "shape", shape, "slabs", slabs);
}

static json_t *value_json(const weft__entry *e, int64_t v)
{
    char text[WEFT__F64_TEXT];
    if (e->kind == WEFT_STATE_I64)
        return json_integer(v);
    weft__f64_write(text, (uint64_t)v);
    return json_string(text);
}

static json_t *owner_json(const weft__entry *e, int owner)
{
    json_t *o;
    if (e->kind == WEFT_STATE_TEXT)
        return json_string(e->text[owner]);
    o = json_array();
    for (int64_t i = 0; i < e->count; i++)
        json_array_append_new(o, value_json(e, e->values[owner * e->count + i]));
    return o;
}

static json_t *scalar_json(const weft__entry *e)
{
    json_t *values = json_array();
    for (int k = 0; k < e->owners; k++)
        json_array_append_new(values, owner_json(e, k));
    if (json_array_size(values) != (size_t)e->owners) {
        json_decref(values);
        return NULL;
    }
    return json_pack("{s:s,s:s,s:s,s:o}", "name", e->name, "kind", weft__kind_word[e->kind],
                     "placement", weft__placement_word[e->placement], "values", values);
}

static json_t *head_json(const weft__manifest *m)
{
    char when[32];
    time_t now = time(NULL);
    struct tm utc;
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    return json_pack("{s:s,s:i,s:s,s:s,s:I,s:i,s:s,s:I,s:o}", "format", "weft-checkpoint",
                     "version", 1, "weft", weft_version(), "time", when, "step",
                     (json_int_t)m->step, "world", m->world, "save", m->id, "block",
                     (json_int_t)WEFT__BLOCK, "index", file_json(&m->index));
}

static weft_status compose(const weft__manifest *m, struct text *t)
{
    char tail[WEFT__SEAL_BYTES + 1];
    WEFT_TRY(append_json(t, head_json(m), 1));
    WEFT_TRY(append(t, ",\n\"files\":["));
    for (int r = 0; r < m->world; r++) {
        WEFT_TRY(append(t, r ? ",\n" : "\n"));
        WEFT_TRY(append_json(t, file_json(&m->file[r]), 0));
    }
    WEFT_TRY(append(t, "],\n\"items\":["));
    for (size_t i = 0; i < m->n; i++) {
        const weft__entry *e = &m->entry[i];
        WEFT_TRY(append(t, i ? ",\n" : "\n"));
        WEFT_TRY(append_json(t, e->kind == WEFT_STATE_TENSOR ? tensor_json(e) : scalar_json(e), 0));
    }
    WEFT_TRY(append(t, "]"));
    snprintf(tail, sizeof tail, WEFT__SEAL_FORMAT, (unsigned long long)XXH3_64bits(t->p, t->n));
    return append(t, tail);
}

weft_status weft__manifest_encode(const weft__manifest *m, const char *where, char **text,
                                  int64_t *bytes)
{
    struct text t = {0};
    weft_status s = compose(m, &t);
    if (!s && (int64_t)t.n > WEFT__MANIFEST_MAX)
        s = weft__fail(WEFT_ENOTSUP, "%s: the MANIFEST would have %zu bytes, more than %lld", where,
                       t.n, (long long)WEFT__MANIFEST_MAX);
    if (s)
        weft__free(t.p);
    *text = s ? NULL : t.p;
    *bytes = s ? 0 : (int64_t)t.n;
    return s;
}
