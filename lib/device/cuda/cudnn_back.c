/* The gradient of attention as cuDNN takes it (as of cudnn_forward.c, flash attention backward), with p the
 * weights, which are computed again from lse:
 *   delta = sum gy y,  p = exp(s - lse),  gv = p^T gy,
 *   gs = scale p (gy v^T - delta),  gk = gs^T q,  gq = gs k
 * gq is a product of its own here, not a sum by atomic additions in any order. */
#include "device/cuda/cudnn.h"

#define F32 CUDNN_DATA_FLOAT

typedef struct operands {
    weft__dnn_tensor q, kt, vt, y, gy, gq, gk, gv, lse, delta, scale;
} operands;

static weft__dnn_tensor stored(weft__dnn_graph *g, const weft__attention_shape *s, int number,
                               const int64_t *from, int64_t heads, int64_t positions, int64_t size)
{
    const int64_t shape[4] = {s->batch, heads, positions, size};
    int64_t stride[4];
    weft__dnn_place(from, stride);
    return weft__dnn_stored(g, number, weft__dnn_type(s), shape, stride);
}

/* Positions last. */
static weft__dnn_tensor turned(weft__dnn_graph *g, const weft__attention_shape *s, int number,
                               const int64_t *from, int64_t size)
{
    const int64_t shape[4] = {s->batch, s->kv_heads, size, s->keys};
    int64_t stride[4];
    weft__dnn_place(from, stride);
    weft__dnn_turn(stride);
    return weft__dnn_stored(g, number, weft__dnn_type(s), shape, stride);
}

static operands describe(weft__dnn_graph *g, const weft__attention_shape *s)
{
    const int64_t h = s->heads, kv = s->kv_heads, n = s->queries, keys = s->keys;
    const int64_t rows[4] = {s->batch, h, n, 1}, packed[4] = {h * n, n, 1, 1};
    return (operands){.q = stored(g, s, WEFT__DNN_Q, s->q, h, n, s->size),
                      .kt = turned(g, s, WEFT__DNN_K, s->k, s->size),
                      .vt = turned(g, s, WEFT__DNN_V, s->v, s->vsize),
                      .y = stored(g, s, WEFT__DNN_Y, s->y, h, n, s->vsize),
                      .gy = stored(g, s, WEFT__DNN_GY, s->y, h, n, s->vsize),
                      .gq = stored(g, s, WEFT__DNN_GQ, s->gq, h, n, s->size),
                      .gk = stored(g, s, WEFT__DNN_GK, s->gk, kv, keys, s->size),
                      .gv = stored(g, s, WEFT__DNN_GV, s->gv, kv, keys, s->vsize),
                      .lse = weft__dnn_stored(g, WEFT__DNN_LSE, F32, rows, packed),
                      .delta = weft__dnn_stored(g, WEFT__DNN_DELTA, F32, rows, packed),
                      .scale = weft__dnn_scalar(g, WEFT__DNN_SCALE, F32)};
}

/* The product with one is where dropout's would be: without it cuDNN does not know the graph. */
static void deltas(weft__dnn_graph *g, const weft__attention_shape *s, const operands *o)
{
    const int64_t rows[4] = {s->batch, s->heads, s->queries, 1};
    const int64_t stride[4] = {s->heads * s->queries * s->vsize, s->queries * s->vsize,
                               s->heads * s->vsize, 1};
    weft__dnn_tensor each = weft__dnn_inner_strided(g, F32, o->y.shape, stride);
    weft__dnn_tensor sum = weft__dnn_inner(g, F32, rows);
    weft__dnn_tensor one = weft__dnn_scalar(g, WEFT__DNN_ONE, F32);
    weft__dnn_each(g, CUDNN_POINTWISE_MUL, F32, &o->gy, &o->y, &each);
    weft__dnn_reduce(g, CUDNN_REDUCE_TENSOR_ADD, &each, &sum);
    weft__dnn_each(g, CUDNN_POINTWISE_MUL, F32, &sum, &one, &o->delta);
}

/* to = x^T z, summed over the heads of a group. */
static void gather(weft__dnn_graph *g, const weft__attention_shape *s, const weft__dnn_tensor *x,
                   const weft__dnn_tensor *z, const weft__dnn_tensor *to)
{
    weft__dnn_tensor as = *x;
    weft__dnn_turn(as.shape);
    weft__dnn_turn(as.stride);
    weft__dnn_tensor xt = weft__dnn_inner_strided(g, weft__dnn_type(s), as.shape, as.stride);
    weft__dnn_reshape(g, x, &xt);
    if (s->heads == s->kv_heads) {
        weft__dnn_matmul(g, &xt, z, to);
        return;
    }
    const int64_t all[4] = {s->batch, s->heads, s->keys, z->shape[3]};
    weft__dnn_tensor heads = weft__dnn_inner(g, weft__dnn_type(s), all);
    weft__dnn_matmul(g, &xt, z, &heads);
    weft__dnn_reduce(g, CUDNN_REDUCE_TENSOR_ADD, &heads, to);
}

/* gs, from gy, v and the weights. */
static weft__dnn_tensor scores_back(weft__dnn_graph *g, const operands *o,
                                    const weft__dnn_tensor *p)
{
    weft__dnn_tensor gp = weft__dnn_inner(g, F32, p->shape);
    weft__dnn_tensor less = weft__dnn_inner(g, F32, p->shape);
    weft__dnn_tensor product = weft__dnn_inner(g, F32, p->shape);
    weft__dnn_tensor gs = weft__dnn_inner(g, F32, p->shape);
    weft__dnn_matmul(g, &o->gy, &o->vt, &gp);
    weft__dnn_each(g, CUDNN_POINTWISE_SUB, F32, &gp, &o->delta, &less);
    weft__dnn_each(g, CUDNN_POINTWISE_MUL, F32, &less, p, &product);
    weft__dnn_each(g, CUDNN_POINTWISE_MUL, F32, &product, &o->scale, &gs);
    return gs;
}

void weft__dnn_back(weft__dnn_graph *g, const weft__attention_shape *s)
{
    const operands o = describe(g, s);
    const int64_t of_k[4] = {s->batch, s->kv_heads, s->keys, s->size};
    int64_t stride[4];
    weft__dnn_place(s->k, stride);
    deltas(g, s, &o);
    const weft__dnn_tensor x = weft__dnn_scores(g, s, &o.q, &o.kt, &o.scale);
    weft__dnn_tensor less = weft__dnn_inner(g, F32, x.shape);
    weft__dnn_tensor p = weft__dnn_inner(g, F32, x.shape);
    weft__dnn_each(g, CUDNN_POINTWISE_SUB, F32, &x, &o.lse, &less);
    less = weft__dnn_mask(g, s, less);
    weft__dnn_each(g, CUDNN_POINTWISE_EXP, F32, &less, NULL, &p);
    gather(g, s, &p, &o.gy, &o.gv);
    const weft__dnn_tensor gs = scores_back(g, &o, &p);
    gather(g, s, &gs, &o.q, &o.gk);
    const weft__dnn_tensor k = weft__dnn_inner_strided(g, weft__dnn_type(s), of_k, stride);
    weft__dnn_reshape(g, &o.kt, &k);
    weft__dnn_matmul(g, &gs, &k, &o.gq);
}
