/* Batches made ahead: a ring of slots, filled by workers, or by the caller without them. */
#ifndef DATA_RING_H
#define DATA_RING_H
#include "data/pinned.h"
#include "data/source.h"

#include <pthread.h>

/* Who makes batches. */
typedef struct weft__maker_ops {
    /* In the caller's thread, before the first batch: memory and helpers for that many workers, and
     * slots of `most` rows. May be called again after it has failed. */
    weft_status (*open)(void *self, int workers);
    /* What must be decided in the order of the batches, by one worker at a time. */
    void (*claim)(void *self, weft__slot *s);
    /* All that may be done by several workers at once. The verdict is in the slot. */
    void (*fill)(void *self, int worker, weft__slot *s);
    /* Forgets what was made ahead: batch n comes next. No worker runs. */
    void (*seek)(void *self, int64_t n);
} weft__maker_ops;

typedef struct weft__ring weft__ring;
typedef struct weft__hand {
    weft__ring *ring;
    int number;
    pthread_t thread;
} weft__hand;

struct weft__ring {
    const weft__plan *plan;
    const weft__source *source;
    const weft__maker_ops *ops;
    void *self;
    int64_t total; /* batches of the run */
    int depth; /* slots: one in the consumer's hands, the others ahead; 0 before the first use */
    weft__slot *slot;
    void *memory;
    size_t bytes;        /* of memory */
    weft_device *device; /* that batches go to; NULL: none */
    weft__pinned pinned; /* the memory */
    bool stop;
    int running; /* workers */
    weft__hand hand[WEFT__WORKERS];
    pthread_mutex_t turn;  /* held while a batch is claimed */
    pthread_mutex_t mutex; /* guards stop, the slots' ready, and the three counts */
    pthread_cond_t filled, freed;
    int64_t next;  /* the batch to be claimed next */
    int64_t taken; /* the batch to be handed out next */
    int64_t held;  /* the oldest batch whose slot is in use */
};

void weft__ring_init(weft__ring *r, const weft__plan *plan, const weft__source *source,
                     const weft__maker_ops *ops, void *self, int64_t total);
/* The slot of the next batch, after giving back that of the last one; *out NULL at the end of the
 * run. Allocates and starts the workers at the first call; not a step of the ring if that fails. A
 * batch that could not be made is handed out too: look at slot->code. */
weft_status weft__ring_take(weft__ring *r, weft__slot **out);
/* Ends the workers, so that what they read may change; weft__ring_seek must follow. */
void weft__ring_stop(weft__ring *r);
/* Ends the workers and goes on at batch n. */
void weft__ring_seek(weft__ring *r, int64_t n);
void weft__ring_close(weft__ring *r);
#endif
