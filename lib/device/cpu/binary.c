/* y = a op b, a and b strided (0 broadcasts), y contiguous; and the gradients by a and by b. Numbers of 16
 * bits are brought to f32 first, but for sums and products of those that lie one behind the other. */
#ifdef T

#ifndef LOW
#include "device/cpu/math.h"
#include "device/cpu/log.h"
#include "device/cpu/power.h"

/* NaN is handed on. */
CPU_INLINE C N(larger)(C u, C v)
{
    return u > v || u != u ? u : v;
}

CPU_INLINE C N(smaller)(C u, C v)
{
    return u < v || u != u ? u : v;
}

/* g to the larger of u and v, if that is u; equal ones share it. */
CPU_INLINE C N(share)(C g, C u, C v)
{
    return u < v ? 0 : u == v ? g / 2 : g;
}

/* v u^(v-1), where u^0 is constant. */
CPU_INLINE C N(power_by_base)(C u, C v)
{
    const C y = v * M(cpu_pow)(u, v - 1);
    return v == 0 ? 0 : y;
}

/* u^v log u, where 0^v is constant. */
CPU_INLINE C N(power_by_exponent)(C u, C v)
{
    const C y = M(cpu_pow)(u, v) * M(cpu_log)(u);
    return (u == 0) & (v >= 0) ? 0 : y;
}

/* An operator of u and v, and its gradients by u and by v from that of the result, g. */
#define BINARIES(F)                                                                                \
    F(WEFT_ADD, u + v, g, g)                                                                       \
    F(WEFT_MUL, (u * v), (g * v), (g * u))                                                         \
    F(WEFT_SUB, u - v, g, -g)                                                                      \
    F(WEFT_DIV, u / v, g / v, -g * (u / v / v))                                                    \
    F(WEFT_POW, M(cpu_pow)(u, v), (g * N(power_by_base)(u, v)), (g * N(power_by_exponent)(u, v)))  \
    F(WEFT_MAXIMUM, N(larger)(u, v), N(share)(g, u, v), N(share)(g, v, u))                         \
    F(WEFT_MINIMUM, N(smaller)(u, v), N(share)(g, v, u), N(share)(g, u, v))
#define LOOP(op, G, value)                                                                         \
    case op:                                                                                       \
        _Pragma("omp simd") for (int64_t e = 0; e < n; e++)                                        \
        {                                                                                          \
            const C u = a[e], v = b[e], g = G;                                                     \
            (void)u, (void)v, (void)g;                                                             \
            y[e] = value;                                                                          \
        }                                                                                          \
        break;
#define VALUE(op, value, by_u, by_v) LOOP(op, 0, value)
#define BY_U(op, value, by_u, by_v) LOOP(op, gy[e], by_u)
#define BY_V(op, value, by_u, by_v) LOOP(op, gy[e], by_v)

static void N(run)(weft_binary op, C *y, const C *a, const C *b, int64_t n)
{
    switch (op) {
        BINARIES(VALUE)
    default:
        break;
    }
}

static void N(run_back)(const struct binary *o, C *y, const C *gy, const C *a, const C *b,
                        int64_t n)
{
    if (o->input == 0)
        switch (o->op) {
            BINARIES(BY_U)
        default:
            break;
        }
    else
        switch (o->op) {
            BINARIES(BY_V)
        default:
            break;
        }
}
#undef BINARIES
#undef LOOP
#undef VALUE
#undef BY_U
#undef BY_V
#else

/* Whether it was one of those that are straight. */
static bool N(straight)(weft_binary op, T *y, const T *a, const T *b, int64_t n)
{
    if (op == WEFT_ADD)
#pragma omp simd
        for (int64_t e = 0; e < n; e++)
            y[e] = STORE(LOAD(a[e]) + LOAD(b[e]));
    else if (op == WEFT_MUL)
#pragma omp simd
        for (int64_t e = 0; e < n; e++)
            y[e] = STORE(LOAD(a[e]) * LOAD(b[e]));
    return op == WEFT_ADD || op == WEFT_MUL;
}
#endif

/* n elements one behind the other: where they lie, or in room. */
static const C *N(line)(C *room, const T *x, int64_t s, int64_t n)
{
#ifndef LOW
    if (s == 1)
        return x;
#else
    if (s == 1)
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            room[i] = LOAD(x[i]);
    else
#endif
    if (s == 0)
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            room[i] = LOAD(x[0]);
    else
        for (int64_t i = 0; i < n; i++)
            room[i] = LOAD(x[i * s]);
    return room;
}

/* n at most CHUNK where something must be brought together. */
static void N(some)(const struct binary *o, int64_t i, const T *a, int64_t sa, const T *b,
                    int64_t sb, int64_t n)
{
    const T *gy = o->gy ? (const T *)o->gy + i : NULL;
    C left[CHUNK], right[CHUNK];
    const C *u = N(line)(left, a, sa, n), *v = N(line)(right, b, sb, n);
#ifdef LOW
    C to[CHUNK], from[CHUNK];
    const C *g = gy ? N(line)(from, gy, 1, n) : NULL;
#else
    C *to = (C *)o->y + i;
    const C *g = gy;
#endif
    if (g)
        M(run_back)(o, to, g, u, v, n);
    else
        M(run)(o->op, to, u, v, n);
#ifdef LOW
    T *y = (T *)o->y + i;
#pragma omp simd
    for (int64_t e = 0; e < n; e++)
        y[e] = STORE(to[e]);
#endif
}

static void N(binary)(const void *args, int64_t lo, int64_t hi)
{
    const struct binary *o = args;
    const int last = o->walk.rank - 1;
    const int64_t sa = o->walk.stride[0][last], sb = o->walk.stride[1][last];
    const bool near = sa == 1 && sb == 1;
    weft__place p = weft__walk_seek(&o->walk, lo);
    for (int64_t i = lo, n; i < hi; i += n) {
        const T *a = (const T *)o->a + p.at[0], *b = (const T *)o->b + p.at[1];
        n = weft__walk_run(&o->walk, &p, hi - i);
#ifdef LOW
        if (near && !o->gy && N(straight)(o->op, (T *)o->y + i, a, b, n)) {
            weft__walk_step(&o->walk, &p, n);
            continue;
        }
        n = n < CHUNK ? n : CHUNK;
#endif
        if (!near)
            n = n < CHUNK ? n : CHUNK;
        N(some)(o, i, a, sa, b, sb, n);
        weft__walk_step(&o->walk, &p, n);
    }
}

#else

#include "device/cpu/cpu.h"
#include "device/cpu/walk.h"

#include <math.h>

#define CHUNK 256 /* elements that strides have apart are brought together so many at a time */

struct binary {
    weft_binary op;
    int input;
    void *y;
    const void *a, *b, *gy; /* gy: of a gradient */
    weft__walk walk;
};

#define CPU_LOW
#define CPU_FAMILY "device/cpu/binary.c"
#include "device/cpu/typed.h"

weft_status weft__cpu_binary(weft_stream *s, weft_binary op, weft_dev y, weft_dev a,
                             const int64_t *astride, weft_dev b, const int64_t *bstride, int rank,
                             const int64_t *shape, weft_dtype dt)
{
    const int64_t *const stride[] = {astride, bstride};
    struct binary o = {.op = op, .y = cpu_ptr(y), .a = cpu_ptr(a), .b = cpu_ptr(b)};
    weft__walk_of(&o.walk, 2, rank, shape, stride);
    return weft__cpu_each(s, CPU_FLOATS(binary), dt, &o, o.walk.numel, op == WEFT_POW ? 16 : 1);
}

weft_status weft__cpu_binary_back(weft_stream *s, weft_binary op, int input, weft_dev gx,
                                  weft_dev gy, weft_dev a, const int64_t *astride, weft_dev b,
                                  const int64_t *bstride, int rank, const int64_t *shape,
                                  weft_dtype dt)
{
    const int64_t *const stride[] = {astride, bstride};
    struct binary o = {.op = op,
                       .input = input,
                       .y = cpu_ptr(gx),
                       .a = cpu_ptr(a),
                       .b = cpu_ptr(b),
                       .gy = cpu_ptr(gy)};
    weft__walk_of(&o.walk, 2, rank, shape, stride);
    return weft__cpu_each(s, CPU_FLOATS(binary), dt, &o, o.walk.numel, op == WEFT_POW ? 16 : 1);
}
#endif
