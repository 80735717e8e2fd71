/* y = x at index along one dimension: for dim 0 of three, y[i][j][k] = x[index[i][j][k]][j][k]. The
 * gradient is added up at those places, in the order of the index. */
#include "ops/ops.h"

enum { X, INDEX };

static weft_status shape(weft_op_call *c)
{
    char a[WEFT__SHAPE_TEXT], b[WEFT__SHAPE_TEXT];
    const weft_view *x = &c->in[X], *index = &c->in[INDEX];
    int *dim = c->attr;
    WEFT_TRY(weft__op_float(c, X));
    if (!weft__op_is_integer(c, INDEX))
        return weft_op_fail(c, WEFT_EDTYPE, "the index is %s; it is u8, i32 or i64",
                            weft_dtype_name(index->dtype));
    WEFT_TRY(weft__op_dim(c, dim));
    bool fits = x->rank == index->rank;
    for (int d = 0; d < x->rank && fits; d++)
        fits = d == *dim || index->shape[d] <= x->shape[d];
    if (!fits)
        return weft_op_fail(c, WEFT_ESHAPE,
                            "index %s, tensor %s; the index has as many dimensions and, but for "
                            "dimension %d, no larger ones",
                            weft__shape_text(index->rank, index->shape, b),
                            weft__shape_text(x->rank, x->shape, a), *dim);
    c->out = *index;
    c->out.dtype = x->dtype;
    if (c->lead == X && c->batch >= 0 &&
        (*dim == c->batch || !c->alike[INDEX] || index->shape[c->batch] != x->shape[c->batch]))
        c->rows = WEFT_ROWS_CHOSEN;
    return WEFT_OK;
}

static weft_status forward(weft_op_call *c)
{
    const weft_view *x = &c->in[X], *index = &c->in[INDEX];
    const int dim = *(int *)c->attr;
    const weft__late late = {.op = c->op->name, .what = "index", .limit = x->shape[dim]};
    weft_dev flag;
    WEFT_TRY(weft__late_flag(c->fabric, &flag));
    WEFT_TRY(c->k->gather(c->stream, c->out.data, flag, x->data, x->stride, index->data,
                          index->dtype, index->rank, index->shape, dim, x->shape[dim], x->dtype));
    return weft__late_judge(c->fabric, flag, &late);
}

static weft_status backward(weft_op_call *c)
{
    const weft_view *index = &c->in[INDEX];
    const int dim = *(int *)c->attr;
    weft_view g;
    WEFT_TRY(weft__op_sums(c, X, &g));
    WEFT_TRY(c->device->ops->zero(c->stream, g.data, weft__view_bytes(&g)));
    WEFT_TRY(c->k->gather_back(c->stream, g.data, g.stride, c->gout.data, index->data, index->dtype,
                               index->rank, index->shape, dim, g.shape[dim], c->out.dtype));
    return weft__op_round(c, X, &g);
}

static const weft_op op = {.size = sizeof op,
                           .name = "gather",
                           .cast = WEFT_CAST_PROMOTE,
                           .attr_size = sizeof(int),
                           .contiguous = 1,
                           .shape = shape,
                           .forward = forward,
                           .backward = backward,
                           .wide = 1};

weft_tensor *weft_gather(weft_tensor *x, int dim, weft_tensor *index)
{
    weft_fabric *f = NULL;
    weft_tensor *const in[] = {x, index};
    if (!weft__tensor_for(op.name, x, &f) || !weft__tensor_for(op.name, index, NULL))
        return NULL;
    return weft_apply(f, &op, 2, in, &dim);
}
