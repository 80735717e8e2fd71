/* Memory of a pool of the device's own, in the order of a stream of its own: that waits for all others
 * before memory goes, and they for it before they use what came. The host waits for neither. */
#include "core/error.h"
#include "device/cuda/cuda.h"

static cudaError_t order(weft__cuda *c, cudaStream_t first, cudaStream_t then)
{
    const cudaError_t e = cudaEventRecord(c->order, first);
    return e ? e : cudaStreamWaitEvent(then, c->order, 0);
}

weft_status weft__cuda_order_after_memory(weft_device *d, cudaStream_t stream)
{
    weft__cuda *c = cuda_of(d);
    return weft__cuda_status(d, "ordering streams", order(c, c->memory, stream));
}

/* What is kept for later may be all that is missing. */
static cudaError_t take(weft__cuda *c, size_t bytes, void **p)
{
    cudaError_t e = cudaMallocFromPoolAsync(p, bytes, c->pool, c->memory);
    if (e != cudaErrorMemoryAllocation)
        return e;
    cudaGetLastError();
    cudaStreamSynchronize(c->memory);
    cudaMemPoolTrimTo(c->pool, 0);
    return cudaMallocFromPoolAsync(p, bytes, c->pool, c->memory);
}

static weft_status no_room(const weft__cuda *c, size_t bytes)
{
    char want[WEFT__SIZE_TEXT], all[WEFT__SIZE_TEXT], used[WEFT__SIZE_TEXT], ours[WEFT__SIZE_TEXT];
    size_t left = 0, total = c->total;
    uint64_t own = 0;
    cudaGetLastError();
    cudaMemGetInfo(&left, &total);
    cudaMemPoolGetAttribute(c->pool, cudaMemPoolAttrUsedMemCurrent, &own);
    return weft__fail(
        WEFT_ENOMEM, "device cuda %d (%s) has no room for %s: %s of %s are in use, %s of them here",
        c->index, c->name, weft__size_text((double)bytes, want),
        weft__size_text((double)(total - left), used), weft__size_text((double)total, all),
        weft__size_text((double)own, ours));
}

static weft_status place(weft_device *d, size_t bytes, void **p)
{
    weft__cuda *c = cuda_of(d);
    if (bytes > c->total)
        return no_room(c, bytes);
    cudaError_t e = take(c, bytes ? bytes : 1, p);
    if (e == cudaErrorMemoryAllocation)
        return no_room(c, bytes);
    for (const weft__cuda_stream *s = c->streams; s && !e; s = s->next)
        e = order(c, c->memory, s->cuda);
    return weft__cuda_status(d, "allocating memory", e);
}

weft_status weft__cuda_alloc(weft_device *d, size_t bytes, weft_dev *out)
{
    weft__cuda *c = cuda_of(d);
    void *p = NULL;
    cudaSetDevice(c->index);
    pthread_mutex_lock(&c->lock);
    const weft_status s = place(d, bytes, &p);
    pthread_mutex_unlock(&c->lock);
    if (!s)
        out->addr = (uintptr_t)p;
    return s;
}

void weft__cuda_free(weft_device *d, weft_dev p, size_t bytes)
{
    weft__cuda *c = cuda_of(d);
    (void)bytes;
    cudaSetDevice(c->index);
    pthread_mutex_lock(&c->lock);
    for (const weft__cuda_stream *s = c->streams; s; s = s->next)
        order(c, s->cuda, c->memory);
    cudaFreeAsync(cuda_ptr(p), c->memory);
    pthread_mutex_unlock(&c->lock);
}
