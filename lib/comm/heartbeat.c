/* The heartbeat's thread, its start and its end. */
#include "comm/heartbeat_self.h"

#include "comm/comm.h"
#include "comm/request.h"
#include "core/alloc.h"
#include "core/context.h"
#include "core/hash.h"
#include "core/log.h"
#include "core/thread.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Parts of the time in which all must have ended. Between LIMIT and 1 are the last beat before a
 * stop, this rank's next look, the way to the other nodes, and the launcher's own patience. */
#define BEAT 0.05  /* between two beats */
#define LIMIT 0.65 /* of silence: then a rank is lost */
#define SLOW 0.3   /* of silence or waiting: then it is named */

#define STACK (256 * 1024) /* thread-local memory is part of it */

/* ---- the thread ---- */

/* A rank of this node. */
static void look_at(weft__heartbeat *h, int rank, double now)
{
    weft__seen *s = &h->roll.seen[rank];
    weft__cell *c = &h->node->cell[s->local];
    uint64_t beat = atomic_load(&c->beat);
    if (beat != s->beat)
        s->heard = h->roll.clock;
    s->beat = beat;
    weft__cell_read(c, &s->at);
    s->left = s->at.gone && !(s->left > 0) ? h->roll.clock : s->left;
    s->waits = s->at.waiting ? now - s->at.since : 0;
    if (rank == h->roll.rank)
        return;
    s->dead = s->dead || (!s->at.gone && weft__cell_dead(c));
    s->state = h->roll.clock - s->heard > h->roll.limit ? weft__process_state(c->pid) : '?';
}

static void judge(weft__heartbeat *h)
{
    char text[WEFT__TEXT];
    if (!weft__sticky_code(&h->node->verdict)) {
        if (weft__heartbeat_judge(&h->roll, text))
            weft__sticky_set(&h->node->verdict, WEFT_EPEER, text);
        else if (weft__heartbeat_slow(&h->roll, h->roll.rank == 0, h->spokesman, text))
            weft__say(WEFT_LOG_WARNING, "%s", text);
    }
    if (weft__sticky_code(&h->node->verdict) && !h->told) {
        weft__net_tell_verdict(h);
        h->told = true;
    }
}

/* The watcher's clock goes on by two beats at most: a longer gap is a time in which this process did
 * not run, and what the others did in it is not known. */
static void tick(weft__heartbeat *h)
{
    double now = weft__now(), gap = now - h->ticked, most = 2 * BEAT * h->watch.seconds;
    h->roll.clock += gap < most ? gap : most;
    if (gap > h->roll.slow) /* the others have named this rank */
        h->roll.seen[h->roll.rank].named = h->roll.clock;
    h->ticked = now;
    atomic_fetch_add(&h->mine->beat, 1);
    for (int k = 0; k < h->roll.world; k++)
        if (h->roll.seen[k].node == h->watch.node_rank)
            look_at(h, k, now);
    if (h->net.fd >= 0)
        weft__net_hear(h);
    weft__net_tell(h);
    judge(h);
}

static void *beat(void *self)
{
    weft__heartbeat *h = self;
    double next = weft__now(), pause = BEAT * h->watch.seconds;
    struct pollfd fd[2] = {{h->wake, POLLIN, 0}, {h->net.fd, POLLIN, 0}};
    pthread_mutex_lock(&h->mine->alive);
    sem_post(&h->locked);
    h->ticked = next;
    while (!(fd[0].revents & POLLIN)) {
        double now = weft__now();
        if (now >= next) {
            tick(h);
            next = now + pause;
        }
        poll(fd, h->net.fd < 0 ? 1 : 2, (int)((next - now > 0 ? next - now : 0) * 1e3) + 1);
        if (fd[1].revents)
            weft__net_hear(h);
    }
    tick(h); /* the last word: what was found, or that this rank has gone */
    pthread_mutex_unlock(&h->mine->alive);
    return NULL;
}

static weft_status start_thread(weft__heartbeat *h)
{
    sem_init(&h->locked, 0, 0);
    h->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (h->wake < 0)
        return weft__fail_errno(WEFT_EIO, "heartbeat: an eventfd; heartbeat=off does without");
    errno = weft__thread_start(&h->thread, STACK, beat, h);
    h->running = errno == 0;
    if (!h->running)
        return weft__fail_errno(WEFT_ENOMEM, "heartbeat: no thread; heartbeat=off does without");
    while (sem_wait(&h->locked))
        ;
    return WEFT_OK;
}

static void stop_thread(weft__heartbeat *h)
{
    uint64_t one = 1;
    if (!h->running)
        return;
    while (write(h->wake, &one, sizeof one) < 0 && errno == EINTR)
        ;
    pthread_join(h->thread, NULL);
    h->running = false;
}

/* ---- making it ---- */

typedef struct seat {
    int32_t node, local;
    char host[56];
} seat;

/* Where every rank is. */
static weft_status gather_seats(weft__heartbeat *h, weft_comm *c)
{
    seat mine = {h->watch.node_rank, h->watch.local_rank, ""};
    snprintf(mine.host, sizeof mine.host, "%s", h->watch.host);
    int64_t *counts = weft__new((size_t)c->world, sizeof *counts);
    seat *all = weft__new((size_t)c->world, sizeof *all);
    weft_status s = counts && all ? WEFT_OK : WEFT_ENOMEM;
    s = weft__agree(c, "heartbeat", s, "");
    for (int k = 0; !s && k < c->world; k++)
        counts[k] = sizeof mine;
    if (!s)
        s = weft__all_gather(c, "heartbeat", all, counts, &mine, WEFT_U8);
    for (int k = 0; !s && k < c->world; k++) {
        weft__seen *seen = &h->roll.seen[k];
        seen->node = all[k].node;
        seen->local = all[k].local;
        memcpy(seen->host, all[k].host, sizeof seen->host);
        seen->known = seen->watched = seen->node == h->watch.node_rank;
        h->local_size += seen->known;
    }
    weft__free(counts);
    weft__free(all);
    return s;
}

/* Rank 0's silence is named by the next rank of its node, or by the next node. */
static void choose_spokesman(weft__heartbeat *h)
{
    bool alone = true;
    for (int k = 1; k < h->roll.world; k++)
        alone &= h->roll.seen[k].node != 0;
    bool me = alone ? h->watch.node_rank == 1 && h->watch.local_rank == 0
                    : h->watch.node_rank == 0 && h->watch.local_rank == 1;
    h->spokesman = me ? 0 : -1;
}

/* The node's first rank makes the memory and takes its name away when all have it. */
static weft_status share_memory(weft__heartbeat *h, weft_comm *c)
{
    char name[64] = "";
    weft_comm *node;
    weft_status s = WEFT_OK;
    WEFT_TRY(weft__split(c, "heartbeat", h->watch.node_rank, c->rank, &node));
    if (h->watch.local_rank == 0)
        s = weft__node_create(h->local_size, name, &h->node);
    s = weft__agree(c, "heartbeat", s, "");
    if (!s)
        s = weft__comm_broadcast(node, "heartbeat", name, sizeof name, 0);
    if (!s && h->watch.local_rank > 0)
        s = weft__node_attach(h->local_size, name, &h->node);
    if (!c->lost)
        s = weft__agree(c, "heartbeat", s, "");
    if (h->watch.local_rank == 0)
        weft__node_unlink(name);
    weft__comm_free(node);
    return s;
}

static weft_status open_net(weft__heartbeat *h, weft_comm *c)
{
    weft__net *n = &h->net;
    weft_status s = WEFT_OK;
    if (h->watch.nodes < 2)
        return WEFT_OK;
    if (c->rank == 0)
        s = weft__net_listen(&n->root, &n->fd);
    WEFT_TRY(weft__agree(c, "heartbeat", s, ""));
    WEFT_TRY(weft__comm_broadcast(c, "heartbeat", &n->root, sizeof n->root, 0));
    n->peer = weft__new((size_t)(c->rank == 0 ? h->watch.nodes : 1), sizeof *n->peer);
    s = n->peer ? WEFT_OK : WEFT_ENOMEM;
    if (!s && c->rank > 0)
        s = weft__net_open(&n->root, &n->fd);
    return weft__agree(c, "heartbeat", s, "");
}

static weft_status begin(weft__heartbeat *h, weft_comm *c)
{
    WEFT_TRY(gather_seats(h, c));
    choose_spokesman(h);
    WEFT_TRY(share_memory(h, c));
    WEFT_TRY(open_net(h, c));
    h->mine = &h->node->cell[h->watch.local_rank];
    h->mine->pid = (int32_t)getpid();
    return weft__agree(c, "heartbeat", start_thread(h), "");
}

static void close_all(weft__heartbeat *h)
{
    stop_thread(h);
    if (h->net.fd >= 0)
        close(h->net.fd);
    if (h->wake >= 0) {
        close(h->wake);
        sem_destroy(&h->locked);
    }
    weft__node_detach(h->node, h->local_size);
    weft__free(h->net.peer);
    weft__free(h->roll.seen);
    h->node = NULL;
    h->net.fd = h->wake = -1;
    h->net.peer = NULL;
    h->roll.seen = NULL;
}

weft_status weft__heartbeat_start(weft_comm *c, const weft__watch *w)
{
    weft__heartbeat *h = weft__new(1, sizeof *h);
    weft_status s = WEFT_ENOMEM;
    if (h) {
        *h = (weft__heartbeat){.comm = c, .watch = *w, .net.fd = -1, .wake = -1};
        h->roll = (weft__roll){.rank = c->rank,
                               .world = c->world,
                               .limit = LIMIT * w->seconds,
                               .slow = SLOW * w->seconds,
                               .seen = weft__new((size_t)c->world, sizeof *h->roll.seen)};
        s = h->roll.seen ? WEFT_OK : WEFT_ENOMEM;
    }
    s = weft__agree(c, "heartbeat", s, "");
    if (!s)
        s = begin(h, c);
    if (s && h)
        close_all(h);
    if (s)
        weft__free(h);
    else
        c->heartbeat = h;
    return s;
}

weft_status weft__heartbeat_end(weft_comm *c)
{
    weft__heartbeat *h = c->heartbeat;
    weft_status s = WEFT_OK;
    if (!h || !h->running)
        return WEFT_OK;
    weft__settle(c);
    if (!c->lost)
        s = weft__barrier(c, "close");
    if (c->lost) {
        h->now.gone = 1;
        weft__cell_write(h->mine, &h->now);
    }
    close_all(h);
    return s;
}

void weft__heartbeat_free(weft_comm *c)
{
    weft__heartbeat *h = c->heartbeat;
    if (h && h->comm == c) {
        close_all(h);
        weft__free(h);
    }
}

/* ---- what the communicators call ---- */

void weft__heartbeat_begin(weft_comm *c, const char *name)
{
    weft__heartbeat *h = c->heartbeat;
    if (!h || !h->running || c != h->comm)
        return;
    weft__progress *p = &h->now;
    p->step = h->watch.step ? *h->watch.step : 0;
    p->sequence = c->sequence;
    p->history[c->sequence % WEFT__HISTORY] = (uint32_t)weft__hash_text(WEFT__HASH, name);
    snprintf(p->name, sizeof p->name, "%s", name);
    weft__cell_write(h->mine, p);
}

void weft__heartbeat_enter(weft_comm *c)
{
    weft__heartbeat *h = c->heartbeat;
    if (!h || !h->running)
        return;
    h->now.waiting = c == h->comm ? 1 : 2;
    h->now.since = weft__now();
    weft__cell_write(h->mine, &h->now);
}

void weft__heartbeat_leave(weft_comm *c)
{
    weft__heartbeat *h = c->heartbeat;
    if (!h || !h->running)
        return;
    h->now.waiting = 0;
    weft__cell_write(h->mine, &h->now);
}

weft_status weft__heartbeat_explain(weft_comm *c, weft_status code)
{
    weft__heartbeat *h = c->heartbeat;
    if (!h || !h->running)
        return code;
    for (double until = weft__now() + 1.5 * h->roll.slow; weft__now() < until;) {
        weft_status s = weft__heartbeat_check(c);
        if (s)
            return s;
        usleep(10000);
    }
    return code;
}

void weft__heartbeat_find(const weft_comm *c, int rank, char who[96], char place[144])
{
    const weft__heartbeat *h = c->heartbeat;
    char at[128];
    snprintf(who, 96, "rank %d", rank);
    place[0] = '\0';
    if (!h || !h->running || h->comm != c)
        return;
    const weft__seen *s = &h->roll.seen[rank];
    weft__progress p;
    snprintf(who, 96, "rank %d on %s", rank, s->host);
    if (s->node == h->watch.node_rank && weft__cell_read(&h->node->cell[s->local], &p)) {
        weft__progress_text(&p, at);
        snprintf(place, 144, " (%s)", at);
    }
}

weft_status weft__heartbeat_check(const weft_comm *c)
{
    const weft__heartbeat *h = c->heartbeat;
    if (!h || !h->running || !weft__sticky_code(&h->node->verdict))
        return WEFT_OK;
    return weft__fail(WEFT_EPEER, "%s", h->node->verdict.text);
}
