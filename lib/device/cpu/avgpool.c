/* Averages of windows over planes. What flows back is summed for each element, from the windows that have it, in
 * their order. */
#ifdef T
#include "device/cpu/pool_lay.h"

/* Bands of windows. */
static void N(avgpool)(const void *args, int64_t lo, int64_t hi)
{
    const struct pool *a = args;
    const weft_window *o = &a->o;
    const struct band b = band_of(o);
    for (int64_t t = lo; t < hi; t++) {
        const int64_t r = t % b.bands * b.height, left = o->out[0] - r, plane = t / b.bands;
        for (int64_t c = 0; c < o->out[1]; c += b.n) {
            const int64_t n = o->out[1] - c < b.n ? o->out[1] - c : b.n;
            double sum[ROOM + SPARE], columns[ROOM];
            for (int64_t q = 0; q < n; q++)
                columns[q] = extent(a, 1, within(a, 1, c + q));
            memset(sum, 0, (size_t)b.windows * sizeof *sum);
            CPU_CALL(gather, &b, (const T *)a->x + plane * o->in[0] * o->in[1], o, r, c, NULL, NULL,
                     sum);
            for (int64_t i = 0; i < b.height && i < left; i++) {
                T *y = (T *)a->y + (plane * o->out[0] + r + i) * o->out[1] + c;
                const double rows = extent(a, 0, within(a, 0, r + i));
#pragma omp simd
                for (int64_t q = 0; q < n; q++)
                    y[q] = STORE((C)(sum[i * b.pitch + q] / (rows * columns[q])));
            }
        }
    }
}

/* Planes that are one window each, SIDE by SIDE: each in its order, no sum waits for another. */
static void N(whole)(const void *args, int64_t lo, int64_t hi)
{
    const struct pool *a = args;
    const int64_t in = a->o.in[0] * a->o.in[1];
    for (int64_t t = lo; t < hi; t++) {
        const int64_t left = a->planes - t * SIDE, m = left < SIDE ? left : SIDE;
        const T *x = (const T *)a->x + t * SIDE * in;
        double sum[SIDE] = {0};
        C part[PART][SIDE] = {{0}};
        for (int64_t i = 0, n; i < in; i += n) {
            n = in - i < PART ? in - i : PART;
            for (int64_t k = 0; k < m; k++) {
                C room[PART];
                const C *v = N(read)(room, x + k * in + i, n);
                for (int64_t j = 0; j < n; j++)
                    part[j][k] = v[j];
            }
            for (int64_t j = 0; j < n; j++)
#pragma omp simd
                for (int64_t k = 0; k < SIDE; k++)
                    sum[k] += (double)part[j][k];
        }
        for (int64_t k = 0; k < m; k++)
            ((T *)a->y)[t * SIDE + k] = STORE((C)(sum[k] / (double)in));
    }
}

static void N(whole_back)(const void *args, int64_t lo, int64_t hi)
{
    const struct pool *a = args;
    const int64_t in = a->o.in[0] * a->o.in[1];
    for (int64_t t = lo; t < hi; t++) {
        const T g = STORE(0 + LOAD(((const T *)a->x)[t]) / (C)in);
        T *gx = (T *)a->y + t * in;
#pragma omp simd
        for (int64_t i = 0; i < in; i++)
            gx[i] = g;
    }
}

/* Rows of parts that differ. */
static void N(adaptive)(const void *args, int64_t lo, int64_t hi)
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
            y[q] = STORE((C)(sum / (extent(a, 0, rows) * extent(a, 1, columns))));
        }
    }
}

/* Adds to columns c..c+n-1 what the windows of row p give each. */
CPU_INLINE void N(share)(const struct pool *a, const T *gy, int64_t p, int64_t c, int64_t n, C *sum)
{
    const range windows = having(a, 1, c, c + n);
    const double rows = extent(a, 0, within(a, 0, p));
    for (int64_t q = windows.first; q < windows.end; q++) {
        const range columns = within(a, 1, q);
        const C g = LOAD(gy[q]) / (C)(rows * extent(a, 1, columns));
        const int64_t first = columns.first < c ? 0 : columns.first - c;
        const int64_t end = columns.end - c < n ? columns.end - c : n;
        for (int64_t k = first; k < end; k++)
            sum[k] += g;
    }
}

CPU_INLINE void N(round)(T *y, const C *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = STORE(x[i]);
}

/* What the windows of a band give to each of their places, 0 around them. */
CPU_INLINE void N(shares)(const struct pool *a, const struct band *b, const T *gy, int64_t top,
                          const double *columns, C *to)
{
    const int64_t left = b->pitch - b->n, n = clamp(a->o.out[1], b->n);
    memset(to, 0, (size_t)(b->rows * b->pitch + SPARE) * sizeof *to);
    for (int64_t r = top < 0 ? -top : 0; r < b->rows && top + r < a->o.out[0]; r++) {
        const T *line = gy + (top + r) * a->o.out[1];
        const double rows = extent(a, 0, within(a, 0, top + r));
#pragma omp simd
        for (int64_t q = 0; q < n; q++)
            to[r * b->pitch + left + q] = LOAD(line[q]) / (C)(rows * columns[q]);
    }
}

/* Bands of planes: the sums of places that are a stride apart, side by side. */
static void N(avgpool_back)(const void *args, int64_t lo, int64_t hi)
{
    const struct pool *a = args;
    const weft_window *o = &a->o;
    const struct band b = band_back(o);
    const int64_t behind[2] = {b.rows - b.height, b.pitch - b.n};
    double columns[ROOM];
    for (int64_t q = 0; q < b.n; q++)
        columns[q] = extent(a, 1, within(a, 1, q));
    for (int64_t t = lo; t < hi; t++) {
        const int64_t plane = t / b.bands, r = t % b.bands * b.height;
        T *gx = (T *)a->y + plane * o->in[0] * o->in[1];
        C share[ROOM + SPARE], sum[ROOM + SPARE], wide[ROOM];
        CPU_CALL(shares, a, &b, (const T *)a->x + plane * o->out[0] * o->out[1], r - behind[0],
                 columns, share);
        for (int64_t h = 0; h < o->stride[0] * o->stride[1]; h++) {
            const int64_t u = h / o->stride[1], v = h % o->stride[1];
            memset(sum, 0, (size_t)b.windows * sizeof *sum);
            for (int64_t i = behind[0]; i >= 0; i--)
                for (int64_t j = behind[1]; j >= 0; j--) {
                    const C *from = share + (behind[0] - i) * b.pitch + behind[1] - j;
                    if (i * o->stride[0] + u >= o->kernel[0] ||
                        j * o->stride[1] + v >= o->kernel[1])
                        continue;
#pragma omp simd
                    for (int64_t q = 0; q < b.windows; q++)
                        sum[q] += from[q];
                }
            for (int64_t q = 0; q < b.height * b.pitch; q++)
                wide[q * o->stride[1] + v] = sum[q];
            for (int64_t i = 0; i < b.height && v == o->stride[1] - 1; i++) {
                const int64_t row = (r + i) * o->stride[0] + u - o->padding[0];
                if (row >= 0 && row < o->in[0])
                    CPU_CALL(round, gx + row * o->in[1],
                             wide + i * b.pitch * o->stride[1] + o->padding[1], o->in[1]);
            }
        }
    }
}

/* Rows of planes: parts that differ, and strides for which there is no room. */
static void N(adaptive_back)(const void *args, int64_t lo, int64_t hi)
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

#include <math.h>
#include <string.h>

#define TILE 128 /* columns at a time */
#define SIDE 16  /* planes side by side */
#define PART 64  /* numbers of each at a time */

/* The windows along dimension d that may have a place in lo..hi-1. */
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

/* How many of them count. */
static inline double extent(const struct pool *a, int d, range in)
{
    return (double)(a->how == WEFT_AVERAGE_PADDED ? a->o.kernel[d] : in.end - in.first);
}

/* Bands of a plane: n columns, and rows, a stride apart, of each phase; `rows` and `pitch` of windows that may have them.
 * No height: there is no room. */
static struct band band_back(const weft_window *o)
{
    const int64_t *s = o->stride,
                  behind[2] = {(o->kernel[0] - 1) / s[0], (o->kernel[1] - 1) / s[1]};
    const int64_t rows = (o->in[0] + o->padding[0] + s[0] - 1) / s[0];
    struct band b = {.n = (o->in[1] + o->padding[1] + s[1] - 1) / s[1]};
    b.pitch = b.n + behind[1];
    if (s[0] > REACH || s[1] > REACH || b.pitch * s[1] > ROOM || behind[0] >= ROOM)
        return b;
    const int64_t most = ROOM / b.pitch - behind[0], more = ROOM / (b.pitch * s[1]);
    b.height = clamp(most < more ? most : more, rows);
    b.rows = b.height + behind[0];
    b.bands = b.height ? (rows + b.height - 1) / b.height : 0;
    b.windows = (int32_t)(((b.height - 1) * b.pitch + b.n + 15) / 16 * 16);
    return b;
}

#define CPU_LOW
#define CPU_FAMILY "device/cpu/avgpool.c"
#include "device/cpu/typed.h"

/* Parts of one size are windows like others. */
static struct pool averages(weft_dev y, weft_dev x, weft_average how, int64_t n,
                            const weft_window *o)
{
    struct pool a = {.y = cpu_ptr(y), .x = cpu_ptr(x), .how = how, .planes = n, .o = *o};
    if (how != WEFT_AVERAGE_ADAPTIVE || o->in[0] % o->out[0] || o->in[1] % o->out[1])
        return a;
    for (int d = 0; d < 2; d++) {
        a.o.kernel[d] = a.o.stride[d] = o->in[d] / o->out[d];
        a.o.padding[d] = 0;
        a.o.dilation[d] = 1;
    }
    a.how = WEFT_AVERAGE_PADDED;
    return a;
}

/* One window, the plane. */
static bool is_whole(const weft_window *o)
{
    return o->kernel[0] == o->in[0] && o->kernel[1] == o->in[1] && !o->padding[0] &&
           !o->padding[1] && o->out[0] * o->out[1] == 1;
}

weft_status weft__cpu_avgpool(weft_stream *s, weft_dev y, weft_dev x, weft_average how, int64_t n,
                              const weft_window *o, weft_dtype dt)
{
    const struct pool a = averages(y, x, how, n, o);
    if (is_whole(&a.o))
        return weft__cpu_each_row(s, CPU_FLOATS(whole), dt, &a, (n + SIDE - 1) / SIDE,
                                  SIDE * o->in[0] * o->in[1]);
    if (a.how == WEFT_AVERAGE_ADAPTIVE)
        return weft__cpu_each_row(s, CPU_FLOATS(adaptive), dt, &a, n * o->out[0],
                                  o->out[1] * (o->in[0] / o->out[0] + 1) *
                                      (o->in[1] / o->out[1] + 1));
    const struct band b = band_of(&a.o);
    return weft__cpu_each_row(s, CPU_FLOATS(avgpool), dt, &a, n * b.bands,
                              b.height * o->out[1] * a.o.kernel[0] * a.o.kernel[1]);
}

weft_status weft__cpu_avgpool_back(weft_stream *s, weft_dev gx, weft_dev gy, weft_average how,
                                   int64_t n, const weft_window *o, weft_dtype dt)
{
    const struct pool a = averages(gx, gy, how, n, o);
    if (is_whole(&a.o))
        return weft__cpu_each_row(s, CPU_FLOATS(whole_back), dt, &a, n, o->in[0] * o->in[1]);
    const struct band b =
        a.how == WEFT_AVERAGE_ADAPTIVE ? (struct band){.height = 0} : band_back(&a.o);
    if (b.height)
        return weft__cpu_each_row(s, CPU_FLOATS(avgpool_back), dt, &a, n * b.bands,
                                  4 * b.height * a.o.stride[0] * o->in[1]);
    return weft__cpu_each_row(s, CPU_FLOATS(adaptive_back), dt, &a, n * o->in[0], 4 * o->in[1]);
}
#endif
