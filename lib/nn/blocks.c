/* Modules without parameters of their own: dropout, identity, flatten, residual. */
#include "nn/module.h"

#include <weft/ops.h>

static weft_tensor *dropout(weft_module *m, void *self, weft_tensor *x)
{
    return weft_dropout(x, *(double *)self, weft_is_training(m));
}

static weft_tensor *identity(weft_module *m, void *self, weft_tensor *x)
{
    (void)m, (void)self;
    return x;
}

static weft_tensor *flatten(weft_module *m, void *self, weft_tensor *x)
{
    (void)m, (void)self;
    int64_t shape[2] = {x ? weft_dim(x, 0) : 0, 1};
    for (int d = 1; x && d < weft_rank_of(x); d++)
        shape[1] *= weft_dim(x, d);
    return weft_reshape(x, 2, shape);
}

static weft_tensor *residual(weft_module *m, void *self, weft_tensor *x)
{
    (void)self;
    return weft_add(x, weft_forward(m->child[0], x));
}

static const weft_module_ops dropout_module = {
    .size = sizeof(weft_module_ops), .name = "dropout", .forward = dropout};
static const weft_module_ops identity_module = {
    .size = sizeof(weft_module_ops), .name = "identity", .forward = identity};
static const weft_module_ops flatten_module = {
    .size = sizeof(weft_module_ops), .name = "flatten", .forward = flatten};
static const weft_module_ops residual_module = {
    .size = sizeof(weft_module_ops), .name = "residual", .forward = residual};

weft_module *weft_nn_dropout(weft_fabric *f, double p)
{
    if (p >= 0 && p <= 1)
        return weft_module_new(f, &dropout_module, &p, sizeof p);
    weft_fail(f, WEFT_EARG, "weft_nn_dropout: p %g is not in [0, 1]", p);
    return NULL;
}

weft_module *weft_nn_identity(weft_fabric *f)
{
    return weft_module_new(f, &identity_module, NULL, 0);
}

weft_module *weft_nn_flatten(weft_fabric *f)
{
    return weft_module_new(f, &flatten_module, NULL, 0);
}

weft_module *weft_nn_residual(weft_fabric *f, weft_module *body)
{
    weft_module *m = body ? weft_module_new(f, &residual_module, NULL, 0) : NULL;
    return weft_module_child(m, "body", body) ? m : NULL;
}
