/* The calls that go on beside their caller, of a communicator on MPI: one after the other, in the
 * order in which they were started, on MPI communicators of their own. Whoever waits brings them
 * forward; while nobody does, a thread does that, or else the caller whenever it comes by. */
#ifndef COMM_QUEUE_H
#define COMM_QUEUE_H
#include "comm/mpi_self.h"

typedef struct weft__queue weft__queue;

/* comm, over all ranks of m, is taken over also after a failure; order: see weft__mpi_ring_new. */
weft_status weft__queue_new(weft__queue **out, weft__mpi *m, MPI_Comm comm, const int *order,
                            weft__beside how);
/* Ends the thread. After a lost peer only that: MPI may still write to the rest, which is the
 * caller's to abandon. */
void weft__queue_free(weft__queue *q);
/* Whether a call of its kind and size goes by the queue, also if the caller waits for it. */
bool weft__queue_takes(const weft__queue *q, const weft_request *r);
/* As the communicator's operations of these names. */
weft_status weft__queue_start(weft__queue *q, weft_request *r);
bool weft__queue_test(weft__queue *q, const weft_request *r);
weft_status weft__queue_wait(weft__queue *q, weft_request *r);
/* A peer is lost: makes no call to MPI any more. */
void weft__queue_stop(weft__queue *q);
#endif
