/* Entries and pieces, and the checks that make them a whole. */
#include "checkpoint/manifest.h"

#include "core/alloc.h"
#include "core/error.h"

#include <stdlib.h>
#include <string.h>

const char *const weft__kind_word[4] = {"tensor", "i64", "f64", "text"};
const char *const weft__placement_word[4] = {"replicated", "sharded", "per-rank", "root"};

void weft__entry_clear(weft__entry *e)
{
    for (size_t i = 0; i < e->npieces; i++)
        weft__free(e->piece[i].digest);
    weft__free(e->piece);
    e->piece = NULL;
    e->npieces = e->room = 0;
}

void weft__manifest_free(weft__manifest *m)
{
    for (size_t i = 0; i < m->n; i++) {
        weft__entry *e = &m->entry[i];
        weft__entry_clear(e);
        for (int k = 0; e->text && k < e->owners; k++)
            weft__free(e->text[k]);
        weft__free(e->text);
        weft__free(e->values);
        weft__free(e->name);
    }
    weft__free(m->entry);
    weft__free(m->by_name);
    weft__free(m->file);
    memset(m, 0, sizeof *m);
}

weft__entry *weft__manifest_add(weft__manifest *m)
{
    return weft__grow(&m->entry, &m->room, m->n + 1, sizeof *m->entry) ? NULL : &m->entry[m->n++];
}

weft__piece *weft__entry_add(weft__entry *e)
{
    return weft__grow(&e->piece, &e->room, e->npieces + 1, sizeof *e->piece)
               ? NULL
               : &e->piece[e->npieces++];
}

int64_t weft__piece_bytes(const weft__entry *e, const weft__piece *p)
{
    return p->count * (int64_t)weft_dtype_size(e->dtype);
}

int64_t weft__piece_blocks(const weft__entry *e, const weft__piece *p)
{
    return (weft__piece_bytes(e, p) - 1) / WEFT__BLOCK + 1;
}

static int order_names(const void *a, const void *b)
{
    const weft__entry *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

weft_status weft__manifest_names(weft__manifest *m, const char *where)
{
    weft__free(m->by_name);
    if (!(m->by_name = weft__new(m->n, sizeof *m->by_name)))
        return WEFT_ENOMEM;
    for (size_t i = 0; i < m->n; i++)
        m->by_name[i] = &m->entry[i];
    qsort(m->by_name, m->n, sizeof *m->by_name, order_names);
    for (size_t i = 1; i < m->n; i++)
        if (order_names(&m->by_name[i - 1], &m->by_name[i]) == 0)
            return weft__fail(WEFT_EFORMAT, "%s: two items have the name \"%s\"", where,
                              m->by_name[i]->name);
    return WEFT_OK;
}

static int order_name_entry(const void *name, const void *entry)
{
    const weft__entry *const *e = entry;
    return strcmp(name, (*e)->name);
}

weft__entry *weft__manifest_find(const weft__manifest *m, const char *name)
{
    weft__entry **e = m->n ? bsearch(name, m->by_name, m->n, sizeof *e, order_name_entry) : NULL;
    return e ? *e : NULL;
}

static int order(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int order_first(const void *a, const void *b)
{
    const weft__piece *x = a, *y = b;
    return order(x->first, y->first);
}

static int order_owner(const void *a, const void *b)
{
    const weft__piece *x = a, *y = b;
    return x->shard != y->shard ? order(x->shard, y->shard) : order_first(a, b);
}

/* Pieces [from, to) follow each other from element 0 to numel. */
static weft_status whole(const weft__entry *e, size_t from, size_t to, const char *where)
{
    int64_t at = 0;
    for (size_t i = from; i < to; i++) {
        if (e->piece[i].first != at)
            return weft__fail(WEFT_EFORMAT, "%s: \"%s\" has element %lld %s", where, e->name,
                              (long long)(e->piece[i].first < at ? e->piece[i].first : at),
                              e->piece[i].first < at ? "twice" : "in no shard");
        at += e->piece[i].count;
    }
    return at == e->numel ? WEFT_OK
                          : weft__fail(WEFT_EFORMAT, "%s: \"%s\" has element %lld in no shard",
                                       where, e->name, (long long)at);
}

static weft_status covered(weft__entry *e, int world, const char *where)
{
    bool own = e->placement == WEFT_PER_RANK;
    size_t to = 0;
    if (e->npieces)
        qsort(e->piece, e->npieces, sizeof *e->piece, own ? order_owner : order_first);
    if (!own)
        return whole(e, 0, e->npieces, where);
    for (int r = 0; r < world; r++) {
        size_t from = to;
        while (to < e->npieces && e->piece[to].shard == r)
            to++;
        WEFT_TRY(whole(e, from, to, where));
    }
    return WEFT_OK;
}

struct extent {
    int shard;
    int64_t from, to;
    const char *name;
};

static int order_extent(const void *a, const void *b)
{
    const struct extent *x = a, *y = b;
    return x->shard != y->shard ? order(x->shard, y->shard) : order(x->from, y->from);
}

static weft_status apart(const weft__manifest *m, size_t n, const char *where)
{
    struct extent *x = weft__new(n, sizeof *x);
    weft_status s = WEFT_OK;
    size_t k = 0;
    if (!x)
        return WEFT_ENOMEM;
    for (size_t i = 0; i < m->n; i++)
        for (size_t j = 0; j < m->entry[i].npieces; j++) {
            const weft__piece *p = &m->entry[i].piece[j];
            x[k++] =
                (struct extent){p->shard, p->offset, p->offset + weft__piece_bytes(&m->entry[i], p),
                                m->entry[i].name};
        }
    qsort(x, n, sizeof *x, order_extent);
    for (size_t i = 1; i < n && !s; i++)
        if (x[i].shard == x[i - 1].shard && x[i].from < x[i - 1].to)
            s = weft__fail(WEFT_EFORMAT, "%s: \"%s\" and \"%s\" share bytes of shard %d", where,
                           x[i - 1].name, x[i].name, x[i].shard);
    weft__free(x);
    return s;
}

weft_status weft__manifest_seal(weft__manifest *m, const char *where)
{
    size_t pieces = 0;
    m->blocks = 0;
    WEFT_TRY(weft__manifest_names(m, where));
    for (size_t i = 0; i < m->n; i++) {
        weft__entry *e = &m->entry[i];
        if (e->kind != WEFT_STATE_TENSOR)
            continue;
        WEFT_TRY(covered(e, m->world, where));
        for (size_t j = 0; j < e->npieces; j++) {
            e->piece[j].block = m->blocks;
            m->blocks += weft__piece_blocks(e, &e->piece[j]);
        }
        pieces += e->npieces;
    }
    return apart(m, pieces, where);
}
