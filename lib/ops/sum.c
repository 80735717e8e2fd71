/* Sum and mean over one dimension or all: y = alpha sum x, alpha 1 or 1/n. Gradient alpha g,
 * stretched back. */
#include "ops/ops.h"

typedef struct attributes {
    int dim;
    int mean;
    double alpha;
} attributes;

static weft_status shape(weft_op_call *c)
{
    attributes *a = c->attr;
    const weft_view *x = &c->in[0];
    WEFT_TRY(weft__op_float(c, 0));
    if (a->dim != WEFT_ALL)
        WEFT_TRY(weft__op_dim(c, &a->dim));
    a->alpha = !a->mean ? 1.0 : 1.0 / (double)(a->dim == WEFT_ALL ? x->numel : x->shape[a->dim]);
    c->out.dtype = x->dtype;
    for (int d = 0; d < x->rank && a->dim != WEFT_ALL; d++)
        if (d != a->dim)
            c->out.shape[c->out.rank++] = x->shape[d];
    if (a->dim == WEFT_ALL || a->dim == c->batch)
        c->rows = a->mean ? WEFT_ROWS_MEAN : WEFT_ROWS_SUM;
    c->batch -= a->dim < c->batch;
    return WEFT_OK;
}

/* The strides of y or its gradient under x's shape: 0 where it was summed. */
static void under(const weft_op_call *c, const weft_view *y, int64_t *stride)
{
    const attributes *a = c->attr;
    for (int d = 0, k = 0; d < c->in[0].rank; d++)
        stride[d] = a->dim == WEFT_ALL || d == a->dim ? 0 : y->stride[k++];
}

static weft_status forward(weft_op_call *c)
{
    const attributes *a = c->attr;
    int64_t stride[WEFT_MAX_RANK];
    under(c, &c->out, stride);
    return c->k->sum(c->stream, c->out.data, c->out.dtype, stride, a->alpha, c->in[0].data,
                     c->in[0].stride, c->in[0].rank, c->in[0].shape, c->out.dtype);
}

static weft_status backward(weft_op_call *c)
{
    const attributes *a = c->attr;
    int64_t stride[WEFT_MAX_RANK];
    weft_view g = c->gout;
    under(c, &g, stride);
    if (a->alpha != 1.0) {
        WEFT_TRY(weft__scratch_view(c->fabric, &g));
        WEFT_TRY(c->k->scale(c->stream, g.data, a->alpha, c->gout.data, g.numel, g.dtype));
    }
    return c->k->copy(c->stream, c->gin[0].data, c->gin[0].dtype, c->gin[0].stride, g.data, g.dtype,
                      stride, c->gin[0].rank, c->gin[0].shape);
}

static const weft_op sum = {.size = sizeof sum,
                            .name = "sum",
                            .cast = WEFT_CAST_F32,
                            .attr_size = sizeof(attributes),
                            .shape = shape,
                            .forward = forward,
                            .backward = backward};
static const weft_op mean = {.size = sizeof mean,
                             .name = "mean",
                             .cast = WEFT_CAST_F32,
                             .attr_size = sizeof(attributes),
                             .shape = shape,
                             .forward = forward,
                             .backward = backward};

weft_tensor *weft_sum(weft_tensor *x, int dim)
{
    return weft__apply1(&sum, x, &(attributes){.dim = dim});
}

weft_tensor *weft_mean(weft_tensor *x, int dim)
{
    return weft__apply1(&mean, x, &(attributes){.dim = dim, .mean = 1});
}
