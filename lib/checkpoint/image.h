/* HDF5 files built in memory and never on disk: no disk error can reach libhdf5, which does not
 * survive one. The bytes are then written by us. */
#ifndef CHECKPOINT_IMAGE_H
#define CHECKPOINT_IMAGE_H
#include <hdf5.h>
#include <weft/status.h>

typedef struct weft__image {
    void *bytes;
    size_t size;
    int reallocs; /* 1 if all structure fitted in the first block */
    hid_t file, access;
    H5E_auto2_t print;
    void *print_data;
} weft__image;

/* A new file with one block of `whole` bytes for everything but tensors, of which `headers` are for
 * all but global heaps (HDF5 places these like small tensors, behind the headers). From here to
 * weft__image_close HDF5 is silent and no other thread may be in here. g must not move. */
weft_status weft__image_open(weft__image *g, size_t headers, size_t whole);
/* Ends the file if s is no failure: g->bytes and g->size are then its structure. @return s, or
 * what failed. */
weft_status weft__image_close(weft__image *g, weft_status s);
void weft__image_free(weft__image *g);

/* The HDF5 type of elements on disk; to be closed with H5Tclose. */
hid_t weft__image_type(weft_dtype t);
/* A failed HDF5 call. */
weft_status weft__image_failed(const char *what);
#endif
