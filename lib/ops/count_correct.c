/* How many rows have their first maximum at the label. No gradient. */
#include "ops/ops.h"

static weft_status shape(weft_op_call *c)
{
    WEFT_TRY(weft__op_float(c, 0));
    WEFT_TRY(weft__op_integer(c, 1, "labels"));
    if (c->in[0].rank != 2 || c->in[1].rank != 1 || c->in[0].shape[0] != c->in[1].shape[0])
        return weft_op_fail(c, WEFT_ESHAPE, "it takes logits (B,C) and labels (B)");
    c->out.dtype = WEFT_F64;
    c->rows = WEFT_ROWS_SUM;
    return WEFT_OK;
}

static weft_status forward(weft_op_call *c)
{
    return c->k->correct(c->stream, c->out.data, c->in[0].data, c->in[1].data, c->in[1].dtype,
                         c->in[0].shape[0], c->in[0].shape[1], c->in[0].dtype);
}

static const weft_op op = {.size = sizeof op,
                           .name = "count_correct",
                           .cast = WEFT_CAST_F32,
                           .contiguous = 1,
                           .shape = shape,
                           .forward = forward};

weft_tensor *weft_count_correct(weft_tensor *logits, weft_tensor *labels)
{
    return weft__apply2(&op, logits, labels);
}
