/* The gradient of normalisation over channels. With h = gy w and z = (x - m) r:
 * gx = r (h - mean(h) - z mean(h z)), the means over what shares m and r. */
#ifdef T
#include "device/cpu/lanes.h"
#include "device/cpu/channel.h"

/* Adds the sums of gy and of gy (x - m) r over channel j of rows r..end-1, which share m and r. */
static void N(products)(const struct channels *a, int64_t r, int64_t end, int64_t j, double *sum,
                        double *product)
{
    const double m = a->stats[channel_at(a, r, j)];
    const C high = (C)m, low = (C)(m - (double)high), rstd = (C)a->stats[channel_at(a, r, j) + 1];
    _Alignas(64) C wide[2][RUN];
    for (int64_t at = 0; r < end && a->inner > 0;) {
        C s[LANES] = {0}, q[LANES] = {0};
        for (int64_t n, room = RUN; room > 0 && r < end; room -= n) {
            const int64_t first = (r * a->c + j) * a->inner + at;
            n = channel_run(a, &r, &at);
            const C *x = N(read)(wide[0], (const T *)a->x + first, n);
            const C *gy = N(read)(wide[1], (const T *)a->gy + first, n);
            if (r < end) {
                const int64_t next = (r * a->c + j) * a->inner + at;
                fetch_ahead((const T *)a->x + next, n * (int64_t)sizeof(T));
                fetch_ahead((const T *)a->gy + next, n * (int64_t)sizeof(T));
            }
            EACH_LANE(n, s[k] += gy[i]; q[k] += gy[i] * (((x[i] - high) - low) * rstd););
        }
        *sum += M(join)(s);
        *product += M(join)(q);
    }
}

CPU_INLINE void N(tile_sums)(const struct channels *a, int64_t first)
{
    const int64_t n = a->c - first < TILE ? a->c - first : TILE;
    double s[TILE] = {0}, q[TILE] = {0}, m[TILE], r[TILE];
    _Alignas(64) C wide[2][TILE];
    for (int64_t i = 0; i < a->n; i++) {
        const C *x = N(row)(wide[0], a->x, a, i, first, n);
        const C *gy = N(row)(wide[1], a->gy, a, i, first, n);
        for (int64_t j = 0; j < n && (i == 0 || a->groups); j++) {
            m[j] = a->stats[channel_at(a, i, first + j)];
            r[j] = a->stats[channel_at(a, i, first + j) + 1];
        }
#pragma omp simd
        for (int64_t j = 0; j < n; j++) {
            const double g = (double)gy[j];
            s[j] += g;
            q[j] += g * (((double)x[j] - m[j]) * r[j]);
        }
    }
    for (int64_t j = 0; j < n; j++) {
        a->out[2 * (first + j)] = s[j];
        a->out[2 * (first + j) + 1] = q[j];
    }
}

static void N(channel_sums)(const void *args, int64_t lo, int64_t hi)
{
    const struct channels *a = args;
    for (int64_t t = lo; t < hi; t++) {
        double s = 0, q = 0;
        if (a->inner == 1) {
            CPU_CALL(tile_sums, a, t * TILE);
            continue;
        }
        for (int64_t i = 0, end = a->n; i < a->n; i = end) {
            end = a->groups ? i + 1 : a->n;
            CPU_CALL(products, a, i, end, t, &s, &q);
        }
        a->out[2 * t] = s;
        a->out[2 * t + 1] = q;
    }
}

CPU_INLINE double N(wide)(const void *w, weft_dtype wt, int64_t j)
{
    if (!w)
        return 1;
    return wt == WEFT_F32 ? (double)((const float *)w)[j] : (double)LOAD(((const T *)w)[j]);
}

/* A run of one channel; mh, mz: the means of h and of h z. */
CPU_INLINE void N(run_back)(const struct channels *a, int64_t i, int64_t j, double mh, double mz)
{
    const int64_t at = channel_at(a, i, j), first = (i * a->c + j) * a->inner;
    const double m = a->stats[at];
    const C high = (C)m, low = (C)(m - (double)high), r = (C)a->stats[at + 1];
    const C w = (C)CPU_CALL(wide, a->w, a->wt, j), h = (C)mh, z = (C)mz;
    const T *x = (const T *)a->x + first, *gy = (const T *)a->gy + first;
    T *gx = (T *)a->y + first;
    _Alignas(64) C wide[2][RUN];
    for (int64_t done = 0, n; done < a->inner; done += n) {
        n = a->inner - done < RUN ? a->inner - done : RUN;
        const C *u = N(read)(wide[0], x + done, n), *g = N(read)(wide[1], gy + done, n);
        C *to = N(place)(wide[0], gx + done);
#pragma omp simd
        for (int64_t k = 0; k < n; k++)
            to[k] = r * (g[k] * w - h - ((u[k] - high) - low) * r * z);
        N(write)(gx + done, to, n);
    }
}

/* Channels of rows. */
static void N(channel_back)(const void *args, int64_t lo, int64_t hi)
{
    const struct channels *a = args;
    for (int64_t t = lo; t < hi; t++) {
        const int64_t j = t % a->c;
        const double w = CPU_CALL(wide, a->w, a->wt, j);
        const double mh = a->sums ? w * a->sums[2 * j] / a->stats[0] : 0;
        const double mz = a->sums ? w * a->sums[2 * j + 1] / a->stats[0] : 0;
        CPU_CALL(run_back, a, t / a->c, j, mh, mz);
    }
}

/* Channels side by side, of all rows. */
static void N(tile_back)(const void *args, int64_t lo, int64_t hi)
{
    const struct channels *a = args;
    for (int64_t t = lo; t < hi; t++) {
        const int64_t first = t * TILE, n = a->c - first < TILE ? a->c - first : TILE;
        double m[TILE], r[TILE], w[TILE], mh[TILE], mz[TILE];
        _Alignas(64) C wide[2][TILE];
        for (int64_t j = 0; j < n; j++) {
            m[j] = a->stats[1 + 2 * (first + j)];
            r[j] = a->stats[2 + 2 * (first + j)];
            w[j] = CPU_CALL(wide, a->w, a->wt, first + j);
            mh[j] = a->sums ? w[j] * a->sums[2 * (first + j)] / a->stats[0] : 0;
            mz[j] = a->sums ? w[j] * a->sums[2 * (first + j) + 1] / a->stats[0] : 0;
        }
        for (int64_t i = 0; i < a->n; i++) {
            const C *x = N(row)(wide[0], a->x, a, i, first, n);
            const C *gy = N(row)(wide[1], a->gy, a, i, first, n);
            T *gx = (T *)a->y + i * a->c + first;
            C *to = N(place)(wide[0], gx);
#pragma omp simd
            for (int64_t j = 0; j < n; j++)
                to[j] = (C)(r[j] *
                            ((double)gy[j] * w[j] - mh[j] - ((double)x[j] - m[j]) * r[j] * mz[j]));
            N(write)(gx, to, n);
        }
    }
}

/* Groups of rows. */
static void N(group_back)(const void *args, int64_t lo, int64_t hi)
{
    const struct channels *a = args;
    const int64_t size = a->c / a->groups;
    for (int64_t t = lo; t < hi; t++) {
        const int64_t i = t / a->groups, first = t % a->groups * size;
        double mh = 0, mz = 0;
        for (int64_t j = first; j < first + size; j++) {
            const double w = CPU_CALL(wide, a->w, a->wt, j);
            double s = 0, q = 0;
            CPU_CALL(products, a, i, i + 1, j, &s, &q);
            mh += w * s;
            mz += w * q;
        }
        mh /= (double)(size * a->inner);
        mz /= (double)(size * a->inner);
        for (int64_t j = first; j < first + size; j++)
            CPU_CALL(run_back, a, i, j, mh, mz);
    }
}

#else

#include "device/cpu/channel.h"

#define CPU_LOW
#define CPU_FAMILY "device/cpu/channel_back.c"
#include "device/cpu/typed.h"

weft_status weft__cpu_channel_sums(weft_stream *s, weft_dev sums, weft_dev gy, weft_dev x,
                                   weft_dev stats, int64_t n, int64_t c, int64_t inner,
                                   int64_t groups, weft_dtype dt)
{
    const struct channels a = {.out = cpu_ptr(sums),
                               .gy = cpu_ptr(gy),
                               .x = cpu_ptr(x),
                               .stats = cpu_ptr(stats),
                               .n = n,
                               .c = c,
                               .inner = inner,
                               .groups = groups};
    const int64_t width = inner == 1 ? TILE : inner;
    return weft__cpu_each_row(s, CPU_FLOATS(channel_sums), dt, &a, channel_items(&a),
                              4 * n * width);
}

weft_status weft__cpu_channel_norm_back(weft_stream *s, weft_dev gx, weft_dev gy, weft_dev x,
                                        weft_dev stats, weft_dev sums, weft_dev w, weft_dtype wt,
                                        int64_t n, int64_t c, int64_t inner, int64_t groups,
                                        weft_dtype dt)
{
    const struct channels a = {.y = cpu_ptr(gx),
                               .gy = cpu_ptr(gy),
                               .x = cpu_ptr(x),
                               .stats = cpu_ptr(stats),
                               .sums = cpu_ptr(sums),
                               .w = cpu_ptr(w),
                               .wt = wt,
                               .n = n,
                               .c = c,
                               .inner = inner,
                               .groups = groups};
    if (groups)
        return weft__cpu_each_row(s, CPU_FLOATS(group_back), dt, &a, n * groups,
                                  8 * (c / groups) * inner);
    if (inner == 1)
        return weft__cpu_each_row(s, CPU_FLOATS(tile_back), dt, &a, channel_items(&a),
                                  6 * n * TILE);
    return weft__cpu_each_row(s, CPU_FLOATS(channel_back), dt, &a, n * c, 6 * inner);
}
#endif
