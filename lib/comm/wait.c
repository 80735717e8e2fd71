/* Spin, yield, nap. */
#include "comm/wait.h"

#include "comm/heartbeat.h"
#include "comm/mpi.h"
#include "core/context.h"
#include "core/error.h"

#include <sched.h>
#include <stdio.h>
#include <time.h>

#define YIELD 1e-3     /* seconds of yielding before sleeping */
#define LONGEST 100e-6 /* the longest sleep, in seconds */

/* Sleeps a twentieth of what has been waited, at most LONGEST: a wait is lengthened by little, and a
 * long one costs no core. */
static void pause_after(double waited)
{
    double nap = waited / 20 < LONGEST ? waited / 20 : LONGEST;
    if (waited < YIELD)
        sched_yield();
    else
        nanosleep(&(struct timespec){0, (long)(nap * 1e9)}, NULL);
}

weft_status weft__wait_late(int peer, double timeout)
{
    char who[32] = "a peer";
    weft__mpi_lost();
    if (peer >= 0)
        snprintf(who, sizeof who, "rank %d", peer);
    return weft__fail(WEFT_ETIMEOUT,
                      "%s did not come within %g s: it has ended, hangs, went another way, or is "
                      "slower than that; see what the other ranks say, or raise timeout",
                      who, timeout);
}

weft_status weft__wait_on(weft__wait *w, const weft_comm *c, int peer, double timeout)
{
    if (w->spins-- > 0)
        return WEFT_OK;
    if (c && weft__heartbeat_check(c)) {
        weft__mpi_lost();
        return WEFT_EPEER;
    }
    double now = weft__now();
    w->since = w->since > 0 ? w->since : now;
    if (timeout > 0 && now - w->since > timeout)
        return weft__wait_late(peer, timeout);
    pause_after(now - w->since);
    return WEFT_OK;
}
