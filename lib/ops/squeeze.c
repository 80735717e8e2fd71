/* Dimensions of extent 1, which come and go. */
#include "ops/ops.h"

/* The one row of a batch that loses its dimension is its own mean. */
static weft_status squeezed(weft_op_call *c)
{
    int *dim = c->attr;
    weft_view *y = &c->out;
    WEFT_TRY(weft__op_dim(c, dim));
    *y = c->in[0];
    if (y->shape[*dim] != 1)
        return weft_op_fail(c, WEFT_ESHAPE, "dimension %d has extent %lld, not 1", *dim,
                            (long long)y->shape[*dim]);
    y->rank--;
    for (int d = *dim; d < y->rank; d++) {
        y->shape[d] = y->shape[d + 1];
        y->stride[d] = y->stride[d + 1];
    }
    if (c->batch == *dim)
        c->rows = WEFT_ROWS_MEAN;
    c->batch -= *dim < c->batch;
    return WEFT_OK;
}

static weft_status unsqueezed(weft_op_call *c)
{
    int *dim = c->attr;
    weft_view *y = &c->out;
    const int rank = c->in[0].rank + 1;
    if (rank > WEFT_MAX_RANK)
        return weft_op_fail(c, WEFT_ESHAPE, "a tensor has at most %d dimensions", WEFT_MAX_RANK);
    if (*dim < -rank || *dim >= rank)
        return weft_op_fail(c, WEFT_ESHAPE, "dimension %d of a tensor of %d dimensions", *dim,
                            rank);
    *dim += *dim < 0 ? rank : 0;
    *y = c->in[0];
    y->rank = rank;
    for (int d = rank - 1; d > *dim; d--) {
        y->shape[d] = y->shape[d - 1];
        y->stride[d] = y->stride[d - 1];
    }
    y->shape[*dim] = y->stride[*dim] = 1;
    c->batch += *dim <= c->batch;
    return WEFT_OK;
}

static const weft_op squeeze = {.size = sizeof squeeze,
                                .name = "squeeze",
                                .attr_size = sizeof(int),
                                .view = 1,
                                .shape = squeezed,
                                .backward = weft__op_pass};
static const weft_op unsqueeze = {.size = sizeof unsqueeze,
                                  .name = "unsqueeze",
                                  .attr_size = sizeof(int),
                                  .view = 1,
                                  .shape = unsqueezed,
                                  .backward = weft__op_pass};

weft_tensor *weft_squeeze(weft_tensor *x, int dim)
{
    return weft__apply1(&squeeze, x, &dim);
}

weft_tensor *weft_unsqueeze(weft_tensor *x, int dim)
{
    return weft__apply1(&unsqueeze, x, &dim);
}
