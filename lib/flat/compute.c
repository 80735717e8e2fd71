/* The compute plane: a copy of the parameters in the type that matrix products take. It is made anew
 * before its next use where the parameters were written by others than the optimizer's pass, which keeps
 * it up to date itself. */
#include "device/device.h"
#include "flat/flat.h"

weft_status weft__flat_compute(weft__flat *flat, weft_dtype low)
{
    flat->type[WEFT__COMPUTE] = low;
    flat->version++;
    return weft__flat_plane(flat, WEFT__COMPUTE);
}

void weft__flat_written(weft__flat *flat)
{
    flat->version++;
}

weft_status weft__flat_narrow(const weft__flat *flat, int64_t first, int64_t count)
{
    const weft_fabric *f = flat->fabric;
    const int64_t one = 1;
    if (!flat->plane[WEFT__COMPUTE].addr)
        return WEFT_OK;
    return f->device->ops->kernels->copy(
        f->stream, weft__flat_at(flat, WEFT__COMPUTE, first), flat->type[WEFT__COMPUTE], &one,
        weft__flat_at(flat, WEFT__PARAM, first), flat->type[WEFT__PARAM], &one, 1, &count);
}

weft_status weft__flat_refresh(weft__flat *flat)
{
    if (!flat->plane[WEFT__COMPUTE].addr ||
        (flat->copied == flat->version && flat->copied_changes == flat->changed))
        return WEFT_OK;
    WEFT_TRY(weft__flat_narrow(flat, 0, flat->elements));
    flat->copied = flat->version;
    flat->copied_changes = flat->changed;
    return WEFT_OK;
}
