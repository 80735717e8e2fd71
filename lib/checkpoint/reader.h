/* A checkpoint directory being read: its MANIFEST, and blocks of its shards. No HDF5. */
#ifndef CHECKPOINT_READER_H
#define CHECKPOINT_READER_H
#include "checkpoint/checkpoint.h"
#include "checkpoint/manifest.h"

#include <limits.h>

#define WEFT__OPEN_SHARDS 64 /* the most shards held open at once */

typedef struct weft__reader {
    char where[PATH_MAX];
    int dir;
    uint64_t digest; /* of the MANIFEST's text */
    weft__manifest m;
    int fd[WEFT__OPEN_SHARDS], shard[WEFT__OPEN_SHARDS];
    void *block; /* the last block read */
} weft__reader;

/* Opens the directory and reads its MANIFEST. WEFT_EFORMAT, WEFT_EIO: it is no good. Whatever it
 * returns, weft__reader_close is to follow. */
weft_status weft__reader_open(weft__reader *r, const char *path);
void weft__reader_close(weft__reader *r);
/* The size of a shard is what the MANIFEST says. */
weft_status weft__reader_shard(weft__reader *r, int shard);
/* The HDF5 structure of a file is what was written. */
weft_status weft__reader_structure(weft__reader *r, const weft__file *f);
/* Reads block i of a piece into r->block and verifies it. */
weft_status weft__reader_block(weft__reader *r, const weft__entry *e, const weft__piece *p,
                               int64_t i);
/* MANIFEST and all sizes are good; digests are not looked at. Not collective. */
bool weft__looks_good(const char *path);
#endif
