/* Few steps along k where B's rows are adjacent: those of 32 columns of B stay in registers, and C's rows pass, each written
 * once. A is not packed but for a few rows at a time. */
#include "device/cpu/sixteen.h"

#if CPU_HAS_WIDE

#define MOST 12 /* steps: 24 vectors of B */
#define ROWS 32 /* at a time, whose C stays near */
#define TOGETHER 4
#define FEW 2  /* rows for which B is not kept */
#define SOME 4 /* times 32 numbers of a row: eight sums */

/* Some rows of C. */
typedef struct strip {
    const weft__wide *p;
    float a[ROWS][WIDE_LANES]; /* times alpha */
    int64_t i, rows, j0, j1;
} strip;

static uint32_t there_of(int64_t columns)
{
    return columns < WIDE_COLUMNS ? (1u << columns) - 1 : ~0u;
}

/* In two vectors: numbers in turn where C is bf16, and else the first half and the second. */
WIDE_TARGET CPU_INLINE void get(__m512 v[2], const char *from, uint32_t there, const weft_dtype dt,
                                const bool in_turn)
{
    if (in_turn) {
        next(v, from, there, dt);
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

/* 32 numbers of each row, or what there is from column j on; some rows together, as one alone would wait for its own sums. */
WIDE_TARGET CPU_INLINE void columns(const strip *t, int64_t j, const bool adds, const int steps,
                                    const weft_dtype dt, const weft_dtype ct)
{
    const weft__wide *p = t->p;
    const int together = steps > 10 ? 2 : TOGETHER; /* for so many there are registers */
    const int64_t step = p->rc * (ct == WEFT_F32 ? 4 : 2), rows = t->rows;
    const uint32_t there = there_of(t->j1 - j);
    const float *a = t->a[0], beta = p->beta;
    char *c = wide_at(p->c, ct, t->i, p->rc, j, 1);
    __m512 b[MOST][2];
    CPU_UNROLL(12)
    for (int k = 0; k < steps; k++)
        get(b[k], wide_at(p->b, dt, k, p->rb, j, 1), there, dt, ct != WEFT_F32);
    int64_t r = 0;
    for (; r + together <= rows; r += together, a += together * WIDE_LANES, c += together * step)
        rows_of(c, step, a, b, adds, beta, there, together, steps, ct);
    for (; r < rows; r++, a += WIDE_LANES, c += step)
        rows_of(c, step, a, b, adds, beta, there, 1, steps, ct);
}

WIDE_TARGET CPU_INLINE void multiply(const strip *t, const int steps, const weft_dtype dt,
                                     const weft_dtype ct)
{
    if (t->p->beta == 0)
        for (int64_t j = t->j0; j < t->j1; j += WIDE_COLUMNS)
            columns(t, j, false, steps, dt, ct);
    else
        for (int64_t j = t->j0; j < t->j1; j += WIDE_COLUMNS)
            columns(t, j, true, steps, dt, ct);
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

/* 32 numbers, or `some` times as many, of one row of C. */
WIDE_TARGET CPU_INLINE void block(const weft__wide *p, char *c, const float *a, int64_t j,
                                  uint32_t there, const int some, const weft_dtype dt,
                                  const weft_dtype ct)
{
    const bool low = ct != WEFT_F32;
    const int64_t size = dt == WEFT_F32 ? 4 : 2, csize = low ? 2 : 4;
    const char *b = wide_at(p->b, dt, 0, 0, j, 1);
    __m512 s[SOME][2], y[2];
    CPU_UNROLL(4)
    for (int v = 0; v < some; v++) {
        s[v][0] = s[v][1] = _mm512_setzero_ps();
        if (p->beta != 0) {
            get(s[v], c + v * WIDE_COLUMNS * csize, there, ct, low);
            s[v][0] = _mm512_mul_ps(_mm512_set1_ps(p->beta), s[v][0]);
            s[v][1] = _mm512_mul_ps(_mm512_set1_ps(p->beta), s[v][1]);
        }
    }
    for (int64_t k = 0; k < p->k; k++, b += p->rb * size) {
        const __m512 x = _mm512_set1_ps(a[k]);
        CPU_UNROLL(4)
        for (int v = 0; v < some; v++) {
            get(y, b + v * WIDE_COLUMNS * size, there, dt, low);
            s[v][0] = _mm512_fmadd_ps(x, y[0], s[v][0]);
            s[v][1] = _mm512_fmadd_ps(x, y[1], s[v][1]);
        }
    }
    CPU_UNROLL(4)
    for (int v = 0; v < some; v++)
        put(c + v * WIDE_COLUMNS * csize, there, s[v], low);
}

/* Few rows, one by one: what is read of B is not worth keeping. */
WIDE_TARGET CPU_INLINE void by_rows(const strip *t, const weft_dtype dt, const weft_dtype ct)
{
    const weft__wide *p = t->p;
    for (int64_t r = 0; r < t->rows; r++) {
        int64_t j = t->j0;
        for (; j + SOME * WIDE_COLUMNS <= t->j1; j += SOME * WIDE_COLUMNS)
            block(p, wide_at(p->c, ct, t->i + r, p->rc, j, 1), t->a[r], j, ~0u, SOME, dt, ct);
        for (; j < t->j1; j += WIDE_COLUMNS)
            block(p, wide_at(p->c, ct, t->i + r, p->rc, j, 1), t->a[r], j, there_of(t->j1 - j), 1,
                  dt, ct);
    }
}

WIDE_TARGET static void few(const strip *t)
{
    if (t->p->dt == WEFT_F32)
        by_rows(t, WEFT_F32, WEFT_F32);
    else if (t->p->ct == WEFT_F32)
        by_rows(t, WEFT_BF16, WEFT_F32);
    else
        by_rows(t, WEFT_BF16, WEFT_BF16);
}

/* Rows of A as f32. */
WIDE_TARGET CPU_INLINE void gather(strip *t, const weft_dtype dt)
{
    const weft__wide *p = t->p;
    const __mmask16 there = first_of(p->k);
    const __m512 alpha = _mm512_set1_ps(p->alpha);
    for (int64_t r = 0; r < t->rows; r++) {
        const char *from = wide_at(p->a, dt, t->i + r, p->ra, 0, 0);
        __m512 v = _mm512_setzero_ps();
        if (p->ca == 1 || p->k == 1)
            v = load_some(from, there, dt);
        for (int64_t k = 0; p->ca != 1 && p->k > 1 && k < p->k; k++)
            v = _mm512_mask_broadcastss_ps(
                v, (__mmask16)(1u << k),
                _mm512_castps512_ps128(load(wide_at(from, dt, 0, 0, k, p->ca), 1, dt)));
        _mm512_storeu_ps(t->a[r], _mm512_mul_ps(alpha, v));
    }
}

bool weft__wide_is_short(const weft__wide *p)
{
    return p->k <= MOST && p->cb == 1 && p->cc == 1 && !p->bias && !p->relu;
}

WIDE_TARGET void weft__wide_short(const weft__wide *p, int64_t i0, int64_t i1, int64_t j0,
                                  int64_t j1)
{
#define OF(steps) [steps] = strip_##steps,
    static void (*const multiply_by[])(const strip *) = {ALL(OF)};
    strip t; /* not all of it is set */
    t.p = p, t.j0 = j0, t.j1 = j1;
    for (t.i = i0; t.i < i1; t.i += ROWS) {
        t.rows = wide_least(ROWS, i1 - t.i);
        if (p->dt == WEFT_F32)
            gather(&t, WEFT_F32);
        else
            gather(&t, WEFT_BF16);
        (p->m <= FEW ? few : multiply_by[p->k])(&t);
    }
}
#endif
