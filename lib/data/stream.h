/* Makes batches of a stream, and knows what has been handed out of it. */
#ifndef DATA_STREAM_H
#define DATA_STREAM_H
#include "data/ring.h"

/* Where a shard stands. */
typedef struct weft__shard {
    weft_stream_at at;
    bool ended;
    void *cursor; /* NULL until the first batch */
    bool open;
    int64_t turn; /* the number of its next batch */
} weft__shard;

typedef struct weft__stream {
    const weft__plan *plan;
    const weft__source *source;
    weft__shard *shard;     /* as the workers have it, ahead of */
    weft__shard *seen;      /* what the loop has got: at and ended, the state of the loader */
    int64_t *counts;        /* rows of each rank's batch, then ones */
    int64_t *saved;         /* room for the state */
    int64_t epoch, batches; /* global ones handed out in the epoch */
    int64_t handed, rows;   /* global batches and rows handed out in the run */
    bool ended;             /* all epochs */
    char *staging;
    size_t staging_bytes;
    pthread_mutex_t mutex; /* guards turn */
    pthread_cond_t turned;
} weft__stream;

extern const weft__maker_ops weft__stream_ops;

weft_status weft__stream_init(weft__stream *s, const weft__plan *plan, const weft__source *source);
void weft__stream_free(weft__stream *s);
#endif
