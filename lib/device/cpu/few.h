/* Cross entropy of several rows side by side, so that a vector has one number of each: the logarithms of their sums, and,
 * where there are few classes, the powers. Read in both passes of a family. */
#ifndef DEVICE_CPU_FEW_H
#define DEVICE_CPU_FEW_H
#include "device/cpu/math.h"

#define SIDE 16        /* rows */
#define FEW_CLASSES 48 /* as many are worth being turned round */

/* log x from sqrt(1/2) on, within 1 unit in the last place, with the same bits in every set: nothing is fused.
 * x = 2^k m with m next to 1, and log m = 2 s + s^3 p(s^2) of s = (m - 1) / (m + 1). */
CPU_INLINE double cpu_log(double x)
{
    uint64_t u, whole;
    double m, k;
    memcpy(&u, &x, sizeof u);
    whole = (u - UINT64_C(0x3FE6A09E667F3BCD)) >> 52;
    u -= whole << 52;
    whole |= UINT64_C(0x4330000000000000); /* of 2^52 + k */
    memcpy(&m, &u, sizeof m);
    memcpy(&k, &whole, sizeof k);
    k -= 0x1p52;
    const double f = m - 1, s = f / (m + 1), z = s * s;
    double p = 0.146164496850434059;
    p = p * z + 0.153317216005560413;
    p = p * z + 0.181828891252617221;
    p = p * z + 0.222222111347950799;
    p = p * z + 0.285714286259754849;
    p = p * z + 0.399999999998995045;
    p = p * z + 0.666666666666666969;
    const double y = k * log2_high_f64 - ((s * (f - z * p) - k * log2_low_f64) - f);
    return x < INFINITY ? y : x; /* NaN */
}
#endif

#ifdef T
#include "device/cpu/softmax.h"

/* Numbers of n rows: column[j][k] = x[k][j] and back, each times factor[k]. */
CPU_INLINE void N(turn)(T column[][SIDE], const T *x, int64_t c, int n)
{
    for (int64_t j = 0; j < c; j++)
#pragma omp simd
        for (int k = 0; k < n; k++)
            column[j][k] = x[k * c + j];
}

CPU_INLINE void N(turn_back)(T *y, T column[][SIDE], const T *factor, int64_t c, int n)
{
    for (int64_t j = 0; j < c; j++)
#pragma omp simd
        for (int k = 0; k < n; k++)
            y[k * c + j] = column[j][k] * factor[k];
}

/* p = exp(x - max x) / sum of n rows, SIDE or fewer, of c classes, at most FEW_CLASSES. p may be x. */
static void N(few)(T *p, const T *x, int64_t c, int n, double *sum, double *max)
{
    T column[FEW_CLASSES][SIDE], top[SIDE], part[SIDE];
    if (n == SIDE) {
        N(turn)(column, x, c, SIDE);
    } else {
        memset(column, 0, (size_t)c * sizeof *column);
        N(turn)(column, x, c, n);
    }
    for (int k = 0; k < SIDE; k++) {
        top[k] = -(T)INFINITY;
        sum[k] = 0;
    }
    for (int64_t j = 0; j < c; j++)
#pragma omp simd
        for (int k = 0; k < SIDE; k++)
            top[k] = N(more)(column[j][k], top[k]);
    for (int64_t j = 0; j < c; j++)
#pragma omp simd
        for (int k = 0; k < SIDE; k++) {
            column[j][k] = N(cpu_decay)(column[j][k] - top[k]);
            sum[k] += (double)column[j][k];
        }
    for (int k = 0; k < SIDE; k++) {
        max[k] = (double)top[k];
        part[k] = (T)(1 / sum[k]);
    }
    if (n == SIDE)
        N(turn_back)(p, column, part, c, SIDE);
    else
        N(turn_back)(p, column, part, c, n);
}
#endif
