/* The 8-bit floating point formats, for C and CUDA: P. Micikevicius et al., FP8 Formats for Deep Learning, 2022.
 * E4M3 has the exponent's bias 7, 3 bits of fraction, no infinity and NaN where all other bits are 1; E5M2
 * the bias 15, 2 bits of fraction, and IEEE 754's infinity and NaN. Numbers are rounded to nearest even, and
 * those too large become the largest finite one.
 *
 * A tensor is scaled so that its largest magnitude becomes the format's (current scaling, in the words of
 * NVIDIA's Transformer Engine). */
#ifndef DEVICE_FLOAT8_H
#define DEVICE_FLOAT8_H
#include <float.h>
#include <stdint.h>
#include <string.h>
#include <weft/sys/kernels.h>
#ifdef __CUDACC__
#define FLOAT8_INLINE __host__ __device__ static inline
#else
#define FLOAT8_INLINE static inline
#endif

FLOAT8_INLINE uint32_t float8_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

FLOAT8_INLINE float float8_float(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

FLOAT8_INLINE float float8_largest(int format)
{
    return format == WEFT_E5M2 ? 57344.0F : 448.0F;
}

/* Below the smallest normal number a last bit is worth 2^-9 or 2^-16: that of 2^23 after the scaling. */
FLOAT8_INLINE uint8_t float8_of(float x, int format)
{
    const int wide = format == WEFT_E5M2, cut = wide ? 21 : 20;
    const uint32_t u = float8_bits(x), size = u & 0x7FFFFFFF, most = wide ? 0x7B : 0x7E,
                   least = wide ? 113u << 23 : 121u << 23, shift = wide ? 112u << 2 : 120u << 3;
    uint32_t code;
    if (size < least)
        code =
            float8_bits(float8_float(size) * (wide ? 65536.0F : 512.0F) + 8388608.0F) - 0x4B000000;
    else
        code = ((size + (1u << (cut - 1)) - 1 + (size >> cut & 1)) >> cut) - shift;
    code = size > 0x7F800000 ? 0x7F : code < most ? code : most;
    return (uint8_t)(code | (u >> 24 & 0x80));
}

/* The number of a code. */
FLOAT8_INLINE float float8_as(uint8_t code, int format)
{
    const int wide = format == WEFT_E5M2, bits = wide ? 2 : 3;
    const uint32_t size = code & 0x7F, exponent = size >> bits,
                   fraction = size & ((1u << bits) - 1);
    const uint32_t sign = (uint32_t)(code & 0x80) << 24;
    if (wide ? exponent == 31 : size == 0x7F)
        return float8_float(sign | (wide && !fraction ? 0x7F800000 : 0x7FC00000));
    if (exponent)
        return float8_float(sign | ((exponent + (wide ? 112 : 120)) << 23) |
                            fraction << (23 - bits));
    return float8_float(sign | float8_bits((float)fraction * (wide ? 0x1p-16F : 0x1p-9F)));
}

/* What numbers are multiplied by whose largest magnitude is amax. */
FLOAT8_INLINE float float8_factor(float amax, int format)
{
    const float f = float8_largest(format) / amax;
    if (amax == 0 || !(amax <= FLT_MAX))
        return 1;
    return f <= FLT_MAX ? f : FLT_MAX;
}

/* What codes are multiplied by: the inverse. NaN where a number is not finite: saturation would hide it. */
FLOAT8_INLINE float float8_scale(float amax, int format)
{
    return amax <= FLT_MAX ? 1 / float8_factor(amax, format) : float8_float(0x7FC00000);
}
#endif
