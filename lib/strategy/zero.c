/* ZeRO: every rank has all parameters, and updates its piece of each bucket. Gradients are summed into
 * the pieces, and after the step the pieces of the parameters come together. Stage 1 keeps moments
 * for the pieces alone, stage 2 gradients too. */
#include "strategy/strategy.h"

#include "device/device.h"

static weft_dev part(weft_dev first, int64_t elements, weft_dtype t)
{
    return weft__at(first, elements * (int64_t)weft_dtype_size(t));
}

static weft_status cut(weft_strategy *s, void *self, weft_space *space)
{
    (void)s, (void)self;
    return weft_space_cut(space);
}

static weft_status shard(weft_strategy *s, void *self, weft_space *space)
{
    (void)s, (void)self;
    WEFT_TRY(weft_space_cut(space));
    return weft_space_shard(space, WEFT_PLANE_GRAD);
}

static weft_status reduce(weft_strategy *s, void *self, const weft_bucket *b)
{
    (void)self;
    return weft_strategy_start_reduce_scatter(
        s, b->request, b->name, part(b->data, b->own, b->dtype), b->data, b->counts, b->dtype);
}

static weft_status wait(weft_strategy *s, void *self, const weft_bucket *b)
{
    (void)self;
    return weft_strategy_await(s, b->request);
}

static weft_status stepped(weft_strategy *s, void *self, weft_space *space)
{
    const weft_dtype t = weft_space_dtype(space, WEFT_PLANE_PARAM);
    (void)self;
    for (int i = 0; i < weft_space_buckets(space); i++) {
        const weft_bucket b = weft_space_bucket(space, i);
        const weft_dev p = weft_space_at(space, WEFT_PLANE_PARAM, b.first);
        if (b.updated)
            WEFT_TRY(weft_strategy_all_gather(s, "parameters", p, b.counts, part(p, b.own, t), t));
    }
    return WEFT_OK;
}

const weft_strategy_ops weft__zero1 = {.size = sizeof weft__zero1,
                                       .name = "zero1",
                                       .setup = cut,
                                       .reduce = reduce,
                                       .wait = wait,
                                       .stepped = stepped};
const weft_strategy_ops weft__zero2 = {.size = sizeof weft__zero2,
                                       .name = "zero2",
                                       .setup = shard,
                                       .reduce = reduce,
                                       .wait = wait,
                                       .stepped = stepped};
