/* Reproducible mode: a step is cut into the same micro-batches on any number of ranks, the leaves of
 * a binary tree in whose order all sums over the batch are taken. A rank has a whole subtree of them,
 * one after the other: their sums are folded like the digits of a binary counter, and those of ranks
 * are added by weft__all_reduce_tree. What a leaf computes depends on its shape alone. */
#include "core/alloc.h"
#include "device/device.h"
#include "fabric/facade.h"

static bool power_of_two(int n)
{
    return n > 0 && (n & (n - 1)) == 0;
}

static weft_status fits(const weft_fabric *f, int leaves)
{
    const weft_strategy_ops *ops = f->facade->strategy->ops;
    if (!power_of_two(leaves))
        return weft__fail(WEFT_EARG, "weft_open: reproducible is %d; it must be a power of two",
                          leaves);
    if (!power_of_two(f->world) || f->world > leaves)
        return weft__fail(WEFT_ECONFIG,
                          "weft_open: reproducible=%d with %d ranks; their number must be a power "
                          "of two, at most %d",
                          leaves, f->world, leaves);
    if (ops != &weft__single && ops != &weft__ddp)
        return weft__fail(WEFT_ENOTSUP,
                          "weft_open: strategy %s sums in an order of its own; reproducible=%d "
                          "takes single or ddp",
                          ops->name, leaves);
    return WEFT_OK;
}

weft_status weft__leaves_open(weft_fabric *f)
{
    const int leaves = f->facade->settings.o.reproducible;
    if (leaves == 0)
        return WEFT_OK;
    WEFT_TRY(fits(f, leaves));
    f->leaves = leaves;
    f->own_leaves = leaves / f->world;
    f->facade->micro.size = f->own_leaves;
    return WEFT_OK;
}

weft_status weft__leaves_setup(weft_fabric *f, weft__flat *flat)
{
    int levels = 0;
    if (!f->leaves || !flat->trainable)
        return WEFT_OK;
    while (1 << levels < f->own_leaves)
        levels++;
    WEFT_TRY(weft__flat_levels(flat, levels));
    return weft__tree_reserve(f->comm, flat->elements + WEFT__VERDICT);
}

/* What an earlier step left would be a part of one rank's sum alone. */
static weft_status is_new(weft__segment *s)
{
    if (s->grad == WEFT__GRAD_EMPTY || !s->optimizer) {
        s->grad = WEFT__GRAD_EMPTY;
        return WEFT_OK;
    }
    return weft__fail(WEFT_ESTATE,
                      "weft_backward: parameter %s has a gradient of an earlier step; with "
                      "reproducible=%d call weft_zero_grad in every step",
                      s->name, s->flat->fabric->leaves);
}

weft_status weft__leaves_begin(weft_fabric *f)
{
    const weft__strategy *s = f->facade->strategy;
    for (size_t i = 0; i < s->flats && f->leaves; i++) {
        s->flat[i]->hold = true;
        for (int k = 0; k < s->flat[i]->nsegments && !f->facade->micro.taken; k++)
            WEFT_TRY(is_new(s->flat[i]->segment[k]));
    }
    return WEFT_OK;
}

/* The gradient of leaf k joins those before it. */
static weft_status fold(weft_fabric *f, weft__flat *flat, int64_t k, bool last)
{
    const weft_device_ops *d = f->device->ops;
    const weft_dev g = flat->plane[WEFT__GRAD];
    int level = 0;
    for (int b = 0; b < flat->nbuckets; b++)
        WEFT_TRY(weft__fill_empty(flat, &flat->bucket[b], false));
    for (; k >> level & 1; level++)
        WEFT_TRY(d->kernels->axpy(f->stream, g, 1, flat->level[level], flat->elements,
                                  flat->type[WEFT__GRAD]));
    if (!last)
        WEFT_TRY(d->move(f->stream, flat->level[level], g, weft__flat_bytes(flat, WEFT__GRAD)));
    for (int i = 0; i < flat->nsegments; i++)
        flat->segment[i]->grad = last ? WEFT__GRAD_LOCAL : WEFT__GRAD_EMPTY;
    return WEFT_OK;
}

weft_status weft__leaves_end(weft_fabric *f)
{
    const weft__strategy *s = f->facade->strategy;
    const bool last = !weft__window_holds(f);
    weft_status code = weft__stuck(f);
    for (size_t i = 0; i < s->flats && f->leaves; i++) {
        code = code ? code : fold(f, s->flat[i], f->facade->micro.taken, last);
        s->flat[i]->hold = !last;
    }
    return code;
}

double weft__leaves_fold(double *level, int64_t k, double value)
{
    int i = 0;
    for (; k >> i & 1; i++)
        value = level[i] + value;
    return level[i] = value;
}
