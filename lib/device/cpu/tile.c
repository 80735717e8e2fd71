/* Products of tiles: blocks of a few rows and vectors of c stay in registers while x runs. */
#ifdef NAME

#define L ((int64_t)(sizeof(V) / sizeof(T)))

TARGET CPU_INLINE void NAME(block)(T *c, int64_t cs, const T *a, int64_t as, int64_t ak, const T *b,
                                   int64_t bs, int64_t k, bool add, const int rows,
                                   const int vectors)
{
    V s[ROWS][VECTORS];
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < vectors; v++) s[r][v] =
        add ? LOADV(c + r * cs + v * L) : ZERO;
    for (int64_t x = 0; x < k; x++, a += ak, b += bs) {
        V w[VECTORS];
        UNROLL for (int v = 0; v < vectors; v++) w[v] = LOADV(b + v * L);
        UNROLL for (int r = 0; r < rows; r++)
        {
            const __typeof__(ONE(*a)) u = ONE(a[r * as]);
            UNROLL for (int v = 0; v < vectors; v++) s[r][v] = FMA(u, w[v], s[r][v]);
        }
    }
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < vectors; v++)
        STOREV(c + r * cs + v * L, s[r][v]);
}

/* All rows of so many vectors. */
TARGET CPU_INLINE void NAME(stripe)(T *c, int64_t cs, const T *a, int64_t as, int64_t ak,
                                    const T *b, int64_t bs, int64_t m, int64_t k, bool add,
                                    const int vectors)
{
    int64_t i = 0;
    for (; i + ROWS <= m; i += ROWS)
        NAME(block)(c + i * cs, cs, a + i * as, as, ak, b, bs, k, add, ROWS, vectors);
    for (; i + 2 <= m; i += 2)
        NAME(block)(c + i * cs, cs, a + i * as, as, ak, b, bs, k, add, 2, vectors);
    if (i < m)
        NAME(block)(c + i * cs, cs, a + i * as, as, ak, b, bs, k, add, 1, vectors);
}

TARGET static void NAME(product)(T *c, int64_t cs, const T *a, int64_t as, int64_t ak, const T *b,
                                 int64_t bs, int64_t m, int64_t n, int64_t k, bool add)
{
    int64_t j = 0;
    for (; j + VECTORS * L <= n; j += VECTORS * L)
        NAME(stripe)(c + j, cs, a, as, ak, b + j, bs, m, k, add, VECTORS);
    for (; VECTORS > 2 && j + 2 * L <= n; j += 2 * L)
        NAME(stripe)(c + j, cs, a, as, ak, b + j, bs, m, k, add, VECTORS > 2 ? 2 : 1);
    for (; j < n; j += L)
        NAME(stripe)(c + j, cs, a, as, ak, b + j, bs, m, k, add, 1);
}
#undef NAME
#undef T
#undef V
#undef L
#undef LOADV
#undef STOREV
#undef ZERO
#undef ONE
#undef FMA

#else

#include "device/cpu/tile.h"
#include "device/cpu/cpu.h"

#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

/* 24 sums, four vectors of b and one number of a in 32 registers. */
#define TARGET __attribute__((target("avx512f")))
#define ROWS 6
#define VECTORS 4
#define NAME(x) x##_avx512_f32
#define T float
#define V __m512
#define LOADV _mm512_loadu_ps
#define STOREV _mm512_storeu_ps
#define ZERO _mm512_setzero_ps()
#define ONE _mm512_set1_ps
#define FMA _mm512_fmadd_ps
#include "device/cpu/tile.c"
#define NAME(x) x##_avx512_f64
#define T double
#define V __m512d
#define LOADV _mm512_loadu_pd
#define STOREV _mm512_storeu_pd
#define ZERO _mm512_setzero_pd()
#define ONE _mm512_set1_pd
#define FMA _mm512_fmadd_pd
#include "device/cpu/tile.c"
#undef TARGET
#undef VECTORS

/* 12 sums in 16. */
#define TARGET __attribute__((target("avx2,fma")))
#define VECTORS 2
#define NAME(x) x##_avx2_f32
#define T float
#define V __m256
#define LOADV _mm256_loadu_ps
#define STOREV _mm256_storeu_ps
#define ZERO _mm256_setzero_ps()
#define ONE _mm256_set1_ps
#define FMA _mm256_fmadd_ps
#include "device/cpu/tile.c"
#define NAME(x) x##_avx2_f64
#define T double
#define V __m256d
#define LOADV _mm256_loadu_pd
#define STOREV _mm256_storeu_pd
#define ZERO _mm256_setzero_pd()
#define ONE _mm256_set1_pd
#define FMA _mm256_fmadd_pd
#include "device/cpu/tile.c"
#undef TARGET
#undef VECTORS
#undef ROWS

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f");
}
#define X86_SETS                                                                                   \
    {"avx512",          has_avx512, product_avx512_f32, product_avx512_f64,                        \
     weft__wide_soften, NULL,       weft__wide_turn,    NULL},                                     \
        {"avx2", has_avx2, product_avx2_f32, product_avx2_f64, NULL, NULL, NULL, NULL},
#else
#define X86_SETS
#endif

/* 8 sums of 16 bytes, as everywhere. */
typedef float four __attribute__((vector_size(16), aligned(4), may_alias));
typedef double two __attribute__((vector_size(16), aligned(8), may_alias));
#define TARGET
#define ROWS 4
#define VECTORS 2
#define STOREV(p, v) (*(V *)(p) = (v))
#define LOADV(p) (*(const V *)(p))
#define ONE(x) (x)
#define FMA(u, w, s) ((s) + (u) * (w))
#define NAME(x) x##_plain_f32
#define T float
#define V four
#define ZERO ((four){0})
#include "device/cpu/tile.c"
#define STOREV(p, v) (*(V *)(p) = (v))
#define LOADV(p) (*(const V *)(p))
#define ONE(x) (x)
#define FMA(u, w, s) ((s) + (u) * (w))
#define NAME(x) x##_plain_f64
#define T double
#define V two
#define ZERO ((two){0})
#include "device/cpu/tile.c"

static bool always(void)
{
    return true;
}

const weft__tile_set weft__tile_sets[] = {
    X86_SETS{"plain", always, product_plain_f32, product_plain_f64, NULL, NULL, NULL, NULL}};

const weft__tile_set *weft__tile_best(void)
{
    const weft__tile_set *set = weft__tile_sets;
    while (!set->usable())
        set++;
    return set;
}
#endif
