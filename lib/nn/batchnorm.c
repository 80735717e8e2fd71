/* Batch normalisation; running statistics are buffers. A synchronised one meets the other ranks in each
 * training forward: also where it cannot compute, with no rows. */
#include "nn/module.h"
#include "ops/ops.h"

typedef struct batchnorm {
    int64_t n;
    double eps, momentum;
    bool sync;
    weft_tensor *weight, *bias, *mean, *var, *batches;
} batchnorm;

static bool fits(weft_module *m, const batchnorm *b, weft_tensor *x)
{
    if (!x || weft_rank_of(x) < 2 || weft_dim(x, 1) == b->n)
        return true; /* of others the op tells */
    weft_fail(m->object.fabric, WEFT_ESHAPE, "batchnorm: %lld channels, not %lld",
              (long long)weft_dim(x, 1), (long long)b->n);
    return false;
}

/* Statistics of all ranks are gathered once: a forward that runs again would have to gather them in the
 * midst of backward. */
static bool can_meet(const weft_module *m)
{
    const weft__tape *t = m->object.fabric->tape;
    if (!t->folds && !t->replays)
        return true;
    weft_fail(m->object.fabric, WEFT_ENOTSUP,
              "batchnorm: it is synchronised and part of a module under weft_recompute; recompute "
              "the modules around it, or use it without .sync");
    return false;
}

static weft_tensor *forward(weft_module *m, void *self, weft_tensor *x)
{
    const batchnorm *b = self;
    const weft__tape *tape = m->object.fabric->tape;
    const bool training = weft_is_training(m), first = !weft_is_recomputing(m);
    const bool together = training && b->sync && weft__module_root(m)->setup && tape->hooks.gather;
    weft_running running = {.momentum = b->momentum, .evaluate = !training && b->mean};
    const uint64_t met = tape->met;
    weft_tensor *y = NULL;
    if (b->mean && (running.evaluate || first)) {
        running.mean = b->mean;
        running.var = b->var;
        running.batches = b->batches;
    }
    if (fits(m, b, x) && (!together || can_meet(m)))
        y = weft__batchnorm(x, b->weight, b->bias, b->eps, &running, together);
    if (!together || tape->met != met)
        return y;
    const weft_status s = weft__batchnorm_absent(m->object.fabric, b->n);
    if (s < 0 && !weft__stuck(m->object.fabric))
        weft__stick(m->object.fabric, s);
    return NULL;
}

static const weft_module_ops ops = {.size = sizeof ops, .name = "batchnorm", .forward = forward};

static bool good(int64_t n, const weft_batchnorm_options *o)
{
    return n >= 1 && (o->eps >= 0 || o->eps == WEFT_OFF) &&
           ((o->momentum >= 0 && o->momentum <= 1) || o->momentum == WEFT_OFF);
}

static void synchronise(weft_module *m)
{
    batchnorm *b = weft_module_self(m);
    b->sync = true;
    m->meets = 1 + 2 * b->n;
}

static bool has_all(const batchnorm *b, const weft_batchnorm_options *o)
{
    return (o->no_parameters || (b->weight && b->bias)) &&
           (o->no_statistics || (b->mean && b->var && b->batches));
}

weft_module *weft_nn_batchnorm_with(weft_fabric *f, int64_t n, const weft_batchnorm_options *o)
{
    static const weft_batchnorm_options none;
    o = o ? o : &none;
    if (!good(n, o)) {
        weft_fail(
            f, WEFT_EARG,
            "weft_nn_batchnorm: %lld channels, eps %g, momentum %g; there is a channel, eps is "
            "not below 0, momentum in (0, 1] or off",
            (long long)n, o->eps, o->momentum);
        return NULL;
    }
    const batchnorm self = {.n = n, .eps = o->eps, .momentum = o->momentum};
    weft_module *m = weft_module_new(f, &ops, &self, sizeof self);
    batchnorm *b = m ? weft_module_self(m) : NULL;
    if (!b)
        return NULL;
    if (!o->no_parameters) {
        b->weight = weft_module_param(m, "weight", 1, &n, WEFT_CONSTANT(1));
        b->bias = weft_module_param(m, "bias", 1, &n, WEFT_CONSTANT(0));
    }
    if (!o->no_statistics) {
        b->mean = weft_module_buffer(m, "running_mean", 1, &n, WEFT_CONSTANT(0));
        b->var = weft_module_buffer(m, "running_var", 1, &n, WEFT_CONSTANT(1));
        b->batches = weft_module_buffer(m, "num_batches_tracked", 0, NULL, WEFT_CONSTANT(0));
    }
    if (o->sync)
        synchronise(m);
    return has_all(b, o) ? m : NULL;
}

weft_module *weft_nn_batchnorm(weft_fabric *f, int64_t n)
{
    return weft_nn_batchnorm_with(f, n, NULL);
}

static void convert(weft_module *m)
{
    if (m->ops == &ops)
        synchronise(m);
    for (size_t i = 0; i < m->children; i++)
        convert(m->child[i]);
}

weft_status weft_nn_sync_batchnorm(weft_module *m)
{
    if (!m)
        return WEFT_EARG;
    if (weft__module_root(m)->all)
        return weft__stick(m->object.fabric,
                           weft__fail(WEFT_ESTATE, "weft_nn_sync_batchnorm: the module has its "
                                                   "memory already; call it before weft_setup"));
    convert(m);
    return WEFT_OK;
}
