/* C = A B. Gradients dA = dC B^T, dB = A^T dC. */
#include "ops/ops.h"

static weft_status shape(weft_op_call *c)
{
    char a[WEFT__SHAPE_TEXT], b[WEFT__SHAPE_TEXT];
    const weft_view *x = &c->in[0], *y = &c->in[1];
    WEFT_TRY(weft__op_float(c, 0));
    WEFT_TRY(weft__op_float(c, 1));
    if (x->rank != 2 || y->rank != 2 || x->shape[1] != y->shape[0])
        return weft_op_fail(c, WEFT_ESHAPE, "%s by %s; it takes (M,K) by (K,N)",
                            weft__shape_text(x->rank, x->shape, a),
                            weft__shape_text(y->rank, y->shape, b));
    if (c->lead >= 0 && c->lead != c->batch) /* the dimension that is summed over */
        c->rows = WEFT_ROWS_SUM;
    c->out.dtype = x->dtype;
    c->out.rank = 2;
    c->out.shape[0] = x->shape[0];
    c->out.shape[1] = y->shape[1];
    return WEFT_OK;
}

static weft_status forward(weft_op_call *c)
{
    int64_t m = c->out.shape[0], n = c->out.shape[1], k = c->in[0].shape[1];
    return c->k->gemm(c->stream, c->out.data, n, 1.0, c->in[0].data, k, 0, c->in[1].data, n, 0, 0.0,
                      m, n, k, c->out.dtype);
}

static weft_status backward(weft_op_call *c)
{
    int64_t m = c->out.shape[0], n = c->out.shape[1], k = c->in[0].shape[1];
    if (c->want[0])
        WEFT_TRY(c->k->gemm(c->stream, c->gin[0].data, k, 1.0, c->gout.data, n, 0, c->in[1].data, n,
                            1, 0.0, m, k, n, c->out.dtype));
    if (c->want[1])
        WEFT_TRY(c->k->gemm(c->stream, c->gin[1].data, n, 1.0, c->in[0].data, k, 1, c->gout.data, n,
                            0, 0.0, k, n, m, c->out.dtype));
    return WEFT_OK;
}

static const weft_op op = {.size = sizeof op,
                           .name = "matmul",
                           .cast = WEFT_CAST_LOW,
                           .contiguous = 1,
                           .shape = shape,
                           .forward = forward,
                           .backward = backward};

weft_tensor *weft_matmul(weft_tensor *a, weft_tensor *b)
{
    return weft__apply2(&op, a, b);
}
