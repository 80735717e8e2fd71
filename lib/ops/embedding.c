/* y[i] = w[index[i]]. Gradient: to row r the sum of g[i] over index[i] = r, in the order of i. */
#include "ops/ops.h"

static weft_status shape(weft_op_call *c)
{
    char a[WEFT__SHAPE_TEXT], b[WEFT__SHAPE_TEXT];
    const weft_view *index = &c->in[0], *w = &c->in[1];
    WEFT_TRY(weft__op_integer(c, 0, "indices"));
    WEFT_TRY(weft__op_float(c, 1));
    if (w->rank != 2 || index->rank >= WEFT_MAX_RANK)
        return weft_op_fail(c, WEFT_ESHAPE, "indices %s, weight %s; it takes (...) and (N,C)",
                            weft__shape_text(index->rank, index->shape, a),
                            weft__shape_text(w->rank, w->shape, b));
    c->out = *index;
    c->out.dtype = w->dtype;
    c->out.shape[c->out.rank++] = w->shape[1];
    return WEFT_OK;
}

static weft_status forward(weft_op_call *c)
{
    const weft_view *index = &c->in[0], *w = &c->in[1];
    weft_dev flag;
    WEFT_TRY(weft__late_flag(c->fabric, &flag));
    WEFT_TRY(c->k->embedding(c->stream, c->out.data, flag, w->data, index->data, index->dtype,
                             index->numel, w->shape[0], w->shape[1], w->dtype));
    return weft__op_judge(c, flag, "index", index, w->shape[0]);
}

static weft_status backward(weft_op_call *c)
{
    const weft_view *index = &c->in[0], *w = &c->in[1];
    weft_view g;
    WEFT_TRY(weft__op_sums(c, 1, &g));
    if (c->more[1].addr && c->more[1].addr != g.data.addr)
        WEFT_TRY(c->device->ops->move(c->stream, g.data, c->more[1], weft__view_bytes(&g)));
    WEFT_TRY(c->k->embedding_back(c->stream, g.data, c->gout.data, index->data, index->dtype,
                                  index->numel, w->shape[0], w->shape[1], *(int64_t *)c->attr,
                                  c->more[1].addr != 0, w->dtype));
    return weft__op_round(c, 1, &g);
}

static const weft_op op = {.size = sizeof op,
                           .name = "embedding",
                           .attr_size = sizeof(int64_t),
                           .contiguous = 1,
                           .shape = shape,
                           .forward = forward,
                           .backward = backward,
                           .wide = 1,
                           .adds = 1 << 1};

weft_tensor *weft_embedding(weft_tensor *indices, weft_tensor *weight, int64_t padding_idx)
{
    weft_fabric *f = NULL;
    weft_tensor *const in[] = {indices, weight};
    const weft__tensor *w = weft__tensor_for(op.name, weight, NULL);
    if (!weft__tensor_for(op.name, indices, &f) || !w)
        return NULL;
    if (padding_idx < WEFT_OFF || (w->view.rank == 2 && padding_idx >= w->view.shape[0])) {
        weft__stick(f, weft__fail(WEFT_EARG,
                                  "embedding: padding_idx %lld is no row of the weight; WEFT_OFF "
                                  "is none",
                                  (long long)padding_idx));
        return NULL;
    }
    return weft_apply(f, &op, 2, in, &padding_idx);
}
