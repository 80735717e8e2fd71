/* Stochastic gradient descent with momentum; <weft/optim.h> has the formula. */
#include <weft/sys/optimizer.h>

typedef struct sgd {
    weft_sgd_step step;
} sgd;

static weft_status update(weft_stream *s, const weft_kernels *k, void *self,
                          const weft_optim_run *r, int64_t t, double lr)
{
    weft_sgd_step step = ((sgd *)self)->step;
    step.lr = lr;
    step.first = t == 1;
    return k->sgd(s, r->p, r->moment[0], r->g, r->n, &step, r->dtype);
}

static const weft_optim_ops ops = {
    .size = sizeof ops, .name = "sgd", .moments = 1, .moment_name = {"momentum"}, .update = update};
static const weft_optim_ops plain = {.size = sizeof plain, .name = "sgd", .update = update};

weft_optimizer *weft_sgd(weft_module *m, const weft_sgd_options *o)
{
    sgd self = {{0}};
    if (o) {
        self.step.momentum = o->momentum;
        self.step.weight_decay = o->weight_decay;
        self.step.nesterov = o->nesterov;
    }
    if (m && (!(self.step.momentum >= 0) || !(self.step.weight_decay >= 0) ||
              (self.step.nesterov && self.step.momentum == 0))) {
        weft_fail(weft_module_fabric(m), WEFT_EARG,
                  "weft_sgd: momentum %g, weight_decay %g, nesterov %d; none may be below 0, and "
                  "nesterov needs momentum",
                  self.step.momentum, self.step.weight_decay, self.step.nesterov);
        return NULL;
    }
    return weft_optimizer_new(m, self.step.momentum != 0 ? &ops : &plain, &self, sizeof self,
                              o && o->lr ? o->lr : 1e-3);
}
