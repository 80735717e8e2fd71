/* Which of cuBLASLt's ways to compute a product is taken: the fastest of those that its heuristics
 * think best, each timed once. The first of them, untimed, for a small product, for one that adds to
 * what is there, inside of a capture, and where algorithms must not depend on time. */
#include "device/cuda/gemm.h"

#include "core/error.h"

#define WORKSPACE ((size_t)32 << 20) /* at most; what Hopper's kernels like to have */
#define REPEATS 3                    /* between two events, behind one that is not timed */

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

/* The best ones that work, the very best first. *n is how many were asked for, and then found. */
static cublasStatus_t ask(struct weft__cuda_gemm *g, const weft__gemm_plan *p,
                          const weft__product *q, cublasLtMatmulHeuristicResult_t *found, int *n)
{
    const weft__cublaslt *lt = &g->lt;
    cublasLtMatmulPreference_t want = NULL;
    const int most = *n;
    int all = 0;
    cublasStatus_t s = lt->cublasLtMatmulPreferenceCreate(&want);
    if (!s)
        s = prefer(lt, want, q);
    if (!s)
        s = lt->cublasLtMatmulAlgoGetHeuristic(g->handle, p->what, p->a, p->b, p->c, p->c, want,
                                               most, found, &all);
    if (want)
        lt->cublasLtMatmulPreferenceDestroy(want);
    *n = 0;
    for (int i = 0; i < all && !s; i++)
        if (found[i].state == CUBLAS_STATUS_SUCCESS)
            found[(*n)++] = found[i];
    return s || *n ? s : CUBLAS_STATUS_NOT_SUPPORTED;
}

/* What starts in the library is there for the second run; C gets its values each time. */
static cudaError_t time_one(struct weft__cuda_gemm *g, const weft__gemm_plan *p,
                            const cublasLtMatmulHeuristicResult_t *way, const weft__product *q,
                            const weft__operands *o, void *room, cudaStream_t stream,
                            const cudaEvent_t *event, float *time)
{
    const size_t bytes = way->workspaceSize;
    cudaError_t e;
    *time = -1;
    if (weft__gemm_run(g, p, &way->algo, q, o, room, bytes, stream))
        return cudaSuccess;
    if ((e = cudaEventRecord(event[0], stream)))
        return e;
    for (int i = 0; i < REPEATS; i++)
        if (weft__gemm_run(g, p, &way->algo, q, o, room, bytes, stream))
            return cudaSuccess;
    e = cudaEventRecord(event[1], stream);
    if (!e)
        e = cudaEventSynchronize(event[1]);
    return e ? e : cudaEventElapsedTime(time, event[0], event[1]);
}

static cudaError_t time_all(weft_stream *s, const weft__gemm_plan *p,
                            const cublasLtMatmulHeuristicResult_t *found, int n,
                            const weft__product *q, const weft__operands *o, void *room,
                            float *time)
{
    cudaEvent_t event[2] = {NULL, NULL};
    cudaError_t e = cudaEventCreate(&event[0]);
    if (!e)
        e = cudaEventCreate(&event[1]);
    for (int i = 0; i < n && !e; i++)
        e = time_one(cuda_of(s->device)->gemm, p, &found[i], q, o, room, (cudaStream_t)s->self,
                     event, &time[i]);
    for (int i = 0; i < 2; i++)
        if (event[i])
            cudaEventDestroy(event[i]);
    return e;
}

/* @return the place in found, -1: none of them worked. */
static weft_status fastest(weft_stream *s, const weft__gemm_plan *p,
                           const cublasLtMatmulHeuristicResult_t *found, int n,
                           const weft__product *q, const weft__operands *o, int *best)
{
    float time[WEFT__PLAN_TRIES];
    size_t most = 0;
    void *room = NULL;
    for (int i = 0; i < n; i++)
        most = found[i].workspaceSize > most ? found[i].workspaceSize : most;
    if (most)
        WEFT_TRY(weft__cuda_scratch(s, most, &room));
    const cudaError_t e = time_all(s, p, found, n, q, o, room, time);
    if (room)
        weft__cuda_unscratch(s, room);
    WEFT_TRY(weft__cuda_status(s->device, "timing a product", e));
    *best = weft__plan_fastest(time, n);
    return WEFT_OK;
}

/* Nothing may wait for a stream that captures. */
static bool captures(const weft_stream *s)
{
    enum cudaStreamCaptureStatus is = cudaStreamCaptureStatusNone;
    const cudaError_t e = cudaStreamIsCapturing((cudaStream_t)s->self, &is);
    return e != cudaSuccess || is != cudaStreamCaptureStatusNone;
}

weft_status weft__gemm_choose(weft_stream *s, weft__gemm_plan *p, const weft__product *q,
                              const weft__operands *o, cublasStatus_t *code)
{
    cublasLtMatmulHeuristicResult_t found[WEFT__PLAN_TRIES];
    const bool timed = weft__plan_is_timed(q) && !s->device->steady && !captures(s);
    int n = timed ? WEFT__PLAN_TRIES : 1, best = 0;
    *code = ask(cuda_of(s->device)->gemm, p, q, found, &n);
    if (!*code && n > 1)
        WEFT_TRY(fastest(s, p, found, n, q, o, &best));
    if (!*code && best < 0)
        *code = CUBLAS_STATUS_NOT_SUPPORTED;
    if (*code)
        return WEFT_OK;
    p->how = found[best].algo;
    p->workspace = found[best].workspaceSize;
    return WEFT_OK;
}
