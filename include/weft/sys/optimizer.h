/* An optimizer of the user's own: one pass over flat memory. */
#ifndef WEFT_SYS_OPTIMIZER_H
#define WEFT_SYS_OPTIMIZER_H
#include <weft/optim.h>
#include <weft/sys/module.h>
#include <weft/sys/device.h>
WEFT_BEGIN

#define WEFT_OPTIM_MOMENTS 2

/* A run of parameters with everything that belongs to it, all of dtype and of n elements. */
typedef struct weft_optim_run {
    weft_dev p, g;
    weft_dev moment[WEFT_OPTIM_MOMENTS];
    int64_t n;
    weft_dtype dtype;
} weft_optim_run;

typedef struct weft_optim_ops {
    size_t size;
    const char *name;
    int moments;                                 /* planes beside the parameters, zero at first */
    const char *moment_name[WEFT_OPTIM_MOMENTS]; /* in checkpoints, "exp_avg" */
    bool whole_tensors;                          /* runs must be whole parameters */
    /* REQUIRED. Step t = 1, 2, ... with the scheduled rate lr on one run; called once a run. */
    weft_status (*update)(weft_stream *s, const weft_kernels *k, void *self,
                          const weft_optim_run *run, int64_t t, double lr);
    /* OPTIONAL. State beyond the moments and the step count. */
    weft_status (*state)(void *self, weft_visitor *v);
} weft_optim_ops;

/* An optimizer of m's trainable parameters with base rate lr; self is copied. @return NULL after an
 * error: WEFT_EARG (an incomplete table, a rate not above 0), WEFT_ENOTSUP (m is part of another),
 * WEFT_ESTATE (m has one already). */
WEFT_API weft_optimizer *weft_optimizer_new(weft_module *m, const weft_optim_ops *ops,
                                            const void *self, size_t bytes, double lr);
WEFT_END
#endif
