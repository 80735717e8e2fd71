/* Few rows, or few columns, of products whose operands both lie along k: dot products, sixteen at a time,
 * with nothing packed. */
#include "device/cpu/wide.h"

#if CPU_HAS_WIDE
#include <immintrin.h>

/* Element i is the sum over the lanes of s[i], added in the same order for all of them. */
WIDE_TARGET CPU_INLINE __m512 fold(__m512 s[16])
{
#define PD(f, x, y) _mm512_castpd_ps(f(_mm512_castps_pd(x), _mm512_castps_pd(y)))
    CPU_UNROLL(8)
    for (int i = 0; i < 8; i++)
        s[i] = _mm512_add_ps(_mm512_unpacklo_ps(s[2 * i], s[2 * i + 1]),
                             _mm512_unpackhi_ps(s[2 * i], s[2 * i + 1]));
    CPU_UNROLL(4)
    for (int i = 0; i < 4; i++)
        s[i] = _mm512_add_ps(PD(_mm512_unpacklo_pd, s[2 * i], s[2 * i + 1]),
                             PD(_mm512_unpackhi_pd, s[2 * i], s[2 * i + 1]));
#undef PD
    CPU_UNROLL(2)
    for (int i = 0; i < 2; i++)
        s[i] = _mm512_add_ps(_mm512_shuffle_f32x4(s[2 * i], s[2 * i + 1], 0x88),
                             _mm512_shuffle_f32x4(s[2 * i], s[2 * i + 1], 0xDD));
    return _mm512_add_ps(_mm512_shuffle_f32x4(s[0], s[1], 0x88),
                         _mm512_shuffle_f32x4(s[0], s[1], 0xDD));
}

/* Rows i.. and columns j.. of C; what would be beyond m or n repeats the last one and is not stored. */
WIDE_TARGET CPU_INLINE void some(const weft__wide *p, int64_t i, int64_t m, int64_t j, int64_t n,
                                 const int rows, const int columns)
{
    const float *a[4], *b[16];
    __m512 s[16], x[4];
    CPU_UNROLL(4)
    for (int r = 0; r < rows; r++)
        a[r] = p->a + (i + (r < m ? r : m - 1)) * p->ra;
    CPU_UNROLL(16)
    for (int c = 0; c < columns; c++)
        b[c] = p->b + (j + (c < n ? c : n - 1)) * p->cb;
    CPU_UNROLL(16)
    for (int e = 0; e < 16; e++)
        s[e] = _mm512_setzero_ps();
    for (int64_t k = 0; k < p->k; k += WIDE_LANES) {
        const int64_t left = p->k - k;
        const __mmask16 in = left < WIDE_LANES ? (__mmask16)((1u << left) - 1) : (__mmask16)-1;
        CPU_UNROLL(4)
        for (int r = 0; r < rows; r++)
            x[r] = _mm512_maskz_loadu_ps(in, a[r] + k);
        CPU_UNROLL(16)
        for (int c = 0; c < columns; c++) {
            const __m512 y = _mm512_maskz_loadu_ps(in, b[c] + k);
            CPU_UNROLL(4)
            for (int r = 0; r < rows; r++)
                s[r * columns + c] = _mm512_fmadd_ps(x[r], y, s[r * columns + c]);
        }
    }
    float sum[16];
    _mm512_storeu_ps(sum, _mm512_mul_ps(_mm512_set1_ps(p->alpha), fold(s)));
    for (int r = 0; r < rows && r < m; r++)
        for (int c = 0; c < columns && c < n; c++) {
            float *to = p->c + (i + r) * p->rc + j + c;
            *to = p->beta == 0 ? sum[r * columns + c] : sum[r * columns + c] + p->beta * *to;
        }
}

WIDE_TARGET void weft__wide_dots(const weft__wide *p, int64_t i0, int64_t i1, int64_t j0,
                                 int64_t j1)
{
    for (int64_t i = i0; i < i1; i += 4) {
        const int64_t m = i1 - i;
        if (m > 2)
            for (int64_t j = j0; j < j1; j += 4)
                some(p, i, m, j, j1 - j, 4, 4);
        else if (m == 2)
            for (int64_t j = j0; j < j1; j += 8)
                some(p, i, m, j, j1 - j, 2, 8);
        else
            for (int64_t j = j0; j < j1; j += 16)
                some(p, i, m, j, j1 - j, 1, 16);
    }
}
#endif
