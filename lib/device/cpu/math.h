/* exp, tanh, erf and 1/(1 + exp -x) of additions, multiplications and choices alone: the compiler makes
 * vectors of them, and they give the same bits with every set that has FMA and with every C library.
 * exp is within 1.5 units in the last place, tanh within 2; zeros lose their sign. Read in every pass of
 * a family; the first time it defines what does not depend on the type.
 *
 *   exp x = 2^k exp r,  k the whole number next to x / log 2,  exp r = 1 + r + r^2 p(r)
 *   tanh x = x + x^3 p(x^2) up to 5/8, then 1 - 2 t / (1 + t), t = exp -2x
 *   erf x = x + x p(x^2) up to 1, then 1 - exp(-x p(x)) in f32, 1 - exp(-x^2) p((x - 2) / (x + 2)) in
 *   f64
 *
 * p interpolates the function at the Chebyshev nodes of its range. */
#ifndef DEVICE_CPU_MATH_H
#define DEVICE_CPU_MATH_H
#ifndef CPU_INLINE /* the CUDA device has its own */
#include "device/cpu/cpu.h"
#endif

#include <math.h>
#include <stdint.h>
#include <string.h>

#define LOG2_E 1.44269504088896340736
#define TANH_NEAR 0.625

/* Added to a whole number, it leaves that in the lowest bits. */
#define shift_f32 0x1.8p23F
#define shift_f64 0x1.8p52
#define bias_f32 127U
#define bias_f64 1023U
#define mantissa_f32 23
#define mantissa_f64 52
/* log 2 in two parts, of which any k times the first is exact. */
#define log2_high_f32 0.693359375F
#define log2_low_f32 -2.12194440e-4F
#define log2_high_f64 6.93147180369123816490e-1
#define log2_low_f64 1.90821492927058770002e-10
/* Beyond these exp is 0 and infinity. */
#define exp_least_f32 -104.0F
#define exp_most_f32 89.0F
#define exp_least_f64 -746.0
#define exp_most_f64 710.0
/* Below these it is not a normal number. */
#define decay_least_f32 -87.33F
#define decay_least_f64 -708.39

#define absolute_f32 fabsf
#define absolute_f64 fabs
#define fma_f32 fmaf
#define fma_f64 fma
#define with_sign_f32 copysignf
#define with_sign_f64 copysign

typedef uint32_t bits_f32;
typedef uint64_t bits_f64;

/* Coefficients, the highest power's first. */
/* clang-format off */
#define exp_series_terms_f32(ONE, MORE)                                                            \
    ONE(1.39261761e-3F) MORE(8.36317307e-3F) MORE(4.16665547e-2F) MORE(1.66665770e-1F)             \
    MORE(0.5F)
#define exp_series_terms_f64(ONE, MORE)                                                            \
    ONE(2.09146793765839351e-9) MORE(2.51052063739570111e-8) MORE(2.75572736613486362e-7)          \
    MORE(2.75572554257464343e-6) MORE(2.48015873255333638e-5) MORE(1.98412698748004920e-4)         \
    MORE(1.38888888888837524e-3) MORE(8.33333333332614088e-3) MORE(4.16666666666666698e-2)         \
    MORE(1.66666666666666710e-1) MORE(0.5)
#define tanh_series_terms_f32(ONE, MORE)                                                           \
    ONE(-6.09671417e-3F) MORE(2.09971790e-2F) MORE(-5.38509096e-2F) MORE(1.33327697e-1F)           \
    MORE(-3.33333289e-1F)
#define tanh_series_terms_f64(ONE, MORE)                                                           \
    ONE(6.48516348279311315e-6) MORE(-3.12011014257974000e-5) MORE(9.25711612955676827e-5)         \
    MORE(-2.37590649605556196e-4) MORE(5.89660657775704335e-4) MORE(-1.45577541204780551e-3)       \
    MORE(3.59212175115496227e-3) MORE(-8.86323510324087792e-3) MORE(2.18694885190083058e-2)        \
    MORE(-5.39682539678969917e-2) MORE(1.33333333333330416e-1) MORE(-3.33333333333333329e-1)
#define erf_near_terms_f32(ONE, MORE)                                                              \
    ONE(7.87587506e-5F) MORE(-8.01686429e-4F) MORE(5.18908742e-3F) MORE(-2.68542120e-2F)           \
    MORE(1.12835947e-1F) MORE(-3.76126267e-1F) MORE(1.28379166e-1F)
#define erf_near_terms_f64(ONE, MORE)                                                              \
    ONE(5.95717614774891140e-11) MORE(-1.13728488567916737e-9) MORE(1.46597752740474358e-8)        \
    MORE(-1.63503127010546950e-7) MORE(1.64610004841213680e-6) MORE(-1.49255952668311816e-5)       \
    MORE(1.20553311116427109e-4) MORE(-8.54832698083378991e-4) MORE(5.22397762481801447e-3)        \
    MORE(-2.68661706450767932e-2) MORE(1.12837916709548787e-1) MORE(-3.76126389031837481e-1)       \
    MORE(1.28379167095512574e-1)
#define erf_far_terms_f32(ONE, MORE)                                                               \
    ONE(1.63092907e-5F) MORE(-3.69162381e-4F) MORE(3.80515293e-3F) MORE(-2.40325997e-2F)           \
    MORE(1.06441190e-1F) MORE(6.35109358e-1F) MORE(1.12863511F)
#define erf_far_terms_f64(ONE, MORE)                                                               \
    ONE(3.91705929992538851e-6) MORE(1.82014319597500905e-6) MORE(-1.40675326945820577e-5)         \
    MORE(-2.76473054436100538e-5) MORE(2.75431281856667173e-5) MORE(1.74366972329468635e-4)        \
    MORE(4.35542024527058955e-5) MORE(-9.81977320813102272e-4) MORE(-8.47143198076042359e-4)       \
    MORE(6.99746174775357363e-3) MORE(3.73289240349223978e-3) MORE(-7.89785810158525347e-2)        \
    MORE(2.41658194242469857e-1) MORE(-4.27185847413957885e-1) MORE(2.55395676310505745e-1)
/* clang-format on */
#define ONE(c) T p = c;
#define MORE(c) p = N(fused)(p, z, c);
#define SERIES(name)                                                                               \
    CPU_INLINE T N(name)(T z)                                                                      \
    {                                                                                              \
        OF(name##_terms)(ONE, MORE) return p;                                                      \
    }

/* 1 - erf x, for x from 1 on; erf_most: from there on it is lost beside 1. */
#define erfc_f32(x) N(cpu_decay)(-(x)*N(erf_far)(x))
#define erfc_f64(x) (N(cpu_decay)(-(x) * (x)) * N(erf_far)(((x)-2) / ((x) + 2)))
#define erf_most_f32 4.0F
#define erf_most_f64 6.0
#endif

#ifdef T
/* a b + c */
CPU_INLINE T N(fused)(T a, T b, T c)
{
#ifdef FUSES
    return OF(fma)(a, b, c);
#else
    return a * b + c;
#endif
}

CPU_INLINE double N(fused_wide)(double a, double b, double c)
{
#ifdef FUSES
    return fma(a, b, c);
#else
    return a * b + c;
#endif
}

SERIES(exp_series)
SERIES(tanh_series)
SERIES(erf_near)
SERIES(erf_far)

/* 2^k of a whole number k, where that is a normal number, from k + shift. */
CPU_INLINE T N(two_to)(T shifted)
{
    OF(bits) u;
    T y;
    memcpy(&u, &shifted, sizeof u);
    u = (u + OF(bias)) << OF(mantissa);
    memcpy(&y, &u, sizeof y);
    return y;
}

/* exp r - 1 of r = x - k log 2 */
CPU_INLINE T N(exp_rest)(T x, T k)
{
    const T r = N(fused)(k, -OF(log2_low), N(fused)(k, -OF(log2_high), x));
    return N(fused)(r * r, N(exp_series)(r), r);
}

/* Choices come last: the compiler would thread their constants through what follows. */
CPU_INLINE T N(cpu_exp)(T x)
{
    const T k = N(fused)(x, (T)LOG2_E, OF(shift)) - OF(shift);
    const T shifted = N(fused)(k, (T)0.5, OF(shift)), half = shifted - OF(shift);
    const T y = (1 + N(exp_rest)(x, k)) * N(two_to)(shifted) * N(two_to)(k - half + OF(shift));
    const T floored = x < OF(exp_least) ? 0 : y;
    return x > OF(exp_most) ? (T)INFINITY : floored;
}

/* exp x of x up to -decay_least; 0 where it is no normal number. */
CPU_INLINE T N(cpu_decay)(T x)
{
    const T shifted = N(fused)(x, (T)LOG2_E, OF(shift)), scale = N(two_to)(shifted);
    const T y = N(fused)(scale, N(exp_rest)(x, shifted - OF(shift)), scale);
    return x < OF(decay_least) ? 0 : y;
}

/* 1 / (1 + exp -x); 0 where exp -x is too large to be a normal number's inverse. */
CPU_INLINE T N(cpu_sigmoid)(T x)
{
    const T y = 1 / (1 + N(cpu_decay)(-x));
    return x < OF(decay_least) ? 0 : y;
}

CPU_INLINE T N(cpu_tanh)(T x)
{
    const T size = OF(absolute)(x), z = x * x, t = N(cpu_decay)(-2 * size);
    const T near = N(fused)(x * z, N(tanh_series)(z), x);
    const T far = 1 - 2 * t / (1 + t);
    return size > (T)TANH_NEAR ? OF(with_sign)(far, x) : near;
}

CPU_INLINE T N(cpu_erf)(T x)
{
    const T size = OF(absolute)(x);
    const T near = N(fused)(x, N(erf_near)(x * x), x);
    const T far = 1 - OF(erfc)(size);
    const T most = size > OF(erf_most) ? 1 : far;
    return size > 1 ? OF(with_sign)(most, x) : near;
}
#endif
