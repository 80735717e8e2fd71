/* Data parallel: every rank holds all parameters and sums their gradients over ranks, bucket by
 * bucket, beside the rest of the backward pass where the communicator can do that. */
#include "strategy/strategy.h"

static weft_status reduce(weft_strategy *s, void *self, const weft_bucket *b)
{
    (void)self;
    return weft_strategy_start_all_reduce(s, b->request, b->name, b->data, b->count + b->words,
                                          b->dtype, WEFT_REDUCE_SUM);
}

static weft_status wait(weft_strategy *s, void *self, const weft_bucket *b)
{
    (void)self;
    return weft_strategy_await(s, b->request);
}

const weft_strategy_ops weft__ddp = {
    .size = sizeof weft__ddp, .name = "ddp", .carries = true, .reduce = reduce, .wait = wait};
