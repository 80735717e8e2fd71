/* An optimizer of the user's own: one pass over flat memory, or a search that evaluates the loss. */
#ifndef WEFT_SYS_OPTIMIZER_H
#define WEFT_SYS_OPTIMIZER_H
#include <weft/optim.h>
#include <weft/sys/module.h>
#include <weft/sys/device.h>
WEFT_BEGIN

#define WEFT_OPTIM_MOMENTS 3

/* A run of parameters with everything that belongs to it, all of dtype and of n elements; where dtype
 * has 16 bits, that is p's alone, and gradient and moments are f32. */
typedef struct weft_optim_run {
    weft_dev p, g;
    weft_dev moment[WEFT_OPTIM_MOMENTS]; /* 0: one that is not used */
    int64_t n;
    /* Where among them: elements [run[2 i], run[2 i] + run[2 i + 1]); all n, unless the table joins. */
    const int64_t *run;
    int64_t runs;
    weft_dtype dtype;
    /* If the table needs whole tensors: the shape of the one that the run is, and its scratch memory. */
    int rank;
    const int64_t *shape;
    weft_dev scratch;
    /* For a table that cuts: g is to be multiplied by the f64 there; 0: it is as it should be. */
    weft_dev by;
    /* On a device that queues: an int64 there which, if it is not 0, says that gradients are not finite;
     * the host learns of it later. 0: it has looked. */
    weft_dev unless;
    /* For random numbers, where the table draws some: their key, and the number of the first element there, a
     * multiple of 32 that is the same on any number of ranks. */
    uint64_t seed, stream;
    int64_t number;
} weft_optim_run;

/* A hyperparameter: a double of self, also a flag (0 or 1). Zero in it means `standard`; if that is not zero, WEFT_OFF means
 * zero. Groups override it by its name, where weft_group_options has a member of that name. */
typedef struct weft_hyper {
    const char *name; /* "weight_decay" */
    size_t at;        /* its offset in self */
    double standard;
    double least, below; /* accepted are [least, below); below may be INFINITY */
} weft_hyper;

/* What an optimizer that searches works on: its parameters as one vector of n elements, which has
 * padding in it, where parameter and gradient stay 0. */
typedef struct weft_optim_vector weft_optim_vector;
struct weft_optim_vector {
    weft_device *device;
    weft_stream *stream;
    const weft_kernels *k;
    weft_dev p;
    int64_t n;
    /* Where among them: elements [run[2 i], run[2 i] + run[2 i + 1]); all n, unless the table joins. */
    const int64_t *run;
    int64_t runs;
    weft_dtype dtype;
    /* Runs the closure: *loss is that of all ranks together and g[n] its gradient, alike on all
     * ranks. @return 0; WEFT_SKIPPED: not finite, give up this step; or an error, alike on all
     * ranks. Collective. */
    weft_status (*evaluate)(const weft_optim_vector *x, double *loss, weft_dev g);
    /* Names `rows` vectors, one after the other at `at`, to a state visitor: saved without padding, in
     * the order of the parameters. */
    weft_status (*state)(const weft_optim_vector *x, weft_visitor *v, const char *name, weft_dev at,
                         int64_t rows);
    void *self; /* of whoever gave it */
};

typedef struct weft_optim_ops {
    size_t size;
    const char *name;
    int moments;                                 /* planes beside the parameters, zero at first */
    const char *moment_name[WEFT_OPTIM_MOMENTS]; /* in checkpoints, "exp_avg" */
    bool whole_tensors;                          /* runs must be whole parameters, one each */
    /* REQUIRED, unless there is search. Step t = 1, 2, ... with the scheduled rate lr on one run;
     * called for each run, or for the parts of one in their order; self is that of the run's group. */
    weft_status (*update)(weft_stream *s, const weft_kernels *k, void *self,
                          const weft_optim_run *run, int64_t t, double lr);
    /* OPTIONAL. State beyond the moments and the step count; self is the first group's. */
    weft_status (*state)(void *self, weft_visitor *v);
    /* OPTIONAL. Checked when the optimizer and its groups are made, and agreed on by all ranks. */
    const weft_hyper *hyper;
    int hypers;
    /* OPTIONAL, default all. Bit k: these hyperparameters use moment k. What no group uses gets no
     * memory. */
    unsigned (*uses)(const void *self);
    /* OPTIONAL, default 0. What moment k starts at. */
    double (*start)(const void *self, int k);
    /* OPTIONAL, instead of update: a step that evaluates the loss itself (weft_step_closure). It has
     * one group. On failure and on a skip it leaves the parameters as they were. Collective. */
    weft_status (*search)(void *self, const weft_optim_vector *x, int64_t t, double lr);
    /* OPTIONAL, of an optimizer that searches: its memory, at setup; its state, with the vectors;
     * and the end of it. */
    weft_status (*open)(void *self, const weft_optim_vector *x);
    weft_status (*vectors)(void *self, const weft_optim_vector *x, weft_visitor *v);
    void (*close)(void *self, const weft_optim_vector *x);
    /* OPTIONAL, of one that needs whole tensors: bytes of device memory that the update of such a
     * parameter works in, 64-byte aligned, what is in it left over from another. */
    size_t (*scratch)(const void *self, int rank, const int64_t *shape, weft_dtype dtype);
    /* update changes nothing where run->unless says so, which spares the host a wait in each step. */
    bool conditional;
    /* OPTIONAL, default never. Whether update draws random numbers: runs are numbered then, and shorter. */
    bool (*draws)(const void *self);
    /* update multiplies g by what is at run->by, if there is one, which spares clips by norm a pass. */
    bool cuts;
    /* update takes several runs of one group at once, which spares launches on a device that queues. */
    bool joins;
} weft_optim_ops;

/* An optimizer of the trainable parameters of m and all below it, with base rate lr; self is copied,
 * for every group once. @return NULL after an error: WEFT_EARG (an incomplete table, a rate not above
 * 0, a hyperparameter out of range), WEFT_ESTATE (an optimizer has some of them already). */
WEFT_API weft_optimizer *weft_optimizer_new(weft_module *m, const weft_optim_ops *ops,
                                            const void *self, size_t bytes, double lr);
WEFT_END
#endif
