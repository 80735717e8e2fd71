/* Streams as the loop sees them: empty batches are left out, and ranks whose shards have ended take
 * part with 0 rows until all ranks' have. One gather of the ranks' rows a step decides, and gives
 * each batch its place among all rows. */
#include "comm/comm.h"
#include "core/alloc.h"
#include "data/object.h"

#include <string.h>

static bool all_ended(const weft__stream *s)
{
    bool all = true;
    for (int i = 0; i < s->plan->shards; i++)
        all &= s->seen[i].ended;
    return all;
}

/* This rank's next batch that has rows; *out NULL at the end of the epoch. */
static weft_status take(weft_loader *l, weft__slot **out)
{
    weft__stream *s = &l->stream;
    *out = NULL;
    while (!s->ended && !all_ended(s)) {
        weft__slot *slot;
        WEFT_TRY(weft__ring_take(&l->ring, &slot));
        weft__shard *seen = &s->seen[slot->number % s->plan->shards];
        seen->at = slot->at;
        seen->ended = slot->ended;
        if (slot->code < 0)
            return weft__fail(slot->code, "%s", slot->why);
        if (slot->part.local > 0) {
            *out = slot;
            return WEFT_OK;
        }
    }
    return WEFT_OK;
}

static void begin_epoch(weft_loader *l, int64_t epoch)
{
    weft__stream *s = &l->stream;
    weft__ring_stop(&l->ring);
    s->epoch = epoch;
    s->batches = 0;
    s->ended = epoch >= l->plan.epochs;
    memset(s->seen, 0, (size_t)l->plan.shards * sizeof *s->seen);
    weft__ring_seek(&l->ring, 0);
}

void weft__stream_rewind(weft_loader *l)
{
    begin_epoch(l, 0);
    l->stream.handed = l->stream.rows = 0;
}

/* Hands out the slot, or 0 rows, as the next of `global` rows. */
static bool hand_out(weft_loader *l, const weft__slot *slot, int64_t before, int64_t global,
                     weft_batch *b)
{
    weft__stream *s = &l->stream;
    weft__slot none = {0};
    const weft__part_of part = {.epoch = s->epoch,
                                .index = s->batches++,
                                .local = slot ? slot->part.local : 0,
                                .global = global,
                                .base = s->rows + before};
    s->rows += global > 0 ? global : part.local;
    s->handed++;
    weft__slot_begin(&l->source, &none);
    return weft__loader_hand_out(l, slot ? slot : &none, &part, b);
}

bool weft__stream_next(weft_loader *l, weft_batch *b)
{
    weft_fabric *f = l->object.fabric;
    weft__stream *s = &l->stream;
    weft__slot *slot = NULL;
    weft_status code = WEFT_OK;
    while (code == WEFT_OK && !slot && !s->ended) {
        code = take(l, &slot);
        if (code == WEFT_OK && !slot)
            begin_epoch(l, s->epoch + 1);
    }
    if (code < 0)
        weft__stick(f, code);
    return code == WEFT_OK && slot &&
           hand_out(l, slot, 0, l->plan.world == 1 ? slot->part.local : 0, b);
}

/* Rows of all ranks and of those before this one; *bad: a rank has failed. */
static weft_status gather(weft_loader *l, int64_t mine, int64_t *before, int64_t *global, bool *bad)
{
    const weft__plan *p = &l->plan;
    int64_t *count = l->stream.counts;
    count[p->rank] = mine;
    if (p->world > 1)
        WEFT_TRY(weft__all_gather(l->object.fabric->comm, "rows of the batch", count,
                                  count + p->world, &mine, WEFT_I64));
    *before = *global = 0;
    *bad = false;
    for (int r = 0; r < p->world; r++) {
        *bad |= count[r] < 0;
        *before += r < p->rank ? count[r] : 0;
        *global += count[r];
    }
    return WEFT_OK;
}

bool weft__loader_join(weft_loader *l, weft_batch *b)
{
    weft_fabric *f = l->object.fabric;
    weft__stream *s = &l->stream;
    weft__slot *slot;
    int64_t before, global = 0;
    bool bad;
    *b = (weft_batch){0};
    while (!global && !s->ended) {
        weft_status code = take(l, &slot);
        if (code < 0)
            weft__stick(f, code);
        code = gather(l, weft__stuck(f) ? -1 : slot ? slot->part.local : 0, &before, &global, &bad);
        if (code < 0)
            weft__stick(f, code);
        if (code < 0 || bad)
            return false;
        if (!global)
            begin_epoch(l, s->epoch + 1);
    }
    /* Where only this rank cannot, it takes part in the others' step with nothing. */
    if (global && !hand_out(l, slot, before, global, b))
        *b = (weft_batch){0};
    return global > 0;
}
