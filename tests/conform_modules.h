/* The conformance table of modules: a new one gets a row here, and test_conform_modules.c then runs it in
 * every precision beside f64, in training and in evaluation, and compares results and gradients. */
#ifndef TESTS_CONFORM_MODULES_H
#define TESTS_CONFORM_MODULES_H
#include <weft.h>
#include <weft/conv.h>

typedef struct conform_module {
    const char *name;
    weft_module *(*make)(weft_fabric *f);
    int rank;
    int64_t shape[4];
    int64_t below;   /* inputs are integers from 0 to below it; 0: numbers */
    int64_t numbers; /* of the result */
    bool varies;     /* training gives something else than evaluation */
} conform_module;

#define ROW(name, ...)                                                                             \
    static weft_module *conform_##name(weft_fabric *f)                                             \
    {                                                                                              \
        return __VA_ARGS__;                                                                        \
    }
static const int64_t conform_sizes[] = {6, 8, 4}, conform_last[] = {4, 6};

ROW(linear, weft_nn_linear(f, 6, 4))
ROW(linear_nobias, weft_nn_linear_nobias(f, 6, 4))
ROW(layernorm, weft_nn_layernorm(f, 6))
ROW(layernorm_with, weft_nn_layernorm_with(f, 2, conform_last, NULL))
ROW(rmsnorm, weft_nn_rmsnorm(f, 6))
ROW(swiglu, weft_nn_swiglu(f, 6, 8, 4))
ROW(batchnorm, weft_nn_batchnorm(f, 3))
ROW(batchnorm_sync, weft_nn_batchnorm_with(f, 3, WEFT_BATCHNORM(.sync = true)))
ROW(groupnorm, weft_nn_groupnorm(f, 2, 4))
ROW(instancenorm, weft_nn_instancenorm(f, 3))
ROW(embedding, weft_nn_embedding(f, 7, 5))
ROW(embedding_padded, weft_nn_embedding_padded(f, 7, 5, 3))
ROW(positions, weft_nn_positions(f, 8, 6))
ROW(attention, weft_nn_attention(f, 6, 2, WEFT_NN_ATTENTION(.causal = true)))
ROW(attention_grouped, weft_nn_attention(f, 8, 4, WEFT_NN_ATTENTION(.kv_heads = 2, .rotary = true)))
ROW(dropout, weft_nn_dropout(f, 0.25))
ROW(identity, weft_nn_identity(f))
ROW(flatten, weft_nn_flatten(f))
ROW(residual, weft_nn_residual(f, weft_nn_linear(f, 6, 6)))
ROW(mlp, weft_nn_mlp(f, 3, conform_sizes, WEFT_MLP(.activation = "gelu", .layernorm = true)))
ROW(sequential, weft_nn_sequential(f, weft_nn_linear(f, 6, 5), weft_nn_tanh(f)))
ROW(relu, weft_nn_relu(f))
ROW(gelu, weft_nn_gelu(f))
ROW(gelu_tanh, weft_nn_gelu_tanh(f))
ROW(silu, weft_nn_silu(f))
ROW(sigmoid, weft_nn_sigmoid(f))
ROW(tanh, weft_nn_tanh(f))
ROW(softmax, weft_nn_softmax(f))
ROW(log_softmax, weft_nn_log_softmax(f))
ROW(conv2d, weft_nn_conv2d(f, 2, 4, 3, WEFT_CONV(.stride = 2, .padding = 1)))
ROW(conv2d_depthwise, weft_nn_conv2d(f, 2, 4, 3, WEFT_CONV(.groups = 2, .no_bias = true)))
ROW(max_pool2d, weft_nn_max_pool2d(f, WEFT_POOL(.kernel = 2)))
ROW(avg_pool2d, weft_nn_avg_pool2d(f, WEFT_POOL(.kernel = 3, .stride = 2, .padding = 1)))
ROW(adaptive_avg_pool2d, weft_nn_adaptive_avg_pool2d(f, 3, 2))
ROW(global_avg_pool, weft_nn_global_avg_pool(f))
#undef ROW

#define ON(name, numbers, ...)                                                                     \
    {                                                                                              \
#name, conform_##name, numbers, __VA_ARGS__                                                \
    }
static const conform_module conform_modules[] = {
    ON(linear, 3, {2, 4, 6}, 0, 32, false),
    ON(linear_nobias, 2, {5, 6}, 0, 20, false),
    ON(layernorm, 3, {2, 4, 6}, 0, 48, false),
    ON(layernorm_with, 3, {2, 4, 6}, 0, 48, false),
    ON(rmsnorm, 3, {2, 4, 6}, 0, 48, false),
    ON(swiglu, 3, {2, 4, 6}, 0, 32, false),
    ON(batchnorm, 3, {4, 3, 5}, 0, 60, true),
    ON(batchnorm_sync, 2, {9, 3}, 0, 27, true),
    ON(groupnorm, 3, {2, 4, 6}, 0, 48, false),
    ON(instancenorm, 3, {2, 3, 7}, 0, 42, false),
    ON(embedding, 2, {3, 4}, 7, 60, false),
    ON(embedding_padded, 2, {3, 4}, 7, 60, false),
    ON(positions, 3, {2, 5, 6}, 0, 60, false),
    ON(attention, 3, {2, 5, 6}, 0, 60, false),
    ON(attention_grouped, 3, {2, 5, 8}, 0, 80, false),
    ON(dropout, 2, {6, 8}, 0, 48, true),
    ON(identity, 2, {4, 6}, 0, 24, false),
    ON(flatten, 3, {2, 3, 4}, 0, 24, false),
    ON(residual, 2, {4, 6}, 0, 24, false),
    ON(mlp, 2, {5, 6}, 0, 20, false),
    ON(sequential, 2, {4, 6}, 0, 20, false),
    ON(relu, 2, {4, 6}, 0, 24, false),
    ON(gelu, 2, {4, 6}, 0, 24, false),
    ON(gelu_tanh, 2, {4, 6}, 0, 24, false),
    ON(silu, 2, {4, 6}, 0, 24, false),
    ON(sigmoid, 2, {4, 6}, 0, 24, false),
    ON(tanh, 2, {4, 6}, 0, 24, false),
    ON(softmax, 2, {4, 6}, 0, 24, false),
    ON(log_softmax, 2, {4, 6}, 0, 24, false),
    ON(conv2d, 4, {2, 2, 5, 5}, 0, 72, false),
    ON(conv2d_depthwise, 4, {2, 2, 5, 5}, 0, 72, false),
    ON(max_pool2d, 4, {2, 2, 4, 6}, 0, 24, false),
    ON(avg_pool2d, 4, {2, 2, 4, 6}, 0, 24, false),
    ON(adaptive_avg_pool2d, 4, {2, 2, 5, 4}, 0, 24, false),
    ON(global_avg_pool, 4, {2, 3, 4, 4}, 0, 6, false),
};
#undef ON
#define CONFORM_MODULES ((int)(sizeof conform_modules / sizeof *conform_modules))
#endif
