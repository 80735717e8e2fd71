/* Checks and broadcasting that several ops share. */
#include "ops/ops.h"

#include "core/env.h"
#include "device/device.h"

#include <stdio.h>

weft_status weft__op_not_float(const weft_op_call *c, int i)
{
    return weft_op_fail(c, WEFT_EDTYPE,
                        "input %d is %s; it takes floating point: use weft_cast, or .scale of the "
                        "loader",
                        i, weft_dtype_name(c->in[i].dtype));
}

weft_status weft__op_integer(const weft_op_call *c, int i, const char *what)
{
    weft_dtype t = c->in[i].dtype;
    if (t == WEFT_I64 || t == WEFT_I32 || t == WEFT_U8)
        return WEFT_OK;
    return weft_op_fail(c, WEFT_EDTYPE, "%s are %s; they are u8, i32 or i64", what,
                        weft_dtype_name(t));
}

weft_status weft__op_like(weft_op_call *c)
{
    WEFT_TRY(weft__op_float(c, 0));
    weft__view_copy(&c->out, &c->in[0]);
    return WEFT_OK;
}

weft_status weft__op_dim(const weft_op_call *c, int *dim)
{
    const int rank = c->in[0].rank;
    if (*dim < -rank || *dim >= rank)
        return weft_op_fail(c, WEFT_ESHAPE, "dimension %d of a tensor of %d dimensions", *dim,
                            rank);
    *dim += *dim < 0 ? rank : 0;
    return WEFT_OK;
}

weft_tensor *weft__apply1(const weft_op *op, weft_tensor *x, const void *attr)
{
    weft_fabric *f = weft__fabric_of(op->name, x);
    return f ? weft_apply(f, op, 1, &x, attr) : NULL;
}

weft_tensor *weft__apply2(const weft_op *op, weft_tensor *a, weft_tensor *b)
{
    weft_fabric *f = weft__fabric_of(op->name, a);
    weft_tensor *const in[] = {a, b};
    return f ? weft_apply(f, op, 2, in, NULL) : NULL;
}

weft_status weft__op_shapes(weft_op_call *c)
{
    char a[WEFT__SHAPE_TEXT], b[WEFT__SHAPE_TEXT];
    weft_view *y = &c->out;
    for (int i = 0; i < c->nin; i++) {
        const weft_view *x = &c->in[i];
        const int rank = y->rank;
        int64_t before[WEFT_MAX_RANK];
        memcpy(before, y->shape, sizeof before);
        y->rank = weft__broadcast(rank, before, x->rank, x->shape, y->shape);
        if (y->rank < 0)
            return weft_op_fail(c, WEFT_ESHAPE, "%s and %s do not broadcast",
                                weft__shape_text(rank, before, a),
                                weft__shape_text(x->rank, x->shape, b));
    }
    c->batch += c->lead < 0 || c->batch < 0 ? 0 : y->rank - c->in[c->lead].rank;
    return WEFT_OK;
}

weft_status weft__op_broadcast(weft_op_call *c)
{
    WEFT_TRY(weft__op_float(c, 0));
    WEFT_TRY(weft__op_float(c, 1));
    c->out.dtype = c->in[0].dtype;
    return weft__op_shapes(c);
}

bool weft__op_is_integer(const weft_op_call *c, int i)
{
    const weft_dtype t = c->in[i].dtype;
    return t == WEFT_U8 || t == WEFT_I32 || t == WEFT_I64;
}

weft_status weft__op_as(weft_op_call *c, int i, weft_dtype t)
{
    const weft_view from = c->in[i];
    weft_view *to = &c->in[i];
    if (from.dtype == t)
        return WEFT_OK;
    to->dtype = t;
    WEFT_TRY(weft__scratch_view(c->fabric, to));
    return c->k->copy(c->stream, to->data, t, to->stride, from.data, from.dtype, from.stride,
                      from.rank, from.shape);
}

void weft__op_stretch(const weft_op_call *c, const weft_view *v, int64_t *stride)
{
    int lead = c->out.rank - v->rank;
    for (int d = 0; d < c->out.rank; d++)
        stride[d] = d < lead || v->shape[d - lead] == 1 ? 0 : v->stride[d - lead];
}

weft_status weft__op_unbroadcast(weft_op_call *c, int i, const weft_view *g)
{
    int64_t stride[WEFT_MAX_RANK];
    weft__op_stretch(c, &c->gin[i], stride);
    if (c->gin[i].numel == g->numel)
        return c->k->copy(c->stream, c->gin[i].data, c->gin[i].dtype, stride, g->data, g->dtype,
                          g->stride, c->out.rank, c->out.shape);
    return c->k->sum(c->stream, c->gin[i].data, c->gin[i].dtype, stride, 1.0, g->data, g->stride,
                     c->out.rank, c->out.shape, g->dtype);
}

weft_status weft__op_sums(const weft_op_call *c, int i, weft_view *g)
{
    *g = c->gin[i];
    if (weft_dtype_size(g->dtype) > 2)
        return WEFT_OK;
    g->dtype = WEFT_F32;
    return weft__scratch_view(c->fabric, g);
}

weft_status weft__op_round(const weft_op_call *c, int i, const weft_view *g)
{
    const weft_view *to = &c->gin[i];
    if (g->data.addr == to->data.addr)
        return WEFT_OK;
    return c->k->copy(c->stream, to->data, to->dtype, to->stride, g->data, g->dtype, g->stride,
                      g->rank, g->shape);
}

weft_dev weft__op_at(const weft_view *v, int64_t i)
{
    return weft__at(v->data, i * (int64_t)weft__size_of(v->dtype));
}

weft_status weft__op_pass(weft_op_call *c)
{
    c->gin[0].data = c->gout.data;
    return WEFT_OK;
}

double weft__op_eps(double eps)
{
    return eps == 0 ? 1e-5 : eps == WEFT_OFF ? 0 : eps;
}

weft__channels weft__op_channels(const weft_view *x)
{
    weft__channels e = {.n = x->shape[0], .c = x->shape[1], .inner = 1};
    for (int d = 2; d < x->rank; d++)
        e.inner *= x->shape[d];
    return e;
}

weft_status weft__op_channel_grad(const weft_op_call *c, int i, weft_dev sums, int second)
{
    const int64_t two = 2;
    const weft_view *g = &c->gin[i];
    if (!c->want[i])
        return WEFT_OK;
    return c->k->copy(c->stream, g->data, g->dtype, g->stride,
                      weft__at(sums, second * (int64_t)sizeof(double)), WEFT_F64, &two, 1,
                      g->shape);
}

static weft__late late(const weft_op_call *c, const char *what, const weft_view *numbers,
                       int64_t limit)
{
    const int64_t rows = numbers->rank ? numbers->shape[0] : 0;
    return (weft__late){.op = c->op->name,
                        .what = what,
                        .limit = limit,
                        .step = c->fabric->step,
                        .width = rows ? numbers->numel / rows : 1,
                        .sample = c->sample,
                        .rows = rows};
}

weft_status weft__op_verdict(const weft_op_call *c, weft_dev flag, const char *what,
                             const weft_view *numbers, int64_t limit)
{
    const weft__late l = late(c, what, numbers, limit);
    return weft__late_verdict(c->fabric, flag, &l);
}

weft_status weft__op_judge(const weft_op_call *c, weft_dev flag, const char *what,
                           const weft_view *numbers, int64_t limit)
{
    const weft__late l = late(c, what, numbers, limit);
    return weft__late_judge(c->fabric, flag, &l);
}

weft_status weft__reduce_parse(const char *who, const char *name, bool batchmean, weft__reduce *out)
{
    static const char *const word[] = {"mean", "sum", "none", "batchmean"};
    char what[64];
    *out = WEFT__MEAN_OF;
    if (!name)
        return WEFT_OK;
    snprintf(what, sizeof what, "%s: reduction", who);
    int i = weft__parse_choice(what, name, word, batchmean ? 4 : 3);
    if (i < 0)
        return WEFT_EARG;
    *out = (weft__reduce)i;
    return WEFT_OK;
}

int weft__reduce_rows(weft__reduce r)
{
    return r == WEFT__EACH ? WEFT_ROWS_KEEP : r == WEFT__SUM_OF ? WEFT_ROWS_SUM : WEFT_ROWS_MEAN;
}

weft_status weft__reduce_forward(const weft_op_call *c, weft__reduce r, double factor,
                                 const weft_view *losses)
{
    const int64_t zero = 0, one = 1;
    return r == WEFT__EACH ? WEFT_OK
                           : c->k->sum(c->stream, c->out.data, c->out.dtype, &zero, factor,
                                       losses->data, &one, 1, &losses->numel, losses->dtype);
}
