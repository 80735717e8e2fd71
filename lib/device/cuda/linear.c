/* Linear layers as one product with an epilogue: bias and activation, or the gradient of one, where C leaves
 * the registers, and the bias's gradient where the weight's reads gy. Without an epilogue for f64, for the
 * GELU of f32, which cuBLASLt rounds more than we do, for what cuBLASLt has no algorithm for, and, for the
 * bias's gradient, where sums must be a function of shapes alone. */
#include "device/cuda/gemm.h"
#include "device/linear.h"

#include "core/error.h"

#define AUX_ELEMENTS 8 /* what the rows of pre are a multiple of */
#define AUX_BYTES 16

/* Whether an epilogue can keep rows of c numbers at pre, or read them there. */
static bool fits(weft_dev pre, int64_t c, weft_dtype dt)
{
    return weft_dtype_size(dt) == 2 && pre.addr && pre.addr % AUX_BYTES == 0 &&
           c % AUX_ELEMENTS == 0;
}

/* Of CUBLASLT_EPILOGUE, 0: none. Where pre is to be written the activation may be left to a kernel. */
static int epilogue_of(weft_dev b, weft_dev pre, int act, int64_t o, weft_dtype dt)
{
    const bool aux = fits(pre, o, dt);
    if (act == WEFT_ACT_RELU)
        return b.addr ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
    if (act == WEFT_ACT_GELU_TANH && weft_dtype_size(dt) == 2 && (aux || !pre.addr))
        return (b.addr ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU) |
               (aux ? CUBLASLT_EPILOGUE_GELU_AUX : 0);
    return b.addr ? CUBLASLT_EPILOGUE_BIAS : 0;
}

weft_status weft__cuda_linear(weft_stream *s, weft_dev y, weft_dev pre, weft_dev x, weft_dev w,
                              weft_dev b, int act, int64_t rows, int64_t c, int64_t o,
                              weft_dtype dt)
{
    static const double none[2];
    const int epilogue = epilogue_of(b, pre, act, o, dt);
    const bool late = act == WEFT_ACT_GELU_TANH && epilogue == CUBLASLT_EPILOGUE_BIAS,
               aux = (epilogue & CUBLASLT_EPILOGUE_GELU_AUX) == CUBLASLT_EPILOGUE_GELU_AUX;
    const weft_dev z = late && pre.addr ? pre : y;
    weft__product q = {.m = rows,
                       .n = o,
                       .k = c,
                       .lda = c,
                       .ldb = c,
                       .ldc = o,
                       .count = 1,
                       .tb = 1,
                       .dt = (int32_t)dt,
                       .ct = (int32_t)dt,
                       .epilogue = epilogue};
    const weft__operands with = {
        .c = z, .a = x, .b = w, .alpha = 1, .bias = b, .aux = {aux ? pre.addr : 0}};
    bool lacks = !epilogue || dt == WEFT_F64 || !rows || !c || !o;
    if (!lacks)
        WEFT_TRY(weft__gemm_product(s, &q, &with, &lacks));
    if (lacks)
        return weft__linear(&weft__cuda_kernels, s, y, pre, x, w, b, act, rows, c, o, dt);
    return late ? weft__cuda_unary(s, WEFT_GELU_TANH, y, z, none, rows * o, dt) : WEFT_OK;
}

weft_status weft__cuda_linear_back(weft_stream *s, weft_dev gw, weft_dev gb, weft_dtype gt,
                                   weft_dev gy, weft_dev x, int64_t rows, int64_t c, int64_t o,
                                   weft_dtype dt)
{
    weft__product q = {.m = o,
                       .n = c,
                       .k = rows,
                       .lda = o,
                       .ldb = c,
                       .ldc = c,
                       .count = 1,
                       .ta = 1,
                       .dt = (int32_t)dt,
                       .ct = (int32_t)gt,
                       .epilogue = CUBLASLT_EPILOGUE_BGRADB};
    const weft__operands with = {.c = gw, .a = gy, .b = x, .alpha = 1, .bias = gb};
    bool lacks = !gw.addr || !gb.addr || dt == WEFT_F64 || !rows || !c || !o || s->device->steady;
    if (!lacks)
        WEFT_TRY(weft__gemm_product(s, &q, &with, &lacks));
    return lacks ? weft__linear_back(&weft__cuda_kernels, s, gw, gb, gt, gy, x, rows, c, o, dt)
                 : WEFT_OK;
}

weft_status weft__cuda_linear_gelu_back(weft_stream *s, weft_dev g, weft_dev gy, weft_dev w,
                                        weft_dev pre, int64_t rows, int64_t c, int64_t o,
                                        weft_dtype dt)
{
    weft__product q = {.m = rows,
                       .n = c,
                       .k = o,
                       .lda = o,
                       .ldb = c,
                       .ldc = c,
                       .count = 1,
                       .dt = (int32_t)dt,
                       .ct = (int32_t)dt,
                       .epilogue = CUBLASLT_EPILOGUE_DGELU};
    const weft__operands with = {.c = g, .a = gy, .b = w, .alpha = 1, .aux = pre};
    bool lacks = !fits(pre, c, dt) || !rows || !c || !o;
    if (!lacks)
        WEFT_TRY(weft__gemm_product(s, &q, &with, &lacks));
    return lacks ? weft__linear_gelu_back(&weft__cuda_kernels, s, g, gy, w, pre, rows, c, o, dt)
                 : WEFT_OK;
}
