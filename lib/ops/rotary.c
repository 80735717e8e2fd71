/* Rotary positions: pairs of numbers turned by angles that grow with the position. The gradient is
 * turned back. */
#include "ops/ops.h"

typedef struct attributes {
    double base;
    int64_t offset, turned, heads, until;
    int interleaved, positions_first;
} attributes;

/* The terms of x, (...,T,D), or (...,T,H,D) with positions first, or packed (B,T,N) of some heads. */
static weft_rotary_terms terms(const weft_op_call *c, const weft_view *x)
{
    const attributes *a = c->attr;
    weft_rotary_terms t = {
        .outer = 1, .heads = 1, .first = a->offset, .base = a->base, .interleaved = a->interleaved};
    const int at = x->rank - (a->positions_first ? 3 : 2);
    for (int d = 0; d < at; d++)
        t.outer *= x->shape[d];
    t.positions = x->shape[at];
    if (a->positions_first)
        t.heads = x->shape[at + 1];
    t.size = x->shape[x->rank - 1];
    if (a->heads) {
        t.heads = a->heads;
        t.size /= a->heads;
    }
    t.until = a->until ? a->until : t.heads;
    t.turned = a->turned ? a->turned : t.size;
    return t;
}

static weft_status shape(weft_op_call *c)
{
    char text[WEFT__SHAPE_TEXT];
    const attributes *a = c->attr;
    const weft_view *x = &c->in[0];
    WEFT_TRY(weft__op_like(c));
    if (x->rank < (a->positions_first ? 3 : 2) || (a->heads && x->shape[x->rank - 1] % a->heads))
        return weft_op_fail(c, WEFT_ESHAPE, "%s; it takes %s",
                            weft__shape_text(x->rank, x->shape, text),
                            a->heads             ? "(...,T,N), N a multiple of the heads"
                            : a->positions_first ? "(...,T,H,D)"
                                                 : "(...,T,D)");
    const weft_rotary_terms t = terms(c, x);
    if (t.turned % 2 || t.turned > t.size)
        return weft_op_fail(c, WEFT_ESHAPE,
                            "%lld numbers of heads of %lld are to be turned; it takes an even "
                            "number of them",
                            (long long)t.turned, (long long)t.size);
    return WEFT_OK;
}

static weft_status forward(weft_op_call *c)
{
    const weft_rotary_terms t = terms(c, &c->in[0]);
    return c->k->rotary(c->stream, c->out.data, c->in[0].data, &t, c->out.dtype);
}

static weft_status backward(weft_op_call *c)
{
    weft_rotary_terms t = terms(c, &c->gin[0]);
    t.back = 1;
    return c->k->rotary(c->stream, c->gin[0].data, c->gout.data, &t, c->out.dtype);
}

static const weft_op op = {.size = sizeof op,
                           .name = "rotary",
                           .attr_size = sizeof(attributes),
                           .contiguous = 1,
                           .shape = shape,
                           .forward = forward,
                           .backward = backward};

static weft_tensor *apply(weft_tensor *x, const weft_rotary_options *o, attributes *a)
{
    static const weft_rotary_options none;
    weft_fabric *f = NULL;
    if (!weft__tensor_for(op.name, x, &f))
        return NULL;
    o = o ? o : &none;
    a->base = o->base != 0 ? o->base : 10000;
    a->offset = o->offset;
    a->turned = o->dims;
    a->interleaved = o->interleaved;
    a->positions_first = a->positions_first || o->positions_first;
    if (a->base > 0 && a->offset >= 0 && a->turned >= 0)
        return weft_apply(f, &op, 1, &x, a);
    weft__stick(f, weft__fail(WEFT_EARG,
                              "rotary: base %g, offset %lld, dims %lld; the base is above 0, the "
                              "others are not below 0",
                              o->base, (long long)o->offset, (long long)o->dims));
    return NULL;
}

weft_tensor *weft_rotary(weft_tensor *x, const weft_rotary_options *o)
{
    return apply(x, o, &(attributes){0});
}

weft_tensor *weft__rotary_packed(weft_tensor *x, int64_t heads, int64_t until,
                                 const weft_rotary_options *o)
{
    return apply(x, o, &(attributes){.heads = heads, .until = until});
}
