/* y = softmax(scale q k^T) v for each head, by tiles: nothing of queries x keys is ever stored. Saved is
 * the logarithm of each row's sum. Weights that dropout drops are drawn again for the gradient. */
#include "core/rng.h"
#include "ops/ops.h"

#include <math.h>

enum { LSE };

typedef struct attributes {
    double scale, p;
    int64_t heads, kv_heads; /* of packed ones; else of the shapes */
    uint64_t stream, step;
    int64_t base;
    int causal, bottom_right;
} attributes;

/* An input or its gradient of which rank it may be: (B,H,T,D), or heads of (B,T,n D) from `first` on. */
static void strides(const weft_view *v, int64_t size, int64_t *s)
{
    s[0] = v->stride[0];
    s[1] = v->rank == 4 ? v->stride[1] : size;
    s[2] = v->stride[v->rank == 4 ? 2 : 1];
}

static int64_t number(const weft_op_call *c, int i, int d)
{
    return c->in[i].shape[d];
}

static weft_status separate(const weft_op_call *c, weft_attention_terms *t)
{
    char a[WEFT__SHAPE_TEXT], b[WEFT__SHAPE_TEXT], e[WEFT__SHAPE_TEXT];
    const weft_view *q = &c->in[0], *k = &c->in[1], *v = &c->in[2];
    const bool good = q->rank == 4 && k->rank == 4 && v->rank == 4 && k->shape[0] == q->shape[0] &&
                      v->shape[0] == q->shape[0] && k->shape[1] == v->shape[1] &&
                      k->shape[2] == v->shape[2] && k->shape[3] == q->shape[3] &&
                      (k->shape[1] ? q->shape[1] % k->shape[1] == 0 : q->shape[1] == 0);
    if (!good)
        return weft_op_fail(c, WEFT_ESHAPE,
                            "q %s, k %s, v %s; it takes (B,H,T,D), (B,G,S,D) and (B,G,S,E), H a "
                            "multiple of G",
                            weft__shape_text(q->rank, q->shape, a),
                            weft__shape_text(k->rank, k->shape, b),
                            weft__shape_text(v->rank, v->shape, e));
    *t = (weft_attention_terms){.batch = number(c, 0, 0),
                                .heads = number(c, 0, 1),
                                .kv_heads = number(c, 1, 1),
                                .queries = number(c, 0, 2),
                                .keys = number(c, 1, 2),
                                .size = number(c, 0, 3),
                                .vsize = number(c, 2, 3)};
    return WEFT_OK;
}

static weft_status packed(const weft_op_call *c, weft_attention_terms *t)
{
    char text[WEFT__SHAPE_TEXT];
    const attributes *a = c->attr;
    const weft_view *x = &c->in[0];
    const int64_t all = a->heads + 2 * a->kv_heads;
    if (x->rank != 3 || x->shape[2] % all)
        return weft_op_fail(c, WEFT_ESHAPE, "%s; it takes (B,T,N), N a multiple of %lld heads",
                            weft__shape_text(x->rank, x->shape, text), (long long)all);
    *t = (weft_attention_terms){.batch = x->shape[0],
                                .heads = a->heads,
                                .kv_heads = a->kv_heads,
                                .queries = x->shape[1],
                                .keys = x->shape[1],
                                .size = x->shape[2] / all,
                                .vsize = x->shape[2] / all};
    return WEFT_OK;
}

/* What the shapes say, checked. */
static weft_status measure(const weft_op_call *c, weft_attention_terms *t)
{
    const attributes *a = c->attr;
    WEFT_TRY(c->nin == 1 ? packed(c, t) : separate(c, t));
    t->scale = a->scale;
    t->causal = a->causal;
    t->offset = a->bottom_right ? t->keys - t->queries : 0;
    t->p = a->p;
    t->seed = c->fabric->seed;
    t->stream = a->stream;
    t->step = a->step;
    t->base = a->base;
    return WEFT_OK;
}

/* The rest of the terms: how the inputs and the result lie in memory, and g, gradients or inputs. */
static void lay(const weft_op_call *c, const weft_view *g, weft_attention_terms *t)
{
    const bool one = c->nin == 1;
    strides(&c->in[0], t->size, t->q);
    strides(&c->in[one ? 0 : 1], t->size, t->k);
    strides(&c->in[one ? 0 : 2], t->vsize, t->v);
    strides(&c->out, t->vsize, t->y);
    strides(&g[0], t->size, t->gq);
    strides(&g[one ? 0 : 1], t->size, t->gk);
    strides(&g[one ? 0 : 2], t->vsize, t->gv);
}

/* Rows of the batch stay rows where they are the first dimension, or heads, or positions of the queries
 * alone. */
static void follow_batch(weft_op_call *c)
{
    if (c->lead < 0 || c->batch < 0 || c->batch == 0)
        return;
    const bool heads = c->nin > 1 && c->batch == 1 && c->in[1].shape[1] == c->in[0].shape[1];
    const bool queries =
        c->nin > 1 && c->batch == 2 && c->lead == 0 && !c->alike[1] && !c->alike[2];
    if (!heads && !queries)
        c->rows = WEFT_ROWS_OTHER;
}

static weft_status shape(weft_op_call *c)
{
    attributes *a = c->attr;
    weft_attention_terms t;
    weft_view *lse = &c->saved[LSE];
    for (int i = 0; i < c->nin; i++)
        WEFT_TRY(weft__op_float(c, i));
    WEFT_TRY(measure(c, &t));
    if (a->scale == 0)
        a->scale = t.size ? 1 / sqrt((double)t.size) : 1;
    weft__view_copy(&c->out, &c->in[0]);
    c->out.shape[c->out.rank - 1] = c->nin == 1 ? t.heads * t.size : t.vsize;
    *lse = (weft_view){.dtype = c->out.dtype == WEFT_F64 ? WEFT_F64 : WEFT_F32,
                       .rank = 3,
                       .shape = {t.batch, t.heads, t.queries}};
    follow_batch(c);
    return WEFT_OK;
}

/* Where q, k and v begin. */
static void places(const weft_view *v, int n, const weft_attention_terms *t, weft_dev *at)
{
    for (int i = 0; i < 3; i++)
        at[i] = n == 1 ? weft__op_at(&v[0], i == 0   ? 0
                                            : i == 1 ? t->heads * t->size
                                                     : (t->heads + t->kv_heads) * t->size)
                       : v[i].data;
}

/* Heads of any strides are taken as they are, if their numbers lie one behind the other. */
static weft_status pack(weft_op_call *c)
{
    for (int i = 0; i < c->nin; i++) {
        weft_view *v = &c->in[i];
        const int last = v->rank - 1;
        const bool dense = v->shape[last] == 1 || v->stride[last] == 1;
        if (!dense || v->stride[last - 1] < v->shape[last])
            WEFT_TRY(weft__view_packed(c->fabric, v, v));
    }
    return WEFT_OK;
}

static weft_status forward(weft_op_call *c)
{
    attributes *a = c->attr;
    weft_attention_terms t;
    weft_dev at[3];
    a->step = (uint64_t)c->fabric->step;
    a->stream = a->p > 0 ? weft__stream_of("attention") + c->fabric->tape->draws++ : 0;
    a->base = c->lead >= 0 && c->batch == 0 ? c->base : 0;
    WEFT_TRY(measure(c, &t));
    WEFT_TRY(pack(c));
    lay(c, c->in, &t);
    places(c->in, c->nin, &t, at);
    return c->k->attention(c->stream, c->out.data, c->saved[LSE].data, at[0], at[1], at[2], &t,
                           c->out.dtype);
}

/* Keys and values get their gradients together: room for one that nobody wants. */
static weft_status complete(weft_op_call *c)
{
    const bool keys = c->nin == 3 && (c->want[1] || c->want[2]);
    for (int i = 1; i < c->nin && keys; i++)
        if (!c->want[i]) {
            c->gin[i] = c->in[i];
            WEFT_TRY(weft__scratch_view(c->fabric, &c->gin[i]));
        }
    return WEFT_OK;
}

static weft_status backward(weft_op_call *c)
{
    weft_attention_terms t;
    weft_view delta = c->saved[LSE];
    weft_dev at[3], to[3];
    const bool keys = c->nin == 1 || c->want[1] || c->want[2];
    WEFT_TRY(measure(c, &t));
    WEFT_TRY(complete(c));
    lay(c, c->gin, &t);
    places(c->in, c->nin, &t, at);
    places(c->gin, c->nin, &t, to);
    WEFT_TRY(weft__scratch_view(c->fabric, &delta));
    for (int i = 0; i < 3; i++)
        if (i ? !keys : !c->want[0])
            to[i].addr = 0;
    return c->k->attention_back(c->stream, to[0], to[1], to[2], delta.data, c->gout.data, at[0],
                                at[1], at[2], c->out.data, c->saved[LSE].data, &t, c->out.dtype);
}

static const weft_op op = {.size = sizeof op,
                           .name = "attention",
                           .cast = WEFT_CAST_LOW,
                           .attr_size = sizeof(attributes),
                           .shape = shape,
                           .forward = forward,
                           .backward = backward};

static weft_status read(const weft_attention_options *o, attributes *a)
{
    if (!isfinite(o->scale))
        return weft__fail(WEFT_EARG, "attention: scale %g is no number", o->scale);
    if (!(o->dropout >= 0 && o->dropout <= 1))
        return weft__fail(WEFT_EARG, "attention: dropout, p %g is not in [0, 1]", o->dropout);
    a->scale = o->scale;
    a->p = o->dropout;
    a->causal = o->causal || o->bottom_right;
    a->bottom_right = o->bottom_right;
    return WEFT_OK;
}

static weft_tensor *apply(weft_fabric *f, int n, weft_tensor *const *in,
                          const weft_attention_options *o, attributes *a)
{
    static const weft_attention_options none;
    weft_status s = read(o ? o : &none, a);
    if (!s)
        return weft_apply(f, &op, n, in, a);
    weft__stick(f, s);
    return NULL;
}

weft_tensor *weft_attention(weft_tensor *q, weft_tensor *k, weft_tensor *v,
                            const weft_attention_options *o)
{
    weft_fabric *f = NULL;
    weft_tensor *const in[] = {q, k, v};
    if (!weft__tensor_for(op.name, q, &f) || !weft__tensor_for(op.name, k, NULL) ||
        !weft__tensor_for(op.name, v, NULL))
        return NULL;
    return apply(f, 3, in, o, &(attributes){0});
}

weft_tensor *weft_attention_packed(weft_tensor *qkv, int64_t heads, int64_t kv_heads,
                                   const weft_attention_options *o)
{
    weft_fabric *f = NULL;
    attributes a = {.heads = heads, .kv_heads = kv_heads ? kv_heads : heads};
    if (!weft__tensor_for(op.name, qkv, &f))
        return NULL;
    if (heads < 1 || kv_heads < 0 || heads % a.kv_heads || heads > INT32_MAX) {
        weft__stick(f, weft__fail(WEFT_EARG,
                                  "attention: %lld heads, %lld of keys and values; the former is a "
                                  "multiple of the latter",
                                  (long long)heads, (long long)kv_heads));
        return NULL;
    }
    return apply(f, 1, &qkv, o, &a);
}
