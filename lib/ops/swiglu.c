/* y = silu(a) b, elementwise; the formulas and the gradients are the kernel's. */
#include "ops/ops.h"

static weft_status shape(weft_op_call *c)
{
    char a[WEFT__SHAPE_TEXT], b[WEFT__SHAPE_TEXT];
    const weft_view *x = &c->in[0], *y = &c->in[1];
    WEFT_TRY(weft__op_float(c, 1));
    if (!weft__same_shape(x->rank, x->shape, y->rank, y->shape))
        return weft_op_fail(c, WEFT_ESHAPE, "%s and %s; both have the same shape",
                            weft__shape_text(x->rank, x->shape, a),
                            weft__shape_text(y->rank, y->shape, b));
    return weft__op_like(c);
}

static weft_status forward(weft_op_call *c)
{
    return c->k->swiglu(c->stream, c->out.data, c->in[0].data, c->in[1].data, c->out.numel,
                        c->out.dtype);
}

static weft_status backward(weft_op_call *c)
{
    const weft_dev none = {0};
    return c->k->swiglu_back(c->stream, c->want[0] ? c->gin[0].data : none,
                             c->want[1] ? c->gin[1].data : none, c->gout.data, c->in[0].data,
                             c->in[1].data, c->out.numel, c->out.dtype);
}

static const weft_op op = {.size = sizeof op,
                           .name = "swiglu",
                           .cast = WEFT_CAST_PROMOTE,
                           .contiguous = 1,
                           .shape = shape,
                           .forward = forward,
                           .backward = backward};

weft_tensor *weft_swiglu(weft_tensor *a, weft_tensor *b)
{
    return weft__apply2(&op, a, b);
}
