/* Ops that count rows of logits by what their label and their largest entry are. No gradient. */
#include "core/shape.h"
#include "metric/metric.h"
#include "ops/ops.h"

static weft_status are_logits(weft_op_call *c)
{
    char a[WEFT__SHAPE_TEXT], b[WEFT__SHAPE_TEXT];
    const weft_view *x = &c->in[0], *y = &c->in[1];
    WEFT_TRY(weft__op_float(c, 0));
    WEFT_TRY(weft__op_integer(c, 1, "labels"));
    if (x->rank != 2 || y->rank != 1 || x->shape[0] != y->shape[0])
        return weft_op_fail(c, WEFT_ESHAPE, "logits %s, labels %s; it takes (B,C) and (B)",
                            weft__shape_text(x->rank, x->shape, a),
                            weft__shape_text(y->rank, y->shape, b));
    c->rows = WEFT_ROWS_SUM;
    return WEFT_OK;
}

static weft_status shape_top(weft_op_call *c)
{
    c->out.dtype = WEFT_F64;
    return are_logits(c);
}

static weft_status count_top(weft_op_call *c)
{
    weft_dev flag;
    WEFT_TRY(weft__late_flag(c->fabric, &flag));
    WEFT_TRY(c->k->topk(c->stream, c->out.data, flag, c->in[0].data, c->in[1].data, c->in[1].dtype,
                        c->in[0].shape[0], c->in[0].shape[1], *(int64_t *)c->attr, c->in[0].dtype));
    return weft__op_verdict(c, flag, "label", &c->in[1], c->in[0].shape[1]);
}

static const weft_op top = {.size = sizeof top,
                            .name = "accuracy",
                            .cast = WEFT_CAST_F32,
                            .attr_size = sizeof(int64_t),
                            .contiguous = 1,
                            .shape = shape_top,
                            .forward = count_top};

static weft_status shape_pairs(weft_op_call *c)
{
    WEFT_TRY(are_logits(c));
    c->out.dtype = WEFT_I64;
    c->out.rank = 2;
    c->out.shape[0] = c->out.shape[1] = c->in[0].shape[1];
    return WEFT_OK;
}

static weft_status count_pairs(weft_op_call *c)
{
    weft_dev flag;
    WEFT_TRY(weft__late_flag(c->fabric, &flag));
    WEFT_TRY(c->k->confusion(c->stream, c->out.data, flag, c->in[0].data, c->in[1].data,
                             c->in[1].dtype, c->in[0].shape[0], c->in[0].shape[1], c->in[0].dtype));
    return weft__op_verdict(c, flag, "label", &c->in[1], c->in[0].shape[1]);
}

static const weft_op pairs = {.size = sizeof pairs,
                              .name = "confusion",
                              .cast = WEFT_CAST_F32,
                              .contiguous = 1,
                              .shape = shape_pairs,
                              .forward = count_pairs};

weft_tensor *weft__count_top(weft_tensor *logits, weft_tensor *labels, int64_t k)
{
    weft_fabric *f = NULL;
    weft_tensor *const in[] = {logits, labels};
    return weft__tensor_for(top.name, logits, &f) ? weft_apply(f, &top, 2, in, &k) : NULL;
}

weft_tensor *weft__count_pairs(weft_tensor *logits, weft_tensor *labels)
{
    return weft__apply2(&pairs, logits, labels);
}
