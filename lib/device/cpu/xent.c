/* Cross entropy of rows of logits with labels, its gradient, and the count of hits.
 *   loss = log sum exp(x - max) + (max - x[label]),   p = exp(x - max) / sum */
#ifdef T

CPU_WIDE static void N(xent)(const void *args, int64_t lo, int64_t hi)
{
    const struct xent *a = args;
    for (int64_t r = lo; r < hi; r++) {
        const T *x = (const T *)a->x + r * a->c;
        T *p = (T *)a->y + r * a->c, m;
        const int64_t label = cpu_label(a->label, a->lt, r);
        const bool good = label >= 0 && label < a->c;
        const T at = good ? x[label] : (T)NAN; /* read before p, which may lie on x */
        const double sum = N(weft__cpu_softmax)(p, x, a->c, &m);
        ((T *)a->loss)[r] = (T)(log(sum) + ((double)m - (double)at));
#pragma omp simd
        for (int64_t j = 0; j < a->c; j++)
            p[j] /= (T)sum;
    }
}

CPU_WIDE static void N(xent_back)(const void *args, int64_t lo, int64_t hi)
{
    const struct xent *a = args;
    const T w = *(const T *)a->loss * (T)a->alpha;
    for (int64_t r = lo; r < hi; r++) {
        const T *p = (const T *)a->x + r * a->c;
        T *gx = (T *)a->y + r * a->c;
        const int64_t label = cpu_label(a->label, a->lt, r);
        const bool good = label >= 0 && label < a->c;
        const T of_row = good ? w : (T)NAN, at = good ? w * (p[label] - 1) : 0;
#pragma omp simd
        for (int64_t j = 0; j < a->c; j++)
            gx[j] = of_row * p[j];
        if (good)
            gx[label] = at;
    }
}

static void N(correct)(const void *args, int64_t lo, int64_t hi)
{
    const struct xent *a = args;
    int64_t hits = 0;
    for (int64_t r = lo; r < hi; r++) {
        const T *x = (const T *)a->x + r * a->c;
        int64_t best = 0;
        for (int64_t j = 1; j < a->c; j++)
            best = x[j] > x[best] ? j : best;
        hits += a->c && cpu_label(a->label, a->lt, r) == best;
    }
    atomic_fetch_add_explicit(a->hits, hits, memory_order_relaxed);
}

#else

#include "device/cpu/cpu.h"

#include <math.h>
#include <stdatomic.h>

struct xent {
    void *y, *loss; /* loss: in xent_back the incoming gradient, one value */
    const void *x, *label;
    weft_dtype lt;
    int64_t c;
    double alpha;
    _Atomic int64_t *hits;
};

#define CPU_FAMILY "device/cpu/xent.c"
#include "device/cpu/typed.h"

/* The first row with a bad label goes into flag, unless an earlier call left one there. */
static void check_labels(int64_t *flag, const struct xent *a, int64_t rows)
{
    for (int64_t r = 0; r < rows && flag[0] == 0; r++) {
        const int64_t label = cpu_label(a->label, a->lt, r);
        if (label < 0 || label >= a->c) {
            flag[0] = r + 1;
            flag[1] = label;
        }
    }
}

weft_status weft__cpu_xent(weft_stream *s, weft_dev loss, weft_dev p, weft_dev flag, weft_dev x,
                           weft_dev label, weft_dtype lt, int64_t rows, int64_t c, weft_dtype dt)
{
    const struct xent a = {.loss = cpu_ptr(loss),
                           .y = cpu_ptr(p),
                           .x = cpu_ptr(x),
                           .label = cpu_ptr(label),
                           .lt = lt,
                           .c = c};
    if (!cpu_is_label(lt))
        return weft__no_kernel(s->device, "xent", lt);
    WEFT_TRY(weft__cpu_each_row(s, CPU_PAIR(xent), dt, &a, rows, 16 * c));
    check_labels(cpu_ptr(flag), &a, rows);
    return WEFT_OK;
}

weft_status weft__cpu_xent_back(weft_stream *s, weft_dev gx, weft_dev g, double alpha, weft_dev p,
                                weft_dev label, weft_dtype lt, int64_t rows, int64_t c,
                                weft_dtype dt)
{
    const struct xent a = {.loss = cpu_ptr(g),
                           .y = cpu_ptr(gx),
                           .x = cpu_ptr(p),
                           .label = cpu_ptr(label),
                           .lt = lt,
                           .c = c,
                           .alpha = alpha};
    if (!cpu_is_label(lt))
        return weft__no_kernel(s->device, "xent_back", lt);
    return weft__cpu_each_row(s, CPU_PAIR(xent_back), dt, &a, rows, c);
}

weft_status weft__cpu_correct(weft_stream *s, weft_dev y, weft_dev x, weft_dev label, weft_dtype lt,
                              int64_t rows, int64_t c, weft_dtype dt)
{
    _Atomic int64_t hits = 0;
    const struct xent a = {
        .x = cpu_ptr(x), .label = cpu_ptr(label), .lt = lt, .c = c, .hits = &hits};
    if (!cpu_is_label(lt))
        return weft__no_kernel(s->device, "correct", lt);
    WEFT_TRY(weft__cpu_each_row(s, CPU_PAIR(correct), dt, &a, rows, c));
    *(double *)cpu_ptr(y) = (double)hits;
    return WEFT_OK;
}
#endif
