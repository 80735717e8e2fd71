/* C = alpha op(A) op(B) + beta C. In f32 and bf16 by own kernels (wide.c, brain.c) where the processor has AVX-512, in
 * 16 bits else by oneDNN, where columns are few by tiles (small.c), the rest on BLIS, through its typed interface, one thread a
 * call: our team cuts C into slabs, so that BLIS opens no region of its own (its OpenMP build would open one, and allocate, even
 * for one thread).
 *
 * The order of additions depends on the shape alone: the loop over k is never cut. BLIS's kernels
 * for small matrices (l3_sup) are chosen by the shape of a call, so they get only what is too small
 * for a second thread on any device. */
#include "device/cpu/brain.h"
#include "device/cpu/cpu.h"
#include "device/cpu/onednn.h"
#include "device/cpu/walk.h"
#include "device/cpu/wide.h"

#include <blis.h>

#define MULTIPLY_ADDS 16.0 /* that count as one element operation */
/* Slabs are whole tiles of every kernel set for x86: MR x NR is 6 x 16, 6 x 8, 32 x 12 or 16 x 14,
 * and those of the last two run along a row of C. */
#define ROWS 84
#define COLUMNS 32

/* True for kernel sets without small-matrix kernels, which pad a vector to a whole tile. */
static bool slow_vectors(void)
{
    const arch_t set = bli_arch_query_id();
    return set == BLIS_ARCH_SKX || set == BLIS_ARCH_GENERIC;
}

/* One product; lengths in elements, strides of rows and columns. */
typedef struct product {
    int64_t m, n, k;
    const char *a, *b;
    char *c;
    inc_t ra, ca, rb, cb, rc;
    double alpha, beta;
    size_t size; /* of an element */
    bool small, by_rows;
} product;

static void multiply(const product *p, int64_t m, int64_t n, const char *a, const char *b, char *c)
{
    rntm_t rntm = BLIS_RNTM_INITIALIZER;
    double alpha = p->alpha, beta = p->beta;
    float alpha32 = (float)alpha, beta32 = (float)beta;
    bli_rntm_set_num_threads(1, &rntm);
    bli_rntm_set_l3_sup(p->small, &rntm);
    if (p->size == sizeof(float))
        bli_sgemm_ex(BLIS_NO_TRANSPOSE, BLIS_NO_TRANSPOSE, m, n, p->k, &alpha32, (float *)a, p->ra,
                     p->ca, (float *)b, p->rb, p->cb, &beta32, (float *)c, p->rc, 1, NULL, &rntm);
    else
        bli_dgemm_ex(BLIS_NO_TRANSPOSE, BLIS_NO_TRANSPOSE, m, n, p->k, &alpha, (double *)a, p->ra,
                     p->ca, (double *)b, p->rb, p->cb, &beta, (double *)c, p->rc, 1, NULL, &rntm);
}

/* Rows or columns lo..hi-1 of C. */
static void slab(const void *args, int64_t lo, int64_t hi)
{
    const product *p = args;
    const int64_t size = (int64_t)p->size;
    if (p->by_rows)
        multiply(p, hi - lo, p->n, p->a + lo * p->ra * size, p->b, p->c + lo * p->rc * size);
    else
        multiply(p, p->m, hi - lo, p->a, p->b + lo * p->cb * size, p->c + lo * size);
}

weft_status weft__cpu_gemm(weft_stream *s, weft_dev c, weft_dtype ct, int64_t ldc, double alpha,
                           weft_dev a, int64_t lda, int ta, weft_dev b, int64_t ldb, int tb,
                           double beta, int64_t m, int64_t n, int64_t k, weft_dtype dt)
{
    if (!cpu_gives(ct, dt))
        return weft__no_kernel(s->device, "gemm", dt);
    if (m == 0 || n == 0)
        return WEFT_OK;
    if (dt == WEFT_BF16 && weft__cpu_brain(s, weft__brain_best(), c, ct, ldc, alpha, a, lda, ta, b,
                                           ldb, tb, beta, m, n, k))
        return WEFT_OK;
    if (dt == WEFT_F32 &&
        weft__cpu_wide(s, c, ct, ldc, alpha, a, lda, ta, b, ldb, tb, beta, m, n, k, dt))
        return WEFT_OK;
    if (cpu_is_low(dt) &&
        weft__onednn_gemm(s, c, ct, ldc, alpha, a, lda, ta, b, ldb, tb, beta, m, n, k, dt))
        return WEFT_OK;
    if (cpu_is_low(dt))
        return weft__cpu_gemm_low(s, c, ct, ldc, alpha, a, lda, ta, b, ldb, tb, beta, m, n, k, dt);
    const double work = (double)m * (double)n * (double)k / MULTIPLY_ADDS;
    const bool by_rows = m > n;
    /* row-major: row stride ld, column stride 1 */
    const product p = {.m = m,
                       .n = n,
                       .k = k,
                       .a = cpu_ptr(a),
                       .b = cpu_ptr(b),
                       .c = cpu_ptr(c),
                       .ra = ta ? 1 : lda,
                       .ca = ta ? lda : 1,
                       .rb = tb ? 1 : ldb,
                       .cb = tb ? ldb : 1,
                       .rc = ldc,
                       .alpha = alpha,
                       .beta = beta,
                       .size = weft_dtype_size(dt),
                       .small = work < CPU_SERIAL,
                       .by_rows = by_rows};
    if (slow_vectors() &&
        ((m == 1 && weft__cpu_vector(s, c, 1, alpha, a, p.ca, b, p.cb, p.rb, beta, n, k, dt)) ||
         (n == 1 && weft__cpu_vector(s, c, ldc, alpha, b, p.rb, a, p.ra, p.ca, beta, m, k, dt))))
        return WEFT_OK;
    if (weft__cpu_small(s, c, ldc, alpha, a, lda, ta, b, ldb, tb, beta, m, n, k, dt))
        return WEFT_OK;
    weft__cpu_pieces(slab, &p, by_rows ? m : n, by_rows ? ROWS : COLUMNS,
                     weft__cpu_team(s->device, work));
    return WEFT_OK;
}

struct batch {
    weft_stream *stream;
    weft_dev c, a, b;
    weft__walk walk; /* the matrices of A and of B */
    int64_t m, n, k;
    int ta, tb;
    weft_dtype ct, dt;
};

static void multiply_some(const void *args, int64_t lo, int64_t hi)
{
    const struct batch *o = args;
    const int64_t size = (int64_t)weft_dtype_size(o->dt), csize = (int64_t)weft_dtype_size(o->ct);
    weft__place p = weft__walk_seek(&o->walk, lo);
    for (int64_t i = lo; i < hi; i++, weft__walk_step(&o->walk, &p, 1))
        weft__cpu_gemm(o->stream, weft__at(o->c, i * o->m * o->n * csize), o->ct, o->n, 1.0,
                       weft__at(o->a, p.at[0] * size), o->ta ? o->m : o->k, o->ta,
                       weft__at(o->b, p.at[1] * size), o->tb ? o->k : o->n, o->tb, 0.0, o->m, o->n,
                       o->k, o->dt);
}

/* Matrices too small for a team go to threads whole, others one after the other to all. */
weft_status weft__cpu_gemm_batch(weft_stream *s, weft_dev c, weft_dtype ct, weft_dev a,
                                 const int64_t *astride, int ta, weft_dev b, const int64_t *bstride,
                                 int tb, int rank, const int64_t *shape, int64_t m, int64_t n,
                                 int64_t k, weft_dtype dt)
{
    const double work = (double)m * (double)n * (double)k / MULTIPLY_ADDS;
    const int64_t *const stride[] = {astride, bstride};
    struct batch o = {.stream = s,
                      .c = c,
                      .a = a,
                      .b = b,
                      .m = m,
                      .n = n,
                      .k = k,
                      .ta = ta,
                      .tb = tb,
                      .ct = ct,
                      .dt = dt};
    if (!cpu_gives(ct, dt))
        return weft__no_kernel(s->device, "gemm_batch", dt);
    weft__walk_of(&o.walk, 2, rank, shape, stride);
    if (work < CPU_SERIAL)
        weft__cpu_rows(s->device, multiply_some, &o, o.walk.numel, (int64_t)work + 1);
    else
        multiply_some(&o, 0, o.walk.numel);
    return WEFT_OK;
}
