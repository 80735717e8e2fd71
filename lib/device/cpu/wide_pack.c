/* Operands in the order in which tiles read them. */
#include "device/cpu/sixteen.h"
#include "device/cpu/turn.h"

#if CPU_HAS_WIDE
/* Sixteen numbers, or those that there are, of each of two rows. */
WIDE_TARGET CPU_INLINE void two(float *to, const char *x, const char *y, int64_t n,
                                const weft_dtype dt)
{
    const __m512 a = load(x, n, dt), b = load(y, n, dt);
    _mm512_storeu_ps(to, _mm512_shuffle_f32x4(a, b, 0x44));
    _mm512_storeu_ps(to + WIDE_LANES, _mm512_shuffle_f32x4(a, b, 0xEE));
}

WIDE_TARGET CPU_INLINE void pair(float *to, const char *x, const char *y, int64_t n,
                                 const weft_dtype dt)
{
    const int64_t size = dt == WEFT_F32 ? 4 : 2;
    int64_t i = 0;
    for (; i + WIDE_LANES <= n; i += WIDE_LANES)
        two(to + 2 * i, x + i * size, y + i * size, WIDE_LANES, dt);
    if (i < n)
        two(to + 2 * i, x + i * size, y + i * size, n - i, dt);
}

/* A row without a second one has itself as that. */
WIDE_TARGET void weft__wide_pack_rows(float *to, const weft__wide *p, int64_t i, int64_t rows,
                                      int64_t k0, int64_t depth)
{
    for (int64_t r = 0; r < rows; r += 2) {
        const char *x = wide_at(p->a, p->dt, i + r, p->ra, k0, p->ca);
        const char *y = r + 1 < rows ? wide_at(p->a, p->dt, i + r + 1, p->ra, k0, p->ca) : x;
        if (p->dt == WEFT_F32)
            pair(to + r / 2 * WIDE_STEP, x, y, depth, WEFT_F32);
        else
            pair(to + r / 2 * WIDE_STEP, x, y, depth, WEFT_BF16);
    }
}

WIDE_TARGET CPU_INLINE void columns_of_a(float *to, int64_t size, const weft__wide *p,
                                         const int64_t *first, int64_t panels, int64_t k0,
                                         int64_t depth, const weft_dtype dt)
{
    const int64_t last = panels - 1, rows = first[panels] - first[last];
    const int64_t near = last ? first[panels] - first[last - 1] : 0; /* of the last two panels */
    const int64_t each = dt == WEFT_F32 ? 4 : 2, step = p->ca * each;
    const char *from = wide_at(p->a, dt, first[0], p->ra, k0, p->ca);
#define PUT(x, n) _mm512_storeu_ps(to + (x)*size, load(from + (first[x] - first[0]) * each, n, dt))
    for (int64_t k = 0; k < depth; k++, from += step, to += WIDE_LANES) {
        for (int64_t x = 0; x + 1 < last; x++)
            PUT(x, WIDE_LANES);
        if (last)
            PUT(last - 1, near);
        PUT(last, rows);
    }
#undef PUT
}

/* All panels of a column at once, as they share lines. */
WIDE_TARGET void weft__wide_pack_columns(float *to, int64_t size, const weft__wide *p,
                                         const int64_t *first, int64_t panels, int64_t k0,
                                         int64_t depth)
{
    if (p->dt == WEFT_F32)
        columns_of_a(to, size, p, first, panels, k0, depth, WEFT_F32);
    else
        columns_of_a(to, size, p, first, panels, k0, depth, WEFT_BF16);
}

/* Turned columns, of words of one number or two, become `depth` rows, at most. */
WIDE_TARGET CPU_INLINE void put_rows(float *to, const __m512 v[16], int64_t depth,
                                     const weft_dtype dt)
{
    const int n = dt == WEFT_F32 ? 1 : 2;
    CPU_UNROLL(16)
    for (int i = 0; i < 16; i++) {
        const __m512i w = _mm512_castps_si512(v[i]);
        if (n * i < depth)
            _mm512_storeu_ps(to + n * i * WIDE_COLUMNS, n == 1 ? v[i] : even_of(w));
        if (n == 2 && 2 * i + 1 < depth)
            _mm512_storeu_ps(to + (2 * i + 1) * WIDE_COLUMNS, odd_of(w));
    }
}

/* Where fewer than 16 columns or words of them are left. */
WIDE_TARGET CPU_INLINE void corner(float *to, const char *from, int64_t step, int64_t columns,
                                   int64_t depth, const weft_dtype dt)
{
    const uint32_t some = depth < 32 ? (1u << depth) - 1 : ~0u;
    __m512i block[WIDE_LANES];
    __m512 v[16];
    for (int64_t j = 0; j < WIDE_LANES; j++, from += step)
        block[j] = j >= columns     ? _mm512_setzero_si512()
                   : dt == WEFT_F32 ? _mm512_maskz_loadu_epi32((__mmask16)some, from)
                                    : _mm512_maskz_loadu_epi16(some, from);
    cpu_turn_rows(v, block, sizeof *block);
    put_rows(to, v, depth, dt);
}

/* Up to 16 columns of B, each along k and `step` bytes from the next: 16 of them become rows of 16 at a time. */
WIDE_TARGET CPU_INLINE void columns_of(float *to, const char *from, int64_t step, int64_t columns,
                                       int64_t depth, const weft_dtype dt)
{
    const int64_t each = dt == WEFT_F32 ? 16 : 32; /* 64 bytes */
    int64_t k = 0;
    for (; columns >= WIDE_LANES && k + each <= depth; k += each, from += 64) {
        __m512 v[16];
        cpu_turn_rows(v, from, step);
        put_rows(to + k * WIDE_COLUMNS, v, each, dt);
    }
    for (; k < depth; k += each, from += 64)
        corner(to + k * WIDE_COLUMNS, from, step, columns, depth - k < each ? depth - k : each, dt);
}

/* Rows of B of up to 32 numbers. */
WIDE_TARGET CPU_INLINE void rows_of(float *to, const char *from, int64_t step, int64_t columns,
                                    int64_t depth, const weft_dtype dt)
{
    const int64_t half = dt == WEFT_F32 ? 64 : 32; /* bytes */
    const int64_t low = columns < 16 ? columns : 16;
    for (int64_t k = 0; k < depth; k++, from += step, to += WIDE_COLUMNS) {
        _mm512_storeu_ps(to, load(from, low, dt));
        _mm512_storeu_ps(to + 16, load(from + half, columns - low, dt));
    }
}

WIDE_TARGET CPU_INLINE void pack_b(float *to, const weft__wide *p, int64_t j, int64_t columns,
                                   int64_t k0, int64_t depth, const weft_dtype dt)
{
    const int64_t size = dt == WEFT_F32 ? 4 : 2;
    if (p->cb == 1) {
        rows_of(to, wide_at(p->b, dt, k0, p->rb, j, 1), p->rb * size, columns, depth, dt);
        return;
    }
    for (int64_t half = 0; half < columns; half += WIDE_LANES)
        columns_of(to + half, wide_at(p->b, dt, k0, p->rb, j + half, p->cb), p->cb * size,
                   columns - half, depth, dt);
}

WIDE_TARGET void weft__wide_pack_b(float *to, const weft__wide *p, int64_t j, int64_t columns,
                                   int64_t k0, int64_t depth)
{
    if (p->dt == WEFT_F32)
        pack_b(to, p, j, columns, k0, depth, WEFT_F32);
    else
        pack_b(to, p, j, columns, k0, depth, WEFT_BF16);
}
#endif
