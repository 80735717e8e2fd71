/* What follows the sums: bias and relu, and for C in bf16 beta C and rounding. */
#include "device/cpu/sixteen.h"
#include "device/cpu/turn.h"

#if CPU_HAS_WIDE
/* Below zero is zero; NaN stays. */
WIDE_TARGET CPU_INLINE __m512 above_zero(__m512 v)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_NLE_UQ), v);
}

WIDE_TARGET static void finish(const weft__wide *p, int64_t i0, int64_t i1, int64_t j0, int64_t j1)
{
    const bool by_rows = p->cc == 1;
    const int64_t step = by_rows ? p->rc : p->cc, lines = by_rows ? i1 - i0 : j1 - j0;
    const int64_t first = by_rows ? j0 : i0, n = (by_rows ? j1 : i1) - first;
    for (int64_t x = 0; x < n; x += WIDE_LANES) {
        const __mmask16 some = first_of(n - x);
        const float *from = (const float *)p->bias + first + x;
        const __m512 bias = p->bias ? _mm512_maskz_loadu_ps(some, from) : _mm512_set1_ps(-0.0f);
        float *c = (float *)p->c + i0 * p->rc + j0 * p->cc + x;
        for (int64_t l = 0; l < lines; l++, c += step) {
            const __m512 v = _mm512_add_ps(_mm512_maskz_loadu_ps(some, c), bias);
            _mm512_mask_storeu_ps(c, some, p->relu ? above_zero(v) : v);
        }
    }
}

void weft__wide_end(const weft__wide *p, int64_t i0, int64_t i1, int64_t j0, int64_t j1)
{
    if (p->bias || p->relu)
        finish(p, i0, i1, j0, j1);
}

/* `lines` vectors of up to 16 sums, `step` apart, that become numbers of C, `apart` bytes from one to the next. */
WIDE_TARGET CPU_INLINE void put(char *c, int64_t apart, const float *sums, int64_t step,
                                int64_t lines, int64_t n, const weft__wide *p, int64_t first,
                                const bool add, const bool relu)
{
    const __m512 beta = _mm512_set1_ps(p->beta), none = _mm512_set1_ps(-0.0F);
    const __m512 bias =
        p->bias ? load(wide_at(p->bias, WEFT_BF16, 0, 0, first, 1), n, WEFT_BF16) : none;
    for (int64_t l = 0; l < lines; l++, c += apart, sums += step) {
        __m512 v = _mm512_loadu_ps(sums);
        if (add)
            v = _mm512_fmadd_ps(beta, load(c, n, WEFT_BF16), v);
        v = _mm512_add_ps(v, bias);
        store(c, n, relu ? above_zero(v) : v, WEFT_BF16);
    }
}

/* n numbers each, that are adjacent in C from row i and column j on. */
WIDE_TARGET static void lines(const weft__wide *p, const float *sums, int64_t step, int64_t lines,
                              int64_t n, int64_t i, int64_t j)
{
    const int64_t apart = 2 * (p->cc == 1 ? p->rc : p->cc), first = p->cc == 1 ? j : i;
    char *c = wide_at(p->c, WEFT_BF16, i, p->rc, j, p->cc);
    if (p->beta != 0 && p->relu)
        put(c, apart, sums, step, lines, n, p, first, true, true);
    else if (p->beta != 0)
        put(c, apart, sums, step, lines, n, p, first, true, false);
    else if (p->relu)
        put(c, apart, sums, step, lines, n, p, first, false, true);
    else
        put(c, apart, sums, step, lines, n, p, first, false, false);
}

WIDE_TARGET void weft__wide_round(const weft__wide *p, const float *sums, int64_t step, int64_t i0,
                                  int64_t i1, int64_t j0, int64_t j1)
{
    __m512 v[16];
    for (int64_t j = j0; j < j1; j += WIDE_LANES, sums += WIDE_LANES) {
        if (p->cc == 1) {
            lines(p, sums, step, i1 - i0, j1 - j, i0, j);
            continue;
        }
        cpu_turn_rows(v, sums, step * (int64_t)sizeof *sums);
        lines(p, (const float *)v, WIDE_LANES, j1 - j < WIDE_LANES ? j1 - j : WIDE_LANES, i1 - i0,
              i0, j);
    }
}
#endif
