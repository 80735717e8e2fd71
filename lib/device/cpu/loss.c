/* Losses of elements with their targets, and their derivatives; <weft/loss.h> has the formulas. */
#ifdef T

#include "device/cpu/math.h"
#include "device/cpu/log.h"

/* y[i] = what, with d = x[i] - t[i] and z = |d|. */
#define OF_EACH(what)                                                                              \
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++)                                            \
    {                                                                                              \
        const T d = x[i] - t[i], z = d < 0 ? -d : d;                                               \
        y[i] = (what);                                                                             \
        (void)z;                                                                                   \
    }

/* log(1 + exp(-|x|)), and the rest of log(1 + exp(x)). */
CPU_INLINE T N(soft)(T x)
{
    return N(cpu_log_above)(N(cpu_decay)(-OF(absolute)(x)));
}

CPU_INLINE T N(positive)(T x)
{
    return x < 0 ? 0 : x;
}

/* w t log(1 + exp(-x)) + (1 - t) log(1 + exp(x)) */
CPU_INLINE T N(bce)(T x, T t, T w)
{
    return (1 + (w - 1) * t) * N(soft)(x) + (w * t * N(positive)(-x) + (1 - t) * N(positive)(x));
}

CPU_INLINE T N(bce_slope)(T x, T t, T w)
{
    const T e = N(cpu_decay)(-OF(absolute)(x)), large = 1 / (1 + e), small = e * large;
    return (1 - t) * (x < 0 ? small : large) - w * t * (x < 0 ? large : small);
}

CPU_INLINE T N(bce_slope_of_target)(T x, T w)
{
    return (w - 1) * (N(soft)(x) + N(positive)(-x)) - x;
}

CPU_INLINE T N(kl)(T x, T t)
{
    const T y = t * (N(cpu_log)(t) - x);
    return t == 0 ? 0 : y;
}

CPU_INLINE T N(kl_slope_of_target)(T x, T t)
{
    const T y = N(cpu_log)(t) + 1 - x;
    return t == 0 ? 0 : y;
}

static void N(values)(const struct loss *a, T *y, const T *x, const T *t, const T *w, int64_t n)
{
    const T b = (T)a->parameter;
    if (a->kind == WEFT_LOSS_MSE)
        OF_EACH(d * d)
    else if (a->kind == WEFT_LOSS_HUBER)
        OF_EACH(z <= b ? d * d / 2 : b * (z - b / 2))
    else if (a->kind == WEFT_LOSS_SMOOTH_L1)
        OF_EACH(z < b ? d * d / (2 * b) : z - b / 2)
    else if (a->kind == WEFT_LOSS_BCE)
        OF_EACH(N(bce)(x[i], t[i], w[i]))
    else if (a->kind == WEFT_LOSS_KL)
        OF_EACH(N(kl)(x[i], t[i]))
    else
        OF_EACH(N(cpu_exp)(t[i]) * -d)
}

/* By x; of a distance that by the target is its negative. */
static void N(slopes)(const struct loss *a, T *y, const T *x, const T *t, const T *w, int64_t n)
{
    const T b = (T)a->parameter;
    if (a->kind == WEFT_LOSS_MSE)
        OF_EACH(2 * d)
    else if (a->kind == WEFT_LOSS_HUBER)
        OF_EACH(z <= b ? d : d > 0 ? b : d < 0 ? -b : d)
    else if (a->kind == WEFT_LOSS_SMOOTH_L1)
        OF_EACH(z < b ? d / b : (T)((d > 0) - (d < 0)) + (d - d))
    else if (a->kind == WEFT_LOSS_BCE)
        OF_EACH(N(bce_slope)(x[i], t[i], w[i]))
    else if (a->kind == WEFT_LOSS_KL)
        OF_EACH(-t[i])
    else
        OF_EACH(-N(cpu_exp)(t[i]))
}

static void N(slopes_of_target)(const struct loss *a, T *y, const T *x, const T *t, const T *w,
                                int64_t n)
{
    if (a->kind == WEFT_LOSS_BCE)
        OF_EACH(N(bce_slope_of_target)(x[i], w[i]))
    else if (a->kind == WEFT_LOSS_KL)
        OF_EACH(N(kl_slope_of_target)(x[i], t[i]))
    else
        OF_EACH(N(cpu_exp)(t[i]) * (1 - d))
}
#undef OF_EACH

/* Those of the numbers from i on; they repeat. */
static void N(weights)(const struct loss *a, T *w, int64_t i, int64_t n)
{
    const T *from = a->weight;
    int64_t at = i % a->c;
    for (int64_t e = 0; e < n; e++, at = at + 1 < a->c ? at + 1 : 0)
        w[e] = from[at];
}

static void N(ones)(T *w)
{
#pragma omp simd
    for (int e = 0; e < CHUNK; e++)
        w[e] = 1;
}

static void N(loss)(const void *args, int64_t lo, int64_t hi)
{
    const struct loss *a = args;
    T w[CHUNK];
    if (a->kind == WEFT_LOSS_BCE)
        N(ones)(w);
    for (int64_t i = lo, n; i < hi; i += n) {
        n = hi - i < CHUNK ? hi - i : CHUNK;
        if (a->weight)
            N(weights)(a, w, i, n);
        N(values)(a, (T *)a->y + i, (const T *)a->x + i, (const T *)a->t + i, w, n);
    }
}

/* y times alpha times g, of each or one. */
static void N(times)(T *y, T alpha, const T *g, bool each, int64_t n)
{
    const T all = alpha * g[0];
    if (each)
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            y[i] *= alpha * g[i];
    else
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            y[i] *= all;
}

static void N(loss_back)(const void *args, int64_t lo, int64_t hi)
{
    const struct loss *a = args;
    const bool near = a->kind <= WEFT_LOSS_SMOOTH_L1;
    const T alpha = (T)(near && a->to_target ? -a->alpha : a->alpha);
    T w[CHUNK];
    if (a->kind == WEFT_LOSS_BCE)
        N(ones)(w);
    for (int64_t i = lo, n; i < hi; i += n) {
        const T *x = (const T *)a->x + i, *t = (const T *)a->t + i;
        T *y = (T *)a->y + i;
        n = hi - i < CHUNK ? hi - i : CHUNK;
        if (a->weight)
            N(weights)(a, w, i, n);
        if (near || !a->to_target)
            N(slopes)(a, y, x, t, w, n);
        else
            N(slopes_of_target)(a, y, x, t, w, n);
        N(times)(y, alpha, (const T *)a->g + (a->each ? i : 0), a->each, n);
    }
}

#else

#include "device/cpu/cpu.h"

#include <math.h>

#define CHUNK 1024 /* numbers, whose factors come after them while they are near */

struct loss {
    void *y;
    const void *x, *t, *g, *weight;
    weft_loss_kind kind;
    double parameter, alpha;
    int64_t c;
    bool each, to_target;
};

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
