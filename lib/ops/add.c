/* y = a + b. Both gradients are the result's, summed where an input was stretched. */
#include "ops/ops.h"

static weft_status forward(weft_op_call *c)
{
    int64_t a[WEFT_MAX_RANK], b[WEFT_MAX_RANK];
    weft__op_stretch(c, &c->in[0], a);
    weft__op_stretch(c, &c->in[1], b);
    return c->k->binary(c->stream, WEFT_ADD, c->out.data, c->in[0].data, a, c->in[1].data, b,
                        c->out.rank, c->out.shape, c->out.dtype);
}

static weft_status backward(weft_op_call *c)
{
    for (int i = 0; i < 2; i++)
        if (c->want[i])
            WEFT_TRY(weft__op_unbroadcast(c, i, &c->gout));
    return WEFT_OK;
}

static const weft_op op = {.size = sizeof op,
                           .name = "add",
                           .cast = WEFT_CAST_PROMOTE,
                           .shape = weft__op_broadcast,
                           .forward = forward,
                           .backward = backward};

weft_tensor *weft_add(weft_tensor *a, weft_tensor *b)
{
    return weft__apply2(&op, a, b);
}
