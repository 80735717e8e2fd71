/* Waiting for MPI. */
#include "comm/mpi_self.h"
#include "comm/wait.h"
#include "core/error.h"

weft_status weft__mpi_wait(const weft_comm *c, MPI_Request *r, int spins, double timeout,
                           MPI_Status *status)
{
    weft__wait w = {.spins = spins};
    for (int done = 0;;) {
        int rc = MPI_Test(r, &done, status);
        if (rc)
            return weft__mpi_failed("MPI_Test", rc);
        if (done)
            return WEFT_OK;
        WEFT_TRY(weft__wait_on(&w, c, -1, timeout));
    }
}
