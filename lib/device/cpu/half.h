/* The 16-bit floating point formats. Numbers are narrowed once, to nearest even; NaN keeps its sign and
 * upper bits and becomes quiet; what is too large becomes infinity.
 *
 * One element at a time: without branches, so that loops over them become vectors, and without
 * arithmetic on numbers below f32's smallest normal one, so that CPU_FLUSH does not change them. */
#ifndef DEVICE_CPU_HALF_H
#define DEVICE_CPU_HALF_H
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define HALF_INLINE __attribute__((always_inline)) static inline

HALF_INLINE uint32_t half_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

HALF_INLINE float half_float(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

HALF_INLINE float half_wide_bf16(uint16_t h)
{
    return half_float((uint32_t)h << 16);
}

/* What is added is chosen, not what comes out: compilers would narrow both. */
HALF_INLINE uint16_t half_low_bf16(float x)
{
    const uint32_t u = half_bits(x), half = 0x7FFF + (u >> 16 & 1), quiet = ~u & 0x400000;
    return (uint16_t)((u + (isnan(x) ? quiet : half)) >> 16);
}

/* Mantissas move up by 13 bits and exponents by 112; subnormal ones lie 2^-14 too high after that. */
HALF_INLINE float half_wide_f16(uint16_t h)
{
    const uint32_t u = (uint32_t)(h & 0x7FFF) << 13, moved = u + (112u << 23);
    const uint32_t small = half_bits(half_float(moved + (1u << 23)) - 0x1p-14F);
    const uint32_t special = (u + (224u << 23)) | (u > 0x0F800000 ? 0x400000u : 0);
    const uint32_t size = u < 0x00800000 ? small : u >= 0x0F800000 ? special : moved;
    return half_float(size | (uint32_t)(h & 0x8000) << 16);
}

/* Numbers below 2^-14 are rounded by adding 0.5, whose last bit is worth 2^-24. */
HALF_INLINE uint16_t half_low_f16(float x)
{
    const uint32_t u = half_bits(x), size = u & 0x7FFFFFFF;
    const uint32_t normal = (size - (112u << 23) + 0xFFF + (size >> 13 & 1)) >> 13;
    const uint32_t small = half_bits(half_float(size < 0x38800000 ? size : 0) + 0.5F) - 0x3F000000;
    const uint32_t special = size > 0x7F800000 ? 0x7E00 | (size >> 13 & 0x3FF) : 0x7C00;
    const uint32_t code = size < 0x38800000 ? small : size >= 0x47800000 ? special : normal;
    return (uint16_t)(code | (u >> 16 & 0x8000));
}

/* To the number below or, where so many 65536ths of the way to the one above (in magnitude) are more than half,
 * to that one. */
HALF_INLINE uint16_t half_chance_bf16(float x, uint32_t half)
{
    const uint32_t u = half_bits(x);
    if ((u & 0x7FFFFFFF) >= 0x7F800000)
        return half_low_bf16(x);
    return (uint16_t)((u + (0xFFFF - half)) >> 16);
}

/* unit: the distance of f16's numbers about x, at least the smallest one. */
HALF_INLINE uint16_t half_chance_f16(float x, uint32_t half)
{
    const uint32_t u = half_bits(x), exponent = u >> 23 & 255, e = exponent < 113 ? 113 : exponent;
    if (e >= 143) /* 2^16 and more */
        return half_low_f16(x);
    const float unit = half_float((e - 10) << 23), at = fabsf(x) * half_float((264 - e) << 23);
    const float below = (float)(int32_t)at;
    const float up = (at - below) * 65536 > (float)half;
    return half_low_f16(copysignf((below + up) * unit, x));
}

/* From f64 straight: by way of f32 there would be two roundings. Formats with m mantissa bits, smallest
 * normal 2^emin and the given code of infinity. With |x| in [2^e, 2^(e+1)) and e at least emin, the
 * code is (e - emin) 2^m + round(|x| 2^(m-e)): subnormals, carries and overflow need no cases. */
static inline uint16_t half_narrow(double x, int m, int emin, uint16_t infinity)
{
    uint64_t u, power;
    double scale;
    memcpy(&u, &x, sizeof u);
    const uint16_t sign = (uint16_t)(u >> 48 & 0x8000);
    int e = (int)(u >> 52 & 0x7FF) - 1023;
    if (isnan(x))
        return (uint16_t)(sign | infinity | 1u << (m - 1) | (u >> (52 - m) & ((1u << m) - 1)));
    if (e > 127)
        return sign | infinity;
    e = e < emin ? emin : e;
    power = (uint64_t)(m - e + 1023) << 52;
    memcpy(&scale, &power, sizeof scale);
    const uint32_t code = ((uint32_t)(e - emin) << m) + (uint32_t)rint(fabs(x) * scale);
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

/* Arrays. The sets of instructions, all with the same bits, best first and the last one everywhere. */
typedef struct weft__half_set {
    const char *name;
    bool (*usable)(void);
    void (*wide_bf16)(float *y, const uint16_t *x, int64_t n);
    void (*wide_f16)(float *y, const uint16_t *x, int64_t n);
    void (*low_bf16)(uint16_t *y, const float *x, int64_t n);
    void (*low_f16)(uint16_t *y, const float *x, int64_t n);
} weft__half_set;
#define HALF_SETS 4
extern const weft__half_set weft__half_sets[HALF_SETS];
/* The best that this processor has. */
const weft__half_set *weft__half_best(void);
#endif
