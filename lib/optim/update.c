/* The update of a space: which elements an optimizer's pass takes together. */
#include "device/device.h"
#include "optim/optimizer.h"

static bool updates(const weft_optimizer *o, const weft__segment *s)
{
    return weft__optim_owns(o, s) && !s->frozen;
}

/* Whether a run that has s goes on with the next: not into another bucket where elements are numbered, since
 * the padding between them depends on the number of ranks. */
static bool goes_on(const weft_optimizer *o, const weft__segment *s, const weft__segment *next)
{
    return updates(o, next) && next->group == s->group &&
           (next->bucket == s->bucket || !weft__optim_draws(o, s));
}

/* Whether update cuts the gradients of so many segments; what it can not is cut before. Then they stay as they are
 * in memory, for whoever reads them after the step. */
static weft_status cut(const weft_optimizer *o, weft__segment *const *s, int n)
{
    bool alike = o->ops->cuts;
    for (int k = 0; k < n; k++)
        alike &= s[k]->by.addr == s[0]->by.addr;
    for (int k = 0; k < n && !alike; k++)
        WEFT_TRY(weft__shrink_now(s[k]));
    return WEFT_OK;
}

/* The last of those that are one run with segment i. */
static int last_of(const weft_optimizer *o, const weft__flat *flat, int i)
{
    while (i + 1 < flat->nsegments && goes_on(o, flat->segment[i], flat->segment[i + 1]))
        i++;
    return i;
}

/* Segments that follow each other and have one group are one run: elementwise optimizers take it at
 * once, piece by piece; the padding in it is zero and stays zero. */
static weft_status in_order(weft_optimizer *o, weft__flat *flat)
{
    for (int i = 0, last; i < flat->nsegments; i = last + 1) {
        const weft__segment *s = flat->segment[i];
        last = i;
        if (!updates(o, s))
            continue;
        last = last_of(o, flat, i);
        WEFT_TRY(cut(o, &flat->segment[i], last + 1 - i));
        const int64_t end = flat->segment[last]->first + flat->segment[last]->count;
        for (weft__range own = {0}; weft__flat_own(flat, s->first, end - s->first, &own);)
            WEFT_TRY(weft__optim_range(o, flat, s, own.first, own.count));
    }
    return WEFT_OK;
}

/* Whether all runs of a group can be taken at once: nothing is numbered, planes begin with the space, and gradients
 * are all cut by one factor. */
static bool joins(const weft_optimizer *o, const weft__flat *flat)
{
    const weft__segment *first = NULL;
    bool all = o->ops->joins && !flat->fabric->device->ops->immediate;
    for (int k = 0; k < WEFT__PLANES; k++)
        all &= !flat->sharded[k];
    for (int i = 0; i < flat->nsegments && all; i++) {
        const weft__segment *s = flat->segment[i];
        if (!updates(o, s))
            continue;
        first = first ? first : s;
        all = o->ops->cuts && s->by.addr == first->by.addr && !weft__optim_draws(o, s);
    }
    return all;
}

static weft_status by_groups(weft_optimizer *o, weft__flat *flat)
{
    for (int group = 0; group < (int)o->groups; group++) {
        const weft__segment *first = NULL;
        o->runs = 0;
        for (int i = 0, last; i < flat->nsegments; i = last + 1) {
            const weft__segment *s = flat->segment[i];
            last = i;
            if (!updates(o, s) || s->group != group)
                continue;
            first = first ? first : s;
            last = last_of(o, flat, i);
            const int64_t end = flat->segment[last]->first + flat->segment[last]->count;
            for (weft__range own = {0}; weft__flat_own(flat, s->first, end - s->first, &own);)
                WEFT_TRY(weft__optim_run(o, own.first, own.count));
        }
        if (o->runs)
            WEFT_TRY(weft__optim_pass(o, flat, first, 0, o->run, o->runs));
    }
    return WEFT_OK;
}

static weft_status whole(weft_optimizer *o, weft__flat *flat)
{
    for (int i = 0; i < flat->nsegments; i++) {
        weft__segment *s = flat->segment[i];
        weft__range own = {0};
        if (!updates(o, s))
            continue;
        WEFT_TRY(cut(o, &flat->segment[i], 1));
        if (weft__flat_own(flat, s->first, s->count, &own) && own.count == s->count)
            WEFT_TRY(weft__optim_range(o, flat, s, s->first, s->count));
    }
    return WEFT_OK;
}

/* On a device that queues, at once. */
static weft_status copy(const weft_optimizer *o, const weft__flat *flat)
{
    int64_t from = flat->elements, to = 0;
    for (int i = 0; i < flat->nsegments; i++) {
        const weft__segment *s = flat->segment[i];
        from = updates(o, s) && s->first < from ? s->first : from;
        to = updates(o, s) ? s->first + s->count : to;
    }
    return from < to ? weft__flat_narrow(flat, from, to - from) : WEFT_OK;
}

weft_status weft__optim_update(weft_optimizer *o, weft__flat *flat)
{
    WEFT_TRY(o->ops->whole_tensors ? whole(o, flat)
             : joins(o, flat)      ? by_groups(o, flat)
                                   : in_order(o, flat));
    if (o->again)
        return WEFT_OK;
    if (flat->cut)
        weft__flat_written(flat); /* other ranks' pieces come later */
    return weft__optim_copies(flat) && !flat->fabric->device->ops->immediate ? copy(o, flat)
                                                                             : WEFT_OK;
}
