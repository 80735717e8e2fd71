/* Which way a call goes: by the library where all that it reads and writes is the device's, else by the
 * communicator below, with copies of what that does not reach. Ranks that meet in a call must go the same
 * way, so what a rank has no part of is not looked at. */
#include "comm/direct.h"

#include "comm/comm.h"
#include "comm/request.h"
#include "comm/stage.h"
#include "core/alloc.h"
#include "core/error.h"

/* Where a request that was started is. */
enum { RAN = 1, FLIES };

typedef struct direct {
    weft_comm base;
    weft_comm_ops ops; /* with the library's name */
    weft_comm *below;
    weft_device *device;
    const weft__direct_ops *library;
    void *self;
    weft_event *ready; /* what the device had to do before the next call */
    bool pending;      /* it was recorded, and no call has waited for it */
    bool beside;
} direct;

/* Who is below must know what this one does. */
static weft_comm *lend(direct *s)
{
    s->below->heartbeat = s->base.heartbeat;
    s->below->timeout = s->base.timeout;
    return s->below;
}

static bool is_device(const direct *s, const void *p)
{
    return p && s->device->ops->holds(s->device, p);
}

static bool takes(const direct *s, const weft_request *r)
{
    const bool scatters = r->call == WEFT_CALL_REDUCE_SCATTER;
    const void *whole = scatters ? r->in : r->out, *part = scatters ? r->out : r->in;
    int64_t all = r->n;
    for (int p = 0; r->counts && p < s->base.world; p++)
        all += r->counts[p];
    return all > 0 && is_device(s, whole) &&
           (!r->counts || r->counts[s->base.rank] == 0 || is_device(s, part));
}

/* Where the ranks have lost one another in the library, none of them knows how far the others are. */
static weft_status by_library(weft_comm *c, weft_status s)
{
    c->lost |= s < 0;
    return s;
}

static weft_event *take_ready(direct *s)
{
    weft_event *e = s->pending ? s->ready : NULL;
    s->pending = false;
    return e;
}

static weft_status await_ready(direct *s)
{
    weft_event *e = take_ready(s);
    return e ? s->device->ops->event_sync(e) : WEFT_OK;
}

static weft_status run_below(direct *s, weft_request r)
{
    weft_comm *below = lend(s);
    WEFT_TRY(await_ready(s));
    weft_status code = weft__stage_in(below, &r);
    code = code ? code : weft__request_run(below, &r);
    return weft__stage_out(below, &r, code);
}

static weft_status wait(weft_comm *c, weft_request *r)
{
    const direct *s = c->self;
    return r->state == FLIES ? by_library(c, s->library->wait(s->self, c, r)) : r->status;
}

static weft_status start(weft_comm *c, weft_request *r)
{
    direct *s = c->self;
    if (!takes(s, r)) {
        r->state = RAN;
        r->status = run_below(s, *r);
        return WEFT_OK;
    }
    r->state = FLIES;
    WEFT_TRY(by_library(c, s->library->start(s->self, c, r, take_ready(s))));
    if (!s->beside) {
        r->status = wait(c, r);
        r->state = RAN;
    }
    return WEFT_OK;
}

static weft_status test(weft_comm *c, weft_request *r, bool *done)
{
    const direct *s = c->self;
    *done = true;
    return r->state == FLIES ? s->library->test(s->self, c, r, done) : WEFT_OK;
}

static weft_status after(weft_comm *c, weft_stream *stream)
{
    direct *s = c->self;
    s->pending = true;
    return s->device->ops->event_record(s->ready, stream);
}

static weft_status call(weft_comm *c, weft_request r)
{
    WEFT_TRY(start(c, &r));
    return wait(c, &r);
}

static weft_status all_reduce(weft_comm *c, void *buf, int64_t n, weft_dtype t, weft_reduce op)
{
    return call(c, weft__request_all_reduce(buf, n, t, op));
}

static weft_status reduce_scatter(weft_comm *c, void *out, const void *in, const int64_t *counts,
                                  weft_dtype t)
{
    return call(c, weft__request_reduce_scatter(out, in, counts, t));
}

static weft_status all_gather(weft_comm *c, void *out, const int64_t *counts, const void *in,
                              weft_dtype t)
{
    return call(c, weft__request_all_gather(out, counts, in, t));
}

static weft_status broadcast(weft_comm *c, void *buf, int64_t bytes, int root)
{
    direct *s = c->self;
    if (bytes > 0 && is_device(s, buf))
        return by_library(c, s->library->broadcast(s->self, c, buf, bytes, root, take_ready(s)));
    weft_comm *below = lend(s);
    WEFT_TRY(await_ready(s));
    return below->ops->broadcast(below, buf, bytes, root);
}

static weft_status barrier(weft_comm *c)
{
    weft_comm *below = lend(c->self);
    return below->ops->barrier(below);
}

static weft_status send_bytes(weft_comm *c, const void *buf, int64_t bytes, int to, int tag)
{
    weft_comm *below = lend(c->self);
    return below->ops->send(below, buf, bytes, to, tag);
}

static weft_status recv_bytes(weft_comm *c, void *buf, int64_t bytes, int from, int tag)
{
    weft_comm *below = lend(c->self);
    return below->ops->recv(below, buf, bytes, from, tag);
}

/* The part goes by the host. */
static weft_status split(weft_comm *c, int color, int key, weft_comm **out)
{
    weft_comm *below = lend(c->self);
    return below->ops->split(below, color, key, out);
}

static weft_status reserve(weft_comm *c, weft_device *d, size_t bytes, weft_dev *out)
{
    direct *s = c->self;
    return s->library->alloc && d == s->device && !s->library->alloc(s->self, bytes, out)
               ? WEFT_OK
               : d->ops->alloc(d, bytes, out);
}

/* On all ranks or on none. mine: whether this one has memory. */
static weft_status together(weft_comm *c, weft_dev p, weft_status mine)
{
    direct *s = c->self;
    mine = mine ? mine : s->library->enlist(s->self, p);
    const weft_status all = weft__agree(lend(s), "memory of the library", mine, "");
    c->lost |= s->below->lost;
    if (all && !mine)
        s->library->strike(s->self, p);
    return all;
}

static weft_status enlist(weft_comm *c, weft_dev p)
{
    const direct *s = c->self;
    const weft_status all = s->library->alloc ? together(c, p, WEFT_OK) : WEFT_OK;
    return c->lost ? all : WEFT_OK;
}

static weft_status alloc(weft_comm *c, weft_device *d, size_t bytes, weft_dev *out)
{
    direct *s = c->self;
    weft_dev p = {0};
    if (!s->library->alloc || d != s->device)
        return d->ops->alloc(d, bytes, out);
    const weft_status mine = s->library->alloc(s->self, bytes, &p);
    const weft_status all = together(c, p, mine);
    if (!all) {
        *out = p;
        return WEFT_OK;
    }
    if (!mine)
        s->library->release(s->self, p);
    return c->lost ? all : d->ops->alloc(d, bytes, out);
}

/* After a loss it stays: what goes on may still write there. */
static void release(weft_comm *c, weft_device *d, weft_dev p, size_t bytes)
{
    direct *s = c->self;
    if (c->lost || (s->library->release && s->library->release(s->self, p)))
        return;
    d->ops->free(d, p, bytes);
}

static void *reach(weft_comm *c, weft_device *d, weft_dev p)
{
    direct *s = c->self;
    void *at = (void *)p.addr; /* NOLINT: an address that the device handed out */
    return d == s->device && is_device(s, at) ? at : weft__comm_reach(s->below, d, p);
}

static void destroy(weft_comm *c)
{
    direct *s = c->self;
    s->library->free(s->self, c->lost);
    s->device->ops->event_free(s->ready);
    s->below->heartbeat = NULL;
    s->below->lost |= c->lost;
    weft__comm_free(s->below);
    weft__free(s);
}

static const weft_comm_ops table = {
    .size = sizeof table,
    .name = "direct",
    .all_reduce = all_reduce,
    .reduce_scatter = reduce_scatter,
    .all_gather = all_gather,
    .broadcast = broadcast,
    .barrier = barrier,
    .send = send_bytes,
    .recv = recv_bytes,
    .split = split,
    .free = destroy,
    .alloc = alloc,
    .release = release,
    .reach = reach,
    .start = start,
    .test = test,
    .wait = wait,
    .after = after,
    .reserve = reserve,
    .enlist = enlist,
};

/* Local. */
static weft_status prepare(direct *s, weft_comm *below, weft_device *d, const char *name)
{
    if (!s)
        return WEFT_ENOMEM;
    if (!d->ops->holds || !d->ops->bind)
        return weft__fail(WEFT_ENOTSUP,
                          "process_group_backend %s moves the memory of GPUs, and device %s has "
                          "none; use accelerator=cuda, or process_group_backend=auto",
                          name, d->ops->name);
    WEFT_TRY(weft__stage_open(below, d));
    return d->ops->event_new(d, &s->ready);
}

weft_status weft__comm_direct(weft_comm **c, weft_device *d, const weft__direct_ops *library,
                              bool beside)
{
    weft_comm *below = *c;
    direct *s = weft__new(1, sizeof *s);
    weft_status code = prepare(s, below, d, library->name);
    code = weft__agree(below, "device memory", code, "");
    code = code ? code : library->open(&s->self, below, d);
    if (code) {
        if (s && s->ready)
            d->ops->event_free(s->ready);
        weft__free(s);
        return code;
    }
    s->below = below;
    s->device = d;
    s->library = library;
    s->beside = beside;
    s->ops = table;
    s->ops.name = library->name;
    s->base = (weft_comm){.ops = &s->ops,
                          .self = s,
                          .rank = below->rank,
                          .world = below->world,
                          .sequence = below->sequence,
                          .last = below->last,
                          .timeout = below->timeout};
    *c = &s->base;
    return WEFT_OK;
}

weft_comm *weft__direct_under(weft_comm *c)
{
    return c->ops->free == destroy ? ((direct *)c->self)->below : c;
}
