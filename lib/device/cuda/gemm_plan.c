/* A product in cuBLASLt's words. It stores by columns, where our rows are its columns: it computes
 * C^T = op(B)^T op(A)^T, so B comes first and nothing is transposed in memory. Its rows of C are our
 * columns: the bias of a linear layer is added along them, and sums over the rows of our A are those
 * of its B. */
#include "device/cuda/gemm.h"

#include "core/alloc.h"

static cudaDataType_t type_of(int32_t t)
{
    return t == WEFT_F64          ? CUDA_R_64F
           : t == WEFT_BF16       ? CUDA_R_16BF
           : t == WEFT_F16        ? CUDA_R_16F
           : t == WEFT__PLAN_E4M3 ? CUDA_R_8F_E4M3
           : t == WEFT__PLAN_E5M2 ? CUDA_R_8F_E5M2
                                  : CUDA_R_32F;
}

/* rows and columns are cuBLASLt's, ld our row length. */
static cublasStatus_t layout(const weft__cublaslt *lt, cublasLtMatrixLayout_t *out, int32_t t,
                             int64_t rows, int64_t columns, int64_t ld, int64_t count,
                             int64_t stride)
{
    const int32_t n = (int32_t)count;
    cublasStatus_t s =
        lt->cublasLtMatrixLayoutCreate(out, type_of(t), (uint64_t)rows, (uint64_t)columns, ld);
    if (s || count == 1)
        return s;
    s = lt->cublasLtMatrixLayoutSetAttribute(*out, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &n,
                                             sizeof n);
    return s ? s
             : lt->cublasLtMatrixLayoutSetAttribute(
                   *out, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof stride);
}

static cublasStatus_t layouts(const weft__cublaslt *lt, weft__gemm_plan *p, const weft__product *q)
{
    cublasStatus_t s = layout(lt, &p->a, q->bt ? q->bt : q->dt, q->tb ? q->k : q->n,
                              q->tb ? q->n : q->k, q->ldb, q->count, q->bstride);
    if (!s)
        s = layout(lt, &p->b, q->dt, q->ta ? q->m : q->k, q->ta ? q->k : q->m, q->lda, q->count,
                   q->astride);
    return s ? s : layout(lt, &p->c, q->ct, q->n, q->m, q->ldc, q->count, q->cstride);
}

static cublasStatus_t set(const weft__cublaslt *lt, const weft__gemm_plan *p,
                          cublasLtMatmulDescAttributes_t which, const void *value, size_t bytes)
{
    return lt->cublasLtMatmulDescSetAttribute(p->what, which, value, bytes);
}

cublasStatus_t weft__gemm_describe(const weft__cublaslt *lt, weft__gemm_plan *p,
                                   const weft__product *q)
{
    const bool wide = q->dt == WEFT_F64;
    const cublasOperation_t first = q->tb ? CUBLAS_OP_T : CUBLAS_OP_N,
                            second = q->ta ? CUBLAS_OP_T : CUBLAS_OP_N;
    const uint32_t epilogue = (uint32_t)q->epilogue;
    cublasStatus_t s = lt->cublasLtMatmulDescCreate(&p->what,
                                                    wide      ? CUBLAS_COMPUTE_64F
                                                    : q->fast ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                              : CUBLAS_COMPUTE_32F,
                                                    wide ? CUDA_R_64F : CUDA_R_32F);
    if (!s)
        s = set(lt, p, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first);
    if (!s)
        s = set(lt, p, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second);
    if (!s && epilogue)
        s = set(lt, p, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
    return s ? s : layouts(lt, p, q);
}

cublasStatus_t weft__gemm_point(const weft__cublaslt *lt, const weft__gemm_plan *p,
                                const weft__product *q, const weft__operands *o)
{
    const void *bias = cuda_ptr(o->bias), *aux = cuda_ptr(o->aux), *first = cuda_ptr(o->bscale),
               *second = cuda_ptr(o->ascale);
    cublasStatus_t s = CUBLAS_STATUS_SUCCESS;
    if (bias)
        s = set(lt, p, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias);
    if (!s && aux)
        s = set(lt, p, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, &aux, sizeof aux);
    if (!s && aux)
        s = set(lt, p, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, &q->ldc, sizeof q->ldc);
    if (!s && first)
        s = set(lt, p, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, &first, sizeof first);
    if (!s && second)
        s = set(lt, p, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, &second, sizeof second);
    return s;
}

cublasStatus_t weft__gemm_run(struct weft__cuda_gemm *g, const weft__gemm_plan *p,
                              const cublasLtMatmulAlgo_t *how, const weft__product *q,
                              const weft__operands *o, void *room, size_t bytes,
                              cudaStream_t stream)
{
    const float alpha32 = (float)o->alpha, beta32 = (float)o->beta;
    const bool wide = q->dt == WEFT_F64;
    return g->lt.cublasLtMatmul(g->handle, p->what, wide ? (const void *)&o->alpha : &alpha32,
                                cuda_ptr(o->b), p->a, cuda_ptr(o->a), p->b,
                                wide ? (const void *)&o->beta : &beta32, cuda_ptr(o->c), p->c,
                                cuda_ptr(o->c), p->c, how, room, bytes, stream);
}

void weft__gemm_forget(const weft__cublaslt *lt, weft__gemm_plan *p)
{
    if (!p)
        return;
    if (p->what)
        lt->cublasLtMatmulDescDestroy(p->what);
    if (p->a)
        lt->cublasLtMatrixLayoutDestroy(p->a);
    if (p->b)
        lt->cublasLtMatrixLayoutDestroy(p->b);
    if (p->c)
        lt->cublasLtMatrixLayoutDestroy(p->c);
    weft__free(p);
}
