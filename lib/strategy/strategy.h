/* A strategy decides who holds which range of the flat planes and how gradients become sums over
 * ranks. It is a decorator over device and communicator and never asks which ones they are. */
#ifndef STRATEGY_STRATEGY_H
#define STRATEGY_STRATEGY_H
#include "autograd/tape.h"
#include "comm/comm.h"
#include "flat/flat.h"

#include <weft/fabric.h>

typedef struct weft__strategy weft__strategy;

/* REQUIRED unless marked. */
typedef struct weft__strategy_ops {
    size_t size;
    const char *name;
    /* Gives a new space its gradient plane, and makes its parameters alike on all ranks.
     * Collective. */
    weft_status (*setup)(weft__strategy *s, weft__flat *flat);
    /* A backward pass begins; segments that are summed already are kept by one owner. Local. */
    weft_status (*begin)(weft__strategy *s);
    /* OPTIONAL. The gradient of a segment is complete on this rank. */
    weft_status (*grad_ready)(weft__strategy *s, weft__segment *segment);
    /* The pass ends: what has not been reduced is, with zeros if mine says that this rank failed,
     * but for spaces that are held. *failed: some rank did; alike on all ranks, or, if all spaces are
     * held, this rank's own. Collective, if any is not held. */
    weft_status (*end)(weft__strategy *s, weft_status mine, bool *failed);
    /* OPTIONAL. After the optimizer. Collective. */
    weft_status (*stepped)(weft__strategy *s, weft__flat *flat);
} weft__strategy_ops;

struct weft__strategy {
    const weft__strategy_ops *ops;
    weft_fabric *fabric;
    weft__flat **flat; /* trainable spaces that were set up, in order */
    size_t flats, room;
    bool weigh; /* this rank's loss needs a sum over ranks; after end: some rank's does */
    weft_traffic traffic;
    uint32_t token; /* of what this rank has done, */
    bool differ;    /* and whether the last pass found another one on some rank */
};

extern const weft__strategy_ops weft__single, weft__ddp;

/* "auto" (NULL too) is single on one rank and ddp on more; names of Fabric's that this version does
 * not have are WEFT_ENOTSUP, any other WEFT_EARG with the nearest; single on more ranks than one is
 * WEFT_ECONFIG. */
weft_status weft__strategy_find(const char *name, int ranks, const weft__strategy_ops **ops);
weft_status weft__strategy_open(weft__strategy **out, weft_fabric *f, const char *name);
void weft__strategy_close(weft__strategy *s);
/* What the tape calls in a backward pass. */
weft__hooks weft__strategy_hooks(weft__strategy *s);
/* Sets up a space, and remembers it if it is trainable. */
weft_status weft__strategy_setup(weft__strategy *s, weft__flat *flat);
/* Prepares what every strategy must before summing: empty segments become zeros. */
weft_status weft__fill_empty(weft__flat *flat, const weft__bucket *b);
/* Gradients are worth nothing any more: the next backward overwrites. */
void weft__strategy_forget(weft__strategy *s);
/* A gradient plane, verdict words included, in memory of the device or of the communicator. */
weft_status weft__grad_plane(weft__flat *flat, bool reduced_by_comm);
#endif
