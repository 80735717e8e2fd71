/* The gated perceptron of transformers: down(silu(gate x) * (up x)). */
#include "nn/module.h"

#include <weft/ops.h>

enum { GATE, UP, DOWN };

static weft_tensor *forward(weft_module *m, void *self, weft_tensor *x)
{
    (void)self;
    weft_tensor *gate = weft_forward(m->child[GATE], x), *up = weft_forward(m->child[UP], x);
    return weft_forward(m->child[DOWN], weft_swiglu(gate, up));
}

static const weft_module_ops ops = {.size = sizeof ops, .name = "swiglu", .forward = forward};

weft_module *weft_nn_swiglu(weft_fabric *f, int64_t in, int64_t hidden, int64_t out)
{
    static const char *const name[] = {"gate_proj", "up_proj", "down_proj"};
    weft_module *m = weft_module_new(f, &ops, NULL, 0);
    for (int i = GATE; i <= DOWN && m; i++) {
        weft_module *part = i == DOWN ? weft_nn_linear_nobias(f, hidden, out)
                                      : weft_nn_linear_nobias(f, in, hidden);
        if (!weft_module_child(m, name[i], part))
            m = NULL;
    }
    return m;
}
