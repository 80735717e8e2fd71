/* Between the steps of a block, while the tiles multiply: the sums of the block before become numbers of C,
 * and what is multiplied next is fetched. */
#include "device/cpu/brain.h"

#if CPU_HAS_BRAIN
#include "device/cpu/turn.h"

#define ROWS 4  /* a step */
#define LINE 64 /* bytes, of a cache */

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static __mmask16 mask_of(int64_t n)
{
    return n >= 16 ? (__mmask16)-1 : n > 0 ? (__mmask16)((1u << n) - 1) : 0;
}

BRAIN_TARGET CPU_INLINE __m512 wide(__m256i x)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
}

/* Below zero is zero; NaN stays. */
BRAIN_TARGET CPU_INLINE __m512 relu(__m512 v)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_NLE_UQ), v);
}

/* Sixteen numbers that are adjacent in C, from element `at` on, the first of them under number `first` of
 * the bias. */
BRAIN_TARGET CPU_INLINE void put(const weft__brain *p, int64_t at, int64_t first, __m512 v,
                                 __mmask16 in)
{
    const __m512 beta = _mm512_set1_ps(p->beta);
    const bool single = p->ct == WEFT_F32;
    float *cs = (float *)p->c + at;
    uint16_t *c = (uint16_t *)p->c + at;
    if (p->alpha != 1)
        v = _mm512_mul_ps(v, _mm512_set1_ps(p->alpha));
    if (p->beta != 0)
        v = _mm512_fmadd_ps(
            beta, single ? _mm512_maskz_loadu_ps(in, cs) : wide(_mm256_maskz_loadu_epi16(in, c)),
            v);
    if (p->bias)
        v = _mm512_add_ps(v, wide(_mm256_maskz_loadu_epi16(in, p->bias + first)));
    if (p->relu)
        v = relu(v);
    if (single)
        _mm512_mask_storeu_ps(cs, in, v);
    else
        _mm256_mask_storeu_epi16(c, in, (__m256i)_mm512_cvtneps_pbh(v));
}

static const float *tile_of(const weft__brain_aside *o, int y, int x)
{
    return o->sums + (2 * y + x) * 256;
}

BRAIN_TARGET static void rows_of(const weft__brain_aside *o, int row, int64_t rows)
{
    const weft__brain *p = o->p;
    const __mmask16 low = mask_of(p->n - o->j), high = mask_of(p->n - o->j - 16);
    for (int r = row; r < row + rows; r++) {
        const int64_t at = (o->i + r) * p->rc + o->j;
        put(p, at, o->j, _mm512_loadu_ps(tile_of(o, r / 16, 0) + r % 16 * 16), low);
        if (high)
            put(p, at + 16, o->j + 16, _mm512_loadu_ps(tile_of(o, r / 16, 1) + r % 16 * 16), high);
    }
}

/* A tile whose columns are adjacent in C. */
BRAIN_TARGET static void turned(const weft__brain_aside *o, int y, int x)
{
    const weft__brain *p = o->p;
    const int64_t i = o->i + y * 16, j = o->j + x * 16, columns = least(16, p->n - j);
    const __mmask16 in = mask_of(p->m - i);
    const float *from = tile_of(o, y, x);
    __m512i v[16];
    if (!in || columns <= 0)
        return;
#pragma GCC unroll 16
    for (int r = 0; r < 16; r++)
        v[r] = _mm512_loadu_si512(from + r * 16);
    cpu_turn(v);
    for (int64_t c = 0; c < columns; c++)
        put(p, i + (j + c) * p->cc, i, _mm512_castsi512_ps(_mm512_loadu_si512(&v[c])), in);
}

/* Rows of a whole block of C that is nothing but the sums and a bias, rounded in pairs of vectors. */
BRAIN_TARGET static void low_rows(const weft__brain_aside *o)
{
    const weft__brain *p = o->p;
    const float *from = tile_of(o, o->row / 16, 0) + o->row % 16 * 16;
    uint16_t *c = (uint16_t *)p->c + (o->i + o->row) * p->rc + o->j;
    __m512 bias[2] = {_mm512_set1_ps(-0.0F), _mm512_set1_ps(-0.0F)}; /* changes nothing */
    for (int i = 0; i < 2 && p->bias; i++)
        bias[i] = wide(_mm256_loadu_si256((const __m256i *)(p->bias + o->j + 16 * i)));
    CPU_UNROLL(4)
    for (int r = 0; r < ROWS; r++) {
        __m512 low = _mm512_add_ps(_mm512_load_ps(from + r * 16), bias[0]);
        __m512 high = _mm512_add_ps(_mm512_load_ps(from + r * 16 + 256), bias[1]);
        if (p->relu) {
            low = relu(low);
            high = relu(high);
        }
        _mm512_storeu_si512(c + r * p->rc, (__m512i)_mm512_cvtne2ps_pbh(high, low));
    }
}

/* Of sums alone, in f32. */
BRAIN_TARGET CPU_INLINE void single_rows(const weft__brain_aside *o, const bool past)
{
    const weft__brain *p = o->p;
    const float *from = tile_of(o, o->row / 16, 0) + o->row % 16 * 16;
    float *c = (float *)p->c + (o->i + o->row) * p->rc + o->j;
    CPU_UNROLL(4)
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < 2; i++) {
            const __m512 v = _mm512_load_ps(from + r * 16 + i * 256);
            past ? _mm512_stream_ps(c + r * p->rc + i * 16, v)
                 : _mm512_storeu_ps(c + r * p->rc + i * 16, v);
        }
}

BRAIN_TARGET static void near_rows(const weft__brain_aside *o)
{
    single_rows(o, false);
}

BRAIN_TARGET static void past_rows(const weft__brain_aside *o)
{
    single_rows(o, true);
}

static bool plain(const weft__brain_aside *o)
{
    const weft__brain *p = o->p;
    return p->cc == 1 && p->alpha == 1 && p->beta == 0 && p->n - o->j >= BRAIN_SIDE &&
           p->m - o->i >= BRAIN_SIDE;
}

static void put_some(weft__brain_aside *o)
{
    if (plain(o))
        (o->p->ct == WEFT_BF16 ? low_rows
         : o->p->past          ? past_rows
                               : near_rows)(o); /* no bias in f32 */
    else if (o->p->cc == 1)
        rows_of(o, o->row, least(ROWS, o->p->m - o->i - o->row));
    else if (o->row % 8 == 0)
        turned(o, o->row / 16, o->row / 8 % 2);
    o->row += ROWS;
}

void weft__brain_step(weft__brain_aside *o)
{
    if (o->row < BRAIN_SIDE)
        put_some(o);
    for (int i = 0; i < o->lines && o->fetch < o->end; i++, o->fetch += LINE)
        _mm_prefetch(o->fetch, _MM_HINT_T1);
}

void weft__brain_finish(weft__brain_aside *o)
{
    while (o->row < BRAIN_SIDE)
        put_some(o);
}

/* What went past the caches is there for all threads. */
void weft__brain_past(void)
{
    _mm_sfence();
}
#endif
