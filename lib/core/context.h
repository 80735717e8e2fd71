/* What every floor may know of the fabric that its things were made from: the error that sticks,
 * the ranks, the clock, and one part a floor, of a type that only that floor and those above it
 * define. The facade opens and closes the parts. */
#ifndef CORE_CONTEXT_H
#define CORE_CONTEXT_H
#include "core/error.h"

/* Parts of a step; the clock is always in exactly one. */
typedef enum weft__part {
    WEFT__OTHER,
    WEFT__DATA,
    WEFT__FORWARD,
    WEFT__BACKWARD,
    WEFT__COMMUNICATION,
    WEFT__OPTIMIZER,
    WEFT__PARTS
} weft__part;

/* The first member of everything that dies with the fabric. The facade destroys by kind, in the
 * order of this list. */
typedef enum weft__kind {
    WEFT__LOADER = 1,
    WEFT__LOGGER,
    WEFT__METRIC,
    WEFT__OPTIM,
    WEFT__MODULE,
    WEFT__KINDS
} weft__kind;

typedef struct weft__object weft__object;
struct weft__object {
    weft__kind kind;
    weft_fabric *fabric;
    weft__object *next, **link;  /* the fabric's list, oldest first, */
    weft__object *after, **back; /* and that of its kind */
    void (*destroy)(weft__object *self);
};

struct weft_fabric {
    weft__sticky error;
    char noted[WEFT__TEXT]; /* the last failure that did not stick */

    int rank, world, local_rank, local_size, node_rank, nodes;
    char host[64];
    int threads;
    uint64_t seed;
    weft_dtype dtype;     /* what WEFT_DEFAULT means */
    int64_t step;         /* steps taken */
    int64_t bucket_bytes; /* of gradients that are reduced together */
    bool weigh;           /* all ranks know: a weft_backward begins with the sum of the weights */
    /* Reproducible mode: the micro-batches that a step is cut into, whatever the number of ranks, each
     * of which takes so many one after the other; 0: no such mode. */
    int leaves, own_leaves;

    bool shut; /* weft_open failed: nothing can be made from it */
    weft__object *objects, *first[WEFT__KINDS];
    struct weft_device *device;
    struct weft_stream *stream;
    struct weft_comm *comm;
    struct weft__engine *engine; /* tensor: slots, step arena */
    struct weft__tape *tape;     /* autograd */
    struct weft__facade *facade; /* fabric */

    weft__part part;
    double since, spent[WEFT__PARTS];
};

/* Makes the calling thread's last failure stick to f, prefixed with rank and host. @return code. All of
 * these take NULL, the program's mistake: nothing can stick to it. */
weft_status weft__stick(weft_fabric *f, weft_status code);
/* Notes a failure that does not stick and says it once. @return code. */
weft_status weft__note(weft_fabric *f, weft_status code);
/* 0, or what sticks; WEFT_EARG of NULL. */
static inline weft_status weft__stuck(const weft_fabric *f)
{
    return f ? weft__sticky_code(&f->error) : WEFT_EARG;
}

/* Enters a part of the step. @return the part left, to be entered again afterwards. */
weft__part weft__enter(weft_fabric *f, weft__part part);
/* Seconds, monotonic. */
double weft__now(void);

/* A zeroed object of `bytes` bytes on f's list; NULL after making ENOMEM stick. */
void *weft__object_new(weft_fabric *f, weft__kind kind, size_t bytes,
                       void (*destroy)(weft__object *self));
/* Destroys it and takes it off the list. */
void weft__object_free(weft__object *o);
/* The oldest object of a kind, and the next one of the same kind after o; NULL at the end. */
weft__object *weft__object_first(const weft_fabric *f, weft__kind kind);
weft__object *weft__object_after(const weft__object *o);
#endif
