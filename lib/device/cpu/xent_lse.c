/* Cross entropy of rows of logits that stay as they are: kept is the logarithm of their sum of powers,
 *   lse = log sum exp(x),   loss = lse - x[label],   gx = s (exp(x - lse) - onehot(label))
 * Rows are read in tiles; the sum is brought to a higher maximum where a tile has one. */
#ifdef T
#ifndef LOW
#include "device/cpu/softmax.h"

/* Adds exp(x - m), which goes over x, to a sum of such; m, the highest up to there, is returned as of here. NaN is passed
 * over by it, not by the sum. */
CPU_INLINE T N(tile)(T *x, int64_t n, T m, double *sum)
{
    const T top = N(more)(N(highest)(x, n), m);
    if (top > m)
        *sum *= exp((double)m - (double)top);
    if (top > -(T)INFINITY)
        *sum += N(powers)(x, x, n, top);
    else if (isnan(N(total)(x, n)))
        *sum = (double)NAN;
    return top;
}

CPU_INLINE void N(slopes)(T *x, int64_t n, T times, T lse)
{
#pragma omp simd
    for (int64_t j = 0; j < n; j++)
        x[j] = times * N(cpu_decay)(x[j] - lse);
}
#else

static double N(lse_of)(const T *x, int64_t c)
{
    _Alignas(64) C part[TILE];
    C m = -(C)INFINITY;
    double sum = 0;
    for (int64_t at = 0; at < c; at += TILE) {
        const int64_t n = c - at < TILE ? c - at : TILE;
        WIDEN(part, x + at, n);
        m = M(tile)(part, n, m, &sum);
    }
    return m > -(C)INFINITY ? (double)m + log(sum) : (double)NAN;
}

static void N(xent_lse)(const void *args, int64_t lo, int64_t hi)
{
    const struct rows *a = args;
    for (int64_t r = lo; r < hi; r++) {
        const T *x = (const T *)a->x + r * a->c;
        const int64_t label = cpu_label(a->label, a->lt, r);
        const double lse = a->lse[r] = N(lse_of)(x, a->c);
        double loss = (double)NAN;
        if (a->ignores && label == a->ignore)
            loss = 0;
        else if (label >= 0 && label < a->c)
            loss = lse - (double)LOAD(x[label]);
        ((C *)a->loss)[r] = (C)(loss / a->divisor); /* NaN where nothing counts */
    }
}

static void N(xent_lse_back)(const void *args, int64_t lo, int64_t hi)
{
    const struct rows *a = args;
    _Alignas(64) C part[TILE];
    for (int64_t r = lo; r < hi; r++) {
        const T *x = (const T *)a->x + r * a->c;
        T *gx = (T *)a->gx + r * a->c;
        const int64_t label = cpu_label(a->label, a->lt, r);
        const bool counts = !a->ignores || label != a->ignore, good = label >= 0 && label < a->c;
        const C lse = (C)a->lse[r];
        const double s = (double)((const C *)a->loss)[a->each ? r : 0] * a->alpha / a->divisor;
        const C times = good ? (C)s : (C)NAN;
        const C at = good ? LOAD(x[label]) : 0; /* read before gx, which may lie on x */
        if (!counts) {
            memset(gx, 0, (size_t)a->c * sizeof *gx);
            continue;
        }
        for (int64_t j = 0; j < a->c; j += TILE) {
            const int64_t n = a->c - j < TILE ? a->c - j : TILE;
            WIDEN(part, x + j, n);
            M(slopes)(part, n, times, lse);
            NARROW(gx + j, part, n);
        }
        if (good)
            gx[label] = STORE((C)(s * ((double)M(cpu_decay)(at - lse) - 1)));
    }
}
#endif

#else

#include "device/cpu/cpu.h"

#include <math.h>
#include <string.h>

#define TILE 1024
#define COST 20 /* of an element: the exponential */

struct rows {
    void *gx, *loss; /* loss: in xent_lse_back the incoming gradient */
    double *lse;
    const void *x, *label;
    weft_dtype lt;
    int64_t c, ignore;
    double alpha, divisor;
    bool ignores, each;
};

#define CPU_LOW
#define CPU_FAMILY "device/cpu/xent_lse.c"
#include "device/cpu/typed.h"
#define KERNEL(of)                                                                                 \
    (&(const weft__cpu_kernel){                                                                    \
        .name = #of, .bf16 = CPU_EACH_SET(of##_bf16), .f16 = CPU_EACH_SET(of##_f16)})

static struct rows terms(const weft_xent_terms *o, weft_dev x, weft_dev lse, weft_dev label,
                         weft_dtype lt, int64_t c)
{
    const double *divisor = o ? cpu_ptr(o->divisor) : NULL;
    return (struct rows){.x = cpu_ptr(x),
                         .lse = cpu_ptr(lse),
                         .label = cpu_ptr(label),
                         .lt = lt,
                         .c = c,
                         .ignore = o ? o->ignore : 0,
                         .ignores = o && o->ignores,
                         .each = o && o->each,
                         .divisor = divisor ? *divisor : 1};
}

/* The first bad label goes into flag, unless an earlier call left one there. @return how many count. */
static double survey(const weft_xent_terms *o, int64_t *flag, weft_dev label, weft_dtype lt,
                     int64_t rows, int64_t c)
{
    double n = 0;
    for (int64_t r = 0; r < rows; r++) {
        const int64_t at = cpu_label(cpu_ptr(label), lt, r);
        const bool good = at >= 0 && at < c;
        if (o && o->ignores && at == o->ignore)
            continue;
        n += good;
        if (flag[0] == 0 && !good) {
            flag[0] = r + 1;
            flag[1] = at;
        }
    }
    return n;
}

weft_status weft__cpu_xent_lse(weft_stream *s, weft_dev loss, weft_dev lse, weft_dev flag,
                               weft_dev x, weft_dev label, weft_dtype lt, int64_t rows, int64_t c,
                               const weft_xent_terms *o, weft_dtype dt)
{
    if (!cpu_is_label(lt))
        return weft__no_kernel(s->device, "xent_lse", lt);
    if (flag.addr) {
        const double n = survey(o, cpu_ptr(flag), label, lt, rows, c);
        if (o && o->divisor.addr)
            *(double *)cpu_ptr(o->divisor) = n;
    }
    struct rows a = terms(o, x, lse, label, lt, c);
    a.loss = cpu_ptr(loss);
    return weft__cpu_each_row(s, KERNEL(xent_lse), dt, &a, rows, COST * c);
}

weft_status weft__cpu_xent_lse_back(weft_stream *s, weft_dev gx, weft_dev g, double alpha,
                                    weft_dev x, weft_dev lse, weft_dev label, weft_dtype lt,
                                    int64_t rows, int64_t c, const weft_xent_terms *o,
                                    weft_dtype dt)
{
    if (!cpu_is_label(lt))
        return weft__no_kernel(s->device, "xent_lse_back", lt);
    struct rows a = terms(o, x, lse, label, lt, c);
    a.gx = cpu_ptr(gx);
    a.loss = cpu_ptr(g);
    a.alpha = alpha;
    return weft__cpu_each_row(s, KERNEL(xent_lse_back), dt, &a, rows, COST * c);
}
#endif
