/* An HDF5 file as a data set. All that calls libhdf5 runs in the caller's thread. */
#ifndef DATA_HDF5_H
#define DATA_HDF5_H
#include "data/chunks.h"
#include "data/place.h"

#include <hdf5.h>
#include <weft/sys/dataset.h>

/* A field as the file has it. */
typedef struct weft__set {
    weft_field field;
    int64_t rows;
    weft__place place;   /* of contiguous rows, or */
    weft__chunks chunks; /* chunks.rank > 0 */
} weft__set;

typedef struct weft__hdf5 {
    int fd;
    int64_t size;
    char *path, *names;
    int64_t cache; /* bytes of plain chunks that a worker keeps */
    int fields;
    weft__set set[WEFT_FIELDS];
} weft__hdf5;

extern const weft_dataset_ops weft__hdf5_ops;
void weft__hdf5_free(void *hdf5);

/* Opens path if it is an HDF5 file of full length: the gate before libhdf5. */
weft_status weft__hdf5_gate(const char *path, int *fd, int64_t *size);
/* The structure of one data set; WEFT_ENOENT without a message if there is none of that name. */
weft_status weft__hdf5_set(weft__hdf5 *h, const char *name, hid_t file, weft__set *out);
/* Layout and filters of a chunked one, and where its chunks lie. */
weft_status weft__hdf5_chunks(const weft__hdf5 *h, const char *name, hid_t set, hid_t plist,
                              weft__set *out);
/* The same by reading the index from the file, in linear time. Positive: it has another form. */
weft_status weft__hdf5_tree(const weft__hdf5 *h, const char *name, hid_t set, weft__chunks *c);
/* Takes down one chunk, whose corner is at offset[]. */
weft_status weft__hdf5_chunk(const weft__hdf5 *h, const char *name, weft__chunks *c,
                             const hsize_t *offset, unsigned skipped, haddr_t at, hsize_t bytes);
/* A failure of libhdf5 itself, with the innermost of its reasons. */
weft_status weft__hdf5_foreign(const char *path, const char *what);
#endif
