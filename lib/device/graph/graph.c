/* Following a step, and what comes of one that goes another way. */
#include "device/graph/graph.h"

#include "core/alloc.h"
#include "core/error.h"
#include "core/log.h"

#include <string.h>

#define LONGEST ((size_t)8 << 20) /* bytes of a sequence */
#define MISS 2                    /* what a step costs that followed no log; others take one off */
#define MISSES 48
#define REST 1000

bool weft__graph_can(const weft_device *d)
{
    return d->ops->graph_begin != NULL;
}

weft_status weft__graph_open(weft_device *d, weft_stream *s)
{
    weft__graph *g = weft__new(1, sizeof *g);
    if (!g)
        return WEFT_ENOMEM;
    g->device = d;
    g->stream = s;
    g->inner = d->ops;
    g->ops = *d->ops;
    weft__graph_kernels(g);
    weft__graph_copies(g);
    d->graph = g;
    d->ops = &g->ops;
    return WEFT_OK;
}

void weft__graph_close(weft_device *d)
{
    weft__graph *g = d ? d->graph : NULL;
    if (!g)
        return;
    if (g->on)
        weft__graph_hurry(g);
    d->ops = g->inner;
    d->graph = NULL;
    for (int i = 0; i < g->logs; i++)
        weft__graph_drop(g, &g->log[i]);
    weft__graph_drop(g, &g->fresh);
    weft__free(g->call);
    weft__free(g->live);
    weft__free(g);
}

void *weft__graph_room(weft__graph *g, const weft_stream *s, size_t bytes, weft_status *lacks)
{
    if (!weft__graph_takes(g, s))
        return NULL;
    *lacks = weft__grow(&g->call, &g->call_room, bytes, 1);
    return *lacks ? NULL : g->call;
}

static void follow(weft__graph *g, weft__graph_log *l)
{
    g->now = l;
    g->at = 0;
}

/* Whether a log goes on as the step does. */
static bool goes_on(weft__graph_log *l, size_t at, const weft__graph_call *c)
{
    if (!c)
        return l->bytes == at;
    return l->bytes > at && weft__graph_same(weft__graph_at(l, at), c);
}

/* To another log, which begins as the one that was followed. c NULL: and ends here. */
static bool turn(weft__graph *g, const weft__graph_call *c)
{
    for (int i = 0; i < g->logs; i++) {
        weft__graph_log *l = &g->log[i];
        if (l != g->now && weft__graph_begins(l, g->now, g->cursor) && goes_on(l, g->cursor, c)) {
            weft__graph_adopt(l, g->now, g->cursor);
            follow(g, l);
            return true;
        }
    }
    return false;
}

/* No log goes on so: what was asked for is done, and is how a new one begins. */
static weft_status leave(weft__graph *g)
{
    g->fresh.bytes = 0;
    const weft_status noted = weft__graph_note(&g->fresh, g->now->record, g->cursor);
    const weft_status s = weft__graph_hurry(g);
    g->now = NULL;
    g->on = noted == WEFT_OK;
    return s;
}

static int note(weft__graph *g)
{
    if (g->fresh.bytes > LONGEST || weft__graph_note(&g->fresh, g->call, g->call->bytes)) {
        g->on = false;
        g->fresh.bytes = 0;
    }
    return WEFT__GRAPH_CALL;
}

/* One that is no part of a graph, or not what the log goes on with. */
static int take_alone(weft__graph *g)
{
    const weft__graph_call *c = g->call;
    if (g->now && (goes_on(g->now, g->cursor, c) || turn(g, c))) {
        weft__graph_call *kept = weft__graph_at(g->now, g->cursor);
        const bool waits = kept->run && !kept->alone;
        if (!waits) {
            WEFT_TRY(weft__graph_flush(g));
            memcpy(kept + 1, c + 1, c->bytes - sizeof *c);
        }
        g->cursor += c->bytes;
        if (!waits)
            g->done = g->cursor;
        return waits ? WEFT__GRAPH_KEPT : WEFT__GRAPH_CALL;
    }
    if (g->now)
        WEFT_TRY(leave(g));
    return g->on ? note(g) : WEFT__GRAPH_CALL;
}

int weft__graph_take(weft__graph *g)
{
    const weft__graph_log *l = g->now;
    if (!l || g->cursor >= l->bytes)
        return take_alone(g);
    weft__graph_call *kept = weft__graph_at(l, g->cursor);
    if (!kept->run || kept->alone || !weft__graph_same(kept, g->call))
        return take_alone(g);
    g->cursor += kept->bytes;
    return WEFT__GRAPH_KEPT;
}

static weft__graph_log *latest(weft__graph *g)
{
    weft__graph_log *l = NULL;
    for (int i = 0; i < g->logs; i++)
        l = !l || g->log[i].used > l->used ? &g->log[i] : l;
    return l;
}

static weft__graph_log *oldest(weft__graph *g)
{
    weft__graph_log *l = &g->log[0];
    if (g->logs < WEFT__GRAPH_LOGS)
        return &g->log[g->logs++];
    for (int i = 1; i < g->logs; i++)
        l = g->log[i].used < l->used ? &g->log[i] : l;
    return l;
}

/* Steps that differ again and again are not worth it. */
static void give_up(weft__graph *g)
{
    if (!g->said)
        weft__say(WEFT_LOG_DEBUG,
                  "graph: each step asks the device for other things; %d steps go without graphs, "
                  "then it is tried again",
                  REST);
    g->said = true;
    for (int i = 0; i < g->logs; i++)
        weft__graph_drop(g, &g->log[i]);
    g->logs = 0;
    g->misses = 0;
    g->rest = REST;
}

/* A log that is what was noted, but for arguments of a few calls. */
static weft__graph_log *merged(weft__graph *g)
{
    for (int i = 0; i < g->logs; i++)
        if (weft__graph_merge(&g->log[i], &g->fresh))
            return &g->log[i];
    return NULL;
}

/* What was noted is a log of its own, or tells which arguments change. */
static weft_status settle(weft__graph *g)
{
    if (!g->fresh.bytes)
        return WEFT_OK;
    weft__graph_log *l = merged(g);
    if (!l) {
        l = oldest(g);
        weft__graph_drop(g, l);
        *l = g->fresh;
        g->fresh = (weft__graph_log){0};
    }
    l->used = ++g->clock;
    g->misses += MISS;
    if (g->misses > MISSES) {
        give_up(g);
        return WEFT_OK;
    }
    return weft__graph_cut(g, l);
}

void weft__graph_step(weft_device *d)
{
    weft__graph *g = d->graph;
    if (!g || g->on || (g->rest > 0 && g->rest--))
        return;
    g->thread = pthread_self();
    g->on = true;
    g->fresh.bytes = g->cursor = g->done = 0;
    follow(g, latest(g));
}

weft_status weft__graph_edge(weft_device *d)
{
    weft__graph *g = d->graph;
    weft_status s = WEFT_OK;
    if (!g || !g->on)
        return WEFT_OK;
    if (g->now && (g->cursor == g->now->bytes || turn(g, NULL))) {
        s = weft__graph_flush(g);
        g->now->used = ++g->clock;
        g->misses -= g->misses > 0;
    } else {
        s = g->now ? leave(g) : WEFT_OK;
        const weft_status settled = g->on ? settle(g) : WEFT_OK;
        s = s < 0 ? s : settled;
    }
    g->on = false;
    return s;
}

int64_t weft__graph_launches(const weft_device *d, int64_t *calls)
{
    *calls = d->graph ? d->graph->launched : 0;
    return d->graph ? d->graph->launches : 0;
}
