/* Attention as cuDNN takes it: the operations one by one, which it computes by tiles (NVIDIA, "cuDNN
 * developer guide", graph API, fused flash attention forward):
 *   s = scale q k^T, -inf where a key is not seen,  m = max s,  l = sum exp(s - m),
 *   lse = m + log l,  y = (exp(s - m) / l) v */
#include "device/cuda/cudnn.h"

#define F32 CUDNN_DATA_FLOAT

cudnnDataType_t weft__dnn_type(const weft__attention_shape *s)
{
    return s->dt == WEFT_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_HALF;
}

void weft__dnn_place(const int64_t *from, int64_t *stride)
{
    for (int i = 0; i < 3; i++)
        stride[i] = from[i];
    stride[3] = 1;
}

weft__dnn_tensor weft__dnn_scores(weft__dnn_graph *g, const weft__attention_shape *s,
                                  const weft__dnn_tensor *q, const weft__dnn_tensor *kt,
                                  const weft__dnn_tensor *scale)
{
    const int64_t all[4] = {s->batch, s->heads, s->queries, s->keys};
    weft__dnn_tensor x = weft__dnn_inner(g, F32, all), scaled = weft__dnn_inner(g, F32, all);
    weft__dnn_matmul(g, q, kt, &x);
    weft__dnn_each(g, CUDNN_POINTWISE_MUL, F32, &x, scale, &scaled);
    return scaled;
}

/* Query i, or i + keys - queries, sees the keys up to its own number. */
weft__dnn_tensor weft__dnn_mask(weft__dnn_graph *g, const weft__attention_shape *s,
                                weft__dnn_tensor x)
{
    if (!s->causal)
        return x;
    const cudnnDataType_t i32 = CUDNN_DATA_INT32, yes = CUDNN_DATA_BOOLEAN;
    weft__dnn_tensor row = weft__dnn_inner(g, i32, x.shape);
    weft__dnn_tensor column = weft__dnn_inner(g, i32, x.shape);
    weft__dnn_tensor seen = weft__dnn_inner(g, yes, x.shape), y = weft__dnn_inner(g, F32, x.shape);
    weft__dnn_tensor never = weft__dnn_scalar(g, WEFT__DNN_NEVER, F32);
    weft__dnn_index(g, 2, &x, &row);
    weft__dnn_index(g, 3, &x, &column);
    if (s->shifted) {
        weft__dnn_tensor keys = weft__dnn_scalar(g, WEFT__DNN_KEYS, i32);
        weft__dnn_tensor queries = weft__dnn_scalar(g, WEFT__DNN_QUERIES, i32);
        weft__dnn_tensor more = weft__dnn_inner(g, i32, x.shape);
        weft__dnn_tensor own = weft__dnn_inner(g, i32, x.shape);
        weft__dnn_each(g, CUDNN_POINTWISE_ADD, i32, &row, &keys, &more);
        weft__dnn_each(g, CUDNN_POINTWISE_SUB, i32, &more, &queries, &own);
        row = own;
    }
    weft__dnn_each(g, CUDNN_POINTWISE_CMP_GE, yes, &row, &column, &seen);
    weft__dnn_select(g, &x, &never, &seen, &y);
    return y;
}

/* The weights, for a product with v. */
static weft__dnn_tensor softmax(weft__dnn_graph *g, const weft__attention_shape *s,
                                const weft__dnn_tensor *x, const weft__dnn_tensor *lse)
{
    const int64_t rows[4] = {s->batch, s->heads, s->queries, 1};
    weft__dnn_tensor most = weft__dnn_inner(g, F32, rows), sum = weft__dnn_inner(g, F32, rows);
    weft__dnn_tensor less = weft__dnn_inner(g, F32, x->shape);
    weft__dnn_tensor power = weft__dnn_inner(g, F32, x->shape);
    weft__dnn_tensor log = weft__dnn_inner(g, F32, rows);
    weft__dnn_tensor weight = weft__dnn_inner(g, weft__dnn_type(s), x->shape);
    weft__dnn_reduce(g, CUDNN_REDUCE_TENSOR_MAX, x, &most);
    weft__dnn_each(g, CUDNN_POINTWISE_SUB, F32, x, &most, &less);
    weft__dnn_each(g, CUDNN_POINTWISE_EXP, F32, &less, NULL, &power);
    weft__dnn_reduce(g, CUDNN_REDUCE_TENSOR_ADD, &power, &sum);
    weft__dnn_each(g, CUDNN_POINTWISE_LOG, F32, &sum, NULL, &log);
    weft__dnn_each(g, CUDNN_POINTWISE_ADD, F32, &most, &log, lse);
    weft__dnn_each(g, CUDNN_POINTWISE_DIV, F32, &power, &sum, &weight);
    return weight;
}

void weft__dnn_forward(weft__dnn_graph *g, const weft__attention_shape *s)
{
    const cudnnDataType_t t = weft__dnn_type(s);
    const int64_t of_q[4] = {s->batch, s->heads, s->queries, s->size};
    const int64_t of_kt[4] = {s->batch, s->kv_heads, s->size, s->keys};
    const int64_t of_v[4] = {s->batch, s->kv_heads, s->keys, s->vsize};
    const int64_t of_y[4] = {s->batch, s->heads, s->queries, s->vsize};
    const int64_t rows[4] = {s->batch, s->heads, s->queries, 1};
    const int64_t packed[4] = {s->heads * s->queries, s->queries, 1, 1};
    int64_t q[4], kt[4], v[4], y[4];
    weft__dnn_place(s->q, q);
    weft__dnn_place(s->k, kt);
    weft__dnn_turn(kt);
    weft__dnn_place(s->v, v);
    weft__dnn_place(s->y, y);
    weft__dnn_tensor tq = weft__dnn_stored(g, WEFT__DNN_Q, t, of_q, q);
    weft__dnn_tensor tk = weft__dnn_stored(g, WEFT__DNN_K, t, of_kt, kt);
    weft__dnn_tensor tv = weft__dnn_stored(g, WEFT__DNN_V, t, of_v, v);
    weft__dnn_tensor ty = weft__dnn_stored(g, WEFT__DNN_Y, t, of_y, y);
    weft__dnn_tensor lse = weft__dnn_stored(g, WEFT__DNN_LSE, F32, rows, packed);
    weft__dnn_tensor scale = weft__dnn_scalar(g, WEFT__DNN_SCALE, F32);
    weft__dnn_tensor x = weft__dnn_scores(g, s, &tq, &tk, &scale);
    x = weft__dnn_mask(g, s, x);
    const weft__dnn_tensor weight = softmax(g, s, &x, &lse);
    weft__dnn_matmul(g, &weight, &tv, &ty);
}
