/* The communicator on MPI. Includes no mpi.h: a Fortran handle stands for the user's. */
#ifndef COMM_MPI_H
#define COMM_MPI_H
#include <weft/sys/comm.h>

/* Initialises MPI (THREAD_MULTIPLE is asked for, less is accepted) unless the program did, and
 * counts its users; *world is MPI_COMM_WORLD's Fortran handle. */
weft_status weft__mpi_enter(int *world);
/* MPI was initialised, by anyone, and is not finalised. */
bool weft__mpi_is_up(void);
/* WEFT_ESTATE unless it is up. */
weft_status weft__mpi_running(void);
/* The last one out finalises MPI if we initialised it and no peer was lost. */
void weft__mpi_leave(bool lost);
/* From now on MPI is never finalised. */
void weft__mpi_lost(void);
/* A communicator of ours over the ranks of the given one: duplicated, stripped of topology (by
 * MPI_Comm_split), errors returned. is_world: it is congruent to MPI_COMM_WORLD. Collective. */
weft_status weft__comm_mpi(weft_comm **out, int fortran_comm, double timeout, bool *is_world);
/* Ranks on this node (MPI_Comm_split_type SHARED), and the nodes' number. Collective. */
weft_status weft__mpi_topology(weft_comm *c, int *local_rank, int *local_size, int *node_rank,
                               int *nodes);
/* ORs bits over the ranks of this node: affinity masks give the cores that they may use together.
 * Collective. */
weft_status weft__mpi_node_or(weft_comm *c, void *bits, size_t bytes);
/* How calls of a communicator go on beside what its caller does. */
typedef enum weft__beside {
    WEFT__BESIDE_NOTHING, /* they do not */
    WEFT__BESIDE_OPS,     /* the caller brings them forward whenever it comes by */
    WEFT__BESIDE_THREAD   /* a thread does, if MPI lets several threads call at once */
} weft__beside;
/* From here on sums, shards and gathers of some size go by a ring of ours, over ranks by node, then by
 * number. node_rank: this rank's. Once for a communicator. Collective. */
weft_status weft__mpi_overlap(weft_comm *c, int node_rank, weft__beside how);
/* The Fortran handle of our communicator, for libraries that take one; it stays ours. */
int weft__mpi_handle(weft_comm *c);
/* Looks at a peer before this rank yields its core; 0 where ranks share cores. */
int weft__mpi_spins(const weft_comm *c);
/* Bytes that one MPI call may move; longer buffers go by pieces. For tests. Same on all ranks. */
void weft__mpi_set_piece(weft_comm *c, int64_t bytes);
/* One line: library version. */
const char *weft__mpi_version(void);
#endif
