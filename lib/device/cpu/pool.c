/* Largest elements and averages of windows over planes. What flows back is gathered for each element, from
 * the windows that have it, in their order. */
#ifdef T

/* Windows c to c + n of row r of windows: place after place, the largest so far and where it is. */
CPU_INLINE void N(largest)(const T *x, const weft_window *o, int64_t r, int64_t c, int64_t n,
                           C *best, int32_t *at)
{
    for (int64_t q = 0; q < n; q++) {
        best[q] = (C)-INFINITY;
        at[q] = -1;
    }
    for (int64_t t = 0; t < o->kernel[0] * o->kernel[1]; t++) {
        const int64_t step = o->stride[1], off = t % o->kernel[1] * o->dilation[1] - o->padding[1];
        const int64_t row = r * o->stride[0] - o->padding[0] + t / o->kernel[1] * o->dilation[0];
        const range in = cpu_inside(c * step + off, step, o->in[1], n);
        const int64_t first = row * o->in[1] + c * step + off;
        if (row < 0 || row >= o->in[0])
            continue;
#pragma omp simd
        for (int64_t q = in.first; q < in.end; q++) {
            const C v = LOAD(x[first + q * step]);
            const bool take = (at[q] < 0) | (v > best[q]) | ((v != v) & (best[q] == best[q]));
            best[q] = take ? v : best[q];
            at[q] = take ? (int32_t)(first + q * step) : at[q];
        }
    }
}

/* Rows of windows. */
static void N(maxpool)(const void *args, int64_t lo, int64_t hi)
{
    const struct pool *a = args;
    const weft_window *o = &a->o;
    for (int64_t t = lo; t < hi; t++) {
        const T *x = (const T *)a->x + t / o->out[0] * o->in[0] * o->in[1];
        for (int64_t c = 0; c < o->out[1]; c += TILE) {
            const int64_t n = o->out[1] - c < TILE ? o->out[1] - c : TILE;
            C best[TILE];
            CPU_CALL(largest, x, o, t % o->out[0], c, n, best, a->at + t * o->out[1] + c);
            for (int64_t q = 0; q < n; q++)
                ((T *)a->y)[t * o->out[1] + c + q] = STORE(best[q]);
        }
    }
}

/* Rows of planes. */
static void N(maxpool_back)(const void *args, int64_t lo, int64_t hi)
{
    const struct pool *a = args;
    const weft_window *o = &a->o;
    for (int64_t t = lo; t < hi; t++) {
        const int64_t r = t % o->in[0], plane = t / o->in[0] * o->out[0] * o->out[1];
        const T *gy = (const T *)a->x + plane;
        const int32_t *at = a->at + plane;
        const range rows = covering(o, 0, r, r + 1);
        for (int64_t c = 0; c < o->in[1]; c += TILE) {
            const int64_t n = o->in[1] - c < TILE ? o->in[1] - c : TILE;
            const int64_t base = r * o->in[1] + c;
            const range columns = covering(o, 1, c, c + n);
            C sum[TILE] = {0};
            for (int64_t p = rows.first; p < rows.end; p++)
                for (int64_t q = p * o->out[1] + columns.first; q < p * o->out[1] + columns.end;
                     q++)
                    if (at[q] >= base && at[q] < base + n)
                        sum[at[q] - base] += LOAD(gy[q]);
            for (int64_t q = 0; q < n; q++)
                ((T *)a->y)[t * o->in[1] + c + q] = STORE(sum[q]);
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

static void N(avgpool)(const void *args, int64_t lo, int64_t hi)
{
    const struct pool *a = args;
    const weft_window *o = &a->o;
    for (int64_t t = lo; t < hi; t++) {
        const T *x = (const T *)a->x + t / o->out[0] * o->in[0] * o->in[1];
        T *y = (T *)a->y + t * o->out[1];
        const range rows = within(a, 0, t % o->out[0]);
        for (int64_t q = 0; q < o->out[1]; q++) {
            const range columns = within(a, 1, q);
            double sum = 0;
            for (int64_t r = rows.first; r < rows.end; r++)
                for (int64_t c = columns.first; c < columns.end; c++)
                    sum += (double)LOAD(x[r * o->in[1] + c]);
            y[q] = STORE((C)(sum / divisor(a, rows, columns)));
        }
    }
}

/* Adds to columns c..c+n-1 what the windows of row p give each. */
CPU_INLINE void N(share)(const struct pool *a, const T *gy, int64_t p, int64_t c, int64_t n, C *sum)
{
    const range rows = within(a, 0, p), windows = having(a, 1, c, c + n);
    for (int64_t q = windows.first; q < windows.end; q++) {
        const range columns = within(a, 1, q);
        const C g = LOAD(gy[q]) / (C)divisor(a, rows, columns);
        const int64_t first = columns.first < c ? 0 : columns.first - c;
        const int64_t end = columns.end - c < n ? columns.end - c : n;
        for (int64_t k = first; k < end; k++)
            sum[k] += g;
    }
}

static void N(avgpool_back)(const void *args, int64_t lo, int64_t hi)
{
    const struct pool *a = args;
    const weft_window *o = &a->o;
    for (int64_t t = lo; t < hi; t++) {
        const int64_t r = t % o->in[0];
        const T *gy = (const T *)a->x + t / o->in[0] * o->out[0] * o->out[1];
        const range rows = having(a, 0, r, r + 1);
        for (int64_t c = 0; c < o->in[1]; c += TILE) {
            const int64_t n = o->in[1] - c < TILE ? o->in[1] - c : TILE;
            C sum[TILE] = {0};
            for (int64_t p = rows.first; p < rows.end; p++)
                CPU_CALL(share, a, gy + p * o->out[1], p, c, n, sum);
            for (int64_t q = 0; q < n; q++)
                ((T *)a->y)[t * o->in[1] + c + q] = STORE(sum[q]);
        }
    }
}

#else

#include "device/cpu/pool.h"
#include "device/cpu/range.h"

#include <math.h>
#include <string.h>

#define TILE 256

static inline int64_t clamp(int64_t v, int64_t most)
{
    return v < 0 ? 0 : v < most ? v : most;
}

/* The windows along dimension d that may have a place in lo..hi-1. */
static inline range covering(const weft_window *o, int d, int64_t lo, int64_t hi)
{
    const int64_t reach = (o->kernel[d] - 1) * o->dilation[d];
    const int64_t first = lo + o->padding[d] - reach, last = hi - 1 + o->padding[d];
    return (range){first < 0 ? 0 : (first + o->stride[d] - 1) / o->stride[d],
                   clamp(last / o->stride[d] + 1, o->out[d])};
}

/* The same of averages. */
static inline range having(const struct pool *a, int d, int64_t lo, int64_t hi)
{
    const int64_t in = a->o.in[d], out = a->o.out[d];
    if (a->how == WEFT_AVERAGE_ADAPTIVE)
        return (range){lo * out / in, (hi * out + in - 1) / in};
    return covering(&a->o, d, lo, hi);
}

/* The places of window q along dimension d that are in the plane. */
static inline range within(const struct pool *a, int d, int64_t q)
{
    const int64_t in = a->o.in[d], out = a->o.out[d];
    const int64_t first = q * a->o.stride[d] - a->o.padding[d];
    if (a->how == WEFT_AVERAGE_ADAPTIVE)
        return (range){q * in / out, ((q + 1) * in + out - 1) / out};
    return (range){clamp(first, in), clamp(first + a->o.kernel[d], in)};
}

static inline double divisor(const struct pool *a, range rows, range columns)
{
    const int64_t n = a->how == WEFT_AVERAGE_PADDED
                          ? a->o.kernel[0] * a->o.kernel[1]
                          : (rows.end - rows.first) * (columns.end - columns.first);
    return (double)n;
}

#define CPU_LOW
#define CPU_FAMILY "device/cpu/pool.c"
#include "device/cpu/typed.h"

/* How many places a window has, at most. */
static int64_t places(const weft_window *o, weft_average how)
{
    if (how == WEFT_AVERAGE_ADAPTIVE)
        return (o->in[0] / o->out[0] + 1) * (o->in[1] / o->out[1] + 1);
    return o->kernel[0] * o->kernel[1];
}

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
    return weft__cpu_each_row(s, CPU_FLOATS(maxpool), dt, &a, n * o->out[0],
                              4 * o->out[1] * places(o, WEFT_AVERAGE_PADDED));
}

weft_status weft__cpu_maxpool_back(weft_stream *s, weft_dev gx, weft_dev gy, weft_dev at, int64_t n,
                                   const weft_window *o, weft_dtype dt)
{
    const struct pool a = {.y = cpu_ptr(gx), .at = cpu_ptr(at), .x = cpu_ptr(gy), .o = *o};
    if (is_apart(o))
        return weft__cpu_each_row(s, CPU_FLOATS(maxpool_spread), dt, &a, n,
                                  2 * o->in[0] * o->in[1]);
    return weft__cpu_each_row(s, CPU_FLOATS(maxpool_back), dt, &a, n * o->in[0], 4 * o->in[1]);
}

weft_status weft__cpu_avgpool(weft_stream *s, weft_dev y, weft_dev x, weft_average how, int64_t n,
                              const weft_window *o, weft_dtype dt)
{
    const struct pool a = {.y = cpu_ptr(y), .x = cpu_ptr(x), .how = how, .o = *o};
    return weft__cpu_each_row(s, CPU_FLOATS(avgpool), dt, &a, n * o->out[0],
                              o->out[1] * places(o, how));
}

weft_status weft__cpu_avgpool_back(weft_stream *s, weft_dev gx, weft_dev gy, weft_average how,
                                   int64_t n, const weft_window *o, weft_dtype dt)
{
    const struct pool a = {.y = cpu_ptr(gx), .x = cpu_ptr(gy), .how = how, .o = *o};
    return weft__cpu_each_row(s, CPU_FLOATS(avgpool_back), dt, &a, n * o->in[0], 4 * o->in[1]);
}
#endif
