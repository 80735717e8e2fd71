/* Calls that are described by a request: made at once, or started and waited for. */
#include "comm/request.h"

#include "comm/comm.h"
#include "comm/heartbeat.h"
#include "comm/stage.h"
#include "core/error.h"

static const char *const call_name[] = {[WEFT_CALL_ALL_REDUCE] = "all_reduce",
                                        [WEFT_CALL_REDUCE_SCATTER] = "reduce_scatter",
                                        [WEFT_CALL_ALL_GATHER] = "all_gather"};

static weft_status bad_type(weft_dtype t)
{
    if (t == WEFT_F32 || t == WEFT_F64 || t == WEFT_I32 || t == WEFT_I64 || t == WEFT_U8)
        return WEFT_OK;
    return weft__fail(WEFT_EDTYPE, "%s does not travel; f32, f64, i32, i64 and u8 do",
                      weft_dtype_name(t));
}

static weft_status bad_count(int64_t n)
{
    return n < 0 ? weft__fail(WEFT_EARG, "a count of %lld", (long long)n) : WEFT_OK;
}

/* All ranks have the same bug, so nobody waits. */
static weft_status bad(const weft_comm *c, const weft_request *r)
{
    if (r->call != WEFT_CALL_ALL_GATHER || weft_dtype_size(r->dtype) != 2)
        WEFT_TRY(bad_type(r->dtype));
    if ((unsigned)r->op > WEFT_REDUCE_MAX)
        return weft__fail(WEFT_EARG, "there is no reduction %d", (int)r->op);
    for (int k = 0; r->counts && k < c->world; k++)
        WEFT_TRY(bad_count(r->counts[k]));
    return bad_count(r->n);
}

weft_status weft__request_run(weft_comm *c, const weft_request *r)
{
    if (c->world == 1 && r->out == r->in)
        return WEFT_OK; /* where it is may be where the host does not reach (stage.c) */
    switch (r->call) {
    case WEFT_CALL_ALL_REDUCE:
        return c->ops->all_reduce(c, r->out, r->n, r->dtype, r->op);
    case WEFT_CALL_REDUCE_SCATTER:
        return c->ops->reduce_scatter(c, r->out, r->in, r->counts, r->dtype);
    default:
        return c->ops->all_gather(c, r->out, r->counts, r->in, r->dtype);
    }
}

static weft_status run(weft_comm *c, const char *name, weft_request *r)
{
    WEFT_TRY(weft__comm_begin(c, name));
    weft__heartbeat_enter(c);
    weft_status rc = bad(c, r);
    if (!rc) {
        rc = weft__stage_in(c, r);
        rc = rc ? rc : weft__request_run(c, r);
        rc = weft__stage_out(c, r, rc);
    }
    return weft__comm_end(c, call_name[r->call], name, c->sequence, rc);
}

static weft_status start(weft_comm *c, const char *name, weft_request *r)
{
    weft_request **last = &c->flying;
    if (!weft__comm_overlaps(c))
        return run(c, name, r);
    WEFT_TRY(weft__comm_begin(c, name));
    r->name = name;
    r->number = c->sequence;
    weft_status rc = bad(c, r);
    if (!rc) {
        rc = weft__stage_in(c, r);
        rc = rc ? rc : c->ops->start(c, r);
        rc = rc ? weft__stage_out(c, r, rc) : WEFT_OK;
    }
    if (rc)
        return weft__comm_end(c, call_name[r->call], name, r->number, rc);
    while (*last)
        last = &(*last)->next;
    *last = r;
    r->flying = true;
    return WEFT_OK;
}

weft_request weft__request_all_reduce(void *buf, int64_t n, weft_dtype t, weft_reduce op)
{
    return (weft_request){
        .call = WEFT_CALL_ALL_REDUCE, .out = buf, .in = buf, .n = n, .dtype = t, .op = op};
}

weft_request weft__request_reduce_scatter(void *out, const void *in, const int64_t *counts,
                                          weft_dtype t)
{
    return (weft_request){
        .call = WEFT_CALL_REDUCE_SCATTER, .out = out, .in = in, .counts = counts, .dtype = t};
}

weft_request weft__request_all_gather(void *out, const int64_t *counts, const void *in,
                                      weft_dtype t)
{
    return (weft_request){
        .call = WEFT_CALL_ALL_GATHER, .out = out, .in = in, .counts = counts, .dtype = t};
}

weft_status weft__all_reduce(weft_comm *c, const char *name, void *buf, int64_t n, weft_dtype t,
                             weft_reduce op)
{
    weft_request r = weft__request_all_reduce(buf, n, t, op);
    return run(c, name, &r);
}

weft_status weft__reduce_scatter(weft_comm *c, const char *name, void *out, const void *in,
                                 const int64_t *counts, weft_dtype t)
{
    weft_request r = weft__request_reduce_scatter(out, in, counts, t);
    return run(c, name, &r);
}

weft_status weft__all_gather(weft_comm *c, const char *name, void *out, const int64_t *counts,
                             const void *in, weft_dtype t)
{
    weft_request r = weft__request_all_gather(out, counts, in, t);
    return run(c, name, &r);
}

weft_status weft__start_all_reduce(weft_comm *c, weft_request *r, const char *name, void *buf,
                                   int64_t n, weft_dtype t, weft_reduce op)
{
    *r = weft__request_all_reduce(buf, n, t, op);
    return start(c, name, r);
}

weft_status weft__start_reduce_scatter(weft_comm *c, weft_request *r, const char *name, void *out,
                                       const void *in, const int64_t *counts, weft_dtype t)
{
    *r = weft__request_reduce_scatter(out, in, counts, t);
    return start(c, name, r);
}

weft_status weft__start_all_gather(weft_comm *c, weft_request *r, const char *name, void *out,
                                   const int64_t *counts, const void *in, weft_dtype t)
{
    *r = weft__request_all_gather(out, counts, in, t);
    return start(c, name, r);
}

/* Also after a lost peer: the communicator makes no call then, but lets go of r. */
weft_status weft__await(weft_comm *c, weft_request *r)
{
    weft_request **at = &c->flying;
    if (!r->flying)
        return WEFT_OK;
    weft__heartbeat_enter(c);
    weft_status rc = c->ops->wait(c, r);
    rc = weft__stage_out(c, r, rc);
    rc = weft__comm_end(c, call_name[r->call], r->name, r->number, rc);
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    r->next = NULL;
    r->flying = false;
    return rc;
}

void weft__advance(weft_comm *c)
{
    bool done;
    if (c->flying && !c->lost)
        c->ops->test(c, c->flying, &done);
}

void weft__settle(weft_comm *c)
{
    while (c->flying)
        weft__await(c, c->flying);
}
