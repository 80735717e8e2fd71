/* Scratch memory of a stream. A block goes back as soon as what uses it was enqueued: the stream's order
 * keeps its next tenant from coming too early. A few blocks are kept, so that a steady step asks for
 * none. What a graph was made with stays as long as the stream. */
#include "device/cuda/cuda.h"

#include "core/alloc.h"
#include "core/error.h"

#include <pthread.h>

#define KEPT 8
#define LEAST ((size_t)1 << 16)

typedef struct block {
    void *at;
    size_t bytes;
    bool lent;
    bool stays; /* a graph has its address */
} block;

struct weft__cuda_scratches {
    pthread_mutex_t lock;
    block block[KEPT];
};

weft_status weft__cuda_scratch_open(weft__cuda_stream *s)
{
    s->scratches = weft__new(1, sizeof *s->scratches);
    if (!s->scratches)
        return WEFT_ENOMEM;
    pthread_mutex_init(&s->scratches->lock, NULL);
    return WEFT_OK;
}

/* Powers of two: sizes that grow little by little would each take a block. */
static size_t rounded(size_t bytes)
{
    size_t n = LEAST;
    while (n < bytes && n < SIZE_MAX / 2)
        n *= 2;
    return n < bytes ? bytes : n;
}

/* The smallest free block that is large enough, else the place of one that may go; NULL: all are lent. */
static block *choose(struct weft__cuda_scratches *k, size_t bytes)
{
    block *best = NULL;
    for (int i = 0; i < KEPT; i++) {
        block *b = &k->block[i];
        const bool fits = b->bytes >= bytes, best_fits = best && best->bytes >= bytes;
        if (b->lent || (b->stays && !fits) || (best_fits && !fits))
            continue;
        if (!best || (fits && !best_fits) || b->bytes < best->bytes)
            best = b;
    }
    return best;
}

static weft_status take(weft__cuda_stream *s, size_t bytes, void **out)
{
    block *b = choose(s->scratches, bytes);
    cudaError_t e;
    if (s->makes_graph && (!b || b->bytes < bytes))
        return weft__fail(WEFT_EDEVICE, "no scratch memory of %zu bytes is kept for a graph",
                          bytes);
    if (!b || b->bytes < bytes) {
        if (b && b->at)
            cudaFreeAsync(b->at, s->cuda);
        if (b)
            *b = (block){.bytes = 0};
        e = cudaMallocFromPoolAsync(out, rounded(bytes), cuda_of(s->stream.device)->pool, s->cuda);
        WEFT_TRY(weft__cuda_status(s->stream.device, "scratch memory", e));
        if (b)
            *b = (block){.at = *out, .bytes = rounded(bytes)};
    }
    if (b) {
        b->lent = true;
        b->stays |= s->makes_graph;
        *out = b->at;
    }
    return WEFT_OK;
}

weft_status weft__cuda_scratch(weft_stream *stream, size_t bytes, void **out)
{
    weft__cuda_stream *s = cuda_stream_of(stream);
    pthread_mutex_lock(&s->scratches->lock);
    const weft_status code = take(s, bytes, out);
    pthread_mutex_unlock(&s->scratches->lock);
    return code;
}

void weft__cuda_unscratch(weft_stream *stream, void *p)
{
    weft__cuda_stream *s = cuda_stream_of(stream);
    bool kept = false;
    pthread_mutex_lock(&s->scratches->lock);
    for (int i = 0; i < KEPT; i++)
        if (s->scratches->block[i].at == p) {
            s->scratches->block[i].lent = false;
            kept = true;
        }
    pthread_mutex_unlock(&s->scratches->lock);
    if (!kept && p)
        cudaFreeAsync(p, s->cuda);
}

void weft__cuda_scratch_close(weft__cuda_stream *s)
{
    if (!s->scratches)
        return;
    for (int i = 0; i < KEPT; i++)
        if (s->scratches->block[i].at)
            cudaFreeAsync(s->scratches->block[i].at, s->cuda);
    pthread_mutex_destroy(&s->scratches->lock);
    weft__free(s->scratches);
}
