/* What attention in bf16 by AMX and its gradient share: matrices cut into tiles of 1 KiB, products of
 * those, and exponentials.
 *
 * A matrix (m,k) that is the left factor lies as tiles of 16 rows and 32 columns, one of (k,n) that is the
 * right one as tiles of 32 rows and 16 columns with two rows' numbers side by side, sums as tiles of 16
 * rows and 16 columns of f32. Factors' tiles are adjacent along k; edges are filled with 0. */
#ifndef DEVICE_CPU_ATTENTION_AMX_H
#define DEVICE_CPU_ATTENTION_AMX_H
#include "device/cpu/amx.h"
#include "device/cpu/attention.h"

#if CPU_HAS_AMX
#include "device/cpu/turn.h"

#include <immintrin.h>

#define BYTES 1024 /* of a tile */
#define LANES 16
#define AMX_INLINE AMX_TARGET CPU_INLINE
#ifdef __clang__
#define AMX_UNROLL _Pragma("unroll")
#else
#define AMX_UNROLL _Pragma("GCC unroll 16")
#endif

/* The next multiple of 32. */
CPU_INLINE int64_t even(int64_t n)
{
    return (n + 31) / 32 * 32;
}

/* Two by two tiles of sums c, k tiles of each factor: to the tile below and to that on the right it is so many
 * bytes. */
AMX_INLINE void multiply(char *c, int64_t c_down, int64_t c_right, const char *a, int64_t a_down,
                         const char *b, int64_t b_right, int64_t k, bool add)
{
    if (add) {
        _tile_loadd(0, c, 64);
        _tile_loadd(1, c + c_right, 64);
        _tile_loadd(2, c + c_down, 64);
        _tile_loadd(3, c + c_down + c_right, 64);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int64_t x = 0; x < k; x++, a += BYTES, b += BYTES) {
        _tile_loadd(4, a, 64);
        _tile_loadd(6, b, 64);
        _tile_loadd(7, b + b_right, 64);
        _tile_loadd(5, a + a_down, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, c, 64);
    _tile_stored(1, c + c_right, 64);
    _tile_stored(2, c + c_down, 64);
    _tile_stored(3, c + c_down + c_right, 64);
}

/* Columns j..j+31 of row r of n rows; what is outside is 0. */
AMX_INLINE __m512i row_of(const uint16_t *x, int64_t xs, int64_t r, int64_t rows, int64_t j,
                          int64_t columns)
{
    const int64_t n = r < rows ? within(columns - j, 32) : 0;
    if (n == 32)
        return _mm512_loadu_si512(x + r * xs + j);
    return n ? _mm512_maskz_loadu_epi16((__mmask32)(((uint64_t)1 << n) - 1), x + r * xs + j)
             : _mm512_setzero_si512();
}

AMX_INLINE void put(char *to, const __m512i *v)
{
    AMX_UNROLL for (int i = 0; i < LANES; i++) _mm512_store_si512(to + 64 * i, v[i]);
}

/* Rows r..r+15, columns j..j+31 of x as a tile of a left factor, or of the right one x^T. */
AMX_INLINE void left_tile(char *to, const uint16_t *x, int64_t xs, int64_t r, int64_t rows,
                          int64_t j, int64_t columns)
{
    AMX_UNROLL for (int i = 0; i < LANES; i++)
        _mm512_store_si512(to + 64 * i, row_of(x, xs, r + i, rows, j, columns));
}

AMX_INLINE void across_tile(char *to, const uint16_t *x, int64_t xs, int64_t r, int64_t rows,
                            int64_t j, int64_t columns)
{
    __m512i v[LANES];
    AMX_UNROLL for (int i = 0; i < LANES; i++) v[i] = row_of(x, xs, r + i, rows, j, columns);
    cpu_turn(v);
    put(to, v);
}

/* Rows r..r+31, columns j..j+31 of x as two tiles of a right factor, of the columns' halves, `right` bytes
 * apart; turned: of the left one x^T. */
AMX_INLINE void along_tiles(char *to, int64_t right, const uint16_t *x, int64_t xs, int64_t r,
                            int64_t rows, int64_t j, int64_t columns, const bool turned)
{
    const __m512i first =
        _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6,
                         37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    const __m512i second = _mm512_add_epi16(first, _mm512_set1_epi16(16));
    __m512i v[LANES], w[LANES];
    AMX_UNROLL for (int i = 0; i < LANES; i++)
    {
        const __m512i a = row_of(x, xs, r + 2 * i, rows, j, columns);
        const __m512i b = row_of(x, xs, r + 2 * i + 1, rows, j, columns);
        v[i] = _mm512_permutex2var_epi16(a, first, b);
        w[i] = _mm512_permutex2var_epi16(a, second, b);
    }
    if (turned) {
        cpu_turn(v);
        cpu_turn(w);
    }
    put(to, v);
    put(to + right, w);
}

/* All of x (rows, columns), in each of these ways. */
AMX_INLINE void pack_left(char *to, const uint16_t *x, int64_t xs, int64_t rows, int64_t columns)
{
    for (int64_t r = 0; r < even(rows); r += LANES)
        for (int64_t j = 0; j < columns; j += 32, to += BYTES)
            left_tile(to, x, xs, r, rows, j, columns);
}

AMX_INLINE void pack_across(char *to, const uint16_t *x, int64_t xs, int64_t rows, int64_t columns)
{
    for (int64_t r = 0; r < even(rows); r += LANES)
        for (int64_t j = 0; j < columns; j += 32, to += BYTES)
            across_tile(to, x, xs, r, rows, j, columns);
}

AMX_INLINE void pack_along(char *to, const uint16_t *x, int64_t xs, int64_t rows, int64_t columns,
                           const bool turned)
{
    const int64_t right = even(rows) / 32 * BYTES;
    for (int64_t j = 0; j < columns; j += 32)
        for (int64_t r = 0; r < rows; r += 32)
            along_tiles(to + j / LANES * right + r / 32 * BYTES, right, x, xs, r, rows, j, columns,
                        turned);
}

/* 2^x for x up to 127, within 4e-6 of it, 0 below 2^-126: x = k + r, k whole, |r| <= 1/2, a polynomial through the Chebyshev
 * nodes. */
AMX_INLINE __m512 two_to(__m512 x)
{
    const __mmask16 normal = _mm512_cmp_ps_mask(x, _mm512_set1_ps(-126), _CMP_NLT_UQ);
    const __m512 shift = _mm512_set1_ps(0x1.8p23F);
    const __m512 k = _mm512_sub_ps(_mm512_add_ps(x, shift), shift);
    const __m512 r = _mm512_sub_ps(x, k);
    __m512 p = _mm512_set1_ps(9.66636837e-3F);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.59219755e-2F));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.240223497F));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.693121016F));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0F));
    return _mm512_maskz_scalef_ps(normal, p, k);
}

/* Row r of tiles of 16 columns; `down` bytes to those of 16 rows later. */
CPU_INLINE const float *row_in(const float *tiles, int64_t down, int64_t r)
{
    return tiles + r / LANES * (down / 4) + r % LANES * LANES;
}

/* A row of tiles times factor, rounded once. */
AMX_INLINE void narrow(uint16_t *y, const float *row, int64_t columns, float factor)
{
    const __m512 f = _mm512_set1_ps(factor);
    for (int64_t d = 0; d < columns; d += 32) {
        const __m512 a = _mm512_mul_ps(_mm512_load_ps(row + d * LANES), f);
        const __m512 b = _mm512_mul_ps(_mm512_load_ps(row + (d + LANES) * LANES), f);
        const int64_t n = least(32, columns - d);
        _mm512_mask_storeu_epi16(y + d, (__mmask32)(((uint64_t)1 << n) - 1),
                                 (__m512i)_mm512_cvtne2ps_pbh(b, a));
    }
}

/* What dropout multiplies the weights of a tile with, laid out as in kept. */
CPU_INLINE void keep_or_drop(const weft_attention_terms *o, const head *at, int64_t i0,
                             int64_t rows, int64_t j0, int64_t n, float *keep, int64_t ld,
                             bool turned)
{
    const float factor = (float)keep_of(o);
    kept(o, at, i0, rows, j0, n, keep, ld, turned);
    for (int64_t y = 0; y < (turned ? n : rows); y++)
        for (int64_t x = 0; x < (turned ? rows : n); x++)
            keep[y * ld + x] *= factor;
}

/* Shapes for which packing pays. */
CPU_INLINE bool amx_pays(const weft_attention_terms *o)
{
    return o->queries >= LANES && o->keys >= LANES && o->size >= LANES && o->vsize >= LANES &&
           o->size <= WIDTH && o->vsize <= WIDTH;
}

/* Which of places x..x+15 are below n. */
CPU_INLINE __mmask16 below(int64_t x, int64_t n)
{
    return (__mmask16)((1U << within(n - x, LANES)) - 1);
}
#endif
#endif
