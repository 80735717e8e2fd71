/* y = gelu(p) V^T + d, p = x W^T + b, x (...,I) seen as (R,I), W (H,I), V (O,H), GELU by tanh: two linear
 * layers as one op, so that the product that makes the gradient of gelu(p) may end with GELU's own,
 * z = (dy V) gelu'(p). Then dV, dd, dW, db and dx as of linear. p and gelu(p) are kept. */
#include "device/linear.h"
#include "ops/linear.h"

enum { X, W, V };     /* inputs; the biases follow */
enum { PRE, HIDDEN }; /* saved */

typedef struct attributes {
    int b, d; /* which inputs they are, 0: none */
} attributes;

static weft_status shape(weft_op_call *c)
{
    const attributes *a = c->attr;
    for (int i = 0; i < c->nin; i++)
        WEFT_TRY(weft__op_float(c, i));
    WEFT_TRY(weft__linear_shape(c, &c->in[X], W, a->b, &c->saved[PRE]));
    WEFT_TRY(weft__linear_shape(c, &c->saved[PRE], V, a->d, &c->out));
    c->saved[HIDDEN] = c->saved[PRE];
    if (c->lead == X && c->batch == c->in[X].rank - 1) /* the dimension that is summed over */
        c->rows = WEFT_ROWS_OTHER;
    return WEFT_OK;
}

static weft_status forward(weft_op_call *c)
{
    const attributes *a = c->attr;
    const weft_dev none = {0}, h = c->saved[HIDDEN].data;
    WEFT_TRY(
        weft__linear_forward(c, h, c->saved[PRE].data, c->in[X].data, W, a->b, WEFT_ACT_GELU_TANH));
    return weft__linear_forward(c, c->out.data, none, h, V, a->d, WEFT_ACT_NONE);
}

static bool wants_first(const weft_op_call *c, int b)
{
    return c->want[X] || c->want[W] || (b && c->want[b]);
}

static weft_status backward(weft_op_call *c)
{
    const attributes *a = c->attr;
    const weft__linear_sizes n = weft__linear_sizes_of(c, W), m = weft__linear_sizes_of(c, V);
    const weft_dev gy = c->gout.data, v = c->in[V].data, p = c->saved[PRE].data;
    weft_view z = c->saved[PRE];
    WEFT_TRY(weft__linear_weights(c, V, a->d, gy, c->saved[HIDDEN].data, m));
    if (!wants_first(c, a->b))
        return WEFT_OK;
    WEFT_TRY(weft__scratch_view(c->fabric, &z));
    WEFT_TRY(
        c->k->linear_gelu_back
            ? c->k->linear_gelu_back(c->stream, z.data, gy, v, p, m.r, m.i, m.o, z.dtype)
            : weft__linear_gelu_back(c->k, c->stream, z.data, gy, v, p, m.r, m.i, m.o, z.dtype));
    WEFT_TRY(weft__linear_weights(c, W, a->b, z.data, c->in[X].data, n));
    return weft__linear_input(c, W, z.data, n);
}

static const weft_op op = {.size = sizeof op,
                           .name = "mlp",
                           .cast = WEFT_CAST_LOW,
                           .attr_size = sizeof(attributes),
                           .contiguous = 1,
                           .shape = shape,
                           .forward = forward,
                           .backward = backward,
                           .wide = 1};

/* In 8 bits each layer is an op, which has such products. */
weft_tensor *weft_mlp_gelu_tanh(weft_tensor *x, weft_tensor *w, weft_tensor *b, weft_tensor *v,
                                weft_tensor *d)
{
    weft_fabric *f = weft__fabric_of(op.name, x);
    weft_tensor *in[WEFT_OP_INPUTS] = {x, w, v};
    attributes a = {0};
    int n = V + 1;
    if (!f)
        return NULL;
    if (f->tape->float8)
        return weft_linear(weft_linear_gelu_tanh(x, w, b), v, d);
    if (b)
        in[a.b = n++] = b;
    if (d)
        in[a.d = n++] = d;
    return weft_apply(f, &op, n, in, &a);
}
