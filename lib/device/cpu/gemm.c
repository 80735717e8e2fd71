/* C = alpha op(A) op(B) + beta C on BLIS, through its typed interface with our own thread count.
 *
 * The order of additions depends on the shape alone. BLIS splits the loops over m and n among
 * threads, never the one over k (its automatic factoring leaves pc = 1). Its kernels for small
 * matrices (l3_sup) do round differently with the number of threads, so they get only what is too
 * small for a second thread on any device. */
#include "device/cpu/cpu.h"

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
