/* Products of codes of 8 bits by cuBLASLt, which has them for rows by rows (in its words: A transposed, B
 * not), in multiples of 16. It multiplies by the scales, which stay on the GPU. Sums are kept in f32
 * throughout: its faster accumulation, of fewer bits, is not asked for. */
#include "device/cuda/gemm.h"

#include "core/error.h"

#include <stdio.h>

static int32_t type_of(int format)
{
    return format == WEFT_E5M2 ? WEFT__PLAN_E5M2 : WEFT__PLAN_E4M3;
}

weft_status weft__cuda_gemm8(weft_stream *s, weft_dev c, weft_dtype ct, weft_dev a, weft_dev ascale,
                             int aformat, weft_dev b, weft_dev bscale, int bformat, weft_dev bias,
                             int64_t m, int64_t n, int64_t k)
{
    const int64_t to[2] = {n, 1}, from[2] = {0, 1}, shape[2] = {m, n};
    weft__product q = {.m = m,
                       .n = n,
                       .k = k,
                       .lda = k,
                       .ldb = k,
                       .ldc = n,
                       .count = 1,
                       .tb = 1,
                       .dt = type_of(aformat),
                       .bt = type_of(bformat),
                       .ct = (int32_t)ct,
                       .epilogue = bias.addr ? CUBLASLT_EPILOGUE_BIAS : 0};
    weft__operands o = {
        .c = c, .a = a, .b = b, .alpha = 1, .bias = bias, .ascale = ascale, .bscale = bscale};
    bool lacks = false;
    WEFT_TRY(weft__gemm_product(s, &q, &o, bias.addr ? &lacks : NULL));
    if (!lacks)
        return WEFT_OK;
    WEFT_TRY(weft__cuda_copy(s, c, ct, to, bias, ct, from, 2, shape));
    q.epilogue = 0;
    o.bias.addr = 0;
    o.beta = 1;
    return weft__gemm_product(s, &q, &o, NULL);
}

const char *weft__cuda_no_float8(weft_device *d)
{
    static _Thread_local char text[240];
    const weft__cuda *c = cuda_of(d);
    if (!c->gemm->lt.there)
        return c->gemm->lt.text;
    if (c->major * 10 + c->minor >= 89)
        return NULL;
    snprintf(text, sizeof text, "%s has compute capability %d.%d", c->name, c->major, c->minor);
    return text;
}
