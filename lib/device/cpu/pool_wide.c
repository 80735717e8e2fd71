/* The largest of 2 x 2 places by AVX-512, sixteen windows at a time. */
#include "device/cpu/pool.h"
#include "device/cpu/sixteen.h"

#if CPU_HAS_WIDE

/* Where b, which stands behind a, is taken instead: it is larger, or NaN and a is none. */
WIDE_TARGET CPU_INLINE __mmask16 later(__m512 a, __m512 b)
{
    const __mmask16 nan = _mm512_cmp_ps_mask(b, b, _CMP_UNORD_Q);
    return _mm512_cmp_ps_mask(b, a, _CMP_GT_OQ) | (nan & _mm512_cmp_ps_mask(a, a, _CMP_ORD_Q));
}

/* Elements 0, 2, ... and 1, 3, ... of 2 n ones. */
WIDE_TARGET CPU_INLINE void pairs(const char *x, int64_t n, const bool low, __m512 *a, __m512 *b)
{
    const uint32_t some = n < 16 ? (1u << 2 * n) - 1 : ~0u;
    if (low) {
        const __m512i v = _mm512_maskz_loadu_epi16(some, x);
        *a = even_of(v);
        *b = odd_of(v);
        return;
    }
    const __m512i even =
        _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    const __m512 v = _mm512_maskz_loadu_ps((__mmask16)some, x);
    const __m512 w = _mm512_maskz_loadu_ps((__mmask16)(some >> 16), x + 16 * sizeof(float));
    *a = _mm512_permutex2var_ps(v, even, w);
    *b = _mm512_permutex2var_ps(v, odd, w);
}

/* n windows side by side, the first one at place `first`. */
WIDE_TARGET CPU_INLINE void row(char *y, int32_t *at, const char *x, int64_t first, int64_t wide,
                                int64_t n, const bool low)
{
    const int64_t size = low ? 2 : 4;
    const __m512i two = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    const __m512i one = _mm512_set1_epi32(1), down = _mm512_set1_epi32((int)wide);
    for (int64_t q = 0; q < n; q += 16, first += 32) {
        const __mmask16 some = n - q < 16 ? (__mmask16)((1u << (n - q)) - 1) : (__mmask16)-1;
        __m512 a, b, c, d;
        pairs(x + first * size, n - q, low, &a, &b);
        pairs(x + (first + wide) * size, n - q, low, &c, &d);
        const __mmask16 right = later(a, b), under = later(c, d);
        const __m512 e = _mm512_mask_mov_ps(a, right, b), f = _mm512_mask_mov_ps(c, under, d);
        const __mmask16 lower = later(e, f),
                        moved = (__mmask16)((lower & under) | (~lower & right));
        __m512i place = _mm512_add_epi32(two, _mm512_set1_epi32((int)first));
        place = _mm512_mask_add_epi32(place, lower, place, down);
        place = _mm512_mask_add_epi32(place, moved, place, one);
        _mm512_mask_storeu_epi32(at + q, some, place);
        const __m512 most = _mm512_mask_mov_ps(e, lower, f);
        if (low)
            _mm512_mask_cvtepi32_storeu_epi16(y + q * size, some,
                                              _mm512_srli_epi32(_mm512_castps_si512(most), 16));
        else
            _mm512_mask_storeu_ps(y + q * size, some, most);
    }
}

WIDE_TARGET CPU_INLINE void rows(const struct pool *a, int64_t lo, int64_t hi, const bool low)
{
    const weft_window *o = &a->o;
    const int64_t size = low ? 2 : 4, plane = o->in[0] * o->in[1];
    for (int64_t t = lo; t < hi; t++)
        row((char *)a->y + t * o->out[1] * size, a->at + t * o->out[1],
            (const char *)a->x + t / o->out[0] * plane * size, t % o->out[0] * 2 * o->in[1],
            o->in[1], o->out[1], low);
}

WIDE_TARGET static void rows_f32(const void *args, int64_t lo, int64_t hi)
{
    rows(args, lo, hi, false);
}

WIDE_TARGET static void rows_bf16(const void *args, int64_t lo, int64_t hi)
{
    rows(args, lo, hi, true);
}

/* Windows of 2 x 2 places in steps of 2 from the plane's corner on. */
static bool is_halving(const weft_window *o)
{
    for (int d = 0; d < 2; d++)
        if (o->kernel[d] != 2 || o->stride[d] != 2 || o->padding[d] != 0 || o->dilation[d] != 1)
            return false;
    return true;
}

weft__cpu_body *weft__pool_wide(const weft_window *o, weft_dtype t)
{
    if (!is_halving(o) || !weft__cpu_wide_name())
        return NULL;
    return t == WEFT_F32 ? rows_f32 : t == WEFT_BF16 ? rows_bf16 : NULL;
}
#else
weft__cpu_body *weft__pool_wide(const weft_window *o, weft_dtype t)
{
    (void)o, (void)t;
    return NULL;
}
#endif
