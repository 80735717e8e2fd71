/* Dispatch: every collective gets a number and a name, nothing is begun after a lost peer, and a
 * failure becomes
 *     all_reduce "gradients 0.2" (collective 17) failed on rank 1 of 4: why and what to do */
#include "comm/comm.h"

#include "comm/heartbeat.h"
#include "comm/request.h"
#include "comm/stage.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/process.h"
#include "device/device.h"

/* Names are kept in c->last for reports of hangs only and never read here: the caller's text may be
 * gone by then. */
static weft_status refuse_lost(const weft_comm *c, const char *name)
{
    if (!c->lost)
        return WEFT_OK;
    return weft__fail(WEFT_EPEER,
                      "\"%s\" was not begun on rank %d of %d: a peer was lost in or after "
                      "collective %llu; end this process and start again from the last checkpoint",
                      name, c->rank, c->world, (unsigned long long)c->sequence);
}

/* A rank that was lost while this one computed is noticed here. */
static weft_status refuse_verdict(weft_comm *c, const char *name)
{
    weft_status s = weft__heartbeat_check(c);
    if (!s)
        return WEFT_OK;
    c->lost = true;
    return weft__fail(s, "\"%s\" was not begun on rank %d of %d: %s", name, c->rank, c->world,
                      weft__why());
}

weft_status weft__comm_begin(weft_comm *c, const char *name)
{
    WEFT_TRY(refuse_lost(c, name));
    WEFT_TRY(refuse_verdict(c, name));
    weft__advance(c);
    c->sequence++;
    c->last = name;
    weft__heartbeat_begin(c, name);
    return WEFT_OK;
}

weft_status weft__comm_end(weft_comm *c, const char *call, const char *name, uint64_t number,
                           weft_status rc)
{
    if (rc == WEFT_EMPI) /* as when calls of different kinds meet */
        rc = weft__heartbeat_explain(c, rc);
    weft__heartbeat_leave(c);
    if (rc >= 0)
        return rc;
    if (rc == WEFT_EPEER || rc == WEFT_ETIMEOUT)
        c->lost = true;
    return weft__fail(rc, "%s \"%s\" (collective %llu) failed on rank %d of %d: %s", call, name,
                      (unsigned long long)number, c->rank, c->world, weft__why());
}

static weft_status bad_count(int64_t n)
{
    return n < 0 ? weft__fail(WEFT_EARG, "a count of %lld", (long long)n) : WEFT_OK;
}

static weft_status bad_rank(const weft_comm *c, int rank)
{
    if (rank >= 0 && rank < c->world)
        return WEFT_OK;
    return weft__fail(WEFT_EARG, "there is no rank %d; there are 0 to %d", rank, c->world - 1);
}

/* The call, unless an argument is bad: all ranks have the same bug, so nobody waits. */
#define CALL(call, name, bad, ...)                                                                 \
    do {                                                                                           \
        WEFT_TRY(weft__comm_begin(c, name));                                                       \
        weft__heartbeat_enter(c);                                                                  \
        weft_status rc_ = (bad);                                                                   \
        rc_ = rc_ ? rc_ : c->ops->call(c, ##__VA_ARGS__);                                          \
        return weft__comm_end(c, #call, name, c->sequence, rc_);                                   \
    } while (0)

weft_status weft__comm_broadcast(weft_comm *c, const char *name, void *buf, int64_t bytes, int root)
{
    weft_request r = weft__request_all_reduce(buf, bytes, WEFT_U8, WEFT_REDUCE_MAX);
    weft_status bad = bad_rank(c, root);
    WEFT_TRY(weft__comm_begin(c, name));
    weft__heartbeat_enter(c);
    bad = bad ? bad : bad_count(bytes);
    if (!bad) {
        bad = weft__stage_in(c, &r);
        if (!bad && c->world > 1) /* alone, it stays where the host may not reach (stage.c) */
            bad = c->ops->broadcast(c, r.out, bytes, root);
        bad = weft__stage_out(c, &r, bad);
    }
    return weft__comm_end(c, "broadcast", name, c->sequence, bad);
}

weft_status weft__barrier(weft_comm *c, const char *name)
{
    CALL(barrier, name, WEFT_OK);
}

/* send and recv are not collective: numbering them would set the ranks' numbers apart. */
static weft_status begin_pair(weft_comm *c, const char *name, int64_t bytes, int peer, int tag)
{
    WEFT_TRY(refuse_lost(c, name));
    WEFT_TRY(refuse_verdict(c, name));
    if (tag < 0)
        return weft__fail(WEFT_EARG, "\"%s\": a tag of %d; tags start at 0", name, tag);
    WEFT_TRY(bad_count(bytes));
    return bad_rank(c, peer);
}

static weft_status end_pair(weft_comm *c, const char *call, const char *name, int peer,
                            weft_status rc)
{
    if (rc >= 0)
        return rc;
    if (rc == WEFT_EPEER || rc == WEFT_ETIMEOUT)
        c->lost = true;
    return weft__fail(rc, "%s rank %d \"%s\" (after collective %llu) failed on rank %d of %d: %s",
                      call, peer, name, (unsigned long long)c->sequence, c->rank, c->world,
                      weft__why());
}

weft_status weft__send(weft_comm *c, const char *name, const void *buf, int64_t bytes, int to,
                       int tag)
{
    WEFT_TRY(begin_pair(c, name, bytes, to, tag));
    return end_pair(c, "send to", name, to, c->ops->send(c, buf, bytes, to, tag));
}

weft_status weft__recv(weft_comm *c, const char *name, void *buf, int64_t bytes, int from, int tag)
{
    WEFT_TRY(begin_pair(c, name, bytes, from, tag));
    return end_pair(c, "recv from", name, from, c->ops->recv(c, buf, bytes, from, tag));
}

weft_status weft__split(weft_comm *c, const char *name, int color, int key, weft_comm **out)
{
    weft_comm *part = NULL;
    WEFT_TRY(weft__comm_begin(c, name));
    weft__heartbeat_enter(c);
    weft_status rc = c->ops->split(c, color, key, &part);
    if (!rc && part)
        rc = weft__comm_check(part->ops);
    WEFT_TRY(weft__comm_end(c, "split", name, c->sequence, rc));
    if (part)
        part->heartbeat = c->heartbeat;
    *out = part;
    return WEFT_OK;
}

/* Members beyond the size that the table's author knew are absent. */
#define HAS(ops, member)                                                                           \
    ((ops)->size >= offsetof(weft_comm_ops, member) + sizeof(ops)->member && (ops)->member)

weft_status weft__comm_check(const weft_comm_ops *ops)
{
#define REQUIRED(op)                                                                               \
    if (!HAS(ops, op))                                                                             \
    return weft__fail(WEFT_EARG, "the communicator's table lacks %s, which is required", #op)
    REQUIRED(name);
    REQUIRED(all_reduce);
    REQUIRED(reduce_scatter);
    REQUIRED(all_gather);
    REQUIRED(broadcast);
    REQUIRED(barrier);
    REQUIRED(send);
    REQUIRED(recv);
    REQUIRED(split);
    REQUIRED(free);
#undef REQUIRED
    if (!HAS(ops, alloc) != !HAS(ops, release))
        return weft__fail(WEFT_EARG, "communicator \"%s\" has only one of alloc and release",
                          ops->name);
    if (!HAS(ops, reserve) != !HAS(ops, enlist) || (HAS(ops, reserve) && !HAS(ops, release)))
        return weft__fail(WEFT_EARG,
                          "communicator \"%s\" has only some of reserve, enlist and release",
                          ops->name);
    if (!HAS(ops, start) != !HAS(ops, test) || !HAS(ops, start) != !HAS(ops, wait))
        return weft__fail(WEFT_EARG, "communicator \"%s\" has only some of start, test and wait",
                          ops->name);
    return WEFT_OK;
}

bool weft__comm_overlaps(const weft_comm *c)
{
    return HAS(c->ops, start);
}

weft_status weft__comm_alloc(weft_comm *c, weft_device *d, size_t bytes, weft_memory_kind kind,
                             weft_dev *out)
{
    const weft_status s =
        HAS(c->ops, alloc) ? c->ops->alloc(c, d, bytes, out) : d->ops->alloc(d, bytes, out);
    return weft__device_account(d, s, bytes, kind);
}

weft_status weft__comm_reserve(weft_comm *c, weft_device *d, size_t bytes, weft_memory_kind kind,
                               weft_dev *out)
{
    const weft_status s =
        HAS(c->ops, reserve) ? c->ops->reserve(c, d, bytes, out) : d->ops->alloc(d, bytes, out);
    return weft__device_account(d, s, bytes, kind);
}

weft_status weft__comm_enlist(weft_comm *c, weft_dev p)
{
    return HAS(c->ops, enlist) ? c->ops->enlist(c, p) : WEFT_OK;
}

void weft__comm_release(weft_comm *c, weft_device *d, weft_dev p, size_t bytes,
                        weft_memory_kind kind)
{
    weft__device_count(d, -(int64_t)bytes, kind);
    if (HAS(c->ops, release))
        c->ops->release(c, d, p, bytes);
    else
        d->ops->free(d, p, bytes);
}

weft_status weft__comm_after(weft_comm *c, weft_stream *s)
{
    return HAS(c->ops, after) ? c->ops->after(c, s) : s->device->ops->sync(s);
}

void *weft__comm_reach(weft_comm *c, weft_device *d, weft_dev p)
{
    void *at = HAS(c->ops, reach) ? c->ops->reach(c, d, p) : weft__device_host(d, p);
    if (!at && p.addr && !weft__stage_open(c, d))
        return (void *)p.addr; /* NOLINT: which stage_in knows */
    if (!at && p.addr)
        weft__fail(WEFT_ENOTSUP, "communicator %s does not reach the memory of device %s",
                   c->ops->name, d->ops->name);
    return at;
}

void weft__comm_free(weft_comm *c)
{
    if (!c)
        return;
    weft__settle(c);
    weft__heartbeat_free(c);
    weft__stage_close(c);
    if (c->lost) /* a late peer's part may still arrive there */
        weft__process_abandon(c->room);
    else
        weft__free(c->room);
    c->ops->free(c);
}
