/* Matrix times vector: y[j] = alpha sum_k x[k] b[j, k] + beta y[j]. */
#ifdef T

typedef T N(lanes) __attribute__((vector_size(32)));
#define MULTIPLY_ADD(s, at)                                                                        \
    memcpy(&u, x + i + (at)*L, sizeof u);                                                          \
    memcpy(&w, b + i + (at)*L, sizeof w);                                                          \
    s += u * w

/* b's rows lie along k: a dot product each, in four vectors. */
static inline __attribute__((always_inline)) T N(dot)(const T *x, const T *b, int64_t n)
{
    enum { L = 32 / sizeof(T) };
    N(lanes) s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0}, u, w;
    T total = 0;
    int64_t i = 0;
    for (; i + 4 * L <= n; i += 4 * L) {
        MULTIPLY_ADD(s0, 0);
        MULTIPLY_ADD(s1, 1);
        MULTIPLY_ADD(s2, 2);
        MULTIPLY_ADD(s3, 3);
    }
    for (; i < n; i++)
        total += x[i] * b[i];
    s0 = (s0 + s1) + (s2 + s3);
    for (int j = 0; j < L; j++)
        total += s0[j];
    return total;
}
#undef MULTIPLY_ADD

static void N(put)(const struct vector *v, int64_t j, T sum)
{
    T *y = (T *)v->y + j * v->ys;
    *y = v->beta == 0 ? (T)v->alpha * sum : (T)v->alpha * sum + (T)v->beta * *y;
}

static void N(dots)(const void *args, int64_t lo, int64_t hi)
{
    const struct vector *v = args;
    for (int64_t j = lo; j < hi; j++)
        CPU_CALL(put, v, j, N(dot)(v->x, (const T *)v->b + j * v->bj, v->k));
}

/* b's rows lie along j: sums side by side. */
static void N(columns)(const void *args, int64_t lo, int64_t hi)
{
    const struct vector *v = args;
    for (; lo < hi; lo += TILE) {
        const int64_t n = hi - lo < TILE ? hi - lo : TILE;
        T s[TILE] = {0};
        for (int64_t k = 0; k < v->k; k++) {
            const T x = ((const T *)v->x)[k * v->xs], *b = (const T *)v->b + k * v->bk + lo;
#pragma omp simd
            for (int64_t j = 0; j < n; j++)
                s[j] += x * b[j];
        }
        for (int64_t j = 0; j < n; j++)
            CPU_CALL(put, v, lo + j, s[j]);
    }
}

#else

#include "device/cpu/cpu.h"

#include <string.h>

#define TILE 512

struct vector {
    void *y;
    const void *x, *b;
    int64_t ys, xs, bj, bk, k;
    double alpha, beta;
};

#define CPU_FAMILY "device/cpu/vector.c"
#include "device/cpu/typed.h"

bool weft__cpu_vector(weft_stream *s, weft_dev y, int64_t ys, double alpha, weft_dev x, int64_t xs,
                      weft_dev b, int64_t bj, int64_t bk, double beta, int64_t n, int64_t k,
                      weft_dtype dt)
{
    const struct vector v = {.y = cpu_ptr(y),
                             .x = cpu_ptr(x),
                             .b = cpu_ptr(b),
                             .ys = ys,
                             .xs = xs,
                             .bj = bj,
                             .bk = bk,
                             .k = k,
                             .alpha = alpha,
                             .beta = beta};
    const int64_t cost = k / 8 + 1;
    if (bk == 1 && xs == 1)
        return !weft__cpu_each(s, CPU_PAIR(dots), dt, &v, n, cost);
    return bj == 1 && !weft__cpu_each(s, CPU_PAIR(columns), dt, &v, n, cost);
}
#endif
