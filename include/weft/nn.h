/* Modules: functions with parameters, in a tree. A module is made without memory; its parameters
 * come into being at weft_setup, or at the first weft_forward, on the fabric's device and in its
 * type. Their initial values depend on the seed, the parameter's place in the tree and the element
 * alone: never on ranks, threads or device. */
#ifndef WEFT_NN_H
#define WEFT_NN_H
#include <weft/base.h>
#include <weft/status.h>
#include <weft/tensor.h>
WEFT_BEGIN

/* y = x W^T + b, x (...,in) -> (...,out). Parameters weight (out,in) and bias (out), both uniform in
 * +-1/sqrt(in), PyTorch's initialisation. */
WEFT_API weft_module *weft_nn_linear(weft_fabric *f, int64_t in, int64_t out);
/* The same without bias. */
WEFT_API weft_module *weft_nn_linear_nobias(weft_fabric *f, int64_t in, int64_t out);
/* Layer normalisation of the last dimension, n wide: weft_layernorm with eps 1e-5, weight (n) of
 * ones and bias (n) of zeros. */
WEFT_API weft_module *weft_nn_layernorm(weft_fabric *f, int64_t n);
typedef struct weft_layernorm_options {
    double eps WEFT_INIT;         /* default 1e-5; WEFT_OFF is 0 */
    bool no_parameters WEFT_INIT; /* neither weight nor bias: PyTorch's elementwise_affine false */
    bool no_bias WEFT_INIT;
    WEFT_PTR(weft_layernorm_options)
} weft_layernorm_options;
#define WEFT_LAYERNORM(...) WEFT__ARGS(weft_layernorm_options, __VA_ARGS__)
/* The same of the last `rank` dimensions, of that shape. */
WEFT_API weft_module *weft_nn_layernorm_with(weft_fabric *f, int rank, const int64_t *shape,
                                             const weft_layernorm_options *o);
/* Root mean square normalisation of the last dimension, n wide: weft_rmsnorm, weight (n) of ones. */
WEFT_API weft_module *weft_nn_rmsnorm(weft_fabric *f, int64_t n);
typedef struct weft_rmsnorm_options {
    double eps WEFT_INIT;         /* default 0: the type's, see weft_rmsnorm; WEFT_OFF is 0 */
    bool no_parameters WEFT_INIT; /* no weight: PyTorch's elementwise_affine false */
    WEFT_PTR(weft_rmsnorm_options)
} weft_rmsnorm_options;
#define WEFT_RMSNORM(...) WEFT__ARGS(weft_rmsnorm_options, __VA_ARGS__)
/* The same of the last `rank` dimensions, of that shape. */
WEFT_API weft_module *weft_nn_rmsnorm_with(weft_fabric *f, int rank, const int64_t *shape,
                                           const weft_rmsnorm_options *o);
/* The gated perceptron of transformers (Shazeer 2020): (...,in) -> (...,out), down_proj(weft_swiglu(
 * gate_proj(x), up_proj(x))), three linear layers without bias, hidden wide between them. */
WEFT_API weft_module *weft_nn_swiglu(weft_fabric *f, int64_t in, int64_t hidden, int64_t out);
/* weft_batchnorm of n channels: (N,n) or (N,n,...). Parameters weight (n) of ones and bias (n) of zeros;
 * buffers running_mean (n) of zeros, running_var (n) of ones and num_batches_tracked () of 0, which
 * training forwards update and evaluation uses. On several ranks each normalises by its own rows, and
 * rank 0's running statistics are all ranks'. */
WEFT_API weft_module *weft_nn_batchnorm(weft_fabric *f, int64_t n);
typedef struct weft_batchnorm_options {
    double eps WEFT_INIT;         /* default 1e-5; WEFT_OFF is 0 */
    double momentum WEFT_INIT;    /* default 0.1; WEFT_OFF: the mean over all batches */
    bool no_parameters WEFT_INIT; /* neither weight nor bias: PyTorch's affine false */
    bool no_statistics WEFT_INIT; /* nothing is tracked, and evaluation takes the batch's */
    bool sync WEFT_INIT;          /* statistics of all ranks' rows */
    WEFT_PTR(weft_batchnorm_options)
} weft_batchnorm_options;
#define WEFT_BATCHNORM(...) WEFT__ARGS(weft_batchnorm_options, __VA_ARGS__)
/* With .sync, after weft_setup under a strategy that sums gradients over ranks, weft_forward in training and
 * weft_backward are collective: N ranks give what one rank gives with all their rows, gradients
 * included. Ranks may have different numbers of rows, or none. Such a model calls weft_forward equally
 * often on all ranks, also on one that has failed (with NULL); weft_grad through it is WEFT_ENOTSUP, and
 * so is option reproducible. As PyTorch's SyncBatchNorm. */
WEFT_API weft_module *weft_nn_batchnorm_with(weft_fabric *f, int64_t n,
                                             const weft_batchnorm_options *o);
/* Every batchnorm of m and below it becomes a synchronised one. Before m gets its memory, on all ranks
 * alike. WEFT_ESTATE. */
WEFT_API weft_status weft_nn_sync_batchnorm(weft_module *m);
/* weft_groupnorm of n channels in that many groups: (N,n,...). Parameters weight (n) of ones and bias (n) of
 * zeros. */
WEFT_API weft_module *weft_nn_groupnorm(weft_fabric *f, int64_t groups, int64_t n);
typedef struct weft_groupnorm_options {
    double eps WEFT_INIT; /* default 1e-5; WEFT_OFF is 0 */
    bool no_parameters WEFT_INIT;
    WEFT_PTR(weft_groupnorm_options)
} weft_groupnorm_options;
#define WEFT_GROUPNORM(...) WEFT__ARGS(weft_groupnorm_options, __VA_ARGS__)
WEFT_API weft_module *weft_nn_groupnorm_with(weft_fabric *f, int64_t groups, int64_t n,
                                             const weft_groupnorm_options *o);
/* Each channel of each row for itself: n groups, no parameters, PyTorch's InstanceNorm. */
WEFT_API weft_module *weft_nn_instancenorm(weft_fabric *f, int64_t n);
/* Rows of a table of n by index (...) -> (...,dim): weft_embedding. Parameter weight (n,dim), normal
 * with deviation 1. */
WEFT_API weft_module *weft_nn_embedding(weft_fabric *f, int64_t n, int64_t dim);
/* The same, but row padding_idx starts as zeros and gets no gradient. */
WEFT_API weft_module *weft_nn_embedding_padded(weft_fabric *f, int64_t n, int64_t dim,
                                               int64_t padding_idx);
/* x plus a learned vector for each position: x (...,T,n), T up to `most`. Parameter weight (most,n),
 * normal with deviation 1; GPT-2's wpe. */
WEFT_API weft_module *weft_nn_positions(weft_fabric *f, int64_t most, int64_t n);
typedef struct weft_nn_attention_options {
    bool causal WEFT_INIT;      /* a position sees itself and those before it */
    int64_t kv_heads WEFT_INIT; /* heads of keys and values; divides heads, default as many */
    bool no_bias WEFT_INIT;
    double dropout WEFT_INIT;     /* of the weights, in training mode; default 0 */
    bool rotary WEFT_INIT;        /* weft_rotary of queries and keys */
    double rotary_base WEFT_INIT; /* default 10000 */
    bool rotary_interleaved WEFT_INIT;
    WEFT_PTR(weft_nn_attention_options)
} weft_nn_attention_options;
#define WEFT_NN_ATTENTION(...) WEFT__ARGS(weft_nn_attention_options, __VA_ARGS__)
/* Multi-head self attention: (B,T,n) -> (B,T,n), heads of n/heads numbers each. c_attn, linear from n to
 * n + 2 (n/heads) kv_heads, makes queries, keys and values in this order; weft_attention_packed; c_proj,
 * linear from n to n. So the parameters are c_attn.weight, c_attn.bias, c_proj.weight, c_proj.bias, as in
 * GPT-2 but with weights (out,in). They start as those of weft_nn_linear. */
WEFT_API weft_module *weft_nn_attention(weft_fabric *f, int64_t n, int64_t heads,
                                        const weft_nn_attention_options *o);
/* weft_dropout with probability p in training mode; x itself in evaluation. */
WEFT_API weft_module *weft_nn_dropout(weft_fabric *f, double p);
/* x as it is. */
WEFT_API weft_module *weft_nn_identity(weft_fabric *f);
/* (B,...) -> (B, all the others in one). */
WEFT_API weft_module *weft_nn_flatten(weft_fabric *f);
/* x + body(x); the body's name is "body". */
WEFT_API weft_module *weft_nn_residual(weft_fabric *f, weft_module *body);
/* An activation by name: "relu", "gelu", "silu", ...: those that have a weft_nn_<name>(f). Any other
 * is WEFT_EARG with the nearest. */
WEFT_API weft_module *weft_nn_activation(weft_fabric *f, const char *name);
typedef struct weft_mlp_options {
    const char *activation WEFT_INIT; /* of weft_nn_activation; default "relu" */
    double dropout WEFT_INIT;         /* after each activation; default 0: none */
    bool layernorm WEFT_INIT;         /* before each activation */
    bool no_bias WEFT_INIT;
    WEFT_PTR(weft_mlp_options)
} weft_mlp_options;
#define WEFT_MLP(...) WEFT__ARGS(weft_mlp_options, __VA_ARGS__)
/* A sequential of linear layers sizes[0] -> ... -> sizes[n-1], n at least 2, with an activation (and
 * what the options say) behind each but the last: (...,sizes[0]) -> (...,sizes[n-1]). */
WEFT_API weft_module *weft_nn_mlp(weft_fabric *f, int n, const int64_t *sizes,
                                  const weft_mlp_options *o);
WEFT_API weft_module *weft_nn_relu(weft_fabric *f);
WEFT_API weft_module *weft_nn_softmax(weft_fabric *f);
WEFT_API weft_module *weft_nn_log_softmax(weft_fabric *f);
WEFT_API weft_module *weft_nn_gelu(weft_fabric *f);
WEFT_API weft_module *weft_nn_gelu_tanh(weft_fabric *f);
WEFT_API weft_module *weft_nn_silu(weft_fabric *f);
WEFT_API weft_module *weft_nn_sigmoid(weft_fabric *f);
WEFT_API weft_module *weft_nn_tanh(weft_fabric *f);
/* One module after the other; it becomes the parent of all n, whose names are "0", "1", ... A NULL
 * among them (an error stuck) gives NULL. */
WEFT_API weft_module *weft_nn_sequential_n(weft_fabric *f, size_t n, weft_module *const *modules);
#ifdef __cplusplus
WEFT_END
template <class... M> static inline weft_module *weft_nn_sequential(weft_fabric *f, M... m)
{
    weft_module *const a[] = {m...};
    return weft_nn_sequential_n(f, sizeof...(m), a);
}
WEFT_BEGIN
#else
#define weft_nn_sequential(f, ...)                                                                 \
    weft_nn_sequential_n(f, sizeof((weft_module *const[]){__VA_ARGS__}) / sizeof(weft_module *),   \
                         (weft_module *const[]){__VA_ARGS__})
#endif

/* The module's function. Of the outermost module, x of floating point is cast to the type of the
 * parameters, but for mixed precisions, where each op casts what it needs; and where the precision has
 * 16 bits, the result is cast to f32. Integers stay. With x NULL its hooks still fire, and the result is NULL. Not collective, except under a strategy
 * that gathers parameters. */
WEFT_API weft_tensor *weft_forward(weft_module *m, weft_tensor *x);

/* y = m(x) for a program that runs a trained module, x and y being host memory of its own, row-major:
 * x of the given shape, y with room for numel elements, exactly those of the result (WEFT_ESHAPE). In
 * evaluation mode; nothing is recorded, and once the first call of a shape is over nothing is allocated.
 * x is read in place by devices that compute in host memory; the result is copied into y, in ytype:
 * floating point, or the result's own type. y is written on success only.
 *
 * Several threads may call it at once, on modules of one fabric too, which they then use in turn; no
 * other call of that fabric may run meanwhile. Collective only where weft_forward is.
 * @return 0, or an error, which sticks: those of weft_forward, WEFT_EARG, WEFT_ESHAPE, WEFT_EDTYPE. */
WEFT_API weft_status weft_infer(weft_module *m, const void *x, int rank, const int64_t *shape,
                                weft_dtype xtype, void *y, int64_t numel, weft_dtype ytype);

/* Training or evaluation mode of m and all below it. Modules start in training mode. */
WEFT_API void weft_train(weft_module *m, bool training);
WEFT_API bool weft_is_training(const weft_module *m);

/* Activation checkpointing (Chen et al., "Training deep nets with sublinear memory cost", 2016): of m's
 * forward only its input and its result are kept, and backward runs it again, bit for bit: with the
 * same random numbers and types. Time for memory: one more forward of m, and no activations of it
 * between the two. At any time, for the forwards that follow; alike on all ranks. Modules below m may
 * have it too. m must do the same each time: what it is made of may depend on its input and on what
 * the program changes between steps alone. What its forward makes for others is stale when it returns,
 * but for its result. In evaluation and outside of weft_backward and weft_grad it changes nothing. */
WEFT_API void weft_recompute(weft_module *m, bool on);
/* Whether a forward runs again for a backward pass now: m's, of which it is asked in forward. A module
 * with state of its own, as running statistics, leaves it alone then. */
WEFT_API bool weft_is_recomputing(const weft_module *m);

/* Parameters by name, as "0.weight". weft_param: NULL and WEFT_ENOENT, with the nearest name, if
 * there is none. The tensor is the parameter itself and lives with the module. The values of a
 * parameter may be read with weft_copy_out and written with weft_copy_in, alike on all ranks (else
 * the next weft_backward is WEFT_ECONFIG). */
WEFT_API int64_t weft_param_count(weft_module *m);    /* how many parameters */
WEFT_API int64_t weft_param_elements(weft_module *m); /* how many numbers in all of them */
WEFT_API const char *weft_param_name(weft_module *m, int64_t i); /* borrowed from m */
WEFT_API weft_tensor *weft_param(weft_module *m, const char *name);
/* Buffers by name, as "1.running_mean": what modules keep that is no parameter. As for parameters, but that
 * values are rank 0's after each weft_backward. */
WEFT_API int64_t weft_buffer_count(weft_module *m);
WEFT_API const char *weft_buffer_name(weft_module *m, int64_t i); /* borrowed from m */
WEFT_API weft_tensor *weft_buffer(weft_module *m, const char *name);
/* A frozen parameter gets no gradient and no update, nor weight decay; true means all below m. At any
 * time, on all ranks alike: after weft_setup the next weft_backward is WEFT_ECONFIG on all ranks if
 * one of them froze others, and weft_clear freezes what rank 0 has frozen. What is frozen when the
 * module gets its memory has none for gradients and moments and stays frozen (WEFT_ESTATE); what is
 * frozen later keeps both. */
WEFT_API weft_status weft_freeze(weft_module *m, bool frozen);
/* Makes `name` a second name of the parameter `other` of the same shape: one parameter, counted, saved
 * and updated once, whose gradient is the sum over its uses. Full names, before there is memory, on
 * all ranks alike: weft_tie(m, "head.weight", "embedding.weight"). WEFT_ENOENT, WEFT_ESHAPE,
 * WEFT_ESTATE. */
WEFT_API weft_status weft_tie(weft_module *m, const char *name, const char *other);

/* How a parameter starts. fan_in is the product of the extents but the first, fan_out of those but
 * the second; gain is 1 for linear and sigmoid, 5/3 tanh, sqrt(2) relu, 3/4 selu, and
 * sqrt(2/(1+a^2)) leaky_relu; as in torch.nn.init.
 *   constant: value      zeros      ones
 *   uniform: [lo, hi)    normal: mean, std    trunc_normal: the same within [lo, hi]
 *   kaiming_uniform: +-gain sqrt(3/fan), kaiming_normal: std gain/sqrt(fan)
 *     (He et al., "Delving deep into rectifiers", 2015)
 *   xavier_uniform: +-gain sqrt(6/(fan_in+fan_out)), xavier_normal: std gain sqrt(2/(fan_in+fan_out))
 *     (Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
 *     networks", 2010) */
typedef struct weft_initializer_options {
    const char *kind WEFT_INIT; /* required */
    double value WEFT_INIT;     /* of constant */
    double lo WEFT_INIT;        /* both 0: 0 and 1 of uniform, -2 and 2 of trunc_normal */
    double hi WEFT_INIT;
    double mean WEFT_INIT;              /* default 0 */
    double std WEFT_INIT;               /* default 1 */
    double gain WEFT_INIT;              /* of xavier; default 1 */
    const char *mode WEFT_INIT;         /* of kaiming: "fan_in" (default), "fan_out" */
    const char *nonlinearity WEFT_INIT; /* of kaiming; default "leaky_relu" */
    double a WEFT_INIT;                 /* slope of leaky_relu; default 0 */
    WEFT_PTR(weft_initializer_options)
} weft_initializer_options;
#define WEFT_INITIALIZER(...) WEFT__ARGS(weft_initializer_options, __VA_ARGS__)
/* Says how the parameter of that full name starts; if it has memory already, starts it again. A
 * function of the seed, the name and the element, so the same on any ranks; to be called on all
 * alike, as weft_freeze. Errors stick: WEFT_ENOENT, WEFT_EARG, WEFT_ESHAPE (kaiming and xavier need
 * two dimensions). */
WEFT_API weft_status weft_init_param(weft_module *m, const char *name,
                                     const weft_initializer_options *o);

/* The tree. weft_module_at: the module of that name below m, as "0.body", "" is m itself; NULL and
 * WEFT_ENOENT if there is none. Children in the order in which they were added, from 0. */
WEFT_API weft_module *weft_module_at(weft_module *m, const char *path);
WEFT_API int64_t weft_children(const weft_module *m);
WEFT_API weft_module *weft_child(const weft_module *m, int64_t i); /* NULL beyond the last */
WEFT_API const char *weft_module_name(const weft_module *m);       /* its own; "" of a root */
WEFT_API const char *weft_module_kind(const weft_module *m);       /* "linear" */

WEFT_END
#endif
