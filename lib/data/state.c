/* A loader's state: of a data set the seed and the place in the order, the same for all ranks; of a
 * stream where each shard stands, each rank's own. */
#include "core/log.h"
#include "data/object.h"

#include <string.h>

/* The values read, checked against the plan: the batch to go on with, or a negative code. The
 * cursor counts rows, so that another batch size can go on where this one stopped. */
static int64_t resume_at(const weft_loader *l, int64_t epoch, int64_t cursor, int64_t rows,
                         int64_t batch)
{
    const weft__plan *p = &l->plan;
    int64_t n;
    if (rows != p->rows)
        return weft__fail(
            WEFT_ECONFIG,
            "%.200s: the checkpoint was made with %lld rows of data, this data set has "
            "%lld; resume on the same data",
            l->source.label, (long long)rows, (long long)p->rows);
    if (epoch < 0 || cursor < 0 || __builtin_mul_overflow(epoch, p->batches, &n) ||
        __builtin_add_overflow(n, cursor / p->batch, &n))
        return weft__fail(WEFT_EFORMAT, "%.200s: the checkpoint says epoch %lld, row %lld",
                          l->source.label, (long long)epoch, (long long)cursor);
    if (cursor % p->batch)
        return weft__fail(
            WEFT_ECONFIG,
            "%.200s: the checkpoint stopped at row %lld of an epoch in batches of %lld; "
            "batches of %lld do not begin there: resume with a global batch that "
            "divides the row, or from the end of an epoch",
            l->source.label, (long long)cursor, (long long)batch, (long long)p->batch);
    if (cursor && batch != p->batch && l->plan.bucketed)
        return weft__fail(WEFT_ECONFIG,
                          "%.200s: the checkpoint stopped inside an epoch whose batches of %lld "
                          "were sorted by length; resume with that global batch",
                          l->source.label, (long long)batch);
    return n;
}

static weft_status numbers(weft_visitor *v, int n, const char *const *name, int64_t *value)
{
    for (int i = 0; i < n; i++) {
        const weft_state_item item = {.name = name[i],
                                      .kind = WEFT_STATE_I64,
                                      .placement = WEFT_ROOT,
                                      .dtype = WEFT_I64,
                                      .values = &value[i],
                                      .count = 1,
                                      .scratch = true};
        WEFT_TRY(v->item(v, &item));
    }
    return WEFT_OK;
}

static weft_status map_state(weft_loader *l, weft_visitor *v)
{
    weft__plan *p = &l->plan;
    int64_t per = p->batches ? p->batches : 1, n = (l->ring.taken - l->redo) / p->pieces;
    int64_t value[] = {(int64_t)p->seed, n / per, n % per * p->batch, p->rows, p->batch};
    static const char *const name[] = {"seed", "epoch", "cursor", "rows", "global_batch"};
    WEFT_TRY(numbers(v, 5, name, value));
    if (v->mode == WEFT_VISIT_SAVE)
        return WEFT_OK;
    n = resume_at(l, value[1], value[2], value[3], value[4]);
    if (n < 0)
        return (weft_status)n;
    if (v->mode == WEFT_VISIT_LOAD) {
        weft__ring_stop(&l->ring); /* they read the seed */
        p->seed = (uint64_t)value[0];
        weft__ring_seek(&l->ring, n * p->pieces);
        if (value[4] != p->batch && p->rank == 0)
            weft__say(WEFT_LOG_INFO, "%.200s: goes on with a global batch of %lld, it was %lld",
                      l->source.label, (long long)p->batch, (long long)value[4]);
    }
    return WEFT_OK;
}

/* The turn, then for each shard its rows, whether it has ended, and its own numbers. */
static void pack(const weft_loader *l)
{
    const weft__stream *s = &l->stream;
    int64_t *at = s->saved;
    *at++ = l->ring.taken;
    for (int i = 0; i < l->plan.shards; i++) {
        *at++ = s->seen[i].at.rows;
        *at++ = s->seen[i].ended;
        memcpy(at, s->seen[i].at.state, sizeof s->seen[i].at.state);
        at += WEFT_STREAM_STATE;
    }
}

static void unpack(weft_loader *l)
{
    weft__stream *s = &l->stream;
    const int64_t *at = s->saved;
    int64_t turn = *at++;
    for (int i = 0; i < l->plan.shards; i++) {
        s->seen[i].at.rows = *at++;
        s->seen[i].ended = *at++ != 0;
        memcpy(s->seen[i].at.state, at, sizeof s->seen[i].at.state);
        at += WEFT_STREAM_STATE;
    }
    weft__ring_seek(&l->ring, turn);
}

static weft_status check_stream(const weft_loader *l, const int64_t *value)
{
    bool good = l->stream.saved[0] >= 0;
    for (int i = 1; i < 5; i++)
        good &= value[i] >= 0;
    for (int i = 0; i < l->plan.shards; i++)
        good &= l->stream.saved[1 + i * (2 + WEFT_STREAM_STATE)] >= 0;
    return good ? WEFT_OK
                : weft__fail(WEFT_EFORMAT,
                             "%.200s: the checkpoint says that a shard stands before "
                             "its beginning",
                             l->source.label);
}

static weft_status stream_state(weft_loader *l, weft_visitor *v)
{
    weft__stream *s = &l->stream;
    int64_t value[] = {(int64_t)l->plan.seed, s->epoch, s->batches, s->handed, s->rows};
    static const char *const name[] = {"seed", "epoch", "epoch_batches", "batches", "rows"};
    const weft_state_item shards = {.name = "shards",
                                    .kind = WEFT_STATE_I64,
                                    .placement = WEFT_PER_RANK,
                                    .dtype = WEFT_I64,
                                    .values = s->saved,
                                    .count = 1 + l->plan.shards * (2 + WEFT_STREAM_STATE),
                                    .scratch = true};
    pack(l);
    WEFT_TRY(numbers(v, 5, name, value));
    WEFT_TRY(v->item(v, &shards));
    if (v->mode == WEFT_VISIT_SAVE)
        return WEFT_OK;
    WEFT_TRY(check_stream(l, value));
    if (v->mode == WEFT_VISIT_LOAD) {
        weft__ring_stop(&l->ring); /* they read the seed and the epoch */
        l->plan.seed = (uint64_t)value[0];
        s->epoch = value[1];
        s->batches = value[2];
        s->handed = value[3];
        s->rows = value[4];
        s->ended = s->epoch >= l->plan.epochs;
        unpack(l);
    }
    return WEFT_OK;
}

weft_status weft__loader_state(void *loader, weft_visitor *v)
{
    weft_loader *l = loader;
    return l->plan.stream ? stream_state(l, v) : map_state(l, v);
}
