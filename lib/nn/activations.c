/* Modules without parameters around one op. */
#include "nn/module.h"

#include <weft/ops.h>

static weft_tensor *relu(weft_module *m, void *self, weft_tensor *x)
{
    (void)m, (void)self;
    return weft_relu(x);
}

static weft_tensor *softmax(weft_module *m, void *self, weft_tensor *x)
{
    (void)m, (void)self;
    return weft_softmax(x);
}

const weft_module_ops weft__relu_module = {
    .size = sizeof(weft_module_ops), .name = "relu", .forward = relu};
static const weft_module_ops softmax_module = {
    .size = sizeof(weft_module_ops), .name = "softmax", .forward = softmax};

weft_module *weft_nn_relu(weft_fabric *f)
{
    return weft_module_new(f, &weft__relu_module, NULL, 0);
}

weft_module *weft_nn_softmax(weft_fabric *f)
{
    return weft_module_new(f, &softmax_module, NULL, 0);
}
