/* What a checkpoint holds: the MANIFEST in memory, while saving and while loading. */
#ifndef CHECKPOINT_MANIFEST_H
#define CHECKPOINT_MANIFEST_H
#include "checkpoint/names.h"

#include <weft/sys/state.h>

#define WEFT__BLOCK ((int64_t)4 << 20)         /* bytes that share a digest */
#define WEFT__MANIFEST_MAX ((int64_t)64 << 20) /* the longest MANIFEST */

/* A slab of a tensor in a shard. Never empty. */
typedef struct weft__piece {
    int64_t first, count; /* elements of the whole tensor, row-major */
    int64_t offset;       /* bytes into the shard */
    int shard;
    int number;       /* while saving: of this entry in its shard */
    uint64_t *digest; /* xxh3-64 of each block */
    int64_t block;    /* number of its first block in the whole checkpoint */
    weft_dev data;    /* while saving: where it is in memory; or */
    const void *host; /* in host memory, if not NULL */
} weft__piece;

typedef struct weft__entry {
    char *name;
    weft_state_kind kind;
    weft_placement placement;
    weft_dtype dtype;
    int rank;
    int64_t shape[WEFT_MAX_RANK];
    int64_t numel;
    weft__piece *piece; /* while saving: this rank's; when sealed: all, in order */
    size_t npieces, room;
    int owners;      /* of values and text: the world's size if PER_RANK, else 1 */
    int64_t count;   /* values an owner */
    int64_t *values; /* owners x count, f64 as their bits */
    char **text;     /* owners */
} weft__entry;

typedef struct weft__file {
    char name[WEFT__NAME];
    int64_t size;
    int64_t image;   /* bytes of HDF5 structure at its start */
    uint64_t digest; /* of these */
} weft__file;

typedef struct weft__manifest {
    int64_t step;
    int world;
    char id[WEFT__ID];
    weft__file index;
    weft__file *file; /* one shard a rank */
    weft__entry *entry;
    size_t n, room;
    weft__entry **by_name;
    int64_t blocks;
} weft__manifest;

void weft__manifest_free(weft__manifest *m);
/* A new entry, or NULL. Entries move when one is added. */
weft__entry *weft__manifest_add(weft__manifest *m);
/* A new piece at the end, or NULL. */
weft__piece *weft__entry_add(weft__entry *e);
void weft__entry_clear(weft__entry *e); /* drops the pieces */
/* Sorts the names; WEFT_EFORMAT if one is there twice. */
weft_status weft__manifest_names(weft__manifest *m, const char *where);
/* The entry of that name, or NULL. After weft__manifest_names. */
weft__entry *weft__manifest_find(const weft__manifest *m, const char *name);
/* Sorts the pieces, numbers the blocks, and checks that every tensor is covered exactly once and
 * that no two pieces share bytes of a file. WEFT_EFORMAT names what is wrong. */
weft_status weft__manifest_seal(weft__manifest *m, const char *where);

int64_t weft__piece_bytes(const weft__entry *e, const weft__piece *p);
int64_t weft__piece_blocks(const weft__entry *e, const weft__piece *p);

/* The MANIFEST's text, `bytes` long, to be freed with weft__free. */
weft_status weft__manifest_encode(const weft__manifest *m, const char *where, char **text,
                                  int64_t *bytes);
/* Reads it strictly and seals it. WEFT_EFORMAT names what is wrong. */
weft_status weft__manifest_decode(weft__manifest *m, const char *where, const char *text,
                                  int64_t bytes);
/* The digest at the end of the text: `,"digest":"0123456789abcdef"}` and a newline. */
#define WEFT__SEAL_FORMAT ",\n\"digest\":\"%016llx\"}\n"
#define WEFT__SEAL_BYTES 31

/* Words of the format, indexed by their enums. */
extern const char *const weft__kind_word[4], *const weft__placement_word[4];

/* A double as text, the same bits again: "0x1.8000000000000p+0", "inf", "nan:7ff8000000000000". */
#define WEFT__F64_TEXT 40
void weft__f64_write(char text[WEFT__F64_TEXT], uint64_t bits);
bool weft__f64_read(const char *text, uint64_t *bits);
#endif
