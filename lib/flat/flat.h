/* Parameters in one offset space. A flat space holds all parameters of a module tree that share
 * (dtype, trainable), as segments in reverse order of registration, so that gradients become ready
 * from the front. Planes are arrays over that space, each of a type of its own: parameters, gradients,
 * moments. Buckets are runs of segments that are reduced together. Pieces are the runs of elements
 * that this rank's optimizer updates: all there are, or at most one a bucket; of a plane that is
 * sharded, only they have memory. Padding and verdict words lie outside every segment: they never
 * reach a checkpoint. */
#ifndef FLAT_FLAT_H
#define FLAT_FLAT_H
#include "tensor/tensor.h"

#include <weft/sys/comm.h>
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

/* What there is of a segment's gradient, as bits: both, only where the plane is sharded. */
enum {
    WEFT__GRAD_EMPTY = 0,  /* nothing: the next contribution overwrites */
    WEFT__GRAD_LOCAL = 1,  /* this rank's sum, in the plane or in its bucket's buffer */
    WEFT__GRAD_REDUCED = 2 /* all ranks' sum, in the plane */
};

typedef struct weft_space weft__flat;
typedef struct weft__segment weft__segment;
struct weft__segment {
    weft__flat *flat; /* first what each step asks of all segments */
    weft_tensor *tensor;
    int64_t first, count; /* elements of the space */
    unsigned grad;        /* WEFT__GRAD_EMPTY, _LOCAL and _REDUCED */
    int bucket;
    weft_dev by; /* f64: what its gradient is still to be multiplied by; 0: it is as it should be */
    int64_t uses;          /* left in the backward that runs */
    const void *optimizer; /* whose step updates it; NULL: none was set up for it */
    int group;             /* of that optimizer */
    bool frozen;           /* no gradient, no update */
    int rank;
    int64_t shape[WEFT_MAX_RANK], stride[WEFT_MAX_RANK];
    const char *name; /* full, "0.weight"; borrowed from the module */
    weft_init init;
};

/* Elements [first, first + count) of the gradient plane. count is a multiple of the ranks; the last
 * bucket of a space is followed by WEFT__VERDICT words that are reduced with it. */
typedef struct weft__bucket {
    int64_t first, count, payload; /* payload: elements of its segments */
    int begin, segments;           /* segment[begin], ... */
    int ready;                     /* segments whose gradient is complete */
    bool reduced, over;            /* its reduction has begun, and ended */
    bool updated;                  /* by the step that runs */
    int64_t *counts;               /* elements of the ranks' pieces; NULL: it is not cut */
    weft_dev buffer;               /* where gradients are collected, if their plane is sharded */
    weft_request request;          /* of its reduction */
    char name[40];                 /* of the collective, "gradients 0.3"; set by the strategy */
} weft__bucket;

/* Elements [first, first + count), which lie at element `local` of a plane that is sharded. */
typedef struct weft__range {
    int64_t first, count, local;
} weft__range;

/* Buffers for buckets, shared by spaces. */
typedef struct weft__buffer {
    weft_dev at;
    size_t bytes;
    bool of_comm, taken;
} weft__buffer;

typedef struct weft__pool {
    weft_fabric *fabric;
    weft__buffer *buffer;
    size_t n, room, bytes; /* bytes: of each */
    /* OPTIONAL. Frees one that is only waited for, if there is one. */
    weft_status (*reclaim)(void *self);
    void *self;
} weft__pool;

#define WEFT__VERDICT 16 /* words, so that what follows stays aligned */

struct weft_space {
    weft_fabric *fabric;
    bool trainable;
    bool state;       /* of buffers: it has parameters alone, and they are none */
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
    bool whole;                          /* pieces of a cut end where segments end */
    bool cut;                            /* other ranks have other pieces; alike on all ranks */
    int64_t *counts;                     /* the buckets' */
    weft__pool *pool;                    /* if gradients are sharded */
    void (*grad_free)(weft__flat *flat); /* set by who allocated the gradient plane */
    weft_dev *level; /* reproducible mode: gradients that wait for their other half */
    int levels;
    const uint64_t *scopes; /* != 0: in one in which sums are left to this rank; NULL: not set up */
    bool seen; /* the program has gradients as tensors, and may write to them whenever it likes */
    bool hold; /* the backward that runs, or ran last, leaves the sums to this rank */
    uint64_t changed; /* a digest of what the program wrote and froze since setup, alike on all */
    uint64_t version; /* of the parameters: how often others wrote them */
    uint64_t copied, copied_changes; /* the version and the digest that the compute plane is of */
};

/* Lays the segments out in the given order, in buckets of about bucket_bytes (the first is at most
 * 1 MiB, to start early), padded for the fabric's ranks, and allocates and fills the parameter
 * plane. Takes over nothing: segments are the caller's. */
weft_status weft__flat_new(weft_fabric *f, weft__segment *const *segment, int n, weft_dtype dtype,
                           bool trainable, int64_t bucket_bytes, weft__flat **out);
/* The same for buffers, which are neither trained nor counted as parameters. */
weft_status weft__flat_state(weft_fabric *f, weft__segment *const *segment, int n, weft_dtype dtype,
                             weft__flat **out);
void weft__flat_free(weft__flat *flat);
/* A zeroed plane, in memory of the device, and its end. That of parameters is such as the communicator can
 * move fastest. */
weft_status weft__flat_plane(weft__flat *flat, weft__plane plane);
void weft__flat_drop(weft__flat *flat, weft__plane plane);
/* Cuts each bucket in a piece a rank. Planes that are sharded have no memory yet. */
weft_status weft__flat_cut(weft__flat *flat);
/* Moves the cuts to where segments end, for optimizer `who`; WEFT_ESTATE if there are moments already.
 * Gradients are lost. */
weft_status weft__flat_cut_whole(weft__flat *flat, const char *who);
/* Room for n more gradients. */
weft_status weft__flat_levels(weft__flat *flat, int n);
/* What this rank has of a plane, verdict words not counted. */
size_t weft__flat_bytes(const weft__flat *flat, weft__plane plane);
/* Where a plane has an element of the space; addr 0: this rank has not. _piece_at: of one that is sharded. */
weft_dev weft__flat_piece_at(const weft__flat *flat, weft__plane plane, int64_t element);
static inline weft_dev weft__flat_at(const weft__flat *flat, weft__plane plane, int64_t element)
{
    if (flat->sharded[plane])
        return weft__flat_piece_at(flat, plane, element);
    return (weft_dev){flat->plane[plane].addr +
                      (uint64_t)element * weft__size_of(flat->type[plane])};
}
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
/* The same, at *v: what lies behind its rank means nothing. */
static inline void weft__segment_see(const weft__segment *s, weft__plane plane, weft_view *v)
{
    v->data = weft__flat_at(s->flat, plane, s->first);
    v->dtype = s->flat->type[plane];
    v->rank = s->rank;
    v->numel = s->count;
    weft__extents_copy(v, s->shape, s->stride);
}
/* Gives a parameter its first values, a function of the seed, its name and the element. */
weft_status weft__segment_init(weft__segment *s);
/* t sees the segment's parameters. */
void weft__segment_show(const weft__segment *s, weft__tensor *t);
/* Notes what the program does to a segment. */
void weft__segment_changed(const weft__segment *s, uint64_t how);

/* A clip: the gradient becomes less before it is next read. The factor stays where it is until then. */
weft_status weft__shrink_later(weft__segment *s, weft_dev by);
/* That, before a segment's gradient is read or added to; nothing where there is no gradient. */
weft_status weft__shrink(weft__segment *s);
static inline weft_status weft__shrink_now(weft__segment *s)
{
    return s->by.addr ? weft__shrink(s) : WEFT_OK;
}
void weft__shrink_forget(weft__segment *s);

/* Where a backward pass collects a segment's gradient; *fresh: nothing is there yet. */
weft_status weft__segment_collect(weft__segment *s, weft_dev *out, bool *fresh);
/* Zeroes what it has collected. */
weft_status weft__segment_clear(weft__segment *s);
/* Zeroes what segments of an open bucket lack, or all of them. */
weft_status weft__fill_empty(weft__flat *flat, const weft__bucket *b, bool all);
/* Where it collects an element of a bucket that is open. */
static inline weft_dev weft__bucket_at(const weft__flat *flat, const weft__bucket *b,
                                       int64_t element)
{
    if (!flat->sharded[WEFT__GRAD])
        return weft__flat_at(flat, WEFT__GRAD, element);
    return (weft_dev){b->buffer.addr +
                      (uint64_t)(element - b->first) * weft__size_of(flat->type[WEFT__GRAD])};
}
/* Gives a bucket its buffer, if it takes one, and takes it away. */
weft_status weft__bucket_open(weft__flat *flat, weft__bucket *b);
void weft__bucket_close(weft__flat *flat, weft__bucket *b);
/* Two buffers of so many bytes, none of which may be taken. Collective. */
weft_status weft__pool_reserve(weft__pool *p, size_t bytes);
void weft__pool_close(weft__pool *p);
#endif
