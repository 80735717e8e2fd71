/* y = x in another type. Its gradient is the gradient in x's type. */
#include "autograd/tape.h"

static weft_status shape(weft_op_call *c)
{
    c->out = c->in[0];
    c->out.dtype = *(weft_dtype *)c->attr;
    return WEFT_OK;
}

static weft_status forward(weft_op_call *c)
{
    weft__count_copy(c->fabric, &c->in[0]);
    return c->k->copy(c->stream, c->out.data, c->out.dtype, c->out.stride, c->in[0].data,
                      c->in[0].dtype, c->in[0].stride, c->in[0].rank, c->in[0].shape);
}

static weft_status backward(weft_op_call *c)
{
    return c->k->copy(c->stream, c->gin[0].data, c->gin[0].dtype, c->gin[0].stride, c->gout.data,
                      c->gout.dtype, c->gout.stride, c->gout.rank, c->gout.shape);
}

const weft_op weft__op_cast = {.size = sizeof(weft_op),
                               .name = "cast",
                               .attr_size = sizeof(weft_dtype),
                               .shape = shape,
                               .forward = forward,
                               .backward = backward,
                               .wide = 1};
