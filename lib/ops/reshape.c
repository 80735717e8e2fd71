/* The same elements in another shape. The gradient goes back in the old one. */
#include "ops/ops.h"

typedef struct attributes {
    int rank;
    int64_t shape[WEFT_MAX_RANK];
} attributes;

/* The dimension of y in which the batch's rows lie, or which they are part of: found by the
 * elements that lie in the dimensions before it. */
static int rows_in(const weft_op_call *c, const weft_view *y)
{
    int64_t before = 1, here = 1;
    int found = 0;
    for (int d = 0; d < c->batch; d++)
        before *= c->in[0].shape[d] ? c->in[0].shape[d] : 1;
    for (int d = 0; d < y->rank && here <= before; d++) {
        found = d;
        if (here == before && y->shape[d] == c->local)
            break;
        here *= y->shape[d] ? y->shape[d] : 1;
    }
    return found;
}

static weft_status shape(weft_op_call *c)
{
    char from[WEFT__SHAPE_TEXT], to[WEFT__SHAPE_TEXT];
    const attributes *a = c->attr;
    int64_t known = 1;
    int open = -1, opens = 0;
    bool fits = true;
    weft_view y = c->in[0];
    y.rank = a->rank;
    for (int d = 0; d < a->rank; d++) {
        y.shape[d] = a->shape[d];
        if (a->shape[d] == -1) {
            open = d;
            opens++;
        } else {
            fits = fits && !__builtin_mul_overflow(known, a->shape[d], &known);
        }
    }
    if (opens == 1 && fits && known > 0)
        y.shape[open] = c->in[0].numel / known;
    if (opens > 1 || weft__numel(y.rank, y.shape) != c->in[0].numel)
        return weft_op_fail(c, WEFT_ESHAPE, "%s does not fit into %s",
                            weft__shape_text(c->in[0].rank, c->in[0].shape, from),
                            weft__shape_text(a->rank, a->shape, to));
    WEFT_TRY(weft__view_pack(&y));
    c->out = y;
    c->batch = c->lead < 0 || c->batch < 0 ? c->batch : rows_in(c, &y);
    return WEFT_OK;
}

static weft_status backward(weft_op_call *c)
{
    return weft__op_pass(c);
}

static const weft_op op = {.size = sizeof op,
                           .name = "reshape",
                           .attr_size = sizeof(attributes),
                           .contiguous = 1,
                           .view = 1,
                           .shape = shape,
                           .backward = backward};

weft_tensor *weft_reshape(weft_tensor *x, int rank, const int64_t *to)
{
    attributes a = {.rank = rank};
    weft_fabric *f = NULL;
    if (!weft__tensor_for(op.name, x, &f))
        return NULL;
    if (rank < 0 || rank > WEFT_MAX_RANK) {
        weft__stick(f, weft__fail(WEFT_ESHAPE, "reshape: rank %d; tensors have 0 to %d dimensions",
                                  rank, WEFT_MAX_RANK));
        return NULL;
    }
    if (rank && !to) {
        weft__stick(f, weft__fail(WEFT_EARG, "reshape: the shape of %d dimensions is NULL", rank));
        return NULL;
    }
    for (int d = 0; d < rank; d++)
        a.shape[d] = to[d];
    return weft__apply1(&op, x, &a);
}
