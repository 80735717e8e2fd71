/* C = alpha op(A) op(B) + beta C with A and B in 16 bits, where no library multiplies them as they are:
 * blocks are cast to f32 and multiplied so. A tile of C is summed up in f32, block after block, and
 * rounded once. Tiles go to threads whole, so that the sums do not depend on them. */
#include "device/cpu/cpu.h"
#include "device/cpu/half.h"

#define SIDE 128  /* rows and columns of a tile */
#define DEPTH 160 /* of a block: all of them are 220 KiB of stack */
#define MULTIPLY_ADDS 16.0

typedef struct product {
    weft_stream *stream;
    int64_t m, n, k;
    const uint16_t *a, *b;
    char *c;
    int64_t lda, ldb, ldc;
    int ta, tb;
    double alpha, beta;
    weft_dtype dt, ct;
    int64_t columns; /* of tiles */
} product;

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void widen(float *y, const uint16_t *x, int64_t rows, int64_t c, int64_t ld, weft_dtype t)
{
    const weft__half_set *set = weft__half_best();
    for (int64_t r = 0; r < rows; r++)
        (t == WEFT_BF16 ? set->wide_bf16 : set->wide_f16)(y + r * c, x + r * ld, c);
}

/* One row of C from a row of sums; beta C is read in C's own type. */
static void finish(const product *p, char *c, const float *sum, int64_t n)
{
    const weft__half_set *set = weft__half_best();
    const float alpha = (float)p->alpha, beta = (float)p->beta;
    float row[SIDE], old[SIDE];
    const bool brain = p->ct == WEFT_BF16, low = p->ct != WEFT_F32;
    if (beta != 0 && low)
        (brain ? set->wide_bf16 : set->wide_f16)(old, (uint16_t *)c, n);
    const float *before = low ? old : (float *)c;
    float *to = low ? row : (float *)c;
    for (int64_t j = 0; j < n; j++)
        to[j] = beta != 0 ? alpha * sum[j] + beta * before[j] : alpha * sum[j];
    if (low)
        (brain ? set->low_bf16 : set->low_f16)((uint16_t *)c, row, n);
}

static void tile(const product *p, int64_t i, int64_t j)
{
    float a[SIDE * DEPTH], b[DEPTH * SIDE], sum[SIDE * SIDE];
    const int64_t m = least(SIDE, p->m - i), n = least(SIDE, p->n - j);
    const int64_t size = (int64_t)weft_dtype_size(p->ct);
    for (int64_t at = 0, k; at < p->k; at += k) {
        k = least(DEPTH, p->k - at);
        if (p->ta)
            widen(a, p->a + at * p->lda + i, k, m, p->lda, p->dt);
        else
            widen(a, p->a + i * p->lda + at, m, k, p->lda, p->dt);
        if (p->tb)
            widen(b, p->b + j * p->ldb + at, n, k, p->ldb, p->dt);
        else
            widen(b, p->b + at * p->ldb + j, k, n, p->ldb, p->dt);
        weft__cpu_gemm(p->stream, (weft_dev){(uintptr_t)sum}, WEFT_F32, n, 1.0,
                       (weft_dev){(uintptr_t)a}, p->ta ? m : k, p->ta, (weft_dev){(uintptr_t)b},
                       p->tb ? k : n, p->tb, at ? 1.0 : 0.0, m, n, k, WEFT_F32);
    }
    for (int64_t r = 0; r < m; r++) {
        for (int64_t e = 0; e < n && !p->k; e++)
            sum[r * n + e] = 0;
        finish(p, p->c + ((i + r) * p->ldc + j) * size, sum + r * n, n);
    }
}

static void tiles(const void *args, int64_t lo, int64_t hi)
{
    const product *p = args;
    for (int64_t t = lo; t < hi; t++)
        tile(p, t / p->columns * SIDE, t % p->columns * SIDE);
}

weft_status weft__cpu_gemm_low(weft_stream *s, weft_dev c, weft_dtype ct, int64_t ldc, double alpha,
                               weft_dev a, int64_t lda, int ta, weft_dev b, int64_t ldb, int tb,
                               double beta, int64_t m, int64_t n, int64_t k, weft_dtype dt)
{
    const product p = {.stream = s,
                       .m = m,
                       .n = n,
                       .k = k,
                       .a = cpu_ptr(a),
                       .b = cpu_ptr(b),
                       .c = cpu_ptr(c),
                       .lda = lda,
                       .ldb = ldb,
                       .ldc = ldc,
                       .ta = ta,
                       .tb = tb,
                       .alpha = alpha,
                       .beta = beta,
                       .dt = dt,
                       .ct = ct,
                       .columns = (n + SIDE - 1) / SIDE};
    const int64_t all = (m + SIDE - 1) / SIDE * p.columns;
    const double work = (double)m * (double)n * (double)k / MULTIPLY_ADDS;
    /* A single tile may still be shared out by the product in it. */
    weft__cpu_pieces(tiles, &p, all, 1, all > 1 ? weft__cpu_team(s->device, work) : 1);
    return WEFT_OK;
}
