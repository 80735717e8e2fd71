/* What kernels call of products in bf16, where the processor has them and where it has not. */
#include "device/cpu/brain.h"

#include "device/cpu/amx.h"

#if CPU_HAS_BRAIN
bool weft__cpu_brain(weft_stream *s, weft__brain_kind kind, weft_dev c, weft_dtype ct, int64_t ldc,
                     double alpha, weft_dev a, int64_t lda, int ta, weft_dev b, int64_t ldb, int tb,
                     double beta, int64_t m, int64_t n, int64_t k)
{
    const weft__brain p = {.m = m,
                           .n = n,
                           .k = k,
                           .a = {cpu_ptr(a), m, k, lda, !ta, ta},
                           .b = {cpu_ptr(b), n, k, ldb, tb, tb},
                           .c = cpu_ptr(c),
                           .rc = ldc,
                           .cc = 1,
                           .alpha = (float)alpha,
                           .beta = (float)beta,
                           .ct = ct,
                           .kind = kind};
    return weft__brain_multiply(s, &p);
}

bool weft__cpu_brain_linear(weft_stream *s, weft__brain_kind kind, weft_dev y, weft_dev x,
                            weft_dev w, weft_dev b, bool relu, int64_t rows, int64_t c, int64_t o)
{
    const weft__brain p = {.m = rows,
                           .n = o,
                           .k = c,
                           .a = {cpu_ptr(x), rows, c, c, true, false},
                           .b = {cpu_ptr(w), o, c, c, true, true},
                           .c = cpu_ptr(y),
                           .rc = o,
                           .cc = 1,
                           .bias = b.addr ? cpu_ptr(b) : NULL,
                           .alpha = 1,
                           .relu = relu,
                           .ct = WEFT_BF16,
                           .kind = kind};
    return weft__brain_multiply(s, &p);
}

weft__brain_kind weft__brain_best(void)
{
    if (weft__cpu_amx())
        return BRAIN_AMX;
    return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512vl")
               ? BRAIN_AVX512
               : BRAIN_NONE;
}
#else
weft__brain_kind weft__brain_best(void)
{
    return BRAIN_NONE;
}

bool weft__cpu_brain(weft_stream *s, weft__brain_kind kind, weft_dev c, weft_dtype ct, int64_t ldc,
                     double alpha, weft_dev a, int64_t lda, int ta, weft_dev b, int64_t ldb, int tb,
                     double beta, int64_t m, int64_t n, int64_t k)
{
    (void)s, (void)kind, (void)c, (void)ct, (void)ldc, (void)alpha, (void)a, (void)lda, (void)ta;
    (void)b, (void)ldb, (void)tb, (void)beta, (void)m, (void)n, (void)k;
    return false;
}

bool weft__cpu_brain_linear(weft_stream *s, weft__brain_kind kind, weft_dev y, weft_dev x,
                            weft_dev w, weft_dev b, bool relu, int64_t rows, int64_t c, int64_t o)
{
    (void)s, (void)kind, (void)y, (void)x, (void)w, (void)b, (void)relu, (void)rows, (void)c,
        (void)o;
    return false;
}
#endif

const char *weft__cpu_brain_name(void)
{
    static const char *const name[] = {NULL, "avx512", "amx"};
    return name[weft__brain_best()];
}
