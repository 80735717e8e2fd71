/* The queue. A lock guards it, and whoever holds that may call MPI for it. The thread tests, and
 * sleeps 200 us where nothing has moved: long enough to leave the core to what is computed, short
 * enough for the link to stay busy with the segments that are under way. */
#include "comm/queue.h"

#include "comm/heartbeat.h"
#include "comm/request.h"
#include "comm/ring.h"
#include "comm/wait.h"
#include "core/alloc.h"
#include "core/context.h"
#include "core/error.h"
#include "core/thread.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define NAP 200000L     /* ns */
#define AWAY 1.0        /* seconds between two looks in which nobody here was waiting */
#define STACK (1 << 20) /* MPI runs on it */

struct weft__queue {
    weft__mpi *mpi;
    weft__mpi_ring *ring;
    weft__beside how;
    pthread_mutex_t lock;
    pthread_cond_t work; /* something is there and nobody waits for it; or quit */
    pthread_t thread;
    pid_t process; /* in which the thread is; 0: there is none */
    bool quit;
    int waiters;
    weft_request *first, *last;
    bool begun;           /* the first one */
    double looked, moved; /* when was the last turn; when did one bring something forward */
    weft_status failed;
    char why[WEFT__TEXT];
};

enum { WAITING, ENDED }; /* states of a request */

static int64_t bytes_of(const weft__queue *q, const weft_request *r)
{
    int64_t n = r->n;
    for (int k = 0; r->counts && k < q->mpi->base.world; k++)
        n += r->counts[k];
    return n * (int64_t)weft_dtype_size(r->dtype);
}

bool weft__queue_takes(const weft__queue *q, const weft_request *r)
{
    if (!q || r->op != WEFT_REDUCE_SUM)
        return false;
    return r->call == WEFT_CALL_REDUCE_SCATTER ||
           bytes_of(q, r) >= (int64_t)WEFT__TREE * q->mpi->base.world;
}

/* ---- turns; the lock is held ---- */

static void end_first(weft__queue *q, weft_status s)
{
    weft_request *r = q->first;
    q->first = r->link;
    q->begun = false;
    r->status = s;
    r->state = ENDED;
}

static void fail(weft__queue *q, weft_status s)
{
    q->failed = s;
    snprintf(q->why, sizeof q->why, "%s", weft__why());
    weft__mpi_lost();
    while (q->first)
        end_first(q, s);
}

static weft_status go_on(weft__queue *q, bool *moved, bool *done)
{
    WEFT_TRY(weft__heartbeat_check(&q->mpi->base));
    if (!q->begun) {
        weft__mpi_ring_begin(q->ring, q->first, q->mpi->piece);
        q->begun = *moved = true;
    }
    return weft__mpi_ring_turn(q->ring, moved, done);
}

/* @return whether something was brought forward. */
static bool turn(weft__queue *q)
{
    bool moved = false, done = false;
    double now = weft__now(), timeout = q->mpi->base.timeout;
    weft_status s = go_on(q, &moved, &done);
    if (moved || now - q->looked > AWAY)
        q->moved = now;
    q->looked = now;
    if (!s && !done && timeout > 0 && now - q->moved > timeout)
        s = weft__wait_late(-1, timeout);
    if (s)
        fail(q, s);
    else if (done)
        end_first(q, WEFT_OK);
    return moved || done || s;
}

/* ---- the thread ---- */

static void *run(void *self)
{
    weft__queue *q = self;
    pthread_mutex_lock(&q->lock);
    while (!q->quit) {
        if (!q->first || q->waiters) {
            pthread_cond_wait(&q->work, &q->lock);
            continue;
        }
        bool moved = turn(q);
        pthread_mutex_unlock(&q->lock);
        if (!moved)
            nanosleep(&(struct timespec){0, NAP}, NULL);
        pthread_mutex_lock(&q->lock);
    }
    pthread_mutex_unlock(&q->lock);
    return NULL;
}

static weft_status start_thread(weft__queue *q)
{
    int level = MPI_THREAD_SINGLE;
    MPI_Query_thread(&level);
    if (q->how != WEFT__BESIDE_THREAD || level < MPI_THREAD_MULTIPLE)
        return WEFT_OK;
    errno = weft__thread_start(&q->thread, STACK, run, q);
    if (errno)
        return weft__fail_errno(WEFT_ENOMEM, "no thread for communication; overlap_comm=off does "
                                             "without");
    q->process = getpid();
    return WEFT_OK;
}

/* ---- what the caller does ---- */

static weft_status told(const weft__queue *q, weft_status s)
{
    if (s)
        q->mpi->base.lost = true;
    return s ? weft__fail(s, "%s", q->why) : WEFT_OK;
}

weft_status weft__queue_start(weft__queue *q, weft_request *r)
{
    r->state = WAITING;
    r->status = WEFT_OK;
    r->link = NULL;
    if (r->op != WEFT_REDUCE_SUM) { /* the ring only adds */
        r->state = ENDED;
        return weft__request_run(&q->mpi->base, r);
    }
    pthread_mutex_lock(&q->lock);
    weft_status s = q->failed;
    if (!s) {
        *(q->first ? &q->last->link : &q->first) = r;
        q->last = r;
        if (q->process)
            pthread_cond_signal(&q->work);
        else
            turn(q);
    }
    pthread_mutex_unlock(&q->lock);
    if (!s && q->how == WEFT__BESIDE_NOTHING)
        return weft__queue_wait(q, r);
    return told(q, s);
}

bool weft__queue_test(weft__queue *q, const weft_request *r)
{
    if (pthread_mutex_trylock(&q->lock)) /* the thread is at it */
        return false;
    if (!q->process && q->first)
        turn(q);
    bool ended = r->state == ENDED;
    pthread_mutex_unlock(&q->lock);
    return ended;
}

weft_status weft__queue_wait(weft__queue *q, weft_request *r)
{
    weft__wait w = {.spins = q->mpi->spins};
    if (q->mpi->base.lost)
        weft__queue_stop(q);
    pthread_mutex_lock(&q->lock);
    q->waiters++;
    while (r->state != ENDED) {
        if (turn(q)) {
            w = (weft__wait){.spins = q->mpi->spins};
            continue;
        }
        pthread_mutex_unlock(&q->lock);
        weft__wait_on(&w, NULL, -1, 0);
        pthread_mutex_lock(&q->lock);
    }
    if (--q->waiters == 0 && q->first)
        pthread_cond_signal(&q->work);
    pthread_mutex_unlock(&q->lock);
    return told(q, r->status);
}

void weft__queue_stop(weft__queue *q)
{
    pthread_mutex_lock(&q->lock);
    if (!q->failed) {
        weft__fail(WEFT_EPEER, "a peer was lost in another call");
        fail(q, WEFT_EPEER);
    }
    pthread_mutex_unlock(&q->lock);
}

/* ---- making it ---- */

weft_status weft__queue_new(weft__queue **out, weft__mpi *m, MPI_Comm comm, const int *order,
                            weft__beside how)
{
    weft__queue *q = weft__new(1, sizeof *q);
    if (!q) {
        MPI_Comm_free(&comm);
        return WEFT_ENOMEM;
    }
    q->mpi = m;
    q->how = how;
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->work, NULL);
    weft_status s = weft__mpi_ring_new(&q->ring, comm, order);
    if (!s)
        s = start_thread(q);
    if (s) {
        weft__queue_free(q);
        return s;
    }
    *out = q;
    return WEFT_OK;
}

/* A forked child has the queue, but not the thread. */
void weft__queue_free(weft__queue *q)
{
    if (q->process == getpid()) {
        pthread_mutex_lock(&q->lock);
        q->quit = true;
        pthread_cond_signal(&q->work);
        pthread_mutex_unlock(&q->lock);
        pthread_join(q->thread, NULL);
    }
    if (q->mpi->base.lost)
        return;
    if (q->ring)
        weft__mpi_ring_free(q->ring);
    pthread_cond_destroy(&q->work);
    pthread_mutex_destroy(&q->lock);
    weft__free(q);
}
