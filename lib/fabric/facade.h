/* The facade's own part of a fabric. */
#ifndef FABRIC_FACADE_H
#define FABRIC_FACADE_H
#include "checkpoint/checkpoint.h"
#include "core/context.h"
#include "environ/environ.h"
#include "fabric/options.h"
#include "precision/scaler.h"
#include "strategy/strategy.h"

#include <pthread.h>
#include <weft/checkpoint.h>
#include <weft/fabric.h>

/* A variable of the user's that is part of every checkpoint. */
typedef struct weft__tracked {
    char *name;
    void *values;
    int64_t n;
    weft_dtype dtype;
} weft__tracked;

typedef struct weft__metrics weft__metrics; /* metrics.c */

#define WEFT__EVERY 8 /* distinct n of weft_every that are remembered */

typedef enum weft__nonfinite {
    WEFT__FINITE_OR_ERROR,
    WEFT__FINITE_OR_SKIP,
    WEFT__FINITE_OR_GO
} weft__nonfinite;

#define WEFT__LEVELS 12 /* of the tree of reproducible mode: it has at most 2^11 leaves */

/* The micro-batches of a step: accumulate.c. */
typedef struct weft__window {
    int64_t size;   /* micro-batches a step; 0: as 1 */
    int64_t taken;  /* those that the open window holds already */
    int64_t unused; /* batches before the one at hand whose gradients no step has used */
    bool ran;       /* weft_backward was called for the one at hand, */
    bool begun;     /* with a loss, which weighs so much on this rank */
    double weight;
    weft__reduction kind;     /* of the window's losses */
    double unit, mine, total; /* what seeds were divided by; what this rank's losses weigh; rows */
    bool asks;                /* only the ranks together know what the losses weigh */
    double folded[WEFT__LEVELS]; /* in reproducible mode: mine, of the leaves so far */
} weft__window;

typedef struct weft__facade weft__facade;
struct weft__facade {
    weft__settings settings;
    weft__environ environ;
    weft__nonfinite nonfinite;
    const char *precision;
    weft__strategy *strategy;
    int64_t *counts;       /* room for two numbers of each rank */
    weft__devices devices; /* that ranks may use; n is 0 where the cpu has none */
    bool whole;            /* all ranks opened: from here on they call collectives alike */
    bool mpi;              /* weft__mpi_enter succeeded */
    bool is_world;         /* opened on all ranks of the job */
    int exit_status;       /* of a relaunching parent's children; -1: this is no such parent */

    weft_loader *loader;     /* whose weft_next is the edge; the first for training */
    int modules, optimizers; /* that were set up */
    weft_status agreed;      /* the error that all ranks know of */
    bool told;               /* of a step that was skipped, which no weft_step has said yet */
    bool skip;               /* the last backward's gradients are to be skipped */
    bool differentiated;     /* weft_backward was called since the edge */
    bool astray;             /* a step failed here: others may have other parameters now */
    bool window;             /* there are gradients that no weft_step has used yet */
    bool held;               /* the last backward summed nothing over ranks */
    bool postponed;          /* a save waits for the end of the window */
    weft__window micro;
    weft__scaler scaler;
    uint64_t did;            /* a digest of calls of weft_clip_gradients and weft_zero_grad */
    bool first, first_local; /* inside weft_rank_zero_first_begin/end */
    struct {
        int64_t n, step;
    } every[WEFT__EVERY];

    weft__metrics *metrics;
    double spent[WEFT__PARTS]; /* at the last weft_timing_take */
    int64_t steps_taken;       /* likewise */

    weft__checkpoint checkpoint;
    char *run;          /* what weft_resume named */
    char later[4096];   /* what the postponed save named; empty: something unfit */
    int64_t saved_step; /* the newest under run, or loaded */
    int64_t loaded_step;
    weft__tracked *tracked;
    size_t ntracked, tracked_room;
    bool said_synchronous;
    double wall_before; /* seconds of earlier runs, from the checkpoint */
    double opened;
    pthread_mutex_t inferring; /* whose turn it is in weft_infer */
};

/* weft_open on the communicator with that Fortran handle. */
weft_status weft__open_fortran(weft_fabric **f, int fortran_comm, const weft_open_options *o);

/* Reads which devices were asked for. *ranks: processes a node, 0 for "auto". */
weft_status weft__devices_wanted(weft_fabric *f, int *ranks);
/* Opens this rank's device, and its stream. */
weft_status weft__devices_open(weft_fabric *f);
/* True if weft_open succeeded on all ranks; else an error sticks. */
bool weft__opened(weft_fabric *f);
/* After a backward that summed: what comes of gradients that are not finite, WEFT_ENONFINITE or p->skip. Collective;
 * on one rank of a device that queues it comes late: weft__judge_late is the engine's gate, told of edges. */
weft_status weft__judge_values(weft_fabric *f, weft_tensor *loss);
weft_status weft__judge_late(weft_fabric *f, const int64_t word[2], int64_t step, bool sent);
void weft__judge_edge(weft_fabric *f);
/* Makes what sticks on any rank stick on all, alike. @return it, or 0. Collective. */
weft_status weft__agree_on_errors(weft_fabric *f);
/* Whether the micro-batch at hand is not the last of its window. */
bool weft__window_holds(const weft_fabric *f);
/* A backward begins: spaces inside weft_no_backward_sync or an open window are held. @return whether
 * any is summed over ranks. */
bool weft__window_open(weft_fabric *f);
/* Whether micro-batches are joined into steps: weft_accumulate with more than one. */
bool weft__in_window(const weft_fabric *f);
/* Differentiates a loss as a part of its window; asks: this rank alone knows that it must be weighed
 * over ranks. */
weft_status weft__window_backward(weft_fabric *f, weft_tensor *loss, const weft__tensor *t,
                                  bool asks);
/* Reproducible mode, where option `reproducible` asks for it: leaves.c. */
weft_status weft__leaves_open(weft_fabric *f);
weft_status weft__leaves_setup(weft_fabric *f, weft__flat *flat);
/* Around the differentiation of a leaf; what they do is local. end: the last leaf's gradients are
 * those of this rank's subtree, to be summed over ranks. */
weft_status weft__leaves_begin(weft_fabric *f);
weft_status weft__leaves_end(weft_fabric *f);
/* The same for one number: the sum of the leaves up to k that value, of leaf k, completes. */
double weft__leaves_fold(double *level, int64_t k, double value);
/* The window's last backward has summed: makes it the mean over the rows that there were. */
weft_status weft__window_close(weft_fabric *f);
/* The next micro-batch comes. */
void weft__window_edge(weft_fabric *f);
/* Batches whose gradients no step will use if the run ends here. */
int64_t weft__window_unused(const weft_fabric *f);
/* What the window held is worth nothing any more. */
void weft__window_forget(weft_fabric *f);
/* Whether a backward has reached the optimizer's parameters since weft_zero_grad. */
bool weft__has_gradients(const weft_optimizer *o);
/* Whether some of o's gradients are not summed over ranks yet, and whether they are part of an open
 * window that weft_zero_grad must not end. */
bool weft__window_has(const weft_optimizer *o);
bool weft__window_keeps(const weft_optimizer *o);
/* Where the ranks meet before a collective of the user's: 0 if none brings an error (mine, or one that
 * sticks) and text is the same on all; else that error, or WEFT_ECONFIG naming what differs, which
 * then sticks on all. One small message where all is well. Collective. */
weft_status weft__meet(weft_fabric *f, weft_status mine, const char *what, const char *text);
/* The second half of it: text is compared, not its digest. */
weft_status weft__agree_on(weft_fabric *f, const char *what, const char *text);
/* x packed, in memory that the communicator reaches; 0 and nothing where an error sticks. */
weft_status weft__reach(weft_fabric *f, const char *call, weft_tensor *x, weft_view *v);
/* WEFT_ESTATE, naming the call, unless o's gradients are there and summed over ranks. */
weft_status weft__gradients_ready(const weft_optimizer *o, const char *call);
/* Memory at o->norm; finds the squares' sum there. */
weft_status weft__measure_room(weft_optimizer *o);
weft_status weft__measure_squares(weft_optimizer *o);
/* Visits this rank's part of every gradient of an optimizer. */
typedef weft_status weft__visit_gradient(const void *self, weft_dev g, int64_t n, weft_dtype dtype);
weft_status weft__each_gradient(const weft_optimizer *o, weft__visit_gradient *visit,
                                const void *self);
/* Starts the loss scale that the options ask for; WEFT_EARG where they do not fit the precision. */
weft_status weft__scale_read(weft__facade *p);
/* Divides o's gradients by the scale, once. @return 0; WEFT_SKIPPED: they are not finite, on all ranks
 * alike; or an error. Collective under strategies that shard. */
weft_status weft__unscale(weft_optimizer *o);
/* A backward begins: what was divided and is added to is multiplied again. */
weft_status weft__scale_again(weft_fabric *f);
/* The step's edge: the scale changes, and with it gradients that wait for a later step. */
weft_status weft__scale_edge(weft_fabric *f);
/* Gradients are worth nothing any more. */
void weft__scale_forget(weft_fabric *f);
weft_status weft__scale_state(void *fabric, weft_visitor *v);
/* What becomes of a step whose gradients are not finite: WEFT_SKIPPED, or an error. */
weft_status weft__scale_skips(const weft_optimizer *o, int64_t step);

/* scale_late.c: a scale that is the device's. Its steps are of this optimizer; NULL: the host has the scale. */
weft_optimizer *weft__scale_decided(const weft_fabric *f);
/* Waits until the host knows of all steps. */
weft_status weft__scale_catch_up(const weft_fabric *f);
/* The same, and from here on the scale is the host's. */
weft_status weft__scale_take_back(weft_fabric *f);
/* Differentiates the loss, multiplied by seed and the scale. */
weft_status weft__scaled_backward(weft_fabric *f, weft_tensor *loss, double seed);
/* weft__unscale: gradients are multiplied where they are read next, by what lies there. */
weft_status weft__unscale_late(weft_optimizer *o);
weft_dev weft__scale_inverse(const weft_optimizer *o);
/* Gradients with such a norm are not finite, either, if it is not. */
weft_status weft__scale_doubt(weft_optimizer *o, weft_dev norm);
/* The update, unless the device forbids it. */
weft_status weft__update_late(weft_optimizer *o);
/* What became of the oldest step that the host does not know of. */
weft_status weft__scale_told(weft_fabric *f, bool skipped, int64_t step);
weft_status weft__scale_late_edge(weft_optimizer *o);
/* What was done to gradients, in a few bytes: clipped, zeroed. */
void weft__alike_did(weft_fabric *f, const void *what, size_t bytes);
/* A number that is the same on ranks that have done alike. */
uint32_t weft__alike_token(const weft_fabric *f, weft_tensor *loss);
/* They have not: it sticks, naming how they differ. Collective. */
weft_status weft__alike_differ(weft_fabric *f, weft_tensor *loss);
weft_status weft__metrics_open(weft_fabric *f);
void weft__metrics_close(weft_fabric *f);
/* Combines what was logged since the last flush over ranks and hands it to the loggers. Collective,
 * when due or forced. */
weft_status weft__metrics_flush(weft_fabric *f, bool force);
/* Shows the loggers where the run stands. */
void weft__metrics_progress(weft_fabric *f);
void weft__metrics_resume(weft_fabric *f);
/* Tells the loggers that nothing more comes. */
void weft__metrics_finish(weft_fabric *f);

/* Says what this rank's memory was at most, to those who debug. */
void weft__memory_say(const weft_fabric *f);

/* Brings rank 0's buffers of a module, or of all that were set up (NULL), to the others. Collective. */
weft_status weft__buffers_spread(weft_fabric *f, const weft_module *m);

/* Everything that has state, by name. */
weft_status weft__fabric_state(void *fabric, weft_visitor *v);
/* The save that waited for the end of the accumulation window, if any. Collective. */
void weft__late_save(weft_fabric *f);
/* What weft_close saves: a save that still waits, and the final one. Collective. */
weft_status weft__final_save(weft_fabric *f);
void weft__tracked_free(weft_fabric *f);
#endif
