/* Elements start, start + step, ... before stop along one dimension, by strides alone. The gradient
 * goes back to their places, 0 to the others. */
#include "ops/ops.h"

typedef struct attributes {
    int dim;
    int64_t start, stop, step;
} attributes;

/* Python's rule: a negative place counts from the end, and all are held within 0..n. */
static int64_t place(int64_t i, int64_t n)
{
    i += i < 0 ? n : 0;
    return i < 0 ? 0 : i > n ? n : i;
}

static weft_status shape(weft_op_call *c)
{
    attributes *a = c->attr;
    WEFT_TRY(weft__op_dim(c, &a->dim));
    if (a->step < 1)
        return weft_op_fail(c, WEFT_EARG, "step %lld; it is at least 1", (long long)a->step);
    const int64_t n = c->in[0].shape[a->dim];
    const bool whole = a->start == 0 && a->stop == INT64_MAX && a->step == 1; /* on every rank */
    a->start = place(a->start, n);
    a->stop = place(a->stop, n);
    const int64_t span = a->stop > a->start ? a->stop - a->start : 0;
    c->out = c->in[0];
    c->out.shape[a->dim] = span / a->step + (span % a->step != 0);
    c->out.stride[a->dim] = span > a->step ? c->in[0].stride[a->dim] * a->step : 1;
    c->out.numel = weft__numel(c->out.rank, c->out.shape);
    c->out.data = weft__op_at(&c->in[0], span ? a->start * c->in[0].stride[a->dim] : 0);
    if (a->dim == c->batch && c->lead == 0 && !whole) {
        c->rows = WEFT_ROWS_CHOSEN;
        c->base += a->start;
    }
    return WEFT_OK;
}

static weft_status backward(weft_op_call *c)
{
    const attributes *a = c->attr;
    weft_view *g = &c->gin[0];
    int64_t stride[WEFT_MAX_RANK];
    for (int d = 0; d < g->rank; d++)
        stride[d] = d == a->dim ? g->stride[d] * a->step : g->stride[d];
    WEFT_TRY(c->device->ops->zero(c->stream, g->data, weft__view_bytes(g)));
    if (!c->gout.numel)
        return WEFT_OK;
    return c->k->copy(c->stream, weft__op_at(g, a->start * g->stride[a->dim]), g->dtype, stride,
                      c->gout.data, c->gout.dtype, c->gout.stride, c->gout.rank, c->gout.shape);
}

static const weft_op op = {.size = sizeof op,
                           .name = "slice",
                           .attr_size = sizeof(attributes),
                           .view = 1,
                           .shape = shape,
                           .backward = backward};

weft_tensor *weft_slice(weft_tensor *x, int dim, int64_t start, int64_t stop, int64_t step)
{
    return weft__apply1(&op, x,
                        &(attributes){.dim = dim, .start = start, .stop = stop, .step = step});
}
