/* Rows of a chunked HDF5 data set, by pread and zlib alone. */
#ifndef DATA_CHUNKS_H
#define DATA_CHUNKS_H
#include "core/error.h"

#include <zlib.h>

#define WEFT__FILTERS 4 /* of one data set, at most */

typedef struct weft__chunk_at {
    int64_t offset;   /* in the file */
    int64_t bytes;    /* there */
    uint32_t skipped; /* filters, by bit, that this chunk did not go through */
} weft__chunk_at;

/* Where the chunks lie: read once, then only looked at. */
typedef struct weft__chunks {
    int fd;   /* borrowed */
    int rank; /* dimensions, that of the rows included; 0: not chunked */
    int64_t dim[WEFT_MAX_RANK], chunk[WEFT_MAX_RANK], grid[WEFT_MAX_RANK];
    int64_t element; /* bytes */
    int64_t across;  /* chunks that hold a row */
    int64_t bytes;   /* of a chunk when it is plain */
    int64_t n, most; /* chunks; bytes of the largest in the file */
    weft__chunk_at *at;
    int filters, filter[WEFT__FILTERS]; /* as written: read backwards */
    bool whole;                         /* no filters, and each row lies in one chunk */
} weft__chunks;

/* A worker's own: chunks that are plain already. Chunk c lives in place c % places. */
typedef struct weft__chunk_cache {
    const weft__chunks *of;
    int64_t places, *holds; /* -1: none */
    char *memory;           /* of the places */
    char *packed, *spare;   /* a chunk as it is in the file, and between two filters */
    z_stream zip;
    bool zipped;
} weft__chunk_cache;

void weft__chunks_free(weft__chunks *c);
/* Keeps about that many bytes of plain chunks, and at least those of one row. */
weft_status weft__chunk_cache_open(weft__chunk_cache *c, const weft__chunks *of, int64_t bytes);
void weft__chunk_cache_close(weft__chunk_cache *c);
/* Copies the rows row[0..n) to out, each chunk made plain once. On failure fills why. */
weft_status weft__chunk_read(weft__chunk_cache *c, const int64_t *row, int64_t n, char *out,
                             char *why, size_t why_size);
#endif
