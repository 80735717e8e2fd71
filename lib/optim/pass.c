/* An optimizer's pass over runs of elements, and the copy of the parameters behind it. */
#include "core/alloc.h"
#include "core/rng.h"
#include "device/device.h"
#include "optim/optimizer.h"

#define PART 32768 /* elements of a run that stay in a cache: parameter, gradient, moments, copy */

bool weft__optim_draws(const weft_optimizer *o, const weft__segment *s)
{
    return o->ops->draws && o->ops->draws(o->group[s->group].self);
}

weft_status weft__optim_pass(weft_optimizer *o, weft__flat *flat, const weft__segment *of,
                             int64_t first, const int64_t *run, size_t runs)
{
    weft_fabric *f = flat->fabric;
    const weft__group *g = &o->group[of->group];
    weft_optim_run r = {.p = weft__flat_at(flat, WEFT__PARAM, first),
                        .g = weft__flat_at(flat, WEFT__GRAD, first),
                        .run = run,
                        .runs = (int64_t)runs,
                        .dtype = flat->type[WEFT__PARAM],
                        .scratch = o->scratch,
                        .by = of->by,
                        .unless = o->unless};
    for (size_t i = 0; i < runs; i++)
        r.n += run[2 * i + 1];
    if (o->ops->whole_tensors) {
        r.rank = of->rank;
        r.shape = of->shape;
    }
    if (weft__optim_draws(o, of)) {
        const weft__bucket *b = &flat->bucket[of->bucket];
        r.seed = f->seed;
        r.stream = weft__stream_of(flat->segment[b->begin]->name);
        r.number = first - b->first;
    }
    for (int m = 0; m < o->ops->moments; m++)
        if (o->uses & 1u << m)
            r.moment[m] = weft__flat_at(flat, (weft__plane)(WEFT__MOMENT0 + m), first);
    return o->ops->update(f->stream, f->device->ops->kernels, g->self, &r, o->steps + 1, g->rate);
}

bool weft__optim_copies(const weft__flat *flat)
{
    return flat->plane[WEFT__COMPUTE].addr && !flat->cut;
}

/* Where the device is done when it returns, each part of a run is copied while it is in a cache. */
weft_status weft__optim_range(weft_optimizer *o, weft__flat *flat, const weft__segment *of,
                              int64_t first, int64_t count)
{
    const bool now = weft__optim_copies(flat) && flat->fabric->device->ops->immediate;
    for (int64_t at = 0, n; at < count; at += n) {
        n = !now || o->ops->whole_tensors || count - at < PART ? count - at : PART;
        WEFT_TRY(weft__optim_pass(o, flat, of, first + at, (int64_t[]){0, n}, 1));
        if (now)
            WEFT_TRY(weft__flat_narrow(flat, first + at, n));
    }
    return WEFT_OK;
}

weft_status weft__optim_run(weft_optimizer *o, int64_t first, int64_t count)
{
    WEFT_TRY(weft__grow(&o->run, &o->run_room, 2 * o->runs + 2, sizeof *o->run));
    o->run[2 * o->runs] = first;
    o->run[2 * o->runs++ + 1] = count;
    return WEFT_OK;
}
