/* Modules without parameters around one op of the same name. */
#include "nn/module.h"

#include <weft/ops.h>

/* Its forward and its maker; the table, named `name##_module`, stands between them. */
#define FORWARD(name)                                                                              \
    static weft_tensor *name##_forward(weft_module *m, void *self, weft_tensor *x)                 \
    {                                                                                              \
        (void)m, (void)self;                                                                       \
        return weft_##name(x);                                                                     \
    }
#define TABLE(op)                                                                                  \
    {                                                                                              \
        .size = sizeof(weft_module_ops), .name = #op, .forward = op##_forward                      \
    }
#define ACTIVATION(op)                                                                             \
    FORWARD(op)                                                                                    \
    static const weft_module_ops op##_module = TABLE(op);                                          \
    weft_module *weft_nn_##op(weft_fabric *f)                                                      \
    {                                                                                              \
        return weft_module_new(f, &op##_module, NULL, 0);                                          \
    }

FORWARD(relu)
const weft_module_ops weft__relu_module = TABLE(relu);

weft_module *weft_nn_relu(weft_fabric *f)
{
    return weft_module_new(f, &weft__relu_module, NULL, 0);
}

ACTIVATION(softmax)
ACTIVATION(log_softmax)
ACTIVATION(gelu)
ACTIVATION(gelu_tanh)
ACTIVATION(silu)
ACTIVATION(sigmoid)
ACTIVATION(tanh)
