/* Few steps along k where B's rows are adjacent: those of 32 columns of B stay in registers, and C's rows pass, each written
 * once. A is not packed but for a few rows at a time. */
#include "device/cpu/sixteen.h"

#if CPU_HAS_WIDE

#define MOST 12 /* steps: 24 vectors of B */
#define ROWS 32 /* at a time, whose C stays near */
#define TOGETHER 4

/* Rows of C, up to 32 numbers of each. */
typedef struct strip {
    const weft__wide *p;
    float a[ROWS][WIDE_LANES]; /* times alpha */
    int64_t i, rows, j;
    uint32_t there; /* of the 32 numbers */
} strip;

/* In two vectors: numbers in turn where C is bf16, and else the first half and the second. */
WIDE_TARGET CPU_INLINE void get(__m512 v[2], const char *from, uint32_t there, const weft_dtype dt,
                                const bool in_turn)
{
    if (in_turn) {
        const __m512i both = _mm512_maskz_loadu_epi16(there, from);
        v[0] = even_of(both);
        v[1] = odd_of(both);
    } else {
        v[0] = load_some(from, (__mmask16)there, dt);
        v[1] = load_some(from + (dt == WEFT_F32 ? 64 : 32), (__mmask16)(there >> WIDE_LANES), dt);
    }
}

WIDE_TARGET CPU_INLINE void put(char *to, uint32_t there, const __m512 v[2], const bool in_turn)
{
    if (in_turn) {
        _mm512_mask_storeu_epi16(to, there, brains(v[0], v[1]));
    } else {
        _mm512_mask_storeu_ps(to, (__mmask16)there, v[0]);
        _mm512_mask_storeu_ps(to + 64, (__mmask16)(there >> WIDE_LANES), v[1]);
    }
}

WIDE_TARGET CPU_INLINE void rows_of(char *c, int64_t step, const float *a, const __m512 b[][2],
                                    const bool adds, float beta, uint32_t there, const int rows,
                                    const int steps, const weft_dtype ct)
{
    const bool low = ct != WEFT_F32;
    __m512 s[TOGETHER][2];
    CPU_UNROLL(4)
    for (int r = 0; r < rows; r++) {
        s[r][0] = s[r][1] = _mm512_setzero_ps();
        if (adds) {
            get(s[r], c + r * step, there, ct, low);
            s[r][0] = _mm512_mul_ps(_mm512_set1_ps(beta), s[r][0]);
            s[r][1] = _mm512_mul_ps(_mm512_set1_ps(beta), s[r][1]);
        }
    }
    CPU_UNROLL(12)
    for (int k = 0; k < steps; k++)
        CPU_UNROLL(4)
    for (int r = 0; r < rows; r++) {
        const __m512 x = _mm512_set1_ps(a[r * WIDE_LANES + k]);
        s[r][0] = _mm512_fmadd_ps(x, b[k][0], s[r][0]);
        s[r][1] = _mm512_fmadd_ps(x, b[k][1], s[r][1]);
    }
    CPU_UNROLL(4)
    for (int r = 0; r < rows; r++)
        put(c + r * step, there, s[r], low);
}

/* Some rows together, as one alone would wait for its own sums. */
WIDE_TARGET CPU_INLINE void multiply(const strip *t, const int steps, const weft_dtype dt,
                                     const weft_dtype ct)
{
    const weft__wide *p = t->p;
    const int together = steps > 10 ? 2 : TOGETHER; /* for so many there are registers */
    const int64_t step = p->rc * (ct == WEFT_F32 ? 4 : 2), rows = t->rows;
    const uint32_t there = t->there;
    const float *a = t->a[0], beta = p->beta;
    const bool adds = beta != 0;
    char *c = wide_at(p->c, ct, t->i, p->rc, t->j, 1);
    __m512 b[MOST][2];
    CPU_UNROLL(12)
    for (int k = 0; k < steps; k++)
        get(b[k], wide_at(p->b, dt, k, p->rb, t->j, 1), there, dt, ct != WEFT_F32);
    int64_t r = 0;
    for (; r + together <= rows; r += together, a += together * WIDE_LANES, c += together * step)
        rows_of(c, step, a, b, adds, beta, there, together, steps, ct);
    for (; r < rows; r++, a += WIDE_LANES, c += step)
        rows_of(c, step, a, b, adds, beta, there, 1, steps, ct);
}

#define STRIP(steps)                                                                               \
    WIDE_TARGET static void strip_##steps(const strip *t)                                          \
    {                                                                                              \
        if (t->p->dt == WEFT_F32)                                                                  \
            multiply(t, steps, WEFT_F32, WEFT_F32);                                                \
        else if (t->p->ct == WEFT_F32)                                                             \
            multiply(t, steps, WEFT_BF16, WEFT_F32);                                               \
        else                                                                                       \
            multiply(t, steps, WEFT_BF16, WEFT_BF16);                                              \
    }
#define ALL(F) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11) F(12)
ALL(STRIP)

/* Rows of A as f32. */
WIDE_TARGET static void gather(strip *t)
{
    const weft__wide *p = t->p;
    const int64_t size = p->dt == WEFT_F32 ? 4 : 2;
    const __m512 alpha = _mm512_set1_ps(p->alpha);
    for (int64_t r = 0; r < t->rows; r++) {
        const char *from = wide_at(p->a, p->dt, t->i + r, p->ra, 0, 0);
        __m512 v = _mm512_setzero_ps();
        if (p->ca == 1 || p->k == 1)
            v = load(from, p->k, p->dt);
        for (int64_t k = 0; p->ca != 1 && p->k > 1 && k < p->k; k++)
            v = _mm512_mask_broadcastss_ps(
                v, (__mmask16)(1u << k),
                _mm512_castps512_ps128(load(from + k * p->ca * size, 1, p->dt)));
        _mm512_storeu_ps(t->a[r], _mm512_mul_ps(alpha, v));
    }
}

bool weft__wide_is_short(const weft__wide *p)
{
    return p->k <= MOST && p->cb == 1 && p->cc == 1 && !p->bias && !p->relu;
}

void weft__wide_short(const weft__wide *p, int64_t i0, int64_t i1, int64_t j0, int64_t j1)
{
#define OF(steps) [steps] = strip_##steps,
    static void (*const multiply_by[])(const strip *) = {ALL(OF)};
    strip t; /* not all of it is set */
    t.p = p;
    for (t.i = i0; t.i < i1; t.i += ROWS) {
        t.rows = wide_least(ROWS, i1 - t.i);
        gather(&t);
        for (t.j = j0; t.j < j1; t.j += WIDE_COLUMNS) {
            t.there = j1 - t.j < WIDE_COLUMNS ? (1u << (j1 - t.j)) - 1 : ~0u;
            multiply_by[p->k](&t);
        }
    }
}
#endif
