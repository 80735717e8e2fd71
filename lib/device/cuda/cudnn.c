/* Attention by cuDNN, where it has a way: bf16 and f16, whole tiles of queries and keys (texts that grow
 * number by number would take a plan each), no dropout. Anything else, and everything where cuDNN is
 * missing or fails, is left to our own kernels. A shape has a plan, made when it is first seen and
 * kept; nothing is made while the stream captures. The gradient takes memory for queries x keys, so
 * that its sums have one order; for many rows of the batch it is computed in parts. */
#include "config.h"
#include "device/cuda/cuda.h"

#ifdef HAVE_CUDNN
#include "core/alloc.h"
#include "core/log.h"
#include "device/cuda/cudnn.h"

#include <math.h>
#include <string.h>

#define PLANS 64
#define NEWEST_BACK 9 /* GPUs where what is taken for the gradient has no sums in any order */
#define TILE 64
#define WIDEST 128                   /* heads, on any GPU */
#define WORKSPACE ((int64_t)1 << 29) /* of one part */

typedef struct place {
    weft__attention_shape shape;
    bool works; /* else there is no plan for this shape */
    weft__dnn_plan *plan;
} place;

struct weft__cuda_dnn {
    pthread_mutex_t lock; /* of all below */
    bool tried;
    weft__cudnn lib;
    cudnnHandle_t handle;
    int places;
    place place[PLANS]; /* for good: what was captured may need them */
};

weft_status weft__cuda_dnn_open(weft_device *d)
{
    struct weft__cuda_dnn *n = cuda_of(d)->dnn = weft__new(1, sizeof *n);
    if (!n)
        return WEFT_ENOMEM;
    pthread_mutex_init(&n->lock, NULL);
    return WEFT_OK;
}

void weft__cuda_dnn_close(weft_device *d)
{
    struct weft__cuda_dnn *n = cuda_of(d)->dnn;
    if (!n)
        return;
    for (int i = 0; i < n->places; i++) {
        weft__dnn_plan_free(n->place[i].plan);
        weft__free(n->place[i].plan);
    }
    if (n->handle)
        n->lib.cudnnDestroy(n->handle);
    pthread_mutex_destroy(&n->lock);
    weft__free(n);
    cuda_of(d)->dnn = NULL;
}

/* Once. */
static void start(const weft_device *d, struct weft__cuda_dnn *n)
{
    n->tried = true;
    weft__cudnn_load(&n->lib);
    const cudnnStatus_t code = n->lib.there ? n->lib.cudnnCreate(&n->handle) : 0;
    n->lib.there &= !code;
    weft__say(WEFT_LOG_DEBUG, "device cuda %d: attention by %s%s%s", d->index,
              n->lib.there ? n->lib.text : "own kernels: ", n->lib.there ? "" : n->lib.text,
              code ? " does not start" : "");
}

/* Nothing is made for a stream that captures. */
static bool captures(const weft_stream *s)
{
    enum cudaStreamCaptureStatus is = cudaStreamCaptureStatusNone;
    const cudaError_t e = cudaStreamIsCapturing((cudaStream_t)s->self, &is);
    return e != cudaSuccess || is != cudaStreamCaptureStatusNone;
}

static void say_none(const weft_device *d, const weft__attention_shape *s, const char *what,
                     const char *why)
{
    weft__say(WEFT_LOG_DEBUG,
              "device cuda %d: %s of (%lld,%lld,%lld,%lld) and %lld keys by own kernels: cuDNN, "
              "%s: %s",
              d->index, s->back ? "attention's gradient" : "attention", (long long)s->batch,
              (long long)s->heads, (long long)s->queries, (long long)s->size, (long long)s->keys,
              what, why);
}

static void make(const weft_device *d, struct weft__cuda_dnn *n, place *at)
{
    weft__dnn_plan *p = at->plan;
    weft__dnn_plan_make(p, &n->lib, &at->shape, n->handle, NULL);
    at->works = !p->graph.code && p->workspace <= 2 * WORKSPACE;
    if (p->graph.code)
        say_none(d, &at->shape, p->graph.failed, n->lib.cudnnGetErrorString(p->graph.code));
    else if (!at->works)
        say_none(d, &at->shape, "its memory", "too much");
}

/* @return NULL: none. */
static place *find_plan(weft_stream *stream, const weft__attention_shape *s)
{
    struct weft__cuda_dnn *n = cuda_of(stream->device)->dnn;
    place *at = n->place;
    while (at < n->place + n->places && memcmp(&at->shape, s, sizeof *s) != 0)
        at++;
    if (at == n->place + n->places) {
        if (n->places == PLANS || captures(stream))
            return NULL;
        *at = (place){.shape = *s, .plan = weft__new(1, sizeof *at->plan)};
        if (!at->plan)
            return NULL;
        n->places++;
        make(stream->device, n, at);
    }
    return at->works ? at : NULL;
}

/* `at`: addresses of the GPU; those of the host are filled in. */
static bool enqueue(weft_stream *stream, const weft__attention_shape *s, void **at, double scale)
{
    struct weft__cuda_dnn *n = cuda_of(stream->device)->dnn;
    float by = (float)scale, one = 1, never = -INFINITY;
    int32_t keys = (int32_t)s->keys, queries = (int32_t)s->queries;
    void *room = NULL;
    place *p = find_plan(stream, s);
    if (!p || (p->plan->workspace && weft__cuda_scratch(stream, (size_t)p->plan->workspace, &room)))
        return false;
    at[WEFT__DNN_SCALE] = &by;
    at[WEFT__DNN_ONE] = s->back ? &one : NULL;
    at[WEFT__DNN_NEVER] = s->causal ? &never : NULL;
    at[WEFT__DNN_KEYS] = s->shifted ? &keys : NULL;
    at[WEFT__DNN_QUERIES] = s->shifted ? &queries : NULL;
    cudnnStatus_t code = n->lib.cudnnSetStream(n->handle, (cudaStream_t)stream->self);
    if (!code)
        code = weft__dnn_plan_run(p->plan, n->handle, at, room);
    if (room)
        weft__cuda_unscratch(stream, room);
    if (code) {
        say_none(stream->device, s, "running", n->lib.cudnnGetErrorString(code));
        p->works = false;
    }
    return !code;
}

/* Rows of the batch at a time. */
static int64_t part_of(const weft__attention_shape *s)
{
    int64_t n = s->batch;
    while (s->back && n > 1 && n * s->heads * s->queries * s->keys * 2 > WORKSPACE)
        n = (n + 1) / 2;
    return n;
}

/* What lies `rows` rows of the batch further. */
static void advance(const weft__attention_shape *s, void *const *from, int64_t rows, void **at)
{
    const int64_t *stride[WEFT__DNN_TENSORS] = {
        [WEFT__DNN_Q] = s->q,   [WEFT__DNN_K] = s->k,   [WEFT__DNN_V] = s->v,
        [WEFT__DNN_Y] = s->y,   [WEFT__DNN_GY] = s->y,  [WEFT__DNN_GQ] = s->gq,
        [WEFT__DNN_GK] = s->gk, [WEFT__DNN_GV] = s->gv,
    };
    for (int i = 0; i < WEFT__DNN_TENSORS; i++) {
        const int64_t bytes = stride[i] ? stride[i][0] * 2 : s->heads * s->queries * 4;
        at[i] = from[i] ? (char *)from[i] + rows * bytes : NULL;
    }
}

static bool run(weft_stream *stream, weft__attention_shape s, void *const *from, double scale)
{
    struct weft__cuda_dnn *n = cuda_of(stream->device)->dnn;
    const int64_t batch = s.batch, part = part_of(&s);
    void *at[WEFT__DNN_TENSORS];
    cuda_on(stream);
    pthread_mutex_lock(&n->lock);
    if (!n->tried && !captures(stream))
        start(stream->device, n);
    bool good = n->lib.there;
    for (int64_t b = 0; b < batch && good; b += part) {
        s.batch = batch - b < part ? batch - b : part;
        advance(&s, from, b, at);
        good = enqueue(stream, &s, at, scale);
    }
    pthread_mutex_unlock(&n->lock);
    return good;
}

static bool by_eight(const int64_t *stride)
{
    for (int i = 0; i < 3; i++)
        if (stride[i] <= 0 || stride[i] % 8 != 0)
            return false;
    return true;
}

static bool fits(const weft_attention_terms *o, weft_dtype dt, void *const *at)
{
    uintptr_t all = 0;
    for (int i = 0; i < WEFT__DNN_TENSORS; i++)
        all |= (uintptr_t)at[i];
    return (dt == WEFT_BF16 || dt == WEFT_F16) && o->p == 0 && o->batch > 0 && o->kv_heads > 0 &&
           o->size > 0 && o->vsize > 0 && o->size % 8 == 0 && o->vsize % 8 == 0 &&
           o->size <= WIDEST && o->vsize <= WIDEST && o->queries > 0 && o->keys > 0 &&
           o->queries % TILE == 0 && o->keys % TILE == 0 && o->keys < INT32_MAX &&
           o->queries < INT32_MAX && all % 16 == 0 && by_eight(o->q) && by_eight(o->k) &&
           by_eight(o->v) && by_eight(o->y) &&
           (!o->causal || o->offset == 0 || (o->offset > 0 && o->offset == o->keys - o->queries));
}

static weft__attention_shape shape_of(const weft_attention_terms *o, weft_dtype dt, bool back)
{
    weft__attention_shape s = {.batch = o->batch,
                               .heads = o->heads,
                               .kv_heads = o->kv_heads,
                               .queries = o->queries,
                               .keys = o->keys,
                               .size = o->size,
                               .vsize = o->vsize,
                               .dt = (int32_t)dt,
                               .causal = o->causal != 0,
                               .shifted = o->causal && o->offset,
                               .back = back};
    memcpy(s.q, o->q, sizeof s.q);
    memcpy(s.k, o->k, sizeof s.k);
    memcpy(s.v, o->v, sizeof s.v);
    memcpy(s.y, o->y, sizeof s.y);
    if (back) {
        memcpy(s.gq, o->gq, sizeof s.gq);
        memcpy(s.gk, o->gk, sizeof s.gk);
        memcpy(s.gv, o->gv, sizeof s.gv);
    }
    return s;
}

bool weft__cuda_fused(weft_stream *s, const weft_attention_terms *o, weft_dtype dt, weft_dev y,
                      weft_dev lse, weft_dev q, weft_dev k, weft_dev v)
{
    void *const at[WEFT__DNN_TENSORS] = {
        [WEFT__DNN_Q] = cuda_ptr(q), [WEFT__DNN_K] = cuda_ptr(k),     [WEFT__DNN_V] = cuda_ptr(v),
        [WEFT__DNN_Y] = cuda_ptr(y), [WEFT__DNN_LSE] = cuda_ptr(lse),
    };
    return fits(o, dt, at) && run(s, shape_of(o, dt, false), at, o->scale);
}

bool weft__cuda_fused_back(weft_stream *s, const weft_attention_terms *o, weft_dtype dt,
                           weft_dev gq, weft_dev gk, weft_dev gv, weft_dev delta, weft_dev gy,
                           weft_dev q, weft_dev k, weft_dev v, weft_dev y, weft_dev lse)
{
    void *const at[WEFT__DNN_TENSORS] = {
        [WEFT__DNN_Q] = cuda_ptr(q),     [WEFT__DNN_K] = cuda_ptr(k),
        [WEFT__DNN_V] = cuda_ptr(v),     [WEFT__DNN_Y] = cuda_ptr(y),
        [WEFT__DNN_LSE] = cuda_ptr(lse), [WEFT__DNN_GY] = cuda_ptr(gy),
        [WEFT__DNN_GQ] = cuda_ptr(gq),   [WEFT__DNN_GK] = cuda_ptr(gk),
        [WEFT__DNN_GV] = cuda_ptr(gv),   [WEFT__DNN_DELTA] = cuda_ptr(delta),
    };
    const bool all = gq.addr && gk.addr && gv.addr;
    return all && cuda_of(s->device)->major <= NEWEST_BACK && by_eight(o->gq) && by_eight(o->gk) &&
           by_eight(o->gv) && fits(o, dt, at) && run(s, shape_of(o, dt, true), at, o->scale);
}
#else
weft_status weft__cuda_dnn_open(weft_device *d)
{
    (void)d;
    return WEFT_OK;
}

void weft__cuda_dnn_close(weft_device *d)
{
    (void)d;
}

bool weft__cuda_fused(weft_stream *s, const weft_attention_terms *o, weft_dtype dt, weft_dev y,
                      weft_dev lse, weft_dev q, weft_dev k, weft_dev v)
{
    (void)s, (void)o, (void)dt, (void)y, (void)lse, (void)q, (void)k, (void)v;
    return false;
}

bool weft__cuda_fused_back(weft_stream *s, const weft_attention_terms *o, weft_dtype dt,
                           weft_dev gq, weft_dev gk, weft_dev gv, weft_dev delta, weft_dev gy,
                           weft_dev q, weft_dev k, weft_dev v, weft_dev y, weft_dev lse)
{
    (void)s, (void)o, (void)dt, (void)gq, (void)gk, (void)gv, (void)delta, (void)gy;
    (void)q, (void)k, (void)v, (void)y, (void)lse;
    return false;
}
#endif
