/* The parameters of an optimizer that searches, as one vector: the range of their space from the first
 * to the last of them. What lies between and is not the optimizer's has gradient 0. */
#include "core/alloc.h"
#include "device/device.h"
#include "optim/optimizer.h"

#include <string.h>

static int64_t bytes_of(const weft_optim_vector *x, int64_t elements)
{
    return elements * (int64_t)weft_dtype_size(x->dtype);
}

weft_status weft__vector_gradient(const weft_optimizer *o, weft_dev g)
{
    const weft_optim_vector *x = &o->vector;
    const weft__flat *flat = weft__optim_flat(o);
    WEFT_TRY(x->device->ops->zero(x->stream, g, (size_t)bytes_of(x, x->n)));
    for (int i = 0; flat && i < flat->nsegments; i++) {
        weft__segment *s = flat->segment[i];
        if (!weft__optim_owns(o, s))
            continue;
        if (s->frozen)
            return weft__fail(WEFT_ENOTSUP,
                              "%s: parameter %s was frozen after weft_setup, but is part of the "
                              "search's history; freeze it before",
                              o->ops->name, s->name);
        WEFT_TRY(weft__shrink_now(s));
        WEFT_TRY(x->device->ops->move(
            x->stream, weft__at(g, bytes_of(x, s->first - o->vector_first)),
            weft__flat_at(flat, WEFT__GRAD, s->first), (size_t)bytes_of(x, s->count)));
    }
    return WEFT_OK;
}

/* One slab a parameter and row, in the order of registration: `slab` keeps its room, so that a load
 * does not fail after a check. */
static weft_status slabs(weft_optimizer *o, weft_dev at, int64_t rows, int *count, int64_t *numel)
{
    const weft_optim_vector *x = &o->vector;
    const weft_module *root = weft__module_root(o->module);
    int64_t first = 0;
    int n = 0;
    WEFT_TRY(weft__grow(&o->slab, &o->slab_room, (size_t)rows * root->nall + 1, sizeof *o->slab));
    for (int64_t r = 0; r < rows; r++)
        for (size_t i = 0; i < root->nall; i++) {
            const weft__segment *s = &root->all[i]->segment;
            if (!weft__optim_owns(o, s))
                continue;
            o->slab[n++] = (weft_slab){
                .first = first,
                .count = s->count,
                .data = weft__at(at, bytes_of(x, r * x->n + s->first - o->vector_first))};
            first += s->count;
        }
    *count = n;
    *numel = rows ? first / rows : 0;
    return WEFT_OK;
}

static weft_status state(const weft_optim_vector *x, weft_visitor *v, const char *name, weft_dev at,
                         int64_t rows)
{
    weft_optimizer *o = x->self;
    weft_state_item item = {.name = name,
                            .kind = WEFT_STATE_TENSOR,
                            .placement = WEFT_REPLICATED,
                            .dtype = x->dtype,
                            .rank = 2,
                            .shape = {rows}};
    WEFT_TRY(slabs(o, at, rows, &item.nslabs, &item.shape[1]));
    item.slabs = o->slab;
    return v->item(v, &item);
}

weft_status weft__vector_open(weft_optimizer *o)
{
    weft_fabric *f = o->object.fabric;
    const weft__flat *flat = weft__optim_flat(o);
    int64_t first = 0, end = 0;
    for (int i = 0; flat && i < flat->nsegments; i++) {
        const weft__segment *s = flat->segment[i];
        if (!weft__optim_owns(o, s))
            continue;
        first = end ? first : s->first;
        end = s->first + s->count;
    }
    weft__vector_close(o);
    if (weft_dtype_size(f->dtype) < 4)
        return weft__fail(
            WEFT_ENOTSUP,
            "weft_setup: %s searches along its parameters, for which 16 bits have not "
            "the digits; use precision bf16-mixed",
            o->ops->name);
    o->vector_first = first;
    o->vector =
        (weft_optim_vector){.device = f->device,
                            .stream = f->stream,
                            .k = f->device->ops->kernels,
                            .p = flat ? weft__flat_at(flat, WEFT__PARAM, first) : (weft_dev){0},
                            .n = end - first,
                            .dtype = f->dtype,
                            .state = state,
                            .self = o};
    return o->ops->open ? o->ops->open(o->group[0].self, &o->vector) : WEFT_OK;
}

void weft__vector_close(weft_optimizer *o)
{
    if (o->vector.self && o->ops->close)
        o->ops->close(o->group[0].self, &o->vector);
    o->vector.self = NULL;
    weft__free(o->slab);
    o->slab = NULL;
    o->slab_room = 0;
}
