/* Losses between a tensor and its target, element by element, then their mean or sum. Gradient
 * g alpha dl/dx, alpha 1/n for the mean; to the target likewise. */
#include "ops/ops.h"

typedef struct attributes {
    weft_loss_terms terms;
    weft__reduce reduce;
} attributes;

static weft_status shape(weft_op_call *c)
{
    char a[WEFT__SHAPE_TEXT], b[WEFT__SHAPE_TEXT];
    const attributes *t = c->attr;
    const weft_view *x = &c->in[0], *y = &c->in[1], *w = &c->in[2];
    for (int i = 0; i < c->nin; i++)
        WEFT_TRY(weft__op_float(c, i));
    if (!weft__same_shape(x->rank, x->shape, y->rank, y->shape))
        return weft_op_fail(c, WEFT_ESHAPE, "%s with a target %s; they have one shape",
                            weft__shape_text(x->rank, x->shape, a),
                            weft__shape_text(y->rank, y->shape, b));
    if (c->nin == 3 && w->numel != 1 &&
        (w->rank != 1 || !x->rank || w->shape[0] != x->shape[x->rank - 1]))
        return weft_op_fail(
            c, WEFT_ESHAPE, "pos_weight %s for %s; it is one number, or has the last dimension",
            weft__shape_text(w->rank, w->shape, a), weft__shape_text(x->rank, x->shape, b));
    if (t->reduce == WEFT__BATCHMEAN && !x->rank)
        return weft_op_fail(c, WEFT_ESHAPE, "batchmean of a tensor without dimensions");
    if (t->reduce == WEFT__EACH)
        c->out = *x;
    c->out.dtype = x->dtype;
    c->rows = weft__reduce_rows(t->reduce);
    return WEFT_OK;
}

static weft_loss_terms terms(const weft_op_call *c)
{
    const attributes *a = c->attr;
    weft_loss_terms t = a->terms;
    t.weight.addr = c->nin == 3 ? c->in[2].data.addr : 0;
    t.c = c->nin == 3 ? c->in[2].numel : 1;
    t.each = a->reduce == WEFT__EACH;
    return t;
}

static double factor(const weft_op_call *c)
{
    const attributes *a = c->attr;
    if (a->reduce == WEFT__BATCHMEAN)
        return 1.0 / (double)c->in[0].shape[0];
    return a->reduce == WEFT__MEAN_OF ? 1.0 / (double)c->in[0].numel : 1;
}

static weft_status forward(weft_op_call *c)
{
    const attributes *a = c->attr;
    const weft_loss_terms t = terms(c);
    weft_view loss = a->reduce == WEFT__EACH ? c->out : c->in[0];
    if (a->reduce != WEFT__EACH)
        WEFT_TRY(weft__scratch_view(c->fabric, &loss));
    WEFT_TRY(
        c->k->loss(c->stream, loss.data, c->in[0].data, c->in[1].data, loss.numel, &t, loss.dtype));
    return weft__reduce_forward(c, a->reduce, factor(c), &loss);
}

static weft_status backward(weft_op_call *c)
{
    weft_loss_terms t = terms(c);
    for (int i = 0; i < 2; i++) {
        t.to_target = i;
        if (c->want[i])
            WEFT_TRY(c->k->loss_back(c->stream, c->gin[i].data, c->gout.data, factor(c),
                                     c->in[0].data, c->in[1].data, c->in[0].numel, &t,
                                     c->in[0].dtype));
    }
    return WEFT_OK;
}

#define LOSS_OP(id)                                                                                \
    static const weft_op id = {.size = sizeof id,                                                  \
                               .name = #id,                                                        \
                               .cast = WEFT_CAST_F32,                                              \
                               .attr_size = sizeof(attributes),                                    \
                               .contiguous = 1,                                                    \
                               .shape = shape,                                                     \
                               .forward = forward,                                                 \
                               .backward = backward}
LOSS_OP(mse_loss);
LOSS_OP(l1_loss);
LOSS_OP(huber_loss);
LOSS_OP(smooth_l1_loss);
LOSS_OP(bce_with_logits);
LOSS_OP(kl_div);

static weft_status refuse(const weft_op *op, bool given, const char *option)
{
    return given ? weft__fail(WEFT_EARG, "%s: it has no option %s", op->name, option) : WEFT_OK;
}

static weft_status read(const weft_op *op, const weft_loss_options *o, attributes *a)
{
    WEFT_TRY(weft__reduce_parse(op->name, o->reduction, op == &kl_div, &a->reduce));
    WEFT_TRY(refuse(op, o->delta != 0 && op != &huber_loss, "delta"));
    WEFT_TRY(refuse(op, o->beta != 0 && op != &smooth_l1_loss, "beta"));
    WEFT_TRY(refuse(op, o->pos_weight && op != &bce_with_logits, "pos_weight"));
    WEFT_TRY(refuse(op, o->log_target && op != &kl_div, "log_target"));
    if (!(o->delta >= 0 && o->beta >= 0))
        return weft__fail(WEFT_EARG, "%s: delta %g, beta %g; they are above 0", op->name, o->delta,
                          o->beta);
    if (op == &huber_loss)
        a->terms.parameter = o->delta > 0 ? o->delta : 1;
    if (op == &smooth_l1_loss)
        a->terms.parameter = o->beta > 0 ? o->beta : 1;
    return WEFT_OK;
}

static weft_tensor *apply(const weft_op *op, weft_loss_kind kind, weft_tensor *x, weft_tensor *y,
                          const weft_loss_options *o)
{
    static const weft_loss_options none;
    weft_fabric *f = NULL;
    attributes a = {.terms.kind = kind};
    o = o ? o : &none;
    if (!weft__tensor_for(op->name, x, &f) || !weft__tensor_for(op->name, y, NULL) ||
        (o->pos_weight && !weft__tensor_for(op->name, o->pos_weight, NULL)))
        return NULL;
    weft_status s = read(op, o, &a);
    if (s) {
        weft__stick(f, s);
        return NULL;
    }
    if (kind == WEFT_LOSS_KL && o->log_target)
        a.terms.kind = WEFT_LOSS_KL_LOG;
    weft_tensor *const in[] = {x, y, o->pos_weight ? weft_detach(o->pos_weight) : NULL};
    return weft_apply(f, op, o->pos_weight ? 3 : 2, in, &a);
}

weft_tensor *weft_mse_loss(weft_tensor *x, weft_tensor *y, const weft_loss_options *o)
{
    return apply(&mse_loss, WEFT_LOSS_MSE, x, y, o);
}

weft_tensor *weft_l1_loss(weft_tensor *x, weft_tensor *y, const weft_loss_options *o)
{
    return apply(&l1_loss, WEFT_LOSS_SMOOTH_L1, x, y, o);
}

weft_tensor *weft_huber_loss(weft_tensor *x, weft_tensor *y, const weft_loss_options *o)
{
    return apply(&huber_loss, WEFT_LOSS_HUBER, x, y, o);
}

weft_tensor *weft_smooth_l1_loss(weft_tensor *x, weft_tensor *y, const weft_loss_options *o)
{
    return apply(&smooth_l1_loss, WEFT_LOSS_SMOOTH_L1, x, y, o);
}

weft_tensor *weft_bce_with_logits(weft_tensor *x, weft_tensor *y, const weft_loss_options *o)
{
    return apply(&bce_with_logits, WEFT_LOSS_BCE, x, y, o);
}

weft_tensor *weft_kl_div(weft_tensor *x, weft_tensor *y, const weft_loss_options *o)
{
    return apply(&kl_div, WEFT_LOSS_KL, x, y, o);
}
