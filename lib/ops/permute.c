/* The dimensions in another order, by their strides alone. */
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
    weft_fabric *f = NULL;
    if (!weft__tensor_for(op.name, x, &f))
        return NULL;
    if (rank > 0 && !dims) {
        weft__stick(f, weft__fail(WEFT_EARG, "permute: the order of %d dimensions is NULL", rank));
        return NULL;
    }
    for (int d = 0; d < rank && d < WEFT_MAX_RANK; d++)
        a.from[d] = dims[d];
    return weft__apply1(&op, x, &a);
}
