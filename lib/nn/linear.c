/* y = x W^T + b. PyTorch's initialisation: kaiming_uniform with a = sqrt(5) is +-1/sqrt(in) for the
 * weight, and the bias is drawn from the same interval. */
#include <math.h>
#include <weft/ops.h>
#include <weft/sys/module.h>

#include "nn/module.h"

typedef struct linear {
    weft_tensor *weight, *bias;
} linear;

static weft_tensor *forward(weft_module *m, void *self, weft_tensor *x)
{
    const linear *l = self;
    (void)m;
    return weft_linear(x, l->weight, l->bias);
}

/* With an activation behind it, both at once. */
static weft_tensor *fused(weft_module *m, void *self, weft_tensor *x, weft_module *next)
{
    const linear *l = self;
    (void)m;
    return next->ops == &weft__relu_module        ? weft_linear_relu(x, l->weight, l->bias)
           : next->ops == &weft__gelu_tanh_module ? weft_linear_gelu_tanh(x, l->weight, l->bias)
                                                  : NULL;
}

static const weft_module_ops ops = {
    .size = sizeof ops, .name = "linear", .forward = forward, .fused = fused};

static weft_module *make(weft_fabric *f, int64_t in, int64_t out, bool bias)
{
    const int64_t shape[2] = {out, in};
    if (in < 1 || out < 1) {
        weft_fail(f, WEFT_EARG, "weft_nn_linear: %lld inputs, %lld outputs; both are at least 1",
                  (long long)in, (long long)out);
        return NULL;
    }
    double bound = 1 / sqrt((double)in);
    weft_module *m = weft_module_new(f, &ops, &(linear){0}, sizeof(linear));
    linear *l = m ? weft_module_self(m) : NULL;
    if (!l)
        return NULL;
    l->weight = weft_module_param(m, "weight", 2, shape, WEFT_UNIFORM(-bound, bound));
    l->bias = bias ? weft_module_param(m, "bias", 1, shape, WEFT_UNIFORM(-bound, bound)) : NULL;
    return l->weight && (l->bias || !bias) ? m : NULL;
}

weft_module *weft_nn_linear(weft_fabric *f, int64_t in, int64_t out)
{
    return make(f, in, out, true);
}

weft_module *weft_nn_linear_nobias(weft_fabric *f, int64_t in, int64_t out)
{
    return make(f, in, out, false);
}
