/* y = W * x + b over windows of images. PyTorch's initialisation: kaiming_uniform with a = sqrt(5) is
 * +-1/sqrt(fan_in) for the weight, and the bias is drawn from the same interval. */
#include "nn/module.h"
#include "ops/window.h"

#include <math.h>

typedef struct conv {
    weft_tensor *weight, *bias;
    weft_conv_options options;
} conv;

static weft_tensor *forward(weft_module *m, void *self, weft_tensor *x)
{
    const conv *l = self;
    (void)m;
    return weft_conv2d(x, l->weight, l->bias, &l->options);
}

static const weft_module_ops ops = {.size = sizeof ops, .name = "conv2d", .forward = forward};

/* The weight's shape; false and a message if there is none such. */
static bool measure(weft_fabric *f, int64_t in, int64_t out, int64_t kernel,
                    const weft_conv_options *o, int64_t shape[4])
{
    weft__conv read;
    if (weft__conv_read("weft_nn_conv2d", o, &read)) {
        weft__stick(f, WEFT_EARG);
        return false;
    }
    if (in >= 1 && out >= 1 && in % read.groups == 0 && out % read.groups == 0 &&
        weft__window_pair(kernel, o->kernel_w, 0, 1, shape + 2)) {
        shape[0] = out;
        shape[1] = in / read.groups;
        return true;
    }
    weft_fail(
        f, WEFT_EARG,
        "weft_nn_conv2d: %lld channels to %lld, kernel %lld, %lld, %lld groups; all are from 1 up, "
        "and groups divide both numbers of channels",
        (long long)in, (long long)out, (long long)kernel, (long long)o->kernel_w,
        (long long)read.groups);
    return false;
}

weft_module *weft_nn_conv2d(weft_fabric *f, int64_t in, int64_t out, int64_t kernel,
                            const weft_conv_options *o)
{
    static const weft_conv_options none;
    int64_t shape[4];
    o = o ? o : &none;
    if (!f || !measure(f, in, out, kernel, o, shape))
        return NULL;
    const double bound = 1 / sqrt((double)shape[1] * (double)shape[2] * (double)shape[3]);
    weft_module *m = weft_module_new(f, &ops, &(conv){.options = *o}, sizeof(conv));
    conv *l = m ? weft_module_self(m) : NULL;
    if (!l)
        return NULL;
    l->weight = weft_module_param(m, "weight", 4, shape, WEFT_UNIFORM(-bound, bound));
    if (!o->no_bias)
        l->bias = weft_module_param(m, "bias", 1, shape, WEFT_UNIFORM(-bound, bound));
    return l->weight && (l->bias || o->no_bias) ? m : NULL;
}
