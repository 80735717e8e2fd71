/* Which elements belong together, and in which order. */
#include "device/cuda/buckets.cuh"

__global__ static void tally(weft__cuda_buckets b)
{
    for (int64_t i = cuda_first(); i < b.n; i += cuda_step())
        if (b.key[i] >= 0)
            atomicAdd(b.count + b.key[i], 1ULL);
}

/* Each key's room, one behind the other in the order of their coming. */
__global__ static void reserve(weft__cuda_buckets b)
{
    for (int64_t k = cuda_first(); k < b.keys; k += cuda_step())
        if (b.count[k])
            b.at[k] = atomicAdd(b.head, b.count[k]);
}

__global__ static void place(weft__cuda_buckets b)
{
    for (int64_t i = cuda_first(); i < b.n; i += cuda_step()) {
        const int64_t k = b.key[i];
        if (k >= 0)
            b.loose[b.at[k] + atomicAdd(b.placed + k, 1ULL)] = i;
    }
}

/* An element's place among its key's is the number of those before it. */
__global__ static void arrange(weft__cuda_buckets b)
{
    for (int64_t i = cuda_first(); i < b.n; i += cuda_step()) {
        const int64_t k = b.key[i];
        if (k < 0)
            continue;
        const int64_t *from = b.loose + b.at[k], count = (int64_t)b.count[k];
        int64_t before = 0;
#pragma unroll 4
        for (int64_t j = 0; j < count; j++)
            before += from[j] < i;
        b.order[b.at[k] + before] = i;
    }
}

weft_status weft__cuda_buckets_new(weft_stream *s, weft__cuda_buckets *b, int64_t n, int64_t keys)
{
    const size_t bytes = (size_t)(3 * n + 3 * keys + 1) * 8;
    WEFT_TRY(weft__cuda_scratch(s, bytes, &b->scratch));
    b->n = n;
    b->keys = keys;
    b->head = (cuda_number *)b->scratch;
    b->count = b->head + 1;
    b->placed = b->count + keys;
    b->at = b->placed + keys;
    b->key = (int64_t *)(b->at + keys);
    b->loose = b->key + n;
    b->order = b->loose + n;
    return weft__cuda_status(
        s->device, "cudaMemsetAsync",
        cudaMemsetAsync(b->scratch, 0, (size_t)(2 * keys + 1) * 8, cuda_on(s)));
}

void weft__cuda_buckets_sort(weft_stream *s, const weft__cuda_buckets *b)
{
    CUDA_RUN(tally, cuda_blocks_of(s, b->n, 1), *b);
    CUDA_RUN(reserve, cuda_blocks_of(s, b->keys, 1), *b);
    CUDA_RUN(place, cuda_blocks_of(s, b->n, 1), *b);
    CUDA_RUN(arrange, cuda_blocks_of(s, b->n, 1), *b);
}

void weft__cuda_buckets_free(weft_stream *s, const weft__cuda_buckets *b)
{
    weft__cuda_unscratch(s, b->scratch);
}
