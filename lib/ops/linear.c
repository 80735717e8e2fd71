/* y = act(x W^T + b), x (...,I) seen as (R,I), W (O,I), b (O), act the identity or relu.
 * With z = dy, or dy where y > 0 under relu: dx = z W, dW = z^T x, db = sum of z's rows. */
#include "ops/ops.h"

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
    if (c->lead == 0 && c->batch == x->rank - 1) /* the dimension that is summed over */
        c->rows = WEFT_ROWS_SUM;
    return WEFT_OK;
}

/* Rows, outputs, inputs. */
static void sizes(const weft_op_call *c, int64_t *r, int64_t *o, int64_t *i)
{
    *r = 1;
    for (int d = 0; d < c->in[0].rank - 1; d++)
        *r *= c->in[0].shape[d];
    *o = c->in[1].shape[0];
    *i = c->in[1].shape[1];
}

/* In 16 bits the product is added to the bias in f32, so that the sum is rounded once. */
static weft_status bias_first(const weft_op_call *c, int64_t r, int64_t o)
{
    const int64_t ystride[2] = {o, 1}, stride[2] = {0, 1}, rows[2] = {r, o};
    return c->k->copy(c->stream, c->out.data, c->out.dtype, ystride, c->in[2].data, c->in[2].dtype,
                      stride, 2, rows);
}

static weft_status forward(weft_op_call *c)
{
    int64_t r, o, i;
    int act = *(int *)c->attr;
    weft_dev bias = {c->nin == 3 ? c->in[2].data.addr : 0};
    const bool first = bias.addr && weft_dtype_size(c->out.dtype) == 2;
    sizes(c, &r, &o, &i);
    if (first)
        WEFT_TRY(bias_first(c, r, o));
    WEFT_TRY(c->k->gemm(c->stream, c->out.data, c->out.dtype, o, 1.0, c->in[0].data, i, 0,
                        c->in[1].data, i, 1, first ? 1.0 : 0.0, r, o, i, c->out.dtype));
    bias.addr = first ? 0 : bias.addr;
    return bias.addr || act ? c->k->bias(c->stream, c->out.data, bias, act, r, o, c->out.dtype)
                            : WEFT_OK;
}

static weft_status backward(weft_op_call *c)
{
    int64_t r, o, i;
    weft_view z = c->gout;
    sizes(c, &r, &o, &i);
    if (*(int *)c->attr) {
        WEFT_TRY(weft__scratch_view(c->fabric, &z));
        WEFT_TRY(c->k->relu_back(c->stream, z.data, c->out.data, c->gout.data, z.numel, z.dtype));
    }
    if (c->nin == 3 && c->want[2]) {
        const int64_t ystride[2] = {0, 1}, zstride[2] = {o, 1}, rows[2] = {r, o};
        WEFT_TRY(c->k->sum(c->stream, c->gin[2].data, c->gin[2].dtype, ystride, 1.0, z.data,
                           zstride, 2, rows, z.dtype));
    }
    if (c->want[1])
        WEFT_TRY(c->k->gemm(c->stream, c->gin[1].data, c->gin[1].dtype, i, 1.0, z.data, o, 1,
                            c->in[0].data, i, 0, 0.0, o, i, r, z.dtype));
    if (c->want[0])
        WEFT_TRY(c->k->gemm(c->stream, c->gin[0].data, c->gin[0].dtype, i, 1.0, z.data, o, 0,
                            c->in[1].data, i, 0, 0.0, r, i, o, z.dtype));
    return WEFT_OK;
}

static const weft_op op = {.size = sizeof op,
                           .name = "linear",
                           .cast = WEFT_CAST_LOW,
                           .attr_size = sizeof(int),
                           .contiguous = 1,
                           .shape = shape,
                           .forward = forward,
                           .backward = backward,
                           .wide = 1};

static weft_tensor *linear(weft_tensor *x, weft_tensor *w, weft_tensor *b, int act)
{
    weft_fabric *f = NULL;
    weft_tensor *const in[] = {x, w, b};
    if (!weft__tensor_for(op.name, x, &f) || !weft__tensor_for(op.name, w, NULL))
        return NULL;
    return weft_apply(f, &op, b ? 3 : 2, in, &act);
}

weft_tensor *weft_linear(weft_tensor *x, weft_tensor *w, weft_tensor *b)
{
    return linear(x, w, b, 0);
}

weft_tensor *weft_linear_relu(weft_tensor *x, weft_tensor *w, weft_tensor *b)
{
    return linear(x, w, b, 1);
}
