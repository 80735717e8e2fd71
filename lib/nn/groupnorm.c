/* Group and instance normalisation; weight starts as ones and bias as zeros. */
#include "nn/module.h"

#include <weft/ops.h>

typedef struct groupnorm {
    int64_t groups;
    double eps;
    weft_tensor *weight, *bias;
} groupnorm;

static weft_tensor *forward(weft_module *m, void *self, weft_tensor *x)
{
    const groupnorm *g = self;
    (void)m;
    return weft_groupnorm(x, g->groups, g->weight, g->bias, g->eps);
}

static const weft_module_ops ops = {.size = sizeof ops, .name = "groupnorm", .forward = forward};

weft_module *weft_nn_groupnorm_with(weft_fabric *f, int64_t groups, int64_t n,
                                    const weft_groupnorm_options *o)
{
    static const weft_groupnorm_options none;
    o = o ? o : &none;
    if (groups < 1 || n < 1 || n % groups || !(o->eps >= 0 || o->eps == WEFT_OFF)) {
        weft_fail(
            f, WEFT_EARG,
            "weft_nn_groupnorm: %lld channels in %lld groups, eps %g; channels are a multiple "
            "of groups, and eps is not below 0",
            (long long)n, (long long)groups, o->eps);
        return NULL;
    }
    const groupnorm self = {.groups = groups, .eps = o->eps};
    weft_module *m = weft_module_new(f, &ops, &self, sizeof self);
    groupnorm *g = m ? weft_module_self(m) : NULL;
    if (!g || o->no_parameters)
        return m;
    g->weight = weft_module_param(m, "weight", 1, &n, WEFT_CONSTANT(1));
    g->bias = weft_module_param(m, "bias", 1, &n, WEFT_CONSTANT(0));
    return g->weight && g->bias ? m : NULL;
}

weft_module *weft_nn_groupnorm(weft_fabric *f, int64_t groups, int64_t n)
{
    return weft_nn_groupnorm_with(f, groups, n, NULL);
}

weft_module *weft_nn_instancenorm(weft_fabric *f, int64_t n)
{
    const weft_groupnorm_options o = {.no_parameters = true};
    return weft_nn_groupnorm_with(f, n, n, &o);
}
