/* y = max(x, 0). Gradient g where y > 0, else 0. */
#include "ops/ops.h"

static weft_status forward(weft_op_call *c)
{
    return c->k->relu(c->stream, c->out.data, c->in[0].data, c->out.numel, c->out.dtype);
}

static weft_status backward(weft_op_call *c)
{
    return c->k->relu_back(c->stream, c->gin[0].data, c->out.data, c->gout.data, c->gout.numel,
                           c->gout.dtype);
}

static const weft_op op = {.size = sizeof op,
                           .name = "relu",
                           .cast = WEFT_CAST_PROMOTE,
                           .contiguous = 1,
                           .shape = weft__op_like,
                           .forward = forward,
                           .backward = backward};

weft_tensor *weft_relu(weft_tensor *x)
{
    return weft__apply1(&op, x, NULL);
}
