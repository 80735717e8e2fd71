/* y_i = exp(x_i - max x) / sum_j exp(x_j - max x) over the last dimension, or its logarithm.
 * Gradient (g - sum_j g_j y_j) y, or g - exp(y) sum_j g_j. */
#include "ops/ops.h"

static weft_status shape(weft_op_call *c)
{
    if (c->in[0].rank < 1)
        return weft_op_fail(c, WEFT_ESHAPE, "a tensor without dimensions has no rows");
    return weft__op_like(c);
}

static int64_t columns(const weft_op_call *c)
{
    return c->out.shape[c->out.rank - 1];
}

static int64_t rows(const weft_op_call *c)
{
    return columns(c) ? c->out.numel / columns(c) : 0;
}

static weft_status forward(weft_op_call *c)
{
    return c->k->softmax(c->stream, c->out.data, c->in[0].data, rows(c), columns(c), c->out.dtype);
}

static weft_status backward(weft_op_call *c)
{
    return c->k->softmax_back(c->stream, c->gin[0].data, c->out.data, c->gout.data, rows(c),
                              columns(c), c->out.dtype);
}

static const weft_op op = {.size = sizeof op,
                           .name = "softmax",
                           .cast = WEFT_CAST_F32,
                           .contiguous = 1,
                           .shape = shape,
                           .forward = forward,
                           .backward = backward};

static weft_status log_forward(weft_op_call *c)
{
    return c->k->log_softmax(c->stream, c->out.data, c->in[0].data, rows(c), columns(c),
                             c->out.dtype);
}

static weft_status log_backward(weft_op_call *c)
{
    return c->k->log_softmax_back(c->stream, c->gin[0].data, c->out.data, c->gout.data, rows(c),
                                  columns(c), c->out.dtype);
}

static const weft_op log_op = {.size = sizeof log_op,
                               .name = "log_softmax",
                               .cast = WEFT_CAST_F32,
                               .contiguous = 1,
                               .shape = shape,
                               .forward = log_forward,
                               .backward = log_backward};

weft_tensor *weft_softmax(weft_tensor *x)
{
    return weft__apply1(&op, x, NULL);
}

weft_tensor *weft_log_softmax(weft_tensor *x)
{
    return weft__apply1(&log_op, x, NULL);
}
