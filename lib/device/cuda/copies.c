/* Copies in the order of their stream. What goes to or comes from the host's memory passes a ring of
 * pinned slots: the caller has its bytes back, or has them, when the call returns, and several pieces
 * are on their way at once. */
#include "core/alloc.h"
#include "core/error.h"
#include "device/cuda/cuda.h"

#include <string.h>

#define SLOTS 4
#define SLOT ((size_t)1 << 21)
#define ALIGN ((size_t)64)

typedef struct slot {
    char *at;
    size_t filled;
    cudaEvent_t done; /* with what was enqueued of it */
} slot;

struct weft__cuda_staging {
    pthread_mutex_t lock;
    slot slot[SLOTS];
    int now; /* the one that is being filled */
};

void weft__cuda_staging_close(weft__cuda_stream *s)
{
    struct weft__cuda_staging *g = s->staging;
    for (int i = 0; g && i < SLOTS; i++) {
        if (g->slot[i].at)
            cudaFreeHost(g->slot[i].at);
        if (g->slot[i].done)
            cudaEventDestroy(g->slot[i].done);
    }
    if (g)
        pthread_mutex_destroy(&g->lock);
    weft__free(g);
    s->staging = NULL;
}

static cudaError_t pin(struct weft__cuda_staging *g)
{
    cudaError_t e = cudaSuccess;
    for (int i = 0; i < SLOTS && !e; i++) {
        e = cudaHostAlloc((void **)&g->slot[i].at, SLOT, cudaHostAllocPortable);
        e = e ? e : cudaEventCreateWithFlags(&g->slot[i].done, cudaEventDisableTiming);
    }
    return e;
}

/* With the stream, so that no copy fails for want of memory on one rank alone. */
weft_status weft__cuda_staging_open(weft__cuda_stream *s)
{
    if (!(s->staging = weft__new(1, sizeof *s->staging)))
        return WEFT_ENOMEM;
    pthread_mutex_init(&s->staging->lock, NULL);
    return weft__cuda_status(s->stream.device, "pinned memory", pin(s->staging));
}

static weft_status end(weft__cuda_stream *s, const char *what, cudaError_t e)
{
    pthread_mutex_unlock(&s->staging->lock);
    return weft__cuda_status(s->stream.device, what, e);
}

/* In one piece, or in several: CUDA refuses a copy that reaches from one registration of the host's memory to the next. */
static cudaError_t copy(weft_device *d, void *to, const void *from, size_t bytes, cudaStream_t s)
{
    cudaError_t e = cudaSuccess;
    for (size_t at = 0, n; at < bytes && !e; at += n) {
        char *const t = (char *)to + at;
        const char *const f = (const char *)from + at;
        n = weft__cuda_together(d, f, weft__cuda_together(d, t, bytes - at));
        e = cudaMemcpyAsync(t, f, n, cudaMemcpyDefault, s);
    }
    return e;
}

/* A slot with room, waiting for it if the ring has come round. */
static cudaError_t find_room(weft__cuda_stream *s, slot **out)
{
    struct weft__cuda_staging *g = s->staging;
    slot *k = &g->slot[g->now];
    cudaError_t e = cudaSuccess;
    if (k->filled >= SLOT) {
        e = cudaEventRecord(k->done, s->cuda);
        g->now = (g->now + 1) % SLOTS;
        k = &g->slot[g->now];
        e = e ? e : cudaEventSynchronize(k->done);
        k->filled = 0;
    }
    *out = k;
    return e;
}

weft_status weft__cuda_upload(weft_stream *stream, weft_dev dst, const void *src, size_t bytes)
{
    weft__cuda_stream *s = cuda_stream_of(stream);
    cudaError_t e = cudaSuccess;
    slot *k;
    cuda_on(stream);
    if (!bytes)
        return WEFT_OK;
    pthread_mutex_lock(&s->staging->lock);
    for (size_t at = 0, n; at < bytes && !e; at += n) {
        if ((e = find_room(s, &k)))
            break;
        n = bytes - at < SLOT - k->filled ? bytes - at : SLOT - k->filled;
        memcpy(k->at + k->filled, (const char *)src + at, n);
        e = copy(stream->device, (char *)cuda_ptr(dst) + at, k->at + k->filled, n, s->cuda);
        k->filled += (n + ALIGN - 1) / ALIGN * ALIGN;
    }
    return end(s, "upload", e);
}

/* Piece i of what is at src, into its slot; and out of it once it came. */
static cudaError_t fetch(weft__cuda_stream *s, size_t i, weft_dev src, size_t bytes)
{
    slot *k = &s->staging->slot[i % SLOTS];
    const size_t at = i * SLOT, n = bytes - at < SLOT ? bytes - at : SLOT;
    const cudaError_t e =
        copy(s->stream.device, k->at, (const char *)cuda_ptr(src) + at, n, s->cuda);
    return e ? e : cudaEventRecord(k->done, s->cuda);
}

static cudaError_t deliver(weft__cuda_stream *s, size_t i, char *dst, size_t bytes)
{
    const slot *k = &s->staging->slot[i % SLOTS];
    const size_t at = i * SLOT, n = bytes - at < SLOT ? bytes - at : SLOT;
    const cudaError_t e = cudaEventSynchronize(k->done);
    if (!e)
        memcpy(dst + at, k->at, n);
    return e;
}

/* Uploads that wait in the slots read them before, in the stream's order; after it the ring is free. */
weft_status weft__cuda_download(weft_stream *stream, void *dst, weft_dev src, size_t bytes)
{
    weft__cuda_stream *s = cuda_stream_of(stream);
    const size_t pieces = (bytes + SLOT - 1) / SLOT;
    cudaError_t e = cudaSuccess;
    cuda_on(stream);
    if (!bytes)
        return weft__cuda_sync(stream);
    pthread_mutex_lock(&s->staging->lock);
    for (size_t i = 0; i < pieces + SLOTS - 1 && !e; i++) {
        if (i < pieces)
            e = fetch(s, i, src, bytes);
        if (!e && i >= SLOTS - 1)
            e = deliver(s, i - (SLOTS - 1), dst, bytes);
    }
    for (int i = 0; i < SLOTS && !e; i++)
        s->staging->slot[i].filled = 0;
    s->staging->now = 0;
    return end(s, "download", e);
}

weft_status weft__cuda_move(weft_stream *s, weft_dev dst, weft_dev src, size_t bytes)
{
    cudaStream_t stream = cuda_on(s);
    const uintptr_t apart = dst.addr > src.addr ? dst.addr - src.addr : src.addr - dst.addr;
    void *between = NULL;
    if (!bytes || !apart)
        return WEFT_OK;
    if (apart < bytes) /* they overlap */
        WEFT_TRY(weft__cuda_scratch(s, bytes, &between));
    cudaError_t e = cudaSuccess;
    if (between)
        e = copy(s->device, between, cuda_ptr(src), bytes, stream);
    if (!e)
        e = copy(s->device, cuda_ptr(dst), between ? between : cuda_ptr(src), bytes, stream);
    if (between)
        weft__cuda_unscratch(s, between);
    return weft__cuda_status(s->device, "move", e);
}

weft_status weft__cuda_zero(weft_stream *s, weft_dev dst, size_t bytes)
{
    cudaStream_t stream = cuda_on(s);
    if (!bytes)
        return WEFT_OK;
    if (weft__cuda_host(s->device, dst)) /* the host's memory is for kernels */
        return weft__cuda_fill(s, dst, (int64_t)bytes, 0, WEFT_U8);
    return weft__cuda_status(s->device, "zero", cudaMemsetAsync(cuda_ptr(dst), 0, bytes, stream));
}
