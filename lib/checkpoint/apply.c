/* The loading visitor: each rank reads its slabs, block by block, and puts them where they live. */
#include "checkpoint/load.h"
#include "checkpoint/slabs.h"
#include "core/error.h"
#include "core/log.h"

#include <stdio.h>
#include <string.h>

#define CHUNK 512 /* elements that are converted at a time */

struct apply {
    weft_visitor v;
    const weft__checkpoint *c;
    weft__reader *r;
    bool converted;
};

/* n bytes at `skip` of a slab in memory. */
static weft_status store(const weft__checkpoint *c, const weft_slab *s, int64_t skip,
                         const void *from, int64_t n)
{
    weft_dev at = {s->data.addr + (uintptr_t)skip};
    char *host = s->host ? (char *)s->host + skip : NULL;
    if (!host && c->device->ops->immediate && c->device->ops->host)
        host = c->device->ops->host(c->device, at);
    if (!host)
        return c->device->ops->upload(c->stream, at, from, (size_t)n);
    memcpy(host, from, (size_t)n);
    return WEFT_OK;
}

/* The same in the program's type, from n elements of the checkpoint's. */
static weft_status store_as(const weft__checkpoint *c, weft_dtype to, const weft_slab *s,
                            int64_t element, weft_dtype t, const char *from, int64_t n)
{
    double chunk[CHUNK];
    const int64_t in = (int64_t)weft_dtype_size(t), out = (int64_t)weft_dtype_size(to);
    for (int64_t i = 0, k; i < n; i += k) {
        k = n - i < CHUNK ? n - i : CHUNK;
        weft__convert(chunk, to, from + i * in, t, k);
        WEFT_TRY(store(c, s, (element + i) * out, chunk, k * out));
    }
    return WEFT_OK;
}

/* What a slab and a piece share, in bytes [from, to) of the piece. */
static weft_status copy_range(struct apply *a, const weft__entry *e, const weft__piece *p,
                              const weft_slab *s, weft_dtype t, int64_t from, int64_t to)
{
    const int64_t size = (int64_t)weft_dtype_size(e->dtype);
    int64_t shift = (p->first - s->first) * size;
    for (int64_t i = from / WEFT__BLOCK; i * WEFT__BLOCK < to; i++) {
        int64_t begin = i * WEFT__BLOCK, lo = begin > from ? begin : from;
        int64_t hi = begin + WEFT__BLOCK < to ? begin + WEFT__BLOCK : to;
        WEFT_TRY(weft__reader_block(a->r, e, p, i));
        const char *at = (char *)a->r->block + (lo - begin);
        WEFT_TRY(t == e->dtype
                     ? store(a->c, s, lo + shift, at, hi - lo)
                     : store_as(a->c, t, s, (lo + shift) / size, e->dtype, at, (hi - lo) / size));
    }
    return WEFT_OK;
}

static weft_status load_tensor(struct apply *a, const weft__entry *e, const weft_state_item *item)
{
    int64_t size = (int64_t)weft_dtype_size(e->dtype), from, to;
    if (e->dtype != item->dtype && !a->converted && a->c->comm->rank == 0)
        weft__say(WEFT_LOG_INFO,
                  "\"%s\" is %s in %s and %s in the program: it is converted, and so "
                  "are others",
                  e->name, weft_dtype_name(e->dtype), a->r->where, weft_dtype_name(item->dtype));
    a->converted |= e->dtype != item->dtype;
    for (size_t i = 0; i < e->npieces; i++) {
        const weft__piece *p = &e->piece[i];
        if (e->placement == WEFT_PER_RANK && p->shard != a->c->comm->rank)
            continue;
        for (int k = 0; k < item->nslabs; k++) {
            const weft_slab *s = &item->slabs[k];
            weft__overlap(p->first, p->count, s->first, s->count, &from, &to);
            if (from < to)
                WEFT_TRY(copy_range(a, e, p, s, item->dtype, (from - p->first) * size,
                                    (to - p->first) * size));
        }
    }
    return WEFT_OK;
}

void weft__fill(const weft__checkpoint *c, const weft__entry *e, const weft_state_item *item)
{
    int owner = e->placement == WEFT_PER_RANK ? c->comm->rank : 0;
    if (e->kind == WEFT_STATE_TEXT)
        snprintf(item->text, item->capacity, "%s", e->text[owner]);
    else if (e->count)
        memcpy(item->values, e->values + owner * e->count, (size_t)e->count * sizeof *e->values);
}

static weft_status load_item(weft_visitor *v, const weft_state_item *item)
{
    struct apply *a = (struct apply *)v;
    char name[1024];
    snprintf(name, sizeof name, "%s%s", v->scope, item->name);
    const weft__entry *e = weft__manifest_find(&a->r->m, name);
    if (!e && (item->optional || a->c->lenient))
        return WEFT_OK;
    if (!e)
        return weft__fail(WEFT_ESTATE, "state: \"%s\" appeared between checking and loading", name);
    if (e->kind == WEFT_STATE_TENSOR)
        return load_tensor(a, e, item);
    weft__fill(a->c, e, item);
    return WEFT_OK;
}

weft_status weft__apply(const weft__checkpoint *c, weft__reader *r)
{
    struct apply a = {.v = {.mode = WEFT_VISIT_LOAD, .item = load_item}, .c = c, .r = r};
    if (c->device) /* what is still queued must not come after the load */
        WEFT_TRY(c->device->ops->sync(c->stream));
    return c->state(c->self, &a.v);
}
