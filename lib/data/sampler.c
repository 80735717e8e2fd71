/* The order of an epoch and its cuts. A position is drawn from a counter, never from a stream that
 * has been consumed, so any epoch can be had at once and all ranks agree without speaking. */
#include "data/sampler.h"

#include "core/rng.h"

void weft__sampler_order(int64_t *order, int64_t n, uint64_t seed, int64_t epoch, bool shuffle)
{
    uint64_t stream = weft__stream_of("sampler");
    for (int64_t i = 0; i < n; i++)
        order[i] = i;
    for (int64_t i = n - 1; shuffle && i > 0; i--) {
        uint64_t below = (uint64_t)i + 1;
        uint64_t j = weft__uniform_below(seed, stream, (uint64_t)epoch, (uint64_t)i, below);
        int64_t kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
}

int64_t weft__sampler_batches(int64_t n, int64_t batch, weft__last last)
{
    return n / batch + (last != WEFT__DROP && n % batch > 0);
}

int64_t weft__sampler_rows(int64_t n, int64_t batch, weft__last last, int64_t index)
{
    if (index < n / batch)
        return batch;
    if (index > n / batch || n % batch == 0 || last == WEFT__DROP)
        return 0;
    return last == WEFT__PAD ? batch : n % batch;
}

void weft__sampler_slice(int64_t rows, int rank, int world, int64_t *first, int64_t *count)
{
    int64_t even = rows / world, more = rows % world;
    *first = rank * even + (rank < more ? rank : more);
    *count = even + (rank < more);
}
