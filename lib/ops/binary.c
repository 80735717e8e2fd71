/* y = a op b, elementwise: sum, product, difference, quotient, power, maximum, minimum. The gradients
 * are the kernel's, summed where an input was stretched. */
#include "ops/ops.h"

static const weft_op op[WEFT_BINARIES];

static weft_binary which(const weft_op_call *c)
{
    return (weft_binary)(c->op - op);
}

static weft_status forward(weft_op_call *c)
{
    int64_t a[WEFT_MAX_RANK], b[WEFT_MAX_RANK];
    weft__op_stretch(c, &c->in[0], a);
    weft__op_stretch(c, &c->in[1], b);
    return c->k->binary(c->stream, which(c), c->out.data, c->in[0].data, a, c->in[1].data, b,
                        c->out.rank, c->out.shape, c->out.dtype);
}

/* The gradient by input i in the shape of the result; a sum's is there already. */
static weft_status slope(weft_op_call *c, int i, weft_view *g)
{
    int64_t a[WEFT_MAX_RANK], b[WEFT_MAX_RANK];
    if (which(c) == WEFT_ADD || (which(c) == WEFT_SUB && i == 0))
        return WEFT_OK;
    if (c->gin[i].numel == g->numel && c->gin[i].dtype == g->dtype)
        g->data = c->gin[i].data;
    else
        WEFT_TRY(weft__scratch_view(c->fabric, g));
    weft__op_stretch(c, &c->in[0], a);
    weft__op_stretch(c, &c->in[1], b);
    return c->k->binary_back(c->stream, which(c), i, g->data, c->gout.data, c->in[0].data, a,
                             c->in[1].data, b, c->out.rank, c->out.shape, c->out.dtype);
}

static weft_status backward(weft_op_call *c)
{
    for (int i = 0; i < 2; i++) {
        weft_view g = c->gout;
        if (!c->want[i])
            continue;
        WEFT_TRY(slope(c, i, &g));
        if (c->gin[i].numel == g.numel && c->gin[i].dtype == g.dtype)
            c->gin[i].data = g.data;
        else
            WEFT_TRY(weft__op_unbroadcast(c, i, &g));
    }
    return WEFT_OK;
}

#define OP(word, policy)                                                                           \
    {                                                                                              \
        .size = sizeof(weft_op), .name = word, .cast = policy, .shape = weft__op_broadcast,        \
        .forward = forward, .backward = backward, .wide = 1                                        \
    }
static const weft_op op[WEFT_BINARIES] = {[WEFT_ADD] = OP("add", WEFT_CAST_PROMOTE),
                                          [WEFT_MUL] = OP("mul", WEFT_CAST_PROMOTE),
                                          [WEFT_SUB] = OP("sub", WEFT_CAST_PROMOTE),
                                          [WEFT_DIV] = OP("div", WEFT_CAST_PROMOTE),
                                          [WEFT_POW] = OP("pow", WEFT_CAST_F32),
                                          [WEFT_MAXIMUM] = OP("maximum", WEFT_CAST_PROMOTE),
                                          [WEFT_MINIMUM] = OP("minimum", WEFT_CAST_PROMOTE)};

weft_tensor *weft_add(weft_tensor *a, weft_tensor *b)
{
    return weft__apply2(&op[WEFT_ADD], a, b);
}

weft_tensor *weft_sub(weft_tensor *a, weft_tensor *b)
{
    return weft__apply2(&op[WEFT_SUB], a, b);
}

weft_tensor *weft_mul(weft_tensor *a, weft_tensor *b)
{
    return weft__apply2(&op[WEFT_MUL], a, b);
}

weft_tensor *weft_div(weft_tensor *a, weft_tensor *b)
{
    return weft__apply2(&op[WEFT_DIV], a, b);
}

weft_tensor *weft_pow(weft_tensor *a, weft_tensor *b)
{
    return weft__apply2(&op[WEFT_POW], a, b);
}

weft_tensor *weft_maximum(weft_tensor *a, weft_tensor *b)
{
    return weft__apply2(&op[WEFT_MAXIMUM], a, b);
}

weft_tensor *weft_minimum(weft_tensor *a, weft_tensor *b)
{
    return weft__apply2(&op[WEFT_MINIMUM], a, b);
}
