/* Cross entropy of rows of logits with labels, its gradient, and the count of hits.
 *   loss = log sum exp(x - max) + (max - x[label]),   p = exp(x - max) / sum
 * <weft/sys/kernels.h> has the formula with weights and smoothing. */
#ifdef T
#include "device/cpu/few.h"

static double N(weight_of)(const struct xent *a, int64_t j)
{
    return a->weight ? (double)((const T *)a->weight)[j] : 1;
}

#ifdef FIRST
/* Labels are looked at first, in order: the first bad one goes into flag, unless an earlier call
 * left one there; the sum of the counted ones' weights, and that of all classes. */
static void N(survey)(struct xent *a, int64_t *flag, double *divisor)
{
    double sum = 0;
    for (int64_t r = 0; r < a->rows && (divisor || (flag && flag[0] == 0)); r++) {
        const int64_t label = cpu_label(a->label, a->lt, r);
        const bool good = label >= 0 && label < a->c;
        if (a->ignores && label == a->ignore)
            continue;
        if (flag && flag[0] == 0 && !good) {
            flag[0] = r + 1;
            flag[1] = label;
        }
        sum += good ? CPU_CALL(weight_of, a, label) : 0;
    }
    if (divisor)
        *divisor = sum;
    a->all = (double)a->c;
    for (int64_t j = 0; j < a->c && a->weight && a->smoothing > 0; j++)
        a->all += CPU_CALL(weight_of, a, j) - 1;
}
#endif

/* Sum of w x over the classes. */
static double N(weighted)(const struct xent *a, const T *x)
{
    double s = 0;
    for (int64_t j = 0; j < a->c; j++)
        s += CPU_CALL(weight_of, a, j) * (double)x[j];
    return s;
}

/* Of row r, before p is written, which may lie on x. Where u is 0 its label counts for nothing, where e is 0 the
 * others do not. */
static void N(look)(const struct xent *a, struct side *t, int k, int64_t r)
{
    const T *x = (const T *)a->x + r * a->c;
    const int64_t label = cpu_label(a->label, a->lt, r);
    const bool counts = !a->ignores || label != a->ignore, good = label >= 0 && label < a->c;
    const double u = good ? (1 - a->smoothing) * CPU_CALL(weight_of, a, label) : 1;
    t->at[k] = good ? (double)x[label] : (double)NAN;
    t->u[k] = counts ? u : 0;
    t->e[k] = counts ? a->smoothing / (double)a->c : 0;
    t->mean[k] = t->e[k] > 0 ? CPU_CALL(weighted, a, x) : 0;
}

static void N(probabilities)(T *p, const T *x, int64_t c, double *sum, double *max)
{
    const T m = N(highest)(x, c);
    *sum = N(powers)(p, x, c, m);
    *max = (double)m;
    const T part = (T)(1 / *sum);
#pragma omp simd
    for (int64_t j = 0; j < c; j++)
        p[j] *= part;
}

static void N(losses)(T *loss, const struct side *t, double all, double divisor)
{
#pragma omp simd
    for (int k = 0; k < SIDE; k++) {
        const double log_sum = cpu_log(t->sum[k]), m = t->max[k], u = t->u[k], e = t->e[k];
        const double hit = u * (log_sum + (m - t->at[k]));
        const double smooth = e * (all * (log_sum + m) - t->mean[k]);
        loss[k] = (T)(((u == 0 ? 0 : hit) + (e == 0 ? 0 : smooth)) / divisor);
    }
}

static void N(xent)(const void *args, int64_t lo, int64_t hi)
{
    const struct xent *a = args;
    const int64_t c = a->c;
    const bool each = !a->log_probs && c > FEW_CLASSES;
    for (int64_t r = lo; r < hi; r += SIDE) {
        const int n = hi - r < SIDE ? (int)(hi - r) : SIDE;
        const T *x = (const T *)a->x + r * c;
        T *p = (T *)a->y + r * c, loss[SIDE];
        struct side t = {.sum = {0}};
        for (int k = 0; k < SIDE; k++)
            t.sum[k] = 1;
        for (int k = 0; k < n; k++) {
            if (r + k + 1 < hi)
                fetch_ahead(x + (k + 1) * c, c * (int64_t)sizeof *x);
            CPU_CALL(look, a, &t, k, r + k);
            if (each)
                CPU_CALL(probabilities, p + k * c, x + k * c, c, &t.sum[k], &t.max[k]);
        }
        if (!each && !a->log_probs)
            CPU_CALL(few, p, x, c, n, t.sum, t.max);
        CPU_CALL(losses, loss, &t, a->all, a->divisor);
        memcpy((T *)a->loss + r, loss, (size_t)n * sizeof *loss); /* NaN where nothing counts */
    }
}

/* gx = s ((u + e/c sum w) p - e/c w), and -s u more at the label. */
static void N(xent_back)(const void *args, int64_t lo, int64_t hi)
{
    const struct xent *a = args;
    const double spread = a->smoothing / (double)a->c;
    for (int64_t r = lo; r < hi; r++) {
        const T *p = (const T *)a->x + r * a->c;
        T *gx = (T *)a->y + r * a->c;
        const int64_t label = cpu_label(a->label, a->lt, r);
        const bool counts = !a->ignores || label != a->ignore, good = label >= 0 && label < a->c;
        const double s = (double)((const T *)a->loss)[a->each ? r : 0] * a->alpha / a->divisor;
        const double u = good ? (1 - a->smoothing) * CPU_CALL(weight_of, a, label) : NAN;
        const double all = !counts ? 0 : a->log_probs ? 0 * u : u + spread * a->all;
        const T of_row = counts ? (T)(s * all) : 0, each = counts ? (T)(s * spread) : 0;
        const double here = a->log_probs || !good ? 0 : all * (double)p[label];
        const bool scaled = counts && !a->log_probs;
#pragma omp simd
        for (int64_t j = 0; j < (scaled ? a->c : 0); j++)
            gx[j] = of_row * p[j];
        for (int64_t j = 0; j < (scaled ? 0 : a->c); j++)
            gx[j] = of_row;
        for (int64_t j = 0; j < a->c && spread > 0; j++)
            gx[j] -= each * (T)CPU_CALL(weight_of, a, j);
        if (good && counts)
            gx[label] = (T)(s * (here - u - spread * CPU_CALL(weight_of, a, label)));
    }
}

/* The first maximum; NaN is passed over, unless it comes first. */
static int64_t N(best)(const T *x, int64_t c)
{
    int64_t best = 0;
    T top = x[0];
    for (int64_t j = 1; j < c; j++)
        if (x[j] > top) {
            best = j;
            top = x[j];
        }
    return best;
}

/* Whether that is at the label, by looks that do not wait for each other: for many classes. */
static bool N(is_best)(const T *x, int64_t c, int64_t label)
{
    const T at = x[label];
    int better = label > 0 && (isnan(x[0]) || isnan(at));
#pragma omp simd reduction(| : better)
    for (int64_t j = 0; j < c; j++)
        better |= (x[j] > at) | ((x[j] >= at) & (j < label));
    return !better;
}

static void N(correct)(const void *args, int64_t lo, int64_t hi)
{
    const struct xent *a = args;
    const int64_t c = a->c;
    int64_t hits = 0;
    for (int64_t r = lo; r < hi; r++) {
        const T *x = (const T *)a->x + r * c;
        const int64_t label = cpu_label(a->label, a->lt, r);
        if (label >= 0 && label < c)
            hits +=
                c > FEW_CLASSES ? CPU_CALL(is_best, x, c, label) : CPU_CALL(best, x, c) == label;
    }
    atomic_fetch_add_explicit(a->hits, hits, memory_order_relaxed);
}

#else

#include "device/cpu/cpu.h"
#include "device/cpu/few.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

struct xent {
    void *y, *loss; /* loss: in xent_back the incoming gradient */
    const void *x, *label, *weight;
    weft_dtype lt;
    int64_t rows, c, ignore;
    double alpha, smoothing, divisor, all; /* all: the sum of the classes' weights */
    bool log_probs, ignores, each;
    _Atomic int64_t *hits;
};

/* Of rows side by side: the sum of powers, the maximum, x at the label, and the formula's u, e/c and sum of w x. */
struct side {
    double sum[SIDE], max[SIDE], at[SIDE], u[SIDE], e[SIDE], mean[SIDE];
};

#define CPU_FAMILY "device/cpu/xent.c"
#include "device/cpu/typed.h"

static struct xent terms(const weft_xent_terms *o, weft_dev label, weft_dtype lt, int64_t rows,
                         int64_t c)
{
    static const weft_xent_terms none;
    o = o ? o : &none;
    return (struct xent){.label = cpu_ptr(label),
                         .weight = cpu_ptr(o->weight),
                         .lt = lt,
                         .rows = rows,
                         .c = c,
                         .ignore = o->ignore,
                         .smoothing = o->smoothing,
                         .divisor = 1,
                         .log_probs = o->log_probs,
                         .ignores = o->ignores,
                         .each = o->each};
}

static void survey(struct xent *a, weft_dev flag, weft_dev divisor, weft_dtype dt)
{
    double *d = cpu_ptr(divisor);
    (dt == WEFT_F32 ? survey_f32_plain : survey_f64_plain)(a, cpu_ptr(flag), flag.addr ? d : NULL);
    a->divisor = d ? *d : 1;
}

weft_status weft__cpu_xent(weft_stream *s, weft_dev loss, weft_dev p, weft_dev flag, weft_dev x,
                           weft_dev label, weft_dtype lt, int64_t rows, int64_t c,
                           const weft_xent_terms *o, weft_dtype dt)
{
    struct xent a = terms(o, label, lt, rows, c);
    if (!cpu_is_label(lt))
        return weft__no_kernel(s->device, "xent", lt);
    a.loss = cpu_ptr(loss);
    a.y = cpu_ptr(p);
    a.x = cpu_ptr(x);
    survey(&a, flag, o ? o->divisor : (weft_dev){0}, dt);
    return weft__cpu_each_row(s, CPU_PAIR(xent), dt, &a, rows, 16 * c);
}

weft_status weft__cpu_xent_back(weft_stream *s, weft_dev gx, weft_dev g, double alpha, weft_dev p,
                                weft_dev label, weft_dtype lt, int64_t rows, int64_t c,
                                const weft_xent_terms *o, weft_dtype dt)
{
    struct xent a = terms(o, label, lt, rows, c);
    if (!cpu_is_label(lt))
        return weft__no_kernel(s->device, "xent_back", lt);
    a.loss = cpu_ptr(g);
    a.y = cpu_ptr(gx);
    a.x = cpu_ptr(p);
    a.alpha = alpha;
    survey(&a, (weft_dev){0}, o ? o->divisor : (weft_dev){0}, dt);
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
