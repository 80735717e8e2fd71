/* A strategy decides who holds which part of the flat planes and how gradients become sums over
 * ranks. It is a decorator over device and communicator and never asks which ones they are. What all
 * need alike is shared: the schedule of buckets and the verdict on a backward pass. */
#ifndef STRATEGY_STRATEGY_H
#define STRATEGY_STRATEGY_H
#include "autograd/tape.h"
#include "comm/comm.h"
#include "flat/flat.h"
#include "optim/optimizer.h"

#include <weft/sys/strategy.h>

typedef struct weft_strategy weft__strategy;

struct weft_strategy {
    const weft_strategy_ops *ops;
    void *self;
    weft_fabric *fabric;
    weft__flat **flat; /* trainable spaces that were set up, in order */
    size_t flats, room;
    weft__pool pool;
    weft_dev shared; /* for what ops exchange in a step: meets f64 of each rank; 0: nothing */
    int64_t meets;
    int64_t *counts; /* of a gather there */
    bool weigh;      /* this rank's loss needs a sum over ranks; after end: some rank's does */
    weft_traffic traffic;
    uint32_t token; /* of what this rank has done, */
    bool differ;    /* and whether the last pass found another one on some rank */
    bool agreed;    /* the last pass ended with a verdict of all ranks */
    bool failed;    /* this rank, in the schedule that runs */
};

extern const weft_strategy_ops weft__single, weft__ddp, weft__zero1, weft__zero2;

/* "auto" (NULL too) is single on one rank and ddp on more; names of Fabric's that this version does
 * not have are WEFT_ENOTSUP, any other WEFT_EARG with the nearest; single on more ranks than one is
 * WEFT_ECONFIG. */
weft_status weft__strategy_find(const char *name, int ranks, const weft_strategy_ops **ops);
/* WEFT_EARG, naming what is missing, unless a table is complete; WEFT_ECONFIG if it would train each
 * of the ranks' models for itself. */
weft_status weft__strategy_check(const weft_strategy_ops *ops, int ranks);
/* ops: the user's own, or NULL. */
weft_status weft__strategy_open(weft__strategy **out, weft_fabric *f, const char *name,
                                const weft_strategy_ops *ops, void *self);
void weft__strategy_close(weft__strategy *s);
/* What the tape calls. */
weft__hooks weft__strategy_hooks(weft__strategy *s);
/* Sets up a space, and remembers it if it is trainable. Collective. */
weft_status weft__strategy_setup(weft__strategy *s, weft__flat *flat);

/* Makes room for n f64 of each rank, that ops exchange in a step, where gradients are summed over ranks.
 * Collective. */
weft_status weft__strategy_meet(weft__strategy *s, int64_t n);
/* Frees it. */
void weft__strategy_part(weft__strategy *s);
/* How many ranks' gradients are added up: all, or 1, where the strategy leaves them to each rank. */
int weft__strategy_summed(const weft__strategy *s);
/* Whether what one rank finds in its part of the gradients is what all find. */
bool weft__strategy_alike(const weft__strategy *s);
/* A backward pass begins: sums of an earlier one are kept by one owner. Local. */
weft_status weft__strategy_begin(weft__strategy *s);
/* The pass ends: what has not been reduced is, with zeros if mine says that this rank failed, but for
 * spaces that are held. *failed: some rank did; alike on all ranks if s->agreed, else this rank's own.
 * Collective, if any space is not held. */
weft_status weft__strategy_end(weft__strategy *s, weft_status mine, bool *failed);
/* The pass, or all of them, are worth nothing any more: the next backward overwrites. */
void weft__strategy_forget(weft__strategy *s);
/* After an update of o's parameters, also one that failed. Collective. */
weft_status weft__strategy_stepped(weft__strategy *s, const weft_optimizer *o);

/* Between the files of this folder: the space whose last bucket is the schedule's last, NULL if all
 * are held. */
const weft__flat *weft__last_space(const weft__strategy *s);
/* Whether the backward that runs, or ran last, leaves a space's gradients where they are. */
bool weft__is_held(const weft__flat *flat);
/* Whether the verdict rides behind a bucket. */
bool weft__carries(const weft__strategy *s, const weft__flat *flat, const weft__bucket *b);
/* The verdict's words there, written and read; or by a small collective. */
weft_status weft__verdict_write(const weft__strategy *s, weft_dev at, weft_dtype type);
weft_status weft__verdict_read(weft__strategy *s, weft_dev at, weft_dtype type, bool *failed);
weft_status weft__verdict_agree(weft__strategy *s, bool *failed);
#endif
