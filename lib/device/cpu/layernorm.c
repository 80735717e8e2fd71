/* Layer normalisation of rows: y = (x - m) r w + b with m the mean and r = 1/sqrt(variance + eps).
 * With h = gy w and n = (x - m) r: gx = r (h - mean(h) - n mean(h n)), gw = sum gy n, gb = sum gy
 * over the rows, in their order. Sums are formed in f64. add_layernorm: x is a sum, which is written
 * too, and its own gradient is added to gx. */
#ifdef T

/* Mean and variance in one reading. No element is further from the mean than sqrt(c) times the deviation,
 * so that what is subtracted of the squares about the first one costs a factor of c of f64's precision. */
CPU_INLINE double N(moments)(const T *x, int64_t c, double *variance)
{
    const double origin = (double)LOAD(x[0]), n = (double)c;
    double s[CPU_LANES] = {0}, q[CPU_LANES] = {0};
    int64_t i = 0;
    for (; i + CPU_LANES <= c; i += CPU_LANES) {
#pragma omp simd
        for (int j = 0; j < CPU_LANES; j++) {
            const double d = (double)LOAD(x[i + j]) - origin;
            s[j] += d;
            q[j] += d * d;
        }
    }
    for (int j = 0; i < c; i++, j++) {
        const double d = (double)LOAD(x[i]) - origin;
        s[j] += d;
        q[j] += d * d;
    }
    const double mean = cpu_fold(s) / n;
    *variance = cpu_fold(q) / n - mean * mean;
    return origin + mean;
}

CPU_INLINE void N(affine)(T *y, const T *x, const T *w, const T *b, int64_t c, double m,
                          double rstd)
{
#pragma omp simd
    for (int64_t j = 0; j < c; j++) {
        C v = (C)(((double)LOAD(x[j]) - m) * rstd);
        if (w)
            v *= LOAD(w[j]);
        if (b)
            v += LOAD(b[j]);
        y[j] = STORE(v);
    }
}

static void N(layernorm)(const void *args, int64_t lo, int64_t hi)
{
    const struct norm *a = args;
    const T *w = a->w, *b = a->b;
    for (int64_t r = lo; r < hi && a->c > 0; r++) {
        const T *x = (const T *)a->x + r * a->c;
        const T *more = a->r ? (const T *)a->r + r * a->c : NULL;
        T *y = (T *)a->y + r * a->c, *sum = a->sum ? (T *)a->sum + r * a->c : NULL;
#pragma omp simd
        for (int64_t j = 0; j < (sum ? a->c : 0); j++)
            sum[j] = STORE(LOAD(x[j]) + LOAD(more[j]));
        x = sum ? sum : x;
        double variance, m = N(moments)(x, a->c, &variance);
        const double rstd = 1 / sqrt(variance + a->eps);
        a->stats[2 * r] = m;
        a->stats[2 * r + 1] = rstd;
        if (w && b)
            N(affine)(y, x, w, b, a->c, m, rstd);
        else if (w)
            N(affine)(y, x, w, NULL, a->c, m, rstd);
        else if (b)
            N(affine)(y, x, NULL, b, a->c, m, rstd);
        else
            N(affine)(y, x, NULL, NULL, a->c, m, rstd);
    }
}

/* h and h n of an element. */
#define TERMS(j)                                                                                   \
    const double h = w ? (double)LOAD(gy[j]) * (double)LOAD(w[j]) : (double)LOAD(gy[j]);           \
    const double hn = h * (((double)LOAD(x[j]) - m) * rstd)

CPU_INLINE void N(row_back)(T *gx, const T *x, const T *gy, const T *w, const T *more, int64_t c,
                            const double m, const double rstd)
{
    double s[CPU_LANES] = {0}, q[CPU_LANES] = {0};
    int64_t i = 0;
    for (; i + CPU_LANES <= c; i += CPU_LANES) {
#pragma omp simd
        for (int j = 0; j < CPU_LANES; j++) {
            TERMS(i + j);
            s[j] += h;
            q[j] += hn;
        }
    }
    for (int j = 0; i < c; i++, j++) {
        TERMS(i);
        s[j] += h;
        q[j] += hn;
    }
    const double mh = cpu_fold(s) / (double)c, mhn = cpu_fold(q) / (double)c;
#pragma omp simd
    for (int64_t j = 0; j < c; j++) {
        const double h = w ? (double)LOAD(gy[j]) * (double)LOAD(w[j]) : (double)LOAD(gy[j]);
        const C v = (C)(rstd * (h - mh - ((double)LOAD(x[j]) - m) * rstd * mhn));
        gx[j] = STORE(more ? v + LOAD(more[j]) : v);
    }
}
#undef TERMS

static void N(rows_back)(const void *args, int64_t lo, int64_t hi)
{
    const struct norm *a = args;
    const T *w = a->w;
    for (int64_t r = lo; r < hi; r++) {
        const int64_t at = r * a->c;
        const T *x = (const T *)a->x + at, *gy = (const T *)a->gy + at;
        const T *more = a->r ? (const T *)a->r + at : NULL;
        T *gx = (T *)a->y + at;
        const double m = a->stats[2 * r], rstd = a->stats[2 * r + 1];
        if (w && a->r)
            N(row_back)(gx, x, gy, w, more, a->c, m, rstd);
        else if (w)
            N(row_back)(gx, x, gy, w, NULL, a->c, m, rstd);
        else if (a->r)
            N(row_back)(gx, x, gy, NULL, more, a->c, m, rstd);
        else
            N(row_back)(gx, x, gy, NULL, NULL, a->c, m, rstd);
    }
}

/* Tiles of columns. */
static void N(columns_back)(const void *args, int64_t lo, int64_t hi)
{
    const struct norm *a = args;
    for (int64_t t = lo; t < hi; t++) {
        const int64_t first = t * TILE, n = a->c - first < TILE ? a->c - first : TILE;
        double gw[TILE] = {0}, gb[TILE] = {0};
        for (int64_t r = 0; r < a->rows; r++) {
            const T *x = (const T *)a->x + r * a->c + first;
            const T *gy = (const T *)a->gy + r * a->c + first;
            const double m = a->stats[2 * r], rstd = a->stats[2 * r + 1];
#pragma omp simd
            for (int64_t j = 0; j < n; j++) {
                const double g = (double)LOAD(gy[j]);
                gb[j] += g;
                gw[j] += g * (((double)LOAD(x[j]) - m) * rstd);
            }
        }
        for (int64_t j = 0; j < n && a->gw; j++)
            ((C *)a->gw)[first + j] = (C)gw[j];
        for (int64_t j = 0; j < n && a->gb; j++)
            ((C *)a->gb)[first + j] = (C)gb[j];
    }
}

#else

#include "device/cpu/cpu.h"

#include <math.h>

#define TILE 256

struct norm {
    void *y, *gw, *gb, *sum;
    const void *x, *w, *b, *gy;
    const void *r; /* what is added: to x, or to gx; NULL: nothing */
    double *stats, eps;
    int64_t rows, c;
};

#define CPU_LOW
#define CPU_FAMILY "device/cpu/layernorm.c"
#include "device/cpu/typed.h"

weft_status weft__cpu_add_layernorm(weft_stream *s, weft_dev y, weft_dev sum, weft_dev stats,
                                    weft_dev x, weft_dev r, weft_dev w, weft_dev b, int64_t rows,
                                    int64_t c, double eps, weft_dtype dt)
{
    const struct norm a = {.y = cpu_ptr(y),
                           .sum = cpu_ptr(sum),
                           .x = cpu_ptr(x),
                           .r = cpu_ptr(r),
                           .w = cpu_ptr(w),
                           .b = cpu_ptr(b),
                           .stats = cpu_ptr(stats),
                           .eps = eps,
                           .rows = rows,
                           .c = c};
    return weft__cpu_each_row(s, CPU_FLOATS(layernorm), dt, &a, rows, 5 * c);
}

weft_status weft__cpu_layernorm(weft_stream *s, weft_dev y, weft_dev stats, weft_dev x, weft_dev w,
                                weft_dev b, int64_t rows, int64_t c, double eps, weft_dtype dt)
{
    return weft__cpu_add_layernorm(s, y, (weft_dev){0}, stats, x, (weft_dev){0}, w, b, rows, c, eps,
                                   dt);
}

weft_status weft__cpu_add_layernorm_back(weft_stream *s, weft_dev gx, weft_dev gw, weft_dev gb,
                                         weft_dev gy, weft_dev gsum, weft_dev sum, weft_dev stats,
                                         weft_dev w, int64_t rows, int64_t c, weft_dtype dt)
{
    const struct norm a = {.y = cpu_ptr(gx),
                           .gw = cpu_ptr(gw),
                           .gb = cpu_ptr(gb),
                           .x = cpu_ptr(sum),
                           .r = cpu_ptr(gsum),
                           .w = cpu_ptr(w),
                           .gy = cpu_ptr(gy),
                           .stats = cpu_ptr(stats),
                           .rows = rows,
                           .c = c};
    if (gx.addr)
        WEFT_TRY(weft__cpu_each_row(s, CPU_FLOATS(rows_back), dt, &a, rows, 6 * c));
    return gw.addr || gb.addr ? weft__cpu_each_row(s, CPU_FLOATS(columns_back), dt, &a,
                                                   (c + TILE - 1) / TILE, 3 * rows * TILE)
                              : WEFT_OK;
}

weft_status weft__cpu_layernorm_back(weft_stream *s, weft_dev gx, weft_dev gw, weft_dev gb,
                                     weft_dev gy, weft_dev x, weft_dev stats, weft_dev w,
                                     int64_t rows, int64_t c, weft_dtype dt)
{
    return weft__cpu_add_layernorm_back(s, gx, gw, gb, gy, (weft_dev){0}, x, stats, w, rows, c, dt);
}
#endif
