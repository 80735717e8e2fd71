/* Makes one batch of a stream. Batch n of an epoch comes from shard n % shards of this rank, so
 * that what a rank gets depends on its shards and not on who reads them. An ended shard makes empty
 * batches, which the loop leaves out. Runs in the workers. */
#include "data/stream.h"

#include "core/alloc.h"

#include <stdio.h>

static weft_status open_stream(void *self, int workers)
{
    weft__stream *s = self;
    size_t bytes = 0;
    for (int k = 0; k < s->source->fields; k++)
        if (!s->source->cast[k].plain)
            bytes += weft__source_bytes(s->source, k, weft__plan_most(s->plan), false);
    s->staging_bytes = (bytes + 63) / 64 * 64;
    if (!s->staging)
        s->staging = weft__new((size_t)workers, s->staging_bytes);
    return s->staging ? WEFT_OK : WEFT_ENOMEM;
}

static void close_all(weft__stream *s)
{
    const weft_stream_ops *ops = s->source->stream;
    for (int i = 0; s->shard && i < s->plan->shards; i++) {
        if (s->shard[i].open && ops->close)
            ops->close(s->shard[i].cursor);
        s->shard[i].open = false;
    }
}

/* All shards stand where `seen` says. */
static void seek(void *self, int64_t n)
{
    weft__stream *s = self;
    int64_t shards = s->plan->shards;
    close_all(s);
    for (int64_t i = 0; i < shards; i++)
        s->shard[i] = (weft__shard){.at = s->seen[i].at,
                                    .ended = s->seen[i].ended,
                                    .turn = n + (i - n % shards + shards) % shards};
}

weft_status weft__stream_init(weft__stream *s, const weft__plan *plan, const weft__source *source)
{
    size_t n = (size_t)plan->shards, world = (size_t)plan->world;
    s->plan = plan;
    s->source = source;
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->turned, NULL);
    s->shard = weft__new(n, sizeof *s->shard);
    s->seen = s->shard ? weft__new(n, sizeof *s->seen) : NULL;
    s->counts = s->seen ? weft__new(2 * world, sizeof *s->counts) : NULL;
    s->saved = s->counts ? weft__new(1 + n * (2 + WEFT_STREAM_STATE), sizeof *s->saved) : NULL;
    if (!s->saved)
        return WEFT_ENOMEM;
    for (size_t r = 0; r < world; r++)
        s->counts[world + r] = 1;
    seek(s, 0);
    return WEFT_OK;
}

void weft__stream_free(weft__stream *s)
{
    if (!s->plan)
        return;
    close_all(s);
    weft__free(s->shard);
    weft__free(s->seen);
    weft__free(s->counts);
    weft__free(s->saved);
    weft__free(s->staging);
    pthread_cond_destroy(&s->turned);
    pthread_mutex_destroy(&s->mutex);
}

static void claim(void *self, weft__slot *slot)
{
    const weft__stream *s = self;
    slot->part = (weft__part_of){.epoch = s->epoch, .index = slot->number};
}

static int64_t number_of(const weft__stream *s, int64_t shard)
{
    return s->plan->rank * (int64_t)s->plan->shards + shard;
}

static weft_status failed(const weft__stream *s, weft__slot *slot, int64_t shard, weft_status code,
                          const char *why)
{
    snprintf(slot->why, sizeof slot->why,
             "%.120s: shard %lld of %lld, after row %lld of epoch %lld: %s", s->source->label,
             (long long)number_of(s, shard), (long long)s->plan->shards * s->plan->world,
             (long long)s->shard[shard].at.rows, (long long)slot->part.epoch,
             why[0] ? why : weft_strerror(code));
    slot->part.local = 0;
    return slot->code = code;
}

static weft_status enter(const weft__stream *s, weft__slot *slot, int64_t shard)
{
    weft__shard *at = &s->shard[shard];
    const weft__source *src = s->source;
    char why[WEFT__TEXT / 2] = "";
    if (at->open)
        return WEFT_OK;
    weft_status code =
        src->stream->open(src->self, number_of(s, shard), (int64_t)s->plan->shards * s->plan->world,
                          slot->part.epoch, &at->at, &at->cursor, why, sizeof why);
    at->open = code >= 0;
    return code < 0 ? failed(s, slot, shard, code, why) : WEFT_OK;
}

/* The rows, or fewer at the shard's end; where it stands then is part of the slot. */
static weft_status read(const weft__stream *s, weft__slot *slot, int64_t shard, void *staging)
{
    weft__shard *at = &s->shard[shard];
    const weft__source *src = s->source;
    char why[WEFT__TEXT / 2] = "";
    void *raw[WEFT_FIELDS] = {NULL};
    int64_t most = weft__plan_most(s->plan), got = -1;
    weft_stream_at then = at->at;
    weft__slot_raw(src, slot, staging, most, raw);
    slot->part.local = most;
    slot->part.base = at->at.rows;
    weft_rows r = weft__slot_rows(src, slot, s->plan->seed);
    r.shard = (uint64_t)number_of(s, shard);
    weft_status code = src->stream->next(at->cursor, &r, raw, &got, &then, why, sizeof why);
    if (code < 0) {
        failed(s, slot, shard, code, why);
        then.rows = at->at.rows;
        at->at = then; /* where it goes on after weft_clear is the stream's to say */
        return code;
    }
    if (got < 0 || got > most) {
        snprintf(why, sizeof why, "next gave %lld rows of at most %lld", (long long)got,
                 (long long)most);
        return failed(s, slot, shard, WEFT_EUSER, why);
    }
    then.rows = at->at.rows + got;
    at->at = then;
    at->ended = got < most;
    slot->part.local = got;
    return weft__slot_cast(src, slot, raw);
}

static void make(const weft__stream *s, int worker, weft__slot *slot, int64_t shard)
{
    char *staging = s->staging + (size_t)worker * s->staging_bytes;
    const weft__shard *at = &s->shard[shard];
    if (!at->ended && enter(s, slot, shard) == WEFT_OK &&
        read(s, slot, shard, staging) == WEFT_OK && slot->part.local > 0)
        weft__slot_transform(s->source, worker, slot, s->plan->seed);
    slot->at = at->at;
    slot->ended = at->ended;
}

/* A shard's batches are made one after the other: earlier ones were claimed before. */
static void fill(void *self, int worker, weft__slot *slot)
{
    weft__stream *s = self;
    int64_t shard = slot->number % s->plan->shards;
    pthread_mutex_lock(&s->mutex);
    while (s->shard[shard].turn != slot->number)
        pthread_cond_wait(&s->turned, &s->mutex);
    pthread_mutex_unlock(&s->mutex);
    make(s, worker, slot, shard);
    pthread_mutex_lock(&s->mutex);
    s->shard[shard].turn += s->plan->shards;
    pthread_cond_broadcast(&s->turned);
    pthread_mutex_unlock(&s->mutex);
}

const weft__maker_ops weft__stream_ops = {
    .open = open_stream, .claim = claim, .fill = fill, .seek = seek};
