/* Gradients that a clip by their norm has not multiplied yet, g *= min(1, limit / (norm + 1e-6)): a pass of its own
 * would read and write all of them once more. It is done where they are read next, mostly in the optimizer's. */
#include "device/device.h"
#include "flat/flat.h"

void weft__shrink_later(weft__segment *s, weft_dev norm, double limit)
{
    s->norm = norm;
    s->limit = limit;
}

void weft__shrink_forget(weft__segment *s)
{
    s->norm.addr = 0;
}

/* The part of a segment in [first, end). */
static weft_status shrink(const weft__segment *s, int64_t first, int64_t end)
{
    const weft__flat *flat = s->flat;
    const weft_fabric *f = flat->fabric;
    const int64_t from = s->first > first ? s->first : first;
    const int64_t to = s->first + s->count < end ? s->first + s->count : end;
    weft__range own = {0};
    while (s->norm.addr && from < to && weft__flat_own(flat, from, to - from, &own))
        WEFT_TRY(
            f->device->ops->kernels->shrink(f->stream, weft__flat_at(flat, WEFT__GRAD, own.first),
                                            s->limit, s->norm, own.count, flat->type[WEFT__GRAD]));
    return WEFT_OK;
}

weft_status weft__shrink_range(const weft__flat *flat, int *k, int64_t first, int64_t count)
{
    const int64_t end = first + count;
    const weft__segment *s = flat->segment[*k];
    for (;;) {
        WEFT_TRY(shrink(s, first, end));
        if (s->first + s->count > end || *k + 1 == flat->nsegments ||
            flat->segment[*k + 1]->first >= end)
            return WEFT_OK;
        s = flat->segment[++*k];
    }
}

weft_status weft__shrink_now(weft__segment *s)
{
    if (s->norm.addr && s->grad != WEFT__GRAD_EMPTY)
        WEFT_TRY(shrink(s, s->first, s->first + s->count));
    weft__shrink_forget(s);
    return WEFT_OK;
}
