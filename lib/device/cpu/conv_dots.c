/* The gradient of weights of few channels to a group: dW[o][c][tap] is a dot product of planes, that of dy with zeros
 * between its rows, so that an infinite number of x may make all of a weight's places NaN. */
#ifdef T
#include "device/cpu/conv_depth.h"

#ifndef LOW
#include "device/cpu/math.h"
#include "device/cpu/unroll.h"

#define TAPS 3 /* at a time */
#define LANES_OF (2 * LINE)

CPU_INLINE C N(fold)(C *s)
{
#define HALF(n) _Pragma("omp simd") for (int64_t k = 0; k < (n); k++) s[k] += s[k + (n)];
    HALF(LINE)
    HALF(LINE / 2)
    HALF(LINE / 4)
    HALF(LINE / 8)
    return LINE > 8 ? s[0] + s[1] : s[0];
#undef HALF
}

/* sum[e] += the dot product of dy and what is at tap e. */
CPU_INLINE void N(products)(C *sum, const C *gy, const C *x, const conv_tap *t, int64_t n,
                            const int taps)
{
    C s[TAPS][128 / sizeof(C)] = {{0}};
    for (int64_t q = 0; q < n; q += LANES_OF) {
        CPU_UNROLL(3)
        for (int e = 0; e < taps; e++) {
            const C *g = gy + q, *v = x + t[e].at + q;
#pragma omp simd
            for (int64_t k = 0; k < LINE; k++)
                s[e][k] = N(fused)(g[k], v[k], s[e][k]);
#pragma omp simd
            for (int64_t k = LINE; k < LANES_OF; k++)
                s[e][k] = N(fused)(g[k], v[k], s[e][k]);
        }
    }
    CPU_UNROLL(3)
    for (int e = 0; e < taps; e++)
        sum[e] += N(fold)(s[e]);
}

/* Those of all taps. */
static void N(dots_of)(C *sum, const C *gy, const C *x, const conv_map *m, int64_t n)
{
    int64_t e = 0;
    for (; e + TAPS <= m->taps; e += TAPS)
        N(products)(sum + e, gy, x, m->tap + e, n, TAPS);
    for (; e < m->taps; e++)
        N(products)(sum + e, gy, x, m->tap + e, n, 1);
}
#endif

/* The weights of an output channel: over all images, in order. */
static void N(dots_channel)(const conv_depth *a, int64_t channel, C *planes)
{
    const conv_map *m = a->m;
    const int64_t n = conv_flat(m, m->grid), size = m->in[0] * m->in[1] * m->source;
    const conv_map of_gy = {.source = 1,
                            .in = {m->out[0], m->out[1]},
                            .phases = {1, 1},
                            .high = m->out[0],
                            .wide = m->wide};
    C *gy = planes + conv_planes_room(m), *sum = (C *)a->y + channel * m->source * m->taps;
    memset(sum, 0, (size_t)(m->source * m->taps) * sizeof *sum);
    for (int64_t i = 0; i < m->n; i++) {
        const int64_t group = i * m->groups + channel / m->target;
        CPU_CALL(lay, planes, m, (const T *)a->x + group * size);
        CPU_CALL(lay, gy, &of_gy,
                 (const T *)a->w + (i * m->groups * m->target + channel) * m->out[0] * m->out[1]);
        for (int64_t c = 0; c < m->source; c++)
            M(dots_of)(sum + c * m->taps, gy, planes + c * conv_plane(m), m, n);
    }
}

static void N(dots)(const void *args, int64_t lo, int64_t hi)
{
    const conv_depth *a = args;
    const int64_t items = a->m->groups * a->m->target;
    for (int64_t slot = lo; slot < hi; slot++) {
        C *planes = (C *)(a->room + slot * a->each);
        memset(planes, 0, (size_t)a->each);
        for (int64_t i = items * slot / a->slots; i < items * (slot + 1) / a->slots; i++)
            CPU_CALL(dots_channel, a, i, planes);
    }
}
#else

#include "device/cpu/conv_depth.h"

#define CPU_LOW
#define CPU_FAMILY "device/cpu/conv_dots.c"
#include "device/cpu/typed.h"

weft_status weft__conv_dots(weft_stream *s, const conv_map *m, void *gw, const void *gy,
                            const void *x, void *room, int64_t bytes, weft_dtype dt)
{
    conv_depth a = {.m = m, .y = gw, .x = x, .w = gy, .room = room};
    return conv_depth_run(s, CPU_FLOATS(dots), &a, m->groups * m->target, bytes, dt);
}
#endif
