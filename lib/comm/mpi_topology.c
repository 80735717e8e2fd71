/* Which ranks share a node: what MPI says, never a product of settings. */
#include "comm/comm.h"
#include "comm/mpi_self.h"

#include "core/error.h"

#define MPI_TRY(call, ...)                                                                         \
    do {                                                                                           \
        int rc_ = call(__VA_ARGS__);                                                               \
        if (rc_)                                                                                   \
            return weft__mpi_failed(#call, rc_);                                                   \
    } while (0)

static weft_status node_of(weft_comm *c, MPI_Comm *node)
{
    MPI_Comm all = MPI_Comm_f2c((MPI_Fint)weft__mpi_handle(c));
    MPI_TRY(MPI_Comm_split_type, all, MPI_COMM_TYPE_SHARED, c->rank, MPI_INFO_NULL, node);
    MPI_TRY(MPI_Comm_set_errhandler, *node, MPI_ERRORS_RETURN);
    return WEFT_OK;
}

/* A node's number is the count of leaders, its first ranks, before its own. */
static weft_status number_nodes(weft_comm *c, MPI_Comm node, int leader, int *number, int *nodes)
{
    MPI_Comm all = MPI_Comm_f2c((MPI_Fint)weft__mpi_handle(c));
    int before = 0;
    MPI_TRY(MPI_Allreduce, &leader, nodes, 1, MPI_INT, MPI_SUM, all);
    MPI_TRY(MPI_Exscan, &leader, &before, 1, MPI_INT, MPI_SUM, all);
    *number = c->rank ? before : 0; /* Exscan leaves rank 0's undefined */
    MPI_TRY(MPI_Bcast, number, 1, MPI_INT, 0, node);
    return WEFT_OK;
}

weft_status weft__mpi_topology(weft_comm *c, int *local_rank, int *local_size, int *node_rank,
                               int *nodes)
{
    MPI_Comm node;
    weft_status rc;
    /* The calls below block; this is where a missing rank is waited for with a limit. */
    WEFT_TRY(weft__barrier(c, "topology"));
    WEFT_TRY(node_of(c, &node));
    MPI_Comm_rank(node, local_rank);
    MPI_Comm_size(node, local_size);
    rc = number_nodes(c, node, *local_rank == 0, node_rank, nodes);
    MPI_Comm_free(&node);
    return rc;
}

weft_status weft__mpi_node_or(weft_comm *c, void *bits, size_t bytes)
{
    MPI_Comm node;
    int rc;
    WEFT_TRY(weft__barrier(c, "node's masks"));
    WEFT_TRY(node_of(c, &node));
    rc = MPI_Allreduce(MPI_IN_PLACE, bits, (int)bytes, MPI_BYTE, MPI_BOR, node);
    MPI_Comm_free(&node);
    return rc ? weft__mpi_failed("MPI_Allreduce", rc) : WEFT_OK;
}
