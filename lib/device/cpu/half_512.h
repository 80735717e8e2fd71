/* Casts of a few vectors of 64 bytes between f32 and bf16. The instructions made for bf16 take subnormal numbers
 * for zeros: where there are such, it is integer arithmetic. */
#ifndef DEVICE_CPU_HALF_512_H
#define DEVICE_CPU_HALF_512_H
#include <immintrin.h>
#include <stdint.h>

#define AVX512 "avx512f,avx512bw,avx512dq,avx512vl"
#define INLINE(isa) __attribute__((target(isa), always_inline)) static inline

/* Each number goes to the upper half of its place, the lower one is zero. */
INLINE(AVX512) void wide_32(float *y, const uint16_t *x)
{
    const __m512i all = _mm512_loadu_si512(x);
    const __m512i twice = _mm512_set_epi16(15, 0, 14, 0, 13, 0, 12, 0, 11, 0, 10, 0, 9, 0, 8, 0, 7,
                                           0, 6, 0, 5, 0, 4, 0, 3, 0, 2, 0, 1, 0, 0, 0);
    const __m512i upper = _mm512_add_epi16(twice, _mm512_set1_epi16(16));
    _mm512_storeu_si512(y, _mm512_maskz_permutexvar_epi16(0xAAAAAAAA, twice, all));
    _mm512_storeu_si512(y + 16, _mm512_maskz_permutexvar_epi16(0xAAAAAAAA, upper, all));
}

/* In the upper halves of the places: half_low_bf16. */
INLINE(AVX512) __m512i rounded(__m512 x)
{
    const __m512i u = _mm512_castps_si512(x), one = _mm512_set1_epi32(1);
    const __mmask16 odd = _mm512_test_epi32_mask(u, _mm512_set1_epi32(0x10000));
    const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    const __m512i half = _mm512_add_epi32(u, _mm512_set1_epi32(0x7FFF));
    const __m512i even = _mm512_mask_add_epi32(half, odd, half, one);
    return _mm512_mask_or_epi32(even, nan, u, _mm512_set1_epi32(0x400000));
}

INLINE(AVX512) void low_32(uint16_t *y, const float *x)
{
    const __m512i uppers =
        _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29, 27,
                         25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    const __m512i low = rounded(_mm512_loadu_ps(x)), high = rounded(_mm512_loadu_ps(x + 16));
    _mm512_storeu_si512(y, _mm512_permutex2var_epi16(low, uppers, high));
}

#define BRAIN AVX512 ",avx512bf16"
INLINE(BRAIN) __mmask16 subnormal(__m512 x)
{
    return _mm512_fpclass_ps_mask(x, 0x20);
}

INLINE(BRAIN) void low_64(uint16_t *y, const float *x)
{
    const __m512 a = _mm512_loadu_ps(x), b = _mm512_loadu_ps(x + 16);
    const __m512 c = _mm512_loadu_ps(x + 32), d = _mm512_loadu_ps(x + 48);
    if (subnormal(a) | subnormal(b) | subnormal(c) | subnormal(d)) {
        low_32(y, x);
        low_32(y + 32, x + 32);
        return;
    }
    _mm512_storeu_si512(y, (__m512i)_mm512_cvtne2ps_pbh(b, a));
    _mm512_storeu_si512(y + 32, (__m512i)_mm512_cvtne2ps_pbh(d, c));
}
#endif
