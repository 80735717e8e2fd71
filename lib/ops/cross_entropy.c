/* loss = mean or sum over the batch of -log softmax(x)[label]. Gradient (softmax(x) - onehot) g/B,
 * or without the division. The probabilities are saved. */
#include "ops/ops.h"

#include <stdio.h>

enum { PROBABILITIES, LOSSES };

static weft_status shape(weft_op_call *c)
{
    char a[WEFT__SHAPE_TEXT], b[WEFT__SHAPE_TEXT];
    const weft_view *x = &c->in[0], *y = &c->in[1];
    WEFT_TRY(weft__op_float(c, 0));
    if (y->dtype != WEFT_I64 && y->dtype != WEFT_I32 && y->dtype != WEFT_U8)
        return weft_op_fail(c, WEFT_EDTYPE, "labels are %s; they are u8, i32 or i64",
                            weft_dtype_name(y->dtype));
    if (x->rank != 2 || y->rank != 1 || x->shape[0] != y->shape[0])
        return weft_op_fail(c, WEFT_ESHAPE, "logits %s, labels %s; it takes (B,C) and (B)",
                            weft__shape_text(x->rank, x->shape, a),
                            weft__shape_text(y->rank, y->shape, b));
    c->out.dtype = x->dtype;
    c->saved[PROBABILITIES] = *x;
    c->saved[LOSSES] = *x;
    c->saved[LOSSES].rank = 1;
    c->rows = *(int *)c->attr ? WEFT_ROWS_SUM : WEFT_ROWS_MEAN;
    return WEFT_OK;
}

/* The kernel leaves the first bad label in flag; devices that queue show it as NaN instead. */
static weft_status judge(const weft_op_call *c, weft_dev flag)
{
    int64_t bad[2];
    char sample[48] = "";
    if (!c->device->ops->immediate)
        return WEFT_OK;
    WEFT_TRY(c->device->ops->download(c->stream, bad, flag, sizeof bad));
    if (bad[0] == 0)
        return WEFT_OK;
    if (c->sample)
        snprintf(sample, sizeof sample, "sample %lld of the data set, ",
                 (long long)c->sample[bad[0] - 1]);
    return weft_op_fail(c, WEFT_EDATA,
                        "label %lld at %srow %lld of this rank's batch, at step %lld, is outside "
                        "0..%lld; mend the data",
                        (long long)bad[1], sample, (long long)bad[0] - 1,
                        (long long)c->fabric->step, (long long)c->in[0].shape[1] - 1);
}

static weft_status forward(weft_op_call *c)
{
    const weft_view *x = &c->in[0], *loss = &c->saved[LOSSES];
    const int64_t zero = 0, one = 1;
    int64_t b = x->shape[0];
    weft_dev flag;
    WEFT_TRY(weft__scratch(c->fabric, 2 * sizeof(int64_t), &flag));
    WEFT_TRY(c->device->ops->zero(c->stream, flag, 2 * sizeof(int64_t)));
    WEFT_TRY(c->k->xent(c->stream, loss->data, c->saved[PROBABILITIES].data, flag, x->data,
                        c->in[1].data, c->in[1].dtype, b, x->shape[1], x->dtype));
    WEFT_TRY(judge(c, flag));
    return c->k->sum(c->stream, c->out.data, &zero, *(int *)c->attr ? 1.0 : 1.0 / (double)b,
                     loss->data, &one, 1, &b, x->dtype);
}

static weft_status backward(weft_op_call *c)
{
    int64_t b = c->in[0].shape[0];
    return c->k->xent_back(c->stream, c->gin[0].data, c->gout.data,
                           *(int *)c->attr ? 1.0 : 1.0 / (double)b, c->saved[PROBABILITIES].data,
                           c->in[1].data, c->in[1].dtype, b, c->in[0].shape[1], c->in[0].dtype);
}

static const weft_op op = {.size = sizeof op,
                           .name = "cross_entropy",
                           .cast = WEFT_CAST_F32,
                           .attr_size = sizeof(int),
                           .contiguous = 1,
                           .shape = shape,
                           .forward = forward,
                           .backward = backward};

static weft_tensor *cross_entropy(weft_tensor *logits, weft_tensor *labels, int sum)
{
    weft_fabric *f = NULL;
    weft_tensor *const in[] = {logits, labels};
    if (!weft__tensor_for(op.name, logits, &f) || !weft__tensor_for(op.name, labels, NULL))
        return NULL;
    return weft_apply(f, &op, 2, in, &sum);
}

weft_tensor *weft_cross_entropy(weft_tensor *logits, weft_tensor *labels)
{
    return cross_entropy(logits, labels, 0);
}

weft_tensor *weft_cross_entropy_sum(weft_tensor *logits, weft_tensor *labels)
{
    return cross_entropy(logits, labels, 1);
}
