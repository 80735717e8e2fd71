/* What attention in f32 does with scores, for AVX-512: powers of 2 with fused multiply-adds, a pass for the
 * largest scores and one for the weights.
 *
 *   2^x = 2^k p(r), x = k + r, k whole, |r| <= 1/2, p through 2^r at the Chebyshev nodes, within 2e-8 of it;
 * 0 below 2^-126, as smaller numbers take a processor long */
#include "device/cpu/cpu.h"
#include "device/cpu/tile.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#include <math.h>

#define LANES 16
#define LOG2_E 1.4426950408889634
#define TARGET __attribute__((target("avx512f")))

TARGET CPU_INLINE __m512 two_to(__m512 x)
{
    const __mmask16 normal = _mm512_cmp_ps_mask(x, _mm512_set1_ps(-126), _CMP_NLT_UQ);
    const __m512 shift = _mm512_set1_ps(0x1.8p23F);
    const __m512 k = _mm512_sub_ps(_mm512_add_ps(x, shift), shift);
    const __m512 r = _mm512_sub_ps(x, k);
    __m512 p = _mm512_set1_ps(1.54614449e-4F);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.3400428e-3F));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(9.61805694e-3F));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.55032715e-2F));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.240226507F));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.693147182F));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1));
    return _mm512_maskz_scalef_ps(normal, p, k);
}

/* Column by column of 16 queries; keys from `end` on are not seen by any of them. */
TARGET static void soften(float *s, float *m, float *before, float *sum, int64_t end, int64_t n,
                          float scale)
{
    const __m512 by = _mm512_set1_ps(scale), log2_e = _mm512_set1_ps((float)LOG2_E);
    const __m512 in_twos = _mm512_set1_ps((float)((double)scale * LOG2_E));
    const __m512 least_x = _mm512_set1_ps(-INFINITY), old = _mm512_loadu_ps(m);
    __m512 top = old, other = old, add = _mm512_setzero_ps();
    int64_t j = 0;
    for (; j + 2 <= end; j += 2) {
        top = _mm512_max_ps(_mm512_mul_ps(_mm512_loadu_ps(s + j * TILE), by), top);
        other = _mm512_max_ps(_mm512_mul_ps(_mm512_loadu_ps(s + (j + 1) * TILE), by), other);
    }
    if (j < end)
        top = _mm512_max_ps(_mm512_mul_ps(_mm512_loadu_ps(s + j * TILE), by), top);
    top = _mm512_max_ps(top, other);
    const __m512 none = _mm512_setzero_ps();
    const __m512 level = _mm512_mask_mov_ps(top, _mm512_cmpeq_ps_mask(top, least_x), none);
    const __m512 in = _mm512_mul_ps(level, log2_e);
    for (j = 0; j < end; j++) {
        const __m512 x = _mm512_fmsub_ps(_mm512_loadu_ps(s + j * TILE), in_twos, in);
        const __m512 w = two_to(x);
        _mm512_storeu_ps(s + j * TILE, w);
        add = _mm512_add_ps(add, w);
    }
    for (; j < n; j++)
        _mm512_storeu_ps(s + j * TILE, none);
    _mm512_storeu_ps(before, two_to(_mm512_mul_ps(_mm512_sub_ps(old, level), log2_e)));
    _mm512_storeu_ps(m, top);
    _mm512_storeu_ps(sum, add);
}

TARGET void weft__wide_soften(float *s, float *m, float *before, float *sum, int64_t lower,
                              int64_t n, int64_t w, float scale)
{
    for (int64_t i = 0; i < w; i += LANES) {
        const int64_t end = i + LANES - lower; /* of the keys seen */
        soften(s + i, m + i, before + i, sum + i, end < 0 ? 0 : end < n ? end : n, n, scale);
    }
}

TARGET CPU_INLINE void turn(float *s, float *g, const float *keep, float factor, __m512 lse,
                            __m512 delta, float scale)
{
    const __m512 in_twos = _mm512_set1_ps((float)((double)scale * LOG2_E));
    const __m512 level = _mm512_mul_ps(lse, _mm512_set1_ps((float)LOG2_E));
    const __m512 p = two_to(_mm512_fmsub_ps(_mm512_loadu_ps(s), in_twos, level));
    const __m512 by = _mm512_mul_ps(p, _mm512_set1_ps(scale)), gp = _mm512_loadu_ps(g);
    if (keep) {
        const __m512 z = _mm512_mul_ps(_mm512_loadu_ps(keep), _mm512_set1_ps(factor));
        _mm512_storeu_ps(s, _mm512_mul_ps(p, z));
        _mm512_storeu_ps(g, _mm512_mul_ps(by, _mm512_fmsub_ps(z, gp, delta)));
    } else {
        _mm512_storeu_ps(s, p);
        _mm512_storeu_ps(g, _mm512_mul_ps(by, _mm512_sub_ps(gp, delta)));
    }
}

TARGET void weft__wide_turn(float *s, float *g, const float *keep, float factor, const float *lse,
                            const float *delta, int step, float scale, int64_t n)
{
    const __m512 l = _mm512_set1_ps(lse[0]), d = _mm512_set1_ps(delta[0]);
    for (int64_t j = 0; j < n; j += LANES)
        turn(s + j, g + j, keep ? keep + j : NULL, factor, step ? _mm512_loadu_ps(lse + j) : l,
             step ? _mm512_loadu_ps(delta + j) : d, scale);
}
#endif
