/* Waiting for MPI with a limit, and without taking a core from the peer that is waited for. */
#include "comm/mpi_self.h"

#include "comm/heartbeat.h"
#include "core/context.h"

#include <sched.h>
#include <time.h>

#define YIELD 1e-3     /* seconds of yielding before sleeping */
#define LONGEST 100e-6 /* the longest sleep, in seconds */

/* Yields, then sleeps a twentieth of what has been waited, at most LONGEST: a wait is lengthened by
 * little, and a long one costs no core. */
static void pause_after(double waited)
{
    double nap = waited / 20 < LONGEST ? waited / 20 : LONGEST;
    if (waited < YIELD)
        sched_yield();
    else
        nanosleep(&(struct timespec){0, (long)(nap * 1e9)}, NULL);
}

weft_status weft__mpi_wait(const weft_comm *c, MPI_Request *r, int spins, double timeout,
                           MPI_Status *status)
{
    double since = 0;
    for (int done = 0;;) {
        int rc = MPI_Test(r, &done, status);
        if (rc)
            return weft__mpi_failed("MPI_Test", rc);
        if (done)
            return WEFT_OK;
        if (spins-- > 0)
            continue;
        if (c && weft__heartbeat_check(c)) {
            weft__mpi_lost();
            return WEFT_EPEER;
        }
        double now = weft__now();
        since = since > 0 ? since : now;
        if (timeout > 0 && now - since > timeout)
            break;
        pause_after(now - since);
    }
    weft__mpi_lost();
    return weft__fail(
        WEFT_ETIMEOUT,
        "a peer did not come within %g s: it has ended, hangs, went another way, or is "
        "slower than that; see what the other ranks say, or raise timeout",
        timeout);
}
