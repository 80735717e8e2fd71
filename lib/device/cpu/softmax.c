/* Softmax of rows, its logarithm, and their gradients. Rows go to threads whole. */
#ifdef T
#include "device/cpu/softmax.h"

/* Sum of x z, in the lanes. */
static double N(dot)(const T *x, const T *z, int64_t n)
{
    double s[CPU_LANES] = {0};
    int64_t i = 0;
    for (; i + CPU_LANES <= n; i += CPU_LANES) {
#pragma omp simd
        for (int j = 0; j < CPU_LANES; j++)
            s[j] += (double)x[i + j] * (double)z[i + j];
    }
    for (int j = 0; i < n; i++, j++)
        s[j] += (double)x[i] * (double)z[i];
    return cpu_fold(s);
}

static void N(softmax)(const void *args, int64_t lo, int64_t hi)
{
    const struct rows *a = args;
    for (int64_t r = lo; r < hi; r++) {
        const T *x = (const T *)a->x + r * a->c;
        T *y = (T *)a->y + r * a->c;
        if (r + 1 < hi)
            fetch_ahead(x + a->c, a->c * (int64_t)sizeof *x);
        const T part = (T)(1 / N(powers)(y, x, a->c, N(highest)(x, a->c)));
#pragma omp simd
        for (int64_t j = 0; j < a->c; j++)
            y[j] *= part;
    }
}

static void N(softmax_back)(const void *args, int64_t lo, int64_t hi)
{
    const struct rows *a = args;
    for (int64_t r = lo; r < hi; r++) {
        const T *y = (const T *)a->x + r * a->c, *gy = (const T *)a->z + r * a->c;
        const T sum = (T)N(dot)(gy, y, a->c);
        T *gx = (T *)a->y + r * a->c;
#pragma omp simd
        for (int64_t j = 0; j < a->c; j++)
            gx[j] = (gy[j] - sum) * y[j];
    }
}

/* x - max x - log sum exp(x - max x) */
static void N(log_softmax)(const void *args, int64_t lo, int64_t hi)
{
    const struct rows *a = args;
    for (int64_t r = lo; r < hi; r++) {
        const T *x = (const T *)a->x + r * a->c;
        T *y = (T *)a->y + r * a->c;
        const T m = N(highest)(x, a->c), sum = (T)log(N(powers)(y, x, a->c, m));
#pragma omp simd
        for (int64_t j = 0; j < a->c; j++)
            y[j] = (x[j] - m) - sum;
    }
}

static void N(log_softmax_back)(const void *args, int64_t lo, int64_t hi)
{
    const struct rows *a = args;
    for (int64_t r = lo; r < hi; r++) {
        const T *y = (const T *)a->x + r * a->c, *gy = (const T *)a->z + r * a->c;
        const T sum = (T)N(total)(gy, a->c);
        T *gx = (T *)a->y + r * a->c;
#pragma omp simd
        for (int64_t j = 0; j < a->c; j++)
            gx[j] = gy[j] - N(cpu_decay)(y[j]) * sum;
    }
}

#else

#include "device/cpu/cpu.h"

#include <math.h>

struct rows {
    void *y;
    const void *x, *z;
    int64_t c;
};

#define CPU_FAMILY "device/cpu/softmax.c"
#include "device/cpu/typed.h"

weft_status weft__cpu_softmax(weft_stream *s, weft_dev y, weft_dev x, int64_t rows, int64_t c,
                              weft_dtype dt)
{
    const struct rows a = {.y = cpu_ptr(y), .x = cpu_ptr(x), .c = c};
    return weft__cpu_each_row(s, CPU_PAIR(softmax), dt, &a, rows, 16 * c);
}

weft_status weft__cpu_softmax_back(weft_stream *s, weft_dev gx, weft_dev y, weft_dev gy,
                                   int64_t rows, int64_t c, weft_dtype dt)
{
    const struct rows a = {.y = cpu_ptr(gx), .x = cpu_ptr(y), .z = cpu_ptr(gy), .c = c};
    return weft__cpu_each_row(s, CPU_PAIR(softmax_back), dt, &a, rows, 2 * c);
}

weft_status weft__cpu_log_softmax(weft_stream *s, weft_dev y, weft_dev x, int64_t rows, int64_t c,
                                  weft_dtype dt)
{
    const struct rows a = {.y = cpu_ptr(y), .x = cpu_ptr(x), .c = c};
    return weft__cpu_each_row(s, CPU_PAIR(log_softmax), dt, &a, rows, 16 * c);
}

weft_status weft__cpu_log_softmax_back(weft_stream *s, weft_dev gx, weft_dev y, weft_dev gy,
                                       int64_t rows, int64_t c, weft_dtype dt)
{
    const struct rows a = {.y = cpu_ptr(gx), .x = cpu_ptr(y), .z = cpu_ptr(gy), .c = c};
    return weft__cpu_each_row(s, CPU_PAIR(log_softmax_back), dt, &a, rows, 16 * c);
}
#endif
