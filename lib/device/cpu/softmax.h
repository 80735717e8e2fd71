/* What softmax and cross entropy share: sums and maxima of a row, and its powers. Read in both passes of a
 * family. */
#include "device/cpu/lanes.h"
#include "device/cpu/math.h"

/* Sum of x, in the lanes. */
static double N(total)(const T *x, int64_t n)
{
    double sum = 0;
    for (int64_t at = 0; at < n; at += RUN) {
        T s[LANES] = {0};
        EACH_LANE((n - at < RUN ? n - at : RUN), s[k] += x[at + i];);
        sum += N(join)(s);
    }
    return sum;
}

/* The maximum; NaN is passed over. */
static T N(highest)(const T *x, int64_t n)
{
    T m[LANES];
    for (int k = 0; k < LANES; k++)
        m[k] = -(T)INFINITY;
    EACH_LANE(n, m[k] = x[i] > m[k] ? x[i] : m[k];);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int k = 0; k < half; k++)
            m[k] = m[k + half] > m[k] ? m[k + half] : m[k];
    return m[0];
}

/* y = exp(x - max x), not yet divided; returns the sum of y and sets *max. y may be x. */
static double N(powers)(T *y, const T *x, int64_t c, T *max)
{
    const T m = N(highest)(x, c);
    double sum = 0;
    for (int64_t at = 0; at < c; at += RUN) {
        const int64_t n = c - at < RUN ? c - at : RUN;
#pragma omp simd
        for (int64_t j = at; j < at + n; j++)
            y[j] = N(cpu_decay)(x[j] - m);
        sum += N(total)(y + at, n);
    }
    *max = m;
    return sum;
}
