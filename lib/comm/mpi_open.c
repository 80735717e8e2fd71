/* Making communicators of ours. */
#include "comm/comm.h"
#include "comm/mpi_self.h"
#include "comm/queue.h"
#include "comm/shm.h"

#include "core/alloc.h"
#include "core/error.h"
#include "core/process.h"

#include <sched.h>

/* MPI counts are int, and some implementations keep byte counts in int too. */
#define PIECE ((int64_t)1 << 30)
#define SPINS 200 /* 20 to 50 us */

/* All ranks of comm are there and have memory for m. Polled, because MPI_Comm_split blocks. */
static weft_status all_ready(weft__mpi *m, MPI_Comm comm, int spins, double timeout)
{
    int here = 0, *all = m ? m->ints : &here; /* not the stack: see stage() */
    MPI_Request r;
    weft_status s;
    *all = m != NULL;
    int rc = MPI_Iallreduce(MPI_IN_PLACE, all, 1, MPI_INT, MPI_MIN, comm, &r);
    s = rc ? weft__mpi_failed("MPI_Iallreduce", rc)
           : weft__mpi_wait(NULL, &r, spins, timeout, MPI_STATUS_IGNORE);
    if (s || *all)
        return s;
    return weft__fail(WEFT_ENOMEM, "no memory for a communicator on this rank or a peer");
}

static void fill(weft__mpi *m, int spins, double timeout)
{
    m->base.ops = &weft__mpi_ops;
    m->base.self = m;
    m->base.timeout = timeout;
    MPI_Comm_rank(m->comm, &m->base.rank);
    MPI_Comm_size(m->comm, &m->base.world);
    m->piece = PIECE;
    m->spins = spins;
}

/* MPI_Comm_split, not MPI_Comm_dup: a dup keeps a cartesian topology, and files written through one
 * are corrupted by Open MPI 4.1. */
static weft_status make(weft_comm **out, MPI_Comm from, int color, int key, int spins,
                        double timeout)
{
    int world = 0, rc;
    weft__mpi *m;
    MPI_Comm_size(from, &world);
    m = weft__new(1, sizeof *m + 2 * (size_t)world * sizeof m->ints[0]);
    weft_status s = all_ready(m, from, spins, timeout);
    if (s == WEFT_ETIMEOUT) { /* a late peer's answer still goes there */
        weft__process_abandon(m);
        return s;
    }
    if (!s) {
        rc = MPI_Comm_split(from, color < 0 ? MPI_UNDEFINED : color, key, &m->comm);
        s = rc ? weft__mpi_failed("MPI_Comm_split", rc) : WEFT_OK;
    }
    *out = NULL;
    if (s || m->comm == MPI_COMM_NULL) {
        weft__free(m);
        return s;
    }
    MPI_Comm_set_errhandler(m->comm, MPI_ERRORS_RETURN);
    fill(m, spins, timeout);
    *out = &m->base;
    return WEFT_OK;
}

weft_status weft__mpi_split(weft_comm *c, int color, int key, weft_comm **out)
{
    weft__mpi *m = c->self;
    WEFT_TRY(make(out, m->comm, color, key, m->spins, c->timeout));
    if (*out)
        ((weft__mpi *)(*out)->self)->piece = m->piece;
    return WEFT_OK;
}

/* Ranks bound to a core each have a core each; without binding all share one mask. Their union says
 * which. */
static weft_status choose_spins(weft_comm *c)
{
    int local_rank, local_size, node_rank, nodes;
    cpu_set_t cores;
    CPU_ZERO(&cores);
    sched_getaffinity(0, sizeof cores, &cores);
    WEFT_TRY(weft__mpi_topology(c, &local_rank, &local_size, &node_rank, &nodes));
    WEFT_TRY(weft__mpi_node_or(c, &cores, sizeof cores));
    ((weft__mpi *)c->self)->spins = CPU_COUNT(&cores) < local_size ? 0 : SPINS;
    c->sequence = 0; /* the user's collectives start at 1 */
    return WEFT_OK;
}

weft_status weft__comm_mpi(weft_comm **out, int fortran_comm, double timeout, bool *is_world)
{
    MPI_Comm user;
    int inter = 0, likeness = MPI_UNEQUAL, rank = 0;
    weft_status s;
    WEFT_TRY(weft__mpi_running());
    user = MPI_Comm_f2c((MPI_Fint)fortran_comm);
    if (user == MPI_COMM_NULL)
        return weft__fail(WEFT_EARG, "the communicator is MPI_COMM_NULL or not a communicator");
    MPI_Comm_test_inter(user, &inter);
    if (inter)
        return weft__fail(WEFT_EARG, "the communicator is an inter-communicator; "
                                     "MPI_Intercomm_merge makes one that is accepted");
    MPI_Comm_compare(user, MPI_COMM_WORLD, &likeness);
    MPI_Comm_rank(user, &rank);
    WEFT_TRY(make(out, user, 0, rank, 0, timeout));
    s = choose_spins(*out);
    if (s) {
        weft__comm_free(*out);
        *out = NULL;
        return s;
    }
    *is_world = likeness == MPI_IDENT || likeness == MPI_CONGRUENT;
    return WEFT_OK;
}

/* order[k]: the rank at place k of the ring, which is `ring`'s rank k. */
static weft_status make_ring(weft_comm *c, int node_rank, MPI_Comm *ring, int *order)
{
    const weft__mpi *m = c->self;
    int rc = MPI_Comm_split(m->comm, 0, node_rank * c->world + c->rank, ring);
    if (!rc)
        rc = MPI_Allgather(&c->rank, 1, MPI_INT, order, 1, MPI_INT, *ring);
    if (rc)
        return weft__mpi_failed("making a ring", rc);
    MPI_Comm_set_errhandler(*ring, MPI_ERRORS_RETURN);
    return WEFT_OK;
}

weft_status weft__mpi_overlap(weft_comm *c, int node_rank, weft__beside how)
{
    weft__mpi *m = c->self;
    weft__queue *q = NULL;
    MPI_Comm ring = MPI_COMM_NULL;
    if (c->world == 1)
        return WEFT_OK;
    int *order = weft__new((size_t)c->world, sizeof *order);
    /* The calls of make_ring block; this is where a missing rank is waited for with a limit. */
    weft_status s = weft__agree(c, "ring", order ? WEFT_OK : WEFT_ENOMEM, "");
    if (!s) {
        s = make_ring(c, node_rank, &ring, order);
        s = s ? s : weft__queue_new(&q, m, ring, order, how);
        s = weft__agree(c, "ring", s, "");
    }
    weft__free(order);
    if (s && q)
        weft__queue_free(q);
    if (s)
        return s;
    m->queue = q;
    if (how != WEFT__BESIDE_NOTHING)
        c->ops = &weft__mpi_beside_ops;
    return WEFT_OK;
}

int weft__mpi_spins(const weft_comm *c)
{
    return ((const weft__mpi *)c->self)->spins;
}

int weft__mpi_handle(weft_comm *c)
{
    const weft__mpi *m = weft__comm_under(c)->self;
    return (int)MPI_Comm_c2f(m->comm);
}

void weft__mpi_set_piece(weft_comm *c, int64_t bytes)
{
    weft__mpi *m = c->self;
    m->piece = bytes;
}
