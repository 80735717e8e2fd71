/* The loader: a data set, a plan of batches over it, and the ring that reads them. */
#include "data/loader.h"

#include "core/alloc.h"
#include "core/log.h"
#include "core/shape.h"
#include "data/make.h"
#include "data/ring.h"
#include "tensor/tensor.h"

#include <string.h>

struct weft_loader {
    weft__object object;
    weft__plan plan;
    weft__source source;
    weft__ring ring;
    char *names;
    bool setup, made;
    int64_t redo; /* the last batches, which no step has used */
};

static weft_fabric *fabric_of(const weft_loader *l)
{
    return l->object.fabric;
}

static void destroy(weft__object *self)
{
    weft_loader *l = (weft_loader *)self;
    const weft__source *s = &l->source;
    weft__ring_close(&l->ring);
    if (l->made && s->ops->destroy)
        s->ops->destroy(s->self);
    weft__free(l->source.label);
    weft__free(l->names);
}

static weft_status check_field(const weft_loader *l, int k, const weft_field *field)
{
    int64_t width, bytes;
    if (field->rank < 0 || field->rank >= WEFT_MAX_RANK)
        return weft__fail(WEFT_ESHAPE,
                          "loader: rows of field %s have %d dimensions; 0 to %d can be",
                          l->source.name[k], field->rank, WEFT_MAX_RANK - 1);
    width = weft__numel(field->rank, field->shape);
    if (width < 0 || __builtin_mul_overflow(width, (int64_t)sizeof(double), &bytes) ||
        __builtin_mul_overflow(bytes, weft__plan_most(&l->plan) + 1, &bytes))
        return weft__fail(WEFT_ESHAPE, "loader: a batch of field %s does not fit in memory",
                          l->source.name[k]);
    return WEFT_OK;
}

static weft_status fill_source(weft_loader *l, const weft_field field[WEFT_FIELDS],
                               const weft_loader_options *o)
{
    weft__source *s = &l->source;
    weft_dtype real = fabric_of(l)->dtype == WEFT_F64 ? WEFT_F64 : WEFT_F32;
    if (!field[0].present)
        return weft__fail(WEFT_EARG, "loader: a data set without field x");
    for (int k = 0; k < WEFT_FIELDS; k++) {
        if (!field[k].present)
            continue;
        WEFT_TRY(check_field(l, k, &field[k]));
        WEFT_TRY(weft__cast_make(&s->cast[k], field[k].dtype, real, o && k == 0 ? o->scale : 0,
                                 o && k == 0 ? o->shift : 0));
        s->field[k] = field[k];
        s->width[k] = weft__numel(field[k].rank, field[k].shape);
    }
    return WEFT_OK;
}

static weft_status copy_texts(weft_loader *l, const char *label, const char *const *name)
{
    size_t x = strlen(name[0]) + 1, y = strlen(name[1]) + 1;
    l->source.label = weft__strdup(label);
    l->names = weft__new(x + y, 1);
    if (!l->source.label || !l->names)
        return WEFT_ENOMEM;
    l->source.name[0] = memcpy(l->names, name[0], x);
    l->source.name[1] = memcpy(l->names + x, name[1], y);
    return WEFT_OK;
}

weft_loader *weft__loader_make(weft_fabric *f, const weft_dataset_ops *ops, void *self,
                               int64_t rows, const weft_field field[WEFT_FIELDS], const char *label,
                               const char *const name[WEFT_FIELDS], const weft_loader_options *o)
{
    weft_loader *l = weft__object_new(f, WEFT__LOADER, sizeof *l, destroy);
    if (!l)
        return NULL;
    l->source.ops = ops;
    l->source.self = self;
    weft__ring_init(&l->ring, &l->plan, &l->source);
    weft_status s = weft__plan_make(&l->plan, f, rows, o);
    if (s == WEFT_OK)
        s = copy_texts(l, label, name);
    if (s == WEFT_OK)
        s = fill_source(l, field, o);
    if (s < 0) {
        weft__stick(f, s);
        weft__object_free(&l->object);
        return NULL;
    }
    l->made = true;
    return l;
}

weft_loader *weft_loader_new(weft_fabric *f, const weft_dataset_ops *ops, void *self, int64_t rows,
                             const weft_field field[WEFT_FIELDS], const weft_loader_options *o)
{
    static const char *const name[WEFT_FIELDS] = {"x", "y"};
    if (!f)
        return NULL;
    if (!ops || ops->size < sizeof *ops || !ops->read || !field || rows < 0) {
        weft__stick(f, weft__fail(WEFT_EARG, "loader: a data set needs an ops table of full size "
                                             "with read, its fields, and rows >= 0"));
        return NULL;
    }
    return weft__loader_make(f, ops, self, rows, field, ops->name ? ops->name : "data set", name,
                             o);
}

static weft_tensor *to_tensor(weft_loader *l, const weft__slot *s, int k, const weft__rows *rows)
{
    const weft_field *field = &l->source.field[k];
    int64_t shape[WEFT_MAX_RANK] = {s->part.local};
    memcpy(shape + 1, field->shape, (size_t)field->rank * sizeof *shape);
    weft_tensor *t =
        weft_tensor_of(fabric_of(l), s->data[k], field->rank + 1, shape, l->source.cast[k].to);
    if (t)
        weft__set_rows(t, rows);
    return t;
}

static bool hand_out(weft_loader *l, const weft__slot *s, weft_batch *b)
{
    const weft__part_of *p = &s->part;
    const weft__rows rows = {
        .base = p->base, .local = p->local, .global = p->global, .ids = s->ids, .batch = true};
    *b = (weft_batch){.rows = p->local,
                      .global_rows = p->global,
                      .base = p->base,
                      .epoch = p->epoch,
                      .index = p->index,
                      .sample = s->ids};
    b->x = to_tensor(l, s, 0, &rows);
    if (b->x && l->source.field[1].present)
        b->y = to_tensor(l, s, 1, &rows);
    return b->x && (b->y || !l->source.field[1].present);
}

bool weft__loader_next(weft_loader *l, weft_batch *b)
{
    weft__slot *slot;
    *b = (weft_batch){0};
    if (!l || weft__stuck(fabric_of(l)))
        return false;
    weft__part left = weft__enter(fabric_of(l), WEFT__DATA);
    weft_status s = weft__ring_take(&l->ring, &slot);
    bool more = s == WEFT_OK && slot;
    if (more && slot->code < 0)
        s = weft__fail(slot->code, "%s", slot->why);
    if (s < 0)
        weft__stick(fabric_of(l), s);
    more = more && s == WEFT_OK && hand_out(l, slot, b);
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
    weft__ring_seek(&l->ring, 0);
    return WEFT_OK;
}

/* The values read, checked against the plan: the batch to go on with, or a negative code. The
 * cursor counts rows, so that another batch size can go on where this one stopped. */
static int64_t resume_at(const weft_loader *l, int64_t epoch, int64_t cursor, int64_t rows,
                         int64_t batch)
{
    const weft__plan *p = &l->plan;
    int64_t n;
    if (rows != p->rows)
        return weft__fail(
            WEFT_ECONFIG,
            "%.200s: the checkpoint was made with %lld rows of data, this data set has "
            "%lld; resume on the same data",
            l->source.label, (long long)rows, (long long)p->rows);
    if (epoch < 0 || cursor < 0 || __builtin_mul_overflow(epoch, p->batches, &n) ||
        __builtin_add_overflow(n, cursor / p->batch, &n))
        return weft__fail(WEFT_EFORMAT, "%.200s: the checkpoint says epoch %lld, row %lld",
                          l->source.label, (long long)epoch, (long long)cursor);
    if (cursor % p->batch)
        return weft__fail(
            WEFT_ECONFIG,
            "%.200s: the checkpoint stopped at row %lld of an epoch in batches of %lld; "
            "batches of %lld do not begin there: resume with a global batch that "
            "divides the row, or from the end of an epoch",
            l->source.label, (long long)cursor, (long long)batch, (long long)p->batch);
    return n;
}

weft_status weft__loader_state(void *loader, weft_visitor *v)
{
    weft_loader *l = loader;
    weft__plan *p = &l->plan;
    int64_t per = p->batches ? p->batches : 1, n = l->ring.taken - l->redo;
    int64_t value[] = {(int64_t)p->seed, n / per, n % per * p->batch, p->rows, p->batch};
    static const char *const name[] = {"seed", "epoch", "cursor", "rows", "global_batch"};
    for (int i = 0; i < 5; i++) {
        const weft_state_item item = {.name = name[i],
                                      .kind = WEFT_STATE_I64,
                                      .placement = WEFT_ROOT,
                                      .dtype = WEFT_I64,
                                      .values = &value[i],
                                      .count = 1,
                                      .scratch = true};
        WEFT_TRY(v->item(v, &item));
    }
    if (v->mode == WEFT_VISIT_SAVE)
        return WEFT_OK;
    n = resume_at(l, value[1], value[2], value[3], value[4]);
    if (n < 0)
        return (weft_status)n;
    if (v->mode == WEFT_VISIT_LOAD) {
        weft__ring_seek(&l->ring, n); /* ends the worker, which reads the seed */
        p->seed = (uint64_t)value[0];
        if (value[4] != p->batch && p->rank == 0)
            weft__say(WEFT_LOG_INFO, "%.200s: goes on with a global batch of %lld, it was %lld",
                      l->source.label, (long long)p->batch, (long long)value[4]);
    }
    return WEFT_OK;
}

void weft__loader_redo(weft_loader *l, int64_t batches)
{
    l->redo = batches;
}

weft_status weft__loader_setup(weft_loader *l)
{
    if (l->setup)
        return weft__fail(WEFT_ESTATE, "%.200s: the loader has been set up already",
                          l->source.label);
    l->setup = true;
    return WEFT_OK;
}

bool weft__loader_is_setup(const weft_loader *l)
{
    return l->setup;
}

bool weft__loader_is_evaluation(const weft_loader *l)
{
    return l->plan.evaluation;
}

int64_t weft__loader_global_batch(const weft_loader *l)
{
    return l->plan.batch;
}

weft_fabric *weft__loader_fabric(const weft_loader *l)
{
    return fabric_of(l);
}

int64_t weft_loader_rows(const weft_loader *l)
{
    return l ? l->plan.rows : 0;
}

int64_t weft_loader_batches(const weft_loader *l)
{
    return l ? l->plan.batches : 0;
}

int64_t weft_loader_epochs(const weft_loader *l)
{
    return l ? l->plan.epochs : 0;
}

int64_t weft_loader_position(const weft_loader *l)
{
    return l ? l->ring.taken : 0;
}
