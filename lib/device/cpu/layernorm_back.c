/* The gradient of layer normalisation. With h = gy w and z = (x - m) r:
 * gx = r (h - mean(h) - z mean(h z)), gw = sum gy z, gb = sum gy over the rows. One reading of x and gy: rows
 * go by parts, of which the shape alone decides, and each part keeps its own sums, of a block of rows in
 * C, of all in f64. add_layernorm: the gradient of its sum is added to gx. */
#ifdef T
#include "device/cpu/layernorm.h"

#ifndef LOW
#include "device/cpu/math.h"

/* Adds to the sums of h and of h z; each column's to gw and gb. */
static void N(run_sums)(const C *x, const C *gy, int64_t n, const C *w, struct of_row o, C *gw,
                        C *gb, double *mh, double *mz)
{
    const C high = (C)o.mean, rstd = (C)o.rstd, z0 = (C)((double)high - o.mean) * rstd;
    C s[LANES] = {0}, q[LANES] = {0};
    EACH_LANE(n, const C g = gy[i], z = N(fused)(x[i] - high, rstd, z0), h = g * w[i]; s[k] += h;
              q[k] = N(fused)(h, z, q[k]); gb[i] += g; gw[i] = N(fused)(g, z, gw[i]););
    *mh += N(join)(s);
    *mz += N(join)(q);
}

static void N(run_back)(C *gx, const C *x, const C *gy, int64_t n, const C *w, const C *more,
                        struct of_row o)
{
    const double slope = o.mz * o.rstd;
    const C high = (C)o.mean, rstd = (C)o.rstd, down = (C)-slope;
    const C base = (C)(slope * (o.mean - (double)high) - o.mh);
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const C h = N(fused)(gy[i], w[i], base);
        gx[i] = N(fused)(N(fused)(x[i] - high, down, h), rstd, more[i]);
    }
}
#endif

/* A row's gradient, and a row more in the sums gw and gb. first: of those in the same rooms. */
static void N(norm_row)(const struct norm *a, int64_t r, C *gw, C *gb, C (*room)[RUN], bool first)
{
    const int64_t begin = r * a->c;
    const bool one = a->c <= RUN;
    struct of_row o = {.mean = a->stats[2 * r], .rstd = a->stats[2 * r + 1]};
    for (int64_t at = 0; at < a->c; at += RUN) {
        const int64_t n = a->c - at < RUN ? a->c - at : RUN;
        const C *x = N(operand)(room[0], a->x, begin + at, n, 0, false);
        const C *gy = N(operand)(room[1], a->gy, begin + at, n, 0, false);
        const C *w = N(operand)(room[2], a->w, at, n, 1, one && !first);
        M(run_sums)(x, gy, n, w, o, gw + at, gb + at, &o.mh, &o.mz);
    }
    o.mh /= (double)a->c;
    o.mz /= (double)a->c;
    for (int64_t at = 0; at < (a->y ? a->c : 0); at += RUN) {
        const int64_t n = a->c - at < RUN ? a->c - at : RUN;
        const C *x = N(operand)(room[0], a->x, begin + at, n, 0, one);
        const C *gy = N(operand)(room[1], a->gy, begin + at, n, 0, one);
        const C *w = N(operand)(room[2], a->w, at, n, 1, one);
        const C *more = N(operand)(room[3], a->r, a->r ? begin + at : 0, n, 0, !a->r && !first);
        T *gx = (T *)a->y + begin + at;
#ifdef LOW
        M(run_back)(room[1], x, gy, n, w, more, o);
        NARROW(gx, room[1], n);
#else
        N(run_back)(gx, x, gy, n, w, more, o);
#endif
    }
}

static void N(norm_parts)(const void *args, int64_t lo, int64_t hi)
{
    const struct norm *a = args;
    _Alignas(64) C room[4][RUN];
    for (int64_t t = lo; t < hi; t++) {
        const int64_t end = a->rows * (t + 1) / a->parts;
        double *total = a->room + 4 * a->c * t;
        C *sums = (C *)(total + 2 * a->c);
        memset(total, 0, (size_t)(2 * a->c) * sizeof *total);
        for (int64_t r = a->rows * t / a->parts, first = r; r < end; r++) {
            if ((r - first) % BLOCK == 0)
                memset(sums, 0, (size_t)(2 * a->c) * sizeof *sums);
            N(norm_row)(a, r, sums, sums + a->c, room, t == lo && r == first);
            if ((r - first) % BLOCK == BLOCK - 1 || r + 1 == end)
#pragma omp simd
                for (int64_t j = 0; j < 2 * a->c; j++)
                    total[j] += (double)sums[j];
        }
    }
}

#ifndef LOW
/* Columns of gw, and behind them those of gb. */
static void N(norm_sums)(const void *args, int64_t lo, int64_t hi)
{
    const struct norm *a = args;
    for (int64_t j = lo; j < hi; j += RUN) {
        const int64_t n = hi - j < RUN ? hi - j : RUN;
        double sum[RUN] = {0};
        for (int64_t t = 0; t < a->parts; t++)
#pragma omp simd
            for (int64_t i = 0; i < n; i++)
                sum[i] += a->room[4 * a->c * t + j + i];
        for (int64_t i = 0; i < n; i++) {
            C *to = j + i < a->c ? a->gw : a->gb;
            if (to)
                to[(j + i) % a->c] = (C)sum[i];
        }
    }
}
#endif

#else

#include "device/cpu/cpu.h"

#include "core/alloc.h"

#include <string.h>

#include "device/cpu/layernorm.h"
struct of_row {
    double mean, rstd, mh, mz; /* mh, mz: the means of h and of h z */
};
#define BLOCK 32       /* rows, and least rows of a part */
#define PARTS 64       /* at most */
#define ROOM (1 << 18) /* f64 numbers of room that stays */
#define CPU_LOW
#define CPU_FAMILY "device/cpu/layernorm_back.c"
#include "device/cpu/typed.h"

static weft_status both(weft_stream *s, struct norm *a, weft_dtype dt)
{
    const weft_dtype wide = dt == WEFT_F64 ? dt : WEFT_F32;
    WEFT_TRY(weft__cpu_each_row(s, CPU_FLOATS(norm_parts), dt, a, a->parts,
                                8 * (a->rows / a->parts + 1) * a->c));
    return a->gw || a->gb ? weft__cpu_each(s, CPU_PAIR(norm_sums), wide, a, 2 * a->c, a->parts)
                          : WEFT_OK;
}

weft_status weft__cpu_add_layernorm_back(weft_stream *s, weft_dev gx, weft_dev gw, weft_dev gb,
                                         weft_dev gy, weft_dev gsum, weft_dev sum, weft_dev stats,
                                         weft_dev w, int64_t rows, int64_t c, weft_dtype dt)
{
    struct norm a = {.y = cpu_ptr(gx),
                     .gw = cpu_ptr(gw),
                     .gb = cpu_ptr(gb),
                     .x = cpu_ptr(sum),
                     .r = cpu_ptr(gsum),
                     .w = cpu_ptr(w),
                     .gy = cpu_ptr(gy),
                     .stats = cpu_ptr(stats),
                     .rows = rows,
                     .c = c};
    const int64_t fit = ROOM / (4 * c + 1), most = rows / BLOCK < PARTS ? rows / BLOCK : PARTS;
    weft__lane *of = weft__process.norm_lane;
    a.parts = most < fit ? most : fit;
    a.parts = a.parts < 1 ? 1 : a.parts;
    const int lane = fit ? weft__cpu_lane_take(of, ROOM * sizeof(double)) : -1;
    void *own = lane < 0 ? weft__claim((size_t)(a.parts * 4 * c + 1) * sizeof(double)) : NULL;
    a.room = lane < 0 ? own : of[lane].room;
    const weft_status status = a.room ? both(s, &a, dt) : WEFT_ENOMEM;
    weft__cpu_lane_give(of, lane);
    weft__free(own);
    return status;
}

weft_status weft__cpu_layernorm_back(weft_stream *s, weft_dev gx, weft_dev gw, weft_dev gb,
                                     weft_dev gy, weft_dev x, weft_dev stats, weft_dev w,
                                     int64_t rows, int64_t c, weft_dtype dt)
{
    return weft__cpu_add_layernorm_back(s, gx, gw, gb, gy, (weft_dev){0}, x, stats, w, rows, c, dt);
}
#endif
