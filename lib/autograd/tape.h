/* The eager tape: what was computed from what, in the order it was computed. */
#ifndef AUTOGRAD_TAPE_H
#define AUTOGRAD_TAPE_H
#include "flat/flat.h"

#include <stddef.h>
#include <string.h>
#include <weft/autograd.h>

#define WEFT__ATTR 128 /* the most bytes of an op's attributes */

#define WEFT__RESULTS (1 + WEFT_OP_SAVED) /* of a node: out, then those of saved that are results */

/* Where a value comes from: a parameter, a node's result, or a leaf. */
typedef struct weft__origin {
    weft_tensor *tensor;
    weft__segment *segment;
    int64_t node; /* that made it, -1 for a leaf */
    int result;
    bool wants_grad;
} weft__origin;

/* What an input of a recorded call was seen as. A parameter is held as its segment and resolved at backward,
 * never as an address. */
typedef struct weft__input {
    weft__plane plane; /* of the segment, that was used */
    weft_view view;    /* of a parameter its type alone */
} weft__input;

/* Each kind of walk has gradients of its own. */
enum { WEFT__OF_BACKWARD, WEFT__OF_GRAD, WEFT__WALKS };

/* Of a result, contiguous. */
typedef struct weft__grad {
    weft_dev data; /* addr 0: none yet, or none any more */
    int block;     /* of the arena that data is; 0: of none, it is somebody else's */
    bool blank;    /* there is only room for it */
} weft__grad;

typedef struct weft__node {
    const weft_op *op;   /* NULL: a mark */
    weft_module *module; /* of a mark */
    bool enter;          /* of a mark: the module's forward begins here */
    bool reached;        /* in the walk that runs */
    unsigned kept;       /* bit r: the gradient of result r stays behind weft_backward */
    int nin;
    size_t uses; /* of the tape, up to here */
    const int64_t *sample;
    weft__grad grad[WEFT__WALKS][WEFT__RESULTS];
    weft__origin from[WEFT_OP_INPUTS]; /* nin of them, */
    weft__input in[WEFT_OP_INPUTS];    /* and of these */
    weft_view out, saved[WEFT_OP_SAVED];
    _Alignas(16) unsigned char attr[WEFT__ATTR];
} weft__node;

/* What a strategy wants to know of a step. Any may be NULL. */
typedef struct weft__hooks {
    void *self;
    weft_status (*grad_ready)(void *self, weft__segment *s);
    /* In forward, and in a backward pass, which leaves first what was entered last. */
    weft_status (*module)(void *self, weft_module *m, bool enter, bool backward);
    void (*between)(void *self); /* two ops of the pass: for what goes on beside it */
    /* What ops of all ranks exchange in the middle of a step; NULL where each computes for itself. room has
     * space for world x n f64, n the most that a module exchanges. gather: rank r has put its n numbers at
     * r n, and gets those of all; sum: the first n become the sum over ranks. Collective. */
    weft_dev (*room)(void *self);
    weft_status (*gather)(void *self, int64_t n);
    weft_status (*sum)(void *self, int64_t n);
} weft__hooks;

/* A copy in the host's memory of what an op's code computes with there. */
typedef struct weft__lent {
    weft_dev data;
    void *host;
    size_t bytes;
    bool changes; /* it is no input */
} weft__lent;

/* What a step has gathered: how many numbers each time, and 0 where a backward pass began. */
typedef struct weft__gathers {
    int64_t *n;
    size_t count, room;
} weft__gathers;

typedef struct weft__tape {
    weft__node *node;
    size_t nodes, room;
    weft__origin *use; /* what forwards that run again use from outside */
    size_t uses, use_room;
    int folds;            /* depth of forwards that will run again, when they run the first time, */
    int replays;          /* and when they run again */
    int eval;             /* depth of weft_eval_begin */
    weft__mark eval_mark; /* where the outermost scope began */
    int64_t meets,
        unmet; /* ops with `drain` that a pass has still to go through, none above node unmet */
    weft__gathers now, before; /* of this step, and of the last one that went well */
    uint64_t met;              /* how often hooks gathered or summed */
    uint64_t draws;            /* calls in this step that drew random numbers */
    weft_dtype low;            /* what WEFT_CAST_LOW ops compute in; WEFT_DEFAULT: no such type */
    bool float8;               /* linear layers multiply in 8 bits, where they can; */
    bool float8_lacks;         /* that one cannot has been said */
    int forwards;              /* depth of weft_forward, */
    int autocast;              /* and of autocast scopes: in one of them low is what counts */
    weft__hooks hooks;
    weft__lent *lent; /* to the op that runs */
    size_t lents, lent_room;
} weft__tape;

extern const weft_op weft__op_cast, weft__op_recompute;

/* No view; what lies behind its rank means nothing. */
static inline void weft__view_none(weft_view *v)
{
    v->data.addr = 0;
    v->dtype = WEFT_DEFAULT;
    v->rank = 0;
    v->numel = 0;
}
/* What an op saved: of none nothing is copied. */
static inline void weft__saved_copy(weft_view *to, const weft_view *from)
{
    for (int i = 0; i < WEFT_OP_SAVED; i++)
        if (from[i].dtype != WEFT_DEFAULT)
            weft__view_copy(&to[i], &from[i]);
        else
            weft__view_none(&to[i]);
}
/* The call of an op's forward or backward: inputs and results are to come. Only what counts is written, as
 * two kilobytes of zeros would take longer than all else that an op costs. */
static inline void weft__call_begin(weft_op_call *c, weft_fabric *f, const weft_op *op, int nin,
                                    void *attr)
{
    c->op = op;
    c->fabric = f;
    c->device = f->device;
    c->stream = f->stream;
    c->k = f->device->ops->kernels;
    c->attr = attr;
    c->nin = nin;
    for (int i = 0; i < WEFT_OP_INPUTS; i++)
        c->want[i] = c->alike[i] = false, c->more[i].addr = 0;
    c->rows = c->lead = c->batch = 0;
    c->sample = NULL;
    c->base = c->local = 0;
    c->weight.addr = 0;
    c->spare = false;
}
/* A new node, uninitialised. */
weft_status weft__tape_append(weft__tape *t, weft__node **out);
/* Brings back what an op computed in those copies on the host that were lent to it since there were `before`. @return s. */
weft_status weft__op_return(weft_op_call *c, size_t before, weft_status s);
/* Runs its forward or backward. */
static inline weft_status weft__op_run(weft_op_call *c, weft_status (*run)(weft_op_call *c))
{
    const size_t before = c->fabric->tape->lents;
    const weft_status s = run(c);
    return c->fabric->tape->lents > before ? weft__op_return(c, before, s) : s;
}
/* Drops the nodes from number `nodes` on. */
void weft__tape_cut(weft__tape *t, size_t nodes);
/* forward(m, x), of which only x and the result are kept: backward runs it again. */
weft_tensor *weft__tape_recompute(weft_fabric *f, weft_module *m, weft_tensor *x,
                                  weft_tensor *(*forward)(weft_module *m, weft_tensor *x));
/* Fills the call's batch from that of its inputs, and out's from the call. */
void weft__find_batch(weft_op_call *c, int n, weft__tensor *const *x);
void weft__inherit_rows(const weft_op_call *c, weft__tensor *out, weft__tensor *const *x);
/* How out stands to the batch where the op or an input is a reduction of it. */
weft_status weft__inherit_reduction(const weft_op_call *c, weft__tensor *out, int n,
                                    weft__tensor *const *x);

/* Of two types of floating point, the one that has the numbers of both. */
weft_dtype weft__wider(weft_dtype a, weft_dtype b);
/* The type that the op's floating point inputs, the widest of which is given, are cast to; WEFT_DEFAULT: there are
 * none, or they stay as they are. f64 stays. */
weft_dtype weft__computes_in(const weft_fabric *f, const weft_op *op, weft_dtype widest);
weft_status weft__tape_open(weft_fabric *f);
void weft__tape_close(weft_fabric *f);
void weft__tape_edge(weft_fabric *f);
/* Records that a module's forward begins or ends, if the hooks want to know. */
weft_status weft__tape_note_module(weft_fabric *f, weft_module *m, bool enter);
static inline weft_status weft__tape_mark(weft_fabric *f, weft_module *m, bool enter)
{
    return f->tape->hooks.module ? weft__tape_note_module(f, m, enter) : WEFT_OK;
}
/* Differentiates loss, seeded with `seed`, times the f64 at by, if there is one. With seed 0 contributes zeros. No communication but what
 * the hooks do. */
weft_status weft__tape_backward(weft_fabric *f, weft_tensor *loss, double seed, weft_dev by);
/* What weft__tape_backward would refuse. */
weft_status weft__tape_can(weft_fabric *f, weft_tensor *loss);
/* Marks what a loss depends on, and counts in `meets` what a pass over it communicates. */
void weft__tape_plan(weft_fabric *f, weft_tensor *loss);
/* Takes part with zeros in what is left of that. Collective if anything is. */
void weft__tape_drain(weft_fabric *f);
/* That pass is through with a node that communicates. */
void weft__tape_past(weft__tape *t, const weft__node *n);
/* A backward pass begins: a rank that failed gathers, with zeros, what the last step did up to this pass and
 * it has not. Collective where it is behind. */
void weft__tape_catch_up(weft_fabric *f);
/* The step is over; good: its schedule is what the next one should be. */
void weft__tape_schedule_edge(weft__tape *t, bool good);
/* The hooks' collectives, counted. */
weft_status weft__tape_gather(weft_fabric *f, int64_t n);
weft_status weft__tape_gather_nothing(weft_fabric *f,
                                      int64_t n); /* this rank puts zeros in place */
weft_status weft__tape_sum(weft_fabric *f, int64_t n);
#endif
