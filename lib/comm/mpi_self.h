/* What the MPI files share; the only private header that includes mpi.h. */
#ifndef COMM_MPI_SELF_H
#define COMM_MPI_SELF_H
#include "comm/mpi.h"

#include <mpi.h>

typedef struct weft__mpi {
    weft_comm base;
    MPI_Comm comm;
    int64_t piece; /* bytes that one call may move */
    void *part;    /* room for what a reduce_scatter leaves here */
    size_t room;
    int spins; /* tests before yielding; 0 where ranks share cores: the peer may need this one */
    struct weft__queue *queue;     /* of calls by the ring; NULL: MPI's own do */
    _Alignas(64) char small[1024]; /* stands for the caller's buffers that are not longer */
    int ints[];                    /* all_gather's counts, then its displacements */
} weft__mpi;

/* The second: calls can go on beside their caller. */
extern const weft_comm_ops weft__mpi_ops, weft__mpi_beside_ops;
weft_status weft__mpi_split(weft_comm *c, int color, int key, weft_comm **out);

/* Polls until r is done: WEFT_EPEER once c's heartbeat has found a rank lost (c may be NULL),
 * WEFT_ETIMEOUT after timeout seconds (0: never), WEFT_EMPI. */
weft_status weft__mpi_wait(const weft_comm *c, MPI_Request *r, int spins, double timeout,
                           MPI_Status *status);
MPI_Datatype weft__mpi_type(weft_dtype t);
/* WEFT_EMPI with MPI's own text for rc. */
weft_status weft__mpi_failed(const char *call, int rc);
#endif
