/* Views: elements in memory with a shape and strides. */
#include "core/shape.h"
#include "device/device.h"
#include "tensor/tensor.h"

static weft_status too_large(weft_view *v)
{
    char text[WEFT__SHAPE_TEXT];
    v->numel = -1;
    return weft__fail(WEFT_ESHAPE, "shape %s has a negative extent or too many elements",
                      weft__shape_text(v->rank, v->shape, text));
}

weft_status weft__view_pack(weft_view *v)
{
    const int64_t size = (int64_t)weft__size_of(v->dtype);
    int64_t span = 1, all = 1, bytes; /* span: without extents of 0, as strides are */
    if (v->rank < 0 || v->rank > WEFT_MAX_RANK)
        return weft__fail(WEFT_ESHAPE, "rank %d; tensors have 0 to %d dimensions", v->rank,
                          WEFT_MAX_RANK);
    for (int d = v->rank - 1; d >= 0; d--) {
        const int64_t n = v->shape[d];
        v->stride[d] = span;
        if (n < 0 || __builtin_mul_overflow(span, n ? n : 1, &span))
            return too_large(v);
        all *= n;
    }
    v->numel = all;
    return __builtin_mul_overflow(span, size ? size : 1, &bytes) ? too_large(v) : WEFT_OK;
}

weft_status weft__scratch_view(weft_fabric *f, weft_view *v)
{
    WEFT_TRY(weft__view_pack(v));
    return weft__scratch(f, weft__view_bytes(v), &v->data);
}

weft_status weft__view_copied(weft_fabric *f, const weft_view *v, weft_view *out)
{
    weft_view fresh = *v;
    WEFT_TRY(weft__scratch_view(f, &fresh));
    WEFT_TRY(f->device->ops->kernels->copy(f->stream, fresh.data, fresh.dtype, fresh.stride,
                                           v->data, v->dtype, v->stride, v->rank, v->shape));
    weft__count_copy(f, v);
    *out = fresh;
    return WEFT_OK;
}
