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

weft_status weft__linear_shape(const weft_op_call *c, const weft_view *x, int weight, int bias,
                               weft_view *y)
{
    char a[WEFT__SHAPE_TEXT], b[WEFT__SHAPE_TEXT];
    const weft_view *w = &c->in[weight], *v = &c->in[bias];
    if (w->rank != 2 || x->rank < 1 || x->shape[x->rank - 1] != w->shape[1])
        return weft_op_fail(c, WEFT_ESHAPE, "input %s, weight %s; it takes (...,I) and (O,I)",
                            weft__shape_text(x->rank, x->shape, a),
                            weft__shape_text(w->rank, w->shape, b));
    if (bias && (v->rank != 1 || v->shape[0] != w->shape[0]))
        return weft_op_fail(c, WEFT_ESHAPE, "bias %s, weight %s; the bias is (O)",
                            weft__shape_text(v->rank, v->shape, a),
                            weft__shape_text(w->rank, w->shape, b));
    weft__view_copy(y, x);
    y->shape[x->rank - 1] = w->shape[0];
    return WEFT_OK;
}

static int bias_of(const weft_op_call *c)
{
    return c->nin == 3 ? 2 : 0;
}

static weft_status shape(weft_op_call *c)
{
    const weft_view *x = &c->in[0];
    for (int i = 0; i < c->nin; i++)
        WEFT_TRY(weft__op_float(c, i));
    WEFT_TRY(weft__linear_shape(c, x, 1, bias_of(c), &c->out));
    if (attributes_of(c)->act == WEFT_ACT_GELU_TANH)
        c->saved[0] = c->out;
    if (c->lead == 0 && c->batch == x->rank - 1) /* the dimension that is summed over */
        c->rows = WEFT_ROWS_SUM;
    return WEFT_OK;
}

weft__linear_sizes weft__linear_sizes_of(const weft_op_call *c, int weight)
{
    weft__linear_sizes n = {.r = 1, .o = c->in[weight].shape[0], .i = c->in[weight].shape[1]};
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

weft_status weft__linear_forward(const weft_op_call *c, weft_dev y, weft_dev pre, weft_dev x,
                                 int weight, int bias, int act)
{
    const weft__linear_sizes n = weft__linear_sizes_of(c, weight);
    const weft_dev w = c->in[weight].data, b = {bias ? c->in[bias].data.addr : 0};
    return c->k->linear
               ? c->k->linear(c->stream, y, pre, x, w, b, act, n.r, n.i, n.o, c->out.dtype)
               : weft__linear(c->k, c->stream, y, pre, x, w, b, act, n.r, n.i, n.o, c->out.dtype);
}

static weft_status forward(weft_op_call *c)
{
    const weft__linear_sizes n = weft__linear_sizes_of(c, 1);
    attributes *a = attributes_of(c);
    a->float8 = weft__linear8_takes(c, n);
    return a->float8 ? forward8(c, a->act, n)
                     : weft__linear_forward(c, c->out.data, c->saved[0].data, c->in[0].data, 1,
                                            bias_of(c), a->act);
}

/* dy act'(p), in dy's memory or in scratch. It may take the bias's gradient along: *bias is 0 then. */
static weft_status before_act(weft_op_call *c, weft_view *z, int *bias)
{
    static const double none[2];
    const int act = attributes_of(c)->act, b = *bias;
    *z = c->gout;
    if (act == WEFT_ACT_NONE)
        return WEFT_OK;
    if (!c->spare)
        WEFT_TRY(weft__scratch_view(c->fabric, z));
    if (act == WEFT_ACT_RELU && c->k->linear_relu_back && b && c->want[b]) {
        const weft__linear_sizes n = weft__linear_sizes_of(c, 1);
        *bias = 0;
        return c->k->linear_relu_back(c->stream, z->data, c->gin[b].data, c->gin[b].dtype,
                                      c->out.data, c->gout.data, n.r, n.o, z->dtype);
    }
    return act == WEFT_ACT_RELU
               ? c->k->relu_back(c->stream, z->data, c->out.data, c->gout.data, z->numel, z->dtype)
               : c->k->unary_back(c->stream, WEFT_GELU_TANH, z->data, c->gout.data,
                                  c->saved[0].data, c->out.data, none, z->numel, z->dtype);
}

/* At once if they have one type. */
weft_status weft__linear_weights(const weft_op_call *c, int weight, int bias, weft_dev z,
                                 weft_dev x, weft__linear_sizes n)
{
    const weft_dev none = {0}, gw = weight && c->want[weight] ? c->gin[weight].data : none,
                   gb = bias && c->want[bias] ? c->gin[bias].data : none;
    const weft_dtype wt = c->gin[weight].dtype, bt = c->gin[bias].dtype, dt = c->out.dtype;
    if (c->k->linear_back && gw.addr && gb.addr && wt == bt)
        return c->k->linear_back(c->stream, gw, gb, wt, z, x, n.r, n.i, n.o, dt);
    if (gb.addr)
        WEFT_TRY(weft__linear_back(c->k, c->stream, none, gb, bt, z, x, n.r, n.i, n.o, dt));
    return gw.addr ? weft__linear_back(c->k, c->stream, gw, none, wt, z, x, n.r, n.i, n.o, dt)
                   : WEFT_OK;
}

weft_status weft__linear_input(const weft_op_call *c, int weight, weft_dev z, weft__linear_sizes n)
{
    return c->want[0] ? c->k->gemm(c->stream, c->gin[0].data, c->gin[0].dtype, n.i, 1.0, z, n.o, 0,
                                   c->in[weight].data, n.i, 0, 0.0, n.r, n.i, n.o, c->out.dtype)
                      : WEFT_OK;
}

static weft_status backward(weft_op_call *c)
{
    const weft__linear_sizes n = weft__linear_sizes_of(c, 1);
    const bool float8 = attributes_of(c)->float8;
    int bias = bias_of(c);
    weft_view z;
    WEFT_TRY(before_act(c, &z, &bias));
    WEFT_TRY(weft__linear_weights(c, float8 ? 0 : 1, bias, z.data, c->in[0].data, n));
    return float8 ? weft__linear8_back(c, &z, n) : weft__linear_input(c, 1, z.data, n);
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
