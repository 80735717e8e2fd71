/* Sequences of calls. Addresses and sizes are all that is compared: what a program, a schedule or a
 * generator of random numbers changes in each step, `renew` takes over. */
#include "core/alloc.h"
#include "core/error.h"
#include "device/graph/graph.h"

#include <string.h>

#define CHANGE 8 /* calls of a step, at most, whose arguments differ from the last one's */

static size_t behind(const weft__graph_call *c)
{
    return c->bytes - sizeof *c;
}

bool weft__graph_begins(weft__graph_log *l, const weft__graph_log *as, size_t to)
{
    if (l->bytes < to)
        return false;
    for (size_t at = 0; at < to; at += weft__graph_at(as, at)->bytes)
        if (!weft__graph_same(weft__graph_at(l, at), weft__graph_at(as, at)))
            return false;
    return true;
}

void weft__graph_adopt(weft__graph_log *l, const weft__graph_log *from, size_t to)
{
    for (size_t at = 0; at < to; at += weft__graph_at(from, at)->bytes) {
        const weft__graph_call *c = weft__graph_at(from, at);
        memcpy(weft__graph_at(l, at) + 1, c + 1, behind(c));
    }
}

weft_status weft__graph_note(weft__graph_log *l, const void *calls, size_t bytes)
{
    WEFT_TRY(weft__grow(&l->record, &l->room, l->bytes + bytes, 1));
    if (bytes)
        memcpy(l->record + l->bytes, calls, bytes);
    l->bytes += bytes;
    return WEFT_OK;
}

bool weft__graph_merge(weft__graph_log *l, const weft__graph_log *fresh)
{
    int differ = 0;
    if (l->bytes != fresh->bytes)
        return false;
    for (size_t at = 0; at < l->bytes; at += weft__graph_at(fresh, at)->bytes) {
        weft__graph_call *kept = weft__graph_at(l, at);
        const weft__graph_call *c = weft__graph_at(fresh, at);
        if (!weft__graph_alike(kept, c) || (!weft__graph_same(kept, c) && ++differ > CHANGE))
            return false;
    }
    for (size_t at = 0; at < l->bytes; at += weft__graph_at(fresh, at)->bytes) {
        weft__graph_call *kept = weft__graph_at(l, at);
        const weft__graph_call *c = weft__graph_at(fresh, at);
        kept->alone |= !weft__graph_same(kept, c);
        memcpy(kept + 1, c + 1, behind(c));
    }
    return true;
}

void weft__graph_drop(weft__graph *g, weft__graph_log *l)
{
    for (size_t i = 0; i < l->segments; i++)
        if (l->segment[i].graph)
            g->inner->graph_free(l->segment[i].graph);
    if (l->block_held)
        weft_device_free(g->device, l->block, l->block_held, WEFT_MEMORY_OTHER);
    weft__free(l->record);
    weft__free(l->segment);
    weft__free(l->live);
    *l = (weft__graph_log){0};
}
