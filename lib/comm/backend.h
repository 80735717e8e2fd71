/* Which communicator the ranks use, by Fabric's word for it: process_group_backend. */
#ifndef COMM_BACKEND_H
#define COMM_BACKEND_H
#include <weft/sys/comm.h>

/* The word that name is, in its one spelling: "auto" (NULL too), "mpi", "shm", and "nccl" in a build with
 * it. WEFT_ENOTSUP for Fabric's others, WEFT_EARG for any other word. */
weft_status weft__backend_find(const char *name, const char **out);
/* Makes *c, which is on MPI, what name asks for. auto: shared memory where two or more ranks are on one
 * node and can share memory, else MPI. Several nodes with shm are WEFT_ECONFIG, and so are ranks
 * that differ. *c is what it was after a failure, which all ranks have alike. Collective. */
weft_status weft__backend_choose(weft_comm **c, const char *name, int nodes);
/* Then, with the ranks' devices: NCCL moves d's memory where name asks for it, and with auto where several
 * ranks each have a GPU of their own. As above; what NCCL does not take stays with the communicator
 * chosen before. With beside, what it does goes on beside its caller. */
weft_status weft__backend_device(weft_comm **c, const char *name, weft_device *d, bool beside);
#endif
