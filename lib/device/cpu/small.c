/* Products of few columns, for which a call of a library takes longer than the work: B is packed in whole lines, and rows of A
 * pass by. Each number of C is one sum along k. */
#ifdef T
#ifndef LOW

/* Rows k0.. of B, so many of them, in lines of `w` numbers; what is over is 0. */
static void N(pack)(T *to, const struct small *p, int64_t w, int64_t k0, int64_t depth)
{
    for (int64_t x = 0; x < depth; x++, to += w) {
        const T *b = (const T *)p->b + (k0 + x) * p->rb;
        for (int64_t j = 0; j < p->n; j++)
            to[j] = b[j * p->cb];
        for (int64_t j = p->n; j < w; j++)
            to[j] = 0;
    }
}

/* Rows lo..hi-1 of C. */
static void N(multiply)(const void *args, int64_t lo, int64_t hi)
{
    const struct small *p = args;
    const int64_t line = 64 / (int64_t)sizeof(T), w = (p->n + line - 1) / line * line;
    const T alpha = (T)p->alpha, beta = (T)p->beta;
    _Alignas(64) T b[DEPTH * COLUMNS], sum[ROWS * COLUMNS];
    for (int64_t i = lo, rows; i < hi; i += rows) {
        rows = hi - i < ROWS ? hi - i : ROWS;
        for (int64_t k = 0, depth; k < p->k; k += depth) {
            depth = p->k - k < DEPTH ? p->k - k : DEPTH;
            if (i == lo || p->k > DEPTH)
                CPU_CALL(pack, b, p, w, k, depth);
            p->set->OF(product)(sum, w, (const T *)p->a + i * p->ra + k * p->ca, p->ra, p->ca, b, w,
                                rows, w, depth, k > 0);
        }
        for (int64_t r = 0; r < rows; r++) {
            T *c = (T *)p->c + (i + r) * p->rc;
            const T *s = sum + r * w;
#pragma omp simd
            for (int64_t j = 0; j < p->n; j++)
                c[j] = beta == 0 ? alpha * s[j] : alpha * s[j] + beta * c[j];
        }
    }
}
#endif
#else
#include "device/cpu/cpu.h"
#include "device/cpu/tile.h"

#define COLUMNS 64      /* of C, at most, */
#define FEW 32          /* of which so many go with any k, */
#define DEPTH 64        /* the others with so short a k, which is packed at once, */
#define LITTLE 330000.0 /* or with so many multiply-adds */
#define ROWS 48         /* of sums together */

struct small {
    const weft__tile_set *set;
    const void *a, *b;
    void *c;
    int64_t ra, ca, rb, cb, rc, n, k;
    double alpha, beta;
};

#define CPU_FAMILY "device/cpu/small.c"
#include "device/cpu/typed.h"

bool weft__cpu_small(weft_stream *s, weft_dev c, int64_t ldc, double alpha, weft_dev a, int64_t lda,
                     int ta, weft_dev b, int64_t ldb, int tb, double beta, int64_t m, int64_t n,
                     int64_t k, weft_dtype dt)
{
    const struct small p = {.set = weft__tile_best(),
                            .a = cpu_ptr(a),
                            .b = cpu_ptr(b),
                            .c = cpu_ptr(c),
                            .ra = ta ? 1 : lda,
                            .ca = ta ? lda : 1,
                            .rb = tb ? 1 : ldb,
                            .cb = tb ? ldb : 1,
                            .rc = ldc,
                            .n = n,
                            .k = k,
                            .alpha = alpha,
                            .beta = beta};
    const bool pays = n <= FEW || k <= DEPTH || (double)m * (double)n * (double)k <= LITTLE;
    if (n > COLUMNS || k == 0 || !pays)
        return false;
    return !weft__cpu_each_row(s, CPU_PAIR(multiply), dt, &p, m, n * k / 16 + 1);
}
#endif
