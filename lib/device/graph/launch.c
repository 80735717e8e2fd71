/* Making and launching graphs. What changes from step to step lies in a block of the device, which is
 * written before each launch; while a graph is made, the stream says where in it. */
#include "core/alloc.h"
#include "core/error.h"
#include "core/log.h"
#include "device/graph/graph.h"

#include <string.h>

#define LEAST 3 /* calls that are worth a graph */
#define ALIGN 16

static weft_status add_live(weft__graph_log *l, weft__graph_segment *s, size_t at)
{
    const weft__graph_call *c = weft__graph_at(l, at);
    WEFT_TRY(weft__grow(&l->live, &l->live_room, l->lives + 1, sizeof *l->live));
    l->live[l->lives++] = (weft__graph_live){
        .from = at + c->live, .to = s->live_at + s->live_bytes, .bytes = c->live_bytes};
    s->lives++;
    s->live_bytes += (c->live_bytes + ALIGN - 1) / ALIGN * ALIGN;
    return WEFT_OK;
}

/* The segment that the call at `at` goes on with, or begins. */
static weft_status open_segment(weft__graph_log *l, size_t at)
{
    const weft__graph_segment *last = l->segments ? &l->segment[l->segments - 1] : NULL;
    if (last && last->to == at)
        return WEFT_OK;
    const size_t live_at = last ? last->live_at + last->live_bytes : 0;
    WEFT_TRY(weft__grow(&l->segment, &l->segment_room, l->segments + 1, sizeof *l->segment));
    l->segment[l->segments++] =
        (weft__graph_segment){.from = at, .to = at, .live = l->lives, .live_at = live_at};
    return WEFT_OK;
}

static void clear(weft__graph *g, weft__graph_log *l)
{
    for (size_t i = 0; i < l->segments; i++)
        if (l->segment[i].graph)
            g->inner->graph_free(l->segment[i].graph);
    if (l->block_held)
        weft_device_free(g->device, l->block, l->block_held, WEFT_MEMORY_OTHER);
    l->segments = l->lives = l->block_bytes = l->block_held = 0;
}

weft_status weft__graph_cut(weft__graph *g, weft__graph_log *l)
{
    clear(g, l);
    for (size_t at = 0; at < l->bytes; at += weft__graph_at(l, at)->bytes) {
        const weft__graph_call *c = weft__graph_at(l, at);
        if (!c->run || c->alone)
            continue;
        WEFT_TRY(open_segment(l, at));
        weft__graph_segment *s = &l->segment[l->segments - 1];
        s->to = at + c->bytes;
        s->calls++;
        if (c->live_bytes)
            WEFT_TRY(add_live(l, s, at));
        l->block_bytes = s->live_at + s->live_bytes;
    }
    return weft__grow(&g->live, &g->live_room, l->block_bytes, 1);
}

/* live: whether the device is to find what changes in the block. */
static weft_status run(weft__graph *g, const weft__graph_log *l, size_t from, size_t to,
                       const weft__graph_live *live)
{
    weft_status s = WEFT_OK;
    for (size_t at = from; at < to && s >= 0; at += weft__graph_at(l, at)->bytes) {
        const weft__graph_call *c = weft__graph_at(l, at);
        if (live && c->live_bytes)
            g->stream->live = weft__at(l->block, (int64_t)live++->to);
        if (c->run)
            s = c->run(g, c);
        g->stream->live = (weft_dev){0};
    }
    return s;
}

weft_status weft__graph_hurry(weft__graph *g)
{
    const size_t from = g->done;
    g->done = g->cursor;
    return g->now ? run(g, g->now, from, g->cursor, NULL) : WEFT_OK;
}

static weft_status make(weft__graph *g, weft__graph_log *l, weft__graph_segment *s)
{
    if (l->block_bytes && !l->block_held) {
        WEFT_TRY(weft_device_alloc(g->device, l->block_bytes, WEFT_MEMORY_OTHER, &l->block));
        l->block_held = l->block_bytes;
    }
    WEFT_TRY(g->inner->graph_begin(g->stream));
    const weft_status ran = run(g, l, s->from, s->to, l->live + s->live);
    const weft_status ended = g->inner->graph_end(g->stream, &s->graph);
    return ran < 0 ? ran : ended;
}

/* What cannot be a graph runs one by one. */
static bool ready(weft__graph *g, weft__graph_log *l, weft__graph_segment *s)
{
    if (s->calls < LEAST || s->failed)
        return false;
    if (!s->graph && make(g, l, s) < 0) {
        weft__say(WEFT_LOG_DEBUG, "graph: %d calls go one by one: %s", s->calls, weft__why());
        if (s->graph)
            g->inner->graph_free(s->graph);
        s->graph = NULL;
        s->failed = true;
    }
    return s->graph != NULL;
}

static weft_status launch(weft__graph *g, const weft__graph_log *l, const weft__graph_segment *s)
{
    for (size_t i = s->live; i < s->live + s->lives; i++)
        memcpy(g->live + l->live[i].to, l->record + l->live[i].from, l->live[i].bytes);
    if (s->live_bytes)
        WEFT_TRY(g->inner->upload(g->stream, weft__at(l->block, (int64_t)s->live_at),
                                  g->live + s->live_at, s->live_bytes));
    g->launches++;
    g->launched += s->calls;
    return g->inner->graph_launch(g->stream, s->graph);
}

weft_status weft__graph_flush(weft__graph *g)
{
    weft__graph_log *l = g->now;
    if (!l || g->done == g->cursor)
        return WEFT_OK;
    while (g->at < l->segments && l->segment[g->at].from < g->done)
        g->at++;
    weft__graph_segment *s = &l->segment[g->at];
    const bool whole = g->at < l->segments && s->from == g->done && s->to == g->cursor;
    if (!whole || !ready(g, l, s))
        return weft__graph_hurry(g);
    g->done = g->cursor;
    return launch(g, l, s);
}
