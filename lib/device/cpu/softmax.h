/* What softmax and cross entropy share: sums and maxima of a row, and its powers. Read in both passes of a
 * family. */
#include "device/cpu/lanes.h"
#include "device/cpu/math.h"
#include "device/cpu/unroll.h"

/* Sum of x, in the lanes. */
CPU_INLINE double N(total)(const T *x, int64_t n)
{
    double sum = 0;
    for (int64_t at = 0; at < n; at += RUN) {
        T s[LANES] = {0};
        EACH_LANE((n - at < RUN ? n - at : RUN), s[k] += x[at + i];);
        sum += N(join)(s);
    }
    return sum;
}

CPU_INLINE T N(more)(T x, T y)
{
    return x > y ? x : y;
}

/* The maximum; NaN is passed over. */
static T N(highest)(const T *x, int64_t n)
{
    T m[LANES];
    for (int k = 0; k < LANES; k++)
        m[k] = -(T)INFINITY;
    EACH_LANE(n, m[k] = N(more)(x[i], m[k]););
    T top[LANES / 4];
#pragma omp simd
    for (int k = 0; k < LANES / 4; k++)
        top[k] = N(more)(N(more)(m[k], m[k + 16]), N(more)(m[k + 32], m[k + 48]));
    CPU_UNROLL(4)
    for (int half = LANES / 8; half > 0; half /= 2)
        CPU_UNROLL(8)
    for (int k = 0; k < half; k++)
        top[k] = N(more)(top[k], top[k + half]);
    return top[0];
}

/* y = exp(x - m), m at least the maximum of x; returns the sum of y. y may be x. */
static double N(powers)(T *y, const T *x, int64_t c, T m)
{
    double sum = 0;
    for (int64_t at = 0; at < c; at += RUN) {
        const int64_t n = c - at < RUN ? c - at : RUN;
        const T *from = x + at;
        T *to = y + at, s[LANES] = {0};
        EACH_LANE(n, const T power = N(cpu_decay)(from[i] - m); to[i] = power; s[k] += power;);
        sum += N(join)(s);
    }
    return sum;
}
