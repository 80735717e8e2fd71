/* What else is made of random numbers: normal values, by the inverse of their distribution's function,
 * and dropout. */
#ifdef T

#ifndef LOW
static void N(normal)(const void *args, int64_t lo, int64_t hi)
{
    const struct normal *a = args;
    const weft_normal_terms *o = a->o;
    T *y = a->y;
    for (int64_t i = lo; i < hi; i++) {
        const double u = weft__uniform_f64(a->seed, a->stream, 0, (uint64_t)i);
        const double q = o->lo + (o->hi - o->lo) * u;
        y[i] = (T)(o->mean + o->std * cpu_quantile(q));
    }
}
#endif

/* Elements are taken in runs of one row. */
static void N(dropout)(const void *args, int64_t lo, int64_t hi)
{
    const struct dropout *a = args;
    const weft_dropout_terms *o = a->o;
    const C keep = (C)(1 / (1 - o->p));
    const T *x = a->x;
    T *y = a->y;
    while (lo < hi) {
        const int64_t line = lo / o->inner, in = lo % o->inner, left = o->inner - in;
        const int64_t end = lo + left < hi ? lo + left : hi;
        const int64_t row = o->base + line % o->rows, outer = line / o->rows;
        uint64_t n = (uint64_t)((row * o->outer + outer) * o->inner + in);
        uint32_t w[4];
        for (bool fresh = true; lo < end; lo++, n++, fresh = false) {
            if (fresh || n % 4 == 0)
                weft__draw(o->seed, o->stream, o->step, n / 4, w);
            y[lo] = w[n % 4] < a->below ? 0 : STORE(LOAD(x[lo]) * keep);
        }
    }
}

#else

#include "core/rng.h"
#include "device/cpu/cpu.h"
#include "device/cpu/quantile.h"

struct normal {
    void *y;
    uint64_t seed, stream;
    const weft_normal_terms *o;
};

struct dropout {
    void *y;
    const void *x;
    uint64_t below;
    const weft_dropout_terms *o;
};

#define CPU_LOW
#define CPU_FAMILY "device/cpu/normal.c"
#include "device/cpu/typed.h"

weft_status weft__cpu_normal(weft_stream *s, weft_dev y, uint64_t seed, uint64_t stream, int64_t n,
                             const weft_normal_terms *o, weft_dtype dt)
{
    const struct normal a = {cpu_ptr(y), seed, stream, o};
    return weft__cpu_each(s, CPU_PAIR(normal), dt, &a, n, 32);
}

weft_status weft__cpu_dropout(weft_stream *s, weft_dev y, weft_dev x, const weft_dropout_terms *o,
                              weft_dtype dt)
{
    const struct dropout a = {cpu_ptr(y), cpu_ptr(x), (uint64_t)(o->p * 0x1p32 + 0.5), o};
    return weft__cpu_each(s, CPU_FLOATS(dropout), dt, &a, o->outer * o->rows * o->inner, 8);
}
#endif
