/* Dot products, norms, and gradients cut to them. A sum is formed in f64; its order is a function of
 * n alone: blocks in their order, runs of a block, the lanes of a run. */
#ifdef T
#include "device/cpu/lanes.h"

#ifndef LOW
#include "device/cpu/math.h"
#include "device/cpu/log.h"
#include "device/cpu/power.h"

/* |x|^p, with the power that it is: 1, 3 or p. */
CPU_INLINE double N(raised)(T x, const int easy, double p)
{
    const double a = fabs((double)x);
    return easy == 1 ? a : easy == 3 ? a * a * a : N(cpu_pow_of_size)(a, p);
}

CPU_INLINE double N(powers_of)(const T *x, const int easy, double p, int64_t n)
{
    double lane[CPU_LANES] = {0};
    int64_t i = 0;
    for (; i + CPU_LANES <= n; i += CPU_LANES) {
#pragma omp simd
        for (int j = 0; j < CPU_LANES; j++)
            lane[j] += N(raised)(x[i + j], easy, p);
    }
    for (; i < n; i++)
        lane[i % CPU_LANES] += N(raised)(x[i], easy, p);
    return cpu_fold(lane);
}

static double N(powers)(const T *x, double p, int64_t n)
{
    return p == 1   ? N(powers_of)(x, 1, p, n)
           : p == 3 ? N(powers_of)(x, 3, p, n)
                    : N(powers_of)(x, 0, p, n);
}

/* NaN wins. */
static double N(largest)(const T *x, int64_t n)
{
    C lane[CPU_LANES] = {0}, most = 0;
    int odd[CPU_LANES] = {0}, any = 0;
    for (int64_t i = 0; i + CPU_LANES <= n; i += CPU_LANES) {
#pragma omp simd
        for (int j = 0; j < CPU_LANES; j++) {
            const C v = x[i + j], a = v < 0 ? -v : v;
            odd[j] |= v != v;
            lane[j] = a > lane[j] ? a : lane[j];
        }
    }
    for (int64_t i = n - n % CPU_LANES; i < n; i++) {
        const C v = x[i], a = v < 0 ? -v : v;
        any |= v != v;
        most = a > most ? a : most;
    }
    for (int j = 0; j < CPU_LANES; j++) {
        any |= odd[j];
        most = lane[j] > most ? lane[j] : most;
    }
    return any ? NAN : (double)most;
}

static double N(product)(const T *x, const T *z, int64_t n)
{
    double lane[CPU_LANES] = {0};
    int64_t i = 0;
    for (; i + CPU_LANES <= n; i += CPU_LANES) {
#pragma omp simd
        for (int j = 0; j < CPU_LANES; j++)
            lane[j] += (double)x[i + j] * (double)z[i + j];
    }
    for (; i < n; i++)
        lane[i % CPU_LANES] += (double)x[i] * (double)z[i];
    return cpu_fold(lane);
}

static double N(squares)(const T *x, int64_t n)
{
    double lane[CPU_LANES] = {0};
    int64_t i = 0;
    for (; i + CPU_LANES <= n; i += CPU_LANES) {
        CPU_AHEAD(x + i);
#pragma omp simd
        for (int j = 0; j < CPU_LANES; j++)
            lane[j] += (double)x[i + j] * (double)x[i + j];
    }
    for (; i < n; i++)
        lane[i % CPU_LANES] += (double)x[i] * (double)x[i];
    return cpu_fold(lane);
}

static double N(part)(const struct clip *a, const C *x, const C *z, int64_t n)
{
    return z             ? N(product)(x, z, n)
           : isinf(a->p) ? N(largest)(x, n)
           : a->p == 2.0 ? N(squares)(x, n)
                         : N(powers)(x, a->p, n);
}
#endif

/* Blocks lo..hi-1, in runs: a dot product where there is a z. */
static void N(norm)(const void *args, int64_t lo, int64_t hi)
{
    const struct clip *a = args;
    _Alignas(64) C left[RUN], right[RUN];
    for (int64_t b = lo; b < hi; b++) {
        const int64_t end = a->n * (b + 1) / a->blocks;
        double sum = 0;
        for (int64_t at = a->n * b / a->blocks, n; at < end; at += n) {
            n = end - at < RUN ? end - at : RUN;
            const C *x = N(read)(left, (const T *)a->x + at, n);
            const C *z = a->z ? N(read)(right, (const T *)a->z + at, n) : NULL;
            sum = joined(a, sum, M(part)(a, x, z, n));
        }
        a->partial[b] = sum;
    }
}

static void N(shrink)(const void *args, int64_t lo, int64_t hi)
{
    const struct clip *a = args;
    const C factor = (C)a->factor;
    T *y = a->y;
#pragma omp simd
    for (int64_t i = lo; i < hi; i++)
        y[i] = STORE(LOAD(y[i]) * factor);
}

#else

#include "device/cpu/cpu.h"

#include <math.h>

#define BLOCKS 64
#define BLOCK 16384 /* elements that a block is worth */

struct clip {
    void *y;
    const void *x, *z;
    int64_t n, blocks;
    double p, factor, *partial;
};

/* A sum with a part more; of largest numbers NaN wins. */
static double joined(const struct clip *a, double sum, double more)
{
    return !isinf(a->p) ? sum + more : more > sum || isnan(more) ? more : sum;
}

#define CPU_LOW
#define CPU_FAMILY "device/cpu/clip.c"
#include "device/cpu/typed.h"

static weft_status reduce(weft_stream *s, double *sum, struct clip a, weft_dtype dt)
{
    double partial[BLOCKS];
    if (a.n <= 0)
        return WEFT_OK;
    a.partial = partial;
    a.blocks = a.n / BLOCK < 1 ? 1 : a.n / BLOCK > BLOCKS ? BLOCKS : a.n / BLOCK;
    WEFT_TRY(weft__cpu_each_row(s, CPU_FLOATS(norm), dt, &a, a.blocks, a.n / a.blocks));
    for (int64_t b = 0; b < a.blocks; b++)
        *sum = joined(&a, *sum, partial[b]);
    return WEFT_OK;
}

weft_status weft__cpu_dot(weft_stream *s, weft_dev y, weft_dev x, weft_dev z, int64_t n,
                          weft_dtype dt)
{
    const struct clip a = {.x = cpu_ptr(x), .z = cpu_ptr(z), .n = n, .p = 2};
    return reduce(s, cpu_ptr(y), a, dt);
}

weft_status weft__cpu_norm(weft_stream *s, weft_dev y, weft_dev x, const int64_t *run, int64_t n,
                           double p, weft_dtype dt)
{
    for (int64_t i = 0; i < n; i++) {
        const weft_dev from = {x.addr + (uintptr_t)run[2 * i] * weft_dtype_size(dt)};
        const struct clip a = {.x = cpu_ptr(from), .n = run[2 * i + 1], .p = p};
        WEFT_TRY(reduce(s, cpu_ptr(y), a, dt));
    }
    return WEFT_OK;
}

weft_status weft__cpu_root(weft_stream *s, weft_dev y, weft_dev x, double p)
{
    const double sum = *(const double *)cpu_ptr(x);
    (void)s;
    *(double *)cpu_ptr(y) = p == 2 ? sqrt(sum) : isinf(p) ? sum : pow(sum, 1 / p);
    return WEFT_OK;
}

weft_status weft__cpu_shrink(weft_stream *s, weft_dev y, weft_dev by, int64_t n, weft_dtype dt)
{
    const struct clip a = {.y = cpu_ptr(y), .factor = *(const double *)cpu_ptr(by)};
    return a.factor == 1 ? WEFT_OK : weft__cpu_each(s, CPU_FLOATS(shrink), dt, &a, n, 1);
}

weft_status weft__cpu_cut(weft_stream *s, weft_dev by, weft_dev norm, double limit)
{
    const double factor = limit / (*(const double *)cpu_ptr(norm) + 1e-6);
    (void)s;
    *(double *)cpu_ptr(by) = factor > 1 ? 1 : factor;
    return WEFT_OK;
}
#endif
