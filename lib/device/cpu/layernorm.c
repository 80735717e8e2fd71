/* Layer normalisation of rows: y = (x - m) r w + b with m the mean and r = 1/sqrt(variance + eps).
 * The mean is taken twice, the second time of what differs from the first one, which rounding spares. m is
 * subtracted in two parts, so that rows far from zero lose no more than others. add_layernorm: x is a sum,
 * which is written too. */
#ifdef T
#include "device/cpu/layernorm.h"

/* next: what is read after this row, or NULL. */
CPU_INLINE double N(moments)(const T *x, const T *next, int64_t c, double *variance)
{
    double sum = 0, off = 0, square = 0;
    for (int64_t at = 0; at < c; at += RUN) {
        C s[LANES] = {0};
        EACH_LANE((c - at < RUN ? c - at : RUN), s[k] += LOAD(x[at + i]););
        sum += M(join)(s);
    }
    if (next)
        fetch_ahead(next, c * (int64_t)sizeof *next);
    const double first = sum / (double)c;
    const C high = (C)first, low = (C)(first - (double)high);
    for (int64_t at = 0; at < c; at += RUN) {
        C s[LANES] = {0}, q[LANES] = {0};
        EACH_LANE((c - at < RUN ? c - at : RUN), const C d = (LOAD(x[at + i]) - high) - low;
                  s[k] += d; q[k] += d * d;);
        off += M(join)(s);
        square += M(join)(q);
    }
    off /= (double)c;
    *variance = square / (double)c - off * off;
    return first + off;
}

static void N(affine)(T *y, const T *x, const T *w, const T *b, int64_t c, double mean, C r)
{
    const C high = (C)mean, low = (C)(mean - (double)high);
    C weights[RUN], offsets[RUN];
    for (int64_t at = 0; at < c; at += RUN) {
        const int64_t n = c - at < RUN ? c - at : RUN;
        const C *u = N(operand)(weights, w, at, n, 1), *v = N(operand)(offsets, b, at, n, 0);
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            y[at + i] = STORE(((LOAD(x[at + i]) - high) - low) * r * u[i] + v[i]);
    }
}

static void N(layernorm)(const void *args, int64_t lo, int64_t hi)
{
    const struct norm *a = args;
    for (int64_t r = lo; r < hi && a->c > 0; r++) {
        const T *x = (const T *)a->x + r * a->c;
        const T *more = a->r ? (const T *)a->r + r * a->c : NULL;
        const T *next = x + a->c;
        T *sum = a->sum ? (T *)a->sum + r * a->c : NULL;
#pragma omp simd
        for (int64_t j = 0; j < (sum ? a->c : 0); j++)
            sum[j] = STORE(LOAD(x[j]) + LOAD(more[j]));
        x = sum ? sum : x;
        double variance, mean = N(moments)(x, r + 1 < hi ? next : NULL, a->c, &variance);
        const double rstd = 1 / sqrt(variance + a->eps);
        a->stats[2 * r] = mean;
        a->stats[2 * r + 1] = rstd;
        N(affine)((T *)a->y + r * a->c, x, a->w, a->b, a->c, mean, (C)rstd);
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
