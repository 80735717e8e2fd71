/* Numbers of few target planes to a group are sums over source planes and taps. */
#ifdef T
#include "device/cpu/conv_depth.h"

#ifndef LOW
#include "device/cpu/math.h"

#define SUM(line)                                                                                  \
    _Pragma("omp simd") for (int64_t k = (line)*LINE; k < ((line) + 1) * LINE; k++) s[k] =         \
        N(fused)(v, x[k], s[k]);

/* sums[q] = first + the sum over sources and taps of a grid, for n numbers and some more. */
static void N(stencil)(C *sums, const C *planes, const C *w, const conv_map *m, const conv_grid *g,
                       C first, int64_t n)
{
    for (int64_t q = 0; q < n; q += BLOCK) {
        C s[BLOCK_BYTES / sizeof(C)];
        for (int64_t k = 0; k < BLOCK; k++)
            s[k] = first;
        for (int64_t c = 0; c < m->source; c++)
            for (int64_t e = g->tap; e < g->tap + g->taps; e++) {
                const C v = w[c * m->taps + e], *x = planes + c * conv_plane(m) + m->tap[e].at + q;
                SUM(0)
                SUM(1)
                SUM(2)
                SUM(3)
            }
        for (int64_t k = 0; k < BLOCK; k++)
            sums[q + k] = s[k];
    }
}
#endif

/* n numbers side by side, from number `at` of y on. */
CPU_INLINE void N(bring)(const conv_depth *a, int64_t at, const C *v, int64_t n)
{
#ifdef LOW
    if (!a->exact) {
        N(write)((T *)a->y + at, v, n);
        return;
    }
#endif
    C *y = (C *)a->y + at;
#pragma omp simd
    for (int64_t q = 0; q < n; q++)
        y[q] = v[q];
}

static void N(put)(const conv_depth *a, int64_t plane, const conv_grid *g, const C *sums)
{
    const conv_map *m = a->m;
    for (int64_t r = 0; r < g->rows; r++, sums += m->wide) {
        const int64_t row = plane * m->out[0] + g->first[0] + r * m->step[0];
        const int64_t at = row * m->out[1] + g->first[1], step = m->step[1];
        if (step == 1)
            CPU_CALL(bring, a, at, sums, g->columns);
        else if (a->exact)
            for (int64_t q = 0; q < g->columns; q++)
                ((C *)a->y)[at + q * step] = sums[q];
        else
            for (int64_t q = 0; q < g->columns; q++)
                ((T *)a->y)[at + q * step] = STORE(sums[q]);
    }
}

/* A group of an image. */
static void N(depth_group)(const conv_depth *a, int64_t item, C *planes)
{
    const conv_map *m = a->m;
    const int64_t group = item % m->groups, taps = m->taps;
    C *sums = planes + conv_planes_room(m), *w = sums + conv_sums_room(m);
    CPU_CALL(lay, planes, m, (const T *)a->x + item * m->source * m->in[0] * m->in[1]);
    for (int64_t t = 0; t < m->target; t++) {
        const T *from = (const T *)a->w + group * m->weights + t * m->wt;
        const C first = a->b ? LOAD(((const T *)a->b)[group * m->target + t]) : 0;
        for (int64_t c = 0; c < m->source; c++)
            for (int64_t e = 0; e < taps; e++)
                w[c * taps + e] = LOAD(from[c * m->ws + m->tap[e].place]);
        for (const conv_grid *g = m->grid; g < m->grid + m->grids; g++) {
            M(stencil)(sums, planes, w, m, g, first, conv_flat(m, g));
            CPU_CALL(put, a, item * m->target + t, g, sums);
        }
    }
}

static void N(depth)(const void *args, int64_t lo, int64_t hi)
{
    const conv_depth *a = args;
    const int64_t items = a->m->n * a->m->groups;
    for (int64_t slot = lo; slot < hi; slot++) {
        C *planes = (C *)(a->room + slot * a->each);
        memset(planes, 0, (size_t)a->each);
        for (int64_t i = items * slot / a->slots; i < items * (slot + 1) / a->slots; i++)
            CPU_CALL(depth_group, a, i, planes);
    }
}
#else

#include "device/cpu/conv_depth.h"

#define CPU_LOW
#define CPU_FAMILY "device/cpu/conv_depth.c"
#include "device/cpu/typed.h"

int64_t weft__conv_depth_each(const conv_map *m, weft_dtype dt)
{
    const int64_t n = conv_planes_room(m) + conv_sums_room(m) + m->source * m->taps;
    return conv_up(n, 64) * (dt == WEFT_F64 ? 8 : 4);
}

weft_status weft__conv_depth(weft_stream *s, const conv_map *m, void *y, weft_dtype yt,
                             const void *x, const void *w, const void *b, void *room, int64_t bytes,
                             weft_dtype dt)
{
    conv_depth a = {.m = m, .y = y, .x = x, .w = w, .b = b, .exact = yt != dt, .room = room};
    return conv_depth_run(s, CPU_FLOATS(depth), &a, m->n * m->groups, bytes, dt);
}
#endif
