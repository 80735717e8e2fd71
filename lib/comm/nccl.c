/* NCCL: its communicator works without blocking and is polled, so that a lost peer or a time limit can end
 * a wait, and then aborts it. Its work goes to a stream of its own, of high priority, behind an event of
 * the stream that computes. What was waited for is there for all streams: the host has seen it end. Sums
 * are in the order that NCCL chooses for the number of ranks, n and the machine, the same each time. */
#include "comm/comm.h"
#include "comm/nccl_self.h"
#include "comm/wait.h"
#include "core/error.h"
#include "core/log.h"

#include <string.h>

/* A call that failed is the last. */
static weft_status give_up(weft__nccl *q, weft_status s)
{
    if (s < 0)
        weft__nccl_abort(q);
    return s;
}

/* Whether calls can be made, or waited for. */
static weft_status is_there(weft__nccl *q, const weft_comm *c)
{
    if (c->lost)
        weft__nccl_abort(q);
    return q->comm ? WEFT_OK
                   : weft__fail(WEFT_EPEER, "NCCL was stopped when a peer was lost, or failed");
}

static ncclDataType_t type_of(weft_dtype t)
{
    return t == WEFT_F32   ? ncclFloat32
           : t == WEFT_F64 ? ncclFloat64
           : t == WEFT_I32 ? ncclInt32
           : t == WEFT_I64 ? ncclInt64
                           : ncclUint8;
}

static ncclRedOp_t op_of(weft_reduce op)
{
    return op == WEFT_REDUCE_SUM ? ncclSum : op == WEFT_REDUCE_MIN ? ncclMin : ncclMax;
}

static bool alike(const weft_comm *c, const int64_t *counts)
{
    for (int r = 1; r < c->world; r++)
        if (counts[r] != counts[0])
            return false;
    return true;
}

/* To, or from, one rank after the other. */
static ncclResult_t by_rank(const weft__nccl *q, const weft_comm *c, const weft_request *r)
{
    const size_t size = weft_dtype_size(r->dtype);
    const bool gathers = r->call == WEFT_CALL_ALL_GATHER;
    char *out = r->out;
    const char *in = r->in;
    ncclResult_t e = q->api.ncclGroupStart();
    for (int p = 0; p < c->world && (!e || e == ncclInProgress); p++) {
        const size_t n = (size_t)r->counts[p];
        if (n && gathers)
            e = q->api.ncclBroadcast(p == c->rank ? in : out, out, n * size, ncclUint8, p, q->comm,
                                     q->stream->self);
        else if (n)
            e = q->api.ncclReduce(in, out, n, type_of(r->dtype), ncclSum, p, q->comm,
                                  q->stream->self);
        out += gathers ? n * size : 0;
        in += gathers ? 0 : n * size;
    }
    const ncclResult_t end = q->api.ncclGroupEnd();
    return e && e != ncclInProgress ? e : end;
}

static ncclResult_t ask(const weft__nccl *q, const weft_comm *c, const weft_request *r)
{
    const size_t size = weft_dtype_size(r->dtype);
    if (r->call == WEFT_CALL_ALL_REDUCE)
        return q->api.ncclAllReduce(r->out, r->out, (size_t)r->n, type_of(r->dtype), op_of(r->op),
                                    q->comm, q->stream->self);
    if (!alike(c, r->counts))
        return by_rank(q, c, r);
    if (r->call == WEFT_CALL_REDUCE_SCATTER)
        return q->api.ncclReduceScatter(r->in, r->out, (size_t)r->counts[0], type_of(r->dtype),
                                        ncclSum, q->comm, q->stream->self);
    return q->api.ncclAllGather(r->in, r->out, (size_t)r->counts[0] * size, ncclUint8, q->comm,
                                q->stream->self);
}

/* Before a call: its place in the order of what computes. */
static weft_status begin(weft__nccl *q, const weft_comm *c, weft_event *after)
{
    const weft_device_ops *d = q->device->ops;
    WEFT_TRY(is_there(q, c));
    d->bind(q->device);
    return after ? d->event_wait(q->stream, after) : WEFT_OK;
}

/* After a call was asked for: its event. */
static weft_status begun(weft__nccl *q, const weft_comm *c, const char *call, ncclResult_t e,
                         weft_event **event)
{
    WEFT_TRY(weft__nccl_failed(q, call, e));
    if (e == ncclInProgress)
        WEFT_TRY(weft__nccl_settle(q, c, call));
    *event = q->event[q->begun++ % WEFT__NCCL_EVENTS];
    return q->device->ops->event_record(*event, q->stream);
}

/* Requests of the same event end in order: one that was overtaken waits for the later, too. */
static weft_status start(void *self, const weft_comm *c, weft_request *r, weft_event *after)
{
    weft__nccl *q = self;
    weft_event *event = NULL;
    weft_status s = begin(q, c, after);
    if (!s)
        s = begun(q, c, "NCCL", ask(q, c, r), &event);
    r->link = (weft_request *)(void *)event;
    return give_up(q, s);
}

static weft_status is_over(const weft__nccl *q, weft_event *event, bool *done)
{
    ncclResult_t e = ncclSuccess;
    WEFT_TRY(q->device->ops->event_done(event, done));
    if (*done)
        return WEFT_OK;
    const ncclResult_t asked = q->api.ncclCommGetAsyncError(q->comm, &e);
    return weft__nccl_failed(q, "NCCL", asked ? asked : e);
}

/* No failure is told here: the wait that follows does. */
static weft_status test(void *self, const weft_comm *c, weft_request *r, bool *done)
{
    const weft__nccl *q = self;
    (void)c;
    *done = true;
    return q->comm ? q->device->ops->event_done((weft_event *)(void *)r->link, done) : WEFT_OK;
}

static weft_status wait_for(weft__nccl *q, const weft_comm *c, weft_event *event)
{
    weft__wait w = {.spins = WEFT__NCCL_SPINS};
    WEFT_TRY(is_there(q, c));
    for (bool done = false;;) {
        weft_status s = is_over(q, event, &done);
        if (!s && done)
            return WEFT_OK;
        WEFT_TRY(give_up(q, s ? s : weft__wait_on(&w, c, -1, c->timeout)));
    }
}

static weft_status wait(void *self, const weft_comm *c, weft_request *r)
{
    return wait_for(self, c, (weft_event *)(void *)r->link);
}

static weft_status broadcast(void *self, const weft_comm *c, void *buf, int64_t bytes, int root,
                             weft_event *after)
{
    weft__nccl *q = self;
    weft_event *event = NULL;
    weft_status s = begin(q, c, after);
    if (!s) {
        const ncclResult_t e = q->api.ncclBroadcast(buf, buf, (size_t)bytes, ncclUint8, root,
                                                    q->comm, q->stream->self);
        s = begun(q, c, "ncclBroadcast", e, &event);
    }
    WEFT_TRY(give_up(q, s));
    return wait_for(q, c, event);
}

static weft_status open_nccl(void **self, weft_comm *c, weft_device *d)
{
    weft__nccl_api api;
    weft_status s = strcmp(d->ops->name, "cuda") == 0
                        ? weft__nccl_load(&api)
                        : weft__fail(WEFT_ECONFIG,
                                     "process_group_backend nccl moves the memory of NVIDIA GPUs, "
                                     "and this program computes on device %s; use "
                                     "accelerator=cuda, or process_group_backend=auto",
                                     d->ops->name);
    WEFT_TRY(weft__agree(c, "NCCL", s, ""));
    int version = 0;
    if (c->rank == 0 && !api.ncclGetVersion(&version))
        weft__say(WEFT_LOG_DEBUG, "NCCL %d.%d.%d", version / 10000, version / 100 % 100,
                  version % 100);
    return weft__nccl_open(self, c, d, &api);
}

const weft__direct_ops weft__nccl_ops = {
    .name = "nccl",
    .open = open_nccl,
    .start = start,
    .test = test,
    .wait = wait,
    .broadcast = broadcast,
    .alloc = weft__nccl_alloc,
    .enlist = weft__nccl_enlist,
    .strike = weft__nccl_strike,
    .release = weft__nccl_release,
    .free = weft__nccl_close,
};
