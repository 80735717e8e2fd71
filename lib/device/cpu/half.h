/* The 16-bit floating point formats, by way of double, which holds all their values. */
#ifndef DEVICE_CPU_HALF_H
#define DEVICE_CPU_HALF_H
#include <math.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t half_bits(double x)
{
    uint64_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

/* 2^e, e in double's normal range. */
static inline double half_power(int e)
{
    uint64_t u = (uint64_t)(e + 1023) << 52;
    double x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* x in a format with m mantissa bits, smallest normal 2^emin and the given code of infinity,
 * rounded once to nearest even. With |x| in [2^e, 2^(e+1)) and e at least emin, the code is
 * (e - emin) 2^m + round(|x| 2^(m-e)): subnormals, carries and overflow need no cases. */
static inline uint16_t half_narrow(double x, int m, int emin, uint16_t infinity)
{
    const uint64_t u = half_bits(x);
    const uint16_t sign = (uint16_t)(u >> 48 & 0x8000);
    int e = (int)(u >> 52 & 0x7FF) - 1023;
    if (isnan(x))
        return (uint16_t)(sign | infinity | 1u << (m - 1));
    if (e > 127)
        return sign | infinity;
    e = e < emin ? emin : e;
    const uint32_t code = ((uint32_t)(e - emin) << m) + (uint32_t)rint(fabs(x) * half_power(m - e));
    return (uint16_t)(sign | (code < infinity ? code : infinity));
}

static inline uint16_t half_to_f16(double x)
{
    return half_narrow(x, 10, -14, 0x7C00);
}

static inline uint16_t half_to_bf16(double x)
{
    return half_narrow(x, 7, -126, 0x7F80);
}

static inline double half_of_f16(uint16_t h)
{
    const int e = h >> 10 & 31, m = h & 1023;
    double x = e ? (m + 1024) * half_power(e - 25) : m * 0x1p-24;
    if (e == 31)
        x = m ? NAN : INFINITY;
    return h & 0x8000 ? -x : x;
}

static inline double half_of_bf16(uint16_t h)
{
    const uint32_t u = (uint32_t)h << 16;
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}
#endif
