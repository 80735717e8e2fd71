/* Two dimensions exchanged, by their strides alone. */
#include "ops/ops.h"

static void swap(int64_t *v, int a, int b)
{
    int64_t t = v[a];
    v[a] = v[b];
    v[b] = t;
}

static weft_status shape(weft_op_call *c)
{
    int *d = c->attr;
    WEFT_TRY(weft__op_dim(c, &d[0]));
    WEFT_TRY(weft__op_dim(c, &d[1]));
    c->out = c->in[0];
    swap(c->out.shape, d[0], d[1]);
    swap(c->out.stride, d[0], d[1]);
    c->batch = c->batch == d[0] ? d[1] : c->batch == d[1] ? d[0] : c->batch;
    return WEFT_OK;
}

static weft_status backward(weft_op_call *c)
{
    const int *d = c->attr;
    weft_view g = c->gout;
    swap(g.stride, d[0], d[1]);
    return c->k->copy(c->stream, c->gin[0].data, c->gin[0].dtype, c->gin[0].stride, g.data, g.dtype,
                      g.stride, c->gin[0].rank, c->gin[0].shape);
}

static const weft_op op = {.size = sizeof op,
                           .name = "transpose",
                           .attr_size = 2 * sizeof(int),
                           .view = 1,
                           .shape = shape,
                           .backward = backward};

weft_tensor *weft_transpose(weft_tensor *x, int a, int b)
{
    const int d[2] = {a, b};
    return weft__apply1(&op, x, d);
}
