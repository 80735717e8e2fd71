/* Reductions in rank order, block by block through the first cache. */
#include "comm/shm_self.h"

#include <string.h>

#define BLOCK 2048 /* bytes; with all inputs and outputs in the first cache */

#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__)
#define WIDE __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define WIDE
#endif

/* Wraps around, as unsigned numbers do. */
#define SUM(a, b) ((a) + (b))
/* A comparison with NaN is false. */
#define MIN(a, b) ((a) < (b) || (a) != (a) ? (a) : (b))
#define MAX(a, b) ((a) > (b) || (a) != (a) ? (a) : (b))

/* y = z = a op b, element by element; any may be the same. */
typedef void body(void *y, void *z, const void *a, const void *b, int64_t n);

#define BODY(name, T, OP)                                                                          \
    WIDE static void name(void *y_, void *z_, const void *a_, const void *b_, int64_t n)           \
    {                                                                                              \
        T *y = y_, *z = z_;                                                                        \
        const T *a = a_, *b = b_;                                                                  \
        if (y == z)                                                                                \
            _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = (T)OP(a[i], b[i]);          \
        else                                                                                       \
            _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = z[i] = (T)OP(a[i], b[i]);   \
    }
BODY(sum_f32, float, SUM)
BODY(sum_f64, double, SUM)
BODY(sum_i32, uint32_t, SUM)
BODY(sum_i64, uint64_t, SUM)
BODY(sum_u8, uint8_t, SUM)
BODY(min_f32, float, MIN)
BODY(min_f64, double, MIN)
BODY(min_i32, int32_t, MIN)
BODY(min_i64, int64_t, MIN)
BODY(min_u8, uint8_t, MIN)
BODY(max_f32, float, MAX)
BODY(max_f64, double, MAX)
BODY(max_i32, int32_t, MAX)
BODY(max_i64, int64_t, MAX)
BODY(max_u8, uint8_t, MAX)

static body *body_of(weft_dtype t, weft_reduce op)
{
    static body *const
        f32[] = {sum_f32, min_f32, max_f32},
        *const f64[] = {sum_f64, min_f64, max_f64}, *const i32[] = {sum_i32, min_i32, max_i32},
        *const i64[] = {sum_i64, min_i64, max_i64}, *const u8[] = {sum_u8, min_u8, max_u8};
    switch (t) {
    case WEFT_F32:
        return f32[op];
    case WEFT_F64:
        return f64[op];
    case WEFT_I32:
        return i32[op];
    case WEFT_I64:
        return i64[op];
    default:
        return u8[op];
    }
}

/* Outputs may be inputs: nothing is written before the last input is added, and then it is. */
static void reduce_block(void *const *outs, int nouts, const void *const *in, int nin, size_t at,
                         int64_t n, size_t size, body *combine)
{
    _Alignas(64) char sum[BLOCK];
    const char *before = (const char *)in[0] + at;
    char *y = (char *)outs[0] + at, *z = nouts > 1 ? (char *)outs[1] + at : y;
    for (int q = 1; q < nin - 1; q++) {
        combine(sum, sum, before, (const char *)in[q] + at, n);
        before = sum;
    }
    if (nin > 1)
        combine(y, z, before, (const char *)in[nin - 1] + at, n);
    for (int o = nin > 1 ? 2 : 0; o < nouts; o++)
        memmove((char *)outs[o] + at, nin > 1 ? y : before, (size_t)n * size);
}

void weft__shm_reduce(void *const *outs, int nouts, const void *const *in, int nin, int64_t n,
                      weft_dtype t, weft_reduce op)
{
    const size_t size = weft_dtype_size(t);
    const int64_t most = BLOCK / (int64_t)size;
    body *combine = body_of(t, op);
    for (int64_t i = 0; i < n; i += most)
        reduce_block(outs, nouts, in, nin, (size_t)i * size, n - i < most ? n - i : most, size,
                     combine);
}
