/* Copies as they are noted, and all that does not become part of a graph. */
#include "core/error.h"
#include "device/graph/graph.h"

#include <string.h>

#define SMALL 4096 /* bytes of an upload that goes with what changes */

typedef struct copy {
    weft__graph_call call;
    weft_dev to, from;
    uint64_t bytes;
} copy;

static weft_status run_move(const weft__graph *g, const weft__graph_call *c)
{
    const copy *r = (const copy *)(const void *)c;
    return g->inner->move(g->stream, r->to, r->from, r->bytes);
}

static weft_status run_zero(const weft__graph *g, const weft__graph_call *c)
{
    const copy *r = (const copy *)(const void *)c;
    return g->inner->zero(g->stream, r->to, r->bytes);
}

static weft_status run_discard(const weft__graph *g, const weft__graph_call *c)
{
    const copy *r = (const copy *)(const void *)c;
    return g->inner->discard(g->stream, r->to, r->bytes);
}

/* In a graph it comes from the block. */
static weft_status run_upload(const weft__graph *g, const weft__graph_call *c)
{
    const copy *r = (const copy *)(const void *)c;
    return g->stream->live.addr ? g->inner->move(g->stream, r->to, g->stream->live, r->bytes)
                                : g->inner->upload(g->stream, r->to, r + 1, r->bytes);
}

/* All that an upload brings may change; its extent is the call's. */
static void renew_bytes(void *kept, const void *now)
{
    const copy *k = (const copy *)kept - 1;
    memcpy(kept, now, k->bytes);
}

/* c: name, run and what goes where. data: the host's bytes that go with it, or NULL. */
static int take(weft_stream *s, const copy *c, const void *data)
{
    weft__graph *g = s->device->graph;
    const size_t bytes = data ? (c->bytes + 7) / 8 * 8 : 0;
    weft_status lacks = WEFT_OK;
    copy *r = weft__graph_room(g, s, sizeof *r + bytes, &lacks);
    if (!r)
        return lacks ? (int)lacks : WEFT__GRAPH_CALL;
    *r = *c;
    r->call.bytes = (uint32_t)(sizeof *r + bytes);
    if (data) {
        r->call.renew = renew_bytes;
        r->call.live = sizeof *r;
        r->call.live_bytes = (uint32_t)c->bytes;
        memset((char *)(r + 1) + bytes - 8, 0, 8);
        memcpy(r + 1, data, c->bytes);
    }
    return weft__graph_take(g);
}

/* A call that the device must have had all before. */
static weft_status by_itself(weft_stream *s, const char *name, weft_dev at, size_t bytes)
{
    const int now = take(s, &(copy){.call.name = name, .to = at, .bytes = bytes}, NULL);
    return now < 0 ? (weft_status)now : WEFT_OK;
}

static weft_status sync(weft_stream *s)
{
    static const char name[] = "sync";
    WEFT_TRY(by_itself(s, name, (weft_dev){0}, 0));
    return s->device->graph->inner->sync(s);
}

static weft_status download(weft_stream *s, void *dst, weft_dev src, size_t bytes)
{
    static const char name[] = "download";
    WEFT_TRY(by_itself(s, name, src, bytes));
    return s->device->graph->inner->download(s, dst, src, bytes);
}

static weft_status event_record(weft_event *e, weft_stream *s)
{
    static const char name[] = "event_record";
    WEFT_TRY(by_itself(s, name, (weft_dev){0}, 0));
    return s->device->graph->inner->event_record(e, s);
}

static weft_status event_wait(weft_stream *s, weft_event *e)
{
    static const char name[] = "event_wait";
    WEFT_TRY(by_itself(s, name, (weft_dev){0}, 0));
    return s->device->graph->inner->event_wait(s, e);
}

static weft_status upload(weft_stream *s, weft_dev dst, const void *src, size_t bytes)
{
    static const char small[] = "upload", large[] = "large upload";
    if (bytes > SMALL) {
        WEFT_TRY(by_itself(s, large, dst, bytes));
    } else if (bytes) {
        const copy c = {.call = {.name = small, .run = run_upload}, .to = dst, .bytes = bytes};
        const int now = take(s, &c, src);
        if (now != WEFT__GRAPH_CALL)
            return now < 0 ? (weft_status)now : WEFT_OK;
    }
    return s->device->graph->inner->upload(s, dst, src, bytes);
}

/* @return 1: the device is to be asked. */
static int within(weft_stream *s, const copy *c)
{
    const int now = take(s, c, NULL);
    return now < 0 ? now : now == WEFT__GRAPH_CALL;
}

static weft_status move(weft_stream *s, weft_dev dst, weft_dev src, size_t bytes)
{
    static const char name[] = "move";
    const int go = within(
        s,
        &(copy){.call = {.name = name, .run = run_move}, .to = dst, .from = src, .bytes = bytes});
    return go > 0 ? s->device->graph->inner->move(s, dst, src, bytes) : (weft_status)go;
}

static weft_status zero(weft_stream *s, weft_dev dst, size_t bytes)
{
    static const char name[] = "zero";
    const int go =
        within(s, &(copy){.call = {.name = name, .run = run_zero}, .to = dst, .bytes = bytes});
    return go > 0 ? s->device->graph->inner->zero(s, dst, bytes) : (weft_status)go;
}

static weft_status discard(weft_stream *s, weft_dev dst, size_t bytes)
{
    static const char name[] = "discard";
    const int go =
        within(s, &(copy){.call = {.name = name, .run = run_discard}, .to = dst, .bytes = bytes});
    return go > 0 ? s->device->graph->inner->discard(s, dst, bytes) : (weft_status)go;
}

/* What was asked for may use the memory. */
static void before_it_goes(weft__graph *g)
{
    if (weft__graph_takes(g, g->stream))
        weft__graph_hurry(g);
}

static void free_memory(weft_device *d, weft_dev p, size_t bytes)
{
    before_it_goes(d->graph);
    d->graph->inner->free(d, p, bytes);
}

static void unimport(weft_device *d, weft_dev p, size_t bytes)
{
    before_it_goes(d->graph);
    d->graph->inner->unimport(d, p, bytes);
}

static weft_status sync_all(weft_device *d)
{
    before_it_goes(d->graph);
    return d->graph->inner->sync_all(d);
}

void weft__graph_copies(weft__graph *g)
{
    const weft_device_ops *own = g->inner;
    g->ops.sync = sync;
    g->ops.download = download;
    g->ops.upload = upload;
    g->ops.move = move;
    g->ops.zero = zero;
    g->ops.discard = own->discard ? discard : NULL;
    g->ops.event_record = event_record;
    g->ops.event_wait = event_wait;
    g->ops.free = free_memory;
    g->ops.unimport = own->unimport ? unimport : NULL;
    g->ops.sync_all = own->sync_all ? sync_all : NULL;
}
