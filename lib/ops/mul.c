/* y = a b. Gradients g b and g a, summed where an input was stretched. */
#include "ops/ops.h"

static weft_status product(weft_op_call *c, weft_dev y, const weft_view *u, const weft_view *v)
{
    int64_t a[WEFT_MAX_RANK], b[WEFT_MAX_RANK];
    weft__op_stretch(c, u, a);
    weft__op_stretch(c, v, b);
    return c->k->binary(c->stream, WEFT_MUL, y, u->data, a, v->data, b, c->out.rank, c->out.shape,
                        c->out.dtype);
}

static weft_status forward(weft_op_call *c)
{
    return product(c, c->out.data, &c->in[0], &c->in[1]);
}

static weft_status backward(weft_op_call *c)
{
    for (int i = 0; i < 2; i++) {
        weft_view g = c->gout;
        if (!c->want[i])
            continue;
        WEFT_TRY(weft__scratch_view(c->fabric, &g));
        WEFT_TRY(product(c, g.data, &c->gout, &c->in[1 - i]));
        WEFT_TRY(weft__op_unbroadcast(c, i, &g));
    }
    return WEFT_OK;
}

static const weft_op op = {.size = sizeof op,
                           .name = "mul",
                           .cast = WEFT_CAST_PROMOTE,
                           .shape = weft__op_broadcast,
                           .forward = forward,
                           .backward = backward};

weft_tensor *weft_mul(weft_tensor *a, weft_tensor *b)
{
    return weft__apply2(&op, a, b);
}
