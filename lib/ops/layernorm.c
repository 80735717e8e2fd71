/* y = (x - mean) rstd w + b over the last dimensions, seen as rows of c. Mean and rstd are saved;
 * the kernel has the gradient's formula. */
#include "ops/ops.h"

enum { STATS };

typedef struct attributes {
    double eps;
    int dims;
    bool has_weight, has_bias; /* inputs 1 and the next */
} attributes;

weft_status weft__op_norm(weft_op_call *c, int dims, int first, bool has_weight, int stats)
{
    char a[WEFT__SHAPE_TEXT], b[WEFT__SHAPE_TEXT];
    const weft_view *x = &c->in[0];
    weft_view *s = &c->saved[stats];
    WEFT_TRY(weft__op_like(c));
    if (dims < 1 || dims > x->rank)
        return weft_op_fail(c, WEFT_ESHAPE, "the last %d dimensions of %s", dims,
                            weft__shape_text(x->rank, x->shape, a));
    for (int i = first; i < c->nin; i++)
        if (!weft__same_shape(dims, x->shape + x->rank - dims, c->in[i].rank, c->in[i].shape))
            return weft_op_fail(c, WEFT_ESHAPE, "%s %s for the last %d dimensions of %s",
                                i == first && has_weight ? "weight" : "bias",
                                weft__shape_text(c->in[i].rank, c->in[i].shape, a), dims,
                                weft__shape_text(x->rank, x->shape, b));
    s->dtype = WEFT_F64;
    s->rank = x->rank - dims + 1;
    for (int d = 0; d < s->rank - 1; d++)
        s->shape[d] = x->shape[d];
    s->shape[s->rank - 1] = 2;
    return WEFT_OK;
}

static weft_status shape(weft_op_call *c)
{
    const attributes *t = c->attr;
    return weft__op_norm(c, t->dims, 1, t->has_weight, STATS);
}

static weft_dev input(const weft_op_call *c, bool has, int i)
{
    return has ? c->in[i].data : (weft_dev){0};
}

static void sizes(const weft_op_call *c, int64_t *rows, int64_t *columns)
{
    *rows = c->saved[STATS].numel / 2;
    *columns = *rows ? c->in[0].numel / *rows : 0;
}

static weft_status forward(weft_op_call *c)
{
    const attributes *a = c->attr;
    int64_t rows, n;
    sizes(c, &rows, &n);
    return c->k->layernorm(c->stream, c->out.data, c->saved[STATS].data, c->in[0].data,
                           input(c, a->has_weight, 1), input(c, a->has_bias, 1 + a->has_weight),
                           rows, n, a->eps, c->out.dtype);
}

static weft_status backward(weft_op_call *c)
{
    const attributes *a = c->attr;
    weft_dev gx = {0}, gw = {0}, gb = {0};
    int bias = 1 + a->has_weight;
    int64_t rows, n;
    sizes(c, &rows, &n);
    if (c->want[0])
        gx = c->gin[0].data;
    if (a->has_weight && c->want[1])
        gw = c->gin[1].data;
    if (a->has_bias && c->want[bias])
        gb = c->gin[bias].data;
    for (int i = 1; i < c->nin && !rows; i++) /* no row says how long the weight is */
        if (c->want[i])
            WEFT_TRY(c->device->ops->zero(c->stream, c->gin[i].data, weft__view_bytes(&c->gin[i])));
    const weft_dev x = c->in[0].data, w = input(c, a->has_weight, 1);
    if (c->more[0].addr)
        return c->k->add_layernorm_back(c->stream, gx, gw, gb, c->gout.data, c->more[0], x,
                                        c->saved[STATS].data, w, rows, n, c->out.dtype);
    return c->k->layernorm_back(c->stream, gx, gw, gb, c->gout.data, x, c->saved[STATS].data, w,
                                rows, n, c->out.dtype);
}

static const weft_op op = {.size = sizeof op,
                           .name = "layernorm",
                           .cast = WEFT_CAST_F32,
                           .attr_size = sizeof(attributes),
                           .contiguous = 1,
                           .shape = shape,
                           .forward = forward,
                           .backward = backward,
                           .adds = 1};

weft_tensor *weft_layernorm(weft_tensor *x, int dims, weft_tensor *weight, weft_tensor *bias,
                            double eps)
{
    const attributes a = {.eps = weft__op_eps(eps),
                          .dims = dims,
                          .has_weight = weight != NULL,
                          .has_bias = bias != NULL};
    weft_tensor *const in[] = {x, weight ? weight : bias, bias};
    weft_fabric *f = weft__fabric_of(op.name, x);
    if (!f)
        return NULL;
    if (!(a.eps >= 0)) {
        weft__stick(f, weft__fail(WEFT_EARG, "layernorm: eps %g is below 0", eps));
        return NULL;
    }
    return weft_apply(f, &op, 1 + a.has_weight + a.has_bias, in, &a);
}
