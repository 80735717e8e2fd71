/* What a loader's options come to. */
#ifndef DATA_PLAN_H
#define DATA_PLAN_H
#include "core/context.h"
#include "data/sampler.h"

#include <weft/data.h>

#define WEFT__WORKERS 64 /* at most */

typedef struct weft__plan {
    int64_t rows;    /* of the data set */
    int64_t samples; /* rows of an epoch */
    int64_t batch;   /* rows of a full global batch */
    int64_t batches; /* global batches an epoch */
    int64_t epochs;
    weft__last last;
    bool ordered;  /* an epoch's rows stand in an order that a sampler made */
    bool bucketed; /* which depends on the batch */
    bool evaluation;
    bool stream; /* of unknown length: rows, samples and batches are 0 */
    int shards;  /* of a stream, a rank */
    uint64_t seed;
    int rank, world;
    int64_t pieces; /* that this rank hands out of each batch, one after the other; 1 but in
                       reproducible mode */
    int workers;
    int prefetch;    /* 0: no worker */
    bool small_more; /* read more ahead if batches are small */
} weft__plan;

/* One rank's part of a global batch. */
typedef struct weft__part_of {
    int64_t epoch, index;
    int64_t position; /* in the epoch's order, of this rank's first row */
    int64_t local, global;
    int64_t base; /* global row of the first one, over the whole run */
} weft__part_of;

/* Checks the options (NULL: all defaults) and fills *p; WEFT_EARG names option and cure. */
weft_status weft__plan_make(weft__plan *p, const weft_fabric *f, int64_t rows,
                            const weft_loader_options *o);
/* The same for a stream. */
weft_status weft__plan_stream(weft__plan *p, const weft_fabric *f, const weft_loader_options *o);
/* What this rank hands out as number n, counted over the run. */
weft__part_of weft__plan_part(const weft__plan *p, int64_t n);
/* How often it hands out in the whole run. */
int64_t weft__plan_total(const weft__plan *p);
/* The most rows that this rank ever gets at once. */
int64_t weft__plan_most(const weft__plan *p);
#endif
