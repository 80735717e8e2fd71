/* y = x r w over the last dimensions, seen as rows of c, r = 1/sqrt(mean(x^2) + eps). The r are saved; the
 * kernel has the gradient's formula. */
#include "ops/ops.h"

#include <float.h>

enum { STATS };

typedef struct attributes {
    double eps; /* below 0: that of the type */
    int dims;
} attributes;

static weft_status shape(weft_op_call *c)
{
    const attributes *a = c->attr;
    weft_view *stats = &c->saved[STATS];
    for (int i = 1; i < c->nin; i++)
        WEFT_TRY(weft__op_float(c, i));
    WEFT_TRY(weft__op_norm(c, a->dims, 1, true, STATS));
    stats->rank--;
    return WEFT_OK;
}

static weft_dev weight(const weft_op_call *c)
{
    return c->nin == 2 ? c->in[1].data : (weft_dev){0};
}

static void sizes(const weft_op_call *c, int64_t *rows, int64_t *columns)
{
    *rows = c->saved[STATS].numel;
    *columns = *rows ? c->in[0].numel / *rows : 0;
}

static weft_status forward(weft_op_call *c)
{
    const attributes *a = c->attr;
    const double least = c->out.dtype == WEFT_F64 ? DBL_EPSILON : (double)FLT_EPSILON;
    int64_t rows, n;
    sizes(c, &rows, &n);
    return c->k->rmsnorm(c->stream, c->out.data, c->saved[STATS].data, c->in[0].data, weight(c),
                         rows, n, a->eps < 0 ? least : a->eps, c->out.dtype);
}

static weft_status backward(weft_op_call *c)
{
    const bool weighs = c->nin == 2 && c->want[1];
    weft_view gw = {.numel = 0};
    int64_t rows, n;
    sizes(c, &rows, &n);
    if (weighs)
        WEFT_TRY(weft__op_sums(c, 1, &gw));
    if (weighs && !rows) /* no row says how long the weight is */
        WEFT_TRY(c->device->ops->zero(c->stream, gw.data, weft__view_bytes(&gw)));
    WEFT_TRY(c->k->rmsnorm_back(c->stream, c->want[0] ? c->gin[0].data : (weft_dev){0}, gw.data,
                                c->gout.data, c->in[0].data, c->saved[STATS].data, weight(c), rows,
                                n, c->out.dtype));
    return weighs ? weft__op_round(c, 1, &gw) : WEFT_OK;
}

static const weft_op op = {.size = sizeof op,
                           .name = "rmsnorm",
                           .cast = WEFT_CAST_PROMOTE,
                           .attr_size = sizeof(attributes),
                           .contiguous = 1,
                           .shape = shape,
                           .forward = forward,
                           .backward = backward,
                           .wide = 1};

weft_tensor *weft_rmsnorm(weft_tensor *x, int dims, weft_tensor *weight, double eps)
{
    const attributes a = {.eps = eps == 0 ? -1 : eps == WEFT_OFF ? 0 : eps, .dims = dims};
    weft_tensor *const in[] = {x, weight};
    weft_fabric *f = NULL;
    if (!weft__tensor_for(op.name, x, &f))
        return NULL;
    if (!(eps >= 0 || eps == WEFT_OFF)) {
        weft__stick(f, weft__fail(WEFT_EARG, "rmsnorm: eps %g is below 0", eps));
        return NULL;
    }
    return weft_apply(f, &op, weight ? 2 : 1, in, &a);
}
