/* y = (x - mean) rstd w + b by channel, dimension 1 of x (N,C,...): of the batch, or of all ranks' batches
 * together, or of running statistics. What is saved is the count and each channel's mean and rstd. Over
 * ranks the parts of the statistics are gathered in forward, and in backward the two sums that the
 * gradient needs are added up; gradients of w and b are sums anyhow. */
#include "ops/ops.h"

#include "device/device.h"

#include <string.h>

enum { STATS };

typedef struct attributes {
    double eps, momentum;
    bool has_weight, has_bias, evaluate, together;
    weft_tensor *mean, *var, *batches;
} attributes;

static weft_status fits_running(const weft_op_call *c, weft_tensor *t, int64_t n, const char *what,
                                weft_dtype *type)
{
    char text[WEFT__SHAPE_TEXT];
    const weft__tensor *x = t ? weft__tensor_for(c->op->name, t, NULL) : NULL;
    if (!t)
        return WEFT_OK;
    if (!x)
        return WEFT_EHANDLE;
    if (x->view.numel != n || !weft__view_is_packed(&x->view))
        return weft_op_fail(c, WEFT_ESHAPE, "%s is %s, or not contiguous; it has %lld numbers",
                            what, weft__shape_text(x->view.rank, x->view.shape, text),
                            (long long)n);
    if ((x->view.dtype != WEFT_F32 && x->view.dtype != WEFT_F64) ||
        (*type != WEFT_DEFAULT && *type != x->view.dtype))
        return weft_op_fail(c, WEFT_EDTYPE,
                            "%s is %s; running statistics are f32 or f64, all of them alike", what,
                            weft_dtype_name(x->view.dtype));
    *type = x->view.dtype;
    if (n && !x->view.data.addr)
        return weft_op_fail(c, WEFT_ESTATE, "%s has no memory before weft_setup", what);
    return WEFT_OK;
}

static weft_status running(const weft_op_call *c, weft_dtype *type)
{
    const attributes *a = c->attr;
    const int64_t n = c->in[0].shape[1];
    *type = WEFT_DEFAULT;
    if (!a->mean != !a->var || (a->evaluate && !a->mean) || (a->batches && !a->mean))
        return weft_op_fail(c, WEFT_EARG,
                            "running statistics are a mean and a variance, or neither");
    if (a->momentum < 0 && a->mean && !a->batches && !a->evaluate)
        return weft_op_fail(c, WEFT_EARG,
                            "the mean over all batches needs their number: give .batches");
    WEFT_TRY(fits_running(c, a->mean, n, "the running mean", type));
    WEFT_TRY(fits_running(c, a->var, n, "the running variance", type));
    return fits_running(c, a->batches, 1, "the number of batches", type);
}

static weft_status shape(weft_op_call *c)
{
    char text[WEFT__SHAPE_TEXT];
    const attributes *a = c->attr;
    const weft_view *x = &c->in[0];
    weft_dtype type;
    WEFT_TRY(weft__op_like(c));
    if (x->rank < 2)
        return weft_op_fail(c, WEFT_ESHAPE, "%s has no channels; it takes (N,C) or (N,C,...)",
                            weft__shape_text(x->rank, x->shape, text));
    const weft__channels e = weft__op_channels(x);
    for (int i = 1; i < c->nin; i++) {
        WEFT_TRY(weft__op_float(c, i));
        if (c->in[i].rank != 1 || c->in[i].shape[0] != e.c)
            return weft_op_fail(c, WEFT_ESHAPE, "%s %s for %lld channels",
                                i == 1 && a->has_weight ? "weight" : "bias",
                                weft__shape_text(c->in[i].rank, c->in[i].shape, text),
                                (long long)e.c);
    }
    WEFT_TRY(running(c, &type));
    if (e.n * e.inner == 1 && !a->evaluate && !a->together)
        return weft_op_fail(c, WEFT_ESHAPE,
                            "%s has one value a channel, which has no variance; leave such a batch "
                            "out (tail=drop of the loader), or use .sync on several ranks",
                            weft__shape_text(x->rank, x->shape, text));
    c->saved[STATS] = (weft_view){.dtype = WEFT_F64, .rank = 1, .shape = {1 + 2 * e.c}};
    return WEFT_OK;
}

static weft_dev at(weft_tensor *t)
{
    const weft__tensor *x = t ? weft__tensor_at(t, NULL) : NULL;
    return x ? x->view.data : (weft_dev){0};
}

/* This rank's part goes to its place among all ranks'. */
static weft_status parts(weft_op_call *c, const weft__channels *e, weft_dev *first, int64_t *ranks)
{
    const attributes *a = c->attr;
    const int64_t n = 1 + 2 * e->c, size = n * (int64_t)sizeof(double);
    const weft__hooks *h = &c->fabric->tape->hooks;
    weft_dev own;
    *ranks = a->together ? c->fabric->world : 1;
    if (a->together)
        *first = h->room(h->self);
    else
        WEFT_TRY(weft__scratch(c->fabric, (size_t)size, first));
    own = a->together ? weft__at(*first, c->fabric->rank * size) : *first;
    WEFT_TRY(
        c->k->channel_moments(c->stream, own, c->in[0].data, e->n, e->c, e->inner, c->in[0].dtype));
    return a->together ? weft__tape_gather(c->fabric, n) : WEFT_OK;
}

static weft_status statistics(weft_op_call *c, const weft__channels *e)
{
    const attributes *a = c->attr;
    weft_dev all = {0};
    weft_dtype type;
    int64_t ranks = 0;
    WEFT_TRY(running(c, &type));
    if (!a->evaluate)
        WEFT_TRY(parts(c, e, &all, &ranks));
    return c->k->channel_stats(c->stream, c->saved[STATS].data, at(a->mean), at(a->var),
                               at(a->batches), type, all, ranks, e->c, a->momentum, a->eps);
}

static bool is_low(weft_dtype t)
{
    return t == WEFT_BF16 || t == WEFT_F16;
}

/* Weight and bias in the type of x, or both in f32 beside 16 bits. */
static weft_status affine(weft_op_call *c, weft_dev *w, weft_dev *b, weft_dtype *type)
{
    const attributes *a = c->attr;
    weft_view kept[WEFT_OP_INPUTS];
    weft_status s = WEFT_OK;
    *type = c->in[0].dtype;
    for (int i = 1; i < c->nin; i++)
        if (c->in[i].dtype != c->in[0].dtype)
            *type = is_low(c->in[0].dtype) ? WEFT_F32 : c->in[0].dtype;
    memcpy(kept, c->in, sizeof kept);
    for (int i = 1; i < c->nin && !s; i++)
        s = weft__op_as(c, i, *type);
    *w = a->has_weight ? c->in[1].data : (weft_dev){0};
    *b = a->has_bias ? c->in[1 + a->has_weight].data : (weft_dev){0};
    memcpy(c->in, kept, sizeof kept);
    return s;
}

static weft_status forward(weft_op_call *c)
{
    const weft__channels e = weft__op_channels(&c->in[0]);
    weft_dev w, b;
    weft_dtype type;
    WEFT_TRY(statistics(c, &e));
    WEFT_TRY(affine(c, &w, &b, &type));
    return c->k->channel_norm(c->stream, c->out.data, c->in[0].data, c->saved[STATS].data, w, b,
                              type, e.n, e.c, e.inner, 0, c->in[0].dtype);
}

/* This rank's sums, and its gradients of weight and bias. */
static weft_status own_sums(weft_op_call *c, const weft__channels *e, weft_dev sums)
{
    const attributes *a = c->attr;
    WEFT_TRY(c->k->channel_sums(c->stream, sums, c->gout.data, c->in[0].data, c->saved[STATS].data,
                                e->n, e->c, e->inner, 0, c->in[0].dtype));
    if (a->has_weight)
        WEFT_TRY(weft__op_channel_grad(c, 1, sums, 1));
    return a->has_bias ? weft__op_channel_grad(c, 1 + a->has_weight, sums, 0) : WEFT_OK;
}

static weft_status drain(weft_op_call *c)
{
    const weft__hooks *h = &c->fabric->tape->hooks;
    const int64_t n = 2 * c->in[0].shape[1];
    const weft_status s =
        c->device->ops->zero(c->stream, h->room(h->self), (size_t)n * sizeof(double));
    const weft_status together = weft__tape_sum(c->fabric, n);
    return s < 0 ? s : together;
}

static weft_status summed(weft_op_call *c, const weft__channels *e, weft_dev *sums)
{
    const attributes *a = c->attr;
    const weft__hooks *h = &c->fabric->tape->hooks;
    if (!a->together) {
        WEFT_TRY(weft__scratch(c->fabric, (size_t)(2 * e->c) * sizeof(double), sums));
        return own_sums(c, e, *sums);
    }
    *sums = h->room(h->self);
    const weft_status s = own_sums(c, e, *sums);
    const weft_status together = s < 0 ? drain(c) : weft__tape_sum(c->fabric, 2 * e->c);
    return s < 0 ? s : together;
}

static weft_status backward(weft_op_call *c)
{
    const attributes *a = c->attr;
    const weft__channels e = weft__op_channels(&c->in[0]);
    weft_view g = c->gin[0];
    weft_dev sums, w, b;
    weft_dtype type;
    WEFT_TRY(summed(c, &e, &sums));
    if (!c->want[0])
        return WEFT_OK;
    WEFT_TRY(affine(c, &w, &b, &type));
    g.dtype = c->in[0].dtype;
    if (g.dtype != c->gin[0].dtype)
        WEFT_TRY(weft__scratch_view(c->fabric, &g));
    WEFT_TRY(c->k->channel_norm_back(c->stream, g.data, c->gout.data, c->in[0].data,
                                     c->saved[STATS].data, a->evaluate ? (weft_dev){0} : sums, w,
                                     type, e.n, e.c, e.inner, 0, c->in[0].dtype));
    return weft__op_round(c, 0, &g);
}

static const weft_op op = {.size = sizeof op,
                           .name = "batchnorm",
                           .cast = WEFT_CAST_NONE,
                           .attr_size = sizeof(attributes),
                           .contiguous = 1,
                           .wide = 1,
                           .shape = shape,
                           .forward = forward,
                           .backward = backward};
static const weft_op op_together = {.size = sizeof op_together,
                                    .name = "batchnorm",
                                    .cast = WEFT_CAST_NONE,
                                    .attr_size = sizeof(attributes),
                                    .contiguous = 1,
                                    .wide = 1,
                                    .shape = shape,
                                    .forward = forward,
                                    .backward = backward,
                                    .drain = drain};

weft_tensor *weft__batchnorm(weft_tensor *x, weft_tensor *weight, weft_tensor *bias, double eps,
                             const weft_running *r, bool together)
{
    const weft_running none = {0};
    r = r ? r : &none;
    const attributes a = {.eps = weft__op_eps(eps),
                          .momentum = r->momentum == 0 ? 0.1 : r->momentum,
                          .has_weight = weight != NULL,
                          .has_bias = bias != NULL,
                          .evaluate = r->evaluate,
                          .together = together,
                          .mean = r->mean,
                          .var = r->var,
                          .batches = r->batches};
    weft_tensor *const in[] = {x, weight ? weight : bias, bias};
    weft_fabric *f = NULL;
    if (!weft__tensor_for(op.name, x, &f))
        return NULL;
    if (!(a.eps >= 0) || !(a.momentum <= 1) || (a.momentum < 0 && a.momentum != WEFT_OFF)) {
        weft__stick(f, weft__fail(WEFT_EARG,
                                  "batchnorm: eps %g, momentum %g; eps is not below 0, and "
                                  "momentum in (0, 1] or off",
                                  eps, r->momentum));
        return NULL;
    }
    return weft_apply(f, together ? &op_together : &op, 1 + a.has_weight + a.has_bias, in, &a);
}

weft_tensor *weft_batchnorm(weft_tensor *x, weft_tensor *weight, weft_tensor *bias, double eps,
                            const weft_running *r)
{
    return weft__batchnorm(x, weight, bias, eps, r, false);
}

weft_status weft__batchnorm_absent(weft_fabric *f, int64_t channels)
{
    return weft__tape_gather_nothing(f, 1 + 2 * channels);
}
