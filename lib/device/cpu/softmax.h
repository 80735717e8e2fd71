/* What softmax and cross entropy share: sums and maxima of a row, and its powers. Read in both passes of a
 * family. */
#include "device/cpu/math.h"

/* Sum of x, in the lanes. */
static double N(total)(const T *x, int64_t n)
{
    double s[CPU_LANES] = {0};
    int64_t i = 0;
    for (; i + CPU_LANES <= n; i += CPU_LANES) {
#pragma omp simd
        for (int j = 0; j < CPU_LANES; j++)
            s[j] += (double)x[i + j];
    }
    for (int j = 0; i < n; i++, j++)
        s[j] += (double)x[i];
    return cpu_fold(s);
}

/* The maximum; NaN is passed over. */
static T N(highest)(const T *x, int64_t n)
{
    T m[CPU_LANES], top = -(T)INFINITY;
    int64_t i = 0;
    for (int j = 0; j < CPU_LANES; j++)
        m[j] = top;
    for (; i + CPU_LANES <= n; i += CPU_LANES) {
#pragma omp simd
        for (int j = 0; j < CPU_LANES; j++)
            m[j] = x[i + j] > m[j] ? x[i + j] : m[j];
    }
    for (; i < n; i++)
        top = x[i] > top ? x[i] : top;
    for (int half = CPU_LANES / 2; half > 0; half /= 2)
        for (int j = 0; j < half; j++)
            m[j] = m[j + half] > m[j] ? m[j + half] : m[j];
    return m[0] > top ? m[0] : top;
}

/* y = exp(x - max x), not yet divided; returns the sum of y and sets *max. y may be x. */
static double N(powers)(T *y, const T *x, int64_t c, T *max)
{
    const T m = N(highest)(x, c);
#pragma omp simd
    for (int64_t j = 0; j < c; j++)
        y[j] = N(cpu_exp)(x[j] - m);
    *max = m;
    return N(total)(y, c);
}
