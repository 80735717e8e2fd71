/* SIGXFSZ, held back in this thread while files are written. */
#include "core/quiet.h"

#include <errno.h>
#include <pthread.h>
#include <sys/resource.h>
#include <time.h>

void weft__quiet_begin(weft__quiet *q)
{
    struct rlimit limit;
    sigset_t set;
    q->limited = getrlimit(RLIMIT_FSIZE, &limit) || limit.rlim_cur != RLIM_INFINITY;
    if (!q->limited)
        return;
    sigpending(&set);
    q->pending = sigismember(&set, SIGXFSZ) == 1;
    sigemptyset(&set);
    sigaddset(&set, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &set, &q->old);
}

void weft__quiet_end(const weft__quiet *q)
{
    const struct timespec now = {0, 0};
    sigset_t set;
    if (!q->limited)
        return;
    sigemptyset(&set);
    sigaddset(&set, SIGXFSZ);
    /* One that was pending before is the program's own. */
    while (!q->pending && (sigtimedwait(&set, NULL, &now) >= 0 || errno == EINTR))
        ;
    pthread_sigmask(SIG_SETMASK, &q->old, NULL);
}
