/* Data sets and loaders. A loader walks a data set in an order that is a function of (seed, epoch)
 * alone and hands each rank its contiguous slice of every global batch, so that the number of ranks
 * does not change the mathematics. Its state is (seed, epoch, cursor). */
#ifndef WEFT_DATA_H
#define WEFT_DATA_H
#include <weft/base.h>
#include <weft/status.h>
#include <weft/tensor.h>
WEFT_BEGIN

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
    const int64_t *sample; /* (rows) indices into the data set, borrowed */
} weft_batch;

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
    int prefetch
        WEFT_INIT; /* batches read ahead by the worker; default 2, small ones more; WEFT_OFF: none */
    const char *x WEFT_INIT; /* name of field x in the file, default "x" */
    const char *y WEFT_INIT; /* default "y"; a file without it gives y = NULL if not named here */
    double scale WEFT_INIT;  /* not 0: x becomes scale * x + shift in the fabric's dtype */
    double shift WEFT_INIT;
    WEFT_PTR(weft_loader_options)
} weft_loader_options;
#define WEFT_LOADER(...) WEFT__ARGS(weft_loader_options, __VA_ARGS__)

/* An HDF5 file with one data set a field, rows along dimension 0, contiguous layout; floating point
 * x is cast to the fabric's dtype. Structure is read once; rows are then read with pread by the
 * worker, without HDF5. Errors stick: WEFT_ENOENT, WEFT_EFORMAT (truncated, chunked, other rows). */
WEFT_API weft_loader *weft_loader_hdf5(weft_fabric *f, const char *path,
                                       const weft_loader_options *o);
/* Arrays in host memory, row-major, borrowed while the loader lives: x (rows, xshape[0..xrank)),
 * y (rows) or NULL. Row shape without the leading rows. */
WEFT_API weft_loader *weft_loader_arrays(weft_fabric *f, int64_t rows, const void *x, int xrank,
                                         const int64_t *xshape, weft_dtype xtype, const void *y,
                                         weft_dtype ytype, const weft_loader_options *o);

/* The step's edge, and the next batch. Frees what the last step made, agrees with the other ranks
 * on errors and on stopping, then fills *b. False at the end of the last epoch, and on all ranks
 * after an error (weft_error says which). Collective for the loader of a training loop; an
 * evaluation loader, or any loader inside weft_eval_begin/end, is local and moves no step. */
WEFT_API bool weft_next(weft_loader *l, weft_batch *b);
/* Back to the first batch of the first epoch, so that an evaluation loader can be used again. */
WEFT_API weft_status weft_rewind(weft_loader *l);

WEFT_API int64_t weft_loader_rows(const weft_loader *l);    /* rows of the data set */
WEFT_API int64_t weft_loader_batches(const weft_loader *l); /* global batches an epoch */
WEFT_API int64_t weft_loader_epochs(const weft_loader *l);
WEFT_API int64_t weft_loader_position(const weft_loader *l); /* global batches handed out so far */

/* A batch of data made in place: x and y as they are, base is the global row of the first one.
 * global_rows is the sum over ranks; 0 lets weft_backward find it with one 8-byte all-reduce. */
WEFT_API weft_batch weft_batch_of(weft_fabric *f, weft_tensor *x, weft_tensor *y, int64_t base,
                                  int64_t global_rows);
WEFT_END
#endif
