/* Few rows, or few columns, of products whose operands both lie along k: dot products, sixteen at a time,
 * with nothing packed. */
#include "device/cpu/sixteen.h"
#include "device/cpu/turn.h"

#if CPU_HAS_WIDE

#define MOST 24 /* sums */

/* A step along k of rows x columns sums. */
WIDE_TARGET CPU_INLINE void step_of(__m512 s[MOST], const char *const a[4], const char *const b[10],
                                    int64_t at, uint32_t in, const int rows, const int columns,
                                    const weft_dtype dt)
{
    const int parts = dt == WEFT_F32 ? 1 : 2;
    __m512 x[4][2], y[2];
    CPU_UNROLL(4)
    for (int r = 0; r < rows; r++)
        next(x[r], a[r] + at, in, dt);
    CPU_UNROLL(10)
    for (int c = 0; c < columns; c++) {
        next(y, b[c] + at, in, dt);
        CPU_UNROLL(4)
        for (int r = 0; r < rows; r++)
            CPU_UNROLL(2)
        for (int h = 0; h < parts; h++)
            s[r * columns + c] = _mm512_fmadd_ps(x[r][h], y[h], s[r * columns + c]);
    }
}

/* Rows i.. and columns j.. of C, which go to `to`; what would be beyond m or n repeats the last one and is not stored. */
WIDE_TARGET CPU_INLINE void some(const weft__wide *p, int64_t i, int64_t m, int64_t j, int64_t n,
                                 float *to, int64_t step, float beta, const int rows,
                                 const int columns, const weft_dtype dt)
{
    const int each = rows * columns > 16 ? rows / 2 : rows; /* whose sums make a vector */
    const int64_t once = dt == WEFT_F32 ? 16 : 32;
    const char *a[4], *b[10];
    __m512 s[MOST], sum[2];
    CPU_UNROLL(4)
    for (int r = 0; r < rows; r++)
        a[r] = wide_at(p->a, dt, i + (r < m ? r : m - 1), p->ra, 0, 0);
    CPU_UNROLL(10)
    for (int c = 0; c < columns; c++)
        b[c] = wide_at(p->b, dt, 0, 0, j + (c < n ? c : n - 1), p->cb);
    CPU_UNROLL(24)
    for (int e = 0; e < MOST; e++)
        s[e] = _mm512_setzero_ps();
    int64_t at = 0, left = p->k; /* bytes and numbers */
    for (; left >= once; left -= once, at += 64)
        step_of(s, a, b, at, ~0u, rows, columns, dt);
    if (left)
        step_of(s, a, b, at, (1u << left) - 1, rows, columns, dt);
    CPU_UNROLL(2)
    for (int r = 0; r < rows; r += each)
        sum[r / each] =
            _mm512_mul_ps(_mm512_set1_ps(p->alpha), cpu_sums(s + r * columns, each * columns));
    const __mmask16 there = first_of(n < columns ? n : columns);
    CPU_UNROLL(4)
    for (int r = 0; r < rows; r++, to += step) {
        if (r == m)
            break;
        const __m512 v =
            _mm512_maskz_compress_ps((__mmask16)(there << r % each * columns), sum[r / each]);
        const __m512 was = beta == 0 ? v : _mm512_maskz_loadu_ps(there, to);
        _mm512_mask_storeu_ps(
            to, there, beta == 0 ? v : _mm512_add_ps(v, _mm512_mul_ps(_mm512_set1_ps(beta), was)));
    }
}

WIDE_TARGET CPU_INLINE void dots(const weft__wide *p, int64_t i0, int64_t i1, int64_t j0,
                                 int64_t j1, float *to, int64_t step, float beta,
                                 const weft_dtype dt)
{
    const int64_t rows = i1 - i0;
    if (rows > 4 && rows < j1 - j0) {               /* of B there is more, which is read once */
        const int columns = dt == WEFT_F32 ? 6 : 4; /* those of bf16 take twice the registers */
        for (int64_t j = j0; j < j1; j += columns)
            for (int64_t i = 0; i < rows; i += 4)
                some(p, i0 + i, rows - i, j, j1 - j, to + i * step + j - j0, step, beta, 4, columns,
                     dt);
        return;
    }
    for (int64_t i = i0; i < i1; i += 4, to += 4 * step) {
        const int64_t m = i1 - i;
        if (m > 2)
            for (int64_t j = j0; j < j1; j += 4)
                some(p, i, m, j, j1 - j, to + j - j0, step, beta, 4, 4, dt);
        else if (m == 1 && j1 - j0 <= 10)
            some(p, i, m, j0, j1 - j0, to, step, beta, 1, 10, dt);
        else if (m == 2)
            for (int64_t j = j0; j < j1; j += 8)
                some(p, i, m, j, j1 - j, to + j - j0, step, beta, 2, 8, dt);
        else
            for (int64_t j = j0; j < j1; j += 8)
                some(p, i, m, j, j1 - j, to + j - j0, step, beta, 1, 8, dt);
    }
}

WIDE_TARGET void weft__wide_dots(const weft__wide *p, int64_t i0, int64_t i1, int64_t j0,
                                 int64_t j1, float *to, int64_t step, float beta)
{
    if (p->dt == WEFT_F32)
        dots(p, i0, i1, j0, j1, to, step, beta, WEFT_F32);
    else
        dots(p, i0, i1, j0, j1, to, step, beta, WEFT_BF16);
}
#endif
