/* Adam and AdamW; <weft/optim.h> has the formula. */
#include <math.h>
#include <weft/sys/optimizer.h>

typedef struct adam {
    double beta1, beta2, eps, weight_decay, amsgrad, maximize, stochastic_rounding;
    bool decoupled;
} adam;

static bool draws(const void *self)
{
    return ((const adam *)self)->stochastic_rounding != 0;
}

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
                                 .correct2 = 1 - pow(a->beta2, (double)t),
                                 .decoupled = a->decoupled,
                                 .maximize = a->maximize != 0,
                                 .chance = draws(self),
                                 .seed = r->seed,
                                 .stream = r->stream,
                                 .t = (uint64_t)t,
                                 .number = r->number};
    return k->adam(s, r->p, r->moment[0], r->moment[1], r->moment[2], r->g, r->by, r->unless,
                   r->run, r->runs, &step, r->dtype);
}

static unsigned uses(const void *self)
{
    return ((const adam *)self)->amsgrad != 0 ? 7 : 3;
}

static const weft_hyper hyper[] = {
    {"beta1", offsetof(adam, beta1), 0.9, 0, 1},
    {"beta2", offsetof(adam, beta2), 0.999, 0, 1},
    {"eps", offsetof(adam, eps), 1e-8, 0, INFINITY},
    {"weight_decay", offsetof(adam, weight_decay), 0, 0, INFINITY},
    {"amsgrad", offsetof(adam, amsgrad), 0, 0, 2},
    {"maximize", offsetof(adam, maximize), 0, 0, 2},
    {"stochastic_rounding", offsetof(adam, stochastic_rounding), 0, 0, 2}};
#define TABLE(label)                                                                               \
    {                                                                                              \
        .size = sizeof(weft_optim_ops), .name = label, .moments = 3,                               \
        .moment_name = {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"}, .update = update,              \
        .hyper = hyper, .hypers = 7, .uses = uses, .conditional = true, .draws = draws,            \
        .cuts = true, .joins = true                                                                \
    }
static const weft_optim_ops plain = TABLE("adam"), decoupled = TABLE("adamw");

static weft_optimizer *make(weft_module *m, const weft_optim_ops *table, const weft_adam_options *o)
{
    static const weft_adam_options none;
    o = o ? o : &none;
    const adam self = {.beta1 = o->beta1,
                       .beta2 = o->beta2,
                       .eps = o->eps,
                       .weight_decay = o->weight_decay,
                       .amsgrad = o->amsgrad,
                       .maximize = o->maximize,
                       .stochastic_rounding = o->stochastic_rounding,
                       .decoupled = table == &decoupled};
    return weft_optimizer_new(m, table, &self, sizeof self, o->lr ? o->lr : 1e-3);
}

weft_optimizer *weft_adam(weft_module *m, const weft_adam_options *o)
{
    return make(m, &plain, o);
}

weft_optimizer *weft_adamw(weft_module *m, const weft_adam_options *o)
{
    weft_adam_options mine = {0};
    mine = o ? *o : mine;
    if (mine.weight_decay == 0 || mine.weight_decay == WEFT_OFF)
        mine.weight_decay = mine.weight_decay == 0 ? 1e-2 : 0;
    return make(m, &decoupled, &mine);
}
