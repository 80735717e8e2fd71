/* What the facade and strategies need of optimizers. */
#ifndef OPTIM_OPTIMIZER_H
#define OPTIM_OPTIMIZER_H
#include "nn/module.h"

#include <weft/sys/optimizer.h>

struct weft_optimizer {
    weft__object object; /* kind WEFT__OPTIM */
    const weft_optim_ops *ops;
    void *self;
    weft_module *module; /* a root */
    double lr;           /* base rate */
    int64_t steps;
    bool setup;
    bool used; /* a step was taken with the gradients that are there */
    int number;
    struct {
        bool on, cosine;
        int64_t warmup, total;
        double min_lr;
    } schedule;
};

/* Makes the planes of moments. */
weft_status weft__optim_setup(weft_optimizer *o);
/* Step number o->steps + 1 on elements [first, first + count) of a space, which are this rank's. */
weft_status weft__optim_update(weft_optimizer *o, weft__flat *flat, int64_t first, int64_t count);
/* Moments, step count, and what the optimizer itself has. */
weft_status weft__optim_state(void *optimizer, weft_visitor *v);
#endif
