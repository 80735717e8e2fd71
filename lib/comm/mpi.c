/* The communicator on MPI: non-blocking calls, polled, so that a peer that does not come is an
 * error after c->timeout seconds and not a hang. */
#include "comm/comm.h"
#include "comm/mpi_self.h"
#include "comm/queue.h"
#include "comm/request.h"

#include "core/alloc.h"
#include "core/error.h"
#include "core/process.h"

#include <string.h>

/* Waits for what `call` began and returned rc for. After a failed collective the ranks no longer
 * agree on what comes next, which is as bad as a lost peer. */
static weft_status finish(weft_comm *c, const char *call, int rc, MPI_Request *r)
{
    weft__mpi *m = c->self;
    weft_status s = rc ? weft__mpi_failed(call, rc)
                       : weft__mpi_wait(c, r, m->spins, c->timeout, MPI_STATUS_IGNORE);
    if (s) {
        c->lost = true;
        weft__mpi_lost();
        if (m->queue)
            weft__queue_stop(m->queue);
    }
    return s;
}

/* Small buffers travel through memory of ours: they are often on the stack, where MPI would write
 * the answer of a peer that comes after this call has given up. */
static void *stage(weft__mpi *m, void *p, size_t bytes)
{
    return bytes <= sizeof m->small ? memcpy(m->small, p, bytes) : p;
}

static void unstage(const weft__mpi *m, void *p, size_t bytes)
{
    if (bytes <= sizeof m->small)
        memcpy(p, m->small, bytes);
}

MPI_Datatype weft__mpi_type(weft_dtype t)
{
    switch (t) {
    case WEFT_F32:
        return MPI_FLOAT;
    case WEFT_F64:
        return MPI_DOUBLE;
    case WEFT_I32:
        return MPI_INT32_T;
    case WEFT_I64:
        return MPI_INT64_T;
    case WEFT_F16:
    case WEFT_BF16: /* which are only moved */
        return MPI_UINT16_T;
    default:
        return MPI_UINT8_T;
    }
}

static MPI_Op op_of(weft_reduce op)
{
    return op == WEFT_REDUCE_SUM ? MPI_SUM : op == WEFT_REDUCE_MIN ? MPI_MIN : MPI_MAX;
}

/* Elements of the piece that starts at `at` of n. */
static int piece_of(const weft__mpi *m, int64_t n, int64_t at, size_t size)
{
    int64_t most = m->piece / (int64_t)size, left = n - at;
    return (int)(left < most ? left : most);
}

static weft_status start(weft_comm *c, weft_request *r)
{
    const weft__mpi *m = c->self;
    return weft__queue_start(m->queue, r);
}

static weft_status test(weft_comm *c, weft_request *r, bool *done)
{
    const weft__mpi *m = c->self;
    *done = weft__queue_test(m->queue, r);
    return WEFT_OK;
}

static weft_status wait(weft_comm *c, weft_request *r)
{
    const weft__mpi *m = c->self;
    return weft__queue_wait(m->queue, r);
}

/* Whether the call goes by the queue, which lets go of r also where it fails. */
static bool by_queue(weft_comm *c, weft_request r, weft_status *s)
{
    const weft__mpi *m = c->self;
    if (!weft__queue_takes(m->queue, &r))
        return false;
    *s = start(c, &r);
    *s = *s ? *s : wait(c, &r);
    return true;
}

static weft_status all_reduce(weft_comm *c, void *buf, int64_t n, weft_dtype t, weft_reduce op)
{
    weft__mpi *m = c->self;
    weft_status s;
    if (by_queue(c, weft__request_all_reduce(buf, n, t, op), &s))
        return s;
    size_t size = weft_dtype_size(t);
    int k;
    for (int64_t at = 0; at < n; at += k) {
        MPI_Request r;
        k = piece_of(m, n, at, size);
        void *p = (char *)buf + (size_t)at * size, *q = stage(m, p, (size_t)k * size);
        int rc = MPI_Iallreduce(MPI_IN_PLACE, q, k, weft__mpi_type(t), op_of(op), m->comm, &r);
        WEFT_TRY(finish(c, "MPI_Iallreduce", rc, &r));
        unstage(m, p, (size_t)k * size);
    }
    return WEFT_OK;
}

/* Piece by piece to one owner after the other: a piece of everybody's part is not contiguous. */
static weft_status reduce_to_owners(weft_comm *c, void *out, const void *in, const int64_t *counts,
                                    weft_dtype t)
{
    weft__mpi *m = c->self;
    size_t size = weft_dtype_size(t);
    const char *part = in;
    int k;
    for (int root = 0; root < c->world; part += (size_t)counts[root++] * size)
        for (int64_t at = 0; at < counts[root]; at += k) {
            MPI_Request r;
            const void *from = part + (size_t)at * size;
            void *to = (char *)out + (size_t)at * size;
            k = piece_of(m, counts[root], at, size);
            if (root == c->rank && from == to)
                from = MPI_IN_PLACE;
            int rc = MPI_Ireduce(from, to, k, weft__mpi_type(t), MPI_SUM, root, m->comm, &r);
            WEFT_TRY(finish(c, "MPI_Ireduce", rc, &r));
        }
    return WEFT_OK;
}

/* In one call where the parts are of one length; not in place, which MPI means otherwise. */
static weft_status reduce_scatter(weft_comm *c, void *out, const void *in, const int64_t *counts,
                                  weft_dtype t)
{
    weft__mpi *m = c->self;
    const size_t size = weft_dtype_size(t), bytes = (size_t)counts[0] * size;
    MPI_Request r;
    weft_status s;
    if (by_queue(c, weft__request_reduce_scatter(out, in, counts, t), &s))
        return s;
    bool alike = counts[0] <= m->piece / (int64_t)size / c->world;
    for (int p = 1; p < c->world && alike; p++)
        alike = counts[p] == counts[0];
    if (!alike)
        return reduce_to_owners(c, out, in, counts, t);
    if (bytes == 0)
        return WEFT_OK;
    if (bytes > m->room) {
        weft__free(m->part);
        m->part = weft__new(bytes, 1);
        m->room = m->part ? bytes : 0;
    }
    if (!m->part) { /* the others are in it */
        c->lost = true;
        return WEFT_ENOMEM;
    }
    int rc = MPI_Ireduce_scatter_block(in, m->part, (int)counts[0], weft__mpi_type(t), MPI_SUM,
                                       m->comm, &r);
    WEFT_TRY(finish(c, "MPI_Ireduce_scatter_block", rc, &r));
    memcpy(out, m->part, bytes);
    return WEFT_OK;
}

static weft_status broadcast(weft_comm *c, void *buf, int64_t bytes, int root)
{
    weft__mpi *m = c->self;
    int k;
    for (int64_t at = 0; at < bytes; at += k) {
        MPI_Request r;
        k = piece_of(m, bytes, at, 1);
        void *p = (char *)buf + at, *q = stage(m, p, (size_t)k);
        int rc = MPI_Ibcast(q, k, MPI_BYTE, root, m->comm, &r);
        WEFT_TRY(finish(c, "MPI_Ibcast", rc, &r));
        unstage(m, p, (size_t)k);
    }
    return WEFT_OK;
}

/* In place always: MPI_IN_PLACE must be given by all ranks or none, and only this one knows where
 * its part is already. A gather too long for MPI's counts is a broadcast from each rank. */
static weft_status all_gather(weft_comm *c, void *out, const int64_t *counts, const void *in,
                              weft_dtype t)
{
    weft__mpi *m = c->self;
    size_t size = weft_dtype_size(t);
    int64_t total = 0, mine = 0;
    MPI_Request r;
    weft_status s;
    if (by_queue(c, weft__request_all_gather(out, counts, in, t), &s))
        return s;
    for (int p = 0; p < c->world; p++) {
        mine = p == c->rank ? total : mine;
        total += counts[p];
    }
    char *part = (char *)out + (size_t)mine * size;
    if (part != in && counts[c->rank])
        memmove(part, in, (size_t)counts[c->rank] * size);
    if (total > m->piece / (int64_t)size) {
        part = out;
        for (int p = 0; p < c->world; part += (size_t)counts[p++] * size)
            WEFT_TRY(broadcast(c, part, counts[p] * (int64_t)size, p));
        return WEFT_OK;
    }
    if (total == 0)
        return WEFT_OK;
    int *n = m->ints, *place = m->ints + c->world, at = 0;
    for (int p = 0; p < c->world; at += n[p++]) {
        n[p] = (int)counts[p];
        place[p] = at;
    }
    int rc = MPI_Iallgatherv(MPI_IN_PLACE, 0, weft__mpi_type(t), out, n, place, weft__mpi_type(t),
                             m->comm, &r);
    return finish(c, "MPI_Iallgatherv", rc, &r);
}

static weft_status barrier(weft_comm *c)
{
    weft__mpi *m = c->self;
    MPI_Request r;
    int rc = MPI_Ibarrier(m->comm, &r);
    return finish(c, "MPI_Ibarrier", rc, &r);
}

/* An empty message is one message too. MPI keeps the pieces of a pair and tag in order. */
static weft_status send_bytes(weft_comm *c, const void *buf, int64_t bytes, int to, int tag)
{
    weft__mpi *m = c->self;
    int64_t at = 0;
    do {
        MPI_Request r;
        int k = piece_of(m, bytes, at, 1);
        int rc = MPI_Isend((const char *)buf + at, k, MPI_BYTE, to, tag, m->comm, &r);
        if (rc)
            return weft__mpi_failed("MPI_Isend", rc);
        WEFT_TRY(weft__mpi_wait(c, &r, m->spins, c->timeout, MPI_STATUS_IGNORE));
        at += k;
    } while (at < bytes);
    return WEFT_OK;
}

static weft_status recv_bytes(weft_comm *c, void *buf, int64_t bytes, int from, int tag)
{
    weft__mpi *m = c->self;
    int64_t at = 0;
    do {
        MPI_Request r;
        MPI_Status status;
        int k = piece_of(m, bytes, at, 1), came = 0;
        int rc = MPI_Irecv((char *)buf + at, k, MPI_BYTE, from, tag, m->comm, &r);
        if (rc)
            return weft__mpi_failed("MPI_Irecv", rc);
        WEFT_TRY(weft__mpi_wait(c, &r, m->spins, c->timeout, &status));
        MPI_Get_count(&status, MPI_BYTE, &came);
        if (came != k)
            return weft__fail(WEFT_EMPI, "%d bytes came where %d were expected", came, k);
        at += k;
    } while (at < bytes);
    return WEFT_OK;
}

static void destroy(weft_comm *c)
{
    weft__mpi *m = c->self;
    int over = 0;
    if (m->queue)
        weft__queue_free(m->queue);
    if (c->lost) { /* MPI may still write to what the last call gave it */
        weft__process_abandon(m);
        return;
    }
    MPI_Finalized(&over);
    if (!over)
        MPI_Comm_free(&m->comm);
    weft__free(m->part);
    weft__free(m);
}

#define OPS                                                                                        \
    .size = sizeof(weft_comm_ops), .name = "mpi", .all_reduce = all_reduce,                        \
    .reduce_scatter = reduce_scatter, .all_gather = all_gather, .broadcast = broadcast,            \
    .barrier = barrier, .send = send_bytes, .recv = recv_bytes, .split = weft__mpi_split,          \
    .free = destroy

const weft_comm_ops weft__mpi_ops = {OPS};
const weft_comm_ops weft__mpi_beside_ops = {OPS, .start = start, .test = test, .wait = wait};
