/* Where a loader's rows come from, and what becomes of them on the way to a tensor. */
#ifndef DATA_SOURCE_H
#define DATA_SOURCE_H
#include "core/error.h"
#include "data/cast.h"
#include "data/plan.h"

#include <weft/sys/stream.h>

typedef struct weft__source {
    const weft_dataset_ops *ops;   /* rows by number, or */
    const weft_stream_ops *stream; /* rows as they come */
    void *self;
    char *label; /* what messages call it, a path for a file */
    int fields;
    char *names;
    const char *name[WEFT_FIELDS];
    weft_field field[WEFT_FIELDS];
    weft__cast cast[WEFT_FIELDS];
    int64_t width[WEFT_FIELDS]; /* elements of a row, at most */
    weft_transform *transform;
    bool foreign; /* it is the options', with a self of its own */
    void *transform_self;
    int workers; /* that are open */
    void **worker;
} weft__source;

/* One batch on its way: in the hands of one worker, then of the loop. */
typedef struct weft__slot {
    int64_t number; /* in the order of the ring */
    bool ready;
    weft__part_of part;
    int64_t *ids;
    int64_t shape[WEFT_FIELDS][WEFT_MAX_RANK]; /* of one row */
    void *data[WEFT_FIELDS];                   /* in the type after the cast */
    weft_status code;                          /* of making it */
    char why[WEFT__TEXT];
    weft_stream_at at; /* of a stream's shard, after it */
    bool ended;        /* likewise */
} weft__slot;

/* Takes over names, fields and options, strictly read; nothing is owned but the texts. */
weft_status weft__source_fill(weft__source *s, const char *label, const char *const *name,
                              const weft_field *field, int64_t most, weft_dtype real,
                              const weft_loader_options *o);
void weft__source_free(weft__source *s);
/* The selves of n workers, if the source has such. */
weft_status weft__source_open_workers(weft__source *s, int n);

/* Bytes of n rows of a field: as tensors, or as the source has them. */
size_t weft__source_bytes(const weft__source *s, int field, int64_t n, bool cast);
/* Elements of n rows of a field in this slot. */
int64_t weft__slot_elements(const weft__source *s, const weft__slot *slot, int field, int64_t n);
/* All extents are the fields' own. */
void weft__slot_begin(const weft__source *s, weft__slot *slot);
weft_rows weft__slot_rows(const weft__source *s, weft__slot *slot, uint64_t seed);
/* Where a source that makes whole batches has to put field k: in the slot, or in staging, which has
 * room for all fields that are cast, one after the other. */
void weft__slot_raw(const weft__source *s, const weft__slot *slot, void *staging, int64_t most,
                    void *raw[WEFT_FIELDS]);
/* Casts what stands in raw into the slot; WEFT_ESHAPE if an extent has grown. */
weft_status weft__slot_cast(const weft__source *s, weft__slot *slot, void *const raw[WEFT_FIELDS]);
/* Runs the transform, if there is one, on the finished fields. */
weft_status weft__slot_transform(const weft__source *s, int worker, weft__slot *slot,
                                 uint64_t seed);
/* A failure of the user's or the file's, in the slot: names source, field (-1: the transform) and
 * batch. @return code. */
weft_status weft__slot_fail(const weft__source *s, weft__slot *slot, int field, weft_status code,
                            const char *why);
#endif
