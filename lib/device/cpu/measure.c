/* One number of a long vector: a dot product, a sum of absolute values, or the largest one. Sums are
 * formed in f64, block by block; n alone decides the order of additions. */
#ifdef T

/* What element i adds to or does with a lane. */
CPU_INLINE double N(take)(const T *x, const T *z, int64_t i, double lane, const weft_measure what)
{
    const double v = fabs((double)x[i]);
    if (what == WEFT_DOT)
        return lane + (double)x[i] * (double)z[i];
    return what == WEFT_ABS_SUM ? lane + v : larger(lane, v);
}

CPU_INLINE void N(measure_pass)(const struct vectors *a, int64_t lo, int64_t hi,
                                const weft_measure what)
{
    const T *x = a->x, *z = a->z;
    for (int64_t b = lo; b < hi; b++) {
        double lane[CPU_LANES] = {0};
        int64_t i = a->n * b / a->blocks;
        const int64_t end = a->n * (b + 1) / a->blocks;
        for (; i + CPU_LANES <= end; i += CPU_LANES) {
#pragma omp simd
            for (int j = 0; j < CPU_LANES; j++)
                lane[j] = N(take)(x, z, i + j, lane[j], what);
        }
        for (int j = 0; i < end; i++, j++)
            lane[j] = N(take)(x, z, i, lane[j], what);
        a->partial[b] = what == WEFT_ABS_MAX ? largest(lane, CPU_LANES) : cpu_fold(lane);
    }
}

CPU_WIDE static void N(measure)(const void *args, int64_t lo, int64_t hi)
{
    const struct vectors *a = args;
    if (a->what == WEFT_DOT)
        N(measure_pass)(a, lo, hi, WEFT_DOT);
    else if (a->what == WEFT_ABS_SUM)
        N(measure_pass)(a, lo, hi, WEFT_ABS_SUM);
    else
        N(measure_pass)(a, lo, hi, WEFT_ABS_MAX);
}

#else

#include "device/cpu/cpu.h"

#include <math.h>

#define BLOCKS 64
#define BLOCK 8192 /* elements that a block is worth */

struct vectors {
    const void *x, *z;
    weft_measure what;
    int64_t n, blocks;
    double *partial;
};

/* NaN is largest. */
CPU_INLINE double larger(double a, double b)
{
    return a >= b || a != a ? a : b;
}

static double largest(const double *v, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        most = larger(most, v[i]);
    return most;
}

#define CPU_FAMILY "device/cpu/measure.c"
#include "device/cpu/typed.h"

weft_status weft__cpu_measure(weft_stream *s, weft_dev y, weft_measure what, weft_dev x, weft_dev z,
                              int64_t n, weft_dtype dt)
{
    double partial[BLOCKS], *out = cpu_ptr(y), sum = 0;
    const int64_t blocks = n / BLOCK < BLOCKS ? n / BLOCK + 1 : BLOCKS;
    const struct vectors a = {.x = cpu_ptr(x),
                              .z = cpu_ptr(z),
                              .what = what,
                              .n = n,
                              .blocks = blocks,
                              .partial = partial};
    WEFT_TRY(weft__cpu_each_row(s, CPU_PAIR(measure), dt, &a, blocks, n / blocks + 1));
    for (int64_t b = 0; b < blocks; b++)
        sum += partial[b];
    *out = what == WEFT_ABS_MAX ? larger(*out, largest(partial, blocks)) : *out + sum;
    return WEFT_OK;
}
#endif
