/* y = a op b as 1 or 0, elementwise, of type u8. No gradient. A floating point type wins over an
 * integer; integers are compared as i64. */
#include "ops/ops.h"

static const weft_op op[WEFT_COMPARES];

static weft_status forward(weft_op_call *c)
{
    int64_t a[WEFT_MAX_RANK], b[WEFT_MAX_RANK];
    weft_dtype t = weft__op_is_integer(c, 0) ? WEFT_I64 : c->in[0].dtype;
    t = weft__op_is_integer(c, 1) ? t : c->in[1].dtype;
    WEFT_TRY(weft__op_as(c, 0, t));
    WEFT_TRY(weft__op_as(c, 1, t));
    weft__op_stretch(c, &c->in[0], a);
    weft__op_stretch(c, &c->in[1], b);
    return c->k->compare(c->stream, (weft_compare)(c->op - op), c->out.data, c->in[0].data, a,
                         c->in[1].data, b, c->out.rank, c->out.shape, t);
}

static weft_status shape(weft_op_call *c)
{
    c->out.dtype = WEFT_U8;
    return weft__op_shapes(c);
}

#define OP(word)                                                                                   \
    {                                                                                              \
        .size = sizeof(weft_op), .name = word, .cast = WEFT_CAST_PROMOTE, .shape = shape,          \
        .forward = forward                                                                         \
    }
static const weft_op op[WEFT_COMPARES] = {
    [WEFT_EQ] = OP("eq"), [WEFT_NE] = OP("ne"), [WEFT_LT] = OP("lt"),
    [WEFT_LE] = OP("le"), [WEFT_GT] = OP("gt"), [WEFT_GE] = OP("ge")};

weft_tensor *weft_eq(weft_tensor *a, weft_tensor *b)
{
    return weft__apply2(&op[WEFT_EQ], a, b);
}

weft_tensor *weft_ne(weft_tensor *a, weft_tensor *b)
{
    return weft__apply2(&op[WEFT_NE], a, b);
}

weft_tensor *weft_lt(weft_tensor *a, weft_tensor *b)
{
    return weft__apply2(&op[WEFT_LT], a, b);
}

weft_tensor *weft_le(weft_tensor *a, weft_tensor *b)
{
    return weft__apply2(&op[WEFT_LE], a, b);
}

weft_tensor *weft_gt(weft_tensor *a, weft_tensor *b)
{
    return weft__apply2(&op[WEFT_GT], a, b);
}

weft_tensor *weft_ge(weft_tensor *a, weft_tensor *b)
{
    return weft__apply2(&op[WEFT_GE], a, b);
}
