/* Gradients that a clip by their norm has not multiplied yet: a pass of its own would read and write all of them once
 * more. It is done where they are read next, mostly in the optimizer's. */
#include "device/device.h"
#include "flat/flat.h"

weft_status weft__shrink_later(weft__segment *s, weft_dev by)
{
    s->by = by;
    return s->flat->seen ? weft__shrink_now(s) : WEFT_OK; /* by who may look at any time */
}

void weft__shrink_forget(weft__segment *s)
{
    s->by.addr = 0;
}

weft_status weft__shrink(weft__segment *s)
{
    const weft__flat *flat = s->flat;
    const weft_fabric *f = flat->fabric;
    weft__range own = {0};
    while (s->grad != WEFT__GRAD_EMPTY && weft__flat_own(flat, s->first, s->count, &own))
        WEFT_TRY(f->device->ops->kernels->shrink(f->stream,
                                                 weft__flat_at(flat, WEFT__GRAD, own.first), s->by,
                                                 own.count, flat->type[WEFT__GRAD]));
    weft__shrink_forget(s);
    return WEFT_OK;
}
