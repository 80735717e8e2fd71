/* Where a backward pass collects the gradients of parameters: in their plane, or, if it is sharded, in
 * a buffer that their bucket has until it is reduced. */
#include "flat/flat.h"

#include "comm/comm.h"
#include "core/alloc.h"
#include "device/device.h"

#define ALWAYS 2 /* buffers that are there from the start */

static void release(weft__pool *p, weft__buffer *b)
{
    weft_device *d = p->fabric->device;
    if (b->of_comm)
        weft__comm_release(p->fabric->comm, d, b->at, b->bytes, WEFT_MEMORY_GRADS);
    else
        weft_device_free(d, b->at, b->bytes, WEFT_MEMORY_GRADS);
}

void weft__pool_close(weft__pool *p)
{
    while (p->n > 0)
        release(p, &p->buffer[--p->n]);
    weft__free(p->buffer);
    *p = (weft__pool){.fabric = p->fabric, .reclaim = p->reclaim, .self = p->self};
}

weft_status weft__pool_reserve(weft__pool *p, size_t bytes)
{
    weft_status s = WEFT_OK;
    if (bytes <= p->bytes)
        return WEFT_OK;
    weft__pool_close(p);
    s = weft__grow(&p->buffer, &p->room, ALWAYS, sizeof *p->buffer);
    WEFT_TRY(weft__agree(p->fabric->comm, "room for buckets", s, ""));
    for (int i = 0; i < ALWAYS; i++) {
        weft__buffer b = {.bytes = bytes, .of_comm = true};
        WEFT_TRY(
            weft__comm_alloc(p->fabric->comm, p->fabric->device, bytes, WEFT_MEMORY_GRADS, &b.at));
        p->buffer[p->n++] = b;
    }
    p->bytes = bytes;
    return WEFT_OK;
}

static weft__buffer *idle(weft__pool *p)
{
    for (size_t i = 0; i < p->n; i++)
        if (!p->buffer[i].taken)
            return &p->buffer[i];
    return NULL;
}

/* More are needed only where the last gradients of some buckets come late. */
static weft_status add(weft__pool *p, weft__buffer **out)
{
    weft__buffer b = {.bytes = p->bytes};
    WEFT_TRY(weft__grow(&p->buffer, &p->room, p->n + 1, sizeof *p->buffer));
    WEFT_TRY(weft_device_alloc(p->fabric->device, b.bytes, WEFT_MEMORY_GRADS, &b.at));
    p->buffer[p->n] = b;
    *out = &p->buffer[p->n++];
    return WEFT_OK;
}

/* What lies between the segments and behind them is summed, too. */
static weft_status clear_gaps(const weft__flat *flat, const weft__bucket *b)
{
    const size_t size = weft_dtype_size(flat->type[WEFT__GRAD]);
    for (int i = b->begin, last = b->begin + b->segments - 1; i <= last; i++) {
        const int64_t from = flat->segment[i]->first + flat->segment[i]->count;
        const int64_t to = i < last ? flat->segment[i + 1]->first : b->first + b->count;
        if (from < to)
            WEFT_TRY(flat->fabric->device->ops->zero(
                flat->fabric->stream, weft__bucket_at(flat, b, from), (size_t)(to - from) * size));
    }
    return WEFT_OK;
}

weft_status weft__bucket_open(weft__flat *flat, weft__bucket *b)
{
    weft__pool *p = flat->pool;
    if (!flat->sharded[WEFT__GRAD] || b->buffer.addr)
        return WEFT_OK;
    weft__buffer *spare = idle(p);
    if (!spare && p->reclaim) {
        WEFT_TRY(p->reclaim(p->self));
        spare = idle(p);
    }
    if (!spare)
        WEFT_TRY(add(p, &spare));
    spare->taken = true;
    b->buffer = spare->at;
    return clear_gaps(flat, b);
}

void weft__bucket_close(weft__flat *flat, weft__bucket *b)
{
    for (size_t i = 0; b->buffer.addr && i < flat->pool->n; i++)
        if (flat->pool->buffer[i].at.addr == b->buffer.addr)
            flat->pool->buffer[i].taken = false;
    b->buffer.addr = 0;
}

weft_status weft__segment_collect(weft__segment *s, weft_dev *out, bool *fresh)
{
    weft__flat *flat = s->flat;
    if (flat->sharded[WEFT__GRAD])
        WEFT_TRY(weft__bucket_open(flat, &flat->bucket[s->bucket]));
    *out = weft__bucket_at(flat, &flat->bucket[s->bucket], s->first);
    *fresh = !(s->grad & WEFT__GRAD_LOCAL);
    s->grad |= WEFT__GRAD_LOCAL;
    return WEFT_OK;
}

weft_status weft__segment_clear(weft__segment *s)
{
    const weft__flat *flat = s->flat;
    return flat->fabric->device->ops->zero(
        flat->fabric->stream, weft__bucket_at(flat, &flat->bucket[s->bucket], s->first),
        (size_t)s->count * weft_dtype_size(flat->type[WEFT__GRAD]));
}

weft_status weft__fill_empty(weft__flat *flat, const weft__bucket *b, bool all)
{
    for (int i = b->begin; i < b->begin + b->segments; i++)
        if (all || !(flat->segment[i]->grad & WEFT__GRAD_LOCAL))
            WEFT_TRY(weft__segment_clear(flat->segment[i]));
    return WEFT_OK;
}
