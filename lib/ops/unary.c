/* y = f(x), elementwise; the formulas and their gradients are the kernel's. The attributes are what
 * the function takes beside x. */
#include "ops/ops.h"

#include <math.h>

static const weft_op op[WEFT_UNARIES];

static weft_unary which(const weft_op_call *c)
{
    return (weft_unary)(c->op - op);
}

static weft_status forward(weft_op_call *c)
{
    return c->k->unary(c->stream, which(c), c->out.data, c->in[0].data, c->attr, c->out.numel,
                       c->out.dtype);
}

static weft_status backward(weft_op_call *c)
{
    return c->k->unary_back(c->stream, which(c), c->gin[0].data, c->gout.data, c->in[0].data,
                            c->out.data, c->attr, c->out.numel, c->out.dtype);
}

#define OP(word, policy)                                                                           \
    {                                                                                              \
        .size = sizeof(weft_op), .name = word, .cast = policy, .attr_size = 2 * sizeof(double),    \
        .contiguous = 1, .shape = weft__op_like, .forward = forward, .backward = backward          \
    }
#define SAME(word) OP(word, WEFT_CAST_PROMOTE)
#define WIDE(word) OP(word, WEFT_CAST_F32) /* 16 bits have not the range, or not the digits */
static const weft_op op[WEFT_UNARIES] = {
    [WEFT_NEG] = SAME("neg"),     [WEFT_ABS] = SAME("abs"),
    [WEFT_EXP] = WIDE("exp"),     [WEFT_LOG] = WIDE("ln"),
    [WEFT_SQRT] = SAME("sqrt"),   [WEFT_SIN] = SAME("sin"),
    [WEFT_COS] = SAME("cos"),     [WEFT_POWER] = WIDE("pow_scalar"),
    [WEFT_CLAMP] = SAME("clamp"), [WEFT_SIGMOID] = SAME("sigmoid"),
    [WEFT_TANH] = SAME("tanh"),   [WEFT_SILU] = SAME("silu"),
    [WEFT_GELU] = SAME("gelu"),   [WEFT_GELU_TANH] = SAME("gelu_tanh")};

static weft_tensor *apply(weft_unary f, weft_tensor *x, double p, double q)
{
    const double attr[2] = {p, q};
    return weft__apply1(&op[f], x, attr);
}

weft_tensor *weft_neg(weft_tensor *x)
{
    return apply(WEFT_NEG, x, 0, 0);
}

weft_tensor *weft_abs(weft_tensor *x)
{
    return apply(WEFT_ABS, x, 0, 0);
}

weft_tensor *weft_exp(weft_tensor *x)
{
    return apply(WEFT_EXP, x, 0, 0);
}

weft_tensor *weft_ln(weft_tensor *x)
{
    return apply(WEFT_LOG, x, 0, 0);
}

weft_tensor *weft_sqrt(weft_tensor *x)
{
    return apply(WEFT_SQRT, x, 0, 0);
}

weft_tensor *weft_sin(weft_tensor *x)
{
    return apply(WEFT_SIN, x, 0, 0);
}

weft_tensor *weft_cos(weft_tensor *x)
{
    return apply(WEFT_COS, x, 0, 0);
}

weft_tensor *weft_pow_scalar(weft_tensor *x, double exponent)
{
    return apply(WEFT_POWER, x, exponent, 0);
}

weft_tensor *weft_clamp(weft_tensor *x, double min, double max)
{
    weft_fabric *f = NULL;
    if (!weft__tensor_for("clamp", x, &f))
        return NULL;
    if (isnan(min) || isnan(max)) {
        weft__stick(f, weft__fail(WEFT_EARG, "clamp: a bound is NaN; -INFINITY and INFINITY are "
                                             "none"));
        return NULL;
    }
    return apply(WEFT_CLAMP, x, min, max);
}

weft_tensor *weft_sigmoid(weft_tensor *x)
{
    return apply(WEFT_SIGMOID, x, 0, 0);
}

weft_tensor *weft_tanh(weft_tensor *x)
{
    return apply(WEFT_TANH, x, 0, 0);
}

weft_tensor *weft_silu(weft_tensor *x)
{
    return apply(WEFT_SILU, x, 0, 0);
}

weft_tensor *weft_gelu(weft_tensor *x)
{
    return apply(WEFT_GELU, x, 0, 0);
}

weft_tensor *weft_gelu_tanh(weft_tensor *x)
{
    return apply(WEFT_GELU_TANH, x, 0, 0);
}
