/* y = a op b, a and b strided (0 broadcasts), y contiguous; and the gradients by a and by b. */
#ifdef T

#ifndef LOW
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
    return v == 0 ? 0 : v * OF(power)(u, v - 1);
}

/* u^v log u, where 0^v is constant. */
CPU_INLINE C N(power_by_exponent)(C u, C v)
{
    return u == 0 && v >= 0 ? 0 : OF(power)(u, v) * OF(logarithm)(u);
}
#endif

/* An operator of u and v, and its gradients by u and by v from that of the result, g. */
#define BINARIES(F)                                                                                \
    F(WEFT_ADD, u + v, g, g)                                                                       \
    F(WEFT_MUL, (u * v), (g * v), (g * u))                                                         \
    F(WEFT_SUB, u - v, g, -g)                                                                      \
    F(WEFT_DIV, u / v, g / v, -g * (u / v / v))                                                    \
    F(WEFT_POW, OF(power)(u, v), (g * M(power_by_base)(u, v)), (g * M(power_by_exponent)(u, v)))   \
    F(WEFT_MAXIMUM, M(larger)(u, v), M(share)(g, u, v), M(share)(g, v, u))                         \
    F(WEFT_MINIMUM, M(smaller)(u, v), M(share)(g, v, u), M(share)(g, u, v))

#define LOOP(op, G, value)                                                                         \
    case op:                                                                                       \
        _Pragma("omp simd") for (int64_t e = 0; e < n; e++)                                        \
        {                                                                                          \
            const C u = LOAD(a[e]), v = LOAD(b[e]), g = G;                                         \
            (void)u, (void)v, (void)g;                                                             \
            y[e] = STORE(value);                                                                   \
        }                                                                                          \
        break;
#define VALUE(op, value, by_u, by_v) LOOP(op, 0, value)
#define BY_U(op, value, by_u, by_v) LOOP(op, LOAD(gy[e]), by_u)
#define BY_V(op, value, by_u, by_v) LOOP(op, LOAD(gy[e]), by_v)

static void N(run)(weft_binary op, T *y, const T *a, const T *b, int64_t n)
{
    switch (op) {
        BINARIES(VALUE)
    default:
        break;
    }
}

static void N(run_back)(weft_binary op, int input, T *y, const T *gy, const T *a, const T *b,
                        int64_t n)
{
    if (input == 0)
        switch (op) {
            BINARIES(BY_U)
        default:
            break;
        }
    else
        switch (op) {
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

/* n elements one behind the other: where they lie, or in room. */
static const T *N(line)(T *room, const T *x, int64_t s, int64_t n)
{
    if (s == 1)
        return x;
    if (s == 0)
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            room[i] = x[0];
    else
        for (int64_t i = 0; i < n; i++)
            room[i] = x[i * s];
    return room;
}

static void N(binary)(const void *args, int64_t lo, int64_t hi)
{
    const struct binary *o = args;
    const int last = o->walk.rank - 1;
    const int64_t sa = o->walk.stride[0][last], sb = o->walk.stride[1][last];
    const T *gy = o->gy;
    T *y = o->y, left[CHUNK], right[CHUNK];
    weft__place p = weft__walk_seek(&o->walk, lo);
    for (int64_t i = lo, n; i < hi; i += n) {
        n = weft__walk_run(&o->walk, &p, hi - i);
        if (sa != 1 || sb != 1)
            n = n < CHUNK ? n : CHUNK;
        const T *a = N(line)(left, (const T *)o->a + p.at[0], sa, n);
        const T *b = N(line)(right, (const T *)o->b + p.at[1], sb, n);
        if (gy)
            N(run_back)(o->op, o->input, y + i, gy + i, a, b, n);
        else
            N(run)(o->op, y + i, a, b, n);
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

#define power_f32 powf
#define power_f64 pow
#define logarithm_f32 logf
#define logarithm_f64 log
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
