/* Kernels on contiguous arrays, element by element: axpy, scale, relu, bias, nonfinite. */
#ifdef T

static void N(axpy)(const void *args, int64_t lo, int64_t hi)
{
    const struct arrays *a = args;
    const T *x = a->x;
    const C alpha = (C)a->alpha;
    T *y = a->y;
#pragma omp simd
    for (int64_t i = lo; i < hi; i++)
        y[i] = STORE(LOAD(y[i]) + alpha * LOAD(x[i]));
}

static void N(scale)(const void *args, int64_t lo, int64_t hi)
{
    const struct arrays *a = args;
    const T *x = a->x;
    const C alpha = (C)a->alpha;
    T *y = a->y;
#pragma omp simd
    for (int64_t i = lo; i < hi; i++)
        y[i] = STORE(alpha * LOAD(x[i]));
}

/* NaN stays NaN. */
static void N(relu)(const void *args, int64_t lo, int64_t hi)
{
    const struct arrays *a = args;
    const T *x = a->x;
    T *y = a->y;
#pragma omp simd
    for (int64_t i = lo; i < hi; i++) {
        const T v = x[i];
        y[i] = LOAD(v) <= 0 ? 0 : v;
    }
}

static void N(relu_back)(const void *args, int64_t lo, int64_t hi)
{
    const struct arrays *a = args;
    const T *y = a->x, *gy = a->z;
    T *gx = a->y;
#pragma omp simd
    for (int64_t i = lo; i < hi; i++) {
        const T g = gy[i]; /* whether it counts or not: no branch */
        gx[i] = LOAD(y[i]) > 0 ? g : 0;
    }
}

/* Rows lo..hi-1. */
static void N(bias)(const void *args, int64_t lo, int64_t hi)
{
    const struct arrays *a = args;
    const T *b = a->x;
    for (int64_t r = lo; r < hi; r++) {
        T *y = (T *)a->y + r * a->c;
        if (b) {
#pragma omp simd
            for (int64_t j = 0; j < a->c; j++)
                y[j] = STORE(LOAD(y[j]) + LOAD(b[j]));
        }
        if (a->act) {
#pragma omp simd
            for (int64_t j = 0; j < a->c; j++)
                y[j] = LOAD(y[j]) <= 0 ? 0 : y[j];
        }
    }
}

/* Whether one has an exponent of ones; of C x - x is 0 for finite x, NaN for all others. */
static void N(nonfinite)(const void *args, int64_t lo, int64_t hi)
{
    const struct arrays *a = args;
    const T *x = a->x;
#ifdef LOW
    const T most = STORE((C)INFINITY);
    typedef T flag;
#define ODD(x) (((x)&most) == most)
#else
    typedef int flag;
#define ODD(x) !((x) - (x) == 0)
#endif
    enum { LINE = 64 / sizeof(T) }; /* what is asked for at a time */
    flag lane[LINE] = {0}, found = 0;
    int64_t i = lo;
    for (; i + LINE <= hi; i += LINE) {
        CPU_AHEAD(x + i);
#pragma omp simd
        for (int j = 0; j < LINE; j++)
            lane[j] |= ODD(x[i + j]);
    }
    for (; i < hi; i++)
        found |= ODD(x[i]);
    for (int j = 0; j < LINE; j++)
        found |= lane[j];
#undef ODD
    if (found)
        atomic_store_explicit(a->found, 1, memory_order_relaxed);
}

#else

#include "device/cpu/cpu.h"

#include <math.h>
#include <stdatomic.h>

struct arrays {
    void *y;
    const void *x, *z;
    double alpha;
    int64_t c;
    int act;
    atomic_int *found;
};

#define CPU_LOW
#define CPU_FAMILY "device/cpu/elementwise.c"
#include "device/cpu/typed.h"

weft_status weft__cpu_axpy(weft_stream *s, weft_dev y, double alpha, weft_dev x, int64_t n,
                           weft_dtype dt)
{
    const struct arrays a = {.y = cpu_ptr(y), .x = cpu_ptr(x), .alpha = alpha};
    return weft__cpu_each(s, CPU_FLOATS(axpy), dt, &a, n, 1);
}

weft_status weft__cpu_scale(weft_stream *s, weft_dev y, double alpha, weft_dev x, int64_t n,
                            weft_dtype dt)
{
    const struct arrays a = {.y = cpu_ptr(y), .x = cpu_ptr(x), .alpha = alpha};
    return weft__cpu_each(s, CPU_FLOATS(scale), dt, &a, n, 1);
}

weft_status weft__cpu_relu(weft_stream *s, weft_dev y, weft_dev x, int64_t n, weft_dtype dt)
{
    const struct arrays a = {.y = cpu_ptr(y), .x = cpu_ptr(x)};
    return weft__cpu_each(s, CPU_FLOATS(relu), dt, &a, n, 1);
}

weft_status weft__cpu_relu_back(weft_stream *s, weft_dev gx, weft_dev y, weft_dev gy, int64_t n,
                                weft_dtype dt)
{
    const struct arrays a = {.y = cpu_ptr(gx), .x = cpu_ptr(y), .z = cpu_ptr(gy)};
    return weft__cpu_each(s, CPU_FLOATS(relu_back), dt, &a, n, 1);
}

weft_status weft__cpu_bias(weft_stream *s, weft_dev y, weft_dev b, int act, int64_t rows, int64_t c,
                           weft_dtype dt)
{
    const struct arrays a = {.y = cpu_ptr(y), .x = cpu_ptr(b), .act = act == 1, .c = c};
    return weft__cpu_each_row(s, CPU_FLOATS(bias), dt, &a, rows, c);
}

weft_status weft__cpu_nonfinite(weft_stream *s, weft_dev flag, weft_dev x, int64_t n, weft_dtype dt)
{
    atomic_int found = 0;
    const struct arrays a = {.x = cpu_ptr(x), .found = &found};
    WEFT_TRY(weft__cpu_each(s, CPU_FLOATS(nonfinite), dt, &a, n, 1));
    *(int64_t *)cpu_ptr(flag) += found;
    return WEFT_OK;
}
#endif
