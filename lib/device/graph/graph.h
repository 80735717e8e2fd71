/* The work of a step as graphs, for any device that makes them. Between a step and its edge each call on
 * one stream is compared with a sequence that was noted in an earlier step. What is equal is not enqueued
 * one by one: where something must run, at the edge at the latest, the calls up to there are launched as
 * one graph. From the first call that differs on they go to the device as they come, and become another
 * sequence. The program, the tape and all checks run in each step, so that nothing is launched that was
 * not asked for. */
#ifndef DEVICE_GRAPH_GRAPH_H
#define DEVICE_GRAPH_GRAPH_H
#include "device/device.h"

#include <pthread.h>
#include <string.h>

typedef struct weft__graph weft__graph;

/* Takes over the members of a struct, or bytes, that may change from step to step. */
typedef void weft__graph_renew(void *kept, const void *now);

/* A call, noted: this, its arguments, and the host's arrays behind them, no byte undefined. */
typedef struct weft__graph_call {
    const char *name; /* compared by its address */
    /* Asks the device for it; NULL: only the caller can. */
    weft_status (*run)(const struct weft__graph *g, const struct weft__graph_call *c);
    weft__graph_renew *renew;
    uint32_t bytes;            /* with what lies behind, a multiple of 8 */
    uint32_t live, live_bytes; /* where what `renew` is for lies in it */
    uint32_t alone;            /* its arguments change: no part of a graph */
} weft__graph_call;

/* Calls that follow each other with nothing between them that must run by itself. */
typedef struct weft__graph_segment {
    size_t from, to; /* bytes of the log */
    int calls;
    size_t live, lives;         /* of the log's: the first, and how many */
    size_t live_at, live_bytes; /* in its block */
    weft_graph *graph;          /* NULL: not made yet */
    bool failed;                /* the device could not */
} weft__graph_segment;

/* What changes from step to step, in the log and in the block. */
typedef struct weft__graph_live {
    size_t from, to, bytes;
} weft__graph_live;

/* The calls of a step, in order. */
typedef struct weft__graph_log {
    char *record;
    size_t bytes, room;
    weft__graph_segment *segment;
    size_t segments, segment_room;
    weft__graph_live *live;
    size_t lives, live_room;
    weft_dev block; /* of the device, where graphs find what changes */
    size_t block_bytes, block_held;
    uint64_t used; /* when: the smallest goes first */
} weft__graph_log;

#define WEFT__GRAPH_LOGS 8

struct weft__graph {
    weft_device *device;
    weft_stream *stream;
    const weft_device_ops *inner; /* the device's own */
    weft_device_ops ops;          /* what is seen in their place */
    weft_kernels kernels;
    bool on;          /* within a step, */
    pthread_t thread; /* of this one */
    weft__graph_log log[WEFT__GRAPH_LOGS];
    int logs;
    weft__graph_log *now; /* the one that is followed; NULL: calls are noted in fresh */
    weft__graph_log fresh;
    size_t cursor, done;    /* in now: what was asked for, and what of it the device has */
    size_t at;              /* now's segments before it are done */
    weft__graph_call *call; /* the one that is being asked for */
    size_t call_room;
    char *live; /* on the way to a block */
    size_t live_room;
    uint64_t clock;
    int misses;   /* steps that followed no log, of late */
    int64_t rest; /* steps to go without */
    bool said;
    int64_t launches, launched; /* graphs, and the calls in them */
};

/* What becomes of a call. */
enum { WEFT__GRAPH_CALL, WEFT__GRAPH_KEPT };

/* Whether calls on the stream are noted. */
static inline bool weft__graph_takes(const weft__graph *g, const weft_stream *s)
{
    return g->on && s == g->stream && pthread_equal(g->thread, pthread_self());
}

/* Whether it is the same kernel or copy, of the same extent. */
static inline bool weft__graph_alike(const weft__graph_call *a, const weft__graph_call *b)
{
    return a->name == b->name && a->bytes == b->bytes && a->live == b->live;
}

/* Whether the call is the kept one but for what may change, which it takes over. */
static inline bool weft__graph_same(weft__graph_call *kept, const weft__graph_call *c)
{
    if (!weft__graph_alike(kept, c))
        return false;
    if (kept->alone)
        return true;
    if (c->renew)
        c->renew((char *)kept + kept->live, (const char *)c + c->live);
    return memcmp(kept + 1, c + 1, c->bytes - sizeof *c) == 0;
}

static inline weft__graph_call *weft__graph_at(const weft__graph_log *l, size_t at)
{
    return (weft__graph_call *)(void *)(l->record + at);
}

/* Room for a call of so many bytes, if it is noted: weft__graph_take follows. NULL: it is not, or *lacks says
 * that there is none. */
void *weft__graph_room(weft__graph *g, const weft_stream *s, size_t bytes, weft_status *lacks);
/* @return WEFT__GRAPH_KEPT, WEFT__GRAPH_CALL if the caller is to ask the device, or an error of what was
 * launched before it. */
int weft__graph_take(weft__graph *g);

/* log.c */
/* Whether l begins as `as` does up to byte `to`. */
bool weft__graph_begins(weft__graph_log *l, const weft__graph_log *as, size_t to);
/* Then those calls get the arguments that they have there. */
void weft__graph_adopt(weft__graph_log *l, const weft__graph_log *from, size_t to);
weft_status weft__graph_note(weft__graph_log *l, const void *calls, size_t bytes);
/* If they are the same calls, few of which differ in their arguments, those are alone from now on. */
bool weft__graph_merge(weft__graph_log *l, const weft__graph_log *fresh);
void weft__graph_drop(weft__graph *g, weft__graph_log *l);

/* launch.c */
/* Finds the segments of a log. */
weft_status weft__graph_cut(weft__graph *g, weft__graph_log *l);
/* The device gets what was asked for, as a graph where that is a whole segment. */
weft_status weft__graph_flush(weft__graph *g);
/* The same, one by one. */
weft_status weft__graph_hurry(weft__graph *g);

/* calls.c, copies.c: the tables */
void weft__graph_kernels(weft__graph *g);
void weft__graph_copies(weft__graph *g);
#endif
