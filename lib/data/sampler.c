/* The order of an epoch, its cuts, and the choice of a sampler. A position is drawn from a counter,
 * never from a stream that has been consumed, so any epoch can be had at once and all ranks agree
 * without speaking. */
#include "data/sampler.h"

#include "core/error.h"
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

void weft__sampler_slice(int64_t rows, int64_t rank, int64_t world, int64_t *first, int64_t *count)
{
    int64_t even = rows / world, more = rows % world;
    *first = rank * even + (rank < more ? rank : more);
    *count = even + (rank < more);
}

static weft_status shuffled(void *self, uint64_t seed, int64_t epoch, int64_t rows, int64_t *order,
                            int64_t n, char *why, size_t why_size)
{
    (void)self, (void)rows, (void)why, (void)why_size;
    weft__sampler_order(order, n, seed, epoch, true);
    return WEFT_OK;
}

/* Each place on its own, so it is the same however many there are. */
static weft_status drawn(void *self, uint64_t seed, int64_t epoch, int64_t rows, int64_t *order,
                         int64_t n, char *why, size_t why_size)
{
    (void)self, (void)why, (void)why_size;
    uint64_t stream = weft__stream_of("replacement");
    for (int64_t i = 0; i < n; i++)
        order[i] = (int64_t)weft__uniform_below(seed, stream, (uint64_t)epoch, (uint64_t)i,
                                                (uint64_t)rows);
    return WEFT_OK;
}

weft_status weft__sampler_make(weft__sampler *s, int64_t rows, int64_t batch,
                               const weft_loader_options *o)
{
    static const weft_sampler_ops shuffle = {
        .size = sizeof shuffle, .name = "shuffle", .order = shuffled};
    static const weft_sampler_ops replacement = {
        .size = sizeof replacement, .name = "replacement", .order = drawn};
    if (!o || rows == 0)
        return WEFT_OK;
    if (o->sampler && (o->sampler->size < sizeof *o->sampler || !o->sampler->order))
        return weft__fail(WEFT_EARG,
                          "loader: a sampler needs an ops table of full size with order");
    s->self = o->sampler_self;
    s->ops = o->sampler ? o->sampler : o->shuffle ? &shuffle : o->replacement ? &replacement : NULL;
    if (o->weights)
        return weft__sampler_weighted(s, rows, o->weights);
    return o->lengths ? weft__sampler_bucket(s, rows, batch, o->lengths) : WEFT_OK;
}

void weft__sampler_free(weft__sampler *s)
{
    if (s->free)
        s->free(s->self);
}
