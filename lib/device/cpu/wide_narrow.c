/* Few columns of products whose operands both lie along k, and more rows. B is packed so that a vector has eight numbers each
 * of two columns, and eight of A are read into both halves: no lane is idle, and little is left to add at the end. */
#include "device/cpu/sixteen.h"

#if CPU_HAS_WIDE

#define ROWS 4
#define PAIRS 6 /* of columns: 24 sums */
#define LEAST 8 /* rows for which packing pays, */
#define MORE 24 /* and where they are long */
#define SHORT 256
#define DEPTH 1024
#define ONCE 16 /* rows that are rounded together */

/* Rows of C, four or one, and columns. */
typedef struct panel {
    const weft__wide *p;
    const float *b;
    int64_t i, rows, n;
    float *to;
    int64_t step;
    float beta;
} panel;

/* The next 64 bytes of two columns, as f32 those of even and of odd places: the first halves side by side, and the second. */
WIDE_TARGET CPU_INLINE void pack_some(float *to, int64_t line, const char *x, const char *y,
                                      uint32_t in, const weft_dtype dt)
{
    const int parts = dt == WEFT_F32 ? 1 : 2;
    __m512 v[2], w[2];
    next(v, x, in, dt);
    next(w, y, in, dt);
    CPU_UNROLL(2)
    for (int h = 0; h < parts; h++) {
        _mm512_store_ps(to + h * line, _mm512_shuffle_f32x4(v[h], w[h], 0x44));
        _mm512_store_ps(to + (parts + h) * line, _mm512_shuffle_f32x4(v[h], w[h], 0xEE));
    }
}

WIDE_TARGET CPU_INLINE void pack(float *b, const weft__wide *p, int64_t j, int64_t n,
                                 const weft_dtype dt)
{
    const int64_t each = dt == WEFT_F32 ? 16 : 32, line = wide_ceiling(n, 2) * WIDE_LANES;
    for (int64_t c = 0; c < n; c += 2, b += WIDE_LANES) {
        const char *x = wide_at(p->b, dt, 0, 1, j + c, p->cb);
        const char *y = c + 1 < n ? wide_at(x, dt, 0, 0, 1, p->cb) : x;
        float *to = b;
        int64_t k = 0;
        for (; k + each <= p->k; k += each, x += 64, y += 64, to += each / 8 * line)
            pack_some(to, line, x, y, ~0u, dt);
        if (k < p->k)
            pack_some(to, line, x, y, (1u << (p->k - k)) - 1, dt);
    }
}

/* 32 bytes, or what is there of them, in both halves. */
WIDE_TARGET CPU_INLINE __m512 twice(const char *from, uint32_t in, const weft_dtype dt)
{
    if (dt == WEFT_F32 || in == ~0u)
        return _mm512_broadcast_f32x8(_mm256_maskz_loadu_ps((__mmask8)in, (const float *)from));
    return _mm512_castsi512_ps(
        _mm512_broadcast_i32x8(_mm256_maskz_loadu_epi16((__mmask16)in, from)));
}

/* So much of each row of A times the next lines of B. */
WIDE_TARGET CPU_INLINE void step_of(__m512 s[ROWS][PAIRS], const char *a, int64_t step, uint32_t in,
                                    const float *b, const int rows, const int pairs,
                                    const weft_dtype dt)
{
    const int parts = dt == WEFT_F32 ? 1 : 2;
    __m512 x[ROWS][2];
    CPU_UNROLL(4)
    for (int r = 0; r < rows; r++) {
        x[r][0] = twice(a + r * step, in, dt);
        if (dt != WEFT_F32) {
            const __m512i both = _mm512_castps_si512(x[r][0]);
            x[r][0] = even_of(both);
            x[r][1] = odd_of(both);
        }
    }
    CPU_UNROLL(2)
    for (int h = 0; h < parts; h++)
        CPU_UNROLL(6)
    for (int c = 0; c < pairs; c++) {
        const __m512 y = _mm512_load_ps(b + (h * pairs + c) * WIDE_LANES);
        CPU_UNROLL(4)
        for (int r = 0; r < rows; r++)
            s[r][c] = _mm512_fmadd_ps(x[r][h], y, s[r][c]);
    }
}

/* Of two pairs of columns the sums of all rows: a quarter of the result has those of a column. */
WIDE_TARGET CPU_INLINE __m512 sums_of(__m512 s[ROWS][PAIRS], const int c, const int d,
                                      const int rows)
{
#define PD(f, x, y) _mm512_castpd_ps(f(_mm512_castps_pd(x), _mm512_castps_pd(y)))
    __m512 v[ROWS];
    CPU_UNROLL(4)
    for (int r = 0; r < ROWS; r++)
        v[r] = r < rows ? _mm512_add_ps(_mm512_shuffle_f32x4(s[r][c], s[r][d], 0x88),
                                        _mm512_shuffle_f32x4(s[r][c], s[r][d], 0xDD))
                        : v[0];
    const __m512 x = _mm512_add_ps(_mm512_unpacklo_ps(v[0], v[1]), _mm512_unpackhi_ps(v[0], v[1]));
    const __m512 y = _mm512_add_ps(_mm512_unpacklo_ps(v[2], v[3]), _mm512_unpackhi_ps(v[2], v[3]));
    return _mm512_add_ps(PD(_mm512_unpacklo_pd, x, y), PD(_mm512_unpackhi_pd, x, y));
#undef PD
}

WIDE_TARGET CPU_INLINE void multiply(const panel *t, const int rows, const int pairs,
                                     const weft_dtype dt)
{
    const weft__wide *p = t->p;
    const int64_t once = dt == WEFT_F32 ? 8 : 16, line = pairs * WIDE_LANES * once / 8;
    const int64_t step = p->ra * (dt == WEFT_F32 ? 4 : 2);
    const int quads = (pairs + 1) / 2;
    const float *b = t->b;
    const char *a = wide_at(p->a, dt, t->i, p->ra, 0, 0);
    __m512 s[ROWS][PAIRS], q[PAIRS / 2];
    CPU_UNROLL(4)
    for (int r = 0; r < rows; r++)
        CPU_UNROLL(6)
    for (int c = 0; c < pairs; c++)
        s[r][c] = _mm512_setzero_ps();
    int64_t left = p->k;
    for (; left >= once; left -= once, a += 32, b += line)
        step_of(s, a, step, ~0u, b, rows, pairs, dt);
    if (left)
        step_of(s, a, step, (1u << left) - 1, b, rows, pairs, dt);
    CPU_UNROLL(3)
    for (int e = 0; e < quads; e++)
        q[e] = sums_of(s, 2 * e, 2 * e + 1 < pairs ? 2 * e + 1 : 2 * e, rows);
    const __mmask16 there = first_of(t->n);
    const __m512 alpha = _mm512_set1_ps(p->alpha), beta = _mm512_set1_ps(t->beta);
    __m512i of = _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 4, 8, 12, 0, 4, 8, 12);
    float *to = t->to;
    CPU_UNROLL(4)
    for (int r = 0; r < rows; r++, to += t->step) {
        __m512 v = _mm512_permutex2var_ps(q[0], of, q[quads > 1]);
        if (quads > 2)
            v = _mm512_mask_permutexvar_ps(v, 0xF00, of, q[2]);
        v = _mm512_mul_ps(alpha, v);
        if (t->beta != 0)
            v = _mm512_add_ps(v, _mm512_mul_ps(beta, _mm512_maskz_loadu_ps(there, to)));
        _mm512_mask_storeu_ps(to, there, v);
        of = _mm512_add_epi32(of, _mm512_set1_epi32(1));
    }
}

#define PANEL(pairs)                                                                               \
    WIDE_TARGET static void panel_##pairs(const panel *t)                                          \
    {                                                                                              \
        if (t->p->dt == WEFT_F32 && t->rows == ROWS)                                               \
            multiply(t, ROWS, pairs, WEFT_F32);                                                    \
        else if (t->p->dt == WEFT_F32)                                                             \
            multiply(t, 1, pairs, WEFT_F32);                                                       \
        else if (t->rows == ROWS)                                                                  \
            multiply(t, ROWS, pairs, WEFT_BF16);                                                   \
        else                                                                                       \
            multiply(t, 1, pairs, WEFT_BF16);                                                      \
    }
#define ALL(F) F(1) F(2) F(3) F(4) F(5) F(6)
ALL(PANEL)

bool weft__wide_is_narrow(const weft__wide *p)
{
    return p->n < WIDE_LANES && p->k <= DEPTH && p->m >= (p->k > SHORT ? MORE : LEAST);
}

/* Columns j..j+n-1. */
WIDE_TARGET static void columns(const weft__wide *p, int64_t i0, int64_t i1, int64_t j, int64_t n)
{
#define OF(pairs) [pairs] = panel_##pairs,
    static void (*const multiply_by[])(const panel *) = {ALL(OF)};
    _Alignas(64) float b[2 * PAIRS * DEPTH], sums[ONCE * WIDE_LANES];
    const bool low = p->ct != WEFT_F32;
    panel t = {.p = p, .b = b, .n = n, .beta = low ? 0 : p->beta};
    if (p->dt == WEFT_F32)
        pack(b, p, j, n, WEFT_F32);
    else
        pack(b, p, j, n, WEFT_BF16);
    for (int64_t i = i0; i < i1; i += ONCE) {
        const int64_t end = wide_least(i + ONCE, i1);
        t.to = low ? sums : (float *)p->c + i * p->rc + j;
        t.step = low ? WIDE_LANES : p->rc;
        for (t.i = i; t.i < end; t.i += t.rows, t.to += t.rows * t.step) {
            t.rows = end - t.i < ROWS ? 1 : ROWS;
            multiply_by[wide_ceiling(n, 2)](&t);
        }
        if (low)
            weft__wide_round(p, sums, WIDE_LANES, i, end, j, j + n);
        else
            weft__wide_end(p, i, end, j, j + n);
    }
}

void weft__wide_narrow(const weft__wide *p, int64_t i0, int64_t i1)
{
    const int64_t panels = wide_ceiling(p->n, 2 * PAIRS), each = 2 * wide_ceiling(p->n, 2 * panels);
    for (int64_t j = 0; j < p->n; j += each)
        columns(p, i0, i1, j, wide_least(each, p->n - j));
}
#endif
