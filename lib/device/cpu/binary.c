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
    const bool constant = (u == 0) & (v >= 0);
    const C y = M(cpu_pow)(u, v) * M(cpu_log)(u);
    return constant ? 0 : y;
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

static void N(some)(const struct binary *o, T *y, const T *gy, const T *a, const T *b, int64_t n)
{
#ifdef LOW
    C left[CHUNK], right[CHUNK], to[CHUNK], from[CHUNK];
    if (!gy && N(straight)(o->op, y, a, b, n))
        return;
    for (; n > 0; n -= CHUNK, y += CHUNK, a += CHUNK, b += CHUNK) {
        const int64_t some = n < CHUNK ? n : CHUNK;
#pragma omp simd
        for (int64_t e = 0; e < some; e++) {
            left[e] = LOAD(a[e]);
            right[e] = LOAD(b[e]);
        }
        if (gy) {
#pragma omp simd
            for (int64_t e = 0; e < some; e++)
                from[e] = LOAD(gy[e]);
            M(run_back)(o, to, from, left, right, some);
            gy += CHUNK;
        } else {
            M(run)(o->op, to, left, right, some);
        }
#pragma omp simd
        for (int64_t e = 0; e < some; e++)
            y[e] = STORE(to[e]);
    }
#else
    if (gy)
        M(run_back)(o, y, gy, a, b, n);
    else
        M(run)(o->op, y, a, b, n);
#endif
}

static void N(binary)(const void *args, int64_t lo, int64_t hi)
{
    const struct binary *o = args;
    const bool back = o->blocks.grid.arrays > 3;
    weft__block k;
    for (weft__block_seek(&o->blocks, &k, lo); lo < hi; lo++, weft__block_step(&o->blocks, &k))
        for (int64_t r = 0; r < k.rows; r++)
            N(some)
    (o, weft__block_line(&k, 0, r), back ? weft__block_line(&k, 3, r) : NULL,
     weft__block_line(&k, 1, r), weft__block_line(&k, 2, r), k.n);
}

#else

#include "device/cpu/blocks.h"
#include "device/cpu/cpu.h"

#include <math.h>

#define CHUNK 256 /* numbers of 16 bits are brought to f32 so many at a time */

struct binary {
    weft_binary op;
    int input;
    weft__blocks blocks; /* of y, a, b, of a gradient also of gy */
};

#define CPU_LOW
#define CPU_FAMILY "device/cpu/binary.c"
#include "device/cpu/typed.h"

static weft_status run_all(weft_stream *s, struct binary *o, const weft__strided *array, int arrays,
                           int rank, const int64_t *shape, weft_dtype dt)
{
    weft__blocks_of(&o->blocks, arrays, array, rank, shape);
    return weft__cpu_each_row(s, CPU_FLOATS(binary), dt, o, o->blocks.grid.numel,
                              BLOCK_ROOM * (o->op == WEFT_POW ? 16 : 1));
}

weft_status weft__cpu_binary(weft_stream *s, weft_binary op, weft_dev y, weft_dev a,
                             const int64_t *astride, weft_dev b, const int64_t *bstride, int rank,
                             const int64_t *shape, weft_dtype dt)
{
    const size_t size = weft_dtype_size(dt);
    struct binary o; /* large: what is not read is not set */
    o.op = op;
    const weft__strided array[] = {
        {cpu_ptr(y), NULL, size}, {cpu_ptr(a), astride, size}, {cpu_ptr(b), bstride, size}};
    return run_all(s, &o, array, 3, rank, shape, dt);
}

weft_status weft__cpu_binary_back(weft_stream *s, weft_binary op, int input, weft_dev gx,
                                  weft_dev gy, weft_dev a, const int64_t *astride, weft_dev b,
                                  const int64_t *bstride, int rank, const int64_t *shape,
                                  weft_dtype dt)
{
    const size_t size = weft_dtype_size(dt);
    struct binary o;
    o.op = op;
    o.input = input;
    const weft__strided array[] = {{cpu_ptr(gx), NULL, size},
                                   {cpu_ptr(a), astride, size},
                                   {cpu_ptr(b), bstride, size},
                                   {cpu_ptr(gy), NULL, size}};
    return run_all(s, &o, array, 4, rank, shape, dt);
}
#endif
