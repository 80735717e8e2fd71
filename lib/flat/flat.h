/* Parameters in one offset space. A flat space holds all parameters of a module tree that share
 * (dtype, trainable), as segments in reverse order of registration, so that gradients become ready
 * from the front. Planes are arrays over that space, each of a type of its own: parameters, gradients,
 * moments. Buckets are runs of segments that are reduced together. Pieces are the runs of elements
 * that this rank's optimizer updates: all there are, or at most one a bucket; of a plane that is
 * sharded, only they have memory. Padding and verdict words lie outside every segment: they never reach a checkpoint. */
#ifndef FLAT_FLAT_H
#define FLAT_FLAT_H
#include "tensor/tensor.h"

#include <weft/sys/module.h>

typedef enum weft__plane {
    WEFT__PARAM,
    WEFT__GRAD,
    WEFT__MOMENT0,
    WEFT__MOMENT1,
    WEFT__MOMENT2,
    WEFT__COMPUTE, /* the parameters in a lower type; its type is WEFT_DEFAULT where there is none */
    WEFT__PLANES
} weft__plane;

/* What a segment's part of the gradient plane holds. */
typedef enum weft__grad_state {
    WEFT__GRAD_EMPTY,  /* nothing: the next contribution overwrites */
    WEFT__GRAD_LOCAL,  /* this rank's sum */
    WEFT__GRAD_REDUCED /* all ranks' sum */
} weft__grad_state;

typedef struct weft__flat weft__flat;
typedef struct weft__segment weft__segment;
struct weft__segment {
    weft__flat *flat;
    const char *name; /* full, "0.weight"; borrowed from the module */
    weft_tensor *tensor;
    weft_init init;
    int64_t first, count; /* elements of the space */
    int rank;
    int64_t shape[WEFT_MAX_RANK];
    weft__grad_state grad;
    int bucket;
    int64_t uses;          /* left in the backward that runs */
    bool frozen;           /* no gradient, no update */
    const void *optimizer; /* whose step updates it; NULL: none was set up for it */
    int group;             /* of that optimizer */
};

/* Elements [first, first + count) of the gradient plane. count is a multiple of the ranks; the last
 * bucket of a space is followed by WEFT__VERDICT words that are reduced with it. */
typedef struct weft__bucket {
    int64_t first, count, payload; /* payload: elements of its segments */
    int segments, ready;
    bool reduced;
    char name[40]; /* of the collective, "gradients 0.3"; set by the strategy */
} weft__bucket;

/* Elements [first, first + count), which lie at element `local` of a plane that is sharded. */
typedef struct weft__range {
    int64_t first, count, local;
} weft__range;

#define WEFT__VERDICT 16 /* words, so that what follows stays aligned */

struct weft__flat {
    weft_fabric *fabric;
    bool trainable;
    int64_t elements; /* of the space, padding included */
    int nsegments;
    weft__segment **segment; /* ascending first */
    int nbuckets;
    weft__bucket *bucket;
    weft_dev plane[WEFT__PLANES];
    weft_dtype type[WEFT__PLANES];
    bool sharded[WEFT__PLANES];
    weft__range *piece; /* this rank's own, ascending */
    int npieces;
    bool cut;                            /* other ranks have other pieces; alike on all ranks */
    void (*grad_free)(weft__flat *flat); /* set by who allocated the gradient plane */
    weft_dev *level; /* reproducible mode: gradients that wait for their other half */
    int levels;
    bool hold; /* the backward that runs, or ran last, leaves the sums to this rank */
    uint64_t
        changed; /* since setup: a digest of what the program wrote and froze, alike on all ranks */
    uint64_t version;                /* of the parameters: how often others wrote them */
    uint64_t copied, copied_changes; /* the version and the digest that the compute plane is of */
};

/* Lays the segments out in the given order, in buckets of about bucket_bytes (the first is at most
 * 1 MiB, to start early), padded for the fabric's ranks, and allocates and fills the parameter
 * plane. Takes over nothing: segments are the caller's. */
weft_status weft__flat_new(weft_fabric *f, weft__segment *const *segment, int n, weft_dtype dtype,
                           bool trainable, int64_t bucket_bytes, weft__flat **out);
void weft__flat_free(weft__flat *flat);
/* A zeroed plane, in memory of the device. */
weft_status weft__flat_plane(weft__flat *flat, weft__plane plane);
/* Room for n more gradients. */
weft_status weft__flat_levels(weft__flat *flat, int n);
/* What this rank has of a plane, verdict words not counted. */
size_t weft__flat_bytes(const weft__flat *flat, weft__plane plane);
/* Where a plane has an element of the space; addr 0: this rank has not. */
weft_dev weft__flat_at(const weft__flat *flat, weft__plane plane, int64_t element);
/* The parts of [first, first + count) that are this rank's own, ascending:
 *     for (weft__range own = {0}; weft__flat_own(flat, first, count, &own);) */
bool weft__flat_own(const weft__flat *flat, int64_t first, int64_t count, weft__range *own);
/* Makes the compute plane, of a type. */
weft_status weft__flat_compute(weft__flat *flat, weft_dtype low);
/* Says that parameters were written, other than by what weft__segment_changed notes. */
void weft__flat_written(weft__flat *flat);
/* Copies a range of the parameters into the compute plane, if there is one; and all of them, if it is
 * older than they are. */
weft_status weft__flat_narrow(const weft__flat *flat, int64_t first, int64_t count);
weft_status weft__flat_refresh(weft__flat *flat);
/* A segment's part of a plane that is whole. */
weft_view weft__segment_view(const weft__segment *s, weft__plane plane);
/* Gives a parameter its first values, a function of the seed, its name and the element. */
weft_status weft__segment_init(weft__segment *s);
/* t sees the segment's parameters. */
void weft__segment_show(const weft__segment *s, weft__tensor *t);
/* Notes what the program does to a segment. */
void weft__segment_changed(const weft__segment *s, uint64_t how);
/* Zeroes a segment's gradient. */
weft_status weft__segment_clear(weft__segment *s);
#endif
