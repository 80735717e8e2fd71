/* Which elements belong together, and in which order: for each of `keys` keys the elements 0..n-1 that have
 * it, ascending. Counted and placed by integer atomics in any order, then put in order, so that sums
 * over a key's elements have their order, on any GPU. */
#ifndef DEVICE_CUDA_BUCKETS_CUH
#define DEVICE_CUDA_BUCKETS_CUH
#include "device/cuda/each.cuh"

typedef unsigned long long cuda_number;

typedef struct weft__cuda_buckets {
    int64_t n, keys;
    int64_t *key;            /* of each element; below 0: none. The caller's to fill */
    cuda_number *head;       /* elements placed; then, in each of these, one a key: */
    cuda_number *count, *at; /* how many, and from which place on in order */
    cuda_number *placed;
    int64_t *loose, *order; /* elements: as they came, and ascending for each key */
    void *scratch;
} weft__cuda_buckets;

extern "C" {
/* Makes room. */
weft_status weft__cuda_buckets_new(weft_stream *s, weft__cuda_buckets *b, int64_t n, int64_t keys);
/* Fills count, at and order, from key. */
void weft__cuda_buckets_sort(weft_stream *s, const weft__cuda_buckets *b);
void weft__cuda_buckets_free(weft_stream *s, const weft__cuda_buckets *b);
}
#endif
