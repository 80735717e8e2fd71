/* Reads a MANIFEST strictly. Nothing in it is trusted: every number has a range, every name a
 * pattern, no member may be missing, unknown or there twice. */
#include "checkpoint/manifest.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/shape.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define WORLD_MAX (1 << 20)

static weft_status bad(const char *where, const char *format, ...) WEFT_PRINTF(2, 3);

static weft_status bad(const char *where, const char *format, ...)
{
    char text[WEFT__TEXT];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return weft__fail(WEFT_EFORMAT, "%s/" WEFT__MANIFEST ": %s", where, text);
}

/* n hex digits, lower case, as a number. */
static bool hex(const char *text, size_t n, uint64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < n; i++) {
        static const char digits[] = "0123456789abcdef";
        const char *d = text[i] ? strchr(digits, text[i]) : NULL;
        if (!d)
            return false;
        *out = *out << 4 | (uint64_t)(d - digits);
    }
    return true;
}

static int word(const char *text, const char *const *list, int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(text, list[i]) == 0)
            return i;
    return -1;
}

static weft_dtype dtype_of(const char *text)
{
    weft_dtype t = WEFT_F32;
    while (weft_dtype_size(t) && strcmp(weft_dtype_name(t), text) != 0)
        t = (weft_dtype)(t + 1);
    return weft_dtype_size(t) ? t : WEFT_DEFAULT;
}

static weft_status read_file(json_t *o, const char *where, const char *expected, weft__file *f)
{
    const char *name, *digest;
    json_int_t size, image;
    if (json_unpack_ex(o, NULL, JSON_STRICT, "{s:s,s:I,s:I,s:s}", "name", &name, "size", &size,
                       "image", &image, "digest", &digest))
        return bad(where, "the record of file %s is malformed", expected);
    if (strcmp(name, expected) != 0)
        return bad(where, "a file is named \"%.64s\" instead of %s", name, expected);
    if (size < 0 || image < 0 || image > size || strlen(digest) != 16 ||
        !hex(digest, 16, &f->digest))
        return bad(where, "the record of file %s has a wrong size or digest", expected);
    snprintf(f->name, sizeof f->name, "%s", name);
    f->size = size;
    f->image = image;
    return WEFT_OK;
}

static weft_status read_digests(const weft__entry *e, weft__piece *p, const char *text,
                                const char *where)
{
    size_t n = (size_t)weft__piece_blocks(e, p);
    if (strlen(text) != 16 * n)
        return bad(where, "\"%s\" has a slab without its %zu digests", e->name, n);
    if (!(p->digest = weft__new(n, sizeof *p->digest)))
        return WEFT_ENOMEM;
    for (size_t i = 0; i < n; i++)
        if (!hex(text + 16 * i, 16, &p->digest[i]))
            return bad(where, "\"%s\" has a malformed digest", e->name);
    return WEFT_OK;
}

static weft_status read_piece(const weft__manifest *m, weft__entry *e, json_t *o, const char *where)
{
    json_int_t shard, first, count, offset;
    const char *digest;
    if (json_unpack_ex(o, NULL, JSON_STRICT, "[I,I,I,I,s]", &shard, &first, &count, &offset,
                       &digest))
        return bad(where, "a slab of \"%s\" is malformed", e->name);
    if (shard < 0 || shard >= m->world || first < 0 || count <= 0 || first > e->numel ||
        count > e->numel - first)
        return bad(where, "a slab of \"%s\" is out of range", e->name);
    int64_t bytes = count * (int64_t)weft_dtype_size(e->dtype);
    const weft__file *f = &m->file[shard];
    if (offset < f->image || bytes > f->size || offset > f->size - bytes)
        return bad(where, "a slab of \"%s\" lies outside of %s", e->name, f->name);
    weft__piece *p = weft__entry_add(e);
    if (!p)
        return WEFT_ENOMEM;
    p->shard = (int)shard;
    p->first = first;
    p->count = count;
    p->offset = offset;
    return read_digests(e, p, digest, where);
}

static weft_status read_tensor(const weft__manifest *m, weft__entry *e, json_t *o,
                               const char *where)
{
    const char *name, *kind, *dtype, *placement;
    json_t *shape, *slabs;
    if (json_unpack_ex(o, NULL, JSON_STRICT, "{s:s,s:s,s:s,s:s,s:o,s:o}", "name", &name, "kind",
                       &kind, "dtype", &dtype, "placement", &placement, "shape", &shape, "slabs",
                       &slabs) ||
        !json_is_array(shape) || !json_is_array(slabs))
        return bad(where, "tensor \"%s\" is malformed", e->name);
    e->dtype = dtype_of(dtype);
    e->rank = json_array_size(shape) <= WEFT_MAX_RANK ? (int)json_array_size(shape) : -1;
    for (int d = 0; d < e->rank; d++) {
        json_t *extent = json_array_get(shape, (size_t)d);
        e->shape[d] = json_is_integer(extent) ? json_integer_value(extent) : -1;
    }
    e->numel = e->rank < 0 ? -1 : weft__numel(e->rank, e->shape);
    if (e->dtype == WEFT_DEFAULT || e->numel < 0 ||
        e->numel > INT64_MAX / (int64_t)weft_dtype_size(e->dtype))
        return bad(where, "tensor \"%s\" has an impossible type or shape", e->name);
    for (size_t i = 0; i < json_array_size(slabs); i++)
        WEFT_TRY(read_piece(m, e, json_array_get(slabs, i), where));
    return WEFT_OK;
}

static weft_status read_values(weft__entry *e, int owner, json_t *o, const char *where)
{
    for (int64_t i = 0; i < e->count; i++) {
        json_t *v = json_array_get(o, (size_t)i);
        int64_t *to = &e->values[owner * e->count + i];
        uint64_t bits;
        if (e->kind == WEFT_STATE_I64 && json_is_integer(v))
            *to = json_integer_value(v);
        else if (e->kind == WEFT_STATE_F64 && json_is_string(v) &&
                 weft__f64_read(json_string_value(v), &bits))
            *to = (int64_t)bits;
        else
            return bad(where, "value %lld of \"%s\" is malformed", (long long)i, e->name);
    }
    return WEFT_OK;
}

/* Memory is taken only for what is really there. */
static weft_status read_counts(weft__entry *e, json_t *values, const char *where)
{
    e->count = (int64_t)json_array_size(json_array_get(values, 0));
    for (int k = 0; k < e->owners; k++) {
        json_t *v = json_array_get(values, (size_t)k);
        if (!json_is_array(v) || (int64_t)json_array_size(v) != e->count)
            return bad(where, "the values of \"%s\" are malformed", e->name);
    }
    e->values = weft__new((size_t)(e->owners * e->count), sizeof *e->values);
    return e->values ? WEFT_OK : WEFT_ENOMEM;
}

static weft_status read_text(weft__entry *e, int owner, json_t *o, const char *where)
{
    if (!json_is_string(o))
        return bad(where, "the text of \"%s\" is malformed", e->name);
    e->text[owner] = weft__strdup(json_string_value(o));
    return e->text[owner] ? WEFT_OK : WEFT_ENOMEM;
}

static weft_status read_scalar(const weft__manifest *m, weft__entry *e, json_t *o,
                               const char *where)
{
    const char *name, *kind, *placement;
    json_t *values;
    if (json_unpack_ex(o, NULL, JSON_STRICT, "{s:s,s:s,s:s,s:o}", "name", &name, "kind", &kind,
                       "placement", &placement, "values", &values) ||
        !json_is_array(values) || e->placement == WEFT_SHARDED)
        return bad(where, "item \"%s\" is malformed", e->name);
    int owners = e->placement == WEFT_PER_RANK ? m->world : 1;
    if (json_array_size(values) != (size_t)owners)
        return bad(where, "\"%s\" needs values of %d ranks", e->name, owners);
    e->owners = owners;
    if (e->kind == WEFT_STATE_TEXT && !(e->text = weft__new((size_t)owners, sizeof *e->text)))
        return WEFT_ENOMEM;
    if (e->kind != WEFT_STATE_TEXT)
        WEFT_TRY(read_counts(e, values, where));
    for (int k = 0; k < owners; k++) {
        json_t *v = json_array_get(values, (size_t)k);
        WEFT_TRY(e->kind == WEFT_STATE_TEXT ? read_text(e, k, v, where)
                                            : read_values(e, k, v, where));
    }
    return WEFT_OK;
}

static weft_status read_item(weft__manifest *m, json_t *o, size_t i, const char *where)
{
    const char *name, *kind, *placement;
    if (json_unpack_ex(o, NULL, 0, "{s:s,s:s,s:s}", "name", &name, "kind", &kind, "placement",
                       &placement))
        return bad(where, "item %zu is malformed", i);
    int k = word(kind, weft__kind_word, 4), p = word(placement, weft__placement_word, 4);
    if (k < 0 || p < 0)
        return bad(where, "item %zu has the unknown kind \"%.32s\" or placement \"%.32s\"", i, kind,
                   placement);
    weft__entry *e = weft__manifest_add(m);
    if (!e || !(e->name = weft__strdup(name)))
        return WEFT_ENOMEM;
    e->kind = (weft_state_kind)k;
    e->placement = (weft_placement)p;
    return k == WEFT_STATE_TENSOR ? read_tensor(m, e, o, where) : read_scalar(m, e, o, where);
}

static weft_status read_lists(weft__manifest *m, json_t *index, json_t *files, json_t *items,
                              const char *where)
{
    char name[WEFT__NAME];
    if (!json_is_array(files) || json_array_size(files) != (size_t)m->world ||
        !json_is_array(items))
        return bad(where, "it needs one file for each of its %d ranks, and items", m->world);
    if (!(m->file = weft__new((size_t)m->world, sizeof *m->file)))
        return WEFT_ENOMEM;
    WEFT_TRY(read_file(index, where, WEFT__INDEX, &m->index));
    for (int r = 0; r < m->world; r++) {
        weft__shard_name(name, m->id, r);
        WEFT_TRY(read_file(json_array_get(files, (size_t)r), where, name, &m->file[r]));
    }
    for (size_t i = 0; i < json_array_size(items); i++)
        WEFT_TRY(read_item(m, json_array_get(items, i), i, where));
    return weft__manifest_seal(m, where);
}

static weft_status read_root(weft__manifest *m, json_t *root, const char *where)
{
    const char *format, *weft, *when, *id, *digest;
    json_int_t version, step, world, block;
    json_t *index, *files, *items;
    if (json_unpack_ex(root, NULL, 0, "{s:s,s:I}", "format", &format, "version", &version) ||
        strcmp(format, "weft-checkpoint") != 0)
        return bad(where, "it is no weft checkpoint's");
    if (version != 1)
        return bad(where, "format version %lld; this library reads 1", (long long)version);
    if (json_unpack_ex(root, NULL, JSON_STRICT, "{s:s,s:I,s:s,s:s,s:I,s:I,s:s,s:I,s:o,s:o,s:o,s:s}",
                       "format", &format, "version", &version, "weft", &weft, "time", &when, "step",
                       &step, "world", &world, "save", &id, "block", &block, "index", &index,
                       "files", &files, "items", &items, "digest", &digest))
        return bad(where, "a member is missing, unknown or of a wrong type");
    if (step < 0 || world < 1 || world > WORLD_MAX || block != WEFT__BLOCK || !weft__is_id(id))
        return bad(where, "step, world, save or block is out of range");
    m->step = step;
    m->world = (int)world;
    snprintf(m->id, sizeof m->id, "%s", id);
    return read_lists(m, index, files, items, where);
}

weft_status weft__manifest_decode(weft__manifest *m, const char *where, const char *text,
                                  int64_t bytes)
{
    char tail[WEFT__SEAL_BYTES + 1];
    json_error_t e;
    int64_t body = bytes - WEFT__SEAL_BYTES;
    if (body < 0 || bytes > WEFT__MANIFEST_MAX)
        return bad(where, "it has %lld bytes", (long long)bytes);
    snprintf(tail, sizeof tail, WEFT__SEAL_FORMAT,
             (unsigned long long)XXH3_64bits(text, (size_t)body));
    if (memcmp(tail, text + body, WEFT__SEAL_BYTES) != 0)
        return bad(where, "it is damaged (its digest is not that of its content)");
    json_t *root = json_loadb(text, (size_t)bytes, JSON_REJECT_DUPLICATES, &e);
    if (!root)
        return bad(where, "line %d: %.160s", e.line, e.text);
    weft_status s = read_root(m, root, where);
    json_decref(root);
    return s;
}
