/* Root mean square normalisation of rows (Zhang and Sennrich, "Root mean square layer normalization",
 * 2019): y = x r w with r = 1/sqrt(mean(x^2) + eps). With h = gy w and n = x r:
 * gx = r (h - n mean(h n)), gw = sum gy n over the rows, in their order. Sums are formed in f64. */
#ifdef T

CPU_INLINE void N(scaled)(T *y, const T *x, const T *w, int64_t c, double rms)
{
#pragma omp simd
    for (int64_t j = 0; j < c; j++) {
        const C v = (C)((double)LOAD(x[j]) * rms);
        y[j] = STORE(w ? v * LOAD(w[j]) : v);
    }
}

static void N(rmsnorm)(const void *args, int64_t lo, int64_t hi)
{
    const struct rms *a = args;
    const T *w = a->w;
    for (int64_t r = lo; r < hi; r++) {
        const T *x = (const T *)a->x + r * a->c;
        T *y = (T *)a->y + r * a->c;
        double q[CPU_LANES] = {0};
        int64_t i = 0;
        for (; i + CPU_LANES <= a->c; i += CPU_LANES) {
#pragma omp simd
            for (int j = 0; j < CPU_LANES; j++)
                q[j] += (double)LOAD(x[i + j]) * (double)LOAD(x[i + j]);
        }
        for (int j = 0; i < a->c; i++, j++)
            q[j] += (double)LOAD(x[i]) * (double)LOAD(x[i]);
        const double rms = 1 / sqrt(cpu_fold(q) / (double)a->c + a->eps);
        a->stats[r] = rms;
        if (w)
            N(scaled)(y, x, w, a->c, rms);
        else
            N(scaled)(y, x, NULL, a->c, rms);
    }
}

CPU_INLINE void N(rms_row)(T *gx, const T *x, const T *gy, const T *w, int64_t c, const double rms)
{
    double hn[CPU_LANES] = {0};
    int64_t i = 0;
    for (; i + CPU_LANES <= c; i += CPU_LANES) {
#pragma omp simd
        for (int j = 0; j < CPU_LANES; j++) {
            const double h = (double)LOAD(gy[i + j]) * (w ? (double)LOAD(w[i + j]) : 1);
            hn[j] += h * ((double)LOAD(x[i + j]) * rms);
        }
    }
    for (int j = 0; i < c; i++, j++) {
        const double h = (double)LOAD(gy[i]) * (w ? (double)LOAD(w[i]) : 1);
        hn[j] += h * ((double)LOAD(x[i]) * rms);
    }
    const double mean = cpu_fold(hn) / (double)c;
#pragma omp simd
    for (int64_t j = 0; j < c; j++) {
        const double h = (double)LOAD(gy[j]) * (w ? (double)LOAD(w[j]) : 1);
        gx[j] = STORE((C)(rms * (h - (double)LOAD(x[j]) * rms * mean)));
    }
}

static void N(rms_rows)(const void *args, int64_t lo, int64_t hi)
{
    const struct rms *a = args;
    for (int64_t r = lo; r < hi; r++) {
        const T *x = (const T *)a->x + r * a->c, *gy = (const T *)a->gy + r * a->c;
        T *gx = (T *)a->y + r * a->c;
        if (a->w)
            N(rms_row)(gx, x, gy, a->w, a->c, a->stats[r]);
        else
            N(rms_row)(gx, x, gy, NULL, a->c, a->stats[r]);
    }
}

/* Tiles of columns. */
static void N(rms_columns)(const void *args, int64_t lo, int64_t hi)
{
    const struct rms *a = args;
    for (int64_t t = lo; t < hi; t++) {
        const int64_t first = t * TILE, n = a->c - first < TILE ? a->c - first : TILE;
        double gw[TILE] = {0};
        for (int64_t r = 0; r < a->rows; r++) {
            const T *x = (const T *)a->x + r * a->c + first;
            const T *gy = (const T *)a->gy + r * a->c + first;
#pragma omp simd
            for (int64_t j = 0; j < n; j++)
                gw[j] += (double)LOAD(gy[j]) * ((double)LOAD(x[j]) * a->stats[r]);
        }
        for (int64_t j = 0; j < n; j++)
            ((C *)a->gw)[first + j] = (C)gw[j];
    }
}

#else

#include "device/cpu/cpu.h"

#include <math.h>

#define TILE 256

struct rms {
    void *y, *gw;
    const void *x, *w, *gy;
    double *stats, eps;
    int64_t rows, c;
};

#define CPU_LOW
#define CPU_FAMILY "device/cpu/rmsnorm.c"
#include "device/cpu/typed.h"

weft_status weft__cpu_rmsnorm(weft_stream *s, weft_dev y, weft_dev stats, weft_dev x, weft_dev w,
                              int64_t rows, int64_t c, double eps, weft_dtype dt)
{
    const struct rms a = {.y = cpu_ptr(y),
                          .x = cpu_ptr(x),
                          .w = cpu_ptr(w),
                          .stats = cpu_ptr(stats),
                          .eps = eps,
                          .rows = rows,
                          .c = c};
    return weft__cpu_each_row(s, CPU_FLOATS(rmsnorm), dt, &a, rows, 3 * c);
}

weft_status weft__cpu_rmsnorm_back(weft_stream *s, weft_dev gx, weft_dev gw, weft_dev gy,
                                   weft_dev x, weft_dev stats, weft_dev w, int64_t rows, int64_t c,
                                   weft_dtype dt)
{
    const struct rms a = {.y = cpu_ptr(gx),
                          .gw = cpu_ptr(gw),
                          .x = cpu_ptr(x),
                          .w = cpu_ptr(w),
                          .gy = cpu_ptr(gy),
                          .stats = cpu_ptr(stats),
                          .rows = rows,
                          .c = c};
    if (gx.addr)
        WEFT_TRY(weft__cpu_each_row(s, CPU_FLOATS(rms_rows), dt, &a, rows, 5 * c));
    return gw.addr ? weft__cpu_each_row(s, CPU_FLOATS(rms_columns), dt, &a, (c + TILE - 1) / TILE,
                                        2 * rows * TILE)
                   : WEFT_OK;
}
#endif
