/* Linear layers: a product, which in f32 and bf16 ends with bias and relu, and a pass over its result. */
#include "device/cpu/brain.h"
#include "device/cpu/cpu.h"
#include "device/cpu/wide.h"
#include "device/linear.h"

weft_status weft__cpu_linear(weft_stream *s, weft_dev y, weft_dev pre, weft_dev x, weft_dev w,
                             weft_dev b, int act, int64_t rows, int64_t c, int64_t o, weft_dtype dt)
{
    static const double none[2];
    const bool gelu = act == WEFT_ACT_GELU_TANH;
    const weft_dev z = gelu && pre.addr ? pre : y;
    const bool relu = act == WEFT_ACT_RELU, some = rows > 0 && o > 0;
    if (some && ((dt == WEFT_BF16 &&
                  weft__cpu_brain_linear(s, weft__brain_best(), z, x, w, b, relu, rows, c, o)) ||
                 (dt == WEFT_F32 && weft__cpu_wide_linear(s, z, x, w, b, relu, rows, c, o, dt))))
        return gelu ? weft__cpu_unary(s, WEFT_GELU_TANH, y, z, none, rows * o, dt) : WEFT_OK;
    return weft__linear(weft__cpu.kernels, s, y, pre, x, w, b, act, rows, c, o, dt);
}

weft_status weft__cpu_linear_back(weft_stream *s, weft_dev gw, weft_dev gb, weft_dtype gt,
                                  weft_dev gy, weft_dev x, int64_t rows, int64_t c, int64_t o,
                                  weft_dtype dt)
{
    return weft__linear_back(weft__cpu.kernels, s, gw, gb, gt, gy, x, rows, c, o, dt);
}

weft_status weft__cpu_linear_gelu_back(weft_stream *s, weft_dev g, weft_dev gy, weft_dev w,
                                       weft_dev pre, int64_t rows, int64_t c, int64_t o,
                                       weft_dtype dt)
{
    return weft__linear_gelu_back(weft__cpu.kernels, s, g, gy, w, pre, rows, c, o, dt);
}
