/* y = f(x) element by element, and gx = gy f'(x), from x and y. Those of 16 bits go by way of f32, so many at a
 * time that they stay in the nearest cache. */
#ifdef T
#ifndef LOW
#include "device/cpu/math.h"
#include "device/cpu/log.h"
#include "device/cpu/power.h"
#include "device/cpu/sines.h"

CPU_INLINE C N(sign)(C x)
{
    return (C)((x > 0) - (x < 0));
}

/* (x s)' of s = sigmoid(x) */
CPU_INLINE C N(silu_slope)(C x)
{
    const C s = N(cpu_sigmoid)(x);
    return N(fused)(x, N(fused)(-s, s, s), s);
}

/* The normal distribution's: half of 1 + erf(x / sqrt(2)). */
CPU_INLINE C N(normal)(C x)
{
    return (C)0.5 * (1 + N(cpu_erf)(x * (C)ROOT_HALF));
}

CPU_INLINE C N(gelu_slope)(C x)
{
    return N(normal)(x) + x * (C)NORMAL_PEAK * N(cpu_decay)(x * x * (C)-0.5);
}

/* Half of 1 + tanh(u) is sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3). */
CPU_INLINE C N(gate)(C x)
{
    return N(cpu_sigmoid)(x * N(fused)(x * x, (C)(TWICE_ROOT * CUBIC), (C)TWICE_ROOT));
}

CPU_INLINE C N(gelu_tanh_slope)(C x)
{
    const C s = N(gate)(x);
    const C slope = N(fused)(x * x, (C)(3 * TWICE_ROOT * CUBIC), (C)TWICE_ROOT);
    return N(fused)(x * slope, N(fused)(-s, s, s), s);
}

/* The upper bound counts where they cross; NaN stays. */
CPU_INLINE C N(clamp)(C x, C low, C high)
{
    const C raised = x < low ? low : x;
    return raised > high ? high : raised;
}

/* The function of x and its gradient from that of the result, g, by way of x or the result, y. */
#define UNARIES(F)                                                                                 \
    F(WEFT_NEG, -x, -g)                                                                            \
    F(WEFT_ABS, OF(absolute)(x), (g * M(sign)(x)))                                                 \
    F(WEFT_EXP, M(cpu_exp)(x), (g * y))                                                            \
    F(WEFT_LOG, M(cpu_log)(x), g / x)                                                              \
    F(WEFT_SQRT, OF(sqrt)(x), g / (2 * y))                                                         \
    F(WEFT_CLAMP, M(clamp)(x, p, q), x > p && x < q ? g : 0)                                       \
    F(WEFT_SIGMOID, M(cpu_sigmoid)(x), (g * y * (1 - y)))                                          \
    F(WEFT_TANH, M(cpu_tanh)(x), (g * (1 - y * y)))                                                \
    F(WEFT_SILU, (x * M(cpu_sigmoid)(x)), (g * M(silu_slope)(x)))                                  \
    F(WEFT_GELU, (x * M(normal)(x)), (g * M(gelu_slope)(x)))                                       \
    F(WEFT_GELU_TANH, (x * M(gate)(x)), (g * M(gelu_tanh_slope)(x)))
#define VALUE(f, value, gradient)                                                                  \
    case f:                                                                                        \
        _Pragma("omp simd") for (int64_t i = lo; i < hi; i++)                                      \
        {                                                                                          \
            const C x = xs[i];                                                                     \
            out[i] = value;                                                                        \
        }                                                                                          \
        break;
#define GRADIENT(f, value, gradient)                                                               \
    case f:                                                                                        \
        _Pragma("omp simd") for (int64_t i = lo; i < hi; i++)                                      \
        {                                                                                          \
            const C x = xs[i], y = ys[i], g = gs[i];                                               \
            (void)x, (void)y;                                                                      \
            out[i] = gradient;                                                                     \
        }                                                                                          \
        break;

/* y = x^p; as PyTorch does, without a power where the exponent asks for none. */
#define EASY_POWERS(F)                                                                             \
    F(0, 1)                                                                                        \
    F(1, x)                                                                                        \
    F(2, (x * x))                                                                                  \
    F(3, (x * x * x))                                                                              \
    F(-1, 1 / x)                                                                                   \
    F(-2, 1 / (x * x))                                                                             \
    F(0.5, OF(sqrt)(x))                                                                            \
    F(-0.5, 1 / OF(sqrt)(x))
#define RAISE(value)                                                                               \
    {                                                                                              \
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++)                                        \
        {                                                                                          \
            const C x = xs[i];                                                                     \
            y[i] = value;                                                                          \
            (void)x;                                                                               \
        }                                                                                          \
        return;                                                                                    \
    }
#define RAISE_EASILY(exponent, value)                                                              \
    if (p == (C)(exponent))                                                                        \
    RAISE(value)

static void N(raise)(C *y, const C *xs, C p, int64_t n)
{
    EASY_POWERS(RAISE_EASILY)
    RAISE(M(cpu_pow)(x, p))
}

/* y = f(x) of those functions that are more than an expression; y is not x. */
static void N(value)(weft_unary f, C *y, const C *x, C p, int64_t n)
{
    if (f == WEFT_POWER)
        N(raise)(y, x, p, n);
    else
        N(cpu_sines)(y, x, n, f == WEFT_COS);
}

/* Their values go by way of room, so that results may lie on x. */
static void N(values)(weft_unary f, C *y, const C *x, C p, int64_t n)
{
    _Alignas(64) C room[CHUNK];
    for (int64_t at = 0; at < n; at += CHUNK) {
        const int64_t some = n - at < CHUNK ? n - at : CHUNK;
        N(value)(f, room, x + at, p, some);
        memcpy(y + at, room, (size_t)some * sizeof *y);
    }
}

/* Their gradients are other values times a factor; x^0 is constant. */
static void N(slopes)(weft_unary f, C *y, const C *g, const C *x, C p, int64_t n)
{
    const weft_unary slope = f == WEFT_SIN ? WEFT_COS : f == WEFT_COS ? WEFT_SIN : f;
    const C factor = f == WEFT_SIN ? 1 : f == WEFT_COS ? -1 : p;
    _Alignas(64) C room[CHUNK];
    for (int64_t at = 0; at < n; at += CHUNK) {
        const int64_t some = n - at < CHUNK ? n - at : CHUNK;
        N(value)(slope, room, x + at, p - 1, some);
#pragma omp simd
        for (int64_t i = 0; i < some; i++)
            y[at + i] = factor == 0 ? 0 : g[at + i] * (factor * room[i]);
    }
}

static void N(unary)(const void *args, int64_t lo, int64_t hi)
{
    const struct unary *a = args;
    const T *xs = a->x;
    const C p = (C)a->p[0], q = (C)a->p[1];
    T *out = a->out;
    switch (a->f) {
        UNARIES(VALUE)
    default:
        N(values)(a->f, out + lo, xs + lo, p, hi - lo);
    }
}

static void N(unary_back)(const void *args, int64_t lo, int64_t hi)
{
    const struct unary *a = args;
    const T *xs = a->x, *gs = a->gy;
    const T *ys = a->y ? a->y : xs; /* where it is not there it is not used */
    const C p = (C)a->p[0], q = (C)a->p[1];
    T *out = a->out;
    switch (a->f) {
        UNARIES(GRADIENT)
    default:
        N(slopes)(a->f, out + lo, gs + lo, xs + lo, p, hi - lo);
    }
}
#undef UNARIES
#undef VALUE
#undef GRADIENT
#undef EASY_POWERS
#undef RAISE
#undef RAISE_EASILY
#else

static void N(unary)(const void *args, int64_t lo, int64_t hi)
{
    struct unary a = *(const struct unary *)args;
    const T *xs = a.x;
    T *out = a.out;
    _Alignas(64) C room[CHUNK];
    a.x = a.out = room;
    for (int64_t i = lo; i < hi; i += CHUNK) {
        const int64_t n = hi - i < CHUNK ? hi - i : CHUNK;
        WIDEN(room, xs + i, n);
        M(unary)(&a, 0, n);
        NARROW(out + i, room, n);
    }
}

static void N(unary_back)(const void *args, int64_t lo, int64_t hi)
{
    struct unary a = *(const struct unary *)args;
    const T *from = by_result(a.f) ? a.y : a.x, *gs = a.gy;
    T *out = a.out;
    _Alignas(64) C room[CHUNK], g[CHUNK];
    a.x = a.y = room;
    a.gy = a.out = g;
    for (int64_t i = lo; i < hi; i += CHUNK) {
        const int64_t n = hi - i < CHUNK ? hi - i : CHUNK;
        WIDEN(room, from + i, n);
        WIDEN(g, gs + i, n);
        M(unary_back)(&a, 0, n);
        NARROW(out + i, g, n);
    }
}
#endif

#else

#include "device/cpu/cpu.h"

#include <math.h>

#define ROOT_HALF 0.70710678118654752440   /* sqrt(1/2) */
#define NORMAL_PEAK 0.39894228040143267794 /* 1/sqrt(2 pi) */
#define TWICE_ROOT 1.59576912160573071176  /* 2 sqrt(2/pi) */
#define CUBIC 0.044715
#define CHUNK 1024 /* elements */

struct unary {
    weft_unary f;
    double p[2];
    void *out;
    const void *x, *y, *gy;
};

/* Whose gradient goes by way of the result, not of x. */
static bool by_result(weft_unary f)
{
    return f == WEFT_EXP || f == WEFT_SQRT || f == WEFT_SIGMOID || f == WEFT_TANH;
}

#define sqrt_f32 sqrtf
#define sqrt_f64 sqrt
#define CPU_LOW
#define CPU_FAMILY "device/cpu/unary.c"
#include "device/cpu/typed.h"

/* What an element costs: the cheap ones are one instruction. */
static int64_t cost(weft_unary f)
{
    return f == WEFT_NEG || f == WEFT_ABS || f == WEFT_CLAMP ? 1 : 16;
}

weft_status weft__cpu_unary(weft_stream *s, weft_unary f, weft_dev y, weft_dev x, const double *p,
                            int64_t n, weft_dtype dt)
{
    const struct unary a = {.f = f, .p = {p[0], p[1]}, .out = cpu_ptr(y), .x = cpu_ptr(x)};
    return weft__cpu_each(s, CPU_FLOATS(unary), dt, &a, n, cost(f));
}

weft_status weft__cpu_unary_back(weft_stream *s, weft_unary f, weft_dev gx, weft_dev gy, weft_dev x,
                                 weft_dev y, const double *p, int64_t n, weft_dtype dt)
{
    const struct unary a = {.f = f,
                            .p = {p[0], p[1]},
                            .out = cpu_ptr(gx),
                            .x = cpu_ptr(x),
                            .y = cpu_ptr(y),
                            .gy = cpu_ptr(gy)};
    return weft__cpu_each(s, CPU_FLOATS(unary_back), dt, &a, n, cost(f));
}
#endif
