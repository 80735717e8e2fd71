/* Tensors one after the other along a dimension. The gradient of each is its part. More tensors than
 * an op takes are joined in groups. */
#include "ops/ops.h"

/* Where input i begins in the result, in elements of the dimension. */
static int64_t begin(const weft_op_call *c, int i)
{
    const int dim = *(int *)c->attr;
    int64_t at = 0;
    while (i-- > 0)
        at += c->in[i].shape[dim];
    return at;
}

static weft_status fits(const weft_op_call *c, int i)
{
    char a[WEFT__SHAPE_TEXT], b[WEFT__SHAPE_TEXT];
    const weft_view *x = &c->in[0], *y = &c->in[i];
    const int dim = *(int *)c->attr;
    bool same = x->rank == y->rank;
    if (x->dtype != y->dtype)
        return weft_op_fail(c, WEFT_EDTYPE, "%s with %s; integers must be of one type",
                            weft_dtype_name(x->dtype), weft_dtype_name(y->dtype));
    for (int d = 0; d < x->rank && same; d++)
        same = d == dim || x->shape[d] == y->shape[d];
    if (same)
        return WEFT_OK;
    return weft_op_fail(c, WEFT_ESHAPE, "%s and %s differ in more than dimension %d",
                        weft__shape_text(x->rank, x->shape, a),
                        weft__shape_text(y->rank, y->shape, b), dim);
}

static weft_status shape(weft_op_call *c)
{
    int *dim = c->attr;
    WEFT_TRY(weft__op_dim(c, dim));
    for (int i = 0; i < c->nin; i++)
        WEFT_TRY(fits(c, i));
    c->out = c->in[0];
    c->out.shape[*dim] = begin(c, c->nin);
    if (c->lead >= 0 && *dim == c->batch)
        c->rows = WEFT_ROWS_CHOSEN;
    return WEFT_OK;
}

static weft_status forward(weft_op_call *c)
{
    const int dim = *(int *)c->attr;
    for (int i = 0; i < c->nin; i++)
        WEFT_TRY(c->k->copy(c->stream, weft__op_at(&c->out, begin(c, i) * c->out.stride[dim]),
                            c->out.dtype, c->out.stride, c->in[i].data, c->in[i].dtype,
                            c->in[i].stride, c->in[i].rank, c->in[i].shape));
    return WEFT_OK;
}

static weft_status backward(weft_op_call *c)
{
    const int dim = *(int *)c->attr;
    for (int i = 0; i < c->nin; i++)
        if (c->want[i])
            WEFT_TRY(c->k->copy(c->stream, c->gin[i].data, c->gin[i].dtype, c->gin[i].stride,
                                weft__op_at(&c->gout, begin(c, i) * c->gout.stride[dim]),
                                c->gout.dtype, c->gout.stride, c->gin[i].rank, c->gin[i].shape));
    return WEFT_OK;
}

static const weft_op op = {.size = sizeof op,
                           .name = "concat",
                           .cast = WEFT_CAST_PROMOTE,
                           .attr_size = sizeof(int),
                           .shape = shape,
                           .forward = forward,
                           .backward = backward};

static weft_tensor *join(weft_fabric *f, int n, weft_tensor *const *x, int dim)
{
    weft_tensor *group[WEFT_OP_INPUTS];
    if (n <= WEFT_OP_INPUTS)
        return weft_apply(f, &op, n, x, &dim);
    for (int i = 0; i < WEFT_OP_INPUTS; i++) {
        const int lo = (int)((int64_t)n * i / WEFT_OP_INPUTS);
        const int hi = (int)((int64_t)n * (i + 1) / WEFT_OP_INPUTS);
        group[i] = hi - lo == 1 ? x[lo] : join(f, hi - lo, x + lo, dim);
        if (!group[i])
            return NULL;
    }
    return weft_apply(f, &op, WEFT_OP_INPUTS, group, &dim);
}

weft_tensor *weft_concat_n(size_t n, weft_tensor *const *x, int dim)
{
    weft_fabric *f = NULL;
    for (size_t i = 0; i < n && x; i++)
        if (!weft__tensor_for(op.name, x[i], i ? NULL : &f))
            return NULL;
    return f && n <= INT32_MAX ? join(f, (int)n, x, dim) : NULL;
}
