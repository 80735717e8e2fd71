/* sum = x + r and y = layernorm(sum), two results: what leaves one part of a residual network and enters
 * the next. Gradient: that of layernorm, and that of the sum, to x and r alike. */
#include "ops/ops.h"

enum { SUM, STATS };

typedef struct attributes {
    double eps;
    int dims;
    bool has_weight, has_bias; /* inputs 2 and the next */
} attributes;

static weft_status shape(weft_op_call *c)
{
    char a[WEFT__SHAPE_TEXT], b[WEFT__SHAPE_TEXT];
    const attributes *t = c->attr;
    const weft_view *x = &c->in[0], *r = &c->in[1];
    for (int i = 0; i < c->nin; i++)
        WEFT_TRY(weft__op_float(c, i));
    if (!weft__same_shape(x->rank, x->shape, r->rank, r->shape))
        return weft_op_fail(c, WEFT_ESHAPE, "%s and %s; both have the same shape",
                            weft__shape_text(x->rank, x->shape, a),
                            weft__shape_text(r->rank, r->shape, b));
    c->saved[SUM] = *x;
    return weft__op_norm(c, t->dims, 2, t->has_weight, STATS);
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
    return c->k->add_layernorm(c->stream, c->out.data, c->saved[SUM].data, c->saved[STATS].data,
                               c->in[0].data, c->in[1].data, input(c, a->has_weight, 2),
                               input(c, a->has_bias, 2 + a->has_weight), rows, n, a->eps,
                               c->out.dtype);
}

/* The gradients of weight and bias, g[0] and g[1]. */
static weft_status vectors(weft_op_call *c, weft_view *g, int64_t rows, bool end)
{
    const attributes *a = c->attr;
    for (int i = 2; i < c->nin; i++) {
        weft_view *to = &g[i == 2 && a->has_weight ? 0 : 1];
        if (!c->want[i])
            continue;
        if (end)
            WEFT_TRY(weft__op_round(c, i, to));
        else
            WEFT_TRY(weft__op_sums(c, i, to));
        if (!end && !rows) /* no row says how long the weight is */
            WEFT_TRY(c->device->ops->zero(c->stream, to->data, weft__view_bytes(to)));
    }
    return WEFT_OK;
}

static weft_status backward(weft_op_call *c)
{
    const attributes *a = c->attr;
    const int to = c->want[0] ? 0 : 1;
    weft_view g[2] = {{.numel = 0}, {.numel = 0}};
    int64_t rows, n;
    sizes(c, &rows, &n);
    WEFT_TRY(vectors(c, g, rows, false));
    WEFT_TRY(c->k->add_layernorm_back(c->stream, c->want[to] ? c->gin[to].data : (weft_dev){0},
                                      g[0].data, g[1].data, c->gout.data, c->gsaved[SUM].data,
                                      c->saved[SUM].data, c->saved[STATS].data,
                                      input(c, a->has_weight, 2), rows, n, c->out.dtype));
    WEFT_TRY(vectors(c, g, rows, true));
    if (c->want[0] && c->want[1])
        c->gin[1].data = c->gin[0].data;
    return WEFT_OK;
}

static const weft_op op = {.size = sizeof op,
                           .name = "add_layernorm",
                           .cast = WEFT_CAST_PROMOTE,
                           .attr_size = sizeof(attributes),
                           .contiguous = 1,
                           .shape = shape,
                           .forward = forward,
                           .backward = backward,
                           .wide = 1,
                           .results = 1};

weft_tensor *weft_add_layernorm(weft_tensor *x, weft_tensor *r, int dims, weft_tensor *weight,
                                weft_tensor *bias, double eps, weft_tensor **sum)
{
    const attributes a = {.eps = weft__op_eps(eps),
                          .dims = dims,
                          .has_weight = weight != NULL,
                          .has_bias = bias != NULL};
    weft_tensor *const in[] = {x, r, weight ? weight : bias, bias};
    weft_tensor *unused;
    weft_fabric *f = NULL;
    sum = sum ? sum : &unused;
    *sum = NULL;
    if (!weft__tensor_for(op.name, x, &f) || !weft__tensor_for(op.name, r, NULL))
        return NULL;
    if (!(a.eps >= 0)) {
        weft__stick(f, weft__fail(WEFT_EARG, "add_layernorm: eps %g is below 0", eps));
        return NULL;
    }
    return weft_apply_results(f, &op, 2 + a.has_weight + a.has_bias, in, &a, sum);
}
