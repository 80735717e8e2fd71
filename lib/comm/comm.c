/* Dispatch: every collective gets a number and a name, nothing is begun after a lost peer, and a
 * failure becomes
 *     all_reduce "gradients 0.2" (collective 17) failed on rank 1 of 4: why and what to do */
#include "comm/comm.h"

#include "comm/heartbeat.h"
#include "core/error.h"
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

static weft_status begin(weft_comm *c, const char *name)
{
    WEFT_TRY(refuse_lost(c, name));
    WEFT_TRY(refuse_verdict(c, name));
    c->sequence++;
    c->last = name;
    weft__heartbeat_enter(c, name);
    return WEFT_OK;
}

static weft_status end(weft_comm *c, const char *call, const char *name, weft_status rc)
{
    if (rc == WEFT_EMPI) /* as when calls of different kinds meet */
        rc = weft__heartbeat_explain(c, rc);
    weft__heartbeat_leave(c);
    if (rc >= 0)
        return rc;
    if (rc == WEFT_EPEER || rc == WEFT_ETIMEOUT)
        c->lost = true;
    return weft__fail(rc, "%s \"%s\" (collective %llu) failed on rank %d of %d: %s", call, name,
                      (unsigned long long)c->sequence, c->rank, c->world, weft__why());
}

static weft_status bad_count(int64_t n)
{
    return n < 0 ? weft__fail(WEFT_EARG, "a count of %lld", (long long)n) : WEFT_OK;
}

static weft_status bad_counts(const weft_comm *c, const int64_t *counts)
{
    weft_status bad = WEFT_OK;
    for (int r = 0; r < c->world && !bad; r++)
        bad = bad_count(counts[r]);
    return bad;
}

static weft_status bad_type(weft_dtype t)
{
    if (t == WEFT_F32 || t == WEFT_F64 || t == WEFT_I32 || t == WEFT_I64 || t == WEFT_U8)
        return WEFT_OK;
    return weft__fail(WEFT_EDTYPE, "%s does not travel; f32, f64, i32, i64 and u8 do",
                      weft_dtype_name(t));
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
        WEFT_TRY(begin(c, name));                                                                  \
        weft_status rc_ = (bad);                                                                   \
        return end(c, #call, name, rc_ ? rc_ : c->ops->call(c, ##__VA_ARGS__));                    \
    } while (0)

weft_status weft__all_reduce(weft_comm *c, const char *name, void *buf, int64_t n, weft_dtype t,
                             weft_reduce op)
{
    weft_status bad = bad_type(t);
    if (!bad && (unsigned)op > WEFT_REDUCE_MAX)
        bad = weft__fail(WEFT_EARG, "there is no reduction %d", (int)op);
    CALL(all_reduce, name, bad ? bad : bad_count(n), buf, n, t, op);
}

weft_status weft__reduce_scatter(weft_comm *c, const char *name, void *out, const void *in,
                                 const int64_t *counts, weft_dtype t)
{
    const weft_status bad = bad_type(t);
    CALL(reduce_scatter, name, bad ? bad : bad_counts(c, counts), out, in, counts, t);
}

weft_status weft__all_gather(weft_comm *c, const char *name, void *out, const int64_t *counts,
                             const void *in, weft_dtype t)
{
    const weft_status bad = bad_type(t);
    CALL(all_gather, name, bad ? bad : bad_counts(c, counts), out, counts, in, t);
}

weft_status weft__comm_broadcast(weft_comm *c, const char *name, void *buf, int64_t bytes, int root)
{
    weft_status bad = bad_rank(c, root);
    CALL(broadcast, name, bad ? bad : bad_count(bytes), buf, bytes, root);
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
    WEFT_TRY(begin(c, name));
    WEFT_TRY(end(c, "split", name, c->ops->split(c, color, key, &part)));
    if (part)
        WEFT_TRY(end(c, "split", name, weft__comm_check(part->ops)));
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
    return WEFT_OK;
}

weft_status weft__comm_alloc(weft_comm *c, weft_device *d, size_t bytes, weft_memory_kind kind,
                             weft_dev *out)
{
    const weft_status s =
        HAS(c->ops, alloc) ? c->ops->alloc(c, d, bytes, out) : d->ops->alloc(d, bytes, out);
    return weft__device_account(d, s, bytes, kind);
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

void *weft__comm_reach(weft_comm *c, weft_device *d, weft_dev p)
{
    void *at = HAS(c->ops, reach) ? c->ops->reach(c, d, p) : weft__device_host(d, p);
    if (!at && p.addr)
        weft__fail(WEFT_ENOTSUP, "communicator %s does not reach the memory of device %s",
                   c->ops->name, d->ops->name);
    return at;
}

void weft__comm_free(weft_comm *c)
{
    if (!c)
        return;
    weft__heartbeat_free(c);
    c->ops->free(c);
}
