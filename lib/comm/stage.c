/* Staging. Copies lie in buffers that are kept for the next call, since requests that go on side by side
 * each have theirs. */
#include "comm/stage.h"

#include "core/alloc.h"
#include "core/error.h"
#include "core/process.h"
#include "device/device.h"

typedef struct buffer {
    char *at;
    size_t bytes;
    bool taken;
} buffer;

struct weft__stage {
    weft_device *device;
    weft_stream *stream;
    buffer *buffer;
    size_t n, room;
};

weft_status weft__stage_open(weft_comm *c, weft_device *d)
{
    if (c->stage)
        return c->stage->device == d ? WEFT_OK
                                     : weft__fail(WEFT_ENOTSUP, "its memory is of two devices");
    if (!d->ops->holds)
        return weft__fail(WEFT_ENOTSUP, "the device does not know its memory");
    struct weft__stage *g = weft__new(1, sizeof *g);
    if (!g)
        return WEFT_ENOMEM;
    g->device = d;
    const weft_status s = d->ops->stream_new(d, &g->stream);
    if (s)
        weft__free(g);
    else
        c->stage = g;
    return s;
}

/* A late peer's part may still arrive in what a lost communicator has. */
void weft__stage_close(weft_comm *c)
{
    struct weft__stage *g = c->stage;
    if (!g)
        return;
    c->stage = NULL;
    for (size_t i = 0; i < g->n; i++)
        if (c->lost)
            weft__process_abandon(g->buffer[i].at);
        else
            weft__free(g->buffer[i].at);
    if (!c->lost)
        g->device->ops->stream_free(g->stream);
    weft__free(g->buffer);
    weft__free(g);
}

static weft_status take(struct weft__stage *g, size_t bytes, char **out)
{
    buffer *b = NULL;
    for (size_t i = 0; i < g->n; i++) {
        buffer *k = &g->buffer[i];
        if (!k->taken && (!b || (k->bytes >= bytes ? b->bytes < bytes || k->bytes < b->bytes
                                                   : b->bytes < k->bytes)))
            b = k;
    }
    if (!b) {
        WEFT_TRY(weft__grow(&g->buffer, &g->room, g->n + 1, sizeof *g->buffer));
        b = &g->buffer[g->n++];
        *b = (buffer){.bytes = 0};
    }
    if (b->bytes < bytes || !b->at) {
        weft__free(b->at);
        b->at = weft__new(bytes, 1);
        b->bytes = b->at ? bytes : 0;
    }
    b->taken = b->at != NULL;
    *out = b->at;
    return b->at ? WEFT_OK : WEFT_ENOMEM;
}

static void give_back(struct weft__stage *g, const void *p)
{
    for (size_t i = 0; i < g->n; i++) {
        buffer *b = &g->buffer[i];
        if (b->at && (p == b->at || (uintptr_t)p - (uintptr_t)b->at < b->bytes))
            b->taken = false;
    }
}

static int64_t all_of(const weft_comm *c, const weft_request *r)
{
    int64_t n = 0;
    for (int p = 0; p < c->world; p++)
        n += r->counts[p];
    return n;
}

static size_t bytes_out(const weft_comm *c, const weft_request *r)
{
    const int64_t n = r->call == WEFT_CALL_ALL_REDUCE       ? r->n
                      : r->call == WEFT_CALL_REDUCE_SCATTER ? r->counts[c->rank]
                                                            : all_of(c, r);
    return (size_t)n * weft_dtype_size(r->dtype);
}

static size_t bytes_in(const weft_comm *c, const weft_request *r)
{
    const int64_t n = r->call == WEFT_CALL_ALL_REDUCE       ? r->n
                      : r->call == WEFT_CALL_REDUCE_SCATTER ? all_of(c, r)
                                                            : r->counts[c->rank];
    return (size_t)n * weft_dtype_size(r->dtype);
}

/* The place of what may be part of something whose copy is at `copy`, else a buffer. */
static weft_status place(struct weft__stage *g, const void *p, size_t bytes, const void *whole,
                         size_t whole_bytes, char *copy, char **out)
{
    const uintptr_t into = (uintptr_t)p - (uintptr_t)whole;
    if (!copy || into > whole_bytes || bytes > whole_bytes - into)
        return take(g, bytes, out);
    *out = copy + into;
    return WEFT_OK;
}

/* Where one of them is part of the other, the copies are so, too. */
static weft_status both(struct weft__stage *g, weft_request *r, size_t out, size_t in)
{
    weft_device *d = g->device;
    const bool out_is = d->ops->holds(d, r->out), in_is = d->ops->holds(d, r->in);
    char *to = NULL, *from = NULL;
    if (out_is && out >= in) {
        WEFT_TRY(take(g, out, &to));
        r->out = to;
    }
    if (in_is) {
        WEFT_TRY(place(g, r->real_in, in, r->real_out, out, to, &from));
        r->in = from;
        WEFT_TRY(d->ops->download(g->stream, from, (weft_dev){(uintptr_t)r->real_in}, in));
    }
    if (out_is && !to) {
        WEFT_TRY(place(g, r->real_out, out, r->real_in, in, from, &to));
        r->out = to;
    }
    return WEFT_OK;
}

/* One rank alone has what it gets already. */
static bool stays(const weft_comm *c, const weft_request *r)
{
    return !c->stage || (c->world == 1 && r->out == r->in);
}

weft_status weft__stage_in(weft_comm *c, weft_request *r)
{
    r->real_out = r->out;
    r->real_in = r->in;
    return stays(c, r) ? WEFT_OK : both(c->stage, r, bytes_out(c, r), bytes_in(c, r));
}

weft_status weft__stage_out(weft_comm *c, weft_request *r, weft_status s)
{
    struct weft__stage *g = c->stage;
    if (r->out != r->real_out && s >= 0) {
        const weft_dev to = {(uintptr_t)r->real_out};
        s = g->device->ops->upload(g->stream, to, r->out, bytes_out(c, r));
        s = s < 0 ? s : g->device->ops->sync(g->stream);
    }
    if (r->out != r->real_out)
        give_back(g, r->out);
    if (r->in != r->real_in)
        give_back(g, r->in);
    r->out = r->real_out;
    r->in = r->real_in;
    return s;
}
