/* The gradient of one tensor by another, and those that a backward pass has left. */
#include "autograd/walk.h"

static weft_status look(weft__walk *w, const weft__tensor *y, const weft__tensor *x, weft_view *out)
{
    *out = x->view;
    out->dtype = weft__grad_type(x->segment, x->view.dtype);
    WEFT_TRY(weft__walk_begins("weft_grad", "y", y));
    WEFT_TRY(weft__scratch_view(w->f, out));
    w->grad = out->data;
    if (x == y)
        return w->f->device->ops->kernels->fill(w->f->stream, w->grad, 1, 1, out->dtype);
    weft__walk_reach(w, y->node, 0);
    if (y->node < 0 || !w->f->tape->node[y->node].reached)
        return weft__fail(WEFT_ESTATE,
                          "weft_grad: y does not depend on x. Is x a trainable parameter, or was "
                          "weft_require_grad called before x was used? Was y made inside "
                          "weft_eval_begin/end?");
    for (int64_t i = 0; i <= y->node; i++)
        if (w->f->tape->node[i].reached && w->f->tape->node[i].op->drain)
            return weft__fail(
                WEFT_ENOTSUP,
                "weft_grad: between y and x is %s over all ranks' rows, whose gradient "
                "comes from all ranks; take weft_backward",
                w->f->tape->node[i].op->name);
    weft__mark mark = weft__engine_mark(w->f);
    weft_status s = weft__walk_from(w, y->node, y->result, 1);
    weft__engine_rewind(w->f, mark); /* the result was made before */
    return s;
}

weft_tensor *weft_grad(weft_tensor *y, weft_tensor *x)
{
    weft_fabric *f = NULL, *home = NULL;
    const weft__tensor *from = weft__tensor_for("weft_grad", y, &f);
    const weft__tensor *to = weft__tensor_for("weft_grad", x, &home);
    weft__tensor *made;
    weft_view v;
    if (!from || !to || weft__stuck(f))
        return NULL;
    weft__walk w = {
        .f = f,
        .kind = WEFT__OF_GRAD,
        .target = {.tensor = x, .segment = to->segment, .node = to->node, .result = to->result}};
    weft__part part = weft__enter(f, WEFT__BACKWARD);
    weft_status s = home == f ? look(&w, from, to, &v)
                              : weft__fail(WEFT_EHANDLE, "weft_grad: x belongs to another fabric");
    weft__enter(f, part);
    if (s < 0) {
        weft__stick(f, s);
        return NULL;
    }
    weft_tensor *out = weft__tensor_new(f, &v, true, &made);
    if (out) {
        made->derived = true;
        made->rows = to->rows;
    }
    return out;
}

weft_status weft_require_grad(weft_tensor *t)
{
    weft_fabric *f = NULL;
    weft__tensor *x = weft__tensor_at(t, &f);
    if (!x)
        return WEFT_EHANDLE;
    if (!weft__is_float(x->view.dtype))
        return weft__stick(f, weft__fail(WEFT_EDTYPE, "weft_require_grad: %s has no gradient",
                                         weft_dtype_name(x->view.dtype)));
    x->wants_grad = true;
    if (x->node >= 0)
        f->tape->node[x->node].kept |= 1u << x->result;
    return WEFT_OK;
}

weft_tensor *weft_gradient(weft_tensor *t)
{
    weft_fabric *f = NULL;
    weft__tensor *x = weft__tensor_at(t, &f);
    if (!x)
        return NULL;
    weft_view v = x->view;
    if (x->segment && x->segment->flat)
        v.dtype = x->segment->flat->type[WEFT__GRAD];
    weft_status s = weft__view_pack(&v);
    if (!s && x->segment && x->segment->flat)
        s = weft__shrink_now(x->segment);
    if (x->segment)
        v.data = !x->segment->flat || x->segment->grad == WEFT__GRAD_EMPTY
                     ? (weft_dev){0}
                     : weft__flat_at(x->segment->flat, WEFT__GRAD, x->segment->first);
    else if (x->node >= 0)
        v.data = weft__grad_of(&f->tape->node[x->node], WEFT__OF_BACKWARD, x->result);
    else
        v.data = x->leaf_edge == f->engine->edge && !x->leaf_blank ? x->leaf_grad : (weft_dev){0};
    if (!s && x->segment && x->segment->grad && x->segment->flat->cut && f->world > 1)
        s = weft__fail(WEFT_ENOTSUP,
                       "weft_gradient: the strategy cuts gradients in pieces, one a rank, and no "
                       "rank has that of %s; strategy ddp leaves all of them on every rank",
                       x->segment->name);
    else if (!s && !v.data.addr)
        s = weft__fail(WEFT_ESTATE,
                       "weft_gradient: the tensor has no gradient; was weft_require_grad "
                       "called for what is no parameter, then weft_backward, and does "
                       "the loss depend on it?");
    if (s) {
        weft__note(f, s);
        return NULL;
    }
    if (x->segment)
        x->segment->flat->seen = true;
    return weft__tensor_new(f, &v, true, NULL);
}
