/* A block of 32 x 32 sums by AVX-512: a pair of numbers of A for all, sixteen pairs of B at a time. */
#include "device/cpu/brain.h"

#if CPU_HAS_BRAIN
#include <immintrin.h>
#include <string.h>

#define ROWS 8 /* of A at a time: with two vectors of columns, sixteen sums in registers */

BRAIN_TARGET CPU_INLINE __m512 multiply(__m512 sum, __m512i a, __m512i b)
{
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
}

/* Eight rows of a tile of A and all columns of B. */
BRAIN_TARGET CPU_INLINE void rows(const weft__brain_block *o, const uint16_t *a, const uint16_t *b,
                                  int64_t at, const int vectors)
{
    __m512 s[ROWS][2];
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            s[i][j] =
                o->add ? _mm512_loadu_ps(o->before + at + j * 256 + i * 16) : _mm512_setzero_ps();
    for (int64_t k = 0; k < o->steps; k++, a += 2 * BRAIN_TILE, b += 2 * BRAIN_TILE)
        for (int q = 0; q < 16; q++) {
            __m512i w[2];
#pragma GCC unroll 2
            for (int j = 0; j < vectors; j++)
                w[j] = _mm512_loadu_si512(b + j * BRAIN_TILE + q * 32);
#pragma GCC unroll 8
            for (int i = 0; i < ROWS; i++) {
                int32_t two;
                memcpy(&two, a + i * 32 + 2 * q, sizeof two);
#pragma GCC unroll 2
                for (int j = 0; j < vectors; j++)
                    s[i][j] = multiply(s[i][j], _mm512_set1_epi32(two), w[j]);
            }
        }
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            _mm512_storeu_ps(o->sums + at + j * 256 + i * 16, s[i][j]);
}

BRAIN_TARGET static void one(const weft__brain_block *o, const uint16_t *a, int64_t at)
{
    rows(o, a, o->b, at, 1);
}

BRAIN_TARGET static void two(const weft__brain_block *o, const uint16_t *a, int64_t at)
{
    rows(o, a, o->b, at, 2);
}

void weft__brain_by_pairs(const weft__brain_block *o)
{
    for (int i = 0; i < 2 * o->atiles; i++)
        (o->btiles == 2 ? two : one)(o, o->a + i / 2 * BRAIN_TILE + i % 2 * ROWS * 32,
                                     i / 2 * 512 + i % 2 * ROWS * 16);
    weft__brain_finish(o->aside);
}
#endif
