/* Waiting for peers with a limit, and without taking a core from the one that is waited for. */
#ifndef COMM_WAIT_H
#define COMM_WAIT_H
#include <weft/sys/comm.h>

typedef struct weft__wait {
    int spins;    /* looks before yielding */
    double since; /* 0: not yielded yet */
} weft__wait;

/* Called after every look that was in vain: spins, then yields, then naps, the longer the longer it
 * has waited. peer: the rank that is waited for, -1 if that is not known. WEFT_EPEER once c's
 * heartbeat has found a rank lost (c may be NULL), WEFT_ETIMEOUT after timeout seconds (0: never). */
weft_status weft__wait_on(weft__wait *w, const weft_comm *c, int peer, double timeout);
/* WEFT_ETIMEOUT, with the message. */
weft_status weft__wait_late(int peer, double timeout);
#endif
