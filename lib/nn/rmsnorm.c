/* Root mean square normalisation of the last dimensions; weight starts as ones. */
#include "nn/module.h"

#include <weft/ops.h>

typedef struct rmsnorm {
    int dims;
    double eps;
    weft_tensor *weight;
} rmsnorm;

static weft_tensor *forward(weft_module *m, void *self, weft_tensor *x)
{
    const rmsnorm *r = self;
    (void)m;
    return weft_rmsnorm(x, r->dims, r->weight, r->eps);
}

static const weft_module_ops ops = {.size = sizeof ops, .name = "rmsnorm", .forward = forward};

weft_module *weft_nn_rmsnorm_with(weft_fabric *f, int rank, const int64_t *shape,
                                  const weft_rmsnorm_options *o)
{
    static const weft_rmsnorm_options none;
    o = o ? o : &none;
    bool good = shape && rank >= 1 && rank < WEFT_MAX_RANK && (o->eps >= 0 || o->eps == WEFT_OFF);
    for (int d = 0; d < rank && good; d++)
        good = shape[d] >= 1;
    if (!good) {
        weft_fail(f, WEFT_EARG,
                  "weft_nn_rmsnorm: %d dimensions, eps %g; 1 to %d with extents from 1 up, and eps "
                  "is not below 0",
                  rank, o->eps, WEFT_MAX_RANK - 1);
        return NULL;
    }
    weft_module *m =
        weft_module_new(f, &ops, &(rmsnorm){.dims = rank, .eps = o->eps}, sizeof(rmsnorm));
    rmsnorm *r = m ? weft_module_self(m) : NULL;
    if (r && !o->no_parameters &&
        !(r->weight = weft_module_param(m, "weight", rank, shape, WEFT_CONSTANT(1))))
        return NULL;
    return m;
}

weft_module *weft_nn_rmsnorm(weft_fabric *f, int64_t n)
{
    return weft_nn_rmsnorm_with(f, 1, &n, NULL);
}
