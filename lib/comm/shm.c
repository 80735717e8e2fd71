/* The table, and what is left to MPI. */
#include "comm/shm.h"

#include "comm/direct.h"
#include "comm/mpi.h"
#include "comm/shm_self.h"
#include "core/alloc.h"
#include "core/error.h"
#include "device/device.h"

#define SPINS 2000 /* about 100 us */

static weft_status barrier(weft_comm *c)
{
    return weft__shm_begin(c->self, &(weft__call){.kind = WEFT__BARRIER}, NULL);
}

/* MPI's communicator, who must know what this one does. */
static weft_comm *lend(weft_comm *c)
{
    weft__shm *s = c->self;
    s->mpi->heartbeat = c->heartbeat;
    s->mpi->timeout = c->timeout;
    return s->mpi;
}

static weft_status send_bytes(weft_comm *c, const void *buf, int64_t bytes, int to, int tag)
{
    weft_comm *m = lend(c);
    return m->ops->send(m, buf, bytes, to, tag);
}

static weft_status recv_bytes(weft_comm *c, void *buf, int64_t bytes, int from, int tag)
{
    weft_comm *m = lend(c);
    return m->ops->recv(m, buf, bytes, from, tag);
}

static weft_status split(weft_comm *c, int color, int key, weft_comm **out)
{
    weft_comm *m = lend(c);
    WEFT_TRY(weft__shm_begin(c->self, &(weft__call){.kind = WEFT__SPLIT}, NULL));
    return m->ops->split(m, color, key, out);
}

/* The memory of a lost one may be unmapped: nobody writes to it for this rank. Its device, which stays
 * open, must not take what comes to lie there for it. */
static void destroy(weft_comm *c)
{
    weft__shm *s = c->self;
    for (size_t i = 0; i < s->windows; i++) {
        weft__window *w = &s->window[i];
        if (c->lost)
            weft__device_unimport(w->device, w->dev, w->memory.each);
        weft__shared_free(&w->memory);
    }
    weft__shared_free(&s->desks);
    s->mpi->heartbeat = NULL;
    s->mpi->lost |= c->lost;
    weft__comm_free(s->mpi);
    weft__free(s->window);
    weft__free(s->out);
    weft__free(s);
}

static const weft_comm_ops shm_ops = {
    .size = sizeof shm_ops,
    .name = "shm",
    .all_reduce = weft__shm_all_reduce,
    .reduce_scatter = weft__shm_reduce_scatter,
    .all_gather = weft__shm_all_gather,
    .broadcast = weft__shm_broadcast,
    .barrier = barrier,
    .send = send_bytes,
    .recv = recv_bytes,
    .split = split,
    .free = destroy,
    .alloc = weft__shm_alloc,
    .release = weft__shm_release,
    .reach = weft__shm_reach,
};

static weft__shm *make(const weft_comm *mpi)
{
    weft__shm *s = weft__new(1, sizeof *s);
    if (!s)
        return NULL;
    s->out = weft__new((size_t)mpi->world * 2 + 1, sizeof *s->out);
    if (s->out) {
        s->in = (const void **)(s->out + mpi->world + 1); /* one rank has two outputs */
        return s;
    }
    weft__free(s);
    return NULL;
}

weft_status weft__comm_shm(weft_comm **c)
{
    weft_comm *mpi = *c;
    weft__shm *s = make(mpi);
    weft_status rc = weft__agree(mpi, "shared memory", s ? WEFT_OK : WEFT_ENOMEM, "");
    if (!rc)
        rc = weft__shared_new(mpi, sizeof(weft__desk), "the ranks of a node", &s->desks);
    if (rc) {
        if (s)
            weft__free(s->out);
        weft__free(s);
        return rc;
    }
    s->mpi = mpi;
    s->spins = weft__mpi_spins(mpi) ? SPINS : 0;
    s->base = (weft_comm){.ops = &shm_ops,
                          .self = s,
                          .rank = mpi->rank,
                          .world = mpi->world,
                          .timeout = mpi->timeout};
    *c = &s->base;
    return WEFT_OK;
}

weft_comm *weft__comm_under(weft_comm *c)
{
    c = weft__direct_under(c);
    return c->ops == &shm_ops ? ((weft__shm *)c->self)->mpi : c;
}
