/* y = silu(a) b, silu(a) = a s(a), s(a) = 1 / (1 + exp(-a)) (Shazeer, "GLU variants improve
 * transformer", 2020). gb = gy silu(a), ga = gy b s(a) (1 + a (1 - s(a))). */
#ifdef T
#ifndef LOW
#include "device/cpu/math.h"
#endif

static void N(swiglu)(const void *args, int64_t lo, int64_t hi)
{
    const struct swiglu *t = args;
    const T *as = t->a, *bs = t->b;
    T *y = t->y;
#pragma omp simd
    for (int64_t i = lo; i < hi; i++) {
        const C a = LOAD(as[i]);
        y[i] = STORE(a * M(cpu_sigmoid)(a) * LOAD(bs[i]));
    }
}

static void N(swiglu_back)(const void *args, int64_t lo, int64_t hi)
{
    const struct swiglu *t = args;
    const T *as = t->a, *bs = t->b, *gs = t->gy;
    T *ga = t->y, *gb = t->gb;
    if (ga)
#pragma omp simd
        for (int64_t i = lo; i < hi; i++) {
            const C a = LOAD(as[i]), s = M(cpu_sigmoid)(a);
            ga[i] = STORE(LOAD(gs[i]) * LOAD(bs[i]) * (s * (1 + a * (1 - s))));
        }
    if (gb)
#pragma omp simd
        for (int64_t i = lo; i < hi; i++) {
            const C a = LOAD(as[i]);
            gb[i] = STORE(LOAD(gs[i]) * (a * M(cpu_sigmoid)(a)));
        }
}

#else

#include "device/cpu/cpu.h"

#include <math.h>

#define COST 20 /* of an element: the exponential */

struct swiglu {
    void *y, *gb;
    const void *a, *b, *gy;
};

#define CPU_LOW
#define CPU_FAMILY "device/cpu/swiglu.c"
#include "device/cpu/typed.h"

weft_status weft__cpu_swiglu(weft_stream *s, weft_dev y, weft_dev a, weft_dev b, int64_t n,
                             weft_dtype dt)
{
    const struct swiglu t = {.y = cpu_ptr(y), .a = cpu_ptr(a), .b = cpu_ptr(b)};
    return weft__cpu_each(s, CPU_FLOATS(swiglu), dt, &t, n, COST);
}

weft_status weft__cpu_swiglu_back(weft_stream *s, weft_dev ga, weft_dev gb, weft_dev gy, weft_dev a,
                                  weft_dev b, int64_t n, weft_dtype dt)
{
    const struct swiglu t = {
        .y = cpu_ptr(ga), .gb = cpu_ptr(gb), .gy = cpu_ptr(gy), .a = cpu_ptr(a), .b = cpu_ptr(b)};
    return weft__cpu_each(s, CPU_FLOATS(swiglu_back), dt, &t, n, 2 * COST);
}
#endif
