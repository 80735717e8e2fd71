/* Staging. A call has a pair of buffers: for what all ranks have as much of, and for one rank's part of it.
 * Pairs are kept for the next call; requests that go on side by side each have theirs.
 *
 * Ranks make the same calls in the same order, and a pair is as large as the call's largest part: so all
 * of them need memory at the same call, and agree there that all got it. Elsewhere nothing is asked for. */
#include "comm/stage.h"

#include "core/alloc.h"
#include "core/error.h"
#include "core/process.h"
#include "device/device.h"

typedef struct buffer {
    char *at;
    size_t bytes;
} buffer;

typedef struct pair {
    buffer whole, part;
    bool taken;
} pair;

struct weft__stage {
    weft_device *device;
    weft_stream *stream;
    pair *pair;
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
static void close_buffer(const weft_comm *c, const buffer *b)
{
    if (c->lost)
        weft__process_abandon(b->at);
    else
        weft__free(b->at);
}

void weft__stage_close(weft_comm *c)
{
    struct weft__stage *g = c->stage;
    if (!g)
        return;
    c->stage = NULL;
    for (size_t i = 0; i < g->n; i++) {
        close_buffer(c, &g->pair[i].whole);
        close_buffer(c, &g->pair[i].part);
    }
    if (!c->lost)
        g->device->ops->stream_free(g->stream);
    weft__free(g->pair);
    weft__free(g);
}

static int64_t all_of(const weft_comm *c, const weft_request *r)
{
    int64_t n = 0;
    for (int p = 0; p < c->world; p++)
        n += r->counts[p];
    return n;
}

static int64_t most_of(const weft_comm *c, const weft_request *r)
{
    int64_t n = 0;
    for (int p = 0; p < c->world; p++)
        n = r->counts[p] > n ? r->counts[p] : n;
    return n;
}

static size_t bytes_of(const weft_request *r, int64_t n)
{
    return (size_t)n * weft_dtype_size(r->dtype);
}

static size_t bytes_of_whole(const weft_comm *c, const weft_request *r)
{
    return bytes_of(r, r->call == WEFT_CALL_ALL_REDUCE ? r->n : all_of(c, r));
}

static size_t bytes_of_part(const weft_comm *c, const weft_request *r)
{
    return bytes_of(r, r->call == WEFT_CALL_ALL_REDUCE ? r->n : r->counts[c->rank]);
}

static bool is_in(const buffer *b, const void *p)
{
    return b->at && (p == b->at || (uintptr_t)p - (uintptr_t)b->at < b->bytes);
}

static void give_back(struct weft__stage *g, const void *p)
{
    for (size_t i = 0; i < g->n; i++)
        if (is_in(&g->pair[i].whole, p) || is_in(&g->pair[i].part, p))
            g->pair[i].taken = false;
}

static bool suffices(const buffer *b, size_t bytes)
{
    return b->at && b->bytes >= bytes;
}

static weft_status enlarge(buffer *b, size_t bytes)
{
    if (suffices(b, bytes))
        return WEFT_OK;
    weft__free(b->at);
    b->at = weft__new(bytes, 1);
    b->bytes = b->at ? bytes : 0;
    return b->at ? WEFT_OK : WEFT_ENOMEM;
}

static weft_status make(struct weft__stage *g, size_t i, size_t whole, size_t part)
{
    WEFT_TRY(weft__grow(&g->pair, &g->room, i + 1, sizeof *g->pair));
    g->n = g->n > i ? g->n : i + 1;
    WEFT_TRY(enlarge(&g->pair[i].whole, whole));
    return enlarge(&g->pair[i].part, part);
}

/* Where one rank got nothing, none keeps anything: the next call asks all of them again. */
static weft_status make_on_all(weft_comm *c, size_t i, size_t whole, size_t part)
{
    struct weft__stage *g = c->stage;
    const weft_status s = make(g, i, whole, part);
    int32_t worst = s;
    if (c->world > 1)
        WEFT_TRY(c->ops->all_reduce(c, &worst, 1, WEFT_I32, WEFT_REDUCE_MIN));
    if (worst == WEFT_OK)
        return WEFT_OK;
    if (g->n > i) {
        weft__free(g->pair[i].whole.at);
        weft__free(g->pair[i].part.at);
        g->pair[i] = (pair){.taken = false};
    }
    return s ? s
             : weft__fail(WEFT_ENOMEM,
                          "another rank has no room on its host for %zu bytes that go from or to "
                          "its device",
                          whole + part);
}

static weft_status take(weft_comm *c, const weft_request *r, pair **out)
{
    struct weft__stage *g = c->stage;
    const size_t whole = bytes_of_whole(c, r),
                 part = r->call == WEFT_CALL_ALL_REDUCE ? 0 : bytes_of(r, most_of(c, r));
    size_t i = 0;
    while (i < g->n && g->pair[i].taken)
        i++;
    if (i == g->n || !suffices(&g->pair[i].whole, whole) || !suffices(&g->pair[i].part, part))
        WEFT_TRY(make_on_all(c, i, whole, part));
    *out = &g->pair[i];
    (*out)->taken = true;
    return WEFT_OK;
}

/* Of a part: where it lies in the whole, its copy does so, too. */
static char *place(const pair *k, const void *part, size_t bytes, const void *whole,
                   size_t whole_bytes)
{
    const uintptr_t into = (uintptr_t)part - (uintptr_t)whole;
    return into <= whole_bytes && bytes <= whole_bytes - into ? k->whole.at + into : k->part.at;
}

/* What lies on the host stays where it is. */
static weft_status both(weft_comm *c, weft_request *r, bool out_is, bool in_is)
{
    struct weft__stage *g = c->stage;
    const bool spread = r->call == WEFT_CALL_REDUCE_SCATTER; /* the whole is what comes in */
    const size_t whole = bytes_of_whole(c, r), part = bytes_of_part(c, r);
    pair *k;
    WEFT_TRY(take(c, r, &k));
    char *small =
        spread ? place(k, r->out, part, r->in, whole) : place(k, r->in, part, r->out, whole);
    char *from = spread ? k->whole.at : small;
    if (out_is)
        r->out = spread ? small : k->whole.at;
    if (!in_is)
        return WEFT_OK;
    r->in = from;
    return g->device->ops->download(g->stream, from, (weft_dev){(uintptr_t)r->real_in},
                                    spread ? whole : part);
}

weft_status weft__stage_in(weft_comm *c, weft_request *r)
{
    r->real_out = r->out;
    r->real_in = r->in;
    if (!c->stage || (c->world == 1 && r->out == r->in)) /* one rank has what it gets already */
        return WEFT_OK;
    if (bytes_of_whole(c, r) == 0) /* some ranks may not say where nothing is */
        return WEFT_OK;
    weft_device *d = c->stage->device;
    const bool out_is = d->ops->holds(d, r->out), in_is = d->ops->holds(d, r->in);
    return out_is || in_is ? both(c, r, out_is, in_is) : WEFT_OK;
}

weft_status weft__stage_out(weft_comm *c, weft_request *r, weft_status s)
{
    struct weft__stage *g = c->stage;
    if (r->out != r->real_out && s >= 0) {
        const weft_dev to = {(uintptr_t)r->real_out};
        const size_t bytes =
            r->call == WEFT_CALL_REDUCE_SCATTER ? bytes_of_part(c, r) : bytes_of_whole(c, r);
        s = g->device->ops->upload(g->stream, to, r->out, bytes);
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
