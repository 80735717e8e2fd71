/* Layer normalisation of rows: y = (x - m) r w + b with m the mean and r = 1/sqrt(variance + eps).
 * The mean is taken twice, the second time of what differs from the first one, which rounding spares. m is
 * subtracted in two parts, so that rows far from zero lose no more than others. add_layernorm: x is a sum,
 * which is written too. */
#ifdef T
#include "device/cpu/layernorm.h"

#ifndef LOW
#include "device/cpu/math.h"

static double N(run_sum)(const C *x, int64_t n)
{
    C s[LANES] = {0};
    EACH_LANE(n, s[k] += x[i];);
    return N(join)(s);
}

/* Sums of what differs from m, and of its squares. */
static double N(run_squares)(const C *x, int64_t n, C m, double *square)
{
    C s[LANES] = {0}, q[LANES] = {0};
    EACH_LANE(n, const C d = x[i] - m; s[k] += d; q[k] += d * d;);
    *square += N(join)(q);
    return N(join)(s);
}

static void N(run_affine)(C *y, const C *x, int64_t n, C high, C low, C r, const C *w, const C *b)
{
    const C z0 = -low * r;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = N(fused)(N(fused)(x[i] - high, r, z0), w[i], b[i]);
}
#endif

/* next: what is read after this row, or NULL. A row of one run is left in room. */
static double N(moments)(C *room, const T *x, const T *next, int64_t c, double *variance)
{
    double sum = 0, off = 0, square = 0;
    for (int64_t at = 0; at < c; at += RUN) {
        const int64_t n = c - at < RUN ? c - at : RUN;
        sum += M(run_sum)(N(operand)(room, x, at, n, 0, false), n);
    }
    if (next)
        fetch_ahead(next, c * (int64_t)sizeof *next);
    const C first = (C)(sum / (double)c);
    for (int64_t at = 0; at < c; at += RUN) {
        const int64_t n = c - at < RUN ? c - at : RUN;
        const C *v = N(operand)(room, x, at, n, 0, c <= RUN);
        off += M(run_squares)(v, n, first, &square);
    }
    off /= (double)c;
    *variance = square / (double)c - off * off;
    return (double)first + off;
}

static void N(layernorm)(const void *args, int64_t lo, int64_t hi)
{
    const struct norm *a = args;
    _Alignas(64) C room[RUN], weights[RUN], offsets[RUN];
    for (int64_t r = lo; r < hi && a->c > 0; r++) {
        const T *x = (const T *)a->x + r * a->c;
        const T *more = a->r ? (const T *)a->r + r * a->c : NULL;
        const T *next = x + a->c;
        T *sum = a->sum ? (T *)a->sum + r * a->c : NULL, *y = (T *)a->y + r * a->c;
#pragma omp simd
        for (int64_t j = 0; j < (sum ? a->c : 0); j++)
            sum[j] = STORE(LOAD(x[j]) + LOAD(more[j]));
        x = sum ? sum : x;
        double variance, mean = N(moments)(room, x, r + 1 < hi ? next : NULL, a->c, &variance);
        const double rstd = 1 / sqrt(variance + a->eps);
        const C high = (C)mean, low = (C)(mean - (double)high);
        a->stats[2 * r] = mean;
        a->stats[2 * r + 1] = rstd;
        for (int64_t at = 0; at < a->c; at += RUN) {
            const int64_t n = a->c - at < RUN ? a->c - at : RUN;
            const bool one = a->c <= RUN, kept = one && r > lo;
            const C *v = N(operand)(room, x, at, n, 0, one);
            const C *w = N(operand)(weights, a->w, at, n, 1, kept);
            const C *b = N(operand)(offsets, a->b, at, n, 0, kept);
#ifdef LOW
            M(run_affine)(room, v, n, high, low, (C)rstd, w, b);
            NARROW(y + at, room, n);
#else
            N(run_affine)(y + at, v, n, high, low, (C)rstd, w, b);
#endif
        }
    }
}

#else

#include "device/cpu/cpu.h"

#include <math.h>

#include "device/cpu/layernorm.h"
#define CPU_LOW
#define CPU_FAMILY "device/cpu/layernorm.c"
#include "device/cpu/typed.h"

weft_status weft__cpu_add_layernorm(weft_stream *s, weft_dev y, weft_dev sum, weft_dev stats,
                                    weft_dev x, weft_dev r, weft_dev w, weft_dev b, int64_t rows,
                                    int64_t c, double eps, weft_dtype dt)
{
    const struct norm a = {.y = cpu_ptr(y),
                           .sum = cpu_ptr(sum),
                           .x = cpu_ptr(x),
                           .r = cpu_ptr(r),
                           .w = cpu_ptr(w),
                           .b = cpu_ptr(b),
                           .stats = cpu_ptr(stats),
                           .eps = eps,
                           .rows = rows,
                           .c = c};
    return weft__cpu_each_row(s, CPU_FLOATS(layernorm), dt, &a, rows, 5 * c);
}

weft_status weft__cpu_layernorm(weft_stream *s, weft_dev y, weft_dev stats, weft_dev x, weft_dev w,
                                weft_dev b, int64_t rows, int64_t c, double eps, weft_dtype dt)
{
    return weft__cpu_add_layernorm(s, y, (weft_dev){0}, stats, x, (weft_dev){0}, w, b, rows, c, eps,
                                   dt);
}
#endif
