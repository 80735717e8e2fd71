/* loss = cross entropy of x W^T + b with labels, x (...,I) seen as (R,I), W (O,I), b (O). Logits are of x's
 * type, with smoothing f32 at least, of so many rows at a time; backward computes them again, and with z their gradient
 *   dx = z W,  dW = z^T x,  db = sum of z's rows,  the last two summed up over the chunks.
 * Only what a mean is divided by is saved, where that is not the number of rows. */
#include "ops/ops.h"

#include <math.h>

enum { X, WEIGHT, LABELS, BIAS };
enum { DIVISOR };

typedef struct attributes {
    weft_xent_terms terms;
    weft__reduce reduce;
    bool weighed; /* the mean's divisor is the number of labels that count */
    int64_t chunk;
} attributes;

static weft_status shape(weft_op_call *c)
{
    char a[WEFT__SHAPE_TEXT], b[WEFT__SHAPE_TEXT], e[WEFT__SHAPE_TEXT];
    const attributes *t = c->attr;
    const weft_view *x = &c->in[X], *w = &c->in[WEIGHT], *y = &c->in[LABELS];
    for (int i = 0; i < c->nin; i++)
        WEFT_TRY(i == LABELS ? weft__op_integer(c, i, "labels") : weft__op_float(c, i));
    if (w->rank != 2 || x->rank < 1 || x->shape[x->rank - 1] != w->shape[1] ||
        !weft__same_shape(x->rank - 1, x->shape, y->rank, y->shape))
        return weft_op_fail(
            c, WEFT_ESHAPE, "input %s, weight %s, labels %s; it takes (...,I), (O,I) and (...)",
            weft__shape_text(x->rank, x->shape, a), weft__shape_text(w->rank, w->shape, b),
            weft__shape_text(y->rank, y->shape, e));
    if (c->nin > BIAS && (c->in[BIAS].rank != 1 || c->in[BIAS].shape[0] != w->shape[0]))
        return weft_op_fail(c, WEFT_ESHAPE, "bias %s, weight %s; the bias is (O)",
                            weft__shape_text(c->in[BIAS].rank, c->in[BIAS].shape, a),
                            weft__shape_text(w->rank, w->shape, b));
    if (t->reduce == WEFT__EACH)
        c->out = *y;
    c->out.dtype = x->dtype == WEFT_F64 ? WEFT_F64 : WEFT_F32;
    if (t->weighed)
        c->saved[DIVISOR].dtype = WEFT_F64;
    c->rows = weft__reduce_rows(t->reduce);
    return WEFT_OK;
}

/* Rows, inputs and outputs of the layer, and what the loss needs beside the logits. */
typedef struct sizes {
    int64_t rows, in, out, chunk;
    weft_dtype type;   /* of logits */
    weft_dtype result; /* of losses */
    bool low;      /* logits have 16 bits, and stay: kept is the logarithm of their sum of powers */
    double factor; /* of the sum of the losses */
    weft_xent_terms terms;
} sizes;

/* Unless the caller says how many rows a chunk has: as many as hold no more logits than x has numbers,
 * but enough to keep a device busy. */
#define LEAST 512

static sizes measure(const weft_op_call *c)
{
    const attributes *a = c->attr;
    sizes s = {.rows = c->in[LABELS].numel,
               .in = c->in[WEIGHT].shape[1],
               .out = c->in[WEIGHT].shape[0],
               .chunk = a->chunk,
               .type = c->out.dtype,
               .result = c->out.dtype,
               .factor = 1,
               .terms = a->terms};
    s.low = weft_dtype_size(c->in[X].dtype) == 2 && !a->terms.smoothing;
    s.type = s.low ? c->in[X].dtype : s.type;
    if (!s.chunk) {
        s.chunk = s.out ? (int64_t)((double)s.rows * (double)s.in / (double)s.out) : s.rows;
        s.chunk = s.chunk < LEAST ? LEAST : s.chunk;
    }
    s.chunk = s.chunk < s.rows ? s.chunk : s.rows;
    if (a->weighed)
        s.factor = s.rows ? 1 : NAN;
    else if (a->reduce == WEFT__MEAN_OF)
        s.factor = 1.0 / (double)s.rows;
    s.terms.divisor.addr = a->weighed ? c->saved[DIVISOR].data.addr : 0;
    s.terms.each = a->reduce == WEFT__EACH;
    return s;
}

static weft_status room(const weft_op_call *c, weft_dtype t, int64_t n, weft_view *v)
{
    *v = (weft_view){.dtype = t, .rank = 1, .shape = {n}};
    return weft__scratch_view(c->fabric, v);
}

static weft_status count(weft_op_call *c, int64_t n, const weft_view *good)
{
    const int64_t zero = 0, one = 1;
    weft_view number;
    WEFT_TRY(room(c, WEFT_F64, n, &number));
    WEFT_TRY(c->k->copy(c->stream, number.data, WEFT_F64, &one, good->data, WEFT_U8, &one, 1, &n));
    c->weight = c->saved[DIVISOR].data;
    return c->k->sum(c->stream, c->weight, WEFT_F64, &zero, 1, number.data, &one, 1, &n, WEFT_F64);
}

/* Ignored labels as 0, and how many are not ignored. */
static weft_status leave_out(weft_op_call *c, const attributes *a, weft_view *labels)
{
    const int64_t zero = 0, one = 1, n = labels->numel;
    weft_view all, good, chosen, ignore, none;
    WEFT_TRY(room(c, WEFT_I64, n, &all));
    WEFT_TRY(room(c, WEFT_U8, n, &good));
    WEFT_TRY(room(c, WEFT_I64, n, &chosen));
    WEFT_TRY(room(c, WEFT_I64, 1, &ignore));
    WEFT_TRY(room(c, WEFT_I64, 1, &none));
    WEFT_TRY(c->k->fill(c->stream, ignore.data, 1, (double)a->terms.ignore, WEFT_I64));
    WEFT_TRY(c->k->fill(c->stream, none.data, 1, 0, WEFT_I64));
    WEFT_TRY(
        c->k->copy(c->stream, all.data, WEFT_I64, &one, labels->data, labels->dtype, &one, 1, &n));
    WEFT_TRY(c->k->compare(c->stream, WEFT_NE, good.data, all.data, &one, ignore.data, &zero, 1, &n,
                           WEFT_I64));
    WEFT_TRY(c->k->where(c->stream, chosen.data, good.data, &one, all.data, &one, none.data, &zero,
                         1, &n, WEFT_I64));
    *labels = chosen;
    return a->weighed ? count(c, n, &good) : WEFT_OK;
}

/* Looks at all labels at once: the place of the first bad one is that in the batch, not in a chunk. As
 * the index of a gather from one number, which stands for all classes, they are checked and no more. */
static weft_status look_at_labels(weft_op_call *c, const sizes *s)
{
    const attributes *a = c->attr;
    const int64_t zero = 0;
    weft_view labels = c->in[LABELS], from, to;
    weft_dev flag;
    labels.rank = 1;
    labels.shape[0] = labels.numel;
    if (a->terms.ignores)
        WEFT_TRY(leave_out(c, a, &labels));
    WEFT_TRY(room(c, WEFT_F32, 1, &from));
    WEFT_TRY(room(c, WEFT_F32, s->rows, &to));
    WEFT_TRY(c->k->fill(c->stream, from.data, 1, 0, WEFT_F32));
    WEFT_TRY(weft__late_flag(c->fabric, &flag));
    WEFT_TRY(c->k->gather(c->stream, to.data, flag, from.data, &zero, labels.data, labels.dtype, 1,
                          &s->rows, 0, s->out, WEFT_F32));
    return weft__op_judge(c, flag, "label", &c->in[LABELS], s->out);
}

/* Probabilities p of n rows from `first` on, or logits and their lse, and their losses. */
static weft_status probabilities(const weft_op_call *c, const sizes *s, int64_t first, int64_t n,
                                 weft_dev p, weft_dev lse, weft_dev loss)
{
    const weft_view *x = &c->in[X], *labels = &c->in[LABELS];
    const bool bias = c->nin > BIAS;
    if (bias) {
        const int64_t ystride[2] = {s->out, 1}, stride[2] = {0, 1}, shape[2] = {n, s->out};
        WEFT_TRY(c->k->copy(c->stream, p, s->type, ystride, c->in[BIAS].data, c->in[BIAS].dtype,
                            stride, 2, shape));
    }
    WEFT_TRY(c->k->gemm(c->stream, p, s->type, s->out, 1, weft__op_at(x, first * s->in), s->in, 0,
                        c->in[WEIGHT].data, s->in, 1, bias, n, s->out, s->in, x->dtype));
    if (s->low)
        return c->k->xent_lse(c->stream, loss, lse, (weft_dev){0}, p, weft__op_at(labels, first),
                              labels->dtype, n, s->out, &s->terms, s->type);
    return c->k->xent(c->stream, loss, p, (weft_dev){0}, p, weft__op_at(labels, first),
                      labels->dtype, n, s->out, &s->terms, s->type);
}

static weft_status forward(weft_op_call *c)
{
    const attributes *a = c->attr;
    const sizes s = measure(c);
    weft_view loss = c->out, p, lse;
    if (a->reduce != WEFT__EACH)
        WEFT_TRY(room(c, s.result, s.rows, &loss));
    WEFT_TRY(look_at_labels(c, &s));
    WEFT_TRY(room(c, s.type, s.chunk * s.out, &p));
    WEFT_TRY(room(c, WEFT_F64, s.low ? s.chunk : 0, &lse));
    for (int64_t at = 0, n; at < s.rows; at += n) {
        n = s.rows - at < s.chunk ? s.rows - at : s.chunk;
        WEFT_TRY(probabilities(c, &s, at, n, p.data, lse.data, weft__op_at(&loss, at)));
    }
    return weft__reduce_forward(c, a->reduce, s.factor, &loss);
}

/* What backward works in: the gradient of a chunk's logits, in the type of x too, and sums. */
typedef struct chunk {
    weft_view z, low, lse, loss, bias, gw, gb;
} chunk;

static weft_status prepare(const weft_op_call *c, const sizes *s, chunk *k)
{
    WEFT_TRY(room(c, s->type, s->chunk * s->out, &k->z));
    WEFT_TRY(room(c, WEFT_F64, s->low ? s->chunk : 0, &k->lse));
    WEFT_TRY(room(c, s->result, s->chunk, &k->loss));
    k->low = k->z;
    if (c->in[X].dtype != s->type)
        WEFT_TRY(room(c, c->in[X].dtype, s->chunk * s->out, &k->low));
    if (c->want[WEIGHT]) {
        WEFT_TRY(weft__op_sums(c, WEIGHT, &k->gw));
        WEFT_TRY(c->device->ops->zero(c->stream, k->gw.data, weft__view_bytes(&k->gw)));
    }
    if (c->nin > BIAS && c->want[BIAS]) {
        WEFT_TRY(room(c, s->result, s->out, &k->bias));
        WEFT_TRY(weft__op_sums(c, BIAS, &k->gb));
        WEFT_TRY(c->device->ops->zero(c->stream, k->gb.data, weft__view_bytes(&k->gb)));
    }
    return WEFT_OK;
}

static weft_status add_bias(const weft_op_call *c, const sizes *s, const chunk *k, int64_t n)
{
    const int64_t ystride[2] = {0, 1}, zstride[2] = {s->out, 1}, rows[2] = {n, s->out};
    WEFT_TRY(c->k->sum(c->stream, k->bias.data, s->result, ystride, 1, k->z.data, zstride, 2, rows,
                       s->type));
    return c->k->axpy(c->stream, k->gb.data, 1, k->bias.data, s->out, s->result);
}

/* z = the gradient of the logits. */
static weft_status logits_back(const weft_op_call *c, const sizes *s, const chunk *k, int64_t first,
                               int64_t n)
{
    const weft_view *labels = &c->in[LABELS];
    const weft_dev g = weft__op_at(&c->gout, s->terms.each ? first : 0), z = k->z.data;
    if (s->low)
        return c->k->xent_lse_back(c->stream, z, g, s->factor, z, k->lse.data,
                                   weft__op_at(labels, first), labels->dtype, n, s->out, &s->terms,
                                   s->type);
    return c->k->xent_back(c->stream, z, g, s->factor, z, weft__op_at(labels, first), labels->dtype,
                           n, s->out, &s->terms, s->type);
}

/* The gradients that n rows from `first` on give. */
static weft_status add(weft_op_call *c, const sizes *s, const chunk *k, int64_t first, int64_t n)
{
    const weft_view *x = &c->in[X], *gx = &c->gin[X];
    const int64_t one = 1, numbers = n * s->out;
    WEFT_TRY(probabilities(c, s, first, n, k->z.data, k->lse.data, k->loss.data));
    WEFT_TRY(logits_back(c, s, k, first, n));
    if (c->nin > BIAS && c->want[BIAS])
        WEFT_TRY(add_bias(c, s, k, n));
    if (x->dtype != s->type)
        WEFT_TRY(c->k->copy(c->stream, k->low.data, x->dtype, &one, k->z.data, s->type, &one, 1,
                            &numbers));
    if (c->want[WEIGHT])
        WEFT_TRY(c->k->gemm(c->stream, k->gw.data, k->gw.dtype, s->in, 1, k->low.data, s->out, 1,
                            weft__op_at(x, first * s->in), s->in, 0, 1, s->out, s->in, n,
                            x->dtype));
    if (c->want[X])
        WEFT_TRY(c->k->gemm(c->stream, weft__op_at(gx, first * s->in), gx->dtype, s->in, 1,
                            k->low.data, s->out, 0, c->in[WEIGHT].data, s->in, 0, 0, n, s->in,
                            s->out, x->dtype));
    return WEFT_OK;
}

static weft_status backward(weft_op_call *c)
{
    const sizes s = measure(c);
    chunk k;
    WEFT_TRY(prepare(c, &s, &k));
    for (int64_t at = 0, n; at < s.rows; at += n) {
        n = s.rows - at < s.chunk ? s.rows - at : s.chunk;
        WEFT_TRY(add(c, &s, &k, at, n));
    }
    if (c->want[WEIGHT])
        WEFT_TRY(weft__op_round(c, WEIGHT, &k.gw));
    return c->nin > BIAS && c->want[BIAS] ? weft__op_round(c, BIAS, &k.gb) : WEFT_OK;
}

static const weft_op op = {.size = sizeof op,
                           .name = "linear_cross_entropy",
                           .cast = WEFT_CAST_LOW,
                           .attr_size = sizeof(attributes),
                           .contiguous = 1,
                           .shape = shape,
                           .forward = forward,
                           .backward = backward,
                           .wide = 1};

static weft_status read(const weft_linear_cross_entropy_options *o, attributes *a)
{
    WEFT_TRY(weft__reduce_parse(op.name, o->reduction, false, &a->reduce));
    if (!(o->label_smoothing >= 0 && o->label_smoothing <= 1))
        return weft__fail(WEFT_EARG, "%s: label_smoothing %g is not in [0, 1]", op.name,
                          o->label_smoothing);
    if (o->ignore_zero && o->ignore_index)
        return weft__fail(WEFT_EARG, "%s: ignore_zero and ignore_index %lld; one label is ignored",
                          op.name, (long long)o->ignore_index);
    if (o->chunk < 0)
        return weft__fail(WEFT_EARG, "%s: chunks of %lld rows; 0 is the default", op.name,
                          (long long)o->chunk);
    a->terms = (weft_xent_terms){.ignores = o->ignore_zero || o->ignore_index,
                                 .ignore = o->ignore_index,
                                 .smoothing = o->label_smoothing};
    a->weighed = a->reduce == WEFT__MEAN_OF && a->terms.ignores;
    a->chunk = o->chunk;
    return WEFT_OK;
}

weft_tensor *weft_linear_cross_entropy(weft_tensor *x, weft_tensor *weight, weft_tensor *bias,
                                       weft_tensor *labels,
                                       const weft_linear_cross_entropy_options *o)
{
    static const weft_linear_cross_entropy_options none;
    weft_fabric *f = NULL;
    weft_tensor *const in[] = {x, weight, labels, bias};
    attributes a;
    if (!weft__tensor_for(op.name, x, &f) || !weft__tensor_for(op.name, weight, NULL) ||
        !weft__tensor_for(op.name, labels, NULL) ||
        (bias && !weft__tensor_for(op.name, bias, NULL)))
        return NULL;
    weft_status s = read(o ? o : &none, &a);
    if (!s)
        return weft_apply(f, &op, bias ? 4 : 3, in, &a);
    weft__stick(f, s);
    return NULL;
}
