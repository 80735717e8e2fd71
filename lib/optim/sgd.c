/* Stochastic gradient descent with momentum; <weft/optim.h> has the formula. */
#include <math.h>
#include <weft/sys/optimizer.h>

typedef struct sgd {
    double momentum, dampening, weight_decay, nesterov, maximize;
} sgd;

static weft_status update(weft_stream *s, const weft_kernels *k, void *self,
                          const weft_optim_run *r, int64_t t, double lr)
{
    const sgd *o = self;
    const weft_sgd_step step = {.lr = lr,
                                .momentum = o->momentum,
                                .weight_decay = o->weight_decay,
                                .nesterov = o->nesterov != 0,
                                .first = t == 1,
                                .dampening = o->dampening,
                                .maximize = o->maximize != 0};
    return k->sgd(s, r->p, r->moment[0], r->g, r->by, r->unless, r->run, r->runs, &step, r->dtype);
}

static unsigned uses(const void *self)
{
    return ((const sgd *)self)->momentum != 0;
}

static const weft_hyper hyper[] = {{"momentum", offsetof(sgd, momentum), 0, 0, INFINITY},
                                   {"dampening", offsetof(sgd, dampening), 0, 0, INFINITY},
                                   {"weight_decay", offsetof(sgd, weight_decay), 0, 0, INFINITY},
                                   {"nesterov", offsetof(sgd, nesterov), 0, 0, 2},
                                   {"maximize", offsetof(sgd, maximize), 0, 0, 2}};

static const weft_optim_ops ops = {.size = sizeof ops,
                                   .name = "sgd",
                                   .moments = 1,
                                   .moment_name = {"momentum_buffer"},
                                   .update = update,
                                   .hyper = hyper,
                                   .hypers = 5,
                                   .uses = uses,
                                   .conditional = true,
                                   .cuts = true,
                                   .joins = true};

weft_optimizer *weft_sgd(weft_module *m, const weft_sgd_options *o)
{
    static const weft_sgd_options none;
    o = o ? o : &none;
    const sgd self = {.momentum = o->momentum,
                      .dampening = o->dampening,
                      .weight_decay = o->weight_decay,
                      .nesterov = o->nesterov,
                      .maximize = o->maximize};
    if (m && o->nesterov && (o->momentum == 0 || o->dampening != 0)) {
        weft_fail(weft_module_fabric(m), WEFT_EARG,
                  "sgd: momentum is %g and dampening %g; nesterov needs momentum and no dampening",
                  o->momentum, o->dampening);
        return NULL;
    }
    return weft_optimizer_new(m, &ops, &self, sizeof self, o->lr ? o->lr : 1e-3);
}
