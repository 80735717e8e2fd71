/* Options, strictly read, and the arithmetic of batches over a run. */
#include "data/plan.h"

#include "core/env.h"

#define DEFAULT_BATCH 32
#define DEFAULT_PREFETCH 2
#define MOST_PREFETCH 1024
#define MOST_SHARDS 4096

/* The options that choose an order, and may not meet. */
static weft_status read_order(weft__plan *p, const weft_loader_options *o)
{
    const bool drawn = o->replacement || o->weights || o->sampler;
    const int chosen = o->shuffle + o->replacement + !!o->weights + !!o->lengths + !!o->sampler;
    /* A shuffle beside lengths says that the batches come shuffled: they do. */
    if (chosen > 1 && !(chosen == 2 && o->shuffle && o->lengths))
        return weft__fail(WEFT_EARG, "loader: shuffle, replacement, weights, lengths and sampler "
                                     "exclude each other; give one of them");
    if (o->samples < 0 || (o->samples && !drawn))
        return weft__fail(WEFT_EARG,
                          "loader: samples is %lld; it takes at least 1 row an epoch, with "
                          "replacement, weights or sampler",
                          (long long)o->samples);
    if (o->evaluation && chosen)
        return weft__fail(WEFT_EARG,
                          "loader: an evaluation takes every row once and in order; leave out "
                          "shuffle, replacement, weights, lengths and sampler, or evaluation");
    p->samples = p->rows > 0 && o->samples ? o->samples : p->rows;
    p->ordered = chosen > 0;
    p->bucketed = o->lengths != NULL;
    return WEFT_OK;
}

static weft_status read_batch(weft__plan *p, const weft_loader_options *o)
{
    if (o->global_batch < 0 || o->batch_size < 0)
        return weft__fail(WEFT_EARG, "loader: %s is %lld; it takes a number of rows, at least 1",
                          o->global_batch < 0 ? "global_batch" : "batch_size",
                          (long long)(o->global_batch < 0 ? o->global_batch : o->batch_size));
    if (o->global_batch && o->batch_size)
        return weft__fail(
            WEFT_EARG,
            "loader: global_batch %lld (rows over all ranks) and batch_size %lld (rows "
            "a rank) exclude each other; give one of them",
            (long long)o->global_batch, (long long)o->batch_size);
    p->batch = o->global_batch ? o->global_batch : DEFAULT_BATCH;
    if (o->batch_size && __builtin_mul_overflow(o->batch_size, (int64_t)p->world, &p->batch))
        return weft__fail(WEFT_EARG, "loader: batch_size %lld times %d ranks is too large",
                          (long long)o->batch_size, p->world);
    return WEFT_OK;
}

static weft_status read_last(weft__plan *p, const weft_loader_options *o)
{
    static const char *const word[] = {"uneven", "drop", "pad"};
    int i = o->last ? weft__parse_choice("loader: last", o->last, word, 3) : WEFT__UNEVEN;
    if (i < 0)
        return WEFT_EARG;
    p->last = (weft__last)i;
    if (o->evaluation && p->last != WEFT__UNEVEN)
        return weft__fail(WEFT_EARG, "loader: an evaluation takes every row once and in order; "
                                     "leave out last, or evaluation");
    return WEFT_OK;
}

static weft_status read_rest(weft__plan *p, const weft_fabric *f, const weft_loader_options *o)
{
    if (o->epochs < 0)
        return weft__fail(WEFT_EARG, "loader: epochs is %lld; it takes at least 1",
                          (long long)o->epochs);
    if (o->prefetch < WEFT_OFF || o->prefetch > MOST_PREFETCH)
        return weft__fail(WEFT_EARG,
                          "loader: prefetch is %d; it takes 1 to %d batches, or WEFT_OFF",
                          o->prefetch, MOST_PREFETCH);
    if (o->workers < 0 || o->workers > WEFT__WORKERS || (o->workers > 1 && o->prefetch == WEFT_OFF))
        return weft__fail(WEFT_EARG,
                          "loader: workers is %d; it takes 1 to %d threads, and prefetch=WEFT_OFF "
                          "has none",
                          o->workers, WEFT__WORKERS);
    p->epochs = o->epochs ? o->epochs : 1;
    p->seed = o->seed ? o->seed : f->seed;
    p->workers = o->workers ? o->workers : 1;
    p->evaluation = o->evaluation;
    p->small_more = o->prefetch == 0;
    p->prefetch = o->prefetch == WEFT_OFF ? 0 : o->prefetch ? o->prefetch : DEFAULT_PREFETCH;
    return WEFT_OK;
}

weft_status weft__plan_make(weft__plan *p, const weft_fabric *f, int64_t rows,
                            const weft_loader_options *o)
{
    static const weft_loader_options none;
    int64_t total, turns;
    o = o ? o : &none;
    *p = (weft__plan){.rows = rows, .rank = f->rank, .world = f->world};
    p->pieces = f->own_leaves && !o->evaluation ? f->own_leaves : 1;
    if (o->shards)
        return weft__fail(WEFT_EARG, "loader: shards is %d; only streams have shards", o->shards);
    WEFT_TRY(read_batch(p, o));
    WEFT_TRY(read_last(p, o));
    WEFT_TRY(read_order(p, o));
    WEFT_TRY(read_rest(p, f, o));
    p->batches = weft__sampler_batches(p->samples, p->batch, p->last);
    if (rows > 0 && p->batches == 0)
        return weft__fail(WEFT_EARG,
                          "loader: the data set has %lld rows, a global batch %lld, and last=drop "
                          "leaves none; use a smaller batch, or last=uneven",
                          (long long)p->samples, (long long)p->batch);
    /* base counts rows over the run, so that product must fit too. */
    if (p->samples > INT64_MAX / 2 || p->batch > INT64_MAX / 2 - p->samples ||
        __builtin_mul_overflow(p->epochs, p->pieces, &turns) ||
        __builtin_mul_overflow(p->samples + p->batch, turns, &total))
        return weft__fail(WEFT_EARG,
                          "loader: %lld epochs of %lld rows in batches of %lld are more "
                          "than can be counted",
                          (long long)p->epochs, (long long)p->samples, (long long)p->batch);
    return WEFT_OK;
}

weft_status weft__plan_stream(weft__plan *p, const weft_fabric *f, const weft_loader_options *o)
{
    static const weft_loader_options none;
    *p = (weft__plan){.rank = f->rank, .world = f->world, .stream = true, .pieces = 1};
    o = o ? o : &none;
    if (f->leaves && !o->evaluation)
        return weft__fail(WEFT_ENOTSUP,
                          "loader: the rows of a stream depend on the number of "
                          "ranks, and reproducible=%d is to make nothing depend on "
                          "it; use a data set whose rows have numbers",
                          f->leaves);
    if (o->last || o->shuffle || o->replacement || o->weights || o->lengths || o->samples ||
        o->sampler)
        return weft__fail(WEFT_EARG, "loader: a stream has no order; leave out last, shuffle, "
                                     "replacement, weights, lengths, samples and sampler");
    if (o->shards < 0 || o->shards > MOST_SHARDS)
        return weft__fail(WEFT_EARG, "loader: shards is %d; a rank reads 1 to %d", o->shards,
                          MOST_SHARDS);
    WEFT_TRY(read_batch(p, o));
    if (p->batch % p->world)
        return weft__fail(WEFT_EARG,
                          "loader: a global batch of %lld rows of a stream is not the same on each "
                          "of %d ranks; give batch_size, or a multiple",
                          (long long)p->batch, p->world);
    WEFT_TRY(read_rest(p, f, o));
    p->shards = o->shards ? o->shards : p->workers;
    return WEFT_OK;
}

weft__part_of weft__plan_part(const weft__plan *p, int64_t n)
{
    const int64_t batch = n / p->pieces, piece = p->rank * p->pieces + n % p->pieces;
    weft__part_of s = {.epoch = batch / p->batches, .index = batch % p->batches};
    int64_t of_epoch = p->last == WEFT__UNEVEN ? p->samples : p->batches * p->batch, first;
    s.global = weft__sampler_rows(p->samples, p->batch, p->last, s.index);
    weft__sampler_slice(s.global, piece, p->world * p->pieces, &first, &s.local);
    s.position = s.index * p->batch + first;
    s.base = s.epoch * of_epoch + s.position;
    return s;
}

int64_t weft__plan_total(const weft__plan *p)
{
    return p->epochs * p->batches * p->pieces;
}

int64_t weft__plan_most(const weft__plan *p)
{
    if (p->stream)
        return p->batch / p->world;
    int64_t most = p->last == WEFT__UNEVEN && p->samples < p->batch ? p->samples : p->batch;
    return (most + p->world * p->pieces - 1) / (p->world * p->pieces);
}
