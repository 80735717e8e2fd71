/* The largest or smallest over one dimension or all, and where it is. The gradient goes to the first
 * element that has it. */
#include "ops/ops.h"

typedef struct attributes {
    int dim, largest;
} attributes;

/* x as (outer, n, inner), n the elements to choose from. */
static void measure(const weft_op_call *c, int64_t size[3])
{
    const weft_view *x = &c->in[0];
    const int dim = ((attributes *)c->attr)->dim;
    size[0] = size[1] = size[2] = 1;
    for (int d = 0; d < x->rank; d++)
        size[dim == WEFT_ALL || d == dim ? 1 : d < dim ? 0 : 2] *= x->shape[d];
}

static weft_status reduced(weft_op_call *c)
{
    attributes *a = c->attr;
    const weft_view *x = &c->in[0];
    int64_t size[3];
    if (a->dim != WEFT_ALL)
        WEFT_TRY(weft__op_dim(c, &a->dim));
    measure(c, size);
    if (size[1] == 0)
        return weft_op_fail(c, WEFT_ESHAPE, "there is no element to choose");
    for (int d = 0; d < x->rank && a->dim != WEFT_ALL; d++)
        if (d != a->dim)
            c->out.shape[c->out.rank++] = x->shape[d];
    if (a->dim == WEFT_ALL || a->dim == c->batch)
        c->rows = WEFT_ROWS_OTHER;
    c->batch -= a->dim < c->batch;
    return WEFT_OK;
}

static weft_status shape(weft_op_call *c)
{
    WEFT_TRY(weft__op_float(c, 0));
    WEFT_TRY(reduced(c));
    c->out.dtype = c->in[0].dtype;
    c->saved[0] = c->out;
    c->saved[0].dtype = WEFT_I64;
    return WEFT_OK;
}

static weft_status run(weft_op_call *c, weft_dev y, weft_dev at)
{
    int64_t size[3];
    measure(c, size);
    return c->k->extremum(c->stream, y, at, c->in[0].data, ((attributes *)c->attr)->largest,
                          size[0], size[1], size[2], c->in[0].dtype);
}

static weft_status forward(weft_op_call *c)
{
    return run(c, c->out.data, c->saved[0].data);
}

static weft_status backward(weft_op_call *c)
{
    int64_t size[3];
    measure(c, size);
    const int64_t stride[3] = {size[1] * size[2], size[2], 1}, chosen[3] = {size[0], 1, size[2]};
    weft_view g;
    WEFT_TRY(weft__op_sums(c, 0, &g));
    WEFT_TRY(c->device->ops->zero(c->stream, g.data, weft__view_bytes(&g)));
    WEFT_TRY(c->k->gather_back(c->stream, g.data, stride, c->gout.data, c->saved[0].data, WEFT_I64,
                               3, chosen, 1, size[1], c->out.dtype));
    return weft__op_round(c, 0, &g);
}

static weft_status place_shape(weft_op_call *c)
{
    WEFT_TRY(reduced(c));
    c->out.dtype = WEFT_I64;
    if (c->rows == WEFT_ROWS_OTHER)
        c->lead = -1; /* the number of a row is not of that row */
    return WEFT_OK;
}

static weft_status place_forward(weft_op_call *c)
{
    if (weft__op_is_integer(c, 0))
        WEFT_TRY(weft__op_as(c, 0, WEFT_I64));
    return run(c, (weft_dev){0}, c->out.data);
}

#define VALUE(word)                                                                                \
    {                                                                                              \
        .size = sizeof(weft_op), .name = word, .cast = WEFT_CAST_PROMOTE,                          \
        .attr_size = sizeof(attributes), .contiguous = 1, .shape = shape, .forward = forward,      \
        .backward = backward                                                                       \
    }
#define PLACE(word)                                                                                \
    {                                                                                              \
        .size = sizeof(weft_op), .name = word, .cast = WEFT_CAST_PROMOTE,                          \
        .attr_size = sizeof(attributes), .contiguous = 1, .shape = place_shape,                    \
        .forward = place_forward                                                                   \
    }
static const weft_op value[2] = {VALUE("min"), VALUE("max")};
static const weft_op place[2] = {PLACE("argmin"), PLACE("argmax")};

weft_tensor *weft_max(weft_tensor *x, int dim)
{
    return weft__apply1(&value[1], x, &(attributes){.dim = dim, .largest = 1});
}

weft_tensor *weft_min(weft_tensor *x, int dim)
{
    return weft__apply1(&value[0], x, &(attributes){.dim = dim});
}

weft_tensor *weft_argmax(weft_tensor *x, int dim)
{
    return weft__apply1(&place[1], x, &(attributes){.dim = dim, .largest = 1});
}

weft_tensor *weft_argmin(weft_tensor *x, int dim)
{
    return weft__apply1(&place[0], x, &(attributes){.dim = dim});
}
