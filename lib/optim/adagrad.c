/* Adagrad; <weft/optim.h> has the formula. */
#include <math.h>
#include <weft/sys/optimizer.h>

typedef struct adagrad {
    double lr_decay, weight_decay, initial_accumulator_value, eps, maximize;
} adagrad;

static weft_status update(weft_stream *s, const weft_kernels *k, void *self,
                          const weft_optim_run *r, int64_t t, double lr)
{
    const adagrad *o = self;
    const weft_adagrad_step step = {.lr = lr / (1 + (double)(t - 1) * o->lr_decay),
                                    .eps = o->eps,
                                    .weight_decay = o->weight_decay,
                                    .maximize = o->maximize != 0};
    return k->adagrad(s, r->p, r->moment[0], r->g, r->by, r->unless, r->run, r->runs, &step,
                      r->dtype);
}

static double start(const void *self, int k)
{
    (void)k;
    return ((const adagrad *)self)->initial_accumulator_value;
}

static const weft_hyper hyper[] = {
    {"lr_decay", offsetof(adagrad, lr_decay), 0, 0, INFINITY},
    {"weight_decay", offsetof(adagrad, weight_decay), 0, 0, INFINITY},
    {"initial_accumulator_value", offsetof(adagrad, initial_accumulator_value), 0, 0, INFINITY},
    {"eps", offsetof(adagrad, eps), 1e-10, 0, INFINITY},
    {"maximize", offsetof(adagrad, maximize), 0, 0, 2}};

static const weft_optim_ops ops = {.size = sizeof ops,
                                   .name = "adagrad",
                                   .moments = 1,
                                   .moment_name = {"sum"},
                                   .update = update,
                                   .hyper = hyper,
                                   .hypers = 5,
                                   .start = start,
                                   .conditional = true,
                                   .cuts = true,
                                   .joins = true};

weft_optimizer *weft_adagrad(weft_module *m, const weft_adagrad_options *o)
{
    static const weft_adagrad_options none;
    o = o ? o : &none;
    const adagrad self = {.lr_decay = o->lr_decay,
                          .weight_decay = o->weight_decay,
                          .initial_accumulator_value = o->initial_accumulator_value,
                          .eps = o->eps,
                          .maximize = o->maximize};
    return weft_optimizer_new(m, &ops, &self, sizeof self, o->lr ? o->lr : 1e-2);
}
