/* Cross entropy of rows of logits with labels, its gradient, and the count of hits.
 *   loss = log sum exp(x - max) + (max - x[label]),   p = exp(x - max) / sum
 * <weft/sys/kernels.h> has the formula with weights and smoothing. */
#ifdef T
#include "device/cpu/softmax.h"

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

static void N(xent)(const void *args, int64_t lo, int64_t hi)
{
    const struct xent *a = args;
    const double spread = a->smoothing / (double)a->c;
    for (int64_t r = lo; r < hi; r++) {
        const T *x = (const T *)a->x + r * a->c;
        T *p = (T *)a->y + r * a->c, *loss = (T *)a->loss + r, m = 0;
        const int64_t label = cpu_label(a->label, a->lt, r);
        const bool counts = !a->ignores || label != a->ignore, good = label >= 0 && label < a->c;
        const double u = good ? (1 - a->smoothing) * CPU_CALL(weight_of, a, label) : 0;
        if (r + 1 < hi)
            fetch_ahead(x + a->c, a->c * (int64_t)sizeof *x);
        const T at = good ? x[label] : (T)NAN; /* read before p, which may lie on x */
        const double mean = spread > 0 && counts ? CPU_CALL(weighted, a, x) : 0;
        const double sum = a->log_probs ? 1 : N(powers)(p, x, a->c, &m);
        const double smooth = spread > 0 ? spread * (a->all * (log(sum) + (double)m) - mean) : 0;
        const double hit = good && u == 0 ? 0 : log(sum) + ((double)m - (double)at);
        const double whole = counts ? (good ? u * hit : hit) + smooth : 0;
        const T part = (T)(1 / sum);
        *loss = (T)(whole / a->divisor); /* NaN where nothing counts */
#pragma omp simd
        for (int64_t j = 0; j < (a->log_probs ? 0 : a->c); j++)
            p[j] *= part;
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
    void *y, *loss; /* loss: in xent_back the incoming gradient */
    const void *x, *label, *weight;
    weft_dtype lt;
    int64_t rows, c, ignore;
    double alpha, smoothing, divisor, all; /* all: the sum of the classes' weights */
    bool log_probs, ignores, each;
    _Atomic int64_t *hits;
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
