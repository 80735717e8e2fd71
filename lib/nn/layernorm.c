/* Layer normalisation of the last dimensions; weight starts as ones and bias as zeros. */
#include "nn/module.h"

#include <weft/ops.h>

typedef struct layernorm {
    int dims;
    double eps;
    weft_tensor *weight, *bias;
} layernorm;

static weft_tensor *forward(weft_module *m, void *self, weft_tensor *x)
{
    const layernorm *l = self;
    (void)m;
    return weft_layernorm(x, l->dims, l->weight, l->bias, l->eps);
}

static const weft_module_ops ops = {.size = sizeof ops, .name = "layernorm", .forward = forward};

static bool fits(int rank, const int64_t *shape, const weft_layernorm_options *o)
{
    bool good = shape && rank >= 1 && rank < WEFT_MAX_RANK && (o->eps >= 0 || o->eps == WEFT_OFF);
    for (int d = 0; d < rank && good; d++)
        good = shape[d] >= 1;
    return good;
}

weft_module *weft_nn_layernorm_with(weft_fabric *f, int rank, const int64_t *shape,
                                    const weft_layernorm_options *o)
{
    static const weft_layernorm_options none;
    o = o ? o : &none;
    if (!fits(rank, shape, o)) {
        weft_fail(f, WEFT_EARG,
                  "weft_nn_layernorm: %d dimensions, eps %g; 1 to %d with extents from 1 up, and "
                  "eps is not below 0",
                  rank, o->eps, WEFT_MAX_RANK - 1);
        return NULL;
    }
    weft_module *m =
        weft_module_new(f, &ops, &(layernorm){.dims = rank, .eps = o->eps}, sizeof(layernorm));
    layernorm *l = m ? weft_module_self(m) : NULL;
    bool bias = !o->no_parameters && !o->no_bias;
    if (!l)
        return NULL;
    if (!o->no_parameters)
        l->weight = weft_module_param(m, "weight", rank, shape, WEFT_CONSTANT(1));
    if (bias)
        l->bias = weft_module_param(m, "bias", rank, shape, WEFT_CONSTANT(0));
    return (l->weight || o->no_parameters) && (l->bias || !bias) ? m : NULL;
}

weft_module *weft_nn_layernorm(weft_fabric *f, int64_t n)
{
    return weft_nn_layernorm_with(f, 1, &n, NULL);
}
