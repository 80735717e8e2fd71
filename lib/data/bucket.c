/* Batches of rows of similar length: the epoch's rows are shuffled, every WINDOW batches of them
 * are sorted by length, and the full batches are shuffled again, so that padding is small and both
 * what is in a batch and when it comes stay random. The last, smaller batch stays last. */
#include "core/alloc.h"
#include "core/error.h"
#include "core/rng.h"
#include "data/sampler.h"

#include <string.h>
#include <xxhash.h>

#define WINDOW 50 /* batches sorted together */

typedef struct bucket {
    int64_t batch, window; /* rows */
    int64_t *length, *aside;
} bucket;

static void destroy(void *self)
{
    bucket *b = self;
    weft__free(b->length);
    weft__free(b->aside);
    weft__free(b);
}

/* Merge sort, stable: rows of equal length stay as the shuffle has them. */
static void sort(const bucket *b, int64_t *row, int64_t n)
{
    const int64_t *length = b->length;
    for (int64_t run = 1; run < n; run *= 2) {
        for (int64_t from = 0; from < n; from += 2 * run) {
            int64_t i = from, mid = from + run < n ? from + run : n;
            int64_t j = mid, end = mid + run < n ? mid + run : n;
            for (int64_t k = from; k < end; k++)
                b->aside[k] =
                    i < mid && (j == end || length[row[i]] <= length[row[j]]) ? row[i++] : row[j++];
        }
        memcpy(row, b->aside, (size_t)n * sizeof *row);
    }
}

static void shuffle_batches(const bucket *b, int64_t *order, int64_t n, uint64_t seed,
                            int64_t epoch)
{
    uint64_t stream = weft__stream_of("bucket");
    size_t bytes = (size_t)b->batch * sizeof *order;
    for (int64_t i = n / b->batch - 1; i > 0; i--) {
        int64_t j = (int64_t)weft__uniform_below(seed, stream, (uint64_t)epoch, (uint64_t)i,
                                                 (uint64_t)i + 1);
        memcpy(b->aside, order + i * b->batch, bytes);
        memmove(order + i * b->batch, order + j * b->batch, bytes);
        memcpy(order + j * b->batch, b->aside, bytes);
    }
}

static weft_status order(void *self, uint64_t seed, int64_t epoch, int64_t rows, int64_t *out,
                         int64_t n, char *why, size_t why_size)
{
    const bucket *b = self;
    (void)rows, (void)why, (void)why_size;
    weft__sampler_order(out, n, seed, epoch, true);
    for (int64_t i = 0; i < n; i += b->window)
        sort(b, out + i, n - i < b->window ? n - i : b->window);
    shuffle_batches(b, out, n, seed, epoch);
    return WEFT_OK;
}

weft_status weft__sampler_bucket(weft__sampler *s, int64_t rows, int64_t batch,
                                 const int64_t *lengths)
{
    static const weft_sampler_ops ops = {.size = sizeof ops, .name = "bucket", .order = order};
    for (int64_t i = 0; i < rows; i++)
        if (lengths[i] < 0)
            return weft__fail(WEFT_EARG, "loader: lengths[%lld] is %lld; lengths are at least 0",
                              (long long)i, (long long)lengths[i]);
    bucket *b = weft__new(1, sizeof *b);
    if (!b)
        return WEFT_ENOMEM;
    *s = (weft__sampler){.ops = &ops,
                         .self = b,
                         .free = destroy,
                         .digest = XXH3_64bits(lengths, (size_t)rows * sizeof *lengths)};
    b->batch = batch < rows ? batch : rows;
    b->window = b->batch > rows / WINDOW ? rows : WINDOW * b->batch;
    b->length = weft__new((size_t)rows, sizeof *b->length);
    b->aside = b->length ? weft__new((size_t)b->window, sizeof *b->aside) : NULL;
    if (!b->aside)
        return WEFT_ENOMEM;
    memcpy(b->length, lengths, (size_t)rows * sizeof *lengths);
    return WEFT_OK;
}
