/* loss = mean or sum of -log softmax(x)[label], or of -x[label] (nll_loss); <weft/loss.h> has the
 * formula with smoothing and weights. The probabilities are saved, and the sum of the weights where
 * it is not the number of rows. Logits of 16 bits stay as they are, unless there is smoothing or weights:
 * the logarithm of the sum of their powers is saved, and the loss is f32. */
#include "ops/ops.h"

#include <math.h>

enum { PROBABILITIES, LSE = PROBABILITIES, DIVISOR };

typedef struct attributes {
    weft_xent_terms terms;
    weft__reduce reduce;
    bool weighed; /* the mean's divisor is a sum of weights */
} attributes;

static weft_status shape(weft_op_call *c)
{
    char a[WEFT__SHAPE_TEXT], b[WEFT__SHAPE_TEXT];
    const attributes *t = c->attr;
    const weft_view *x = &c->in[0], *y = &c->in[1];
    for (int i = 0; i < c->nin; i += 2)
        WEFT_TRY(weft__op_float(c, i));
    WEFT_TRY(weft__op_integer(c, 1, "labels"));
    if (x->rank < 2 || !weft__same_shape(x->rank - 1, x->shape, y->rank, y->shape))
        return weft_op_fail(c, WEFT_ESHAPE,
                            "logits %s with the classes last, labels %s; it takes (B,C) and (B), "
                            "or (B,C,...) and (B,...)",
                            weft__shape_text(x->rank, x->shape, a),
                            weft__shape_text(y->rank, y->shape, b));
    if (c->nin == 3 && (c->in[2].rank != 1 || c->in[2].shape[0] != x->shape[x->rank - 1]))
        return weft_op_fail(c, WEFT_ESHAPE, "weight %s for logits %s; it is (C)",
                            weft__shape_text(c->in[2].rank, c->in[2].shape, a),
                            weft__shape_text(x->rank, x->shape, b));
    if (t->reduce == WEFT__EACH)
        c->out = *y;
    c->out.dtype = x->dtype;
    if (!t->terms.log_probs)
        c->saved[PROBABILITIES] = *x;
    if (t->weighed)
        c->saved[DIVISOR].dtype = WEFT_F64;
    c->rows = weft__reduce_rows(t->reduce);
    return WEFT_OK;
}

static weft_status shape_low(weft_op_call *c)
{
    WEFT_TRY(shape(c));
    c->out.dtype = WEFT_F32;
    c->saved[LSE] = c->in[1];
    c->saved[LSE].dtype = WEFT_F64;
    return WEFT_OK;
}

static weft_xent_terms terms(const weft_op_call *c)
{
    const attributes *a = c->attr;
    weft_xent_terms t = a->terms;
    t.weight.addr = c->nin == 3 ? c->in[2].data.addr : 0;
    t.divisor.addr = a->weighed ? c->saved[DIVISOR].data.addr : 0;
    t.each = a->reduce == WEFT__EACH;
    return t;
}

/* What the sum of the losses is multiplied with: those of a weighed mean are divided already. */
static double factor(const weft_op_call *c)
{
    const attributes *a = c->attr;
    if (a->weighed)
        return c->in[1].numel ? 1 : NAN;
    return a->reduce == WEFT__MEAN_OF ? 1.0 / (double)c->in[1].numel : 1;
}

static weft_status forward(weft_op_call *c)
{
    const attributes *a = c->attr;
    const weft_view *x = &c->in[0];
    const weft_xent_terms t = terms(c);
    weft_view loss = c->in[1];
    weft_dev flag;
    loss.dtype = x->dtype;
    if (a->reduce == WEFT__EACH)
        loss = c->out;
    else
        WEFT_TRY(weft__scratch_view(c->fabric, &loss));
    WEFT_TRY(weft__late_flag(c->fabric, &flag));
    WEFT_TRY(c->k->xent(c->stream, loss.data, c->saved[PROBABILITIES].data, flag, x->data,
                        c->in[1].data, c->in[1].dtype, loss.numel, x->shape[x->rank - 1], &t,
                        x->dtype));
    WEFT_TRY(weft__op_judge(c, flag, "label", &c->in[1], x->shape[x->rank - 1]));
    c->weight = t.divisor;
    return weft__reduce_forward(c, a->reduce, factor(c), &loss);
}

static weft_status forward_low(weft_op_call *c)
{
    const attributes *a = c->attr;
    const weft_view *x = &c->in[0];
    const weft_xent_terms t = terms(c);
    weft_view loss = c->in[1];
    weft_dev flag;
    loss.dtype = WEFT_F32;
    if (a->reduce == WEFT__EACH)
        loss = c->out;
    else
        WEFT_TRY(weft__scratch_view(c->fabric, &loss));
    WEFT_TRY(weft__late_flag(c->fabric, &flag));
    WEFT_TRY(c->k->xent_lse(c->stream, loss.data, c->saved[LSE].data, flag, x->data, c->in[1].data,
                            c->in[1].dtype, loss.numel, x->shape[x->rank - 1], &t, x->dtype));
    WEFT_TRY(weft__op_judge(c, flag, "label", &c->in[1], x->shape[x->rank - 1]));
    c->weight = t.divisor;
    return weft__reduce_forward(c, a->reduce, factor(c), &loss);
}

static weft_status backward_low(weft_op_call *c)
{
    const weft_xent_terms t = terms(c);
    const weft_view *x = &c->in[0];
    return c->k->xent_lse_back(c->stream, c->gin[0].data, c->gout.data, factor(c), x->data,
                               c->saved[LSE].data, c->in[1].data, c->in[1].dtype, c->in[1].numel,
                               x->shape[x->rank - 1], &t, x->dtype);
}

static weft_status backward(weft_op_call *c)
{
    const weft_xent_terms t = terms(c);
    const weft_view *x = &c->in[0];
    return c->k->xent_back(c->stream, c->gin[0].data, c->gout.data, factor(c),
                           c->saved[PROBABILITIES].data, c->in[1].data, c->in[1].dtype,
                           c->in[1].numel, x->shape[x->rank - 1], &t, x->dtype);
}

#define OP(word)                                                                                   \
    {                                                                                              \
        .size = sizeof(weft_op), .name = word, .cast = WEFT_CAST_F32,                              \
        .attr_size = sizeof(attributes), .contiguous = 1, .shape = shape, .forward = forward,      \
        .backward = backward                                                                       \
    }
static const weft_op cross_entropy = OP("cross_entropy"), nll_loss = OP("nll_loss");

static const weft_op low = {.size = sizeof low,
                            .name = "cross_entropy",
                            .cast = WEFT_CAST_NONE,
                            .attr_size = sizeof(attributes),
                            .contiguous = 1,
                            .shape = shape_low,
                            .forward = forward_low,
                            .backward = backward_low};

static weft_status read(const weft_op *op, const weft_cross_entropy_options *o, attributes *a)
{
    double most = op == &nll_loss ? 0 : 1;
    WEFT_TRY(weft__reduce_parse(op->name, o->reduction, false, &a->reduce));
    if (!(o->label_smoothing >= 0 && o->label_smoothing <= most))
        return weft__fail(WEFT_EARG, "%s: label_smoothing %g is not in [0, %g]", op->name,
                          o->label_smoothing, most);
    if (o->ignore_zero && o->ignore_index)
        return weft__fail(WEFT_EARG, "%s: ignore_zero and ignore_index %lld; one label is ignored",
                          op->name, (long long)o->ignore_index);
    a->terms = (weft_xent_terms){.log_probs = op == &nll_loss,
                                 .ignores = o->ignore_zero || o->ignore_index,
                                 .ignore = o->ignore_index,
                                 .smoothing = o->label_smoothing};
    a->weighed = a->reduce == WEFT__MEAN_OF && (a->terms.ignores || o->weight);
    return WEFT_OK;
}

/* The classes, dimension 1, go behind the others. */
static weft_tensor *classes_last(weft_tensor *x)
{
    int rank = weft_rank_of(x);
    for (int d = 1; d < rank - 1; d++)
        x = weft_transpose(x, d, d + 1);
    return x;
}

static weft_tensor *apply(const weft_op *op, weft_tensor *logits, weft_tensor *labels,
                          const weft_cross_entropy_options *o)
{
    static const weft_cross_entropy_options none;
    weft_fabric *f = NULL;
    attributes a;
    o = o ? o : &none;
    if (!weft__tensor_for(op->name, logits, &f) || !weft__tensor_for(op->name, labels, NULL) ||
        (o->weight && !weft__tensor_for(op->name, o->weight, NULL)))
        return NULL;
    weft_status s = read(op, o, &a);
    if (s) {
        weft__stick(f, s);
        return NULL;
    }
    weft_tensor *const in[] = {classes_last(logits), labels,
                               o->weight ? weft_detach(o->weight) : NULL};
    if (op == &cross_entropy && !o->weight && !a.terms.smoothing &&
        weft_dtype_size(weft_dtype_of(logits)) == 2)
        op = &low;
    return weft_apply(f, op, o->weight ? 3 : 2, in, &a);
}

weft_tensor *weft_cross_entropy(weft_tensor *logits, weft_tensor *labels)
{
    return apply(&cross_entropy, logits, labels, NULL);
}

weft_tensor *weft_cross_entropy_sum(weft_tensor *logits, weft_tensor *labels)
{
    return apply(&cross_entropy, logits, labels, WEFT_CROSS_ENTROPY(.reduction = "sum"));
}

weft_tensor *weft_cross_entropy_with(weft_tensor *logits, weft_tensor *labels,
                                     const weft_cross_entropy_options *o)
{
    return apply(&cross_entropy, logits, labels, o);
}

weft_tensor *weft_nll_loss(weft_tensor *log_probs, weft_tensor *labels,
                           const weft_cross_entropy_options *o)
{
    return apply(&nll_loss, log_probs, labels, o);
}
