/* Convolutions by the products of matrices. */
#include "device/conv.h"
#include "device/cuda/cuda.h"

weft_status weft__cuda_conv(weft_stream *s, weft_dev y, weft_dev x, weft_dev w, weft_dev b,
                            weft_dev room, const weft_conv_terms *t, weft_dtype dt)
{
    return weft__convolve(&weft__cuda_kernels, s, y, x, w, b, room, t, dt);
}

weft_status weft__cuda_conv_back(weft_stream *s, weft_dev gx, weft_dtype xt, weft_dev gw,
                                 weft_dev gy, weft_dev x, weft_dev w, weft_dev room,
                                 const weft_conv_terms *t, weft_dtype dt)
{
    return weft__convolve_back(&weft__cuda_kernels, s, gx, xt, gw, gy, x, w, room, t, dt);
}
