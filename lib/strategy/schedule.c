/* Which gradients are reduced when: every bucket of every space that was set up, in order, each as soon
 * as it is complete. So a rank that failed knows what its peers will call, and takes part with zeros.
 * Where the verdict rides behind the last bucket, that one waits for the end. */
#include "comm/request.h"
#include "strategy/strategy.h"

#include "device/device.h"

bool weft__is_held(const weft__flat *flat)
{
    return flat->hold && !flat->sharded[WEFT__GRAD];
}

const weft__flat *weft__last_space(const weft__strategy *s)
{
    for (size_t i = s->flats; i > 0; i--)
        if (!weft__is_held(s->flat[i - 1]))
            return s->flat[i - 1];
    return NULL;
}

bool weft__carries(const weft__strategy *s, const weft__flat *flat, const weft__bucket *b)
{
    return s->ops->carries && !flat->cut && flat == weft__last_space(s) &&
           b == &flat->bucket[flat->nbuckets - 1];
}

int weft__strategy_summed(const weft__strategy *s)
{
    return s->ops->reduce ? s->fabric->world : 1;
}

bool weft__strategy_alike(const weft__strategy *s)
{
    bool alike = s->ops->reduce;
    for (size_t i = 0; i < s->flats; i++)
        alike &= !s->flat[i]->cut;
    return alike || s->fabric->world == 1;
}

/* Of a sum that all ranks have, in part or in whole, this rank keeps what the others do not. */
static weft_status keep(const weft__strategy *s, weft__segment *g)
{
    const weft__flat *flat = g->flat;
    const weft_device_ops *d = s->fabric->device->ops;
    const size_t size = weft_dtype_size(flat->type[WEFT__GRAD]);
    int64_t at = g->first, end = g->first + g->count;
    weft__range own = {0};
    g->grad = WEFT__GRAD_LOCAL;
    if (!flat->cut) {
        g->grad = s->fabric->rank == 0 ? WEFT__GRAD_LOCAL : WEFT__GRAD_EMPTY;
        return WEFT_OK;
    }
    for (bool more = true; more; at = own.first + own.count) {
        more = weft__flat_own(flat, g->first, g->count, &own);
        const int64_t to = more ? own.first : end;
        WEFT_TRY(d->zero(s->fabric->stream, weft__flat_at(flat, WEFT__GRAD, at),
                         (size_t)(to - at) * size));
    }
    return WEFT_OK;
}

weft_status weft__strategy_begin(weft__strategy *s)
{
    s->failed = s->agreed = false;
    for (size_t i = 0; i < s->flats; i++) {
        weft__flat *flat = s->flat[i];
        for (int b = 0; b < flat->nbuckets; b++) {
            flat->bucket[b].ready = 0;
            flat->bucket[b].reduced = flat->bucket[b].over = false;
        }
        for (int k = 0; k < flat->nsegments && !flat->sharded[WEFT__GRAD]; k++)
            if (flat->segment[k]->grad == WEFT__GRAD_REDUCED)
                WEFT_TRY(keep(s, flat->segment[k]));
    }
    return WEFT_OK;
}

static weft_bucket describe(const weft__strategy *s, weft__flat *flat, const weft__bucket *b)
{
    weft_bucket out = weft_space_bucket(flat, (int)(b - flat->bucket));
    out.data = weft__bucket_at(flat, b, b->first);
    out.words = weft__carries(s, flat, b) ? WEFT__VERDICT : 0;
    return out;
}

/* Puts the sum of a bucket's buffer into the plane, beside what is there. */
static weft_status store(const weft__flat *flat, const weft__bucket *b, const weft__segment *g)
{
    const weft_fabric *f = flat->fabric;
    const weft_dtype type = flat->type[WEFT__GRAD];
    for (weft__range own = {0}; weft__flat_own(flat, g->first, g->count, &own);) {
        weft_dev to = weft__flat_at(flat, WEFT__GRAD, own.first);
        weft_dev from = weft__bucket_at(flat, b, own.first);
        WEFT_TRY(g->grad & WEFT__GRAD_REDUCED
                     ? f->device->ops->kernels->axpy(f->stream, to, 1, from, own.count, type)
                     : f->device->ops->move(f->stream, to, from,
                                            (size_t)own.count * weft_dtype_size(type)));
    }
    return WEFT_OK;
}

/* A reduction is waited for, and over. */
static weft_status settle(weft__strategy *s, weft__flat *flat, weft__bucket *b)
{
    weft_status code = WEFT_OK;
    if (s->ops->wait) {
        const weft_bucket d = describe(s, flat, b);
        code = s->ops->wait(s, s->self, &d);
    }
    b->over = true;
    for (int i = b->begin; i < b->begin + b->segments; i++) {
        weft__segment *g = flat->segment[i];
        if (!code && flat->sharded[WEFT__GRAD])
            code = store(flat, b, g);
        g->grad = WEFT__GRAD_REDUCED;
    }
    weft__bucket_close(flat, b);
    return code;
}

static weft_status reduce(weft__strategy *s, weft__flat *flat, weft__bucket *b)
{
    const weft_bucket d = describe(s, flat, b);
    if (d.words)
        WEFT_TRY(weft__verdict_write(
            s, weft__at(d.data, d.count * (int64_t)weft_dtype_size(d.dtype)), d.dtype));
    b->reduced = true;
    s->traffic.gradient_reduces++;
    s->traffic.gradient_bytes += b->payload * (int64_t)weft_dtype_size(d.dtype);
    WEFT_TRY(s->ops->reduce(s, s->self, &d));
    return s->ops->wait ? WEFT_OK : settle(s, flat, b);
}

/* Reduces in order all that are complete, when no op of the pass meets other ranks any more: a rank without
 * rows completes none before its end. */
static weft_status grad_ready(void *self, weft__segment *segment)
{
    weft__strategy *s = self;
    segment->flat->bucket[segment->bucket].ready++;
    if (s->fabric->tape->meets > 0)
        return WEFT_OK;
    for (size_t i = 0; i < s->flats && !weft__is_held(segment->flat); i++)
        for (int k = 0; k < s->flat[i]->nbuckets && !weft__is_held(s->flat[i]); k++) {
            weft__bucket *b = &s->flat[i]->bucket[k];
            if (b->reduced)
                continue;
            if (b->ready < b->segments || weft__carries(s, s->flat[i], b))
                return WEFT_OK;
            WEFT_TRY(reduce(s, s->flat[i], b));
        }
    return WEFT_OK;
}

/* Waits for the reduction that began first, to have its buffer. */
static weft_status reclaim(void *self)
{
    weft__strategy *s = self;
    for (size_t i = 0; i < s->flats; i++)
        for (int k = 0; k < s->flat[i]->nbuckets; k++)
            if (s->flat[i]->bucket[k].reduced && !s->flat[i]->bucket[k].over)
                return settle(s, s->flat[i], &s->flat[i]->bucket[k]);
    return WEFT_OK;
}

/* Below MPI_THREAD_MULTIPLE nobody else brings reductions forward. */
static void between(void *self)
{
    const weft__strategy *s = self;
    weft__advance(s->fabric->comm);
}

static weft_status module(void *self, weft_module *m, bool enter, bool backward)
{
    weft__strategy *s = self;
    const weft_when when = backward ? (enter ? WEFT_AFTER_BACKWARD : WEFT_BEFORE_BACKWARD)
                                    : (enter ? WEFT_BEFORE_FORWARD : WEFT_AFTER_FORWARD);
    return s->ops->module(s, s->self, m, when);
}

weft__hooks weft__strategy_hooks(weft__strategy *s)
{
    s->pool = (weft__pool){.fabric = s->fabric, .reclaim = reclaim, .self = s};
    return (weft__hooks){.self = s,
                         .grad_ready = s->ops->reduce ? grad_ready : NULL,
                         .module = s->ops->module ? module : NULL,
                         .between = s->ops->wait ? between : NULL};
}

/* What was collected on this rank is worth nothing: its buffers are free for zeros. */
static void give_up(weft__strategy *s)
{
    s->failed = true;
    for (size_t i = 0; i < s->flats; i++)
        for (int k = 0; k < s->flat[i]->nbuckets; k++)
            if (!s->flat[i]->bucket[k].reduced)
                weft__bucket_close(s->flat[i], &s->flat[i]->bucket[k]);
}

/* What fails here on this rank alone must not keep it from what the others call. */
static weft_status go_on(weft__strategy *s, weft_status code)
{
    if (code >= 0 || s->fabric->comm->lost)
        return code;
    weft__stick(s->fabric, code);
    give_up(s);
    return WEFT_OK;
}

static weft_status finish(weft__strategy *s, weft__flat *flat, weft__bucket *b)
{
    WEFT_TRY(go_on(s, weft__bucket_open(flat, b)));
    WEFT_TRY(weft__bucket_open(flat, b)); /* now there is memory */
    WEFT_TRY(go_on(s, weft__fill_empty(flat, b, s->failed)));
    return s->ops->reduce ? go_on(s, reduce(s, flat, b)) : WEFT_OK;
}

static weft_status finish_all(weft__strategy *s)
{
    for (size_t i = 0; i < s->flats; i++)
        for (int b = 0; b < s->flat[i]->nbuckets && !weft__is_held(s->flat[i]); b++)
            if (!s->flat[i]->bucket[b].reduced)
                WEFT_TRY(finish(s, s->flat[i], &s->flat[i]->bucket[b]));
    for (size_t i = 0; i < s->flats; i++)
        for (int b = 0; b < s->flat[i]->nbuckets && !weft__is_held(s->flat[i]); b++)
            if (s->flat[i]->bucket[b].reduced && !s->flat[i]->bucket[b].over)
                WEFT_TRY(go_on(s, settle(s, s->flat[i], &s->flat[i]->bucket[b])));
    return WEFT_OK;
}

weft_status weft__strategy_end(weft__strategy *s, weft_status mine, bool *failed)
{
    const weft__flat *last = weft__last_space(s);
    if (mine < 0)
        give_up(s);
    WEFT_TRY(finish_all(s));
    for (size_t i = 0; i < s->flats && !s->ops->reduce; i++)
        for (int k = 0; k < s->flat[i]->nsegments && !s->flat[i]->hold; k++)
            s->flat[i]->segment[k]->grad = WEFT__GRAD_LOCAL;
    *failed = s->failed;
    if ((s->flats && !last) || (s->fabric->world == 1 && !s->ops->reduce))
        return WEFT_OK;
    if (last && weft__carries(s, last, &last->bucket[last->nbuckets - 1]))
        return weft__verdict_read(s, weft__flat_at(last, WEFT__GRAD, last->elements),
                                  last->type[WEFT__GRAD], failed);
    return weft__verdict_agree(s, failed);
}

void weft__strategy_forget(weft__strategy *s)
{
    for (size_t i = 0; i < s->flats; i++) {
        for (int k = 0; k < s->flat[i]->nsegments; k++)
            s->flat[i]->segment[k]->grad = WEFT__GRAD_EMPTY;
        for (int b = 0; b < s->flat[i]->nbuckets; b++)
            weft__bucket_close(s->flat[i], &s->flat[i]->bucket[b]);
    }
}
