/* Operands in the order in which tiles read them. */
#include "device/cpu/turn.h"

#if CPU_HAS_WIDE
#include <string.h>

/* n numbers; what is written is a whole number of vectors long. */
WIDE_TARGET CPU_INLINE void line(float *to, const float *from, int64_t n)
{
    int64_t i = 0;
    for (; i + WIDE_LANES <= n; i += WIDE_LANES)
        _mm512_storeu_ps(to + i, _mm512_loadu_ps(from + i));
    if (i < n)
        _mm512_storeu_ps(to + i, _mm512_maskz_loadu_ps((__mmask16)((1u << (n - i)) - 1), from + i));
}

WIDE_TARGET void weft__wide_pack_rows(float *to, const weft__wide *p, int64_t i, int64_t rows,
                                      int64_t k0, int64_t depth)
{
    const float *from = p->a + i * p->ra + k0 * p->ca;
    for (int64_t r = 0; r < rows; r++)
        line(to + r * WIDE_STEP, from + r * p->ra, depth);
}

/* All panels of a column at once, as they share lines. */
WIDE_TARGET void weft__wide_pack_columns(float *to, int64_t size, const weft__wide *p,
                                         const int64_t *first, int64_t panels, int64_t k0,
                                         int64_t depth)
{
    const float *from = p->a + first[0] * p->ra + k0 * p->ca;
    const int64_t last = panels - 1, at = first[last] - first[0];
    const __mmask16 some = (__mmask16)((1u << (first[panels] - first[last])) - 1);
    for (int64_t k = 0; k < depth; k++, from += p->ca, to += WIDE_LANES) {
        for (int64_t x = 0; x < last; x++)
            _mm512_storeu_ps(to + x * size, _mm512_loadu_ps(from + first[x] - first[0]));
        _mm512_storeu_ps(to + last * size, _mm512_maskz_loadu_ps(some, from + at));
    }
}

/* Where fewer than 16 columns or numbers of them are left. */
WIDE_TARGET static void corner(float *to, const float *from, int64_t step, int64_t columns,
                               int64_t depth)
{
    const __mmask16 some = (__mmask16)((1u << depth) - 1);
    float block[WIDE_LANES * WIDE_LANES];
    __m512 v[16];
    for (int64_t j = 0; j < WIDE_LANES; j++)
        _mm512_storeu_ps(block + j * WIDE_LANES, j < columns
                                                     ? _mm512_maskz_loadu_ps(some, from + j * step)
                                                     : _mm512_setzero_ps());
    cpu_turn_rows(v, block, WIDE_LANES);
    for (int64_t k = 0; k < depth; k++)
        memcpy(to + k * WIDE_COLUMNS, &v[k], sizeof v[k]);
}

/* Up to 16 columns of B, each along k: 16 of them become rows of 16 at a time. */
WIDE_TARGET static void columns_of(float *to, const float *from, int64_t step, int64_t columns,
                                   int64_t depth)
{
    int64_t k = 0;
    for (; columns >= WIDE_LANES && k + WIDE_LANES <= depth; k += WIDE_LANES) {
        __m512 v[16];
        cpu_turn_rows(v, from + k, step);
        CPU_UNROLL(16)
        for (int i = 0; i < 16; i++)
            _mm512_storeu_ps(to + (k + i) * WIDE_COLUMNS, v[i]);
    }
    for (; k < depth; k += WIDE_LANES)
        corner(to + k * WIDE_COLUMNS, from + k, step, columns,
               depth - k < WIDE_LANES ? depth - k : WIDE_LANES);
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
    const float *from = p->b + k0 * p->rb + j * p->cb;
    if (p->cb == 1) {
        rows_of(to, from, p->rb, columns, depth);
        return;
    }
    columns_of(to, from, p->cb, columns, depth);
    if (columns > WIDE_LANES)
        columns_of(to + 16, from + 16 * p->cb, p->cb, columns - 16, depth);
}
#endif
