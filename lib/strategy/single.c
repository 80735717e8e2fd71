/* One rank: gradients are sums already. */
#include "strategy/strategy.h"

static weft_status setup(weft__strategy *s, weft__flat *flat)
{
    (void)s;
    return flat->trainable ? weft__grad_plane(flat, false) : WEFT_OK;
}

static weft_status begin(weft__strategy *s)
{
    (void)s;
    return WEFT_OK;
}

static weft_status end(weft__strategy *s, weft_status mine, bool *failed)
{
    *failed = mine < 0;
    for (size_t i = 0; i < s->flats && !*failed; i++)
        for (int b = 0; b < s->flat[i]->nbuckets && !s->flat[i]->hold; b++)
            WEFT_TRY(weft__fill_empty(s->flat[i], &s->flat[i]->bucket[b]));
    for (size_t i = 0; i < s->flats; i++)
        for (int k = 0; k < s->flat[i]->nsegments && !s->flat[i]->hold; k++)
            s->flat[i]->segment[k]->grad = WEFT__GRAD_LOCAL;
    return WEFT_OK;
}

const weft__strategy_ops weft__single = {.size = sizeof(weft__strategy_ops),
                                         .name = "single",
                                         .setup = setup,
                                         .begin = begin,
                                         .end = end};
