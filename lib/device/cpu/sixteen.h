/* Up to 16 numbers of f32, bf16 or f16, as f32. */
#ifndef DEVICE_CPU_SIXTEEN_H
#define DEVICE_CPU_SIXTEEN_H
#include "device/cpu/wide.h"

#if CPU_HAS_WIDE
#include <immintrin.h>

CPU_INLINE __mmask16 first_of(int64_t n)
{
    return n < 16 ? (__mmask16)((1u << n) - 1) : (__mmask16)-1;
}

/* Sixteen of bf16 as f32. */
WIDE_TARGET CPU_INLINE __m512 widened(__m256i low)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(low), 16));
}

WIDE_TARGET CPU_INLINE __m512 load_some(const char *from, __mmask16 there, const weft_dtype dt)
{
    if (dt == WEFT_F32)
        return _mm512_maskz_loadu_ps(there, from);
    const __m256i low = _mm256_maskz_loadu_epi16(there, from);
    return dt == WEFT_F16 ? _mm512_cvtph_ps(low) : widened(low);
}

WIDE_TARGET CPU_INLINE __m512 load(const char *from, int64_t n, const weft_dtype dt)
{
    return load_some(from, first_of(n), dt);
}

/* Rounded to bf16, which is in the upper half; as half_low_bf16. */
WIDE_TARGET CPU_INLINE __m512i rounded(__m512 v)
{
    const __m512i u = _mm512_castps_si512(v),
                  quiet = _mm512_set1_epi32(0x22); /* NaN of each kind */
    const __mmask16 odd = _mm512_test_epi32_mask(u, _mm512_set1_epi32(0x10000));
    const __m512i near = _mm512_mask_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7FFF)), odd,
                                               u, _mm512_set1_epi32(0x8000));
    return _mm512_castps_si512(_mm512_fixupimm_ps(_mm512_castsi512_ps(near), v, quiet, 0));
}

WIDE_TARGET CPU_INLINE __m256i brain(__m512 v)
{
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded(v), 16));
}

/* The opposite of even_of and odd_of, for sums of products of bf16: the lower half of NaN is zero there, so that it is not
 * rounded. Half of the work is done in words of 16 bits, for both at once. */
WIDE_TARGET CPU_INLINE __m512i brains(__m512 even, __m512 odd)
{
    const __m512i e = _mm512_castps_si512(even), o = _mm512_castps_si512(odd);
    const __m512i high = _mm512_mask_mov_epi16(_mm512_srli_epi32(e, 16), 0xAAAAAAAA, o);
    const __m512i low = _mm512_mask_mov_epi16(_mm512_slli_epi32(o, 16), 0x55555555, e);
    const __m512i tie = _mm512_ternarylogic_epi32(low, high, _mm512_set1_epi16(1), 0xF8);
    const __mmask32 up = _mm512_cmpgt_epu16_mask(tie, _mm512_set1_epi16((short)0x8000));
    return _mm512_mask_sub_epi16(high, up, high, _mm512_set1_epi16(-1));
}

WIDE_TARGET CPU_INLINE void store(char *to, int64_t n, __m512 v, const weft_dtype dt)
{
    if (dt == WEFT_F32)
        _mm512_mask_storeu_ps(to, first_of(n), v);
    else
        _mm256_mask_storeu_epi16(to, first_of(n),
                                 dt == WEFT_F16 ? _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT)
                                                : brain(v));
}

/* The numbers of even and of odd places of 32 ones of bf16. */
WIDE_TARGET CPU_INLINE __m512 even_of(__m512i pairs)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
}

WIDE_TARGET CPU_INLINE __m512 odd_of(__m512i pairs)
{
    return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32((int)0xFFFF0000)));
}

/* The next numbers of a line: sixteen, or those of even and of odd places of thirty-two. */
WIDE_TARGET CPU_INLINE void next(__m512 v[2], const char *from, uint32_t in, const weft_dtype dt)
{
    if (dt == WEFT_F32) {
        v[0] = _mm512_maskz_loadu_ps((__mmask16)in, from);
        return;
    }
    __m512i both = _mm512_maskz_loadu_epi16(in, from);
    __asm__("" : "+v"(both)); /* to be read once */
    v[0] = even_of(both);
    v[1] = odd_of(both);
}
#endif
#endif
