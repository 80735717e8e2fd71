/* y = act(p), p = x W^T + b, x (...,I) seen as (R,I), W (O,I), b (O), act the identity, relu, or GELU by tanh.
 * With z = dy act'(p): dx = z W, dW = z^T x, db = sum of z's rows. Relu's act' is known from y; GELU
 * keeps p. */
#include "device/linear.h"
#include "ops/linear.h"

/* float8: it is computed in 8 bits, which forward decides. */
typedef struct attributes {
    int act, float8;
} attributes;

static attributes *attributes_of(const weft_op_call *c)
{
    return c->attr;
}

static weft_status shape(weft_op_call *c)
{
    char a[WEFT__SHAPE_TEXT], b[WEFT__SHAPE_TEXT];
    const weft_view *x = &c->in[0], *w = &c->in[1];
    for (int i = 0; i < c->nin; i++)
        WEFT_TRY(weft__op_float(c, i));
    if (w->rank != 2 || x->rank < 1 || x->shape[x->rank - 1] != w->shape[1])
        return weft_op_fail(c, WEFT_ESHAPE, "input %s, weight %s; it takes (...,I) and (O,I)",
                            weft__shape_text(x->rank, x->shape, a),
                            weft__shape_text(w->rank, w->shape, b));
    if (c->nin == 3 && (c->in[2].rank != 1 || c->in[2].shape[0] != w->shape[0]))
        return weft_op_fail(c, WEFT_ESHAPE, "bias %s, weight %s; the bias is (O)",
                            weft__shape_text(c->in[2].rank, c->in[2].shape, a),
                            weft__shape_text(w->rank, w->shape, b));
    c->out = *x;
    c->out.shape[x->rank - 1] = w->shape[0];
    if (attributes_of(c)->act == WEFT_ACT_GELU_TANH)
        c->saved[0] = c->out;
    if (c->lead == 0 && c->batch == x->rank - 1) /* the dimension that is summed over */
        c->rows = WEFT_ROWS_SUM;
    return WEFT_OK;
}

static weft__linear_sizes sizes(const weft_op_call *c)
{
    weft__linear_sizes n = {.r = 1, .o = c->in[1].shape[0], .i = c->in[1].shape[1]};
    for (int d = 0; d < c->in[0].rank - 1; d++)
        n.r *= c->in[0].shape[d];
    return n;
}

/* The products alone in 8 bits. */
static weft_status forward8(const weft_op_call *c, int act, weft__linear_sizes n)
{
    static const double none[2];
    const weft_view *y = &c->out, *p = act == WEFT_ACT_GELU_TANH ? &c->saved[0] : y;
    WEFT_TRY(weft__linear8(c, p->data, n));
    return act == WEFT_ACT_RELU ? c->k->relu(c->stream, y->data, p->data, y->numel, y->dtype)
           : act == WEFT_ACT_GELU_TANH
               ? c->k->unary(c->stream, WEFT_GELU_TANH, y->data, p->data, none, y->numel, y->dtype)
               : WEFT_OK;
}

static weft_status forward(weft_op_call *c)
{
    const weft__linear_sizes n = sizes(c);
    const weft_dev b = {c->nin == 3 ? c->in[2].data.addr : 0}, pre = c->saved[0].data;
    const weft_dev y = c->out.data, x = c->in[0].data, w = c->in[1].data;
    attributes *a = attributes_of(c);
    a->float8 = weft__linear8_takes(c, n);
    if (a->float8)
        return forward8(c, a->act, n);
    return c->k->linear
               ? c->k->linear(c->stream, y, pre, x, w, b, a->act, n.r, n.i, n.o, c->out.dtype)
               : weft__linear(c->k, c->stream, y, pre, x, w, b, a->act, n.r, n.i, n.o,
                              c->out.dtype);
}

/* dy act'(p), in scratch where that is not dy. */
static weft_status before_act(weft_op_call *c, weft_view *z)
{
    static const double none[2];
    const int act = attributes_of(c)->act;
    *z = c->gout;
    if (act == WEFT_ACT_NONE)
        return WEFT_OK;
    WEFT_TRY(weft__scratch_view(c->fabric, z));
    return act == WEFT_ACT_RELU
               ? c->k->relu_back(c->stream, z->data, c->out.data, c->gout.data, z->numel, z->dtype)
               : c->k->unary_back(c->stream, WEFT_GELU_TANH, z->data, c->gout.data,
                                  c->saved[0].data, c->out.data, none, z->numel, z->dtype);
}

/* Those of the weight, if it is given, and the bias, at once if they have one type. */
static weft_status weights(weft_op_call *c, const weft_view *z, weft_dev gw, weft__linear_sizes n)
{
    const weft_dev none = {0}, x = c->in[0].data,
                   gb = c->nin == 3 && c->want[2] ? c->gin[2].data : none;
    weft_status (*const both)(WEFT_KERNEL_ARGS(linear_back)) = c->k->linear_back;
    if (both && gw.addr && gb.addr && c->gin[1].dtype == c->gin[2].dtype)
        return both(c->stream, gw, gb, c->gin[1].dtype, z->data, x, n.r, n.i, n.o, z->dtype);
    if (gb.addr)
        WEFT_TRY(weft__linear_back(c->k, c->stream, none, gb, c->gin[2].dtype, z->data, x, n.r, n.i,
                                   n.o, z->dtype));
    return gw.addr ? weft__linear_back(c->k, c->stream, gw, none, c->gin[1].dtype, z->data, x, n.r,
                                       n.i, n.o, z->dtype)
                   : WEFT_OK;
}

static weft_status backward(weft_op_call *c)
{
    const weft__linear_sizes n = sizes(c);
    const bool float8 = attributes_of(c)->float8;
    const weft_dev gw = {c->want[1] && !float8 ? c->gin[1].data.addr : 0};
    weft_view z;
    WEFT_TRY(before_act(c, &z));
    WEFT_TRY(weights(c, &z, gw, n));
    if (float8)
        return weft__linear8_back(c, &z, n);
    if (c->want[0])
        WEFT_TRY(c->k->gemm(c->stream, c->gin[0].data, c->gin[0].dtype, n.i, 1.0, z.data, n.o, 0,
                            c->in[1].data, n.i, 0, 0.0, n.r, n.i, n.o, z.dtype));
    return WEFT_OK;
}

static const weft_op op = {.size = sizeof op,
                           .name = "linear",
                           .cast = WEFT_CAST_LOW,
                           .attr_size = sizeof(attributes),
                           .contiguous = 1,
                           .shape = shape,
                           .forward = forward,
                           .backward = backward,
                           .wide = 1};

static weft_tensor *linear(weft_tensor *x, weft_tensor *w, weft_tensor *b, int act)
{
    const attributes a = {.act = act};
    weft_fabric *f = weft__fabric_of(op.name, x);
    weft_tensor *const in[] = {x, w, b};
    return f ? weft_apply(f, &op, b ? 3 : 2, in, &a) : NULL;
}

weft_tensor *weft_linear(weft_tensor *x, weft_tensor *w, weft_tensor *b)
{
    return linear(x, w, b, WEFT_ACT_NONE);
}

weft_tensor *weft_linear_relu(weft_tensor *x, weft_tensor *w, weft_tensor *b)
{
    return linear(x, w, b, WEFT_ACT_RELU);
}

weft_tensor *weft_linear_gelu_tanh(weft_tensor *x, weft_tensor *w, weft_tensor *b)
{
    return linear(x, w, b, WEFT_ACT_GELU_TANH);
}
