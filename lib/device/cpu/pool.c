/* Largest elements of windows over planes. What flows back is summed for each element, from the windows that have
 * it, in their order. */
#ifdef T
#include "device/cpu/pool_lay.h"

/* A row of windows, `step` apart, the first of which has its corner at place `corner`. */
CPU_INLINE void N(deliver)(T *y, int32_t *to, const C *best, const int32_t *at, int64_t n,
                           int64_t corner, int64_t step)
{
#pragma omp simd
    for (int32_t q = 0; q < (int32_t)n; q++) {
        const uint32_t from = (uint32_t)corner + (uint32_t)q * (uint32_t)step;
        to[q] = at[q] == -1 ? -1 : (int32_t)((uint32_t)at[q] + from);
        y[q] = STORE(best[q]);
    }
}

/* Bands of windows. Where nothing is above -inf the first place is the largest. */
static void N(maxpool)(const void *args, int64_t lo, int64_t hi)
{
    const struct pool *a = args;
    const weft_window *o = &a->o;
    const struct band b = band_of(o);
    for (int64_t t = lo; t < hi; t++) {
        const int64_t r = t % b.bands * b.height, left = o->out[0] - r, plane = t / b.bands;
        for (int64_t c = 0; c < o->out[1]; c += b.n) {
            const int64_t n = o->out[1] - c < b.n ? o->out[1] - c : b.n;
            int32_t at[ROOM + SPARE];
            C best[ROOM + SPARE];
#pragma omp simd
            for (int32_t q = 0; q < b.windows; q++) {
                best[q] = (C)-INFINITY;
                at[q] = -1;
            }
            CPU_CALL(gather, &b, (const T *)a->x + plane * o->in[0] * o->in[1], o, r, c, best, at,
                     NULL);
            for (int64_t i = 0; i < b.height && i < left; i++) {
                const int64_t row = (r + i) * o->stride[0] - o->padding[0];
                const int64_t to = (plane * o->out[0] + r + i) * o->out[1] + c;
                CPU_CALL(deliver, (T *)a->y + to, a->at + to, best + i * b.pitch, at + i * b.pitch,
                         n, row * o->in[1] + c * o->stride[1] - o->padding[1], o->stride[1]);
                for (int64_t q = 0; q < n; q++)
                    if (a->at[to + q] < 0)
                        a->at[to + q] = opening(o, r + i, c + q);
            }
        }
    }
}

/* Bands of planes, to which the windows that took a place there give. */
static void N(maxpool_back)(const void *args, int64_t lo, int64_t hi)
{
    const struct pool *a = args;
    const weft_window *o = &a->o;
    const int64_t height = stripe(o), bands = (o->in[0] + height - 1) / height;
    for (int64_t t = lo; t < hi; t++) {
        const int64_t plane = t / bands, r = t % bands * height, left = o->in[0] - r;
        const int64_t m = left < height ? left : height;
        const T *gy = (const T *)a->x + plane * o->out[0] * o->out[1];
        const int32_t *at = a->at + plane * o->out[0] * o->out[1];
        const range rows = covering(o, 0, r, r + m);
        for (int64_t c = 0; c < o->in[1]; c += ROOM) {
            const int64_t n = o->in[1] - c < ROOM ? o->in[1] - c : ROOM, base = r * o->in[1] + c;
            const range columns = covering(o, 1, c, c + n);
            T *gx = (T *)a->y + plane * o->in[0] * o->in[1] + base;
            _Alignas(64) C room[ROOM];
            C *sum = N(place)(room, gx);
            memset(sum, 0, (size_t)(m * n) * sizeof *sum);
            for (int64_t p = rows.first; p < rows.end; p++)
                for (int64_t q = p * o->out[1] + columns.first; q < p * o->out[1] + columns.end;
                     q++)
                    if (at[q] >= base && at[q] < base + m * n)
                        sum[at[q] - base] += LOAD(gy[q]);
            N(write)(gx, sum, m * n);
        }
    }
}

/* Planes in which no two windows share a place: each gives to one. */
static void N(maxpool_spread)(const void *args, int64_t lo, int64_t hi)
{
    const struct pool *a = args;
    const int64_t in = a->o.in[0] * a->o.in[1], out = a->o.out[0] * a->o.out[1];
    for (int64_t t = lo; t < hi; t++) {
        const T *gy = (const T *)a->x + t * out;
        const int32_t *at = a->at + t * out;
        T *gx = (T *)a->y + t * in;
        memset(gx, 0, (size_t)in * sizeof *gx);
        for (int64_t q = 0; q < out; q++)
            if (at[q] >= 0)
                gx[at[q]] = gy[q];
    }
}

#else

#include "device/cpu/pool.h"

#include <math.h>
#include <string.h>

/* The first place of a window of row r; -1: there is none. */
static inline int32_t opening(const weft_window *o, int64_t r, int64_t c)
{
    int64_t at[2] = {r, c};
    for (int d = 0; d < 2; d++) {
        at[d] = at[d] * o->stride[d] - o->padding[d];
        const int64_t last = at[d] + (o->kernel[d] - 1) * o->dilation[d];
        if (at[d] < 0)
            at[d] += (o->dilation[d] - 1 - at[d]) / o->dilation[d] * o->dilation[d];
        if (at[d] > last || at[d] >= o->in[d])
            return -1;
    }
    return (int32_t)(at[0] * o->in[1] + at[1]);
}

/* Rows of a plane at a time: several, or one by parts. */
static inline int64_t stripe(const weft_window *o)
{
    return o->in[1] < ROOM ? ROOM / o->in[1] : 1;
}

#define CPU_LOW
#define CPU_FAMILY "device/cpu/pool.c"
#include "device/cpu/typed.h"

/* Whether no place is in two windows. */
static bool is_apart(const weft_window *o)
{
    for (int d = 0; d < 2; d++)
        if ((o->kernel[d] - 1) * o->dilation[d] >= o->stride[d])
            return false;
    return true;
}

weft_status weft__cpu_maxpool(weft_stream *s, weft_dev y, weft_dev at, weft_dev x, int64_t n,
                              const weft_window *o, weft_dtype dt)
{
    const struct pool a = {.y = cpu_ptr(y), .at = cpu_ptr(at), .x = cpu_ptr(x), .o = *o};
    weft__cpu_body *wide = weft__pool_wide(o, dt);
    if (wide) {
        weft__cpu_rows(s->device, wide, &a, n * o->out[0], 4 * o->out[1]);
        return WEFT_OK;
    }
    const struct band b = band_of(o);
    return weft__cpu_each_row(s, CPU_FLOATS(maxpool), dt, &a, n * b.bands,
                              4 * b.height * o->out[1] * o->kernel[0] * o->kernel[1]);
}

weft_status weft__cpu_maxpool_back(weft_stream *s, weft_dev gx, weft_dev gy, weft_dev at, int64_t n,
                                   const weft_window *o, weft_dtype dt)
{
    const struct pool a = {.y = cpu_ptr(gx), .at = cpu_ptr(at), .x = cpu_ptr(gy), .o = *o};
    if (is_apart(o))
        return weft__cpu_each_row(s, CPU_FLOATS(maxpool_spread), dt, &a, n,
                                  2 * o->in[0] * o->in[1]);
    const int64_t height = stripe(o), bands = (o->in[0] + height - 1) / height;
    return weft__cpu_each_row(s, CPU_FLOATS(maxpool_back), dt, &a, n * bands,
                              4 * height * o->in[1]);
}
#endif
