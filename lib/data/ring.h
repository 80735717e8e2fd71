/* Batches read ahead: a ring of slots, filled by one worker thread, or by the caller without one. */
#ifndef DATA_RING_H
#define DATA_RING_H
#include "data/cast.h"
#include "data/plan.h"

#include <pthread.h>
#include <weft/sys/dataset.h>

/* Where rows come from and what becomes of them. */
typedef struct weft__source {
    const weft_dataset_ops *ops;
    void *self;
    char *label; /* what messages call it, a path for a file */
    const char *name[WEFT_FIELDS];
    weft_field field[WEFT_FIELDS];
    weft__cast cast[WEFT_FIELDS];
    int64_t width[WEFT_FIELDS]; /* elements of a row */
} weft__source;

typedef struct weft__slot {
    weft__part_of part;
    int64_t *ids;
    void *data[WEFT_FIELDS]; /* in the type after the cast */
    weft_status code;        /* of reading it */
    char why[WEFT__TEXT];
} weft__slot;

typedef struct weft__ring {
    const weft__plan *plan;
    const weft__source *source;
    int depth; /* slots: one in the consumer's hands, the others ahead; 0 before the first use */
    weft__slot *slot;
    void *memory, *staging; /* of the slots; of rows before their cast */
    int64_t *order, order_epoch;
    bool running, stop;
    pthread_t worker;
    pthread_mutex_t mutex; /* guards stop and the three counts */
    pthread_cond_t filled, freed;
    int64_t next;  /* the batch to be filled next */
    int64_t taken; /* the batch to be handed out next */
    int64_t held;  /* the oldest batch whose slot is in use */
} weft__ring;

void weft__ring_init(weft__ring *r, const weft__plan *plan, const weft__source *source);
/* The slot of the next batch, after giving back that of the last one; *out NULL at the end of the
 * run. Allocates and starts the worker at the first call; not a step of the ring if that fails. A
 * batch that could not be read is handed out too: look at slot->code. */
weft_status weft__ring_take(weft__ring *r, weft__slot **out);
/* Ends the worker and goes on at batch n. */
void weft__ring_seek(weft__ring *r, int64_t n);
void weft__ring_close(weft__ring *r);

/* Fills a slot with batch n; its verdict is in the slot. (fill.c) */
void weft__ring_fill(weft__ring *r, weft__slot *s, int64_t n);
/* Rows of a field that are cast at once. */
int64_t weft__ring_piece(const weft__source *s, int field);
#endif
