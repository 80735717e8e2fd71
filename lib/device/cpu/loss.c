/* Losses of elements with their targets, and their derivatives; <weft/loss.h> has the formulas. */
#ifdef T

/* y[i] = what, with d = x[i] - t[i] and z = |d|. */
#define OF_EACH(what)                                                                              \
    _Pragma("omp simd") for (int64_t i = lo; i < hi; i++)                                          \
    {                                                                                              \
        const T d = x[i] - t[i], z = d < 0 ? -d : d;                                               \
        y[i] = (what);                                                                             \
        (void)z;                                                                                   \
    }

static void N(distance)(const struct loss *a, T *y, const T *x, const T *t, int64_t lo, int64_t hi)
{
    const T b = (T)a->parameter;
    if (a->kind == WEFT_LOSS_MSE)
        OF_EACH(d * d)
    else if (a->kind == WEFT_LOSS_HUBER)
        OF_EACH(z <= b ? d * d / 2 : b * (z - b / 2))
    else
        OF_EACH(z < b ? d * d / (2 * b) : z - b / 2)
}

static void N(slope)(const struct loss *a, T *y, const T *x, const T *t, int64_t lo, int64_t hi)
{
    const T b = (T)a->parameter;
    if (a->kind == WEFT_LOSS_MSE)
        OF_EACH(2 * d)
    else if (a->kind == WEFT_LOSS_HUBER)
        OF_EACH(z <= b ? d : d > 0 ? b : d < 0 ? -b : d)
    else
        OF_EACH(z < b ? d / b : (T)((d > 0) - (d < 0)) + (d - d))
}
#undef OF_EACH

static double N(weight_at)(const struct loss *a, int64_t i)
{
    return a->weight ? (double)((const T *)a->weight)[i % a->c] : 1;
}

static void N(loss)(const void *args, int64_t lo, int64_t hi)
{
    const struct loss *a = args;
    const T *x = a->x, *t = a->t;
    T *y = a->y;
    if (a->kind <= WEFT_LOSS_SMOOTH_L1)
        N(distance)(a, y, x, t, lo, hi);
    for (int64_t i = lo; i < hi && a->kind == WEFT_LOSS_BCE; i++)
        y[i] = (T)bce((double)x[i], (double)t[i], N(weight_at)(a, i));
    for (int64_t i = lo; i < hi && a->kind >= WEFT_LOSS_KL; i++)
        y[i] = (T)kl((double)x[i], (double)t[i], a->kind == WEFT_LOSS_KL_LOG);
}

static void N(loss_back)(const void *args, int64_t lo, int64_t hi)
{
    const struct loss *a = args;
    const T *x = a->x, *t = a->t, *g = a->g;
    const bool near = a->kind <= WEFT_LOSS_SMOOTH_L1, to = a->to_target;
    const T alpha = (T)(near && to ? -a->alpha : a->alpha);
    T *y = a->y;
    if (near)
        N(slope)(a, y, x, t, lo, hi);
    for (int64_t i = lo; i < hi && a->kind == WEFT_LOSS_BCE; i++)
        y[i] = (T)bce_slope((double)x[i], (double)t[i], N(weight_at)(a, i), to);
    for (int64_t i = lo; i < hi && a->kind >= WEFT_LOSS_KL; i++)
        y[i] = (T)kl_slope((double)x[i], (double)t[i], a->kind == WEFT_LOSS_KL_LOG, to);
    for (int64_t i = lo; i < hi; i++)
        y[i] *= alpha * g[a->each ? i : 0];
}

#else

#include "device/cpu/cpu.h"

#include <math.h>

struct loss {
    void *y;
    const void *x, *t, *g, *weight;
    weft_loss_kind kind;
    double parameter, alpha;
    int64_t c;
    bool each, to_target;
};

/* log(1 + exp(-x)) */
static double softplus_of_minus(double x)
{
    return log1p(exp(-fabs(x))) + (x < 0 ? -x : 0);
}

/* 1 / (1 + exp(x)) */
static double logistic_of_minus(double x)
{
    const double e = exp(-fabs(x));
    return (x >= 0 ? e : 1) / (1 + e);
}

static double bce(double x, double t, double w)
{
    return (1 - t) * x + (1 + (w - 1) * t) * softplus_of_minus(x);
}

static double bce_slope(double x, double t, double w, bool to_target)
{
    return to_target ? (w - 1) * softplus_of_minus(x) - x
                     : 1 - t - (1 + (w - 1) * t) * logistic_of_minus(x);
}

static double kl(double x, double t, bool log_target)
{
    return log_target ? exp(t) * (t - x) : t == 0 ? 0 : t * (log(t) - x);
}

static double kl_slope(double x, double t, bool log_target, bool to_target)
{
    if (log_target)
        return to_target ? exp(t) * (t + 1 - x) : -exp(t);
    return !to_target ? -t : t == 0 ? 0 : log(t) + 1 - x;
}

#define CPU_FAMILY "device/cpu/loss.c"
#include "device/cpu/typed.h"

static struct loss terms(const weft_loss_terms *o, weft_dev y, weft_dev x, weft_dev t)
{
    return (struct loss){.y = cpu_ptr(y),
                         .x = cpu_ptr(x),
                         .t = cpu_ptr(t),
                         .weight = cpu_ptr(o->weight),
                         .kind = o->kind,
                         .parameter = o->parameter,
                         .c = o->c,
                         .each = o->each,
                         .to_target = o->to_target};
}

static int64_t cost(const weft_loss_terms *o)
{
    return o->kind <= WEFT_LOSS_SMOOTH_L1 ? 2 : 32;
}

weft_status weft__cpu_loss(weft_stream *s, weft_dev y, weft_dev x, weft_dev t, int64_t n,
                           const weft_loss_terms *o, weft_dtype dt)
{
    const struct loss a = terms(o, y, x, t);
    return weft__cpu_each(s, CPU_PAIR(loss), dt, &a, n, cost(o));
}

weft_status weft__cpu_loss_back(weft_stream *s, weft_dev gx, weft_dev g, double alpha, weft_dev x,
                                weft_dev t, int64_t n, const weft_loss_terms *o, weft_dtype dt)
{
    struct loss a = terms(o, gx, x, t);
    a.g = cpu_ptr(g);
    a.alpha = alpha;
    return weft__cpu_each(s, CPU_PAIR(loss_back), dt, &a, n, cost(o));
}
#endif
