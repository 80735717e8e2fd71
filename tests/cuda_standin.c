/* The stand-in: devices, memory, streams and events. */
#include "cuda_standin.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define current standin_current
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

typedef enum kind { COPY, SET, WAIT, FREE, MARK } kind;
typedef struct op {
    kind kind;
    char *to;
    const char *from;
    size_t n;
    int value;
    uint64_t digest;            /* of what a host's copy is of */
    struct CUstream_st *stream; /* WAIT: for its op number `ticket` */
    long ticket;
    struct op *next;
} op;

struct CUstream_st {
    int device;
    long issued, done;
    op *first, **end;
    struct CUstream_st *next;
};

struct CUevent_st {
    int device;
    struct CUstream_st *stream; /* NULL: it has happened */
    long ticket;
};

struct CUmemPoolHandle_st {
    int device;
};

typedef enum owner { DEVICE, PINNED, REGISTERED } owner;
typedef struct block {
    char *at;
    size_t n;
    owner owner;
    int device;
    bool gone;
    struct block *next;
} block;
static block *blocks;

/* Calls that need a context make one on the thread's device. */
static void enter(void)
{
    pthread_mutex_lock(&mutex);
    cuda.contexts |= 1u << current;
}

static cudaError_t leave(cudaError_t e)
{
    pthread_mutex_unlock(&mutex);
    return standin_give(e);
}

/* memory */

static block *block_of(const void *p)
{
    for (block *b = blocks; b; b = b->next)
        if (!b->gone && (const char *)p >= b->at && (const char *)p < b->at + b->n)
            return b;
    return NULL;
}

static bool was_freed(const void *p)
{
    bool gone = false;
    for (block *b = blocks; b; b = b->next)
        if (b->owner == DEVICE && (const char *)p >= b->at && (const char *)p < b->at + b->n)
            gone = b->gone;
    return gone;
}

/* Whole pages, as of the driver: none is in part the host's, who might register it. */
static void *pages(size_t n)
{
    enum { PAGE = 4096 };
    return aligned_alloc(PAGE, (n + PAGE - 1) / PAGE * PAGE);
}

static block *remember(void *at, size_t n, owner owner)
{
    block *b = malloc(sizeof *b);
    *b = (block){.at = at, .n = n, .owner = owner, .device = current, .next = blocks};
    blocks = b;
    return b;
}

static void forget(block *b)
{
    block **at = &blocks;
    while (*at != b)
        at = &(*at)->next;
    *at = b->next;
    free(b);
}

/* streams */

static void check(struct CUstream_st *s)
{
    cuda.plain += !s;
    cuda.foreign += s && s->device != current;
}

static void enqueue(struct CUstream_st *s, op o)
{
    op *k = malloc(sizeof *k);
    *k = o;
    k->next = NULL;
    *s->end = k;
    s->end = &k->next;
    s->issued++;
}

static void run(struct CUstream_st *s, long ticket);

static uint64_t digest_of(const char *at, size_t n)
{
    uint64_t h = 1;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)at[i]) * 0x100000001b3u;
    return h;
}

static void perform(const op *o)
{
    if (o->kind == WAIT)
        run(o->stream, o->ticket);
    if (o->kind == COPY || o->kind == SET)
        cuda.stale += was_freed(o->to) || (o->from && was_freed(o->from));
    cuda.changed += o->digest && o->digest != digest_of(o->from, o->n);
    if (o->kind == COPY)
        memmove(o->to, o->from, o->n);
    if (o->kind == SET)
        memset(o->to, o->value, o->n);
    block *b = o->kind == FREE ? block_of(o->to) : NULL;
    if (b) { /* stays until the program ends, to be known */
        memset(b->at, 0xee, b->n);
        b->gone = true;
    }
}

static void run(struct CUstream_st *s, long ticket)
{
    while (s->done < ticket && s->first) {
        op *o = s->first;
        s->first = o->next;
        if (!s->first)
            s->end = &s->first;
        s->done++;
        perform(o);
        free(o);
    }
}

static cudaError_t make_stream(cudaStream_t *out)
{
    enter();
    struct CUstream_st *s = calloc(1, sizeof *s);
    s->device = current;
    s->end = &s->first;
    cuda.streams++;
    *out = s;
    return leave(cudaSuccess);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags)
{
    cuda.plain += flags != cudaStreamNonBlocking;
    return make_stream(out);
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *out, unsigned flags, int priority)
{
    cuda.plain += flags != cudaStreamNonBlocking;
    return priority == -5 ? make_stream(out) : standin_give(cudaErrorInvalidValue);
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest)
{
    *least = 0;
    *greatest = -5;
    return cudaSuccess;
}

/* An event may still name it. */
cudaError_t cudaStreamDestroy(cudaStream_t s)
{
    enter();
    run(s, s->issued);
    cuda.streams--;
    return leave(cudaSuccess);
}

cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
    enter();
    check(s);
    cuda.stream_waits++;
    run(s, s->issued);
    return leave(cudaSuccess);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned flags)
{
    enter();
    check(s);
    if (e->stream)
        enqueue(s, (op){.kind = WAIT, .stream = e->stream, .ticket = e->ticket});
    return leave(flags ? cudaErrorInvalidValue : cudaSuccess);
}

cudaError_t cudaStreamIsCapturing(cudaStream_t s, enum cudaStreamCaptureStatus *status)
{
    check(s);
    *status = cudaStreamCaptureStatusNone;
    return cudaSuccess;
}

/* events */

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags)
{
    enter();
    *out = calloc(1, sizeof **out);
    (*out)->device = current;
    cuda.events++;
    return leave(flags & ~cudaEventDisableTiming ? cudaErrorInvalidValue : cudaSuccess);
}

cudaError_t cudaEventCreate(cudaEvent_t *out)
{
    return cudaEventCreateWithFlags(out, 0);
}

cudaError_t cudaEventDestroy(cudaEvent_t e)
{
    enter();
    free(e);
    cuda.events--;
    return leave(cudaSuccess);
}

cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s)
{
    enter();
    check(s);
    cuda.foreign += e->device != s->device;
    enqueue(s, (op){.kind = MARK});
    e->stream = s;
    e->ticket = s->issued;
    return leave(cudaSuccess);
}

cudaError_t cudaEventSynchronize(cudaEvent_t e)
{
    enter();
    cuda.event_waits++;
    if (e->stream)
        run(e->stream, e->ticket);
    return leave(cudaSuccess);
}

/* Whoever asks sees it come nearer. */
cudaError_t cudaEventQuery(cudaEvent_t e)
{
    enter();
    const bool there = !e->stream || e->stream->done >= e->ticket;
    if (!there)
        run(e->stream, e->stream->done + 1);
    pthread_mutex_unlock(&mutex);
    return there ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to)
{
    *ms = from != to;
    return cudaSuccess;
}

/* pools */

cudaError_t cudaMemPoolCreate(cudaMemPool_t *out, const struct cudaMemPoolProps *props)
{
    enter();
    *out = calloc(1, sizeof **out);
    (*out)->device = props->location.id;
    return leave(cudaSuccess);
}

cudaError_t cudaMemPoolDestroy(cudaMemPool_t pool)
{
    enter();
    free(pool);
    return leave(cudaSuccess);
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, enum cudaMemPoolAttr attr, void *value)
{
    const bool keeps = attr == cudaMemPoolAttrReleaseThreshold && *(const uint64_t *)value;
    return pool && keeps ? cudaSuccess : standin_give(cudaErrorInvalidValue);
}

cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, enum cudaMemPoolAttr attr, void *value)
{
    *(uint64_t *)value = pool && attr == cudaMemPoolAttrUsedMemCurrent ? cuda.used : 0;
    return cudaSuccess;
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t pool, size_t bytes)
{
    return pool && !bytes ? cudaSuccess : standin_give(cudaErrorInvalidValue);
}

cudaError_t cudaMemGetInfo(size_t *left, size_t *total)
{
    *left = cuda.room - cuda.used;
    *total = cuda.room;
    return cudaSuccess;
}

/* Worth nothing at first. */
cudaError_t cudaMallocFromPoolAsync(void **out, size_t n, cudaMemPool_t pool, cudaStream_t s)
{
    enter();
    check(s);
    cuda.foreign += pool->device != current;
    if (n > cuda.room - cuda.used)
        return leave(cudaErrorMemoryAllocation);
    *out = pages(n);
    memset(*out, 0xff, n);
    cuda.used += n;
    remember(*out, n, DEVICE);
    enqueue(s, (op){.kind = MARK});
    return leave(cudaSuccess);
}

cudaError_t cudaFreeAsync(void *p, cudaStream_t s)
{
    enter();
    check(s);
    const block *b = block_of(p);
    if (!b || b->owner != DEVICE)
        return leave(cudaErrorInvalidValue);
    cuda.used -= b->n;
    enqueue(s, (op){.kind = FREE, .to = p});
    return leave(cudaSuccess);
}

/* host memory */

cudaError_t cudaHostAlloc(void **out, size_t n, unsigned flags)
{
    enter();
    *out = pages(n);
    remember(*out, n, PINNED);
    cuda.pinned++;
    return leave(flags & cudaHostAllocPortable ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaFreeHost(void *p)
{
    enter();
    block *b = block_of(p);
    if (!b || b->owner != PINNED)
        return leave(cudaErrorInvalidValue);
    forget(b);
    free(p);
    cuda.pinned--;
    return leave(cudaSuccess);
}

cudaError_t cudaHostRegister(void *p, size_t n, unsigned flags)
{
    enter();
    if (cuda.refuses_pages || !(flags & cudaHostRegisterPortable))
        return leave(cudaErrorNotSupported);
    if (block_of(p) || block_of((char *)p + n - 1))
        return leave(cudaErrorHostMemoryAlreadyRegistered);
    remember(p, n, REGISTERED);
    cuda.registered++;
    return leave(cudaSuccess);
}

cudaError_t cudaHostUnregister(void *p)
{
    enter();
    block *b = block_of(p);
    if (!b || b->owner != REGISTERED || b->at != p)
        return leave(cudaErrorHostMemoryNotRegistered);
    forget(b);
    cuda.registered--;
    return leave(cudaSuccess);
}

cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *out, const void *p)
{
    enter();
    const block *b = block_of(p);
    *out = (struct cudaPointerAttributes){.type = !b                   ? cudaMemoryTypeUnregistered
                                                  : b->owner == DEVICE ? cudaMemoryTypeDevice
                                                                       : cudaMemoryTypeHost,
                                          .device = b ? b->device : -2};
    return leave(cudaSuccess);
}

/* copies */

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n, enum cudaMemcpyKind kind,
                            cudaStream_t s)
{
    enter();
    check(s);
    cuda.pageable += !block_of(to) || !block_of(from);
    const block *b = block_of(from);
    cuda.direct += b && b->owner == REGISTERED;
    enqueue(s, (op){.kind = COPY,
                    .to = to,
                    .from = from,
                    .n = n,
                    .digest = b && b->owner != DEVICE ? digest_of(from, n) : 0});
    return leave(kind == cudaMemcpyDefault ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t n, cudaStream_t s)
{
    enter();
    check(s);
    enqueue(s, (op){.kind = SET, .to = to, .value = value, .n = n});
    return leave(cudaSuccess);
}
