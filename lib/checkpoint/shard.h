/* A rank's shard and the index of all shards. */
#ifndef CHECKPOINT_SHARD_H
#define CHECKPOINT_SHARD_H
#include "checkpoint/checkpoint.h"
#include "checkpoint/manifest.h"

/* Writes this rank's pieces to its shard and fills their offsets and digests and m->file[rank].
 * The structure is kept in c->layout and used again while names, types and counts are the same. */
weft_status weft__shard_write(weft__checkpoint *c, int dir, const char *where, weft__manifest *m);
/* The data set of piece number k of entry i in its shard. */
#define WEFT__DATASET 160
void weft__dataset_name(char name[WEFT__DATASET], const weft__manifest *m, size_t i, int64_t k);
int64_t weft__layout_bytes(const struct weft__layout *l);
void weft__layout_free(struct weft__layout *l);

/* Writes checkpoint.h5, in which every tensor is a virtual data set over the shards of this save;
 * fills m->index. The manifest is sealed. */
weft_status weft__index_write(int dir, const char *where, weft__manifest *m);
#endif
