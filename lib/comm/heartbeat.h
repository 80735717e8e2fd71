/* The heartbeat: a thread a rank says that the process runs and in which collective it is, and
 * watches the others, so that a rank that is dead, stopped or gone another way is found in seconds
 * while one that is only late is waited for. Every rank writes its own cell of a memory that its
 * node shares; the first ranks of the nodes tell rank 0 by UDP. No MPI call is made by the thread. */
#ifndef COMM_HEARTBEAT_H
#define COMM_HEARTBEAT_H
#include <weft/sys/comm.h>

typedef struct weft__heartbeat weft__heartbeat;

typedef struct weft__watch {
    double seconds; /* in which a lost rank is found and all have ended */
    const char *host;
    int local_rank, node_rank, nodes;
    const int64_t *step; /* read by the thread that calls collectives */
} weft__watch;

/* From here on c's collectives are watched, and end with WEFT_EPEER when a rank is lost. *w is
 * copied. Collective. @return WEFT_ENOMEM or WEFT_EIO, alike on all ranks. */
weft_status weft__heartbeat_start(weft_comm *c, const weft__watch *w);
/* Waits for the other ranks, so that none takes this one's end for a loss, and stops. After a lost
 * peer it stops at once. Collective. @return what the wait returns. */
weft_status weft__heartbeat_end(weft_comm *c);

/* Ends the thread if it runs, and frees what c has. */
void weft__heartbeat_free(weft_comm *c);

/* What comm.c and the communicators call; nothing where c is not watched. A collective of that name
 * has begun, and around the time in which this rank waits for it, or for an earlier one: */
void weft__heartbeat_begin(weft_comm *c, const char *name);
void weft__heartbeat_enter(weft_comm *c);
void weft__heartbeat_leave(weft_comm *c);
/* Before that: gives the watchers the time to find out what made a collective fail. @return
 * WEFT_EPEER with their report, else code and the message it had. */
weft_status weft__heartbeat_explain(weft_comm *c, weft_status code);
/* "rank 2 on node1", and where it is, " (in collective 17 "gradients 0.0" at step 5)"; "rank 2" and
 * nothing where c's ranks are not watched, or not seen. */
void weft__heartbeat_find(const weft_comm *c, int rank, char who[96], char place[144]);
/* 0, or WEFT_EPEER with the report once a rank is lost. Cheap. */
weft_status weft__heartbeat_check(const weft_comm *c);
#endif
