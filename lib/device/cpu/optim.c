/* One pass of SGD and of Adam, with the roundings of PyTorch's single-tensor implementation: the
 * scalars are formed in f64, rounded to T, and applied in the order written here. */
#ifdef T

CPU_WIDE static void N(sgd)(const void *args, int64_t lo, int64_t hi)
{
    CPU_FLUSH;
    const struct run *r = args;
    const weft_sgd_step *o = r->step;
    const T lr = (T)o->lr, decay = (T)o->weight_decay, mu = (T)o->momentum;
    const int first = o->first, nesterov = o->nesterov;
    const T *g = r->g;
    T *p = r->p, *v = r->v;
    if (o->momentum == 0) {
#pragma omp simd
        for (int64_t i = lo; i < hi; i++)
            p[i] -= lr * (g[i] + decay * p[i]);
        return;
    }
#pragma omp simd
    for (int64_t i = lo; i < hi; i++) {
        T d = g[i] + decay * p[i];
        T mixed = v[i] * mu + d, m = first ? d : mixed, ahead = d + mu * m;
        v[i] = m;
        p[i] -= lr * (nesterov ? ahead : m);
    }
}

CPU_WIDE static void N(adam)(const void *args, int64_t lo, int64_t hi)
{
    CPU_FLUSH;
    const struct run *r = args;
    const weft_adam_step *o = r->step;
    const T decay = (T)o->weight_decay, eps = (T)o->eps, rate = (T)(o->lr / o->correct1);
    const T beta2 = (T)o->beta2, w2 = (T)(1 - o->beta2), root2 = (T)sqrt(o->correct2);
    /* The first moment is formed from the nearer end: m + (1-beta1) (g - m) or g - beta1 (g - m). */
    const int near = 1 - o->beta1 < 0.5;
    const T w = near ? (T)(1 - o->beta1) : -(T)o->beta1;
    const T *g = r->g;
    T *p = r->p, *m = r->m, *v = r->v;
#pragma omp simd
    for (int64_t i = lo; i < hi; i++) {
        T d = g[i] + decay * p[i];
        T old = m[i], end = near ? old : d, mi = end + w * (d - old);
        T vi = v[i] * beta2 + w2 * d * d;
        m[i] = mi;
        v[i] = vi;
        p[i] -= rate * mi / (N(root)(vi) / root2 + eps);
    }
}

#else

#include "device/cpu/cpu.h"

#include <math.h>

struct run {
    void *p, *m, *v;
    const void *g;
    const void *step;
};

#define root_f32 sqrtf
#define root_f64 sqrt
#define CPU_FAMILY "device/cpu/optim.c"
#include "device/cpu/typed.h"

weft_status weft__cpu_sgd(weft_stream *s, weft_dev p, weft_dev v, weft_dev g, int64_t n,
                          const weft_sgd_step *o, weft_dtype dt)
{
    const struct run r = {.p = cpu_ptr(p), .v = cpu_ptr(v), .g = cpu_ptr(g), .step = o};
    return weft__cpu_each(s, CPU_PAIR(sgd), dt, &r, n, 2);
}

weft_status weft__cpu_adam(weft_stream *s, weft_dev p, weft_dev m, weft_dev v, weft_dev g,
                           int64_t n, const weft_adam_step *o, weft_dtype dt)
{
    const struct run r = {
        .p = cpu_ptr(p), .m = cpu_ptr(m), .v = cpu_ptr(v), .g = cpu_ptr(g), .step = o};
    return weft__cpu_each(s, CPU_PAIR(adam), dt, &r, n, 8);
}
#endif
