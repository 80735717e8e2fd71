/* Opening and ending NCCL's communicator. It starts without blocking; while it does, ranks tell one another
 * by the host how far they are: one that failed leaves nobody waiting. */
#include "comm/comm.h"
#include "comm/nccl_self.h"
#include "comm/wait.h"
#include "core/alloc.h"
#include "core/context.h"
#include "core/error.h"
#include "core/hash.h"

#include <time.h>
#include <unistd.h>

#define ROUND 0.02 /* seconds between two rounds of telling */
#define ENDING 30  /* seconds that the end of a communicator may take */

weft_status weft__nccl_failed(const weft__nccl *q, const char *call, ncclResult_t e)
{
    if (e == ncclSuccess || e == ncclInProgress)
        return WEFT_OK;
    return weft__fail(e == ncclRemoteError ? WEFT_EPEER : WEFT_EDEVICE,
                      "%s: %s (%s); NCCL_DEBUG=INFO tells more", call, q->api.ncclGetErrorString(e),
                      q->api.ncclGetLastError(q->comm));
}

void weft__nccl_abort(weft__nccl *q)
{
    if (q->comm)
        q->api.ncclCommAbort(q->comm);
    q->comm = NULL;
}

weft_status weft__nccl_settle(const weft__nccl *q, const weft_comm *c, const char *call)
{
    weft__wait w = {.spins = WEFT__NCCL_SPINS};
    ncclResult_t e = ncclInProgress;
    for (;;) {
        const ncclResult_t asked = q->api.ncclCommGetAsyncError(q->comm, &e);
        WEFT_TRY(weft__nccl_failed(q, call, asked));
        if (e != ncclInProgress)
            return weft__nccl_failed(q, call, e);
        WEFT_TRY(weft__wait_on(&w, c, -1, c->timeout));
    }
}

/* NCCL hangs or fails where two ranks have one GPU: ranks compare theirs first. */
static weft_status own_gpu(weft_comm *c, const weft_device *d)
{
    char host[64] = "";
    weft_device_facts facts = {.identity = 0};
    int other = -1;
    int64_t *of = weft__new((size_t)c->world, 2 * sizeof *of);
    weft_status s = of ? WEFT_OK : WEFT_ENOMEM;
    if (!s && d->ops->facts)
        s = d->ops->facts(d->index, &facts);
    s = weft__agree(c, "GPUs", s, "");
    gethostname(host, sizeof host - 1);
    const uint64_t node = weft__hash_text(WEFT__HASH, host);
    const int64_t mine = (int64_t)weft__hash(node, &facts.identity, sizeof facts.identity);
    for (int r = 0; r < c->world && !s; r++)
        of[c->world + r] = 1;
    if (!s)
        s = weft__all_gather(c, "GPUs", of, of + c->world, &mine, WEFT_I64);
    for (int r = 0; r < c->world && !s; r++)
        if (r != c->rank && of[r] == mine)
            other = r;
    weft__free(of);
    if (!s && other >= 0)
        s = weft__fail(WEFT_ECONFIG,
                       "NCCL takes a GPU a rank, and ranks %d and %d have the same one (%s on %s)",
                       other < c->rank ? other : c->rank, other < c->rank ? c->rank : other,
                       facts.name, host);
    return c->lost ? s : weft__agree(c, "GPUs", s, "");
}

static weft_status make_streams(weft__nccl *q)
{
    weft_device *d = q->device;
    if (!(q->event = weft__new(WEFT__NCCL_EVENTS, sizeof(weft_event *))))
        return WEFT_ENOMEM;
    WEFT_TRY(d->ops->stream_urgent(d, &q->stream));
    for (int i = 0; i < WEFT__NCCL_EVENTS; i++)
        WEFT_TRY(d->ops->event_new(d, &q->event[i]));
    return WEFT_OK;
}

/* How far the communicator is, looked at for up to ROUND. */
static weft_status look(const weft__nccl *q, bool *done)
{
    const double since = weft__now();
    for (;;) {
        ncclResult_t e = ncclInProgress;
        const ncclResult_t asked = q->api.ncclCommGetAsyncError(q->comm, &e);
        WEFT_TRY(weft__nccl_failed(q, "ncclCommInitRankConfig", asked ? asked : e));
        *done = e == ncclSuccess;
        if (*done || weft__now() - since > ROUND)
            return WEFT_OK;
        nanosleep(&(struct timespec){0, 200000}, NULL);
    }
}

/* Until all ranks are there, or one is not to come. mine: what the call that began it gave. */
static weft_status arrive(const weft__nccl *q, weft_comm *c, weft_status mine)
{
    const double since = weft__now();
    for (bool done = false;;) {
        if (!mine && !done)
            mine = look(q, &done);
        if (!mine && !done && c->timeout > 0 && weft__now() - since > c->timeout)
            mine = weft__fail(WEFT_ETIMEOUT,
                              "NCCL did not connect the GPUs within %g s; NCCL_DEBUG=INFO tells "
                              "more",
                              c->timeout);
        int32_t state = mine < 0 ? 0 : 1 + done; /* failed, under way, there */
        WEFT_TRY(weft__all_reduce(c, "NCCL", &state, 1, WEFT_I32, WEFT_REDUCE_MIN));
        if (state != 1)
            return weft__agree(c, "NCCL", mine, "");
    }
}

static weft_status connect(weft__nccl *q, weft_comm *c)
{
    ncclUniqueId id = {{0}};
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    weft_status s = WEFT_OK;
    config.blocking = 0;
    if (c->rank == 0)
        s = weft__nccl_failed(q, "ncclGetUniqueId", q->api.ncclGetUniqueId(&id));
    WEFT_TRY(weft__agree(c, "NCCL's id", s, ""));
    WEFT_TRY(weft__comm_broadcast(c, "NCCL's id", &id, sizeof id, 0));
    q->device->ops->bind(q->device);
    s = weft__nccl_failed(q, "ncclCommInitRankConfig",
                          q->api.ncclCommInitRankConfig(&q->comm, c->world, id, c->rank, &config));
    return arrive(q, c, s);
}

weft_status weft__nccl_open(void **self, weft_comm *c, weft_device *d, const weft__nccl_api *api)
{
    weft__nccl *q = weft__new(1, sizeof *q);
    weft_status s = q ? WEFT_OK : WEFT_ENOMEM;
    if (q) {
        q->device = d;
        q->api = *api;
        s = make_streams(q);
    }
    s = weft__agree(c, "NCCL", s, "");
    s = s ? s : own_gpu(c, d);
    s = s ? s : connect(q, c);
    if (s && q)
        weft__nccl_close(q, true);
    if (!s)
        *self = q;
    return s;
}

/* Its end takes all ranks, too; one that does not come in time is not waited for. */
static void end(weft__nccl *q)
{
    const weft_comm nobody = {.timeout = ENDING};
    if (!weft__nccl_failed(q, "ncclCommFinalize", q->api.ncclCommFinalize(q->comm)) &&
        !weft__nccl_settle(q, &nobody, "ncclCommFinalize") && !q->api.ncclCommDestroy(q->comm))
        q->comm = NULL;
    weft__nccl_abort(q);
}

/* Memory that was not given back stays: who has it may use it still. */
void weft__nccl_close(void *self, bool lost)
{
    weft__nccl *q = self;
    q->device->ops->bind(q->device);
    if (q->comm && !lost)
        end(q);
    weft__nccl_abort(q);
    for (int i = 0; q->event && i < WEFT__NCCL_EVENTS; i++)
        if (q->event[i])
            q->device->ops->event_free(q->event[i]);
    if (q->stream)
        q->device->ops->stream_free(q->stream);
    while (q->memory) {
        weft__nccl_memory *m = q->memory;
        q->memory = m->next;
        weft__free(m);
    }
    weft__free(q->event);
    weft__free(q);
}
