/* Layout and planes of a flat space. */
#include "flat/flat.h"

#include "comm/comm.h"
#include "core/alloc.h"
#include "core/hash.h"
#include "core/rng.h"
#include "core/shape.h"
#include "device/device.h"

#include <math.h>
#include <string.h>

#define ALIGN 32                 /* elements; every segment starts on 64 bytes, of any type */
#define EARLY ((int64_t)1 << 20) /* bytes of the first bucket */

static int64_t round_up(int64_t n, int64_t to)
{
    return (n + to - 1) / to * to;
}

weft_view weft__segment_view(const weft__segment *s, weft__plane plane)
{
    weft_view v;
    weft__segment_see(s, plane, &v);
    return v;
}

void weft__segment_show(const weft__segment *s, weft__tensor *t)
{
    t->view = weft__segment_view(s, WEFT__PARAM);
    t->changed = &s->flat->changed;
}

void weft__segment_changed(const weft__segment *s, uint64_t how)
{
    const uint64_t what[] = {(uint64_t)s->first, how};
    s->flat->changed = weft__hash(s->flat->changed, what, sizeof what);
}

/* A bucket is full when the next segment would take it past its size. */
static void close_bucket(weft__flat *flat, int64_t *at, int64_t unit)
{
    weft__bucket *b = &flat->bucket[flat->nbuckets];
    b->count = round_up(*at - b->first, unit);
    *at = b->first + b->count;
    flat->nbuckets++;
}

static void lay_out(weft__flat *flat, int64_t bucket_bytes)
{
    int64_t size = (int64_t)weft_dtype_size(flat->type[WEFT__GRAD]);
    int64_t unit = ALIGN * flat->fabric->world, at = 0;
    for (int i = 0; i < flat->nsegments; i++) {
        weft__segment *s = flat->segment[i];
        weft__bucket *b = &flat->bucket[flat->nbuckets];
        int64_t limit = flat->nbuckets || bucket_bytes < EARLY ? bucket_bytes : EARLY;
        if (b->segments && (at + s->count - b->first) * size > limit) {
            close_bucket(flat, &at, unit);
            b = &flat->bucket[flat->nbuckets];
        }
        if (!b->segments)
            *b = (weft__bucket){.first = at, .begin = i};
        s->flat = flat;
        s->first = at;
        s->bucket = flat->nbuckets;
        weft__strides(s->rank, s->shape, s->stride);
        b->segments++;
        b->payload += s->count;
        at = round_up(at + s->count, ALIGN);
    }
    if (flat->nsegments)
        close_bucket(flat, &at, unit);
    flat->elements = at;
}

/* The share of a normal distribution below x deviations. */
static double below(double x)
{
    return erfc(-x / sqrt(2)) / 2;
}

static weft_status draw(const weft__segment *s, weft_dev p, weft_dtype type)
{
    weft_fabric *f = s->flat->fabric;
    const weft_kernels *k = f->device->ops->kernels;
    const weft_init *o = &s->init;
    uint64_t stream = weft__stream_of(s->name);
    weft_normal_terms normal = {.mean = o->mean, .std = o->std, .lo = 0, .hi = 1};
    if (o->std == 0 && o->lo == o->hi)
        return k->fill(f->stream, p, s->count, o->lo, type);
    if (o->std == 0)
        return k->uniform(f->stream, p, f->seed, stream, 0, 0, s->count, o->lo, o->hi, type);
    if (o->lo < o->hi) {
        normal.lo = below((o->lo - o->mean) / o->std);
        normal.hi = below((o->hi - o->mean) / o->std);
    }
    return k->normal(f->stream, p, f->seed, stream, s->count, &normal, type);
}

/* In 16 bits: what there would be in f32, rounded. */
static weft_status draw_low(const weft__segment *s, weft_dev p)
{
    weft_fabric *f = s->flat->fabric;
    const weft__mark mark = weft__engine_mark(f);
    const int64_t one = 1;
    weft_dev wide;
    WEFT_TRY(weft__scratch(f, (size_t)s->count * sizeof(float), &wide));
    weft_status r = draw(s, wide, WEFT_F32);
    if (!r)
        r = f->device->ops->kernels->copy(f->stream, p, s->flat->type[WEFT__PARAM], &one, wide,
                                          WEFT_F32, &one, 1, &s->count);
    weft__engine_rewind(f, mark);
    return r;
}

weft_status weft__segment_init(weft__segment *s)
{
    weft__flat *flat = s->flat;
    weft_stream *stream = flat->fabric->stream;
    const weft_dev p = weft__flat_at(flat, WEFT__PARAM, s->first);
    const weft_dtype type = flat->type[WEFT__PARAM];
    WEFT_TRY(weft_dtype_size(type) > 2 ? draw(s, p, type) : draw_low(s, p));
    return flat->fabric->device->ops->kernels->fill(
        stream, weft__flat_at(flat, WEFT__PARAM, s->first + s->init.zero_first), s->init.zero_count,
        0, flat->type[WEFT__PARAM]);
}

static weft_status fill(weft__flat *flat)
{
    for (int i = 0; i < flat->nsegments; i++) {
        weft__tensor *t = weft__tensor_at(flat->segment[i]->tensor, NULL);
        if (!t)
            return WEFT_EHANDLE;
        WEFT_TRY(weft__segment_init(flat->segment[i]));
        weft__segment_show(flat->segment[i], t);
    }
    return WEFT_OK;
}

static weft_memory_kind kind_of(const weft__flat *flat, weft__plane plane)
{
    return plane == WEFT__PARAM     ? (flat->state ? WEFT_MEMORY_BUFFERS : WEFT_MEMORY_PARAMS)
           : plane == WEFT__GRAD    ? WEFT_MEMORY_GRADS
           : plane == WEFT__COMPUTE ? WEFT_MEMORY_COMPUTE
                                    : WEFT_MEMORY_MOMENTS;
}

weft_status weft__flat_plane(weft__flat *flat, weft__plane plane)
{
    weft_fabric *f = flat->fabric;
    weft_device *d = f->device;
    const weft_memory_kind kind = kind_of(flat, plane);
    size_t bytes = weft__flat_bytes(flat, plane);
    WEFT_TRY(plane == WEFT__PARAM ? weft__comm_reserve(f->comm, d, bytes, kind, &flat->plane[plane])
                                  : weft_device_alloc(d, bytes, kind, &flat->plane[plane]));
    return d->ops->zero(flat->fabric->stream, flat->plane[plane], bytes);
}

weft_status weft__flat_levels(weft__flat *flat, int n)
{
    weft_device *d = flat->fabric->device;
    size_t bytes = weft__flat_bytes(flat, WEFT__GRAD);
    if (!(flat->level = weft__new((size_t)n, sizeof *flat->level)))
        return WEFT_ENOMEM;
    for (; flat->levels < n; flat->levels++)
        WEFT_TRY(weft_device_alloc(d, bytes, WEFT_MEMORY_GRADS, &flat->level[flat->levels]));
    return WEFT_OK;
}

/* Sums and moments have at least single precision. */
static void types(weft__flat *flat, weft_dtype dtype)
{
    for (int p = WEFT__PARAM; p < WEFT__COMPUTE; p++)
        flat->type[p] = p == WEFT__PARAM || weft_dtype_size(dtype) > 2 ? dtype : WEFT_F32;
}

static weft_status make(weft_fabric *f, weft__segment *const *segment, int n, weft_dtype dtype,
                        bool trainable, bool state, int64_t bucket_bytes, weft__flat **out)
{
    weft__flat *flat = weft__new(1, sizeof *flat);
    weft_status s = flat ? WEFT_OK : WEFT_ENOMEM;
    if (!s) {
        *flat = (weft__flat){
            .fabric = f, .trainable = trainable, .state = state, .nsegments = n, .npieces = 1};
        flat->segment = weft__new((size_t)n, sizeof *flat->segment);
        flat->bucket = weft__new((size_t)n + 1, sizeof *flat->bucket);
        flat->piece = weft__new(1, sizeof *flat->piece);
        s = flat->segment && flat->bucket && flat->piece ? WEFT_OK : WEFT_ENOMEM;
    }
    if (!s) {
        memcpy(flat->segment, segment, (size_t)n * sizeof *segment);
        types(flat, dtype);
        lay_out(flat, bucket_bytes);
        *flat->piece = (weft__range){.count = flat->elements};
        s = weft__flat_plane(flat, WEFT__PARAM);
    }
    if (!s)
        s = fill(flat);
    if (s) {
        weft__flat_free(flat);
        return s;
    }
    *out = flat;
    return WEFT_OK;
}

weft_status weft__flat_new(weft_fabric *f, weft__segment *const *segment, int n, weft_dtype dtype,
                           bool trainable, int64_t bucket_bytes, weft__flat **out)
{
    return make(f, segment, n, dtype, trainable, false, bucket_bytes, out);
}

weft_status weft__flat_state(weft_fabric *f, weft__segment *const *segment, int n, weft_dtype dtype,
                             weft__flat **out)
{
    return make(f, segment, n, dtype, false, true, f->bucket_bytes, out);
}

void weft__flat_drop(weft__flat *flat, weft__plane plane)
{
    if (!flat->plane[plane].addr)
        return;
    if (plane == WEFT__GRAD && flat->grad_free)
        flat->grad_free(flat);
    else if (plane == WEFT__PARAM)
        weft__comm_release(flat->fabric->comm, flat->fabric->device, flat->plane[plane],
                           weft__flat_bytes(flat, plane), kind_of(flat, plane));
    else
        weft_device_free(flat->fabric->device, flat->plane[plane], weft__flat_bytes(flat, plane),
                         kind_of(flat, plane));
    flat->plane[plane].addr = 0;
}

void weft__flat_free(weft__flat *flat)
{
    if (!flat)
        return;
    for (weft__plane p = 0; p < WEFT__PLANES; p++)
        weft__flat_drop(flat, p);
    for (int i = 0; i < flat->levels; i++)
        weft_device_free(flat->fabric->device, flat->level[i], weft__flat_bytes(flat, WEFT__GRAD),
                         WEFT_MEMORY_GRADS);
    weft__free(flat->level);
    weft__free(flat->segment);
    weft__free(flat->bucket);
    weft__free(flat->piece);
    weft__free(flat->counts);
    weft__free(flat);
}
