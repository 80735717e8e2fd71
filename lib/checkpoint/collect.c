/* The saving visitor: copies the names, shapes and values, cuts tensors into what this rank
 * writes, borrows their memory. */
#include "checkpoint/collect.h"

#include "checkpoint/slabs.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/shape.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

struct collector {
    weft_visitor v;
    const weft__checkpoint *c;
    weft__manifest *m;
};

static bool good_part(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)p[i] < ' ' || p[i] == 127)
            return false;
    return n > 0 && strncmp(p, "..", n < 2 ? 1 : n) != 0;
}

/* Names are paths in HDF5 and strings in JSON. */
static weft_status check_name(const char *name)
{
    json_t *utf8 = json_string(name);
    bool good = utf8 != NULL;
    json_decref(utf8);
    for (const char *p = name; good;) {
        size_t n = strcspn(p, "/");
        good = good_part(p, n);
        if (p[n] == '\0')
            break;
        p += n + 1;
    }
    return good ? WEFT_OK
                : weft__fail(WEFT_EARG,
                             "state: \"%.200s\" cannot name an item: names are UTF-8 without "
                             "control bytes, their parts between slashes neither empty nor dots",
                             name);
}

static weft_status add_piece(weft__entry *e, const weft_slab *slab, int64_t from, int64_t to)
{
    int64_t skip = (from - slab->first) * (int64_t)weft_dtype_size(e->dtype);
    if (from >= to)
        return WEFT_OK;
    weft__piece *p = weft__entry_add(e);
    if (!p)
        return WEFT_ENOMEM;
    p->first = from;
    p->count = to - from;
    if (slab->host)
        p->host = (const char *)slab->host + skip;
    p->data.addr = slab->data.addr + (uintptr_t)skip;
    p->digest = weft__new((size_t)weft__piece_blocks(e, p), sizeof *p->digest);
    return p->digest ? WEFT_OK : WEFT_ENOMEM;
}

/* The elements of e that rank writes of those that it has. */
static void shares(const weft__entry *e, int rank, int world, int64_t *from, int64_t *to)
{
    *from = 0;
    *to = e->placement == WEFT_ROOT && rank != 0 ? 0 : e->numel;
    if (e->placement == WEFT_REPLICATED) {
        *from = weft__share(e->numel, rank, world);
        *to = weft__share(e->numel, rank + 1, world);
    }
}

static weft_status take_tensor(struct collector *c, weft__entry *e, const weft_state_item *item)
{
    int64_t from, to, a, b, size = (int64_t)weft_dtype_size(item->dtype);
    e->dtype = item->dtype;
    e->rank = item->rank;
    e->numel = -1;
    if (size && e->rank >= 0 && e->rank <= WEFT_MAX_RANK) {
        memcpy(e->shape, item->shape, (size_t)e->rank * sizeof *e->shape);
        e->numel = weft__numel(e->rank, e->shape);
    }
    if (e->numel < 0 || e->numel > INT64_MAX / size)
        return weft__fail(WEFT_EARG, "state: \"%s\" has an impossible type or shape", e->name);
    shares(e, c->c->comm->rank, c->c->comm->world, &from, &to);
    for (int i = 0; i < item->nslabs; i++) {
        const weft_slab *s = &item->slabs[i];
        if (s->first < 0 || s->count < 0 || s->first > e->numel || s->count > e->numel - s->first)
            return weft__fail(WEFT_EARG, "state: \"%s\": slab %d is out of its %lld elements",
                              e->name, i, (long long)e->numel);
        if (s->count && !s->host && !c->c->device)
            return weft__fail(WEFT_EARG, "state: \"%s\": slab %d has no address", e->name, i);
        weft__overlap(from, to - from, s->first, s->count, &a, &b);
        WEFT_TRY(add_piece(e, s, a, b));
    }
    return WEFT_OK;
}

static weft_status take_scalar(struct collector *c, weft__entry *e, const weft_state_item *item)
{
    bool own = e->placement == WEFT_PER_RANK, text = e->kind == WEFT_STATE_TEXT;
    int slot = own ? c->c->comm->rank : 0;
    e->owners = own ? c->c->comm->world : 1;
    e->count = text ? 1 : item->count;
    if (e->placement == WEFT_SHARDED || e->count < 0 || (text ? !item->text : !item->values))
        return weft__fail(WEFT_EARG, "state: \"%s\" is malformed", e->name);
    if (text) {
        json_t *utf8 = json_string(item->text);
        json_decref(utf8);
        if (!utf8)
            return weft__fail(WEFT_EARG, "state: the text of \"%s\" is not UTF-8", e->name);
        e->text = weft__new((size_t)e->owners, sizeof *e->text);
        return e->text && (e->text[slot] = weft__strdup(item->text)) ? WEFT_OK : WEFT_ENOMEM;
    }
    e->values = weft__new((size_t)e->owners, (size_t)e->count * sizeof *e->values);
    if (!e->values)
        return WEFT_ENOMEM;
    if (e->count)
        memcpy(e->values + slot * e->count, item->values, (size_t)e->count * sizeof *e->values);
    return WEFT_OK;
}

static weft_status take(weft_visitor *v, const weft_state_item *item)
{
    struct collector *c = (struct collector *)v;
    weft__entry *e = weft__manifest_add(c->m);
    if (!e || !(e->name = weft__new(strlen(v->scope) + strlen(item->name) + 1, 1)))
        return WEFT_ENOMEM;
    sprintf(e->name, "%s%s", v->scope, item->name);
    e->kind = item->kind;
    e->placement = item->placement;
    WEFT_TRY(check_name(e->name));
    return e->kind == WEFT_STATE_TENSOR ? take_tensor(c, e, item) : take_scalar(c, e, item);
}

weft_status weft__collect(const weft__checkpoint *c, weft__manifest *m)
{
    struct collector v = {.v = {.mode = WEFT_VISIT_SAVE, .item = take}, .c = c, .m = m};
    m->world = c->comm->world;
    if (!(m->file = weft__new((size_t)m->world, sizeof *m->file)))
        return WEFT_ENOMEM;
    WEFT_TRY(c->state(c->self, &v.v));
    weft_status s = weft__manifest_names(m, "state");
    return s == WEFT_EFORMAT ? WEFT_EARG : s;
}
