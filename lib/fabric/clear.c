/* Going on after an error. Where a step failed on some ranks alone, their parameters and moments are not
 * the others' any more, nor is their count of steps: a visitor that broadcasts brings them what a rank has where it did not. */
#include "data/loader.h"
#include "device/device.h"
#include "fabric/facade.h"
#include "optim/optimizer.h"

typedef struct healer {
    weft_visitor visitor;
    weft_fabric *f;
    int from;
} healer;

static weft_status bring(const healer *h, void *p, size_t bytes)
{
    return weft__comm_broadcast(h->f->comm, "clear", p, (int64_t)bytes, h->from);
}

static weft_status bring_slabs(const healer *h, const weft_state_item *item)
{
    for (int i = 0; i < item->nslabs; i++) {
        const weft_slab *s = &item->slabs[i];
        void *p = s->host ? s->host : weft__comm_reach(h->f->comm, h->f->device, s->data);
        if (!p && s->count)
            return WEFT_ENOTSUP;
        WEFT_TRY(bring(h, p, (size_t)s->count * weft_dtype_size(item->dtype)));
    }
    return WEFT_OK;
}

static weft_status visit(weft_visitor *v, const weft_state_item *item)
{
    const healer *h = (const healer *)v;
    if (item->placement == WEFT_SHARDED || item->placement == WEFT_PER_RANK)
        return WEFT_OK; /* no other rank has it */
    if (item->kind == WEFT_STATE_TENSOR)
        return bring_slabs(h, item);
    if (item->kind == WEFT_STATE_TEXT)
        return bring(h, item->text, item->capacity);
    return bring(h, item->values, (size_t)item->count * sizeof(int64_t));
}

/* What a module has that no checkpoint has: the program says what is frozen. */
static weft_status bring_frozen(const healer *h, const weft_module *m)
{
    for (size_t i = 0; i < m->nall; i++) {
        unsigned char frozen = m->all[i]->segment.frozen;
        WEFT_TRY(bring(h, &frozen, sizeof frozen));
        if (!m->all[i]->tied)
            weft__param_freeze(m->all[i], frozen);
    }
    for (int i = 0; i < m->flats; i++) {
        weft__flat_written(m->flat[i]);
        m->flat[i]->changed = 0;
    }
    return WEFT_OK;
}

static weft_status heal(weft_fabric *f, int from)
{
    healer h = {
        .visitor = {.mode = f->rank == from ? WEFT_VISIT_SAVE : WEFT_VISIT_LOAD, .item = visit},
        .f = f,
        .from = from};
    WEFT_TRY(f->device->ops->sync(f->stream));
    WEFT_TRY(bring(&h, &f->step, sizeof f->step));
    if (f->facade->scaler.on)
        WEFT_TRY(weft__scale_state(f, &h.visitor));
    for (weft__object *o = weft__object_first(f, WEFT__MODULE); o; o = weft__object_after(o))
        if (((weft_module *)o)->setup) {
            WEFT_TRY(weft__module_state(o, &h.visitor));
            WEFT_TRY(bring_frozen(&h, (weft_module *)o));
        }
    for (weft__object *o = weft__object_first(f, WEFT__OPTIM); o; o = weft__object_after(o))
        if (((weft_optimizer *)o)->setup)
            WEFT_TRY(weft__optim_state(o, &h.visitor));
    for (weft__object *o = weft__object_first(f, WEFT__LOADER); o; o = weft__object_after(o))
        if (weft__loader_is_setup((weft_loader *)o) && !weft__loader_joins((weft_loader *)o))
            WEFT_TRY(weft__loader_state(o, &h.visitor));
    return WEFT_OK;
}

/* Whose state is good, and whether all ranks' is. */
static weft_status ask(weft_fabric *f, int *good, bool *all)
{
    int32_t v[2] = {f->facade->astray ? f->world : f->rank, !f->facade->astray};
    WEFT_TRY(weft__all_reduce(f->comm, "clear", v, 2, WEFT_I32, WEFT_REDUCE_MIN));
    *good = v[0];
    *all = v[1];
    return WEFT_OK;
}

weft_status weft_clear(weft_fabric *f)
{
    int good = 0;
    bool all = true;
    if (!f)
        return WEFT_EARG;
    if (!weft__opened(f) || f->comm->lost)
        return WEFT_EPEER;
    weft__facade *p = f->facade;
    weft__sticky_clear(&f->error);
    weft__scale_catch_up(f); /* for the counts of steps */
    weft__late_drop(f);
    weft__sticky_clear(&f->error);
    f->noted[0] = '\0';
    p->agreed = WEFT_OK;
    p->window = p->skip = false;
    weft__window_forget(f);
    weft__strategy_forget(p->strategy);
    weft__scale_forget(f);
    weft_status s = ask(f, &good, &all);
    if (s >= 0 && !all && good < f->world)
        s = heal(f, good);
    p->astray = false;
    p->did = 0;
    return s < 0 ? weft__stick(f, s) : WEFT_OK;
}
