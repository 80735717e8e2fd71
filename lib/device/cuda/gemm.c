/* Matrix products by cuBLASLt, C = alpha op(A) op(B) + beta C. It stores by columns, where our rows are
 * its columns: it computes C^T = op(B)^T op(A)^T, so B comes first and nothing is transposed in memory.
 *
 * A product has a plan, what cuBLASLt's heuristics think best for its shape and the alignment of its
 * addresses, which is kept: the same shape is computed in the same way, with the same bits. bf16
 * and f16 are summed in f32. f32 is computed in f32, in TF32 only where WEFT_TF32 is yes. */
#include "core/alloc.h"
#include "core/env.h"
#include "core/error.h"
#include "device/cuda/cublaslt.h"
#include "device/cuda/plans.h"

#include <pthread.h>
#include <stdio.h>

#define WORKSPACE ((size_t)32 << 20) /* at most; what Hopper's kernels like to have */
#define MOST_AT_ONCE 65535           /* matrices of one call */

typedef struct plan {
    cublasLtMatmulDesc_t what;
    cublasLtMatrixLayout_t a, b, c; /* as cuBLASLt sees them: a is our B */
    cublasLtMatmulAlgo_t how;
    size_t workspace;
} plan;

struct weft__cuda_gemm {
    weft__cublaslt lt;
    pthread_mutex_t lock; /* of all below */
    cublasLtHandle_t handle;
    bool fast;
    weft__plans plans;
};

static weft_status failed(const weft_device *d, const char *call, cublasStatus_t code)
{
    const weft__cuda *c = cuda_of(d);
    return code == CUBLAS_STATUS_SUCCESS
               ? WEFT_OK
               : weft__fail(code == CUBLAS_STATUS_ALLOC_FAILED ? WEFT_ENOMEM : WEFT_EDEVICE,
                            "device cuda %d (%s): %s: %s", c->index, c->name, call,
                            c->gemm->lt.cublasLtGetStatusName(code));
}

weft_status weft__cuda_gemm_open(weft_device *d)
{
    weft__cuda *c = cuda_of(d);
    const char *text = weft__env_text("WEFT_TF32");
    struct weft__cuda_gemm *g = c->gemm = weft__new(1, sizeof *g);
    if (!g)
        return WEFT_ENOMEM;
    pthread_mutex_init(&g->lock, NULL);
    if (text)
        WEFT_TRY(weft__parse_bool("WEFT_TF32", text, &g->fast));
    weft__cublaslt_load(&g->lt);
    snprintf(c->kernel_set, sizeof c->kernel_set, "%.60s%s", g->lt.text, g->fast ? ", TF32" : "");
    return g->lt.there ? failed(d, "cublasLtCreate", g->lt.cublasLtCreate(&g->handle)) : WEFT_OK;
}

static void free_plan(const weft__cublaslt *lt, plan *p)
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

void weft__cuda_gemm_close(weft_device *d)
{
    struct weft__cuda_gemm *g = cuda_of(d)->gemm;
    if (!g)
        return;
    for (int i = 0; i < WEFT__PLAN_SETS; i++)
        for (int w = 0; w < WEFT__PLAN_WAYS; w++)
            free_plan(&g->lt, g->plans.place[i][w].plan);
    if (g->handle)
        g->lt.cublasLtDestroy(g->handle);
    pthread_mutex_destroy(&g->lock);
    weft__free(g);
    cuda_of(d)->gemm = NULL;
}

static cudaDataType_t type_of(weft_dtype t)
{
    return t == WEFT_F64    ? CUDA_R_64F
           : t == WEFT_BF16 ? CUDA_R_16BF
           : t == WEFT_F16  ? CUDA_R_16F
                            : CUDA_R_32F;
}

/* rows and columns are cuBLASLt's, ld our row length. */
static cublasStatus_t layout(const weft__cublaslt *lt, cublasLtMatrixLayout_t *out, weft_dtype t,
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

static cublasStatus_t layouts(const weft__cublaslt *lt, plan *p, const weft__product *q)
{
    const weft_dtype dt = (weft_dtype)q->dt;
    cublasStatus_t s = layout(lt, &p->a, dt, q->tb ? q->k : q->n, q->tb ? q->n : q->k, q->ldb,
                              q->count, q->bstride);
    if (!s)
        s = layout(lt, &p->b, dt, q->ta ? q->m : q->k, q->ta ? q->k : q->m, q->lda, q->count,
                   q->astride);
    return s ? s : layout(lt, &p->c, (weft_dtype)q->ct, q->n, q->m, q->ldc, q->count, q->cstride);
}

static cublasStatus_t describe(const weft__cublaslt *lt, plan *p, const weft__product *q)
{
    const bool wide = q->dt == WEFT_F64;
    const cublasOperation_t first = q->tb ? CUBLAS_OP_T : CUBLAS_OP_N,
                            second = q->ta ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasStatus_t s = lt->cublasLtMatmulDescCreate(&p->what,
                                                    wide      ? CUBLAS_COMPUTE_64F
                                                    : q->fast ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                              : CUBLAS_COMPUTE_32F,
                                                    wide ? CUDA_R_64F : CUDA_R_32F);
    if (!s)
        s = lt->cublasLtMatmulDescSetAttribute(p->what, CUBLASLT_MATMUL_DESC_TRANSA, &first,
                                               sizeof first);
    if (!s)
        s = lt->cublasLtMatmulDescSetAttribute(p->what, CUBLASLT_MATMUL_DESC_TRANSB, &second,
                                               sizeof second);
    return s ? s : layouts(lt, p, q);
}

/* What the search for an algorithm keeps to. Parts of a long sum over k are added up in the type that
 * it is computed in. */
static cublasStatus_t prefer(const weft__cublaslt *lt, cublasLtMatmulPreference_t want,
                             const weft__product *q)
{
    const size_t most = WORKSPACE;
    const uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    const struct {
        cublasLtMatmulPreferenceAttributes_t which;
        uint32_t bytes;
    } align[] = {{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, (uint32_t)q->balign},
                 {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, (uint32_t)q->aalign},
                 {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, (uint32_t)q->calign},
                 {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, (uint32_t)q->calign}};
    cublasStatus_t s = lt->cublasLtMatmulPreferenceSetAttribute(
        want, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &most, sizeof most);
    if (!s)
        s = lt->cublasLtMatmulPreferenceSetAttribute(
            want, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reduction, sizeof reduction);
    for (size_t i = 0; i < sizeof align / sizeof *align && !s; i++)
        s = lt->cublasLtMatmulPreferenceSetAttribute(want, align[i].which, &align[i].bytes,
                                                     sizeof align[i].bytes);
    return s;
}

static cublasStatus_t choose(struct weft__cuda_gemm *g, plan *p, const weft__product *q)
{
    const weft__cublaslt *lt = &g->lt;
    cublasLtMatmulPreference_t want = NULL;
    cublasLtMatmulHeuristicResult_t best = {.state = CUBLAS_STATUS_NOT_SUPPORTED};
    int found = 0;
    cublasStatus_t s = lt->cublasLtMatmulPreferenceCreate(&want);
    if (!s)
        s = prefer(lt, want, q);
    if (!s)
        s = lt->cublasLtMatmulAlgoGetHeuristic(g->handle, p->what, p->a, p->b, p->c, p->c, want, 1,
                                               &best, &found);
    if (want)
        lt->cublasLtMatmulPreferenceDestroy(want);
    if (s || !found)
        return s ? s : CUBLAS_STATUS_NOT_SUPPORTED;
    p->how = best.algo;
    p->workspace = best.workspaceSize;
    return best.state;
}

static weft_status new_plan(weft_device *d, plan **out, const weft__product *q)
{
    struct weft__cuda_gemm *g = cuda_of(d)->gemm;
    plan *p = weft__new(1, sizeof *p);
    if (!p)
        return WEFT_ENOMEM;
    cublasStatus_t s = describe(&g->lt, p, q);
    s = s ? s : choose(g, p, q);
    if (!s) {
        *out = p;
        return WEFT_OK;
    }
    free_plan(&g->lt, p);
    return weft__fail(WEFT_EDEVICE,
                      "device cuda %d: %s has no way to compute (%lld,%lld) by (%lld,%lld) of %s, "
                      "rows of %lld, %lld and %lld, %lld at once: %s",
                      d->index, g->lt.text, (long long)q->m, (long long)q->k, (long long)q->k,
                      (long long)q->n, weft_dtype_name((weft_dtype)q->dt), (long long)q->lda,
                      (long long)q->ldb, (long long)q->ldc, (long long)q->count,
                      g->lt.cublasLtGetStatusName(s));
}

static weft_status find_plan(weft_device *d, plan **out, const weft__product *q)
{
    struct weft__cuda_gemm *g = cuda_of(d)->gemm;
    weft__plan_place *at = weft__plan_find(&g->plans, q);
    if (!weft__plan_is(at, q)) {
        plan *fresh = NULL;
        WEFT_TRY(new_plan(d, &fresh, q));
        free_plan(&g->lt, at->plan);
        weft__plan_put(&g->plans, at, q, fresh);
    }
    *out = at->plan;
    return WEFT_OK;
}

/* An enqueued call needs its plan no more, so the lock is held for the asking alone. */
static weft_status enqueue(weft_stream *s, const weft__product *q, weft_dev c, double alpha,
                           weft_dev a, weft_dev b, double beta)
{
    weft_device *d = s->device;
    struct weft__cuda_gemm *g = cuda_of(d)->gemm;
    const float alpha32 = (float)alpha, beta32 = (float)beta;
    const bool wide = q->dt == WEFT_F64;
    void *room = NULL;
    plan *p;
    WEFT_TRY(find_plan(d, &p, q));
    if (p->workspace)
        WEFT_TRY(weft__cuda_scratch(s, p->workspace, &room));
    const cublasStatus_t code = g->lt.cublasLtMatmul(
        g->handle, p->what, wide ? (const void *)&alpha : &alpha32, cuda_ptr(b), p->a, cuda_ptr(a),
        p->b, wide ? (const void *)&beta : &beta32, cuda_ptr(c), p->c, cuda_ptr(c), p->c, &p->how,
        room, p->workspace, cuda_on(s));
    if (room)
        weft__cuda_unscratch(s, room);
    return failed(d, "cublasLtMatmul", code);
}

/* C = beta C. */
static weft_status only_scale(weft_stream *s, const weft__product *q, weft_dev c, double beta)
{
    const weft_dtype ct = (weft_dtype)q->ct;
    const int64_t size = (int64_t)weft_dtype_size(ct);
    for (int64_t i = 0; i < q->count; i++)
        for (int64_t r = 0; r < q->m && beta != 1; r++) {
            weft_dev row = weft__at(c, (i * q->cstride + r * q->ldc) * size);
            WEFT_TRY(beta == 0 ? weft__cuda_fill(s, row, q->n, 0, ct)
                               : weft__cuda_scale(s, row, beta, row, q->n, ct));
        }
    return WEFT_OK;
}

static bool is_float(weft_dtype t)
{
    return t == WEFT_F32 || t == WEFT_F64 || t == WEFT_BF16 || t == WEFT_F16;
}

static weft_status multiply(weft_stream *s, weft__product *q, weft_dev c, double alpha, weft_dev a,
                            weft_dev b, double beta)
{
    struct weft__cuda_gemm *g = cuda_of(s->device)->gemm;
    const weft_dtype dt = (weft_dtype)q->dt, ct = (weft_dtype)q->ct;
    if (!is_float(dt) || (ct != dt && (ct != WEFT_F32 || weft_dtype_size(dt) != 2)))
        return weft__no_kernel(s->device, "gemm", is_float(dt) ? ct : dt);
    if (q->m == 0 || q->n == 0 || q->count == 0)
        return WEFT_OK;
    if (q->k == 0)
        return only_scale(s, q, c, beta);
    if (!g->lt.there)
        return weft__fail(WEFT_ENOTSUP,
                          "device cuda multiplies matrices by cuBLASLt: %s; put its folder into "
                          "LD_LIBRARY_PATH",
                          g->lt.text);
    q->fast = g->fast && q->dt == WEFT_F32;
    q->aalign =
        weft__plan_align(a.addr | (uintptr_t)q->astride * weft_dtype_size((weft_dtype)q->dt));
    q->balign =
        weft__plan_align(b.addr | (uintptr_t)q->bstride * weft_dtype_size((weft_dtype)q->dt));
    q->calign =
        weft__plan_align(c.addr | (uintptr_t)q->cstride * weft_dtype_size((weft_dtype)q->ct));
    cuda_on(s);
    pthread_mutex_lock(&g->lock);
    const weft_status code = enqueue(s, q, c, alpha, a, b, beta);
    pthread_mutex_unlock(&g->lock);
    return code;
}

weft_status weft__cuda_gemm(weft_stream *s, weft_dev c, weft_dtype ct, int64_t ldc, double alpha,
                            weft_dev a, int64_t lda, int ta, weft_dev b, int64_t ldb, int tb,
                            double beta, int64_t m, int64_t n, int64_t k, weft_dtype dt)
{
    weft__product q = {.m = m,
                       .n = n,
                       .k = k,
                       .lda = lda,
                       .ldb = ldb,
                       .ldc = ldc,
                       .count = 1,
                       .ta = ta != 0,
                       .tb = tb != 0,
                       .dt = (int32_t)dt,
                       .ct = (int32_t)ct};
    return multiply(s, &q, c, alpha, a, b, beta);
}

/* The matrices of one dimension of the batch, in calls of so many. One B for all A's that lie one behind
 * the other is one product. */
static weft_status row_of_matrices(weft_stream *s, weft__product q, int64_t count, weft_dev c,
                                   weft_dev a, weft_dev b)
{
    const int64_t size = (int64_t)weft_dtype_size((weft_dtype)q.dt),
                  csize = (int64_t)weft_dtype_size((weft_dtype)q.ct);
    if (q.bstride == 0 && q.astride == q.m * q.k && q.cstride == q.m * q.n && !q.ta) {
        q.m *= count;
        count = 1;
    }
    for (int64_t at = 0; at < count; at += q.count) {
        const int64_t left = count - at;
        weft__product part = q;
        q.count = part.count = left < MOST_AT_ONCE ? left : MOST_AT_ONCE;
        if (part.count == 1)
            part.astride = part.bstride = part.cstride = 0;
        WEFT_TRY(multiply(s, &part, weft__at(c, at * q.cstride * csize), 1,
                          weft__at(a, at * q.astride * size), weft__at(b, at * q.bstride * size),
                          0));
    }
    return WEFT_OK;
}

weft_status weft__cuda_gemm_batch(weft_stream *s, weft_dev c, weft_dtype ct, weft_dev a,
                                  const int64_t *astride, int ta, weft_dev b,
                                  const int64_t *bstride, int tb, int rank, const int64_t *shape,
                                  int64_t m, int64_t n, int64_t k, weft_dtype dt)
{
    const int64_t size = (int64_t)weft_dtype_size(dt), csize = (int64_t)weft_dtype_size(ct);
    weft__fold f = weft__fold_batch(rank, shape, astride, bstride, m * n);
    weft__product q = {.m = m,
                       .n = n,
                       .k = k,
                       .lda = ta ? m : k,
                       .ldb = tb ? k : n,
                       .ldc = n,
                       .ta = ta != 0,
                       .tb = tb != 0,
                       .dt = (int32_t)dt,
                       .ct = (int32_t)ct};
    int64_t count, others = 1;
    weft__fold_take(&f, &count, &q.astride, &q.bstride, &q.cstride);
    for (int d = 0; d < f.rank; d++)
        others *= f.shape[d];
    for (int64_t i = 0; i < others; i++) {
        int64_t at_a, at_b, at_c;
        weft__fold_at(&f, i, &at_a, &at_b, &at_c);
        WEFT_TRY(row_of_matrices(s, q, count, weft__at(c, at_c * csize), weft__at(a, at_a * size),
                                 weft__at(b, at_b * size)));
    }
    return WEFT_OK;
}
