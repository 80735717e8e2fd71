/* The dimensions in another order, by their strides alone; those of extent 1 come and go. */
#include "ops/ops.h"

typedef struct attributes {
    int rank;
    int from[WEFT_MAX_RANK]; /* dimension d of the result is this one of x */
} attributes;

static weft_status shape(weft_op_call *c)
{
    attributes *a = c->attr;
    const weft_view *x = &c->in[0];
    unsigned seen = 0;
    if (a->rank != x->rank)
        return weft_op_fail(c, WEFT_ESHAPE, "%d dimensions given, the tensor has %d", a->rank,
                            x->rank);
    for (int d = 0; d < x->rank; d++) {
        WEFT_TRY(weft__op_dim(c, &a->from[d]));
        seen |= 1u << a->from[d];
    }
    if (seen != (1u << x->rank) - 1)
        return weft_op_fail(c, WEFT_ESHAPE, "a dimension is named twice");
    c->out = *x;
    for (int d = 0, rows = c->batch; d < x->rank; d++) {
        c->out.shape[d] = x->shape[a->from[d]];
        c->out.stride[d] = x->stride[a->from[d]];
        c->batch = a->from[d] == rows ? d : c->batch;
    }
    return WEFT_OK;
}

static weft_status backward(weft_op_call *c)
{
    const attributes *a = c->attr;
    int64_t stride[WEFT_MAX_RANK];
    for (int d = 0; d < a->rank; d++)
        stride[a->from[d]] = c->gout.stride[d];
    return c->k->copy(c->stream, c->gin[0].data, c->gin[0].dtype, c->gin[0].stride, c->gout.data,
                      c->gout.dtype, stride, c->gin[0].rank, c->gin[0].shape);
}

static const weft_op op = {.size = sizeof op,
                           .name = "permute",
                           .attr_size = sizeof(attributes),
                           .view = 1,
                           .shape = shape,
                           .backward = backward};

weft_tensor *weft_permute(weft_tensor *x, int rank, const int *dims)
{
    attributes a = {.rank = rank};
    for (int d = 0; d < rank && d < WEFT_MAX_RANK; d++)
        a.from[d] = dims[d];
    return weft__apply1(&op, x, &a);
}

/* The one row of a batch that loses its dimension is its own mean. */
static weft_status squeezed(weft_op_call *c)
{
    int *dim = c->attr;
    weft_view *y = &c->out;
    WEFT_TRY(weft__op_dim(c, dim));
    *y = c->in[0];
    if (y->shape[*dim] != 1)
        return weft_op_fail(c, WEFT_ESHAPE, "dimension %d has extent %lld, not 1", *dim,
                            (long long)y->shape[*dim]);
    y->rank--;
    for (int d = *dim; d < y->rank; d++) {
        y->shape[d] = y->shape[d + 1];
        y->stride[d] = y->stride[d + 1];
    }
    if (c->batch == *dim)
        c->rows = WEFT_ROWS_MEAN;
    c->batch -= *dim < c->batch;
    return WEFT_OK;
}

static weft_status unsqueezed(weft_op_call *c)
{
    int *dim = c->attr;
    weft_view *y = &c->out;
    const int rank = c->in[0].rank + 1;
    if (rank > WEFT_MAX_RANK)
        return weft_op_fail(c, WEFT_ESHAPE, "a tensor has at most %d dimensions", WEFT_MAX_RANK);
    if (*dim < -rank || *dim >= rank)
        return weft_op_fail(c, WEFT_ESHAPE, "dimension %d of a tensor of %d dimensions", *dim,
                            rank);
    *dim += *dim < 0 ? rank : 0;
    *y = c->in[0];
    y->rank = rank;
    for (int d = rank - 1; d > *dim; d--) {
        y->shape[d] = y->shape[d - 1];
        y->stride[d] = y->stride[d - 1];
    }
    y->shape[*dim] = y->stride[*dim] = 1;
    c->batch += *dim <= c->batch;
    return WEFT_OK;
}

static const weft_op squeeze = {.size = sizeof squeeze,
                                .name = "squeeze",
                                .attr_size = sizeof(int),
                                .view = 1,
                                .shape = squeezed,
                                .backward = weft__op_pass};
static const weft_op unsqueeze = {.size = sizeof unsqueeze,
                                  .name = "unsqueeze",
                                  .attr_size = sizeof(int),
                                  .view = 1,
                                  .shape = unsqueezed,
                                  .backward = weft__op_pass};

weft_tensor *weft_squeeze(weft_tensor *x, int dim)
{
    return weft__apply1(&squeeze, x, &dim);
}

weft_tensor *weft_unsqueeze(weft_tensor *x, int dim)
{
    return weft__apply1(&unsqueeze, x, &dim);
}
