/* y = act(x w^T + b) and its gradients in steps. In 16 bits the product is added to the bias in
 * f32, so that the sum is rounded once. */
#include "device/linear.h"

#include "core/error.h"

/* Rows of b. */
static weft_status bias_first(const weft_kernels *k, weft_stream *s, weft_dev y, weft_dev b,
                              int64_t rows, int64_t o, weft_dtype dt)
{
    const int64_t to[2] = {o, 1}, from[2] = {0, 1}, shape[2] = {rows, o};
    return k->copy(s, y, dt, to, b, dt, from, 2, shape);
}

weft_status weft__linear(const weft_kernels *k, weft_stream *s, weft_dev y, weft_dev pre,
                         weft_dev x, weft_dev w, weft_dev b, int act, int64_t rows, int64_t c,
                         int64_t o, weft_dtype dt)
{
    static const double none[2];
    const bool first = b.addr && weft_dtype_size(dt) == 2;
    const weft_dev z = act == WEFT_ACT_GELU_TANH && pre.addr ? pre : y,
                   later = {first ? 0 : b.addr};
    if (first)
        WEFT_TRY(bias_first(k, s, z, b, rows, o, dt));
    WEFT_TRY(k->gemm(s, z, dt, o, 1.0, x, c, 0, w, c, 1, first ? 1.0 : 0.0, rows, o, c, dt));
    if (later.addr || act == WEFT_ACT_RELU)
        WEFT_TRY(k->bias(s, z, later, act == WEFT_ACT_RELU, rows, o, dt));
    return act == WEFT_ACT_GELU_TANH ? k->unary(s, WEFT_GELU_TANH, y, z, none, rows * o, dt)
                                     : WEFT_OK;
}

weft_status weft__linear_back(const weft_kernels *k, weft_stream *s, weft_dev gw, weft_dev gb,
                              weft_dtype gt, weft_dev gy, weft_dev x, int64_t rows, int64_t c,
                              int64_t o, weft_dtype dt)
{
    const int64_t to[2] = {0, 1}, from[2] = {o, 1}, shape[2] = {rows, o};
    if (gb.addr)
        WEFT_TRY(k->sum(s, gb, gt, to, 1.0, gy, from, 2, shape, dt));
    return gw.addr ? k->gemm(s, gw, gt, c, 1.0, gy, o, 1, x, c, 0, 0.0, o, c, rows, dt) : WEFT_OK;
}

weft_status weft__linear_gelu_back(const weft_kernels *k, weft_stream *s, weft_dev g, weft_dev gy,
                                   weft_dev w, weft_dev pre, int64_t rows, int64_t c, int64_t o,
                                   weft_dtype dt)
{
    static const double none[2];
    const weft_dev y = {0};
    WEFT_TRY(k->gemm(s, g, dt, c, 1.0, gy, o, 0, w, c, 0, 0.0, rows, c, o, dt));
    return k->unary_back(s, WEFT_GELU_TANH, g, g, pre, y, none, rows * c, dt);
}
