/* y = alpha x. Gradient alpha g. */
#include "ops/ops.h"

static weft_status forward(weft_op_call *c)
{
    return c->k->scale(c->stream, c->out.data, *(double *)c->attr, c->in[0].data, c->out.numel,
                       c->out.dtype);
}

static weft_status backward(weft_op_call *c)
{
    return c->k->scale(c->stream, c->gin[0].data, *(double *)c->attr, c->gout.data, c->gout.numel,
                       c->gout.dtype);
}

static const weft_op op = {.size = sizeof op,
                           .name = "scale",
                           .cast = WEFT_CAST_PROMOTE,
                           .attr_size = sizeof(double),
                           .contiguous = 1,
                           .shape = weft__op_like,
                           .forward = forward,
                           .backward = backward};

weft_tensor *weft_scale(weft_tensor *x, double alpha)
{
    return weft__apply1(&op, x, &alpha);
}
