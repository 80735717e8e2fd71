/* A stream of the user's own: rows that come one after the other, nobody knows how many. Each rank
 * reads shards of its own, so that no row comes twice if the user's stream cuts itself by (shard,
 * shards). In a training loop ranks whose shards have ended take part with 0 rows until all
 * have. */
#ifndef WEFT_SYS_STREAM_H
#define WEFT_SYS_STREAM_H
#include <weft/sys/dataset.h>
WEFT_BEGIN

#define WEFT_STREAM_STATE 8

/* Where a shard stands: part of every checkpoint, as it was after the last batch handed out. */
typedef struct weft_stream_at {
    int64_t rows;                     /* of this epoch given out before; kept by the loader */
    int64_t state[WEFT_STREAM_STATE]; /* the stream's own, 0 at the beginning of an epoch */
} weft_stream_at;

typedef struct weft_stream_ops {
    size_t size;
    const char *name;
    int fields; /* OPTIONAL: how many, 1 to WEFT_FIELDS; default 2, x and y */
    /* REQUIRED. Opens shard `shard` of `shards` (all ranks' together) in an epoch, at its beginning
     * or where `at` says: a stream that cannot go to a place skips at->rows rows. */
    weft_status (*open)(void *self, int64_t shard, int64_t shards, int64_t epoch,
                        const weft_stream_at *at, void **cursor, char *why, size_t why_size);
    /* REQUIRED. The next r->n rows to data[k], (n, shape[k]...) of the field's dtype; *got is fewer
     * only at the end of the shard. Sets at->state so that open could go on after these rows; after
     * a failure, where to go on once weft_clear has been called. May lower r->shape[k][d] as a
     * collate does. */
    weft_status (*next)(void *cursor, const weft_rows *r, void *const data[], int64_t *got,
                        weft_stream_at *at, char *why, size_t why_size);
    void (*close)(void *cursor); /* OPTIONAL */
    void (*destroy)(void *self); /* OPTIONAL */
} weft_stream_ops;

/* A loader over a stream; self is borrowed and destroyed with the loader. open and next are called
 * in the loader's workers, one at a time for a shard, several at once for several. Rows of a batch:
 * .batch_size a rank, or .global_batch / ranks, which must divide. The batches of a rank take turns
 * between its .shards shards. There is no order: shuffle, replacement, weights, lengths, samples,
 * sampler and last are refused. Resumes on the same number of ranks and shards. Errors stick. */
WEFT_API weft_loader *weft_loader_stream(weft_fabric *f, const weft_stream_ops *ops, void *self,
                                         const weft_field *field, const weft_loader_options *o);
WEFT_END
#endif
