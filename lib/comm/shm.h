/* The communicator in shared memory, for ranks of one node: a decorator over the one on MPI, which
 * does what it does not: send, recv, split. */
#ifndef COMM_SHM_H
#define COMM_SHM_H
#include <weft/sys/comm.h>

/* Decorates *c, which must be on MPI and then belongs to the new one. WEFT_ENOMEM, WEFT_EIO or
 * WEFT_ENOTSUP, alike on all ranks, and *c is what it was. Collective. */
weft_status weft__comm_shm(weft_comm **c);
/* The communicator on MPI that c is or decorates. */
weft_comm *weft__comm_under(weft_comm *c);
#endif
