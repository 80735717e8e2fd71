/* A data set of the user's own. */
#ifndef WEFT_SYS_DATASET_H
#define WEFT_SYS_DATASET_H
#include <weft/data.h>
WEFT_BEGIN

/* The shape of one row of a field, without the leading rows. */
typedef struct weft_field {
    bool present;
    weft_dtype dtype;
    int rank;
    int64_t shape[WEFT_MAX_RANK]; /* with a collate: the most that an extent can be */
    const char *name;             /* default "x", "y", "field2", ... */
} weft_field;

typedef struct weft_dataset_ops {
    size_t size;
    const char *name;
    /* REQUIRED, or collate. Copies the rows row[0..n) of a field, in that order, to out (row-major,
     * the field's dtype). Called from the loader's workers, several at once if the loader has
     * several: no MPI, no HDF5, no tensors. Rows that run on (row[i+1] == row[i] + 1) are worth
     * reading at once. On failure fills why (one line). */
    weft_status (*read)(void *self, int field, const int64_t *row, int64_t n, void *out, char *why,
                        size_t why_size);
    void (*destroy)(void *self); /* OPTIONAL */
    int fields;                  /* OPTIONAL: how many, 1 to WEFT_FIELDS; default 2, x and y */
    /* OPTIONAL, instead of read: makes a whole batch of rows of varying size. data[k] has room for
     * (n, shape[k]...) of the field's dtype; if the batch needs less, collate lowers r->shape[k][d]
     * and packs the rows to that shape. E.g. sequences, padded to the longest of this batch. */
    weft_transform *collate;
    /* OPTIONAL: works on each batch after the cast (floats are in the fabric's dtype), in place. A
     * transform of the loader's options stands in its place. */
    weft_transform *transform;
    /* OPTIONAL: a worker's own self, which read, collate and transform get in self's place:
     * buffers, descriptors. Opened and closed in the caller's thread, before the first batch and at
     * the end. On failure fills why. Both or none. */
    weft_status (*open_worker)(void *self, int worker, int workers, void **own, char *why,
                               size_t why_size);
    void (*close_worker)(void *own);
} weft_dataset_ops;

/* A loader over a user's data set of `rows` rows; self is borrowed and destroyed with the loader.
 * field has ops->fields entries. */
WEFT_API weft_loader *weft_loader_new(weft_fabric *f, const weft_dataset_ops *ops, void *self,
                                      int64_t rows, const weft_field *field,
                                      const weft_loader_options *o);
WEFT_END
#endif
