/* What a walk along the tape is, shared by the files that take part in one. */
#ifndef AUTOGRAD_WALK_H
#define AUTOGRAD_WALK_H
#include "autograd/tape.h"

/* One of the kind WEFT__OF_BACKWARD leaves the gradients of parameters and of leaves, and tells the
 * strategy; one of WEFT__OF_GRAD looks for that of one tensor, its target, and leaves nothing else. */
typedef struct weft__walk {
    weft_fabric *f;
    int kind;
    weft__origin target; /* of WEFT__OF_GRAD */
    weft_dev grad;       /* the target's, contiguous */
    weft_dev by;         /* f64: what the seed is multiplied by; 0: nothing */
    bool found;          /* something is there */
} weft__walk;

/* Whether from is what a walk that looks for something looks for: the parameter, the result of a node, or
 * the leaf. */
bool weft__walk_is_target(const weft__walk *w, const weft__origin *from);
static inline bool weft__walk_seeks(const weft__walk *w, const weft__origin *from)
{
    return w->kind == WEFT__OF_GRAD && weft__walk_is_target(w, from);
}
/* Whether it goes on to a source that wants a gradient, or ends there with one. */
static inline bool weft__walk_leads_on(const weft__walk *w, const weft__origin *from)
{
    return w->kind != WEFT__OF_GRAD || weft__walk_is_target(w, from) ||
           (from->node >= 0 && w->f->tape->node[from->node].reached);
}
/* Marks those of the nodes [first, from] that lie between what the walk is for and a result of `from`,
 * and counts how often each parameter is used by them. */
void weft__walk_reach(const weft__walk *w, int64_t from, int64_t first);
/* Walks from a node down to `first`. */
weft_status weft__walk_nodes(weft__walk *w, int64_t from, int64_t first);
/* The same from result r of a node, one number, whose gradient is seed; if that is 0 there is none but
 * what ops get from other ranks. */
weft_status weft__walk_from(weft__walk *w, int64_t from, int r, double seed);
/* What every walk asks of the tensor that it begins at. */
weft_status weft__walk_begins(const char *who, const char *what, const weft__tensor *x);
/* The type in which gradients of a parameter (or of s NULL) of type t are added up. */
weft_dtype weft__grad_type(const weft__segment *s, weft_dtype t);

static inline const weft_view *weft__node_result(const weft__node *n, int r)
{
    return r ? &n->saved[r - 1] : &n->out;
}

/* The gradient of a result; addr 0: there is none. */
static inline weft_dev weft__grad_of(const weft__node *n, int kind, int r)
{
    return n->grad[kind][r].blank ? (weft_dev){0} : n->grad[kind][r].data;
}

/* Gives a gradient that shares its memory some of its own. */
weft_status weft__grad_part(weft_fabric *f, weft__grad *g, const weft_view *like);

/* Where the gradient of an input is collected. */
typedef struct weft__collector {
    weft_dev data;
    weft_dtype type;
    bool fresh;       /* nothing is there yet */
    weft__grad *slot; /* of a result, which may find it elsewhere; NULL: it must be there */
    int block;        /* that data is; 0: none */
    int beside;       /* a block for the op to write to, if not data, and where it lies; 0: none */
    weft_dev room;
} weft__collector;

/* Before a node's op: its inputs, and where it writes their gradients; beside the place, if something is there or
 * the type differs. */
weft_status weft__collect_begin(weft__walk *w, weft__node *n, weft_op_call *c, weft__collector *to);
/* Behind it: whether all that it gave lies where that was, or in the gradients of its results. */
bool weft__collect_knows(const weft__walk *w, const weft__node *n, const weft_op_call *c,
                         const weft__collector *to);
/* They get to their places. */
weft_status weft__collect_end(const weft__walk *w, const weft__node *n, const weft_op_call *c,
                              const weft__collector *to);
/* Runs the forward of a node of the op recompute again and differentiates it. */
weft_status weft__replay(weft__walk *w, int64_t at);
/* What that forward uses from outside of it, from *first on. @return how much. */
int64_t weft__replay_uses(const weft__tape *t, const weft__node *n, const weft__origin **first);

/* The sources of a node, from *first on, not all of which want a gradient. @return how many. */
static inline int64_t weft__sources(const weft__tape *t, const weft__node *n,
                                    const weft__origin **first)
{
    if (n->op == &weft__op_recompute)
        return weft__replay_uses(t, n, first);
    *first = n->from;
    return n->nin;
}
#endif
