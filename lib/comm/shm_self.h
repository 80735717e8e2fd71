/* What the files of the communicator in shared memory share.
 *
 * Ranks meet by slots. A rank has two, used in turns; for meeting k it fills slot k & 1, sets its
 * `arrived` to k and waits until those of the others are k. When it fills the slot again, for k + 2, all
 * have come to meeting k + 1, so nobody reads what is in it any more. The first meeting of a
 * collective compares what the ranks call. */
#ifndef COMM_SHM_SELF_H
#define COMM_SHM_SELF_H
#include "comm/comm.h"
#include "comm/shared.h"

#include <stdatomic.h>

#define WEFT__SLOT (16 * 1024)   /* bytes that travel in a slot */
#define WEFT__STAGE (128 * 1024) /* bytes of other memory that are copied at a time */
#define WEFT__LINE 128           /* bytes that a core may fetch together */

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "processes share atomics");

typedef enum weft__shm_kind {
    WEFT__ALL_REDUCE = 1,
    WEFT__REDUCE_SCATTER,
    WEFT__ALL_GATHER,
    WEFT__BROADCAST,
    WEFT__BARRIER,
    WEFT__SPLIT
} weft__shm_kind;

/* What a rank calls; compared as bytes. */
typedef struct weft__call {
    int16_t kind, type;
    int32_t how;    /* reduction, or root */
    int64_t n;      /* elements, of all ranks */
    uint64_t parts; /* hash of the counts of an all_gather or reduce_scatter */
} weft__call;

/* Where a buffer is. */
typedef struct weft__place {
    uint64_t window; /* 0: in none */
    uint64_t offset; /* from the rank's part of it */
} weft__place;

typedef struct weft__slot {
    _Alignas(WEFT__LINE) _Atomic uint64_t arrived;
    weft__call call;
    weft__place place;
    char data[WEFT__SLOT]; /* the first 16 bytes are on the line of `arrived` */
} weft__slot;

/* A rank's part of what is shared beside the windows. */
typedef struct weft__desk {
    weft__slot slot[2];
    _Alignas(WEFT__LINE) char stage[2][WEFT__STAGE];
    char result[2][WEFT__STAGE];
} weft__desk;

/* Memory that weft__comm_alloc has given. */
typedef struct weft__window {
    uint64_t id; /* from 1, the same on all ranks */
    weft__shared memory;
    weft_dev dev; /* this rank's part on the device */
    weft_device *device;
} weft__window;

typedef struct weft__shm {
    weft_comm base;
    weft_comm *mpi;
    weft__shared desks;
    uint64_t meetings;
    int spins; /* looks before yielding; 0 where ranks share cores */
    weft__window *window;
    size_t windows, room;
    uint64_t made; /* windows so far */
    void **out;    /* addresses for a reduction, one a rank, */
    const void **in;
} weft__shm;

static inline weft__desk *weft__desk_of(const weft__shm *s, int rank)
{
    return weft__shared_of(&s->desks, rank);
}

/* A rank's slot of the last meeting. */
static inline const weft__slot *weft__slot_of(const weft__shm *s, int rank)
{
    return &weft__desk_of(s, rank)->slot[s->meetings & 1];
}

/* What this rank brings to the next meeting goes there. */
static inline char *weft__shm_next(const weft__shm *s)
{
    return weft__desk_of(s, s->base.rank)->slot[(s->meetings + 1) & 1].data;
}

/* A meeting. WEFT_EPEER, WEFT_ETIMEOUT. */
weft_status weft__shm_meet(weft__shm *s);
/* The first meeting of a collective; buffer: where this rank's is, NULL if nobody will ask. WEFT_EPEER
 * also if another rank calls something else. */
weft_status weft__shm_begin(weft__shm *s, const weft__call *call, const void *buffer);
uint64_t weft__shm_hash(const weft__shm *s, const int64_t *counts);
/* Whether the buffers that the ranks began with all lie in one window. All ranks see the same. */
bool weft__shm_in_window(const weft__shm *s);
/* Where rank q's then is. */
char *weft__shm_buffer(const weft__shm *s, int q);
/* Where p is. */
weft__place weft__shm_place(const weft__shm *s, const void *p);

/* The table's entries. */
weft_status weft__shm_all_reduce(weft_comm *c, void *buf, int64_t n, weft_dtype t, weft_reduce op);
weft_status weft__shm_reduce_scatter(weft_comm *c, void *out, const void *in, const int64_t *counts,
                                     weft_dtype t);
weft_status weft__shm_all_gather(weft_comm *c, void *out, const int64_t *counts, const void *in,
                                 weft_dtype t);
weft_status weft__shm_broadcast(weft_comm *c, void *buf, int64_t bytes, int root);
weft_status weft__shm_alloc(weft_comm *c, weft_device *d, size_t bytes, weft_dev *out);
void weft__shm_release(weft_comm *c, weft_device *d, weft_dev p, size_t bytes);
void *weft__shm_reach(weft_comm *c, weft_device *d, weft_dev p);

/* outs[0..nouts)[i] = in[0][i] op in[1][i] op ... in that order, for n elements, which is bit-equal to
 * a serial loop over the ranks. An output may be an input, element by element. NaN wins over all
 * numbers in minima and maxima. */
void weft__shm_reduce(void *const *outs, int nouts, const void *const *in, int nin, int64_t n,
                      weft_dtype t, weft_reduce op);
#endif
