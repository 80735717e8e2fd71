/* What the files that multiply matrices share: a product's plan, and its operands. */
#ifndef DEVICE_CUDA_GEMM_H
#define DEVICE_CUDA_GEMM_H
#include "device/cuda/cublaslt.h"
#include "device/cuda/plans.h"

typedef struct weft__gemm_plan {
    cublasLtMatmulDesc_t what;
    cublasLtMatrixLayout_t a, b, c; /* as cuBLASLt sees them: a is our B */
    cublasLtMatmulAlgo_t how;
    size_t workspace;
    bool none; /* cuBLASLt has no way to do this: known of products with an epilogue alone */
} weft__gemm_plan;

struct weft__cuda_gemm {
    weft__cublaslt lt;
    pthread_mutex_t lock; /* of all below */
    cublasLtHandle_t handle;
    weft__plans plans;
};

typedef struct weft__operands {
    weft_dev c, a, b;
    double alpha, beta;
    weft_dev bias;           /* of an epilogue: what is added, or where sums go */
    weft_dev aux;            /* where C goes as it is before the activation, or what that was */
    weft_dev ascale, bscale; /* f32, of codes of 8 bits */
} weft__operands;

/* C = alpha op(A) op(B) + beta C and q's epilogue, for q with all that its matrices are; the rest of q is
 * filled in. With `none` not NULL, that cuBLASLt has no such product is no failure: *none tells. */
weft_status weft__gemm_product(weft_stream *s, weft__product *q, const weft__operands *o,
                               bool *none);

/* gemm_plan.c, under the lock; *out has no `how` yet */
cublasStatus_t weft__gemm_describe(const weft__cublaslt *lt, weft__gemm_plan *p,
                                   const weft__product *q);
/* Tells the plan where its epilogue finds its vectors. */
cublasStatus_t weft__gemm_point(const weft__cublaslt *lt, const weft__gemm_plan *p,
                                const weft__product *q, const weft__operands *o);
cublasStatus_t weft__gemm_run(struct weft__cuda_gemm *g, const weft__gemm_plan *p,
                              const cublasLtMatmulAlgo_t *how, const weft__product *q,
                              const weft__operands *o, void *room, size_t bytes,
                              cudaStream_t stream);
void weft__gemm_forget(const weft__cublaslt *lt, weft__gemm_plan *p);

/* gemm_choose.c, under the lock: p->how and p->workspace. CUBLAS_STATUS_NOT_SUPPORTED in *code: there is no way. */
weft_status weft__gemm_choose(weft_stream *s, weft__gemm_plan *p, const weft__product *q,
                              const weft__operands *o, cublasStatus_t *code);
#endif
