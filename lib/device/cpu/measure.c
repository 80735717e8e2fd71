/* One number of a long vector: a dot product, a sum of absolute values, or the largest one. Sums are
 * formed in f64, block by block; n alone decides the order of additions. */
#ifdef T

CPU_WIDE static void N(measure)(const void *args, int64_t lo, int64_t hi)
{
    const struct vectors *a = args;
    const T *x = a->x, *z = a->z;
    for (int64_t b = lo; b < hi; b++) {
        double lane[CPU_LANES] = {0};
        const int64_t from = a->n * b / a->blocks, to = a->n * (b + 1) / a->blocks;
        for (int64_t i = from; i < to; i++) {
            double *at = &lane[(i - from) % CPU_LANES], v = fabs((double)x[i]);
            if (a->what == WEFT_DOT)
                *at += (double)x[i] * (double)z[i];
            else
                *at = a->what == WEFT_ABS_SUM ? *at + v : cpu_larger(*at, v);
        }
        a->partial[b] = a->what == WEFT_ABS_MAX ? largest(lane, CPU_LANES) : cpu_fold(lane);
    }
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
static inline double cpu_larger(double a, double b)
{
    return a >= b || a != a ? a : b;
}

static double largest(const double *v, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        most = cpu_larger(most, v[i]);
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
    *out = what == WEFT_ABS_MAX ? cpu_larger(*out, largest(partial, blocks)) : *out + sum;
    return WEFT_OK;
}
#endif
