/* The loader: a data set or a stream, a plan of batches over it, and the ring that makes them. */
#include "core/alloc.h"
#include "core/log.h"
#include "data/hdf5.h"
#include "data/make.h"
#include "data/object.h"
#include "environ/environ.h"
#include "tensor/tensor.h"

#include <string.h>

#define LARGE (32 << 10) /* bytes of a batch */

static weft_fabric *fabric_of(const weft_loader *l)
{
    return l->object.fabric;
}

static void destroy(weft__object *self)
{
    weft_loader *l = (weft_loader *)self;
    const weft__source *s = &l->source;
    void (*gone)(void *) = s->stream ? s->stream->destroy : s->ops ? s->ops->destroy : NULL;
    weft__ring_close(&l->ring);
    weft__map_free(&l->map);
    weft__stream_free(&l->stream);
    weft__sampler_free(&l->sampler);
    weft__source_free(&l->source);
    if (l->made && gone)
        gone(s->self);
}

static weft_status plan(weft_loader *l, int64_t rows, const weft_loader_options *o)
{
    weft_fabric *f = fabric_of(l);
    if (l->source.stream)
        return weft__plan_stream(&l->plan, f, o);
    WEFT_TRY(weft__plan_make(&l->plan, f, rows, o));
    return weft__sampler_make(&l->sampler, rows, l->plan.batch, o);
}

/* What only one kind of source looks at, no other lets pass. */
static weft_status of_hdf5(const weft__source *s, const weft_loader_options *o)
{
    const char *name = !o            ? NULL
                       : o->fields   ? "fields"
                       : o->x        ? "x"
                       : o->y        ? "y"
                       : o->cache_mb ? "cache_mb"
                                     : NULL;
    if (!name || s->ops == &weft__hdf5_ops)
        return WEFT_OK;
    return weft__fail(WEFT_EARG, "loader: %s is an option of HDF5 files; leave it out", name);
}

static weft_status make(weft_loader *l, int64_t rows, const weft_field *field, const char *label,
                        const char *const *name, const weft_loader_options *o)
{
    weft__source *s = &l->source;
    weft_dtype real = fabric_of(l)->dtype == WEFT_F64 ? WEFT_F64 : WEFT_F32;
    WEFT_TRY(of_hdf5(s, o));
    WEFT_TRY(plan(l, rows, o));
    WEFT_TRY(weft__source_fill(s, label, name, field, weft__plan_most(&l->plan), real, o));
    if (s->stream)
        return weft__stream_init(&l->stream, &l->plan, s);
    l->map = (weft__map){.plan = &l->plan, .source = s, .sampler = &l->sampler, .order_epoch = -1};
    l->ring.total = weft__plan_total(&l->plan);
    return WEFT_OK;
}

static weft_loader *finish(weft_loader *l, weft_status s)
{
    l->made = s == WEFT_OK;
    if (l->made)
        return l;
    weft__stick(fabric_of(l), s);
    weft__object_free(&l->object);
    return NULL;
}

weft_loader *weft__loader_make(weft_fabric *f, const weft_dataset_ops *ops, void *self,
                               int64_t rows, int fields, const weft_field *field, const char *label,
                               const char *const *name, const weft_loader_options *o)
{
    weft_loader *l = weft__object_new(f, WEFT__LOADER, sizeof *l, destroy);
    if (!l)
        return NULL;
    l->source = (weft__source){.ops = ops, .self = self, .fields = fields};
    weft__ring_init(&l->ring, &l->plan, &l->source, &weft__map_ops, &l->map, 0);
    l->ring.device = f->device;
    return finish(l, make(l, rows, field, label, name, o));
}

/* Where all cores compute nothing runs beside a copy. Unless told otherwise a batch is copied when it is asked for, and then is
 * near; waking a worker for many small ones at a time costs less. */
const weft_device *weft__loader_of_memory(weft_loader *l)
{
    unsigned char mask[WEFT__MASK];
    const weft__plan *p = &l->plan;
    const weft_device *d = fabric_of(l)->device;
    if (l->source.foreign || (d && !d->ops->immediate))
        return NULL;
    if (p->small_more && p->workers <= 1 &&
        weft__source_bytes(&l->source, 0, weft__plan_most(p), true) >= LARGE) {
        weft__environ_mask(mask);
        if (weft__environ_cores(mask) <= (d ? d->threads : 1))
            l->plan.prefetch = 0;
    }
    return p->prefetch ? NULL : d;
}

/* The names that the fields give themselves. */
static weft_status check_fields(int fields, const weft_field *field, const char **name)
{
    if (fields < 1 || fields > WEFT_FIELDS || !field)
        return weft__fail(WEFT_EARG, "loader: %d fields at %s; a data set has 1 to %d", fields,
                          field ? "an address" : "NULL", WEFT_FIELDS);
    for (int k = 0; k < fields; k++)
        name[k] = field[k].name;
    return WEFT_OK;
}

weft_loader *weft_loader_new(weft_fabric *f, const weft_dataset_ops *ops, void *self, int64_t rows,
                             const weft_field *field, const weft_loader_options *o)
{
    const char *name[WEFT_FIELDS] = {NULL};
    weft_status s = WEFT_OK;
    if (!f)
        return NULL;
    if (!ops || ops->size < sizeof *ops || (!ops->read && !ops->collate) || rows < 0 ||
        !ops->open_worker != !ops->close_worker)
        s = weft__fail(WEFT_EARG, "loader: a data set needs an ops table of full size with read or "
                                  "collate, open_worker with close_worker, and rows >= 0");
    int fields = s == WEFT_OK && ops->fields ? ops->fields : 2;
    if (s == WEFT_OK)
        s = check_fields(fields, field, name);
    if (s < 0) {
        weft__stick(f, s);
        return NULL;
    }
    return weft__loader_make(f, ops, self, rows, fields, field, ops->name ? ops->name : "data set",
                             name, o);
}

weft_loader *weft_loader_stream(weft_fabric *f, const weft_stream_ops *ops, void *self,
                                const weft_field *field, const weft_loader_options *o)
{
    const char *name[WEFT_FIELDS] = {NULL};
    weft_status s = WEFT_OK;
    if (!f)
        return NULL;
    if (!ops || ops->size < sizeof *ops || !ops->open || !ops->next)
        s = weft__fail(WEFT_EARG, "loader: a stream needs an ops table of full size with open and "
                                  "next");
    int fields = s == WEFT_OK && ops->fields ? ops->fields : 2;
    if (s == WEFT_OK)
        s = check_fields(fields, field, name);
    weft_loader *l = s == WEFT_OK ? weft__object_new(f, WEFT__LOADER, sizeof *l, destroy) : NULL;
    if (s < 0)
        weft__stick(f, s);
    if (!l)
        return NULL;
    l->source = (weft__source){.stream = ops, .self = self, .fields = fields};
    weft__ring_init(&l->ring, &l->plan, &l->source, &weft__stream_ops, &l->stream, INT64_MAX);
    l->ring.device = f->device;
    return finish(l, make(l, 0, field, ops->name ? ops->name : "stream", name, o));
}

static weft_tensor *to_tensor(const weft_loader *l, const weft__slot *s, int k,
                              const weft__rows *rows)
{
    const weft_field *field = &l->source.field[k];
    int64_t shape[WEFT_MAX_RANK] = {rows->local};
    memcpy(shape + 1, s->shape[k], (size_t)field->rank * sizeof *shape);
    weft_tensor *t =
        weft__tensor_of(fabric_of(l), s->data[k], weft__pinned_at(&l->ring.pinned, s->data[k]),
                        field->rank + 1, shape, l->source.cast[k].to);
    if (t)
        weft__set_rows(t, rows);
    return t;
}

bool weft__loader_hand_out(weft_loader *l, const weft__slot *s, const weft__part_of *p,
                           weft_batch *b)
{
    const weft__source *source = &l->source;
    const int64_t *ids = source->stream ? NULL : s->ids;
    const weft__rows rows = {
        .base = p->base, .local = p->local, .global = p->global, .ids = ids, .batch = true};
    *b = (weft_batch){.rows = p->local,
                      .global_rows = p->global,
                      .base = p->base,
                      .epoch = p->epoch,
                      .index = p->index,
                      .sample = ids,
                      .fields = source->fields,
                      .name = source->name};
    bool ok = true;
    for (int k = 0; k < source->fields && ok; k++)
        if (source->field[k].present)
            ok = (b->field[k] = to_tensor(l, s, k, &rows)) != NULL;
    const weft_status read = weft__pinned_read(&l->ring.pinned, fabric_of(l)->stream);
    if (read)
        weft__stick(fabric_of(l), read);
    b->x = b->field[0];
    b->y = b->field[1];
    return ok;
}

static bool map_next(weft_loader *l, weft_batch *b)
{
    weft__slot *slot;
    weft_status s = weft__ring_take(&l->ring, &slot);
    if (s == WEFT_OK && slot && slot->code < 0)
        s = weft__fail(slot->code, "%s", slot->why);
    if (s < 0)
        weft__stick(fabric_of(l), s);
    return s == WEFT_OK && slot && weft__loader_hand_out(l, slot, &slot->part, b);
}

bool weft__loader_next(weft_loader *l, weft_batch *b)
{
    *b = (weft_batch){0};
    if (!l || weft__stuck(fabric_of(l)))
        return false;
    weft__part left = weft__enter(fabric_of(l), WEFT__DATA);
    bool more = l->plan.stream ? weft__stream_next(l, b) : map_next(l, b);
    weft__enter(fabric_of(l), left);
    return more;
}

void weft__loader_pass(weft_loader *l)
{
    weft__slot *unused;
    weft__ring_take(&l->ring, &unused);
}

weft_status weft_rewind(weft_loader *l)
{
    if (!l)
        return WEFT_EARG;
    if (l->plan.stream)
        weft__stream_rewind(l);
    else
        weft__ring_seek(&l->ring, 0);
    return WEFT_OK;
}

void weft__loader_redo(weft_loader *l, int64_t batches)
{
    if (batches && l->plan.stream && l->plan.rank == 0)
        weft__say(WEFT_LOG_WARNING,
                  "%.200s: no step has used the last %lld batches of the stream; a run that "
                  "resumes goes on after them",
                  l->source.label, (long long)batches);
    l->redo = batches;
}
