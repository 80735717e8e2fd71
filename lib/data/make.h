/* Making loaders over the library's own data sets. */
#ifndef DATA_MAKE_H
#define DATA_MAKE_H
#include "core/context.h"

#include <weft/sys/dataset.h>

/* As weft_loader_new; messages call the data set `label` and its fields name[]; all copied. */
weft_loader *weft__loader_make(weft_fabric *f, const weft_dataset_ops *ops, void *self,
                               int64_t rows, const weft_field field[WEFT_FIELDS], const char *label,
                               const char *const name[WEFT_FIELDS], const weft_loader_options *o);

/* A file whose rows are read with pread: no HDF5 after it has been made. */
typedef struct weft__rows_file {
    int fd;
    char *path;
    int64_t offset[WEFT_FIELDS]; /* of row 0 */
    int64_t width[WEFT_FIELDS];  /* bytes of a row */
} weft__rows_file;

extern const weft_dataset_ops weft__rows_file_ops;

/* Opens path for reading if it is an HDF5 file of full length. */
weft_status weft__rows_file_open(weft__rows_file *r, const char *path, int64_t *size);
void weft__rows_file_free(void *rows_file);
#endif
