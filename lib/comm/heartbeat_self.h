/* What the heartbeat's files share. */
#ifndef COMM_HEARTBEAT_SELF_H
#define COMM_HEARTBEAT_SELF_H
#include "comm/heartbeat.h"

#include "core/error.h"

#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/socket.h>

#define WEFT__HISTORY 8

/* Where a rank is. */
typedef struct weft__progress {
    uint64_t sequence; /* collectives begun */
    int64_t step;
    double since;                    /* when it began the last one, on its node's clock */
    uint32_t waiting;                /* 1: it is in that one; 2: in one of a part of the ranks */
    uint32_t gone;                   /* it has closed, alone */
    uint32_t history[WEFT__HISTORY]; /* hashes of the last names, by sequence */
    char name[40];                   /* of the last one */
} weft__progress;

#define WEFT__WORDS (sizeof(weft__progress) / sizeof(uint64_t))
_Static_assert(sizeof(weft__progress) % sizeof(uint64_t) == 0, "progress is copied by words");

/* A rank's part of the node's memory. `alive` is locked by its thread for as long as that runs: the
 * kernel tells the others when the owner of a robust mutex has died. */
typedef struct weft__cell {
    _Alignas(64) pthread_mutex_t alive;
    atomic_int dead;
    _Atomic uint64_t beat;
    _Atomic uint32_t version; /* odd while progress is being written */
    _Atomic uint64_t progress[WEFT__WORDS];
    int32_t pid;
} weft__cell;

typedef struct weft__node {
    weft__sticky verdict; /* the report of the loss, once there is one */
    weft__cell cell[];    /* by local rank */
} weft__node;

/* What the watcher knows of a rank. */
typedef struct weft__seen {
    int32_t node, local;
    char host[56];
    bool known;   /* this process hears where it is */
    bool watched; /* and judges its silence */
    bool dead;
    char state; /* of the process, R S D T ... where it can be read, else '?' */
    uint64_t beat;
    double heard; /* when the beat last changed, on the watcher's clock */
    double waits; /* seconds it has been in its collective */
    double left;  /* when it was first seen to have gone; 0: it has not */
    double named; /* when it was last named as slow */
    weft__progress at;
} weft__seen;

/* The watcher's clock runs only while the watcher does: where the machine does not let it run, it
 * blames nobody. */
typedef struct weft__roll {
    int rank, world;
    double clock;
    double limit; /* seconds of silence after which a rank is lost */
    double slow;  /* seconds of silence or waiting after which it is named */
    weft__seen *seen;
} weft__roll;

/* True, and the report, if a rank is lost. A rank that has given up counts after `slow`: the others'
 * own time may run out together with its own. */
bool weft__heartbeat_judge(const weft__roll *r, char text[WEFT__TEXT]);
/* "in collective 17 "gradients 0.0" at step 5" */
void weft__progress_text(const weft__progress *p, char text[128]);
/* True, and a line, if a rank is slow and was not named for a while. speaks_for: the rank whose own
 * silence this process is the one to name, -1 if it is another's task; all: it names any rank, and
 * nodes that were never heard. */
bool weft__heartbeat_slow(weft__roll *r, bool all, int speaks_for, char text[WEFT__TEXT]);

/* The node's memory. */
weft_status weft__node_create(int ranks, char name[64], weft__node **out);
weft_status weft__node_attach(int ranks, const char *name, weft__node **out);
void weft__node_unlink(const char *name);
void weft__node_detach(weft__node *n, int ranks);
void weft__cell_write(weft__cell *c, const weft__progress *p);
/* False if it is being written and stays so. */
bool weft__cell_read(weft__cell *c, weft__progress *p);
/* Whether the cell's process has died. */
bool weft__cell_dead(weft__cell *c);
/* The state in /proc, '?' if it cannot be read. */
char weft__process_state(int pid);

/* Between nodes. */
#define WEFT__ADDRESSES 8
typedef struct weft__address {
    socklen_t size;
    struct sockaddr_storage at;
} weft__address;

/* Where rank 0 can be reached; the key keeps other programs' packets out. */
typedef struct weft__hello {
    uint64_t key;
    int32_t family, n;
    weft__address address[WEFT__ADDRESSES];
} weft__hello;

typedef struct weft__net {
    int fd; /* -1: one node */
    weft__hello root;
    weft__address *
        peer; /* rank 0: the first ranks of the nodes; elsewhere one: rank 0; size 0: not heard yet */
} weft__net;

weft_status weft__net_listen(weft__hello *h, int *fd); /* rank 0 */
weft_status weft__net_open(const weft__hello *h, int *fd);
/* Sends what this rank has to tell, if anything. */
void weft__net_tell(weft__heartbeat *h);
void weft__net_tell_verdict(weft__heartbeat *h);
/* Takes in what has come. */
void weft__net_hear(weft__heartbeat *h);

struct weft__heartbeat {
    weft_comm *comm;
    weft__watch watch;
    int local_size;
    weft__progress now; /* what the cell says; the main thread's */
    weft__node *node;
    weft__cell *mine;
    weft__net net;
    weft__roll roll; /* from here on the thread's */
    double ticked;   /* when the watcher's clock was last moved */
    int spokesman;   /* the rank whose silence this one names */
    bool told;       /* the verdict was sent on */
    pthread_t thread;
    sem_t locked; /* the thread holds mine->alive */
    int wake;     /* eventfd that ends the thread */
    bool running;
};
#endif
