/* What the facade and strategies need of optimizers. */
#ifndef OPTIM_OPTIMIZER_H
#define OPTIM_OPTIMIZER_H
#include "nn/module.h"
#include "optim/schedule.h"

#include <weft/sys/optimizer.h>

/* Parameters with hyperparameters of their own. Group 0 is the optimizer's: it takes what is left. */
typedef struct weft__group {
    char *pattern;           /* of full names; or */
    const weft_module *part; /* takes all below it */
    void *self;              /* the optimizer's, with the group's hyperparameters */
    double lr;               /* base rate; below 0: that of group 0 */
    double rate;             /* of the step that runs */
} weft__group;

#define WEFT__NUMBERS 128 /* bytes of what is known of all gradients together */

struct weft_optimizer {
    weft__object object; /* kind WEFT__OPTIM */
    const weft_optim_ops *ops;
    size_t bytes; /* of self */
    weft__group *group;
    size_t groups, room;
    weft_module *module; /* the parameters below it are the optimizer's */
    unsigned uses;       /* bit k: moment k has memory */
    int64_t steps;
    int64_t since,
        before;      /* of those, since the last edge and between that and the one before: steps
                            * whose gradients the host does not know to be finite yet */
    weft_dev unless; /* what forbids the update; 0: nothing */
    bool setup;
    bool used;               /* a step was taken with the gradients that are there */
    bool unscaled, overflow; /* they were divided by the loss scale; some are not finite */
    bool clips;              /* by the 2-norm, when it was clipped last */
    bool measured;           /* norm is of the gradients as they are */
    weft_dev norm; /* f64: the sum of their squares, what the last clip multiplies by, and what
               * fabric/scale_late.c has; once there was a clip or a scale */
    bool holds;    /* the loss scale is in that memory, */
    bool late;     /* and the device decides about this step; steps that it has decided about */
    int unknown;   /* while the host does not know the outcome */
    bool again;    /* the same update comes once more */
    int64_t *run;  /* room for runs of elements: where each begins, its length */
    size_t runs, run_room;
    int number;
    weft_dev scratch; /* of the largest tensor */
    size_t scratch_bytes;
    weft__schedule schedule;
    /* Of an optimizer that searches: */
    weft_optim_vector vector;
    int64_t vector_first; /* its first element in the space */
    weft_slab *slab;
    size_t slab_room;
    void *evaluation; /* of the step that runs; the facade's */
};

/* The space of the optimizer's trainable parameters; NULL before there is memory, or if it has none. */
weft__flat *weft__optim_flat(const weft_optimizer *o);
/* Whether a step of o updates s. */
static inline bool weft__optim_owns(const weft_optimizer *o, const weft__segment *s)
{
    return s->optimizer == o && s->flat->trainable;
}
/* WEFT_ESTATE, by name, if another optimizer of its fabric has parameters below m; mine may be NULL. */
weft_status weft__optim_free_of_others(const weft_optim_ops *ops, const weft_optimizer *mine,
                                       weft_module *m);
/* Takes over the parameters, and makes the planes of moments. */
weft_status weft__optim_setup(weft_optimizer *o);
/* One line that is alike on all ranks only if kind, hyperparameters and groups are. */
void weft__optim_digest(const weft_optimizer *o, char *text, size_t size);
/* The rate of step number o->steps + 1. */
double weft__optim_rate(const weft_optimizer *o, int group);
/* Fixes the rates of that step. */
weft_status weft__optim_begin(weft_optimizer *o);
/* That step on the elements of a space that are this rank's own. */
weft_status weft__optim_update(weft_optimizer *o, weft__flat *flat);
/* Parts of it, pass.c: one more run in o->run; the update of runs that count from element `first`, of the parameter
 * `of` or of several, of which it is the first; the same for one run, with its copy where that comes at once. */
weft_status weft__optim_run(weft_optimizer *o, int64_t first, int64_t count);
weft_status weft__optim_pass(weft_optimizer *o, weft__flat *flat, const weft__segment *of,
                             int64_t first, const int64_t *run, size_t runs);
weft_status weft__optim_range(weft_optimizer *o, weft__flat *flat, const weft__segment *of,
                              int64_t first, int64_t count);
/* Whether the update draws random numbers, and whether there is a copy to be made. */
bool weft__optim_draws(const weft_optimizer *o, const weft__segment *s);
bool weft__optim_copies(const weft__flat *flat);
/* Moments, step count, the schedule's, and what the optimizer itself has. */
weft_status weft__optim_state(void *optimizer, weft_visitor *v);

/* Puts defaults in for zeros and WEFT_OFF, or the group's for the optimizer's; checks the ranges. */
weft_status weft__hypers_complete(const weft_optim_ops *ops, void *self);
/* Groups parameters: each segment learns its group. WEFT_ENOENT if a group takes none. */
weft_status weft__groups_settle(weft_optimizer *o);
void weft__groups_free(weft_optimizer *o);

/* The vector of an optimizer that searches: its memory at setup, its end, and its state. */
weft_status weft__vector_open(weft_optimizer *o);
void weft__vector_close(weft_optimizer *o);
/* g[n] = the gradient that the spaces hold. */
weft_status weft__vector_gradient(const weft_optimizer *o, weft_dev g);
#endif
