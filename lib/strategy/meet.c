/* What ops of all ranks exchange in the middle of a step, as the statistics of a batch: in one piece of
 * memory that is there from setup on, so that a rank which has run out of it can still take part. */
#include "strategy/strategy.h"

#include "core/alloc.h"
#include "device/device.h"

static size_t bytes(const weft__strategy *s, int64_t n)
{
    return (size_t)n * (size_t)s->fabric->world * sizeof(double);
}

static weft_dev room(void *self)
{
    const weft__strategy *s = self;
    return s->shared;
}

static weft_status gather(void *self, int64_t n)
{
    weft__strategy *s = self;
    const weft_dev own = weft__at(s->shared, s->fabric->rank * n * (int64_t)sizeof(double));
    for (int r = 0; r < s->fabric->world; r++)
        s->counts[r] = n;
    return weft_strategy_all_gather(s, "statistics of a batch", s->shared, s->counts, own,
                                    WEFT_F64);
}

static weft_status sum(void *self, int64_t n)
{
    return weft_strategy_all_reduce(self, "gradients of statistics", room(self), n, WEFT_F64,
                                    WEFT_REDUCE_SUM);
}

void weft__strategy_part(weft__strategy *s)
{
    weft_strategy_release(s, s->shared, bytes(s, s->meets));
    weft__free(s->counts);
    s->shared.addr = 0;
    s->counts = NULL;
    s->meets = 0;
}

static weft_status make(weft__strategy *s)
{
    weft__strategy_part(s);
    if (!(s->counts = weft__new((size_t)s->fabric->world, sizeof *s->counts)))
        return WEFT_ENOMEM;
    return WEFT_OK;
}

weft_status weft__strategy_meet(weft__strategy *s, int64_t n)
{
    weft_fabric *f = s->fabric;
    if (n == 0 || weft__strategy_summed(s) == 1 || (n <= s->meets && s->shared.addr))
        return WEFT_OK;
    WEFT_TRY(weft__agree(f->comm, "room for statistics", make(s), ""));
    s->meets = n;
    const weft_status code = weft_strategy_alloc(s, bytes(s, n), &s->shared);
    WEFT_TRY(weft__agree(f->comm, "memory of statistics", code, ""));
    f->tape->hooks.room = room;
    f->tape->hooks.gather = gather;
    f->tape->hooks.sum = sum;
    return WEFT_OK;
}
