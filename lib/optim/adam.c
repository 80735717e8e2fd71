/* Adam; <weft/optim.h> has the formula. */
#include <math.h>
#include <weft/sys/optimizer.h>

typedef struct adam {
    double beta1, beta2, eps, weight_decay;
} adam;

static weft_status update(weft_stream *s, const weft_kernels *k, void *self,
                          const weft_optim_run *r, int64_t t, double lr)
{
    const adam *a = self;
    const weft_adam_step step = {.lr = lr,
                                 .beta1 = a->beta1,
                                 .beta2 = a->beta2,
                                 .eps = a->eps,
                                 .weight_decay = a->weight_decay,
                                 .correct1 = 1 - pow(a->beta1, (double)t),
                                 .correct2 = 1 - pow(a->beta2, (double)t)};
    return k->adam(s, r->p, r->moment[0], r->moment[1], r->g, r->n, &step, r->dtype);
}

static const weft_optim_ops ops = {.size = sizeof ops,
                                   .name = "adam",
                                   .moments = 2,
                                   .moment_name = {"exp_avg", "exp_avg_sq"},
                                   .update = update};

/* Zero means the default, WEFT_OFF means zero. */
static double option(double given, double otherwise)
{
    return given == 0 ? otherwise : given == WEFT_OFF ? 0 : given;
}

weft_optimizer *weft_adam(weft_module *m, const weft_adam_options *o)
{
    static const weft_adam_options none;
    o = o ? o : &none;
    adam self = {.beta1 = option(o->beta1, 0.9),
                 .beta2 = option(o->beta2, 0.999),
                 .eps = option(o->eps, 1e-8),
                 .weight_decay = o->weight_decay};
    if (m && !(self.beta1 >= 0 && self.beta1 < 1 && self.beta2 >= 0 && self.beta2 < 1 &&
               self.eps >= 0 && self.weight_decay >= 0)) {
        weft_fail(
            weft_module_fabric(m), WEFT_EARG,
            "weft_adam: beta1 %g, beta2 %g, eps %g, weight_decay %g; betas are in [0, 1), the "
            "others not below 0",
            self.beta1, self.beta2, self.eps, self.weight_decay);
        return NULL;
    }
    return weft_optimizer_new(m, &ops, &self, sizeof self, o->lr ? o->lr : 1e-3);
}
