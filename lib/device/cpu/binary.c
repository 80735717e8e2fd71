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

/* The inner loop, for the strides that ops produce and for all others. */
#define LOOP(i, j, G, value)                                                                       \
    do {                                                                                           \
        _Pragma("omp simd") for (int64_t e = 0; e < n; e++)                                        \
        {                                                                                          \
            const C u = LOAD(a[i]), v = LOAD(b[j]), g = G;                                         \
            (void)u, (void)v, (void)g;                                                             \
            y[e] = STORE(value);                                                                   \
        }                                                                                          \
    } while (0)
#define STRIDES(G, value)                                                                          \
    do {                                                                                           \
        if (sa == 1 && sb == 1)                                                                    \
            LOOP(e, e, G, value);                                                                  \
        else if (sa == 1 && sb == 0)                                                               \
            LOOP(e, 0, G, value);                                                                  \
        else if (sa == 0 && sb == 1)                                                               \
            LOOP(0, e, G, value);                                                                  \
        else                                                                                       \
            LOOP(e *sa, e *sb, G, value);                                                          \
    } while (0);                                                                                   \
    break
#define VALUE(op, value, by_u, by_v)                                                               \
    case op:                                                                                       \
        STRIDES(0, value);
#define BY_U(op, value, by_u, by_v)                                                                \
    case op:                                                                                       \
        STRIDES(LOAD(gy[e]), by_u);
#define BY_V(op, value, by_u, by_v)                                                                \
    case op:                                                                                       \
        STRIDES(LOAD(gy[e]), by_v);

static void N(run)(weft_binary op, T *y, const T *a, int64_t sa, const T *b, int64_t sb, int64_t n)
{
    switch (op) {
        BINARIES(VALUE)
    default:
        break;
    }
}

static void N(run_back)(weft_binary op, int input, T *y, const T *gy, const T *a, int64_t sa,
                        const T *b, int64_t sb, int64_t n)
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
#undef STRIDES
#undef VALUE
#undef BY_U
#undef BY_V

static void N(binary)(const void *args, int64_t lo, int64_t hi)
{
    const struct binary *o = args;
    const int last = o->walk.rank - 1;
    const int64_t sa = o->walk.stride[0][last], sb = o->walk.stride[1][last];
    const T *a = o->a, *b = o->b, *gy = o->gy;
    T *y = o->y;
    weft__place p = weft__walk_seek(&o->walk, lo);
    for (int64_t i = lo, n; i < hi; i += n) {
        n = weft__walk_run(&o->walk, &p, hi - i);
        if (gy)
            CPU_CALL(run_back, o->op, o->input, y + i, gy + i, a + p.at[0], sa, b + p.at[1], sb, n);
        else
            CPU_CALL(run, o->op, y + i, a + p.at[0], sa, b + p.at[1], sb, n);
        weft__walk_step(&o->walk, &p, n);
    }
}

#else

#include "device/cpu/cpu.h"
#include "device/cpu/walk.h"

#include <math.h>

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
