/* One pass of each optimizer, with the roundings of PyTorch's single-tensor implementation: the
 * scalars are formed in f64, rounded to T, and applied in the order written here. What a step leaves
 * out is there as a multiplication with 1 or the addition of 0, which changes no bits, or, where it
 * would cost memory traffic, as a loop of its own that the compiler makes of a constant. In 16 bits
 * there are the parameters alone: gradients and moments are of type C. */
#ifdef T

CPU_INLINE void N(sgd_pass)(const struct run *r, int64_t lo, int64_t hi, const int momentum,
                            const int nesterov)
{
    const weft_sgd_step *o = r->step;
    const C lr = (C)o->lr, decay = (C)o->weight_decay, mu = (C)o->momentum;
    const C sign = o->maximize ? -1 : 1;
    const C keep = o->first ? 0 : mu, fresh = o->first ? 1 : (C)(1 - o->dampening);
    const C *g = r->g, by = (C)r->by;
    T *p = r->p;
    C *v = r->v;
#pragma omp simd
    for (int64_t i = lo; i < hi; i++) {
        const C at = LOAD(p[i]);
        C d = sign * (g[i] * by) + decay * at, m = d;
        if (momentum)
            v[i] = m = v[i] * keep + fresh * d;
        p[i] = STORE(at - lr * (nesterov ? d + mu * m : m));
    }
}

static void N(sgd)(const void *args, int64_t lo, int64_t hi)
{
    CPU_FLUSH;
    const struct run *r = args;
    const weft_sgd_step *o = r->step;
    if (o->momentum == 0)
        N(sgd_pass)(r, lo, hi, 0, 0);
    else if (o->nesterov)
        N(sgd_pass)(r, lo, hi, 1, 1);
    else
        N(sgd_pass)(r, lo, hi, 1, 0);
}

/* What a step is made of; inverse: 1 / root2. */
struct N(adam_numbers) {
    C by, eps, rate, sign, decay, keep, beta2, w2, root2, inverse, w;
    int near;
};

/* The first moment is formed from the nearer end: m + (1-beta1) (g - m) or g - beta1 (g - m). */
CPU_INLINE struct N(adam_numbers) N(adam_numbers)(const struct run *r)
{
    const weft_adam_step *o = r->step;
    const int near = 1 - o->beta1 < 0.5;
    return (struct N(adam_numbers)){.by = (C)r->by,
                                    .eps = (C)o->eps,
                                    .rate = (C)(o->lr / o->correct1),
                                    .sign = o->maximize ? -1 : 1,
                                    .decay = o->decoupled ? 0 : (C)o->weight_decay,
                                    .keep = o->decoupled ? (C)(1 - o->lr * o->weight_decay) : 1,
                                    .beta2 = (C)o->beta2,
                                    .w2 = (C)(1 - o->beta2),
                                    .root2 = (C)sqrt(o->correct2),
                                    .inverse = 1 / (C)sqrt(o->correct2),
                                    .w = near ? (C)(1 - o->beta1) : -(C)o->beta1,
                                    .near = near};
}

/* x / root2, rounded as a division rounds it, by its rest (P. W. Markstein, Computation of elementary functions on the IBM RISC
 * System/6000 processor, 1990): roots and quotients are what a pass waits for. An infinity leaves no rest. */
CPU_INLINE C N(over_root2)(C x, const struct N(adam_numbers) o)
{
#ifdef FUSES
    const C near = x * o.inverse, rest = OF(fma)(-o.root2, near, x);
    return rest == rest ? OF(fma)(rest, o.inverse, near) : near;
#else
    return x / o.root2;
#endif
}

/* exact, if it is there, gets what would go to p. */
CPU_INLINE void N(adam_pass)(const struct run *r, const struct N(adam_numbers) o, int64_t lo,
                             int64_t hi, const int amsgrad, C *exact)
{
    const C *g = r->g;
    T *p = r->p;
    C *m = r->m, *v = r->v, *top = r->top;
#pragma omp simd
    for (int64_t i = lo; i < hi; i++) {
        const C at = LOAD(p[i]);
        C d = o.sign * (g[i] * o.by) + o.decay * at;
        C old = m[i], end = o.near ? old : d, mi = end + o.w * (d - old);
        C vi = v[i] * o.beta2 + o.w2 * d * d, most = vi;
        m[i] = mi;
        v[i] = vi;
        if (amsgrad)
            top[i] = most = vi >= top[i] || vi != vi ? vi : top[i];
        const C to = at * o.keep - o.rate * mi / (N(over_root2)(OF(root)(most), o) + o.eps);
        if (exact)
            exact[i - lo] = to;
        else
            p[i] = STORE(to);
    }
}

/* What lies further on is on its way while roots and quotients are taken. */
CPU_INLINE void N(adam_blocks)(const struct run *r, int64_t lo, int64_t hi, const int amsgrad)
{
    const struct N(adam_numbers) o = N(adam_numbers)(r);
    int64_t i = lo;
    for (; i + BLOCK <= hi; i += BLOCK) {
        for (int64_t j = i; j < i + BLOCK; j += 64 / (int64_t)sizeof(C)) {
            CPU_AHEAD((const T *)r->p + j);
            CPU_AHEAD((const C *)r->g + j);
            CPU_AHEAD((const C *)r->m + j);
            CPU_AHEAD((const C *)r->v + j);
        }
        N(adam_pass)(r, o, i, i + BLOCK, amsgrad, NULL);
    }
    N(adam_pass)(r, o, i, hi, amsgrad, NULL);
}

#ifdef LOW
/* Where numbers are rounded at random. */
static void N(adam_chance)(const struct run *r, int64_t lo, int64_t hi)
{
    const weft_adam_step *o = r->step;
    T *p = r->p;
    C exact[CHUNK];
    uint32_t room[WORDS_ROOM(CHUNK / 2 + 1)];
    for (int64_t at = lo, end; at < hi; at = end) {
        end = hi - at > CHUNK ? at + CHUNK : hi;
        if (r->top)
            N(adam_pass)(r, N(adam_numbers)(r), at, end, 1, exact);
        else
            N(adam_pass)(r, N(adam_numbers)(r), at, end, 0, exact);
        const int64_t first = o->number + at, odd = first % 2;
        const uint32_t *word = weft__cpu_words(room, o->seed, o->stream, o->t, (uint64_t)first / 2,
                                               (end - at + odd + 1) / 2);
#pragma omp simd
        for (int64_t i = 0; i < end - at; i++)
            p[at + i] = CHANCE(exact[i], word[(i + odd) / 2] >> 16 * ((i + odd) % 2) & 0xFFFF);
    }
}
#endif

static void N(adam)(const void *args, int64_t lo, int64_t hi)
{
    CPU_FLUSH;
    const struct run *r = args;
#ifdef LOW
    if (((const weft_adam_step *)r->step)->chance) {
        N(adam_chance)(r, lo, hi);
        return;
    }
#endif
    if (r->top)
        N(adam_blocks)(r, lo, hi, 1);
    else
        N(adam_blocks)(r, lo, hi, 0);
}

CPU_INLINE void N(rmsprop_pass)(const struct run *r, int64_t lo, int64_t hi, const int centered,
                                const int momentum)
{
    const weft_rmsprop_step *o = r->step;
    const C lr = (C)o->lr, eps = (C)o->eps, decay = (C)o->weight_decay, mu = (C)o->momentum;
    const C sign = o->maximize ? -1 : 1, alpha = (C)o->alpha, fresh = (C)(1 - o->alpha);
    const int near = 1 - o->alpha < 0.5; /* as in adam */
    const C w = near ? fresh : -alpha;
    const C *g = r->g, by = (C)r->by;
    T *p = r->p;
    C *v = r->v, *b = r->m, *mean = r->top;
#pragma omp simd
    for (int64_t i = lo; i < hi; i++) {
        const C at = LOAD(p[i]);
        C d = sign * (g[i] * by) + decay * at, vi = v[i] * alpha + fresh * d * d, spread = vi;
        v[i] = vi;
        if (centered) {
            C old = mean[i], end = near ? old : d, mi = end + w * (d - old);
            mean[i] = mi;
            spread = vi - mi * mi;
        }
        C size = OF(root)(spread) + eps;
        if (momentum) {
            C bi = b[i] * mu + d / size;
            b[i] = bi;
            p[i] = STORE(at - lr * bi);
        } else {
            p[i] = STORE(at - lr * d / size);
        }
    }
}

static void N(rmsprop)(const void *args, int64_t lo, int64_t hi)
{
    CPU_FLUSH;
    const struct run *r = args;
    const int momentum = ((const weft_rmsprop_step *)r->step)->momentum > 0;
    if (r->top && momentum)
        N(rmsprop_pass)(r, lo, hi, 1, 1);
    else if (r->top)
        N(rmsprop_pass)(r, lo, hi, 1, 0);
    else if (momentum)
        N(rmsprop_pass)(r, lo, hi, 0, 1);
    else
        N(rmsprop_pass)(r, lo, hi, 0, 0);
}

static void N(adagrad)(const void *args, int64_t lo, int64_t hi)
{
    CPU_FLUSH;
    const struct run *r = args;
    const weft_adagrad_step *o = r->step;
    const C lr = (C)o->lr, eps = (C)o->eps, decay = (C)o->weight_decay;
    const C sign = o->maximize ? -1 : 1;
    const C *g = r->g, by = (C)r->by;
    T *p = r->p;
    C *v = r->v;
#pragma omp simd
    for (int64_t i = lo; i < hi; i++) {
        const C at = LOAD(p[i]);
        C d = sign * (g[i] * by) + decay * at, vi = v[i] + d * d;
        v[i] = vi;
        p[i] = STORE(at - lr * d / (OF(root)(vi) + eps));
    }
}

#else

#include "device/cpu/cpu.h"
#include "device/cpu/words.h"

#include <math.h>

#define BLOCK 32  /* elements: two vectors of the longest */
#define CHUNK 256 /* elements that are rounded at random together */

struct run {
    void *p, *m, *v, *top;
    const void *g;
    double by; /* what g is multiplied by */
    const void *step;
};

#define root_f32 sqrtf
#define root_f64 sqrt
#define fma_f32 fmaf
#define fma_f64 fma
#define CPU_LOW
#define CPU_FAMILY "device/cpu/optim.c"
#include "device/cpu/typed.h"

static bool is_off(weft_dev unless)
{
    const int64_t *p = cpu_ptr(unless);
    return p && *p;
}

static double number(weft_dev by)
{
    const double *p = cpu_ptr(by);
    return p ? *p : 1;
}

static weft_status each_run(weft_stream *s, const weft__cpu_kernel *k, weft_dtype dt,
                            const struct run *all, const int64_t *run, int64_t runs, int cost)
{
    const size_t own = weft_dtype_size(dt), other = own < sizeof(float) ? sizeof(float) : own;
    for (int64_t i = 0; i < runs; i++) {
        const size_t at = (size_t)run[2 * i];
        struct run r = *all;
        r.p = (char *)r.p + at * own;
        r.g = (const char *)r.g + at * other;
        r.m = r.m ? (char *)r.m + at * other : NULL;
        r.v = r.v ? (char *)r.v + at * other : NULL;
        r.top = r.top ? (char *)r.top + at * other : NULL;
        WEFT_TRY(weft__cpu_each(s, k, dt, &r, run[2 * i + 1], cost));
    }
    return WEFT_OK;
}

weft_status weft__cpu_sgd(weft_stream *s, weft_dev p, weft_dev v, weft_dev g, weft_dev by,
                          weft_dev unless, const int64_t *run, int64_t runs, const weft_sgd_step *o,
                          weft_dtype dt)
{
    if (is_off(unless))
        return WEFT_OK;
    const struct run r = {
        .p = cpu_ptr(p), .v = cpu_ptr(v), .g = cpu_ptr(g), .by = number(by), .step = o};
    return each_run(s, CPU_FLOATS(sgd), dt, &r, run, runs, 2);
}

weft_status weft__cpu_adam(weft_stream *s, weft_dev p, weft_dev m, weft_dev v, weft_dev top,
                           weft_dev g, weft_dev by, weft_dev unless, const int64_t *run,
                           int64_t runs, const weft_adam_step *o, weft_dtype dt)
{
    if (is_off(unless))
        return WEFT_OK;
    const struct run r = {.p = cpu_ptr(p),
                          .m = cpu_ptr(m),
                          .v = cpu_ptr(v),
                          .top = cpu_ptr(top),
                          .g = cpu_ptr(g),
                          .by = number(by),
                          .step = o};
    return each_run(s, CPU_FLOATS(adam), dt, &r, run, runs, 8);
}

weft_status weft__cpu_rmsprop(weft_stream *s, weft_dev p, weft_dev v, weft_dev b, weft_dev mean,
                              weft_dev g, weft_dev by, weft_dev unless, const int64_t *run,
                              int64_t runs, const weft_rmsprop_step *o, weft_dtype dt)
{
    if (is_off(unless))
        return WEFT_OK;
    const struct run r = {.p = cpu_ptr(p),
                          .m = cpu_ptr(b),
                          .v = cpu_ptr(v),
                          .top = cpu_ptr(mean),
                          .g = cpu_ptr(g),
                          .by = number(by),
                          .step = o};
    return each_run(s, CPU_FLOATS(rmsprop), dt, &r, run, runs, 8);
}

weft_status weft__cpu_adagrad(weft_stream *s, weft_dev p, weft_dev v, weft_dev g, weft_dev by,
                              weft_dev unless, const int64_t *run, int64_t runs,
                              const weft_adagrad_step *o, weft_dtype dt)
{
    if (is_off(unless))
        return WEFT_OK;
    const struct run r = {
        .p = cpu_ptr(p), .v = cpu_ptr(v), .g = cpu_ptr(g), .by = number(by), .step = o};
    return each_run(s, CPU_FLOATS(adagrad), dt, &r, run, runs, 8);
}
#endif
