/* Operations: functions from tensors to tensors, recorded for weft_backward.
 *
 * All share these rules. Inputs may have any strides. NULL in gives NULL out, silently: an error
 * has stuck before. A failure sticks to the fabric and gives NULL. Results live until the step's
 * edge. Accepted: f32 and f64, unless said otherwise. Not collective; enqueued on the device's
 * stream. Errors: WEFT_ESHAPE, WEFT_EDTYPE, WEFT_EHANDLE, WEFT_ENOMEM, and what is named. */
#ifndef WEFT_OPS_H
#define WEFT_OPS_H
#include <weft/base.h>
#include <weft/tensor.h>
WEFT_BEGIN

/* a + b, a - b, a * b, a / b, a to the power b, the larger and the smaller, elementwise. Shapes
 * broadcast as in NumPy: aligned at the last dimension, and dimensions of size 1 stretch. Equal
 * elements share the gradient of a maximum or minimum; NaN wins. A power is NaN for a negative base
 * with a broken exponent, and so is the gradient by the exponent for any negative base. */
WEFT_API weft_tensor *weft_add(weft_tensor *a, weft_tensor *b);
WEFT_API weft_tensor *weft_sub(weft_tensor *a, weft_tensor *b);
WEFT_API weft_tensor *weft_mul(weft_tensor *a, weft_tensor *b);
WEFT_API weft_tensor *weft_div(weft_tensor *a, weft_tensor *b);
WEFT_API weft_tensor *weft_pow(weft_tensor *a, weft_tensor *b);
WEFT_API weft_tensor *weft_maximum(weft_tensor *a, weft_tensor *b);
WEFT_API weft_tensor *weft_minimum(weft_tensor *a, weft_tensor *b);
/* a == b, !=, <, <=, >, >= as 1 or 0 of type u8, broadcast as above, of any types; without gradient.
 * Integers are compared as i64, or in the type of a floating point partner. */
WEFT_API weft_tensor *weft_eq(weft_tensor *a, weft_tensor *b);
WEFT_API weft_tensor *weft_ne(weft_tensor *a, weft_tensor *b);
WEFT_API weft_tensor *weft_lt(weft_tensor *a, weft_tensor *b);
WEFT_API weft_tensor *weft_le(weft_tensor *a, weft_tensor *b);
WEFT_API weft_tensor *weft_gt(weft_tensor *a, weft_tensor *b);
WEFT_API weft_tensor *weft_ge(weft_tensor *a, weft_tensor *b);
/* a where condition (u8) is not 0, b elsewhere; all three broadcast. Two integers give i64. */
WEFT_API weft_tensor *weft_where(weft_tensor *condition, weft_tensor *a, weft_tensor *b);
/* alpha * x. */
WEFT_API weft_tensor *weft_scale(weft_tensor *x, double alpha);
/* a b, the matrix product: (...,M,K) x (...,K,N) -> (...,M,N), dimensions before the matrices
 * broadcast. A vector (K) is a row on the left and a column on the right, and the result has no such
 * dimension. */
WEFT_API weft_tensor *weft_matmul(weft_tensor *a, weft_tensor *b);
/* x w^T + b: x (...,I), w (O,I), b (O) or NULL -> (...,O). */
WEFT_API weft_tensor *weft_linear(weft_tensor *x, weft_tensor *w, weft_tensor *b);
/* relu(x w^T + b) in one pass over the result. */
WEFT_API weft_tensor *weft_linear_relu(weft_tensor *x, weft_tensor *w, weft_tensor *b);
/* gelu_tanh(x w^T + b): one product and one pass, on a GPU in 16 bits all at once. */
WEFT_API weft_tensor *weft_linear_gelu_tanh(weft_tensor *x, weft_tensor *w, weft_tensor *b);
/* gelu_tanh(x w^T + b) v^T + d: x (...,I), w (H,I), b (H) or NULL, v (O,H), d (O) or NULL -> (...,O). What
 * weft_linear makes of weft_linear_gelu_tanh, without the gradient between the two: on a GPU in 16 bits the
 * product that makes it ends with GELU's. */
WEFT_API weft_tensor *weft_mlp_gelu_tanh(weft_tensor *x, weft_tensor *w, weft_tensor *b,
                                         weft_tensor *v, weft_tensor *d);
/* max(x, 0). The gradient at 0 is 0. */
WEFT_API weft_tensor *weft_relu(weft_tensor *x);
/* Functions of each element. The gradient of |x| at 0 is 0. */
WEFT_API weft_tensor *weft_neg(weft_tensor *x);
WEFT_API weft_tensor *weft_abs(weft_tensor *x);
WEFT_API weft_tensor *weft_exp(weft_tensor *x);
WEFT_API weft_tensor *weft_ln(weft_tensor *x); /* the natural logarithm; weft_log is for metrics */
WEFT_API weft_tensor *weft_sqrt(weft_tensor *x);
WEFT_API weft_tensor *weft_sin(weft_tensor *x);
WEFT_API weft_tensor *weft_cos(weft_tensor *x);
/* x to the power exponent. */
WEFT_API weft_tensor *weft_pow_scalar(weft_tensor *x, double exponent);
/* x, not below min and not above max; -INFINITY and INFINITY: no bound. max counts where they cross.
 * The gradient is 0 on the bounds and beyond. WEFT_EARG: a bound is NaN. */
WEFT_API weft_tensor *weft_clamp(weft_tensor *x, double min, double max);
/* 1 / (1 + exp(-x)), and tanh x. */
WEFT_API weft_tensor *weft_sigmoid(weft_tensor *x);
WEFT_API weft_tensor *weft_tanh(weft_tensor *x);
/* x sigmoid(x). */
WEFT_API weft_tensor *weft_silu(weft_tensor *x);
/* x (1 + erf(x / sqrt 2)) / 2, and with tanh(sqrt(2/pi) (x + 0.044715 x^3)) in the place of erf:
 * PyTorch's approximate="tanh". */
WEFT_API weft_tensor *weft_gelu(weft_tensor *x);
WEFT_API weft_tensor *weft_gelu_tanh(weft_tensor *x);
/* The same elements, row-major, in another shape. One extent may be -1 and is worked out. Shares
 * memory where the strides allow it. */
WEFT_API weft_tensor *weft_reshape(weft_tensor *x, int rank, const int64_t *shape);
/* x with dimensions a and b exchanged. Shares memory. */
WEFT_API weft_tensor *weft_transpose(weft_tensor *x, int a, int b);
/* x with its dimensions in the order dims[0..rank), rank that of x. Shares memory. */
WEFT_API weft_tensor *weft_permute(weft_tensor *x, int rank, const int *dims);
/* x without dimension dim, whose extent must be 1, and with one of extent 1 before dimension dim
 * (negative: after the last, -1, and so on). Shares memory. */
WEFT_API weft_tensor *weft_squeeze(weft_tensor *x, int dim);
WEFT_API weft_tensor *weft_unsqueeze(weft_tensor *x, int dim);
/* x[start:stop:step] along dim, as in Python: negative places count from the end, those beyond it are
 * the end (INT64_MAX: all that is left). step is at least 1 (WEFT_EARG). Of any type. Shares memory. Of
 * a batch's rows: those of this rank are counted. */
WEFT_API weft_tensor *weft_slice(weft_tensor *x, int dim, int64_t start, int64_t stop,
                                 int64_t step);
/* n tensors one after the other along dim, alike in all other dimensions. Of any type; types of
 * floating point are promoted. */
WEFT_API weft_tensor *weft_concat_n(size_t n, weft_tensor *const *x, int dim);
#ifdef __cplusplus
WEFT_END
template <class... T> static inline weft_tensor *weft_concat(int dim, T... t)
{
    weft_tensor *const a[] = {t...};
    return weft_concat_n(sizeof...(t), a, dim);
}
WEFT_BEGIN
#else
#define weft_concat(dim, ...)                                                                      \
    weft_concat_n(sizeof((weft_tensor *const[]){__VA_ARGS__}) / sizeof(weft_tensor *),             \
                  (weft_tensor *const[]){__VA_ARGS__}, dim)
#endif
/* y of index's shape, y[i][j][k] = x[i][index[i][j][k]][k] for dim 1 of three: torch.gather. The index
 * (u8, i32, i64) has as many dimensions as x and, but for dim, no larger ones. A place outside x is
 * WEFT_EDATA. Gradients of places that are taken twice add up, in the index's order. */
WEFT_API weft_tensor *weft_gather(weft_tensor *x, int dim, weft_tensor *index);
/* Sum and mean over dimension dim (negative: from the last), which is dropped, or over all
 * dimensions for WEFT_ALL, which gives rank 0. The mean of nothing is NaN. */
#define WEFT_ALL INT32_MAX
WEFT_API weft_tensor *weft_sum(weft_tensor *x, int dim);
WEFT_API weft_tensor *weft_mean(weft_tensor *x, int dim);
/* The largest and the smallest over dimension dim, which is dropped, or over all for WEFT_ALL. NaN
 * counts as both. The gradient goes to the first element that has the value, PyTorch's rule of
 * max(dim), also for WEFT_ALL. Nothing to choose from is WEFT_ESHAPE. Over the rows of a batch it is
 * neither a sum nor a mean: see weft_backward. */
WEFT_API weft_tensor *weft_max(weft_tensor *x, int dim);
WEFT_API weft_tensor *weft_min(weft_tensor *x, int dim);
/* Where that element is along dim, or in row-major order for WEFT_ALL, as i64, without gradient. x of
 * any type. */
WEFT_API weft_tensor *weft_argmax(weft_tensor *x, int dim);
WEFT_API weft_tensor *weft_argmin(weft_tensor *x, int dim);
/* exp(x) / sum exp(x) over the last dimension, computed after subtracting the row's maximum. */
WEFT_API weft_tensor *weft_softmax(weft_tensor *x);
/* The logarithm of that, without forming it. */
WEFT_API weft_tensor *weft_log_softmax(weft_tensor *x);
/* (x - mean) / sqrt(var + eps) * weight + bias, mean and variance (over n, not n - 1) of the last
 * `dims` dimensions. weight and bias have their shape, or are NULL. eps 0 is 1e-5, WEFT_OFF is 0. */
WEFT_API weft_tensor *weft_layernorm(weft_tensor *x, int dims, weft_tensor *weight,
                                     weft_tensor *bias, double eps);
/* sum = x + r and the layer normalisation of that, as weft_layernorm, in one pass: the step between two
 * parts of a residual network. x and r have the same shape. *sum may be NULL. NULL for both after an
 * error. */
WEFT_API weft_tensor *weft_add_layernorm(weft_tensor *x, weft_tensor *r, int dims,
                                         weft_tensor *weight, weft_tensor *bias, double eps,
                                         weft_tensor **sum);
/* x / sqrt(mean(x^2) + eps) * weight, the mean over the last `dims` dimensions: Zhang and Sennrich,
 * "Root mean square layer normalization" (2019). weight has their shape, or is NULL. eps 0 is that of
 * the type computed in, as in PyTorch: 2^-52 of f64, else 2^-23; WEFT_OFF is 0. */
WEFT_API weft_tensor *weft_rmsnorm(weft_tensor *x, int dims, weft_tensor *weight, double eps);
/* a sigmoid(a) b, elementwise, of the same shape: Shazeer, "GLU variants improve transformer" (2020). */
WEFT_API weft_tensor *weft_swiglu(weft_tensor *a, weft_tensor *b);
/* Statistics that outlive a batch, of C channels. */
typedef struct weft_running {
    weft_tensor *mean
        WEFT_INIT; /* (C) each, contiguous, f32 or f64: what weft_module_buffer gives */
    weft_tensor *var WEFT_INIT;
    weft_tensor *batches
        WEFT_INIT;             /* (), of the same type: how many batches they are of; or NULL */
    double momentum WEFT_INIT; /* of the newest batch; default 0.1; WEFT_OFF: each counts alike */
    bool evaluate WEFT_INIT;   /* x is normalised by them, and they stay as they are */
    WEFT_PTR(weft_running)
} weft_running;
#define WEFT_RUNNING(...) WEFT__ARGS(weft_running, __VA_ARGS__)
/* (x - mean) / sqrt(var + eps) * weight + bias by channel: x is (N,C) or (N,C,...), weight and bias (C) or
 * NULL, each NULL for itself, and stay in f32 beside an x of 16 bits. eps as of layernorm. mean and variance
 * (over n, not n - 1) are those of this rank's batch, by which running's become
 *   mean = (1 - momentum) mean + momentum batch's, and var likewise, over n - 1;
 * or running's with .evaluate. running may be NULL. Of one value a channel there is no variance:
 * WEFT_ESHAPE; an empty batch changes nothing. Ioffe and Szegedy, "Batch normalization", 2015; as
 * F.batch_norm of PyTorch. */
WEFT_API weft_tensor *weft_batchnorm(weft_tensor *x, weft_tensor *weight, weft_tensor *bias,
                                     double eps, const weft_running *running);
/* The same within each row: mean and variance of its channels in `groups` groups of C/groups, of x
 * (N,C,...). With C groups it is instance normalisation, with one layer normalisation but for weight and
 * bias (C). Wu and He, "Group normalization", 2018. */
WEFT_API weft_tensor *weft_groupnorm(weft_tensor *x, int64_t groups, weft_tensor *weight,
                                     weft_tensor *bias, double eps);
/* The rows of weight (N,C) that indices (...) of type u8, i32 or i64 name -> (...,C). The row
 * padding_idx gets no gradient; WEFT_OFF: all do. An index outside 0..N-1 is WEFT_EDATA and names
 * rank and sample. The gradient is a sum in the order of the indices. */
WEFT_API weft_tensor *weft_embedding(weft_tensor *indices, weft_tensor *weight,
                                     int64_t padding_idx);
/* In training, elements are 0 with probability p in [0, 1], the others are divided by 1 - p; else x
 * itself. What is dropped is a function of (seed, number of the call in the step, step, global row
 * of the batch, element): the same on any number of ranks and threads, and after a resume. */
WEFT_API weft_tensor *weft_dropout(weft_tensor *x, double p, bool training);
typedef struct weft_attention_options {
    bool causal WEFT_INIT; /* query i sees the keys 0..i: PyTorch's is_causal */
    bool bottom_right
        WEFT_INIT;            /* causal with the last query at the last key: i sees 0..i + S - T */
    double scale WEFT_INIT;   /* default 1/sqrt(D) */
    double dropout WEFT_INIT; /* of the weights, in [0, 1]: they become 0 with that probability, the
                                    others are divided by 1 - p; default 0: none */
    WEFT_PTR(weft_attention_options)
} weft_attention_options;
#define WEFT_ATTENTION(...) WEFT__ARGS(weft_attention_options, __VA_ARGS__)
/* softmax(scale q k^T) v for each head: q (B,H,T,D), k (B,G,S,D), v (B,G,S,E) -> (B,H,T,E), PyTorch's
 * scaled_dot_product_attention. G divides H: query heads gH/G to (g+1)H/G - 1 share head g of the keys. Inputs
 * made by weft_permute of (B,T,H,D) are not copied. Memory grows with T + S, not with their product:
 * Dao, "FlashAttention-2" (2023). A query that sees no key gives 0. What dropout drops is a function
 * of (seed, number of the call in the step, step, global row of the batch, head, query, key), as in
 * weft_dropout; pass 0 in evaluation. */
WEFT_API weft_tensor *weft_attention(weft_tensor *q, weft_tensor *k, weft_tensor *v,
                                     const weft_attention_options *o);
/* Self attention of what one linear layer made: qkv (B,T,(H + 2G)D), in it the H heads of q, then the
 * G of k, then the G of v -> (B,T,HD). No copies are made, neither of inputs nor of gradients. kv_heads
 * 0: as many as heads. */
WEFT_API weft_tensor *weft_attention_packed(weft_tensor *qkv, int64_t heads, int64_t kv_heads,
                                            const weft_attention_options *o);

typedef struct weft_rotary_options {
    double base WEFT_INIT;      /* default 10000 */
    int64_t offset WEFT_INIT;   /* the position of the first row; default 0 */
    bool interleaved WEFT_INIT; /* pair j is the numbers 2j and 2j + 1; default: j and j + n/2, as
                                       in Hugging Face's Llama */
    int64_t dims WEFT_INIT;     /* n, how many of the D are turned, the first ones; default all */
    bool positions_first WEFT_INIT; /* x is (...,T,H,D) */
    WEFT_PTR(weft_rotary_options)
} weft_rotary_options;
#define WEFT_ROTARY(...) WEFT__ARGS(weft_rotary_options, __VA_ARGS__)
/* Rotary positions, of queries and keys: x (...,T,D), whose numbers are turned in pairs, pair j of
 * position t by the angle t base^(-2j/n): Su et al., "RoFormer" (2021). Angles are formed in f64. */
WEFT_API weft_tensor *weft_rotary(weft_tensor *x, const weft_rotary_options *o);
/* x in another floating point type; integers become numbers. */
WEFT_API weft_tensor *weft_cast(weft_tensor *x, weft_dtype dtype);
/* How many rows of logits (B,C) have their maximum at the label (the first maximum counts), as an
 * f64 of rank 0, without gradient. Over ranks: sum it. */
WEFT_API weft_tensor *weft_count_correct(weft_tensor *logits, weft_tensor *labels);

WEFT_END
#endif
