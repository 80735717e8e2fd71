/* C = A B for the last two dimensions, the others broadcast; a vector is a row on the left, a column
 * on the right, and that dimension is left out of C. Gradients dA = dC B^T, dB = A^T dC, summed where
 * an input was stretched.
 *
 * One B for all A's is one product: the rows of all A's are the rows of one matrix. */
#include "ops/ops.h"

typedef struct product {
    int64_t m, n, k;
    int rank; /* of the dimensions before the matrices */
    int64_t shape[WEFT_MAX_RANK], stride[2][WEFT_MAX_RANK];
    bool one; /* product of matrices */
} product;

/* Dimensions before the matrix. */
static int leading(const weft_view *v)
{
    return v->rank > 2 ? v->rank - 2 : 0;
}

static void step_over(const product *p, const weft_view *v, int64_t *stride)
{
    const int first = p->rank - leading(v);
    for (int d = 0; d < p->rank; d++)
        stride[d] = d < first || v->shape[d - first] == 1 ? 0 : v->stride[d - first];
}

/* Works out the product of a and b; false if they do not fit. */
static bool measure(const weft_view *a, const weft_view *b, product *p)
{
    if (a->rank < 1 || b->rank < 1)
        return false;
    p->m = a->rank > 1 ? a->shape[a->rank - 2] : 1;
    p->k = a->shape[a->rank - 1];
    p->n = b->rank > 1 ? b->shape[b->rank - 1] : 1;
    p->rank = weft__broadcast(leading(a), a->shape, leading(b), b->shape, p->shape);
    if (p->rank < 0 || p->k != b->shape[b->rank > 1 ? b->rank - 2 : 0])
        return false;
    p->one = leading(b) == 0;
    for (int d = 0; d < p->rank && p->one; d++)
        p->m *= p->shape[d];
    step_over(p, a, p->stride[0]);
    step_over(p, b, p->stride[1]);
    return true;
}

/* Where the rows of the batch lie in the result; if it was summed over them, they are gone. */
static void follow_batch(weft_op_call *c, const product *p)
{
    if (c->lead < 0 || c->batch < 0)
        return;
    const weft_view *v = &c->in[c->lead];
    const bool left = c->lead == 0;
    const int summed = left ? v->rank - 1 : v->rank > 1 ? v->rank - 2 : 0;
    if (c->batch == summed)
        c->rows = WEFT_ROWS_SUM;
    else if (!left && c->batch == v->rank - 1)
        c->batch = c->out.rank - 1;
    else
        c->batch += p->rank - leading(v);
}

static weft_status shape(weft_op_call *c)
{
    char a[WEFT__SHAPE_TEXT], b[WEFT__SHAPE_TEXT];
    const weft_view *x = &c->in[0], *y = &c->in[1];
    product p;
    WEFT_TRY(weft__op_float(c, 0));
    WEFT_TRY(weft__op_float(c, 1));
    if (!measure(x, y, &p))
        return weft_op_fail(c, WEFT_ESHAPE, "%s by %s; it takes (...,M,K) by (...,K,N)",
                            weft__shape_text(x->rank, x->shape, a),
                            weft__shape_text(y->rank, y->shape, b));
    c->out.dtype = x->dtype;
    for (; c->out.rank < p.rank; c->out.rank++)
        c->out.shape[c->out.rank] = p.shape[c->out.rank];
    if (x->rank > 1)
        c->out.shape[c->out.rank++] = x->shape[x->rank - 2];
    if (y->rank > 1)
        c->out.shape[c->out.rank++] = p.n;
    follow_batch(c, &p);
    return WEFT_OK;
}

static weft_status forward(weft_op_call *c)
{
    product p;
    measure(&c->in[0], &c->in[1], &p);
    if (p.one)
        return c->k->gemm(c->stream, c->out.data, c->out.dtype, p.n, 1.0, c->in[0].data, p.k, 0,
                          c->in[1].data, p.n, 0, 0.0, p.m, p.n, p.k, c->out.dtype);
    return c->k->gemm_batch(c->stream, c->out.data, c->out.dtype, c->in[0].data, p.stride[0], 0,
                            c->in[1].data, p.stride[1], 0, p.rank, p.shape, p.m, p.n, p.k,
                            c->out.dtype);
}

static weft_status backward_of_one(weft_op_call *c, const product *p)
{
    if (c->want[0])
        WEFT_TRY(c->k->gemm(c->stream, c->gin[0].data, c->gin[0].dtype, p->k, 1.0, c->gout.data,
                            p->n, 0, c->in[1].data, p->n, 1, 0.0, p->m, p->k, p->n, c->out.dtype));
    if (c->want[1])
        WEFT_TRY(c->k->gemm(c->stream, c->gin[1].data, c->gin[1].dtype, p->n, 1.0, c->in[0].data,
                            p->k, 1, c->gout.data, p->n, 0, 0.0, p->k, p->n, p->m, c->out.dtype));
    return WEFT_OK;
}

/* Memory for the gradients of all matrices of input i: its own, or to be summed into it. */
static weft_status room(weft_op_call *c, const product *p, int i, int64_t size, weft_view *g)
{
    *g = (weft_view){.dtype = c->gin[i].dtype, .rank = p->rank + 1};
    for (int d = 0; d < p->rank; d++)
        g->shape[d] = p->shape[d];
    g->shape[p->rank] = size;
    WEFT_TRY(weft__view_pack(g));
    g->data = c->gin[i].data;
    return g->numel == c->gin[i].numel ? WEFT_OK : weft__scratch_view(c->fabric, g);
}

static weft_status collect(weft_op_call *c, const product *p, int i, const weft_view *g)
{
    int64_t stride[WEFT_MAX_RANK];
    if (g->data.addr == c->gin[i].data.addr)
        return WEFT_OK;
    step_over(p, &c->gin[i], stride);
    stride[p->rank] = 1;
    return c->k->sum(c->stream, c->gin[i].data, c->gin[i].dtype, stride, 1.0, g->data, g->stride,
                     g->rank, g->shape, g->dtype);
}

static weft_status backward(weft_op_call *c)
{
    product p;
    weft_view g;
    int64_t step[WEFT_MAX_RANK];
    measure(&c->in[0], &c->in[1], &p);
    if (p.one)
        return backward_of_one(c, &p);
    weft__strides(p.rank, p.shape, step);
    for (int d = 0; d < p.rank; d++)
        step[d] *= p.m * p.n;
    if (c->want[0]) {
        WEFT_TRY(room(c, &p, 0, p.m * p.k, &g));
        WEFT_TRY(c->k->gemm_batch(c->stream, g.data, g.dtype, c->gout.data, step, 0, c->in[1].data,
                                  p.stride[1], 1, p.rank, p.shape, p.m, p.k, p.n, c->out.dtype));
        WEFT_TRY(collect(c, &p, 0, &g));
    }
    if (c->want[1]) {
        WEFT_TRY(room(c, &p, 1, p.k * p.n, &g));
        WEFT_TRY(c->k->gemm_batch(c->stream, g.data, g.dtype, c->in[0].data, p.stride[0], 1,
                                  c->gout.data, step, 0, p.rank, p.shape, p.k, p.n, p.m,
                                  c->out.dtype));
        WEFT_TRY(collect(c, &p, 1, &g));
    }
    return WEFT_OK;
}

static const weft_op op = {.size = sizeof op,
                           .name = "matmul",
                           .cast = WEFT_CAST_LOW,
                           .contiguous = 1,
                           .shape = shape,
                           .forward = forward,
                           .backward = backward,
                           .wide = 1};

weft_tensor *weft_matmul(weft_tensor *a, weft_tensor *b)
{
    return weft__apply2(&op, a, b);
}
