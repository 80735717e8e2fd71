/* Reductions in rank order, block by block through the first cache. */
#include "comm/shm_self.h"

#include <string.h>

#define BLOCK 4096 /* bytes */

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

/* y = a op b; y may be a or b. */
typedef void body(void *y, const void *a, const void *b, int64_t n);

#define BODY(name, T, OP)                                                                          \
    WIDE static void name(void *y_, const void *a_, const void *b_, int64_t n)                     \
    {                                                                                              \
        T *y = y_;                                                                                 \
        const T *a = a_, *b = b_;                                                                  \
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = (T)OP(a[i], b[i]);              \
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

/* Outputs that are inputs are overwritten when all inputs have been read. */
void weft__shm_reduce(void *const *outs, int nouts, const void *const *in, int nin, int64_t n,
                      weft_dtype t, weft_reduce op)
{
    _Alignas(64) char sum[BLOCK];
    body *combine = body_of(t, op);
    int64_t size = (int64_t)weft_dtype_size(t), most = BLOCK / size, k;
    for (int64_t i = 0; i < n; i += k) {
        k = n - i < most ? n - i : most;
        const size_t at = (size_t)(i * size), bytes = (size_t)(k * size);
        void *y = nin == 2 ? (char *)outs[0] + at : sum;
        if (nin == 1)
            memcpy(sum, (const char *)in[0] + at, bytes);
        else
            combine(y, (const char *)in[0] + at, (const char *)in[1] + at, k);
        for (int q = 2; q < nin; q++)
            combine(sum, sum, (const char *)in[q] + at, k);
        for (int o = y == sum ? 0 : 1; o < nouts; o++)
            memcpy((char *)outs[o] + at, y, bytes);
    }
}
