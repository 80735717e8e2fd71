/* Reads one batch into a slot: the order, the rows, the cast. Runs in the worker, so it makes no
 * HDF5, MPI or tensor calls, and allocates nothing. */
#include "data/ring.h"

#include <stdio.h>

#define PIECE (1 << 20) /* bytes read before they are cast: they stay in the cache */

int64_t weft__ring_piece(const weft__source *s, int field)
{
    int64_t bytes = s->width[field] * (int64_t)weft_dtype_size(s->field[field].dtype);
    return bytes > 0 && bytes < PIECE ? PIECE / bytes : 1;
}

static weft_status fetch(const weft__source *src, int field, weft__slot *s, int64_t first,
                         int64_t n, void *out)
{
    const weft__part_of *p = &s->part;
    char why[WEFT__TEXT / 2] = "";
    weft_status code = src->ops->read(src->self, field, s->ids + first, n, out, why, sizeof why);
    if (code >= 0)
        return WEFT_OK;
    snprintf(s->why, sizeof s->why, "%.120s: field %.40s, batch %lld of epoch %lld: %s", src->label,
             src->name[field], (long long)p->index, (long long)p->epoch,
             why[0] ? why : weft_strerror(code));
    return code;
}

static weft_status fill_field(weft__ring *r, weft__slot *s, int field)
{
    const weft__source *src = r->source;
    const weft__cast *c = &src->cast[field];
    int64_t width = src->width[field], step = weft__ring_piece(src, field), n;
    if (c->plain)
        return fetch(src, field, s, 0, s->part.local, s->data[field]);
    for (int64_t i = 0; i < s->part.local; i += n) {
        n = s->part.local - i < step ? s->part.local - i : step;
        WEFT_TRY(fetch(src, field, s, i, n, r->staging));
        char *out = s->data[field];
        weft__cast_run(c, out + (size_t)(i * width) * weft_dtype_size(c->to), r->staging,
                       n * width);
    }
    return WEFT_OK;
}

static void fill_ids(weft__ring *r, weft__slot *s)
{
    const weft__plan *p = r->plan;
    if (p->shuffle && r->order_epoch != s->part.epoch) {
        weft__sampler_order(r->order, p->rows, p->seed, s->part.epoch, true);
        r->order_epoch = s->part.epoch;
    }
    for (int64_t i = 0; i < s->part.local; i++) {
        int64_t at = (s->part.position + i) % p->rows; /* padding goes round to the first rows */
        s->ids[i] = p->shuffle ? r->order[at] : at;
    }
}

void weft__ring_fill(weft__ring *r, weft__slot *s, int64_t n)
{
    s->part = weft__plan_part(r->plan, n);
    s->code = WEFT_OK;
    s->why[0] = '\0';
    fill_ids(r, s);
    for (int k = 0; k < WEFT_FIELDS && s->part.local > 0 && s->code == WEFT_OK; k++)
        if (r->source->field[k].present)
            s->code = fill_field(r, s, k);
}
