/* A data set of the user's own. */
#ifndef WEFT_SYS_DATASET_H
#define WEFT_SYS_DATASET_H
#include <weft/data.h>
WEFT_BEGIN
#define WEFT_FIELDS 2 /* x and y */

/* The shape of one row of a field, without the leading rows. */
typedef struct weft_field {
    bool present;
    weft_dtype dtype;
    int rank;
    int64_t shape[WEFT_MAX_RANK];
} weft_field;

typedef struct weft_dataset_ops {
    size_t size;
    const char *name;
    /* REQUIRED. Copies the rows row[0..n) of a field, in that order, to out (row-major, the field's
     * dtype). Called from the loader's worker thread: no MPI, no HDF5, no tensors. Rows that run on
     * (row[i+1] == row[i] + 1) are worth reading at once. On failure fills why (one line). */
    weft_status (*read)(void *self, int field, const int64_t *row, int64_t n, void *out, char *why,
                        size_t why_size);
    void (*destroy)(void *self); /* OPTIONAL */
} weft_dataset_ops;

/* A loader over a user's data set of `rows` rows; self is borrowed and destroyed with the loader. */
WEFT_API weft_loader *weft_loader_new(weft_fabric *f, const weft_dataset_ops *ops, void *self,
                                      int64_t rows, const weft_field field[WEFT_FIELDS],
                                      const weft_loader_options *o);
WEFT_END
#endif
