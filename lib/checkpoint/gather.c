/* The ranks' parts of the manifest, sent to rank 0 as runs of 64-bit words. */
#include "checkpoint/collect.h"
#include "comm/comm.h"
#include "core/alloc.h"
#include "core/error.h"

#include <string.h>

#define TAG 71

struct words {
    int64_t *w;
    size_t n, room, at;
};

static weft_status put(struct words *w, const void *from, size_t n)
{
    WEFT_TRY(weft__grow(&w->w, &w->room, w->n + n, sizeof *w->w));
    if (n)
        memcpy(w->w + w->n, from, n * sizeof *w->w);
    w->n += n;
    return WEFT_OK;
}

static weft_status put_text(struct words *w, const char *text)
{
    size_t bytes = strlen(text) + 1, n = (bytes + 7) / 8;
    int64_t count = (int64_t)n;
    WEFT_TRY(put(w, &count, 1));
    WEFT_TRY(weft__grow(&w->w, &w->room, w->n + n, sizeof *w->w));
    w->w[w->n + n - 1] = 0;
    memcpy(w->w + w->n, text, bytes);
    w->n += n;
    return WEFT_OK;
}

/* The next n words, or NULL if there are fewer. */
static const int64_t *get(struct words *w, int64_t n)
{
    if (n < 0 || (size_t)n > w->n - w->at)
        return NULL;
    w->at += (size_t)n;
    return w->w + w->at - n;
}

static weft_status pack_entry(const weft__entry *e, int rank, struct words *w)
{
    int64_t n = (int64_t)e->npieces;
    WEFT_TRY(put(w, &n, 1));
    for (size_t i = 0; i < e->npieces; i++) {
        const weft__piece *p = &e->piece[i];
        const int64_t head[] = {p->first, p->count, p->offset};
        WEFT_TRY(put(w, head, 3));
        WEFT_TRY(put(w, p->digest, (size_t)weft__piece_blocks(e, p)));
    }
    if (e->placement != WEFT_PER_RANK || e->kind == WEFT_STATE_TENSOR)
        return WEFT_OK;
    return e->kind == WEFT_STATE_TEXT ? put_text(w, e->text[rank])
                                      : put(w, e->values + rank * e->count, (size_t)e->count);
}

static weft_status pack(const weft__manifest *m, int rank, struct words *w)
{
    const weft__file *f = &m->file[rank];
    const int64_t head[] = {f->size, f->image, (int64_t)f->digest};
    WEFT_TRY(put(w, head, 3));
    for (size_t i = 0; i < m->n; i++)
        WEFT_TRY(pack_entry(&m->entry[i], rank, w));
    return WEFT_OK;
}

static weft_status torn(int rank)
{
    return weft__fail(WEFT_EPEER, "checkpoint: rank %d sent a slab table that does not fit", rank);
}

static weft_status unpack_piece(weft__entry *e, int rank, int number, struct words *w)
{
    const int64_t *head = get(w, 3), *digest;
    weft__piece *p = weft__entry_add(e);
    if (!head)
        return torn(rank);
    if (!p)
        return WEFT_ENOMEM;
    p->first = head[0];
    p->count = head[1];
    p->offset = head[2];
    p->shard = rank;
    p->number = number;
    size_t n = (size_t)weft__piece_blocks(e, p);
    if (!(digest = get(w, (int64_t)n)))
        return torn(rank);
    if (!(p->digest = weft__new(n, sizeof *p->digest)))
        return WEFT_ENOMEM;
    memcpy(p->digest, digest, n * sizeof *digest);
    return WEFT_OK;
}

static weft_status unpack_own(weft__entry *e, int rank, struct words *w)
{
    const int64_t *n = e->kind == WEFT_STATE_TEXT ? get(w, 1) : &e->count;
    const int64_t *own = n ? get(w, *n) : NULL;
    if (!own)
        return torn(rank);
    if (e->kind == WEFT_STATE_TEXT) {
        weft__free(e->text[rank]);
        return (e->text[rank] = weft__strdup((const char *)own)) ? WEFT_OK : WEFT_ENOMEM;
    }
    if (e->count)
        memcpy(e->values + rank * e->count, own, (size_t)e->count * sizeof *own);
    return WEFT_OK;
}

static weft_status unpack(weft__manifest *m, int rank, struct words *w)
{
    const int64_t *head = get(w, 3);
    if (!head)
        return torn(rank);
    weft__file *f = &m->file[rank];
    weft__shard_name(f->name, m->id, rank);
    f->size = head[0];
    f->image = head[1];
    f->digest = (uint64_t)head[2];
    for (size_t i = 0; i < m->n; i++) {
        weft__entry *e = &m->entry[i];
        const int64_t *pieces = get(w, 1);
        for (int k = 0; pieces && k < *pieces; k++)
            WEFT_TRY(unpack_piece(e, rank, k, w));
        if (!pieces)
            return torn(rank);
        if (e->placement == WEFT_PER_RANK && e->kind != WEFT_STATE_TENSOR)
            WEFT_TRY(unpack_own(e, rank, w));
    }
    return w->at == w->n ? WEFT_OK : torn(rank);
}

static weft_status unpack_all(weft__manifest *m, const struct words *all, const int64_t *count)
{
    struct words part = {.w = all->w};
    for (size_t i = 0; i < m->n; i++)
        weft__entry_clear(&m->entry[i]);
    for (int r = 0; r < m->world; r++) {
        part.n = (size_t)count[r];
        part.at = 0;
        WEFT_TRY(unpack(m, r, &part));
        part.w += count[r];
    }
    return WEFT_OK;
}

/* Rank 0's part is in front already. */
static weft_status transfer(weft_comm *c, struct words *mine, const int64_t *count)
{
    int64_t *to = mine->w + mine->n;
    if (c->rank != 0)
        return weft__send(c, "checkpoint slabs", mine->w, (int64_t)(mine->n * 8), 0, TAG);
    for (int r = 1; r < c->world; r++) {
        WEFT_TRY(weft__recv(c, "checkpoint slabs", to, count[r] * 8, r, TAG));
        to += count[r];
    }
    return WEFT_OK;
}

/* Makes room for all parts behind rank 0's. */
static weft_status reserve(weft_comm *c, struct words *mine, const int64_t *count)
{
    size_t sum = 0;
    for (int r = 0; r < c->world; r++)
        sum += (size_t)count[r];
    return c->rank ? WEFT_OK : weft__grow(&mine->w, &mine->room, sum, sizeof *mine->w);
}

static weft_status exchange(const weft__checkpoint *c, weft__manifest *m, struct words *mine,
                            int64_t *counts)
{
    weft_comm *comm = c->comm;
    int64_t *one = counts + comm->world, n;
    weft_status s = pack(m, comm->rank, mine);
    WEFT_TRY(weft__verdict(c, "checkpoint tables", s));
    for (int r = 0; r < comm->world; r++)
        one[r] = 1;
    n = (int64_t)mine->n;
    WEFT_TRY(weft__all_gather(comm, "checkpoint tables", counts, one, &n, WEFT_I64));
    WEFT_TRY(weft__verdict(c, "checkpoint tables", reserve(comm, mine, counts)));
    WEFT_TRY(transfer(comm, mine, counts));
    return weft__verdict(c, "checkpoint tables",
                         comm->rank ? WEFT_OK : unpack_all(m, mine, counts));
}

weft_status weft__gather(const weft__checkpoint *c, weft__manifest *m)
{
    struct words mine = {0};
    int64_t *counts = weft__new((size_t)c->comm->world, 2 * sizeof *counts);
    weft_status s = weft__verdict(c, "checkpoint tables", counts ? WEFT_OK : WEFT_ENOMEM);
    if (!s)
        s = exchange(c, m, &mine, counts);
    weft__free(mine.w);
    weft__free(counts);
    return s;
}
