/* Bringing what one rank has to the others. */
#include "comm/shm_self.h"

#include "core/error.h"

#include <string.h>

static void copy(void *to, const void *from, size_t bytes)
{
    if (bytes && to != from)
        memmove(to, from, bytes);
}

/* ---- broadcast ---- */

/* The root is a chunk ahead of the others, who read the one before. */
static weft_status spread(weft__shm *s, char *buf, int64_t bytes, int root)
{
    int64_t n;
    for (int64_t at = 0, i = 0; at < bytes; at += n, i++) {
        char *stage = weft__desk_of(s, root)->stage[i & 1];
        n = bytes - at < WEFT__STAGE ? bytes - at : WEFT__STAGE;
        if (s->base.rank == root)
            memcpy(stage, buf + at, (size_t)n);
        WEFT_TRY(weft__shm_meet(s));
        if (s->base.rank != root)
            memcpy(buf + at, stage, (size_t)n);
    }
    return WEFT_OK;
}

weft_status weft__shm_broadcast(weft_comm *c, void *buf, int64_t bytes, int root)
{
    weft__shm *s = c->self;
    const weft__call call = {.kind = WEFT__BROADCAST, .how = root, .n = bytes};
    bool small = bytes <= WEFT__SLOT;
    if (small && c->rank == root)
        copy(weft__shm_next(s), buf, (size_t)bytes);
    WEFT_TRY(weft__shm_begin(s, &call, buf));
    if (small && c->rank != root)
        copy(buf, weft__slot_of(s, root)->data, (size_t)bytes);
    if (small)
        return WEFT_OK;
    if (!weft__shm_in_window(s))
        return spread(s, buf, bytes, root);
    if (c->rank != root)
        memcpy(buf, weft__shm_buffer(s, root), (size_t)bytes);
    return weft__shm_meet(s); /* the root may change it again */
}

/* ---- all_gather ---- */

typedef struct gather {
    char *out;
    const int64_t *counts;
    size_t size;
    int64_t most; /* of counts */
} gather;

/* What travels of rank q from element `at` on. */
static size_t bytes_of(const gather *g, int q, int64_t at)
{
    int64_t most = WEFT__STAGE / (int64_t)g->size, left = g->counts[q] - at;
    return (size_t)(left < 0 ? 0 : left < most ? left : most) * g->size;
}

static weft_status exchange(weft__shm *s, const gather *g, const char *mine)
{
    const int64_t most = WEFT__STAGE / (int64_t)g->size;
    const int rank = s->base.rank;
    for (int64_t at = 0, i = 0; at < g->most; at += most, i++) {
        size_t skip = (size_t)at * g->size;
        char *out = g->out;
        copy(weft__desk_of(s, rank)->stage[i & 1], mine + skip, bytes_of(g, rank, at));
        WEFT_TRY(weft__shm_meet(s));
        for (int q = 0; q < s->base.world; q++) {
            if (q != rank)
                copy(out + skip, weft__desk_of(s, q)->stage[i & 1], bytes_of(g, q, at));
            out += (size_t)g->counts[q] * g->size;
        }
    }
    return WEFT_OK;
}

/* From where each rank's part is, q's at of(s, q). */
static void collect(const weft__shm *s, const gather *g, const char *(*of)(const weft__shm *, int))
{
    char *out = g->out;
    for (int q = 0; q < s->base.world; q++) {
        size_t bytes = (size_t)g->counts[q] * g->size;
        if (q != s->base.rank)
            copy(out, of(s, q), bytes);
        out += bytes;
    }
}

static const char *in_slot(const weft__shm *s, int q)
{
    return weft__slot_of(s, q)->data;
}

static const char *in_window(const weft__shm *s, int q)
{
    return weft__shm_buffer(s, q);
}

weft_status weft__shm_all_gather(weft_comm *c, void *out, const int64_t *counts, const void *in,
                                 weft_dtype t)
{
    weft__shm *s = c->self;
    gather g = {.out = out, .counts = counts, .size = weft_dtype_size(t)};
    weft__call call = {.kind = WEFT__ALL_GATHER, .type = (int16_t)t};
    char *part = out;
    for (int q = 0; q < c->world; q++) {
        g.most = counts[q] > g.most ? counts[q] : g.most;
        part += q < c->rank ? (size_t)counts[q] * g.size : 0;
        call.n += counts[q];
    }
    call.parts = weft__shm_hash(s, counts);
    const size_t bytes = (size_t)counts[c->rank] * g.size;
    const bool small = g.most <= WEFT__SLOT / (int64_t)g.size;
    copy(part, in, bytes);
    if (small)
        copy(weft__shm_next(s), part, bytes);
    WEFT_TRY(weft__shm_begin(s, &call, weft__shm_place(s, part).window ? part : in));
    if (small) {
        collect(s, &g, in_slot);
        return WEFT_OK;
    }
    if (!weft__shm_in_window(s))
        return exchange(s, &g, part);
    collect(s, &g, in_window);
    return weft__shm_meet(s); /* the others may change theirs again */
}
