/* Data sets and loaders. A loader walks a data set in an order that is a function of (seed, epoch)
 * alone and hands each rank its contiguous slice of every global batch, so that the number of ranks
 * does not change the mathematics. Its state is (seed, epoch, cursor). Streams (weft/sys/stream.h)
 * have no order: each rank reads shards of its own. */
#ifndef WEFT_DATA_H
#define WEFT_DATA_H
#include <weft/base.h>
#include <weft/status.h>
#include <weft/tensor.h>
WEFT_BEGIN

/* The most fields a data set may have. */
#define WEFT_FIELDS 8

/* One rank's part of a batch. A rank whose part is empty gets tensors with 0 rows: it takes part
 * with weight zero. Lives until the next step's edge. */
typedef struct weft_batch {
    weft_tensor *x;        /* (rows, ...) */
    weft_tensor *y;        /* (rows, ...), NULL if the data set has no second field */
    int64_t rows;          /* of this rank */
    int64_t global_rows;   /* of all ranks */
    int64_t base;          /* global row of this rank's first row, counted over the whole run */
    int64_t epoch;         /* from 0 */
    int64_t index;         /* of the batch in its epoch, from 0 */
    const int64_t *sample; /* (rows) indices into the data set, borrowed; NULL for a stream */
    int fields;
    weft_tensor *field[WEFT_FIELDS]; /* (rows, ...) each: field[0] is x, field[1] is y */
    const char *const *name;         /* (fields) borrowed from the loader */
} weft_batch;

/* The field of that name; NULL, silently, if the batch has none. */
WEFT_API weft_tensor *weft_batch_field(const weft_batch *b, const char *name);

/* The rows of one batch in a worker's hands, before they become tensors. */
typedef struct weft_rows {
    const int64_t *row; /* (n) indices into the data set; NULL for a stream */
    int64_t n;
    int64_t epoch;
    int64_t base;   /* number of the first row over the run; of a stream, in its shard and epoch */
    uint64_t seed;  /* of the loader */
    uint64_t shard; /* of a stream, else 0 */
    /* Extents of one row of each field as they are in this batch. A collate or a stream may lower
     * them, down from the field's own, for rows that are padded to the longest of the batch. */
    int64_t (*shape)[WEFT_MAX_RANK];
} weft_rows;

/* Works on one batch in a worker: data[k] is field k, (n, ...) row-major. Several workers call it
 * at once. It makes no MPI, HDF5 or tensor calls. On failure it fills why (one line). */
typedef weft_status weft_transform(void *self, const weft_rows *r, void *const data[], char *why,
                                   size_t why_size);

/* Number k of row i's own random numbers, uniform in [0, 1): Philox on (seed, epoch, shard, base +
 * i, k), so that they depend on no rank, worker or prefetch, and are others in each epoch. */
WEFT_API double weft_rows_uniform(const weft_rows *r, int64_t i, uint64_t k);

struct weft_sampler_ops; /* weft/sys/sampler.h */

typedef struct weft_loader_options {
    int64_t global_batch WEFT_INIT; /* rows over all ranks; or */
    int64_t batch_size WEFT_INIT;   /* rows a rank (Fabric's meaning). Default: global_batch 32 */
    int64_t epochs WEFT_INIT;       /* default 1 */
    bool shuffle WEFT_INIT;         /* default false */
    uint64_t seed WEFT_INIT;        /* of the order; default the fabric's */
    /* What happens to the rows that do not fill a batch: "uneven" (default: the last batch is
     * smaller, ranks weigh by rows), "drop" (left out), "pad" (filled up with the epoch's first
     * rows, Fabric's way). Evaluation loaders are always exact: each row once. */
    const char *last WEFT_INIT;
    bool evaluation WEFT_INIT; /* every row once, in order, one epoch; moves no step */
    /* Batches read ahead by workers; default 2, small ones more, ones of memory of 32 KiB and more none where the
     * device computes on all cores, whose threads copy them then; WEFT_OFF: none. */
    int prefetch WEFT_INIT;
    const char *x WEFT_INIT; /* of HDF5: name of field x in the file, default "x" */
    const char *y WEFT_INIT; /* default "y"; a file without it gives y = NULL if not named here */
    double scale WEFT_INIT;  /* not 0: x becomes scale * x + shift in the fabric's dtype */
    double shift WEFT_INIT;
    /* Threads that read, default 1; 1 to 64. The batches are the same, bit for bit, for any
     * number. */
    int workers WEFT_INIT;
    /* Of HDF5: names of the fields in the file, "x,y,w", the first is x, the second y; instead of .x
     * and .y. All must be there. */
    const char *fields WEFT_INIT;
    /* (fields) scale and shift of each field, 0: none; instead of .scale and .shift. Copied. */
    const double *scales WEFT_INIT;
    const double *shifts WEFT_INIT;
    /* Called on each batch after the cast, in the worker: augmentation. data[k] may be changed in
     * place. NULL: the data set's own, if it has one. */
    weft_transform *transform WEFT_INIT;
    void *transform_self WEFT_INIT;
    /* The order. At most one of shuffle, replacement, weights, lengths and sampler. */
    int64_t samples WEFT_INIT; /* rows an epoch with replacement, weights or sampler; default all */
    bool replacement WEFT_INIT; /* each row of an epoch is drawn from all, equally likely */
    /* (rows of the data set) each row of an epoch is drawn with a probability proportional to its
     * weight, with replacement. Finite, at least 0, not all 0. Read once. */
    const double *weights WEFT_INIT;
    /* (rows of the data set) batches of rows of similar length, at least 0: rows are shuffled,
     * sorted by length within every 50 global batches, and cut; then the batches are shuffled. Read
     * once. */
    const int64_t *lengths WEFT_INIT;
    const struct weft_sampler_ops *sampler WEFT_INIT; /* an order of the user's own */
    void *sampler_self WEFT_INIT;                     /* borrowed */
    /* Of a stream: shards a rank, default workers. The rows of a rank depend on this number (and on
     * the ranks), not on workers. */
    int shards WEFT_INIT;
    int cache_mb WEFT_INIT; /* of HDF5: MiB of inflated chunks that each worker keeps; default 64 */
    WEFT_PTR(weft_loader_options)
} weft_loader_options;
#define WEFT_LOADER(...) WEFT__ARGS(weft_loader_options, __VA_ARGS__)

/* An HDF5 file with one data set a field, rows along dimension 0, of u8, i32, i64, f16, f32 or f64;
 * floating point is cast to the fabric's dtype. Contiguous, or chunked with none, some or all of
 * the filters shuffle, deflate (gzip) and fletcher32. Structure is read once, in the caller's
 * thread; rows are then read with pread and inflated by the workers, without HDF5. Shuffled rows
 * inflate a chunk each unless .cache_mb holds it: small chunks, or a cache as large as the data,
 * are quick.
 * Errors stick: WEFT_ENOENT, WEFT_EDTYPE, WEFT_ENOTSUP (another filter, by name), WEFT_EFORMAT
 * (truncated, a damaged chunk, other rows). */
WEFT_API weft_loader *weft_loader_hdf5(weft_fabric *f, const char *path,
                                       const weft_loader_options *o);
/* Arrays in host memory, row-major, borrowed while the loader lives: x (rows, xshape[0..xrank)),
 * y (rows) or NULL. Row shape without the leading rows. */
WEFT_API weft_loader *weft_loader_arrays(weft_fabric *f, int64_t rows, const void *x, int xrank,
                                         const int64_t *xshape, weft_dtype xtype, const void *y,
                                         weft_dtype ytype, const weft_loader_options *o);

/* Rows of one field in host memory, row-major. */
typedef struct weft_array {
    const char *name;
    const void *data;
    weft_dtype dtype;             /* WEFT_DEFAULT: the fabric's */
    int rank;                     /* of one row, without the leading rows */
    int64_t shape[WEFT_MAX_RANK]; /* of one row */
} weft_array;

/* Any number of fields, 1 to WEFT_FIELDS; the data are borrowed while the loader lives. */
WEFT_API weft_loader *weft_loader_fields(weft_fabric *f, int64_t rows, int fields,
                                         const weft_array *array, const weft_loader_options *o);

/* Files in the IDX format of the MNIST family, plain or gzipped: x (rows, ...) and y (rows, ...) or
 * NULL. Bytes stay u8; i8 and i16 become i32; i32, f32 and f64 are put into this machine's byte
 * order. A plain file is read with pread; a gzipped one is inflated into memory once, on each rank.
 * Errors stick: WEFT_ENOENT, WEFT_EFORMAT (truncated, not IDX, other rows). */
WEFT_API weft_loader *weft_loader_idx(weft_fabric *f, const char *x, const char *y,
                                      const weft_loader_options *o);

typedef struct weft_token_options {
    int64_t length WEFT_INIT;    /* tokens of a sample, T. Default 1024 */
    int64_t stride WEFT_INIT;    /* tokens from one sample to the next; default length */
    int64_t offset WEFT_INIT;    /* bytes before the first token, 1024 for llm.c; default 0 */
    const char *dtype WEFT_INIT; /* "u16" (default), "i32" or "u32", in this machine's byte order */
    WEFT_PTR(weft_token_options)
} weft_token_options;
#define WEFT_TOKENS(...) WEFT__ARGS(weft_token_options, __VA_ARGS__)

/* A memory-mapped token file, as Python programs call it: tokens of 2 or 4 bytes one after the other,
 * what numpy's tofile writes and numpy.memmap reads (nanoGPT's train.bin, Megatron's .bin), or the same
 * behind llm.c's header (.offset = 1024). Row i is the T tokens from i * stride on as x, and those from
 * one later on as y, both (rows, T) i32. Random windows are .stride = 1 with .replacement and .samples.
 * As with a map only the windows of a batch are read, and the system keeps what was read: the file may
 * be larger than the memory. They are read with pread, because a mapped file that shrinks, or whose
 * disk fails, ends the process with a signal; here it is an error.
 * Errors stick: WEFT_ENOENT, WEFT_EFORMAT (too short, also while it is read; half a token; a header of
 * llm.c that was not said or says something else), WEFT_EDATA (a token of more than 31 bits). */
WEFT_API weft_loader *weft_loader_tokens(weft_fabric *f, const char *path,
                                         const weft_token_options *t, const weft_loader_options *o);

/* The step's edge, and the next batch. Frees what the last step made, agrees with the other ranks
 * on errors and on stopping, then fills *b. False at the end of the last epoch, and on all ranks
 * after an error (weft_error says which). Ranks of a stream join: one whose shards have ended gets
 * tensors of 0 rows until all ranks' have. Collective for the loader of a training loop; an
 * evaluation loader, or any loader inside weft_eval_begin/end, is local and moves no step. */
WEFT_API bool weft_next(weft_loader *l, weft_batch *b);
/* Back to the first batch of the first epoch, so that an evaluation loader can be used again. A
 * training loader's, on all ranks alike (else the next weft_backward is WEFT_ECONFIG). */
WEFT_API weft_status weft_rewind(weft_loader *l);

WEFT_API int64_t weft_loader_rows(const weft_loader *l); /* rows of the data set; a stream's: 0 */
WEFT_API int64_t weft_loader_batches(const weft_loader *l); /* global batches an epoch; likewise */
WEFT_API int64_t weft_loader_epochs(const weft_loader *l);
WEFT_API int64_t weft_loader_position(const weft_loader *l); /* global batches handed out so far */

/* A batch of data made in place: x and y as they are, base is the global row of the first one.
 * global_rows is the sum over ranks, the same on all (else weft_backward is WEFT_ECONFIG); 0 lets
 * weft_backward find it with one 8-byte all-reduce. */
WEFT_API weft_batch weft_batch_of(weft_fabric *f, weft_tensor *x, weft_tensor *y, int64_t base,
                                  int64_t global_rows);
/* The step's edge for loops over weft_batch_of whose ranks end at different times: true on all
 * ranks as long as `more` is true on any. A rank without more passes tensors of 0 rows and weighs
 * nothing. False at the end, and on all ranks after an error. Collective. */
WEFT_API bool weft_join(weft_fabric *f, bool more);
WEFT_END
#endif
