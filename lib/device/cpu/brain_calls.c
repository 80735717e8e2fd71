/* What kernels call of products in bf16, where the processor has them and where it has not. */
#include "device/cpu/brain.h"

#include "device/cpu/amx.h"
#include "device/cpu/wide.h"

#if CPU_HAS_BRAIN
bool weft__cpu_brain(weft_stream *s, weft__brain_kind kind, weft_dev c, weft_dtype ct, int64_t ldc,
                     double alpha, weft_dev a, int64_t lda, int ta, weft_dev b, int64_t ldb, int tb,
                     double beta, int64_t m, int64_t n, int64_t k)
{
    if (kind == BRAIN_WIDE)
        return weft__cpu_wide(s, c, ct, ldc, alpha, a, lda, ta, b, ldb, tb, beta, m, n, k,
                              WEFT_BF16);
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
    if (kind == BRAIN_WIDE)
        return weft__cpu_wide_linear(s, y, x, w, b, relu, rows, c, o, WEFT_BF16);
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

bool weft__brain_has(weft__brain_kind kind)
{
    return kind == BRAIN_AMX     ? weft__cpu_amx()
           : kind == BRAIN_PAIRS ? weft__cpu_wide_name() && __builtin_cpu_supports("avx512bf16")
                                 : kind == BRAIN_WIDE && weft__cpu_wide_name();
}

/* The processor's maker decides, as timings would not every time alike. Measured, in GF/s of a core, by pairs and by f32:
 * AMD Zen 5 473 and 235, Intel Emerald Rapids 87 and 177. */
weft__brain_kind weft__brain_best(void)
{
    if (weft__brain_has(BRAIN_AMX))
        return BRAIN_AMX;
    if (__builtin_cpu_is("amd") && weft__brain_has(BRAIN_PAIRS))
        return BRAIN_PAIRS;
    return weft__brain_has(BRAIN_WIDE) ? BRAIN_WIDE : BRAIN_NONE;
}
#else
bool weft__brain_has(weft__brain_kind kind)
{
    (void)kind;
    return false;
}

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
    static const char *const name[] = {NULL, "avx512 by f32", "avx512_bf16", "amx"};
    return name[weft__brain_best()];
}
