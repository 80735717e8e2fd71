/* Means, deviations and the normalised elements of channels: y = (x - m) r w + b, with m in two parts, so that
 * numbers far from zero lose no more than others. Sums are of what differs from a mean, in an order that the
 * shape alone decides. Blocks of rows, and parts of
 * several ranks, join as in Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample
 * variances" (1979): the squares about the common mean M are sum_r q_r + n_r (m_r - M)^2. */
#ifdef T
#include "device/cpu/lanes.h"
#include "device/cpu/channel.h"

/* Rows r..end-1 of one channel, which lie c inner apart: the sum of (x - m), and its squares'. */
static double N(some_rows)(const struct channels *a, int64_t r, int64_t end, int64_t j, double m,
                           double *square)
{
    const C high = (C)m, low = (C)(m - (double)high);
    double sum = 0;
    _Alignas(64) C wide[RUN];
    *square = 0;
    for (int64_t at = 0; r < end;) {
        C s[LANES] = {0}, q[LANES] = {0};
        for (int64_t n, room = RUN; room > 0 && r < end; room -= n) {
            const T *first = (const T *)a->x + (r * a->c + j) * a->inner + at;
            n = channel_run(a, &r, &at);
            const C *x = N(read)(wide, first, n);
            if (r < end)
                fetch_ahead((const T *)a->x + (r * a->c + j) * a->inner + at,
                            n * (int64_t)sizeof(T));
            EACH_LANE(n, const C d = (x[i] - high) - low; s[k] += d; q[k] += d * d;);
        }
        sum += M(join)(s);
        *square += M(join)(q);
    }
    return sum;
}

/* One channel by blocks of rows, each about the mean of those before it; of the first one that is found out
 * before. */
CPU_INLINE void N(one_channel)(const struct channels *a, int64_t j, double *mean, double *square)
{
    const int64_t rows = a->inner < BLOCK ? BLOCK / a->inner : 1;
    double count = 0, q;
    for (int64_t r = 0; r < a->n; r += rows) {
        const int64_t end = a->n - r < rows ? a->n : r + rows;
        const double more = (double)((end - r) * a->inner), all = count + more;
        if (r == 0)
            *mean = CPU_CALL(some_rows, a, r, end, j, 0, &q) / more;
        const double d = CPU_CALL(some_rows, a, r, end, j, *mean, &q) / more;
        *square += q - d * d * more + d * d * (count * more / all);
        *mean += d * (more / all);
        count = all;
    }
}

/* Channels side by side. */
CPU_INLINE void N(some_channels)(const struct channels *a, int64_t first, int64_t m, double *mean,
                                 double *square)
{
    double s[TILE] = {0};
    _Alignas(64) C wide[TILE];
    for (int64_t i = 0; i < a->n; i++) {
        const C *x = N(row)(wide, a->x, a, i, first, m);
#pragma omp simd
        for (int64_t j = 0; j < m; j++)
            s[j] += (double)x[j];
    }
    for (int64_t j = 0; j < m; j++)
        mean[j] = s[j] / (double)a->n;
    for (int64_t i = 0; i < a->n; i++) {
        const C *x = N(row)(wide, a->x, a, i, first, m);
#pragma omp simd
        for (int64_t j = 0; j < m; j++) {
            const double d = (double)x[j] - mean[j];
            square[j] += d * d;
        }
    }
}

static void N(channel_moments)(const void *args, int64_t lo, int64_t hi)
{
    const struct channels *a = args;
    const double count = (double)(a->n * a->inner);
    for (int64_t t = lo; t < hi; t++) {
        const bool side = a->inner == 1;
        const int64_t first = side ? t * TILE : t, left = a->c - first;
        const int64_t m = !side ? 1 : left < TILE ? left : TILE;
        double mean[TILE] = {0}, square[TILE] = {0};
        if (count > 0 && side)
            CPU_CALL(some_channels, a, first, m, mean, square);
        else if (count > 0)
            CPU_CALL(one_channel, a, t, mean, square);
        for (int64_t j = 0; j < m; j++) {
            a->out[1 + 2 * (first + j)] = mean[j];
            a->out[2 + 2 * (first + j)] = square[j];
        }
    }
}

CPU_INLINE double N(wide)(const void *w, weft_dtype wt, int64_t j)
{
    return wt == WEFT_F32 ? (double)((const float *)w)[j] : (double)LOAD(((const T *)w)[j]);
}

/* A run of elements of one channel. */
CPU_INLINE void N(normal_run)(const struct channels *a, int64_t i, int64_t j, int64_t n)
{
    const int64_t at = channel_at(a, i, j), first = (i * a->c + j) * a->inner;
    const double m = a->stats[at], w = a->w ? CPU_CALL(wide, a->w, a->wt, j) : 1;
    const C high = (C)m, low = (C)(m - (double)high), by = (C)(a->stats[at + 1] * w);
    const C b = a->b ? (C)CPU_CALL(wide, a->b, a->wt, j) : 0;
    const T *x = (const T *)a->x + first;
    T *y = (T *)a->y + first;
    _Alignas(64) C wide[RUN];
    for (int64_t done = 0, some; done < n; done += some) {
        some = n - done < RUN ? n - done : RUN;
        const C *u = N(read)(wide, x + done, some);
        C *to = N(place)(wide, y + done);
#pragma omp simd
        for (int64_t k = 0; k < some; k++)
            to[k] = ((u[k] - high) - low) * by + b;
        N(write)(y + done, to, some);
    }
}

/* Rows, or channels of rows. */
static void N(channel_norm)(const void *args, int64_t lo, int64_t hi)
{
    const struct channels *a = args;
    for (int64_t t = lo; t < hi; t++) {
        if (a->inner != 1)
            CPU_CALL(normal_run, a, t / a->c, t % a->c, a->inner);
        for (int64_t j = 0; j < a->c && a->inner == 1; j++)
            CPU_CALL(normal_run, a, t, j, 1);
    }
}

/* Channels side by side, of all rows. */
static void N(channel_tile)(const void *args, int64_t lo, int64_t hi)
{
    const struct channels *a = args;
    for (int64_t t = lo; t < hi; t++) {
        const int64_t first = t * TILE, n = a->c - first < TILE ? a->c - first : TILE;
        double m[TILE], r[TILE], w[TILE], b[TILE];
        _Alignas(64) C wide[TILE];
        for (int64_t j = 0; j < n; j++) {
            m[j] = a->stats[1 + 2 * (first + j)];
            r[j] = a->stats[2 + 2 * (first + j)];
            w[j] = a->w ? CPU_CALL(wide, a->w, a->wt, first + j) : 1;
            b[j] = a->b ? CPU_CALL(wide, a->b, a->wt, first + j) : 0;
        }
        for (int64_t i = 0; i < a->n; i++) {
            const C *x = N(row)(wide, a->x, a, i, first, n);
            T *y = (T *)a->y + i * a->c + first;
            C *to = N(place)(wide, y);
#pragma omp simd
            for (int64_t j = 0; j < n; j++)
                to[j] = (C)(((double)x[j] - m[j]) * r[j] * w[j] + b[j]);
            N(write)(y, to, n);
        }
    }
}

#else

#include "device/cpu/channel.h"

#include <math.h>

#define BLOCK 2048 /* elements of a channel at a time */

#define CPU_LOW
#define CPU_FAMILY "device/cpu/channel.c"
#include "device/cpu/typed.h"

weft_status weft__cpu_channel_moments(weft_stream *s, weft_dev parts, weft_dev x, int64_t n,
                                      int64_t c, int64_t inner, weft_dtype dt)
{
    const struct channels a = {
        .out = cpu_ptr(parts), .x = cpu_ptr(x), .n = n, .c = c, .inner = inner};
    const int64_t width = inner == 1 ? TILE : inner;
    a.out[0] = (double)(n * inner);
    return weft__cpu_each_row(s, CPU_FLOATS(channel_moments), dt, &a, channel_items(&a),
                              4 * n * width);
}

struct stats {
    double *stats;
    const double *parts;
    void *mean, *var;
    weft_dtype rt;
    int64_t ranks, c;
    double eps, q, count;
};

static double get(const void *p, weft_dtype t, int64_t j)
{
    return t == WEFT_F64 ? ((const double *)p)[j] : (double)((const float *)p)[j];
}

static void mix(void *p, weft_dtype t, int64_t j, double q, double v)
{
    v = (1 - q) * get(p, t, j) + q * v;
    if (t == WEFT_F64)
        ((double *)p)[j] = v;
    else
        ((float *)p)[j] = (float)v;
}

/* Mean and squares of channel j over all ranks. */
static void join(const struct stats *a, int64_t j, double *mean, double *square)
{
    const int64_t step = 1 + 2 * a->c;
    double sum = 0;
    *square = 0;
    for (int64_t r = 0; r < a->ranks; r++)
        sum += a->parts[r * step] * a->parts[r * step + 1 + 2 * j];
    *mean = a->ranks == 1 ? a->parts[1 + 2 * j] : a->count > 0 ? sum / a->count : 0;
    for (int64_t r = 0; r < a->ranks; r++) {
        const double *p = a->parts + r * step, d = p[1 + 2 * j] - *mean;
        *square += p[0] > 0 ? p[2 + 2 * j] + p[0] * d * d : 0;
    }
}

static void each(const struct stats *a, int64_t j)
{
    double mean, var, square;
    if (a->ranks) {
        join(a, j, &mean, &square);
        var = a->count > 0 ? square / a->count : 0;
    } else {
        mean = get(a->mean, a->rt, j);
        var = get(a->var, a->rt, j);
    }
    a->stats[1 + 2 * j] = mean;
    a->stats[2 + 2 * j] = 1 / sqrt(var + a->eps);
    if (!a->ranks || !a->mean || a->count <= 1)
        return;
    mix(a->mean, a->rt, j, a->q, mean);
    mix(a->var, a->rt, j, a->q, square / (a->count - 1));
}

weft_status weft__cpu_channel_stats(weft_stream *s, weft_dev stats, weft_dev mean, weft_dev var,
                                    weft_dev batches, weft_dtype rt, weft_dev parts, int64_t ranks,
                                    int64_t c, double momentum, double eps)
{
    struct stats a = {.stats = cpu_ptr(stats),
                      .parts = cpu_ptr(parts),
                      .mean = cpu_ptr(mean),
                      .var = cpu_ptr(var),
                      .rt = rt,
                      .ranks = ranks,
                      .c = c,
                      .eps = eps,
                      .q = momentum};
    (void)s;
    for (int64_t r = 0; r < ranks; r++)
        a.count += a.parts[r * (1 + 2 * c)];
    if (momentum < 0 && batches.addr)
        a.q = 1 / (get(cpu_ptr(batches), rt, 0) + 1);
    a.stats[0] = a.count;
    for (int64_t j = 0; j < c; j++)
        each(&a, j);
    if (ranks && mean.addr && batches.addr && a.count > 1) {
        const double before = get(cpu_ptr(batches), rt, 0);
        mix(cpu_ptr(batches), rt, 0, 1, before + 1);
    }
    return WEFT_OK;
}

weft_status weft__cpu_channel_norm(weft_stream *s, weft_dev y, weft_dev x, weft_dev stats,
                                   weft_dev w, weft_dev b, weft_dtype wt, int64_t n, int64_t c,
                                   int64_t inner, int64_t groups, weft_dtype dt)
{
    const struct channels a = {.y = cpu_ptr(y),
                               .x = cpu_ptr(x),
                               .stats = cpu_ptr(stats),
                               .w = cpu_ptr(w),
                               .b = cpu_ptr(b),
                               .wt = wt,
                               .n = n,
                               .c = c,
                               .inner = inner,
                               .groups = groups};
    if (inner == 1 && !groups)
        return weft__cpu_each_row(s, CPU_FLOATS(channel_tile), dt, &a, channel_items(&a),
                                  4 * n * TILE);
    return weft__cpu_each_row(s, CPU_FLOATS(channel_norm), dt, &a, inner == 1 ? n : n * c,
                              4 * (inner == 1 ? c : inner));
}
#endif
