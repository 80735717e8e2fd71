/* y = (x - mean) rstd w + b of x (N,C,...), mean and rstd of each row's channels in groups of C/groups, w
 * and b by channel. To the kernels a group is a channel whose only row it is. */
#include "ops/ops.h"

#include "device/device.h"

enum { STATS };

typedef struct attributes {
    double eps;
    int64_t groups;
    bool has_weight, has_bias;
} attributes;

static weft_status shape(weft_op_call *c)
{
    char text[WEFT__SHAPE_TEXT];
    const attributes *a = c->attr;
    const weft_view *x = &c->in[0];
    WEFT_TRY(weft__op_like(c));
    if (x->rank < 2 || x->shape[1] % a->groups != 0)
        return weft_op_fail(c, WEFT_ESHAPE,
                            "%s in %lld groups; it takes (N,C,...) with C a multiple of them",
                            weft__shape_text(x->rank, x->shape, text), (long long)a->groups);
    for (int i = 1; i < c->nin; i++)
        if (c->in[i].rank != 1 || c->in[i].shape[0] != x->shape[1])
            return weft_op_fail(c, WEFT_ESHAPE, "%s %s for %lld channels",
                                i == 1 && a->has_weight ? "weight" : "bias",
                                weft__shape_text(c->in[i].rank, c->in[i].shape, text),
                                (long long)x->shape[1]);
    c->saved[STATS] =
        (weft_view){.dtype = WEFT_F64, .rank = 1, .shape = {1 + 2 * x->shape[0] * a->groups}};
    return WEFT_OK;
}

static weft_dev input(const weft_op_call *c, bool has, int i)
{
    return has ? c->in[i].data : (weft_dev){0};
}

static weft_status forward(weft_op_call *c)
{
    const attributes *a = c->attr;
    const weft__channels e = weft__op_channels(&c->in[0]);
    const int64_t all = e.n * a->groups, size = e.c / a->groups * e.inner;
    const weft_dtype t = c->in[0].dtype;
    const weft__mark mark = weft__engine_mark(c->fabric);
    const weft_dev none = {0};
    weft_dev parts;
    WEFT_TRY(weft__scratch(c->fabric, (size_t)(1 + 2 * all) * sizeof(double), &parts));
    weft_status s = c->k->channel_moments(c->stream, parts, c->in[0].data, 1, all, size, t);
    if (!s)
        s = c->k->channel_stats(c->stream, c->saved[STATS].data, none, none, none, WEFT_F64, parts,
                                1, all, 0, a->eps);
    if (!s)
        s = c->k->channel_norm(c->stream, c->out.data, c->in[0].data, c->saved[STATS].data,
                               input(c, a->has_weight, 1), input(c, a->has_bias, 1 + a->has_weight),
                               t, e.n, e.c, e.inner, a->groups, t);
    weft__engine_rewind(c->fabric, mark);
    return s;
}

static weft_status backward(weft_op_call *c)
{
    const attributes *a = c->attr;
    const weft__channels e = weft__op_channels(&c->in[0]);
    const weft_dtype t = c->in[0].dtype;
    const int bias = 1 + a->has_weight;
    const weft_dev none = {0};
    weft_dev sums;
    if ((a->has_weight && c->want[1]) || (a->has_bias && c->want[bias])) {
        WEFT_TRY(weft__scratch(c->fabric, (size_t)(2 * e.c) * sizeof(double), &sums));
        WEFT_TRY(c->k->channel_sums(c->stream, sums, c->gout.data, c->in[0].data,
                                    c->saved[STATS].data, e.n, e.c, e.inner, a->groups, t));
        if (a->has_weight)
            WEFT_TRY(weft__op_channel_grad(c, 1, sums, 1));
        if (a->has_bias)
            WEFT_TRY(weft__op_channel_grad(c, bias, sums, 0));
    }
    if (!c->want[0])
        return WEFT_OK;
    return c->k->channel_norm_back(c->stream, c->gin[0].data, c->gout.data, c->in[0].data,
                                   c->saved[STATS].data, none, input(c, a->has_weight, 1), t, e.n,
                                   e.c, e.inner, a->groups, t);
}

static const weft_op op = {.size = sizeof op,
                           .name = "groupnorm",
                           .cast = WEFT_CAST_F32,
                           .attr_size = sizeof(attributes),
                           .contiguous = 1,
                           .shape = shape,
                           .forward = forward,
                           .backward = backward};

weft_tensor *weft_groupnorm(weft_tensor *x, int64_t groups, weft_tensor *weight, weft_tensor *bias,
                            double eps)
{
    const attributes a = {.eps = weft__op_eps(eps),
                          .groups = groups,
                          .has_weight = weight != NULL,
                          .has_bias = bias != NULL};
    weft_tensor *const in[] = {x, weight ? weight : bias, bias};
    weft_fabric *f = NULL;
    if (!weft__tensor_for(op.name, x, &f))
        return NULL;
    if (!(a.eps >= 0) || groups < 1) {
        weft__stick(f, weft__fail(WEFT_EARG,
                                  "groupnorm: %lld groups, eps %g; there is a group, and eps is "
                                  "not below 0",
                                  (long long)groups, eps));
        return NULL;
    }
    return weft_apply(f, &op, 1 + a.has_weight + a.has_bias, in, &a);
}
