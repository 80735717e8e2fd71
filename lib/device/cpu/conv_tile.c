/* Tiles: sums of rows x 16 vectors stay in registers while numbers of a source go by, each times a vector or two.
 * Compiled for every number of rows, so that the loops over sums are straight code. */
#include "device/cpu/conv.h"

#if CPU_HAS_WIDE
#include <immintrin.h>

#define VECTORS 2

WIDE_TARGET CPU_INLINE void clear(__m512 s[][VECTORS], const int rows, const int vectors)
{
#pragma GCC unroll 14
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            s[i][j] = _mm512_setzero_ps();
}

/* s += a (a number each row) times b (vectors). */
WIDE_TARGET CPU_INLINE void step(__m512 s[][VECTORS], const float *a, const float *b,
                                 const int rows, const int vectors)
{
    __m512 w[VECTORS];
#pragma GCC unroll 2
    for (int j = 0; j < vectors; j++)
        w[j] = _mm512_loadu_ps(b + j * WIDE_LANES);
#pragma GCC unroll 14
    for (int i = 0; i < rows; i++) {
        const __m512 x = _mm512_set1_ps(a[i]);
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            s[i][j] = _mm512_fmadd_ps(x, w[j], s[i][j]);
    }
}

WIDE_TARGET CPU_INLINE void store(float *c, int64_t rc, bool add, __m512 s[][VECTORS],
                                  const int rows, const int vectors)
{
#pragma GCC unroll 14
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++) {
            float *to = c + i * rc + j * WIDE_LANES;
            _mm512_storeu_ps(to, add ? _mm512_add_ps(_mm512_loadu_ps(to), s[i][j]) : s[i][j]);
        }
}

WIDE_TARGET CPU_INLINE void sums(const conv_tile *t, const int rows, const int vectors)
{
    const float *b = t->b;
    __m512 s[CONV_ROWS][VECTORS];
    clear(s, rows, vectors);
    for (int64_t e = 0; e < t->taps; e++) {
        const float *a = t->a + t->tap[e].at;
        for (int64_t k = t->depth; k > 0; k--, a += t->plane, b += vectors * WIDE_LANES)
            step(s, a, b, rows, vectors);
    }
    store(t->c, t->rc, false, s, rows, vectors);
}

WIDE_TARGET CPU_INLINE void outer(const conv_outer *t, const int rows, const int vectors)
{
    __m512 s[CONV_ROWS][VECTORS];
    clear(s, rows, vectors);
    for (int64_t e = 0; e < t->lines; e++) {
        const float *a = t->a + e * t->la, *b = t->b + e * t->lb;
        for (int64_t k = t->depth; k > 0; k--, a += t->ra, b += t->rb)
            step(s, a, b, rows, vectors);
    }
    store(t->c, t->rc, t->add, s, rows, vectors);
}

#define TILE(rows, vectors)                                                                        \
    WIDE_TARGET static void sums_##rows##_##vectors(const conv_tile *t)                            \
    {                                                                                              \
        sums(t, rows, vectors);                                                                    \
    }                                                                                              \
    WIDE_TARGET static void outer_##rows##_##vectors(const conv_outer *t)                          \
    {                                                                                              \
        outer(t, rows, vectors);                                                                   \
    }
/* clang-format off */
#define ROWS(F, v)                                                                                 \
    F(1, v) F(2, v) F(3, v) F(4, v) F(5, v) F(6, v) F(7, v)                                        \
    F(8, v) F(9, v) F(10, v) F(11, v) F(12, v) F(13, v) F(14, v)
/* clang-format on */
ROWS(TILE, 1)
ROWS(TILE, 2)

typedef void sums_of(const conv_tile *t);
typedef void outer_of(const conv_outer *t);
#define SUMS(rows, vectors) [vectors][rows] = sums_##rows##_##vectors,
#define OUTER(rows, vectors) [vectors][rows] = outer_##rows##_##vectors,
static sums_of *const all_sums[VECTORS + 1][CONV_ROWS + 1] = {ROWS(SUMS, 1) ROWS(SUMS, 2)};
static outer_of *const all_outer[VECTORS + 1][CONV_ROWS + 1] = {ROWS(OUTER, 1) ROWS(OUTER, 2)};

void weft__conv_multiply(const conv_tile *t, int64_t rows, int64_t vectors)
{
    all_sums[vectors][rows](t);
}

void weft__conv_outer(const conv_outer *t, int64_t rows, int64_t vectors)
{
    all_outer[vectors][rows](t);
}
#endif
