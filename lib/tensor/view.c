/* Views: elements in memory with a shape and strides. */
#include "core/shape.h"
#include "device/device.h"
#include "tensor/tensor.h"

weft_status weft__view_pack(weft_view *v)
{
    char text[WEFT__SHAPE_TEXT];
    if (v->rank < 0 || v->rank > WEFT_MAX_RANK)
        return weft__fail(WEFT_ESHAPE, "rank %d; tensors have 0 to %d dimensions", v->rank,
                          WEFT_MAX_RANK);
    int64_t bytes = weft_dtype_size(v->dtype) ? (int64_t)weft_dtype_size(v->dtype) : 1;
    bool fits = true;
    for (int d = 0; d < v->rank; d++) /* of what the strides span: without extents of 0 */
        fits = fits && !__builtin_mul_overflow(bytes, v->shape[d] ? v->shape[d] : 1, &bytes);
    v->numel = fits ? weft__numel(v->rank, v->shape) : -1;
    if (v->numel < 0)
        return weft__fail(WEFT_ESHAPE, "shape %s has a negative extent or too many elements",
                          weft__shape_text(v->rank, v->shape, text));
    weft__strides(v->rank, v->shape, v->stride);
    return WEFT_OK;
}

bool weft__view_is_packed(const weft_view *v)
{
    return weft__is_contiguous(v->rank, v->shape, v->stride);
}

size_t weft__view_bytes(const weft_view *v)
{
    return (size_t)v->numel * weft_dtype_size(v->dtype);
}

weft_status weft__scratch_view(weft_fabric *f, weft_view *v)
{
    WEFT_TRY(weft__view_pack(v));
    return weft__scratch(f, weft__view_bytes(v), &v->data);
}

weft_status weft__view_packed(weft_fabric *f, const weft_view *v, weft_view *out)
{
    weft_view fresh = *v;
    if (weft__view_is_packed(v)) {
        *out = *v;
        return WEFT_OK;
    }
    WEFT_TRY(weft__scratch_view(f, &fresh));
    WEFT_TRY(f->device->ops->kernels->copy(f->stream, fresh.data, fresh.dtype, fresh.stride,
                                           v->data, v->dtype, v->stride, v->rank, v->shape));
    weft__count_copy(f, v);
    *out = fresh;
    return WEFT_OK;
}

bool weft__is_float(weft_dtype t)
{
    return t == WEFT_F32 || t == WEFT_F64 || t == WEFT_F16 || t == WEFT_BF16;
}
