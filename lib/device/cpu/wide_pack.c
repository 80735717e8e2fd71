/* Operands in the order in which tiles read them. */
#include "device/cpu/wide.h"

#if CPU_HAS_WIDE
#include <immintrin.h>
#include <string.h>

void weft__wide_pack_a(float *to, const weft__wide *p, int64_t i, int64_t rows, int64_t k0,
                       int64_t depth, bool by_depth)
{
    const float *from = p->a + i * p->ra + k0 * p->ca;
    if (by_depth) /* then its rows are adjacent */
        for (int64_t k = 0; k < depth; k++)
            memcpy(to + k * WIDE_LANES, from + k * p->ca, (size_t)rows * sizeof *to);
    else
        for (int64_t r = 0; r < rows; r++)
            memcpy(to + r * WIDE_STEP, from + r * p->ra, (size_t)depth * sizeof *to);
}

/* A 16 x 16 block turned: pairs, fours, halves, wholes. */
WIDE_TARGET CPU_INLINE void turn(__m512 v[16])
{
    __m512 t[16];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        t[2 * i] = _mm512_unpacklo_ps(v[2 * i], v[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_ps(v[2 * i], v[2 * i + 1]);
    }
#define PD(f, x, y) _mm512_castpd_ps(f(_mm512_castps_pd(x), _mm512_castps_pd(y)))
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
        v[i] = PD(_mm512_unpacklo_pd, t[i], t[i + 2]);
        v[i + 1] = PD(_mm512_unpackhi_pd, t[i], t[i + 2]);
        v[i + 2] = PD(_mm512_unpacklo_pd, t[i + 1], t[i + 3]);
        v[i + 3] = PD(_mm512_unpackhi_pd, t[i + 1], t[i + 3]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) { /* v[i + 4 g]: numbers i, i + 4, ... of rows 4 g..4 g + 3 */
        t[i] = _mm512_shuffle_f32x4(v[i], v[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_f32x4(v[i], v[i + 4], 0xDD);
        t[i + 8] = _mm512_shuffle_f32x4(v[i + 8], v[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_f32x4(v[i + 8], v[i + 12], 0xDD);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        v[i] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
        v[i + 4] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0x88);
        v[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xDD);
        v[i + 12] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0xDD);
    }
#undef PD
}

/* Up to 16 columns of B, each along k: 16 of them become rows of 16 at a time. */
WIDE_TARGET static void columns_of(float *to, const float *from, int64_t step, int64_t columns,
                                   int64_t depth)
{
    for (int64_t k = 0; k < depth; k += WIDE_LANES) {
        const int64_t left = depth - k < WIDE_LANES ? depth - k : WIDE_LANES;
        const __mmask16 some = (__mmask16)((1u << left) - 1);
        __m512 v[16];
#pragma GCC unroll 16
        for (int j = 0; j < 16; j++)
            v[j] = j < columns ? _mm512_maskz_loadu_ps(some, from + j * step + k)
                               : _mm512_setzero_ps();
        turn(v);
        if (left == WIDE_LANES)
#pragma GCC unroll 16
            for (int i = 0; i < 16; i++)
                _mm512_storeu_ps(to + (k + i) * WIDE_COLUMNS, v[i]);
        else
            for (int64_t i = 0; i < left; i++)
                memcpy(to + (k + i) * WIDE_COLUMNS, &v[i], sizeof v[i]);
    }
}

/* Rows of B of up to 32 numbers. */
WIDE_TARGET static void rows_of(float *to, const float *from, int64_t step, int64_t columns,
                                int64_t depth)
{
    const uint32_t all = columns < 32 ? (1u << columns) - 1 : ~0u;
    const __mmask16 low = (__mmask16)all, high = (__mmask16)(all >> 16);
    for (int64_t k = 0; k < depth; k++, from += step, to += WIDE_COLUMNS) {
        _mm512_storeu_ps(to, _mm512_maskz_loadu_ps(low, from));
        _mm512_storeu_ps(to + 16, _mm512_maskz_loadu_ps(high, from + 16));
    }
}

void weft__wide_pack_b(float *to, const weft__wide *p, int64_t j, int64_t columns, int64_t k0,
                       int64_t depth)
{
    for (int64_t at = 0; at < columns; at += WIDE_COLUMNS, to += depth * WIDE_COLUMNS) {
        const int64_t some = columns - at < WIDE_COLUMNS ? columns - at : WIDE_COLUMNS;
        const float *from = p->b + k0 * p->rb + (j + at) * p->cb;
        if (p->cb == 1) {
            rows_of(to, from, p->rb, some, depth);
            continue;
        }
        columns_of(to, from, p->cb, some, depth);
        columns_of(to + 16, from + 16 * p->cb, p->cb, some - 16, depth);
    }
}
#endif
