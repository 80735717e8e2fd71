/* Streams and events. Streams do not wait for the default one. */
#include "core/alloc.h"
#include "core/error.h"
#include "device/cuda/cuda.h"

/* A stream that has all of its parts joins the others. */
static weft_status make(weft_device *d, weft__cuda_stream *s)
{
    weft__cuda *c = cuda_of(d);
    const cudaError_t e = cudaStreamCreateWithFlags(&s->cuda, cudaStreamNonBlocking);
    WEFT_TRY(weft__cuda_status(d, "cudaStreamCreate", e));
    s->stream = (weft_stream){.device = d, .self = s->cuda};
    WEFT_TRY(weft__cuda_scratch_open(s));
    WEFT_TRY(weft__cuda_staging_open(s));
    pthread_mutex_lock(&c->lock);
    const weft_status code = weft__cuda_order_after_memory(d, s->cuda);
    if (!code) {
        s->next = c->streams;
        c->streams = s;
    }
    pthread_mutex_unlock(&c->lock);
    return code;
}

weft_status weft__cuda_stream_new(weft_device *d, weft_stream **out)
{
    weft__cuda_stream *s = weft__new(1, sizeof *s);
    if (!s)
        return WEFT_ENOMEM;
    s->stream.device = d;
    cudaSetDevice(cuda_of(d)->index);
    const weft_status code = make(d, s);
    if (code)
        weft__cuda_stream_free(&s->stream);
    else
        *out = &s->stream;
    return code;
}

weft_status weft__cuda_stream_urgent(weft_device *d, weft_stream **out)
{
    int least = 0, greatest = 0;
    weft__cuda_stream *s = weft__new(1, sizeof *s);
    if (!s)
        return WEFT_ENOMEM;
    cudaSetDevice(cuda_of(d)->index);
    cudaError_t e = cudaDeviceGetStreamPriorityRange(&least, &greatest);
    if (!e)
        e = cudaStreamCreateWithPriority(&s->cuda, cudaStreamNonBlocking, greatest);
    const weft_status code = weft__cuda_status(d, "cudaStreamCreateWithPriority", e);
    s->stream = (weft_stream){.device = d, .self = s->cuda};
    if (code)
        weft__free(s);
    else
        *out = &s->stream;
    return code;
}

void weft__cuda_stream_free(weft_stream *stream)
{
    weft__cuda_stream *s = cuda_stream_of(stream), **at;
    weft__cuda *c = cuda_of(stream->device);
    cudaSetDevice(c->index);
    pthread_mutex_lock(&c->lock);
    for (at = &c->streams; *at && *at != s; at = &(*at)->next)
        continue;
    if (*at)
        *at = s->next;
    pthread_mutex_unlock(&c->lock);
    weft__cuda_scratch_close(s);
    if (s->cuda)
        cudaStreamSynchronize(s->cuda);
    weft__cuda_staging_close(s);
    if (s->cuda)
        cudaStreamDestroy(s->cuda);
    weft__free(s);
}

weft_status weft__cuda_sync(weft_stream *s)
{
    return weft__cuda_status(s->device, "waiting for a stream", cudaStreamSynchronize(cuda_on(s)));
}

weft_status weft__cuda_sync_all(weft_device *d)
{
    weft__cuda *c = cuda_of(d);
    cudaError_t e = cudaSuccess;
    cudaSetDevice(c->index);
    pthread_mutex_lock(&c->lock);
    for (const weft__cuda_stream *s = c->streams; s && !e; s = s->next)
        e = cudaStreamSynchronize(s->cuda);
    pthread_mutex_unlock(&c->lock);
    return weft__cuda_status(d, "waiting for its streams", e);
}

weft_status weft__cuda_event_new(weft_device *d, weft_event **out)
{
    weft_event *e = weft__new(1, sizeof *e);
    cudaEvent_t event = NULL;
    if (!e)
        return WEFT_ENOMEM;
    cudaSetDevice(cuda_of(d)->index);
    const weft_status s = weft__cuda_status(
        d, "cudaEventCreate", cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    if (s) {
        weft__free(e);
        return s;
    }
    *e = (weft_event){.device = d, .self = event};
    *out = e;
    return WEFT_OK;
}

void weft__cuda_event_free(weft_event *e)
{
    cudaSetDevice(cuda_of(e->device)->index);
    cudaEventDestroy(e->self);
    weft__free(e);
}

weft_status weft__cuda_event_record(weft_event *e, weft_stream *s)
{
    cudaStream_t stream = cuda_on(s);
    return weft__cuda_status(s->device, "recording an event", cudaEventRecord(e->self, stream));
}

weft_status weft__cuda_event_wait(weft_stream *s, weft_event *e)
{
    cudaStream_t stream = cuda_on(s);
    return weft__cuda_status(s->device, "waiting for an event",
                             cudaStreamWaitEvent(stream, e->self, 0));
}

weft_status weft__cuda_event_sync(weft_event *e)
{
    cudaSetDevice(cuda_of(e->device)->index);
    return weft__cuda_status(e->device, "waiting for an event", cudaEventSynchronize(e->self));
}

weft_status weft__cuda_event_done(weft_event *e, bool *done)
{
    cudaSetDevice(cuda_of(e->device)->index);
    const cudaError_t state = cudaEventQuery(e->self);
    *done = state != cudaErrorNotReady;
    return *done ? weft__cuda_status(e->device, "asking for an event", state) : WEFT_OK;
}
