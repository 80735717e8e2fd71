/* y = a where the condition is not 0, b elsewhere. The gradient goes to the one that was taken. Of two
 * integers the result is i64. */
#include "ops/ops.h"

enum { CONDITION, A, B };

static weft_status shape(weft_op_call *c)
{
    if (c->in[CONDITION].dtype != WEFT_U8)
        return weft_op_fail(c, WEFT_EDTYPE, "the condition is %s; it is u8, as weft_gt makes it",
                            weft_dtype_name(c->in[CONDITION].dtype));
    const bool integers = weft__op_is_integer(c, A) && weft__op_is_integer(c, B);
    for (int i = A; i <= B && !integers; i++)
        WEFT_TRY(weft__op_float(c, i));
    c->out.dtype = integers ? WEFT_I64 : c->in[A].dtype;
    return weft__op_shapes(c);
}

/* y = a or b by the condition, both read with the strides given. */
static weft_status choose(weft_op_call *c, weft_dev y, weft_dev a, const int64_t *astride,
                          weft_dev b, const int64_t *bstride)
{
    int64_t stride[WEFT_MAX_RANK];
    weft__op_stretch(c, &c->in[CONDITION], stride);
    return c->k->where(c->stream, y, c->in[CONDITION].data, stride, a, astride, b, bstride,
                       c->out.rank, c->out.shape, c->out.dtype);
}

static weft_status forward(weft_op_call *c)
{
    int64_t a[WEFT_MAX_RANK], b[WEFT_MAX_RANK];
    WEFT_TRY(weft__op_as(c, A, c->out.dtype));
    WEFT_TRY(weft__op_as(c, B, c->out.dtype));
    weft__op_stretch(c, &c->in[A], a);
    weft__op_stretch(c, &c->in[B], b);
    return choose(c, c->out.data, c->in[A].data, a, c->in[B].data, b);
}

static weft_status backward(weft_op_call *c)
{
    const int64_t still[WEFT_MAX_RANK] = {0};
    const size_t bytes = weft_dtype_size(c->out.dtype);
    weft_dev zero;
    WEFT_TRY(weft__scratch(c->fabric, bytes, &zero));
    WEFT_TRY(c->device->ops->zero(c->stream, zero, bytes));
    for (int i = A; i <= B; i++) {
        weft_view g = c->gout;
        if (!c->want[i])
            continue;
        WEFT_TRY(weft__scratch_view(c->fabric, &g));
        if (i == A)
            WEFT_TRY(choose(c, g.data, c->gout.data, c->gout.stride, zero, still));
        else
            WEFT_TRY(choose(c, g.data, zero, still, c->gout.data, c->gout.stride));
        WEFT_TRY(weft__op_unbroadcast(c, i, &g));
    }
    return WEFT_OK;
}

static const weft_op op = {.size = sizeof op,
                           .name = "where",
                           .cast = WEFT_CAST_PROMOTE,
                           .shape = shape,
                           .forward = forward,
                           .backward = backward};

weft_tensor *weft_where(weft_tensor *condition, weft_tensor *a, weft_tensor *b)
{
    weft_fabric *f = NULL;
    weft_tensor *const in[] = {condition, a, b};
    for (int i = 0; i < 3; i++)
        if (!weft__tensor_for(op.name, in[i], i ? NULL : &f))
            return NULL;
    return weft_apply(f, &op, 3, in, NULL);
}
