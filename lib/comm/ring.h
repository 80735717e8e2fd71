/* The ring: sums, shards and gathers in segments that go around all ranks, in non-blocking messages
 * between neighbours on a communicator of its own. Ranks stand in it by node, then by number. An
 * array is cut into a part a rank (all_reduce: of ceil(n / P) elements, the last ones shorter). The
 * elements of a part are added from the rank that stands behind the part's own, around the ring and
 * with the own rank last: with three ranks, part 0 is (g1 + g2) + g0. One rank adds and all get its
 * sum, so the bits are the same everywhere, and for the same ranks and n always. */
#ifndef COMM_RING_H
#define COMM_RING_H
#include <weft/sys/comm.h>

#include <mpi.h>

/* Bytes a rank below which an all-reduce goes by MPI's tree, which has fewer steps. */
#define WEFT__TREE 1024

typedef struct weft__mpi_ring weft__mpi_ring;

/* Over all ranks of comm, which it takes over; order[k]: the number, in what requests speak of, of the
 * rank that stands at place k; copied. Local. */
weft_status weft__mpi_ring_new(weft__mpi_ring **out, MPI_Comm comm, const int *order);
/* All that was begun has ended. */
void weft__mpi_ring_free(weft__mpi_ring *g);
/* Begins r, which stays where it is; messages have at most `most` bytes, and one element at least. */
void weft__mpi_ring_begin(weft__mpi_ring *g, const weft_request *r, int64_t most);
/* Goes on as far as can be without waiting. *moved: something did; *done: nothing is left.
 * @return WEFT_EMPI */
weft_status weft__mpi_ring_turn(weft__mpi_ring *g, bool *moved, bool *done);
#endif
