/* C = alpha op(A) op(B) + beta C on BLIS, through its typed interface with our own thread count.
 *
 * The order of additions depends on the shape alone. BLIS splits the loops over m and n among
 * threads, never the one over k (its automatic factoring leaves pc = 1). Its kernels for small
 * matrices (l3_sup) do round differently with the number of threads, so they get only what is too
 * small for a second thread on any device. */
#include "device/cpu/cpu.h"
#include "device/cpu/walk.h"

#include <blis.h>

#define MULTIPLY_ADDS 16.0 /* that count as one element operation */

/* True for kernel sets without small-matrix kernels, which pad a vector to a whole tile. */
static bool slow_vectors(void)
{
    const arch_t set = bli_arch_query_id();
    return set == BLIS_ARCH_SKX || set == BLIS_ARCH_GENERIC;
}

weft_status weft__cpu_gemm(weft_stream *s, weft_dev c, int64_t ldc, double alpha, weft_dev a,
                           int64_t lda, int ta, weft_dev b, int64_t ldb, int tb, double beta,
                           int64_t m, int64_t n, int64_t k, weft_dtype dt)
{
    const double work = (double)m * (double)n * (double)k / MULTIPLY_ADDS;
    const int team = weft__cpu_team(s->device, work);
    /* row-major: row stride ld, column stride 1 */
    const inc_t ra = ta ? 1 : lda, ca = ta ? lda : 1, rb = tb ? 1 : ldb, cb = tb ? ldb : 1;
    rntm_t rntm = BLIS_RNTM_INITIALIZER;
    float alpha32 = (float)alpha, beta32 = (float)beta;
    bli_rntm_set_num_threads(team, &rntm);
    bli_rntm_set_l3_sup(work < CPU_SERIAL, &rntm);
    if (m == 0 || n == 0)
        return WEFT_OK;
    if (slow_vectors() &&
        ((m == 1 && weft__cpu_vector(s, c, 1, alpha, a, ca, b, cb, rb, beta, n, k, dt)) ||
         (n == 1 && weft__cpu_vector(s, c, ldc, alpha, b, rb, a, ra, ca, beta, m, k, dt))))
        return WEFT_OK;
    if (dt == WEFT_F32)
        bli_sgemm_ex(BLIS_NO_TRANSPOSE, BLIS_NO_TRANSPOSE, m, n, k, &alpha32, cpu_ptr(a), ra, ca,
                     cpu_ptr(b), rb, cb, &beta32, cpu_ptr(c), ldc, 1, NULL, &rntm);
    else if (dt == WEFT_F64)
        bli_dgemm_ex(BLIS_NO_TRANSPOSE, BLIS_NO_TRANSPOSE, m, n, k, &alpha, cpu_ptr(a), ra, ca,
                     cpu_ptr(b), rb, cb, &beta, cpu_ptr(c), ldc, 1, NULL, &rntm);
    else
        return weft__no_kernel(s->device, "gemm", dt);
    return WEFT_OK;
}

struct batch {
    weft_stream *stream;
    weft_dev c, a, b;
    weft__walk walk; /* the matrices of A and of B */
    int64_t m, n, k;
    int ta, tb;
    weft_dtype dt;
};

static void multiply(const void *args, int64_t lo, int64_t hi)
{
    const struct batch *o = args;
    const int64_t size = (int64_t)weft_dtype_size(o->dt);
    weft__place p = weft__walk_seek(&o->walk, lo);
    for (int64_t i = lo; i < hi; i++, weft__walk_step(&o->walk, &p, 1))
        weft__cpu_gemm(o->stream, weft__at(o->c, i * o->m * o->n * size), o->n, 1.0,
                       weft__at(o->a, p.at[0] * size), o->ta ? o->m : o->k, o->ta,
                       weft__at(o->b, p.at[1] * size), o->tb ? o->k : o->n, o->tb, 0.0, o->m, o->n,
                       o->k, o->dt);
}

/* Matrices too small for a team go to threads whole, others one after the other to all. */
weft_status weft__cpu_gemm_batch(weft_stream *s, weft_dev c, weft_dev a, const int64_t *astride,
                                 int ta, weft_dev b, const int64_t *bstride, int tb, int rank,
                                 const int64_t *shape, int64_t m, int64_t n, int64_t k,
                                 weft_dtype dt)
{
    const double work = (double)m * (double)n * (double)k / MULTIPLY_ADDS;
    const int64_t *const stride[] = {astride, bstride};
    struct batch o = {
        .stream = s, .c = c, .a = a, .b = b, .m = m, .n = n, .k = k, .ta = ta, .tb = tb, .dt = dt};
    if (dt != WEFT_F32 && dt != WEFT_F64)
        return weft__no_kernel(s->device, "gemm_batch", dt);
    weft__walk_of(&o.walk, 2, rank, shape, stride);
    if (work < CPU_SERIAL)
        weft__cpu_rows(s->device, multiply, &o, o.walk.numel, (int64_t)work + 1);
    else
        multiply(&o, 0, o.walk.numel);
    return WEFT_OK;
}
