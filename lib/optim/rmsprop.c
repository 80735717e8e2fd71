/* RMSprop; <weft/optim.h> has the formula. */
#include <math.h>
#include <weft/sys/optimizer.h>

typedef struct rmsprop {
    double alpha, eps, weight_decay, momentum, centered, maximize;
} rmsprop;

static weft_status update(weft_stream *s, const weft_kernels *k, void *self,
                          const weft_optim_run *r, int64_t t, double lr)
{
    const rmsprop *o = self;
    const weft_rmsprop_step step = {.lr = lr,
                                    .alpha = o->alpha,
                                    .eps = o->eps,
                                    .weight_decay = o->weight_decay,
                                    .momentum = o->momentum,
                                    .maximize = o->maximize != 0};
    (void)t;
    return k->rmsprop(s, r->p, r->moment[0], r->moment[1], r->moment[2], r->g, r->by, r->unless,
                      r->run, r->runs, &step, r->dtype);
}

static unsigned uses(const void *self)
{
    const rmsprop *o = self;
    return 1u | (o->momentum > 0) << 1 | (o->centered != 0) << 2;
}

static const weft_hyper hyper[] = {
    {"alpha", offsetof(rmsprop, alpha), 0.99, 0, INFINITY},
    {"eps", offsetof(rmsprop, eps), 1e-8, 0, INFINITY},
    {"weight_decay", offsetof(rmsprop, weight_decay), 0, 0, INFINITY},
    {"momentum", offsetof(rmsprop, momentum), 0, 0, INFINITY},
    {"centered", offsetof(rmsprop, centered), 0, 0, 2},
    {"maximize", offsetof(rmsprop, maximize), 0, 0, 2}};

static const weft_optim_ops ops = {.size = sizeof ops,
                                   .name = "rmsprop",
                                   .moments = 3,
                                   .moment_name = {"square_avg", "momentum_buffer", "grad_avg"},
                                   .update = update,
                                   .hyper = hyper,
                                   .hypers = 6,
                                   .uses = uses,
                                   .conditional = true,
                                   .cuts = true,
                                   .joins = true};

weft_optimizer *weft_rmsprop(weft_module *m, const weft_rmsprop_options *o)
{
    static const weft_rmsprop_options none;
    o = o ? o : &none;
    const rmsprop self = {.alpha = o->alpha,
                          .eps = o->eps,
                          .weight_decay = o->weight_decay,
                          .momentum = o->momentum,
                          .centered = o->centered,
                          .maximize = o->maximize};
    return weft_optimizer_new(m, &ops, &self, sizeof self, o->lr ? o->lr : 1e-2);
}
