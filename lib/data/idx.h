/* Files in the IDX format of the MNIST family, plain or gzipped. */
#ifndef DATA_IDX_H
#define DATA_IDX_H
#include "core/error.h"

typedef struct weft__idx {
    uint32_t magic;   /* 0, 0, type, dimensions */
    weft_dtype dtype; /* of the values once they are converted */
    int wide;         /* bytes of a value in the file */
    int rank;
    int64_t dim[WEFT_MAX_RANK];
    int64_t bytes;  /* of all values in the file */
    int64_t offset; /* of the first one */
    int fd;         /* of a plain file, else -1 */
    char *memory;   /* the values of a gzipped one, and of any that was opened with `all` */
} weft__idx;

/* Reads the header, and the values if the file is gzipped or all of them are wanted in memory.
 * WEFT_ENOENT, WEFT_EFORMAT, WEFT_EIO, WEFT_ENOMEM; needs no closing then. */
weft_status weft__idx_open(weft__idx *a, const char *path, bool all);
void weft__idx_close(weft__idx *a);
/* n values as in the file, at the beginning of out, become n values of a->dtype. */
void weft__idx_convert(const weft__idx *a, void *out, int64_t n);
#endif
