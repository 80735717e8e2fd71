/* Matrix products by cuBLASLt, C = alpha op(A) op(B) + beta C. A product has a plan, what is best for its
 * shape and the alignment of its addresses, which is kept as long as the device is open: the same
 * shape is computed in the same way, with the same bits. bf16 and f16 are summed in f32. f32 is
 * computed in f32, or in TF32 where the device may. */
#include "core/alloc.h"
#include "core/error.h"
#include "device/cuda/gemm.h"

#include <pthread.h>
#include <stdio.h>

#define MOST_AT_ONCE 65535 /* matrices of one call */

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
    struct weft__cuda_gemm *g = c->gemm = weft__new(1, sizeof *g);
    if (!g)
        return WEFT_ENOMEM;
    pthread_mutex_init(&g->lock, NULL);
    weft__cublaslt_load(&g->lt);
    snprintf(c->kernel_set, sizeof c->kernel_set, "%.90s", g->lt.text);
    return g->lt.there ? failed(d, "cublasLtCreate", g->lt.cublasLtCreate(&g->handle)) : WEFT_OK;
}

void weft__cuda_gemm_close(weft_device *d)
{
    struct weft__cuda_gemm *g = cuda_of(d)->gemm;
    if (!g)
        return;
    for (int i = 0; i < WEFT__PLAN_SETS; i++)
        for (int w = 0; w < WEFT__PLAN_WAYS; w++)
            weft__gemm_forget(&g->lt, g->plans.place[i][w].plan);
    if (g->handle)
        g->lt.cublasLtDestroy(g->handle);
    pthread_mutex_destroy(&g->lock);
    weft__free(g);
    cuda_of(d)->gemm = NULL;
}

static weft_status no_way(weft_device *d, const weft__product *q, cublasStatus_t s)
{
    const weft__cublaslt *lt = &cuda_of(d)->gemm->lt;
    return weft__fail(WEFT_EDEVICE,
                      "device cuda %d: %s has no way to compute (%lld,%lld) by (%lld,%lld) of %s, "
                      "rows of %lld, %lld and %lld, %lld at once: %s",
                      d->index, lt->text, (long long)q->m, (long long)q->k, (long long)q->k,
                      (long long)q->n, q->dt < 0 ? "8 bits" : weft_dtype_name((weft_dtype)q->dt),
                      (long long)q->lda, (long long)q->ldb, (long long)q->ldc, (long long)q->count,
                      lt->cublasLtGetStatusName(s));
}

/* That there is none, too, is kept of a product with an epilogue, which can be computed otherwise. */
static weft_status new_plan(weft_stream *s, weft__gemm_plan *p, const weft__product *q,
                            const weft__operands *o)
{
    struct weft__cuda_gemm *g = cuda_of(s->device)->gemm;
    cublasStatus_t code = weft__gemm_describe(&g->lt, p, q);
    code = code ? code : weft__gemm_point(&g->lt, p, q, o);
    if (!code)
        WEFT_TRY(weft__gemm_choose(s, p, q, o, &code));
    p->none = code != CUBLAS_STATUS_SUCCESS;
    return code && !q->epilogue ? no_way(s->device, q, code) : WEFT_OK;
}

static weft_status find_plan(weft_stream *s, weft__gemm_plan **out, const weft__product *q,
                             const weft__operands *o)
{
    struct weft__cuda_gemm *g = cuda_of(s->device)->gemm;
    weft__plan_place *at = weft__plan_find(&g->plans, q);
    if (!weft__plan_is(at, q)) {
        weft__gemm_plan *p = weft__new(1, sizeof *p);
        const weft_status code = p ? new_plan(s, p, q, o) : WEFT_ENOMEM;
        if (code) {
            weft__gemm_forget(&g->lt, p);
            return code;
        }
        weft__gemm_forget(&g->lt, at->plan);
        weft__plan_put(&g->plans, at, q, p);
    }
    *out = at->plan;
    return WEFT_OK;
}

/* An enqueued call needs its plan no more, so the lock is held for the asking alone. What cannot be done
 * with an epilogue shows at the latest here. */
static weft_status enqueue(weft_stream *s, const weft__product *q, const weft__operands *o,
                           bool *none)
{
    struct weft__cuda_gemm *g = cuda_of(s->device)->gemm;
    void *room = NULL;
    weft__gemm_plan *p = NULL;
    WEFT_TRY(find_plan(s, &p, q, o));
    if (!p->none && p->workspace)
        WEFT_TRY(weft__cuda_scratch(s, p->workspace, &room));
    cublasStatus_t code = p->none ? CUBLAS_STATUS_SUCCESS : weft__gemm_point(&g->lt, p, q, o);
    if (!p->none && !code)
        code = weft__gemm_run(g, p, &p->how, q, o, room, p->workspace, (cudaStream_t)s->self);
    if (room)
        weft__cuda_unscratch(s, room);
    if (q->epilogue && (code == CUBLAS_STATUS_NOT_SUPPORTED || code == CUBLAS_STATUS_INVALID_VALUE))
        p->none = true;
    if (none)
        *none = p->none;
    return p->none ? WEFT_OK : failed(s->device, "cublasLtMatmul", code);
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

static int32_t align_of(weft_dev p, int64_t stride, int32_t t)
{
    const size_t size = t < 0 ? 1 : weft_dtype_size((weft_dtype)t);
    return weft__plan_align(p.addr | (uintptr_t)stride * size);
}

weft_status weft__gemm_product(weft_stream *s, weft__product *q, const weft__operands *o,
                               bool *none)
{
    struct weft__cuda_gemm *g = cuda_of(s->device)->gemm;
    if (!g->lt.there)
        return weft__fail(WEFT_ENOTSUP,
                          "device cuda multiplies matrices by cuBLASLt: %s; put its folder into "
                          "LD_LIBRARY_PATH",
                          g->lt.text);
    q->fast = s->device->tf32 && q->dt == WEFT_F32;
    q->adds = o->beta != 0;
    q->aalign = align_of(o->a, q->astride, q->dt);
    q->balign = align_of(o->b, q->bstride, q->bt ? q->bt : q->dt);
    q->calign = align_of(o->c, q->cstride, q->ct);
    q->ealign = q->epilogue ? weft__plan_align(o->bias.addr | o->aux.addr) : 0;
    cuda_on(s);
    pthread_mutex_lock(&g->lock);
    const weft_status code = enqueue(s, q, o, none);
    pthread_mutex_unlock(&g->lock);
    return code;
}

static weft_status multiply(weft_stream *s, weft__product *q, weft_dev c, double alpha, weft_dev a,
                            weft_dev b, double beta)
{
    const weft_dtype dt = (weft_dtype)q->dt, ct = (weft_dtype)q->ct;
    const weft__operands o = {.c = c, .a = a, .b = b, .alpha = alpha, .beta = beta};
    if (!is_float(dt) || (ct != dt && (ct != WEFT_F32 || weft_dtype_size(dt) != 2)))
        return weft__no_kernel(s->device, "gemm", is_float(dt) ? ct : dt);
    if (q->m == 0 || q->n == 0 || q->count == 0)
        return WEFT_OK;
    return q->k == 0 ? only_scale(s, q, c, beta) : weft__gemm_product(s, q, &o, NULL);
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
