/* The inverse of the normal distribution's function: Wichura's PPND16, "Algorithm AS 241: the percentage
 * points of the normal distribution", Applied Statistics 37 (1988), to about 1e-16. The CUDA device
 * reads it, too. */
#ifndef DEVICE_CPU_QUANTILE_H
#define DEVICE_CPU_QUANTILE_H
#ifndef CPU_INLINE /* the CUDA device has its own */
#include "device/cpu/cpu.h"
#endif

#include <math.h>

/* Without a loop, so that loops over it become vectors. */
CPU_INLINE double cpu_poly(const double a[8], double r)
{
    const double p = ((a[7] * r + a[6]) * r + a[5]) * r + a[4];
    return (((p * r + a[3]) * r + a[2]) * r + a[1]) * r + a[0];
}

CPU_INLINE double cpu_ratio(const double a[8], const double b[8], double r)
{
    return cpu_poly(a, r) / cpu_poly(b, r);
}

/* Of the middle, where 85 % of all numbers are. */
CPU_INLINE bool cpu_is_near_half(double p)
{
    return fabs(p - 0.5) <= 0.425;
}

CPU_INLINE double cpu_near_half(double p)
{
    static const double a[] = {3.3871328727963666080e0,  1.3314166789178437745e+2,
                               1.9715909503065514427e+3, 1.3731693765509461125e+4,
                               4.5921953931549871457e+4, 6.7265770927008700853e+4,
                               3.3430575583588128105e+4, 2.5090809287301226727e+3};
    static const double b[] = {1.0,
                               4.2313330701600911252e+1,
                               6.8718700749205790830e+2,
                               5.3941960214247511077e+3,
                               2.1213794301586595867e+4,
                               3.9307895800092710610e+4,
                               2.8729085735721942674e+4,
                               5.2264952788528545610e+3};
    const double q = p - 0.5;
    return q * cpu_ratio(a, b, 0.180625 - q * q);
}

/* 0 and 1 count as the numbers beside them. */
CPU_INLINE double cpu_quantile(double p)
{
    static const double c[] = {1.42343711074968357734e0,  4.63033784615654529590e0,
                               5.76949722146069140550e0,  3.64784832476320460504e0,
                               1.27045825245236838258e0,  2.41780725177450611770e-1,
                               2.27238449892691845833e-2, 7.74545014278341407640e-4};
    static const double d[] = {1.0,
                               2.05319162663775882187e0,
                               1.67638483018380384940e0,
                               6.89767334985100004550e-1,
                               1.48103976427480074590e-1,
                               1.51986665636164571966e-2,
                               5.47593808499534494600e-4,
                               1.05075007164441684324e-9};
    static const double e[] = {6.65790464350110377720e0,  5.46378491116411436990e0,
                               1.78482653991729133580e0,  2.96560571828504891230e-1,
                               2.65321895265761230930e-2, 1.24266094738807843860e-3,
                               2.71155556874348757815e-5, 2.01033439929228813265e-7};
    static const double f[] = {1.0,
                               5.99832206555887937690e-1,
                               1.36929880922735805310e-1,
                               1.48753612908506148525e-2,
                               7.86869131145613259100e-4,
                               1.84631831751005468180e-5,
                               1.42151175831644588870e-7,
                               2.04426310338993978564e-15};
    const double u = p <= 0 ? 0x1p-54 : p < 1 ? p : 1 - 0x1p-53;
    if (cpu_is_near_half(u))
        return cpu_near_half(u);
    const double r = sqrt(-log(u < 0.5 ? u : 1 - u));
    const double z = r <= 5 ? cpu_ratio(c, d, r - 1.6) : cpu_ratio(e, f, r - 5);
    return copysign(z, u - 0.5);
}
#endif
