/* Modules without parameters around one op of the same name. */
#include "core/env.h"
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

/* With a table that others see. */
#define FUSED(op)                                                                                  \
    FORWARD(op)                                                                                    \
    const weft_module_ops weft__##op##_module = TABLE(op);                                         \
    weft_module *weft_nn_##op(weft_fabric *f)                                                      \
    {                                                                                              \
        return weft_module_new(f, &weft__##op##_module, NULL, 0);                                  \
    }

FUSED(relu)
FUSED(gelu_tanh)

ACTIVATION(softmax)
ACTIVATION(log_softmax)
ACTIVATION(gelu)
ACTIVATION(silu)
ACTIVATION(sigmoid)
ACTIVATION(tanh)

static const struct {
    const char *name;
    weft_module *(*make)(weft_fabric *f);
} table[] = {{"relu", weft_nn_relu},           {"gelu", weft_nn_gelu},
             {"gelu_tanh", weft_nn_gelu_tanh}, {"silu", weft_nn_silu},
             {"sigmoid", weft_nn_sigmoid},     {"tanh", weft_nn_tanh},
             {"softmax", weft_nn_softmax},     {"log_softmax", weft_nn_log_softmax},
             {"identity", weft_nn_identity}};

#define ROWS ((int)(sizeof table / sizeof table[0]))

static int find(const char *name)
{
    const char *word[ROWS];
    for (int i = 0; i < ROWS; i++)
        word[i] = table[i].name;
    return weft__parse_choice("activation", name ? name : "", word, ROWS);
}

weft_status weft__activation_known(const char *name)
{
    return find(name) < 0 ? WEFT_EARG : WEFT_OK;
}

weft_module *weft_nn_activation(weft_fabric *f, const char *name)
{
    const int i = find(name);
    if (i < 0)
        weft__stick(f, WEFT_EARG);
    return i < 0 ? NULL : table[i].make(f);
}
