/* A loader's source: names, fields, casts, and the steps that all sources share. */
#include "data/source.h"

#include "core/alloc.h"
#include "core/rng.h"
#include "core/shape.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static weft_status check_field(const weft__source *s, int k, const weft_field *field, int64_t most)
{
    int64_t bytes;
    if (field->rank < 0 || field->rank >= WEFT_MAX_RANK)
        return weft__fail(WEFT_ESHAPE,
                          "loader: rows of field %s have %d dimensions; 0 to %d can be", s->name[k],
                          field->rank, WEFT_MAX_RANK - 1);
    int64_t width = weft__numel(field->rank, field->shape);
    if (width < 0 || __builtin_mul_overflow(width, (int64_t)sizeof(double), &bytes) ||
        __builtin_mul_overflow(bytes, most + 1, &bytes))
        return weft__fail(WEFT_ESHAPE, "loader: a batch of field %s does not fit in memory",
                          s->name[k]);
    return WEFT_OK;
}

/* One cast a field: .scale and .shift are x's, .scales and .shifts everybody's. */
static weft_status make_cast(weft__source *s, int k, weft_dtype real, const weft_loader_options *o)
{
    bool each = o && (o->scales || o->shifts);
    double scale = !o ? 0 : each ? (o->scales ? o->scales[k] : 0) : k == 0 ? o->scale : 0;
    double shift = !o ? 0 : each ? (o->shifts ? o->shifts[k] : 0) : k == 0 ? o->shift : 0;
    if (!isfinite(scale) || !isfinite(shift) || (shift != 0 && scale == 0))
        return weft__fail(WEFT_EARG,
                          "loader: field %s with scale %g and shift %g; both take finite numbers, "
                          "and a shift needs a scale (1 to keep the values)",
                          s->name[k], scale, shift);
    return weft__cast_make(&s->cast[k], s->field[k].dtype, real, scale, shift);
}

static weft_status copy_names(weft__source *s, const char *const *name)
{
    static const char *const standard[WEFT_FIELDS] = {"x",      "y",      "field2", "field3",
                                                      "field4", "field5", "field6", "field7"};
    size_t n = 0;
    for (int k = 0; k < s->fields; k++)
        n += strlen(s->name[k] = name && name[k] ? name[k] : standard[k]) + 1;
    s->names = weft__new(n, 1);
    for (int k = 0; s->names && k < s->fields; k++) {
        char *at = k ? strchr(s->name[k - 1], '\0') + 1 : s->names;
        s->name[k] = strcpy(at, s->name[k]);
    }
    return s->names ? WEFT_OK : WEFT_ENOMEM;
}

/* weft_batch_field tells fields by their names. */
static weft_status names_differ(const weft__source *s)
{
    for (int k = 1; k < s->fields; k++)
        for (int i = 0; i < k; i++)
            if (s->field[k].present && s->field[i].present && strcmp(s->name[k], s->name[i]) == 0)
                return weft__fail(WEFT_EARG, "loader: fields %d and %d are both named %.80s", i, k,
                                  s->name[k]);
    return WEFT_OK;
}

weft_status weft__source_fill(weft__source *s, const char *label, const char *const *name,
                              const weft_field *field, int64_t most, weft_dtype real,
                              const weft_loader_options *o)
{
    if (!(s->label = weft__strdup(label)))
        return WEFT_ENOMEM;
    WEFT_TRY(copy_names(s, name));
    if (!field[0].present)
        return weft__fail(WEFT_EARG, "loader: a data set without field x");
    if (o && (o->scales || o->shifts) && (o->scale != 0 || o->shift != 0))
        return weft__fail(WEFT_EARG, "loader: scale and shift are of field x, scales and shifts of "
                                     "all fields; give the one or the other");
    for (int k = 0; k < s->fields; k++) {
        if (!field[k].present)
            continue;
        WEFT_TRY(check_field(s, k, &field[k], most));
        s->field[k] = field[k];
        s->width[k] = weft__numel(field[k].rank, field[k].shape);
        WEFT_TRY(make_cast(s, k, real, o));
    }
    WEFT_TRY(names_differ(s));
    s->foreign = o && o->transform;
    s->transform = s->foreign ? o->transform : s->ops ? s->ops->transform : NULL;
    s->transform_self = s->foreign ? o->transform_self : NULL;
    return WEFT_OK;
}

void weft__source_free(weft__source *s)
{
    for (int i = 0; i < s->workers; i++)
        s->ops->close_worker(s->worker[i]);
    weft__free(s->worker);
    weft__free(s->label);
    weft__free(s->names);
}

weft_status weft__source_open_workers(weft__source *s, int n)
{
    char why[WEFT__TEXT / 2] = "";
    if (!s->ops || !s->ops->open_worker || s->workers == n)
        return WEFT_OK;
    if (!s->worker && !(s->worker = weft__new((size_t)n, sizeof *s->worker)))
        return WEFT_ENOMEM;
    for (weft_status code; s->workers < n; s->workers++) {
        code = s->ops->open_worker(s->self, s->workers, n, &s->worker[s->workers], why, sizeof why);
        if (code < 0)
            return weft__fail(code, "%.120s: worker %d: %s", s->label, s->workers,
                              why[0] ? why : weft_strerror(code));
    }
    return WEFT_OK;
}

size_t weft__source_bytes(const weft__source *s, int field, int64_t n, bool cast)
{
    weft_dtype t = cast ? s->cast[field].to : s->field[field].dtype;
    return s->field[field].present ? (size_t)(n * s->width[field]) * weft_dtype_size(t) : 0;
}

int64_t weft__slot_elements(const weft__source *s, const weft__slot *slot, int field, int64_t n)
{
    return n * weft__numel(s->field[field].rank, slot->shape[field]);
}

void weft__slot_begin(const weft__source *s, weft__slot *slot)
{
    slot->code = WEFT_OK;
    slot->why[0] = '\0';
    for (int k = 0; k < s->fields; k++)
        memcpy(slot->shape[k], s->field[k].shape, sizeof slot->shape[k]);
}

weft_rows weft__slot_rows(const weft__source *s, weft__slot *slot, uint64_t seed)
{
    return (weft_rows){.row = s->stream ? NULL : slot->ids,
                       .n = slot->part.local,
                       .epoch = slot->part.epoch,
                       .base = slot->part.base,
                       .seed = seed,
                       .shape = slot->shape};
}

void weft__slot_raw(const weft__source *s, const weft__slot *slot, void *staging, int64_t most,
                    void *raw[WEFT_FIELDS])
{
    char *at = staging;
    for (int k = 0; k < s->fields; k++) {
        raw[k] = s->cast[k].plain ? slot->data[k] : at;
        at += s->cast[k].plain ? 0 : weft__source_bytes(s, k, most, false);
    }
}

weft_status weft__slot_cast(const weft__source *s, weft__slot *slot, void *const raw[WEFT_FIELDS])
{
    for (int k = 0; k < s->fields; k++) {
        const weft_field *field = &s->field[k];
        for (int d = 0; d < field->rank; d++)
            if (slot->shape[k][d] < 0 || slot->shape[k][d] > field->shape[d]) {
                char why[100];
                snprintf(why, sizeof why, "extent %d is %lld, at most %lld can be", d,
                         (long long)slot->shape[k][d], (long long)field->shape[d]);
                return weft__slot_fail(s, slot, k, WEFT_ESHAPE, why);
            }
        if (field->present && !s->cast[k].plain)
            weft__cast_run(&s->cast[k], slot->data[k], raw[k],
                           weft__slot_elements(s, slot, k, slot->part.local));
    }
    return WEFT_OK;
}

weft_status weft__slot_transform(const weft__source *s, int worker, weft__slot *slot, uint64_t seed)
{
    char why[WEFT__TEXT / 2] = "";
    int64_t shape[WEFT_FIELDS][WEFT_MAX_RANK];
    if (!s->transform)
        return WEFT_OK;
    void *self = s->foreign ? s->transform_self : s->workers > 0 ? s->worker[worker] : s->self;
    memcpy(shape, slot->shape, sizeof shape); /* a transform changes values, no extents */
    weft_rows r = weft__slot_rows(s, slot, seed);
    r.shape = shape;
    weft_status code = s->transform(self, &r, slot->data, why, sizeof why);
    return code < 0 ? weft__slot_fail(s, slot, -1, code, why) : WEFT_OK;
}

weft_status weft__slot_fail(const weft__source *s, weft__slot *slot, int field, weft_status code,
                            const char *why)
{
    snprintf(slot->why, sizeof slot->why, "%.120s: %s%.40s, batch %lld of epoch %lld: %s", s->label,
             field < 0 ? "the transform" : "field ", field < 0 ? "" : s->name[field],
             (long long)slot->part.index, (long long)slot->part.epoch,
             why[0] ? why : weft_strerror(code));
    return slot->code = code;
}

double weft_rows_uniform(const weft_rows *r, int64_t i, uint64_t k)
{
    if (!r)
        return NAN;
    uint64_t stream = weft__stream_of("transform") + r->shard * 0x9E3779B97F4A7C15u;
    stream ^= (uint64_t)r->epoch * 0xC2B2AE3D27D4EB4Fu; /* a shard's rows begin anew in each */
    return weft__uniform_f64(r->seed, stream, (uint64_t)(r->base + i), k);
}
