/* Wrong values for every public call, alone: NULL in the place of what it works on, and what no other
 * test of that noun gives it. Each is refused with a code that sticks or is returned, and a message
 * that names what is wrong; nothing crashes, and the fabric goes on. */
#include "late.h"

#include <check.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>
#include <weft/sys/dataset.h>
#include <weft/sys/logger.h>
#include <weft/sys/metric.h>
#include <weft/sys/op.h>
#include <weft/sys/optimizer.h>
#include <weft/sys/sampler.h>
#include <weft/sys/stream.h>

#define IS(...) ck_assert_msg((__VA_ARGS__), "%s", #__VA_ARGS__)

static const int64_t two[] = {2, 2};

/* --- NULL in the place of what a call works on --- */

/* What a fabric that is NULL gives, or one that weft_open could not open (WEFT_EARG). */
static void from_nothing(weft_fabric *f)
{
    int64_t i64 = 0;
    double f64 = 0;
    char text[4] = "";
    const weft_array array = {.name = "x", .data = &f64, .dtype = WEFT_F64};
    const weft_named named = {"x", NULL};
    const bool none = !f;
    weft_batch b = {0};
    IS(weft_error(f) == WEFT_EARG && !*weft_message(f) == none);
    IS(weft_clear(f) == (none ? WEFT_EARG : WEFT_EPEER));
    IS(weft_fail(f, WEFT_EUSER, "x") == WEFT_EUSER &&
       weft_fail_text(f, WEFT_EUSER, "x") == WEFT_EUSER);
    IS(weft_setup(f, NULL, NULL) == WEFT_EARG && weft_setup_module(f, NULL) == WEFT_EARG);
    IS(weft_setup_optimizer(f, NULL) == WEFT_EARG && weft_setup_loader(f, NULL) == WEFT_EARG);
    IS(weft_step_end(f) == WEFT_EARG && !weft_every(f, 1) && weft_step_count(f) == 0);
    IS(weft_global_rank(f) == 0); /* and the others, of NULL */
    IS(weft_local_rank(f) == 0 && weft_node_rank(f) == 0);
    IS(!none ||
       (weft_world_size(f) == 0 && weft_local_world_size(f) == 0 && weft_num_nodes(f) == 0));
    IS(!none || (!weft_is_global_zero(f) && weft_threads(f) == 0 && weft_seed(f) == 0));
    IS(!none ||
       (!*weft_accelerator_name(f) && !*weft_strategy_name(f) && !*weft_precision_name(f)));
    IS(!none || (!*weft_device_name(f) && !*weft_kernel_set(f) && !*weft_hostname(f)));
    IS(!none || (!*weft_process_group_backend(f) && weft_skipped_count(f) == 0));
    IS(weft_loss_scale(f) == 0 || isnan(weft_loss_scale(f)) || weft_loss_scale(f) == 1);
    weft_memory_reset_peak(f);
    const weft_memory_report held = weft_memory(f), nothing = {.loaders = 0};
    IS(memcmp(&held, &nothing, sizeof held) == 0);
    IS(weft_logger_count(f) == 0 && !weft_logger_at(f, 0));
    IS((weft_print(f, "x"), true));
    IS(weft_seed_everything(f, 1) == WEFT_EARG && !weft_to_device(f, NULL));
    IS(!weft_batch_to_device(f, b).x);
    IS((weft_autocast_begin(f), weft_autocast_end(f), true));
    IS((weft_eval_begin(f), weft_eval_end(f), true));
    IS(weft_timing_take(f).steps == 0 && weft_traffic_count(f).collectives == 0);
    IS(!weft_all_gather(f, NULL) && !weft_all_gather_rows(f, NULL));
    IS(!weft_all_reduce(f, NULL, NULL) && !weft_broadcast(f, NULL, 0));
    IS(weft_broadcast_bytes(f, text, 1, 0) == WEFT_EARG);
    IS(weft_broadcast_text(f, text, 4, 0) == WEFT_EARG);
    IS(!weft_reduce_boolean_decision(f, true, true));
    IS(weft_sum_over_ranks(f, &f64, 1) == WEFT_EARG);
    IS(weft_barrier(f) == WEFT_EARG && weft_barrier_named(f, "x") == WEFT_EARG);
    IS(weft_rank_zero_first_begin(f, true) == WEFT_EARG);
    IS(weft_rank_zero_first_end(f) == WEFT_EARG);
    IS(weft_backward(f, NULL) == WEFT_EARG);
    IS(weft_accumulate(f, 2) == WEFT_EARG && !weft_is_accumulating(f));
    IS(weft_gradcheck(f, NULL, NULL, 0, NULL, 0, 0, NULL) == WEFT_EARG);
    IS(weft_save(f, "x") == WEFT_EARG && weft_save_async(f, "x") == WEFT_EARG);
    IS(weft_resume(f, "x") == WEFT_EARG && weft_load(f, "x") == WEFT_EARG);
    IS(weft_load_raw(f, "x", NULL, NULL) == WEFT_EARG);
    IS(weft_track_f64(f, "x", &f64, 1) == WEFT_EARG);
    IS(weft_track_i64(f, "x", &i64, 1) == WEFT_EARG);
    IS(weft_log(f, "x", NULL) == WEFT_EARG && weft_log_dict_n(f, 1, &named) == WEFT_EARG);
    IS(weft_log_value(f, "x", 1) == WEFT_EARG && weft_log_timing(f) == WEFT_EARG);
    IS(!weft_logger_jsonl(f, "x") && !weft_logger_csv(f, "x") && !weft_logger_console(f) &&
       !weft_logger_null(f));
    IS(!weft_logger_new(f, NULL, NULL, 0));
    IS(!weft_loader_hdf5(f, "x", NULL));
    IS(!weft_loader_idx(f, "x", NULL, NULL));
    IS(!weft_loader_tokens(f, "x", NULL, NULL));
    IS(!weft_loader_arrays(f, 1, &f64, 0, NULL, WEFT_F64, NULL, WEFT_I32, NULL));
    IS(!weft_loader_fields(f, 1, 1, &array, NULL));
    IS(!weft_loader_new(f, NULL, NULL, 1, NULL, NULL));
    IS(!weft_loader_stream(f, NULL, NULL, NULL, NULL));
    IS(!weft_batch_of(f, NULL, NULL, 0, 0).x && !weft_join(f, true));
    IS(!weft_metric_accuracy(f, NULL) && !weft_metric_confusion(f, 3) && !weft_metric_mean(f));
    IS(!weft_metric_sum(f) && !weft_metric_min(f) && !weft_metric_max(f));
    IS(!weft_metric_new(f, NULL, NULL, 0, 1));
    IS(isnan(weft_metric_value(f, NULL)) && weft_metric_counts(f, NULL, &i64, 1) == WEFT_EARG);
    IS(!weft_tensor_of(f, NULL, 0, NULL, WEFT_F32) && !weft_wrap(f, text, 0, NULL, WEFT_U8));
    IS(weft_pin_memory(f, &f64, 8) < 0 && weft_unpin_memory(f, &f64) < 0);
    IS(!weft_full(f, 1, 0, NULL, WEFT_F32) && !weft_apply(f, NULL, 0, NULL, NULL));
    IS(!weft_nn_linear(f, 1, 1) && !weft_nn_linear_nobias(f, 1, 1));
    IS(!weft_nn_layernorm(f, 1) && !weft_nn_layernorm_with(f, 2, two, NULL));
    IS(!weft_nn_rmsnorm(f, 1) && !weft_nn_rmsnorm_with(f, 2, two, NULL));
    IS(!weft_nn_swiglu(f, 1, 1, 1) && !weft_apply_results(f, NULL, 0, NULL, NULL, NULL));
    IS(!weft_nn_batchnorm(f, 1) && !weft_nn_batchnorm_with(f, 1, NULL));
    IS(!weft_nn_groupnorm(f, 1, 1) && !weft_nn_groupnorm_with(f, 1, 1, NULL));
    IS(!weft_nn_instancenorm(f, 1));
    IS(!weft_nn_embedding(f, 2, 2) && !weft_nn_embedding_padded(f, 2, 2, 0));
    IS(!weft_nn_attention(f, 2, 1, NULL) && !weft_nn_positions(f, 2, 2));
    IS(!weft_nn_dropout(f, 0.5) && !weft_nn_identity(f) && !weft_nn_flatten(f));
    IS(!weft_nn_residual(f, NULL) && !weft_nn_activation(f, "relu"));
    IS(!weft_nn_mlp(f, 2, two, NULL) && !weft_nn_relu(f) && !weft_nn_softmax(f));
    IS(!weft_nn_log_softmax(f) && !weft_nn_gelu(f) && !weft_nn_gelu_tanh(f));
    IS(!weft_nn_silu(f) && !weft_nn_sigmoid(f) && !weft_nn_tanh(f));
    IS(!weft_nn_conv2d(f, 1, 1, 1, NULL) && !weft_nn_max_pool2d(f, WEFT_POOL(.kernel = 2)));
    IS(!weft_nn_avg_pool2d(f, NULL) && !weft_nn_adaptive_avg_pool2d(f, 1, 1));
    IS(!weft_nn_global_avg_pool(f));
    IS(!weft_nn_sequential_n(f, 0, NULL) && !weft_module_new(f, NULL, NULL, 0));
}

START_TEST(no_fabric)
{
    weft_fabric *f = NULL;
    IS(weft_close(NULL) == 0 && weft_close(&f) == 0);
    IS(weft_open(NULL, NULL, NULL, NULL) == WEFT_EARG);
    IS(weft_open_text(NULL, NULL, NULL, NULL) == WEFT_EARG);
    from_nothing(NULL);
    IS(weft_open(&f, NULL, NULL, WEFT_OPEN(.precision = "none")) == WEFT_EARG);
    from_nothing(f);
    IS(weft_close(&f) == -WEFT_EARG);
}
END_TEST

START_TEST(no_module)
{
    weft_module *m = NULL;
    IS(!weft_forward(m, NULL) && (weft_train(m, true), true) && !weft_is_training(m));
    IS((weft_recompute(m, true), true) && !weft_is_recomputing(m));
    IS(weft_param_count(m) == 0 && weft_param_elements(m) == 0 && !weft_param_name(m, 0));
    IS(!weft_param(m, "x"));
    IS(weft_buffer_count(m) == 0 && !weft_buffer_name(m, 0) && !weft_buffer(m, "x"));
    IS(weft_nn_sync_batchnorm(m) == WEFT_EARG);
    IS(weft_freeze(m, true) == WEFT_EARG && weft_tie(m, "x", "y") == WEFT_EARG);
    IS(weft_init_param(m, "x", WEFT_INITIALIZER(.kind = "ones")) == WEFT_EARG);
    IS(!weft_module_at(m, "x") && weft_children(m) == 0 && !weft_child(m, 0));
    IS(!*weft_module_name(m) && !*weft_module_kind(m));
    IS(weft_no_backward_sync_begin(m, true) == WEFT_EARG);
    IS(weft_no_backward_sync_end(m) == WEFT_EARG);
    IS(!weft_module_param(m, "x", 0, NULL, WEFT_CONSTANT(0)));
    IS(!weft_module_buffer(m, "x", 0, NULL, WEFT_CONSTANT(0)));
    IS(!weft_module_child(m, "x", NULL) && !weft_module_own(m, "x"));
    IS(!weft_module_table(m));
    IS(!weft_module_self(m));
    IS(!weft_module_fabric(m));
    IS(!weft_sgd(m, NULL) && !weft_adam(m, NULL) && !weft_adamw(m, NULL) && !weft_rmsprop(m, NULL));
    IS(!weft_adagrad(m, NULL) && !weft_lbfgs(m, NULL) && !weft_muon(m, NULL));
    IS(!weft_muon(m, WEFT_MUON(.momentum = 2, .adjust_lr_fn = "none")) &&
       !weft_optimizer_new(m, NULL, NULL, 0, 1));
}
END_TEST

START_TEST(no_optimizer_loader_or_metric)
{
    weft_optimizer *o = NULL;
    weft_loader *l = NULL;
    weft_metric *m = NULL;
    weft_batch b;
    IS(weft_group(o, "*", NULL) == WEFT_EARG && weft_group_module(o, NULL, NULL) == WEFT_EARG);
    IS(weft_group_count(o) == 0 && isnan(weft_lr(o)) && isnan(weft_group_lr(o, 0)));
    IS(weft_zero_grad(o) == WEFT_EARG && weft_step(o) == WEFT_EARG);
    IS(weft_step_closure(o, NULL, NULL) == WEFT_EARG && !weft_clip_gradients(o, NULL));
    IS(weft_unscale(o) == WEFT_EARG);
    IS(weft_set_lr(o, 1) == WEFT_EARG && weft_set_group_lr(o, 0, 1) == WEFT_EARG);
    IS(weft_steps(o) == 0 && weft_set_schedule(o, NULL) == WEFT_EARG);
    IS(weft_schedule_metric(o, 1) == WEFT_EARG);
    IS(!weft_next(l, &b));
    IS(!weft_next(l, NULL));
    IS(weft_rewind(l) == WEFT_EARG && weft_loader_rows(l) == 0);
    IS(weft_loader_batches(l) == 0 && weft_loader_epochs(l) == 0 && weft_loader_position(l) == 0);
    IS(!weft_batch_field(NULL, "x") && isnan(weft_rows_uniform(NULL, 0, 0)));
    IS(weft_metric_update(m, NULL, NULL) == WEFT_EARG && weft_metric_reset(m) == WEFT_EARG);
    IS(weft_metric_add(m, 0, NULL, 1) == WEFT_EARG);
    IS((weft_metric_weigh(m, 1), weft_metric_rows(NULL) == -1));
    IS(weft_op_fail(NULL, WEFT_EUSER, "x") == WEFT_EUSER);
    IS(!weft_op_host(NULL, NULL));
    IS(weft_state_enter(NULL, "x") == WEFT_EARG);
    IS((weft_state_leave(NULL), true));
    IS(weft_state_i64(NULL, "x", NULL) == WEFT_EARG);
    IS(weft_state_f64(NULL, "x", NULL) == WEFT_EARG);
    IS(weft_state_text(NULL, "x", NULL, 0) == WEFT_EARG);
}
END_TEST

START_TEST(no_tensor)
{
    weft_tensor *t = NULL;
    double v = 0;
    IS((weft_release(t), !weft_retain(t) && !weft_detach(t)) && weft_require_grad(t) < 0);
    IS(weft_rank_of(t) == 0 && weft_dim(t, 0) == -1 && weft_numel(t) == -1);
    IS(weft_dtype_of(t) == WEFT_DEFAULT && !weft_is_valid(t));
    IS(weft_copy_out(t, &v, 8) < 0 && weft_copy_in(t, &v, 8) < 0 && isnan(weft_item(t)));
    IS(!weft_data_pointer(t) && weft_infer(NULL, &v, 0, NULL, 0, &v, 1, 0) == WEFT_EARG);
    IS(!weft_gradient(t) && !weft_grad(t, t));
    IS(!weft_add(t, t) && !weft_sub(t, t) && !weft_mul(t, t) && !weft_div(t, t) && !weft_pow(t, t));
    IS(!weft_maximum(t, t) && !weft_minimum(t, t) && !weft_eq(t, t) && !weft_ne(t, t));
    IS(!weft_lt(t, t) && !weft_le(t, t) && !weft_gt(t, t) && !weft_ge(t, t));
    IS(!weft_where(t, t, t) && !weft_scale(t, 1) && !weft_matmul(t, t) && !weft_linear(t, t, t));
    IS(!weft_linear_relu(t, t, t) && !weft_relu(t) && !weft_neg(t) && !weft_abs(t) && !weft_exp(t));
    IS(!weft_ln(t) && !weft_sqrt(t) && !weft_sin(t) && !weft_cos(t) && !weft_pow_scalar(t, 2));
    IS(!weft_clamp(t, 0, 1) && !weft_sigmoid(t) && !weft_tanh(t) && !weft_silu(t) && !weft_gelu(t));
    IS(!weft_linear_gelu_tanh(t, t, t) && !weft_mlp_gelu_tanh(t, t, t, t, t) && !weft_gelu_tanh(t));
    IS(!weft_reshape(t, 2, two) && !weft_transpose(t, 0, 1));
    IS(!weft_permute(t, 2, (const int[]){1, 0}) && !weft_squeeze(t, 0) && !weft_unsqueeze(t, 0));
    IS(!weft_slice(t, 0, 0, 1, 1) && !weft_concat_n(2, (weft_tensor *const[]){t, t}, 0));
    IS(!weft_gather(t, 0, t) && !weft_sum(t, 0) && !weft_mean(t, 0) && !weft_max(t, 0));
    IS(!weft_min(t, 0) && !weft_argmax(t, 0) && !weft_argmin(t, 0) && !weft_softmax(t));
    IS(!weft_log_softmax(t) && !weft_layernorm(t, 1, t, t, 0) && !weft_embedding(t, t, 0));
    IS(!weft_add_layernorm(t, t, 1, t, t, 0, NULL) && !weft_rmsnorm(t, 1, t, 0) &&
       !weft_swiglu(t, t));
    IS(!weft_log_softmax(t) && !weft_layernorm(t, 1, t, t, 0) &&
       !weft_batchnorm(t, t, t, 0, NULL) && !weft_groupnorm(t, 1, t, t, 0) &&
       !weft_embedding(t, t, 0));
    IS(!weft_attention(t, t, t, NULL) && !weft_attention_packed(t, 1, 1, NULL));
    IS(!weft_rotary(t, NULL) && !weft_linear_cross_entropy(t, t, t, t, NULL));
    IS(!weft_dropout(t, 0.5, true) && !weft_cast(t, WEFT_F32) && !weft_count_correct(t, t));
    IS(!weft_cross_entropy(t, t) && !weft_cross_entropy_sum(t, t));
    IS(!weft_cross_entropy_with(t, t, NULL) && !weft_nll_loss(t, t, NULL));
    IS(!weft_mse_loss(t, t, NULL) && !weft_l1_loss(t, t, NULL) && !weft_huber_loss(t, t, NULL));
    IS(!weft_smooth_l1_loss(t, t, NULL) && !weft_bce_with_logits(t, t, NULL));
    IS(!weft_kl_div(t, t, NULL));
    IS(*weft_strerror((weft_status)-99) && !strcmp(weft_status_name((weft_status)-99), "?"));
    IS(!strcmp(weft_memory_name((weft_memory_kind)WEFT_MEMORY_KINDS), "?"));
    IS(!strcmp(weft_memory_name((weft_memory_kind)-1), "?"));
    IS(weft_dtype_size((weft_dtype)99) == 0 && !strcmp(weft_dtype_name((weft_dtype)-1), "?"));
}
END_TEST

/* --- wrong values --- */

static weft_fabric *f;

/* What is refused sticks, with these words in its message, and can be cleared. */
static int sticks(weft_status code, const char *words, int refused)
{
    const int ok = refused && weft_error(f) == code && strstr(weft_message(f), words);
    if (!ok)
        fprintf(stderr, "# %d, %s: %s\n", refused, weft_status_name(weft_error(f)),
                weft_message(f));
    return weft_clear(f) == 0 && ok;
}

/* The same of what is noted only. */
static int noted(weft_status code, const char *words, weft_status s)
{
    const int ok = s == code && !weft_error(f) && strstr(weft_message(f), words);
    if (!ok)
        fprintf(stderr, "# %s, %s: %s\n", weft_status_name(s), weft_status_name(weft_error(f)),
                weft_message(f));
    return weft_clear(f) == 0 && ok;
}

#define NONE(code, words, ...) IS(sticks(code, words, !(__VA_ARGS__)))
#define SAYS(code, words, ...) IS(sticks(code, words, (__VA_ARGS__) == (code)))
#define NOTED(code, words, ...) IS(noted(code, words, (__VA_ARGS__)))

static void start(void)
{
    ck_assert(!weft_open(&f, NULL, NULL, NULL));
}

static void stop(void)
{
    ck_assert_int_eq(weft_close(&f), 0);
}

START_TEST(wrong_tensors)
{
    static const int64_t negative[] = {2, -1}, huge[] = {INT64_MAX, 2};
    float v[4] = {0};
    weft_tensor *x = weft_tensor_of(f, v, 2, two, WEFT_F32), *i = weft_full(f, 1, 2, two, WEFT_I32);
    NONE(WEFT_EARG, "NULL", weft_tensor_of(f, v, 2, NULL, WEFT_F32));
    NONE(WEFT_ESHAPE, "", weft_tensor_of(f, v, -1, two, WEFT_F32));
    NONE(WEFT_ESHAPE, "", weft_tensor_of(f, v, 9, two, WEFT_F32));
    NONE(WEFT_ESHAPE, "", weft_full(f, 1, 2, negative, WEFT_F32));
    NONE(WEFT_ESHAPE, "", weft_full(f, 1, 2, huge, WEFT_F32));
    NONE(WEFT_EDTYPE, "99", weft_full(f, 1, 2, two, (weft_dtype)99));
    NONE(WEFT_EDTYPE, "-1", weft_wrap(f, v, 2, two, (weft_dtype)-1));
    NONE(WEFT_EARG, "NULL", weft_wrap(f, NULL, 2, two, WEFT_F32));
    SAYS(WEFT_EARG, "weft_pin_memory", weft_pin_memory(f, NULL, 4));
    SAYS(WEFT_EARG, "0 bytes", weft_pin_memory(f, v, 0));
    IS(weft_pin_memory(f, v, 8) == WEFT_OK);
    SAYS(WEFT_EARG, "some are pinned", weft_pin_memory(f, (char *)v + 4, 8));
    SAYS(WEFT_EARG, "nothing is pinned", weft_unpin_memory(f, (char *)v + 4));
    IS(weft_unpin_memory(f, v) == WEFT_OK);
    SAYS(WEFT_EARG, "NULL", weft_copy_out(x, NULL, 16));
    SAYS(WEFT_EARG, "NULL", weft_copy_in(x, NULL, 16));
    SAYS(WEFT_EARG, "15 bytes", weft_copy_out(x, v, 15));
    SAYS(WEFT_EARG, "17 bytes", weft_copy_in(x, v, 17));
    SAYS(WEFT_EDTYPE, "i32", weft_require_grad(i));
    NONE(WEFT_ESHAPE, "4 elements", weft_item(x) == weft_item(x));
    IS(weft_dim(x, 2) == -1 && weft_dim(x, -3) == -1 && !weft_error(f));
}
END_TEST

START_TEST(wrong_ops)
{
    static const int64_t three[] = {3}, open[] = {-1, -1}, other[] = {3, -1};
    weft_tensor *x = weft_full(f, 1, 2, two, 0), *y = weft_full(f, 1, 1, three, 0);
    weft_tensor *i = weft_full(f, 1, 1, three, WEFT_I32), *stale = weft_full(f, 1, 0, NULL, 0);
    weft_fabric *g;
    ck_assert(!weft_open(&g, NULL, NULL, NULL));
    weft_tensor *foreign = weft_full(g, 1, 2, two, 0);
    weft_release(stale);
    NONE(WEFT_ESHAPE, "add", weft_add(x, y));
    NONE(WEFT_EHANDLE, "another fabric", weft_add(x, foreign));
    NONE(WEFT_EHANDLE, "", weft_mul(stale, x));
    NONE(WEFT_EHANDLE, "another fabric", weft_where(weft_gt(x, x), foreign, x));
    NONE(WEFT_EDTYPE, "where", weft_where(x, x, x));
    NONE(WEFT_ESHAPE, "matmul", weft_matmul(x, y));
    NONE(WEFT_ESHAPE, "linear", weft_linear(x, x, y));
    NONE(WEFT_ESHAPE, "linear", weft_linear_relu(x, y, NULL));
    NONE(WEFT_ESHAPE, "linear", weft_linear_gelu_tanh(x, y, NULL));
    NONE(WEFT_ESHAPE, "mlp: input (", weft_mlp_gelu_tanh(x, x, NULL, y, NULL));
    NONE(WEFT_ESHAPE, "mlp: bias (3)", weft_mlp_gelu_tanh(x, x, NULL, x, y));
    NONE(WEFT_EDTYPE, "mlp", weft_mlp_gelu_tanh(x, x, i, x, NULL));
    NONE(WEFT_EARG, "NULL", weft_reshape(x, 2, NULL));
    NONE(WEFT_ESHAPE, "reshape", weft_reshape(x, 9, two));
    NONE(WEFT_ESHAPE, "reshape", weft_reshape(x, -1, two));
    NONE(WEFT_ESHAPE, "reshape", weft_reshape(x, 2, open));
    NONE(WEFT_ESHAPE, "reshape", weft_reshape(x, 2, other));
    NONE(WEFT_ESHAPE, "transpose", weft_transpose(x, 0, 2));
    NONE(WEFT_ESHAPE, "transpose", weft_transpose(x, -3, 0));
    NONE(WEFT_EARG, "NULL", weft_permute(x, 2, NULL));
    NONE(WEFT_ESHAPE, "permute", weft_permute(x, 2, (const int[]){0, 0}));
    NONE(WEFT_ESHAPE, "permute", weft_permute(x, 2, (const int[]){0, 2}));
    NONE(WEFT_ESHAPE, "permute", weft_permute(x, 1, (const int[]){0}));
    NONE(WEFT_ESHAPE, "squeeze", weft_squeeze(x, 0));
    NONE(WEFT_ESHAPE, "squeeze", weft_squeeze(x, 5));
    NONE(WEFT_ESHAPE, "unsqueeze", weft_unsqueeze(x, 4));
    NONE(WEFT_EARG, "step", weft_slice(x, 0, 0, 1, 0));
    NONE(WEFT_ESHAPE, "slice", weft_slice(x, 2, 0, 1, 1));
    IS(!weft_concat_n(0, NULL, 0) && !weft_concat_n(2, NULL, 0)); /* of no fabric */
    NONE(WEFT_ESHAPE, "concat", weft_concat(0, x, y));
    NONE(WEFT_ESHAPE, "concat", weft_concat(2, x, x));
    NONE(WEFT_ESHAPE, "gather", weft_gather(x, 0, i));
    NONE(WEFT_EDTYPE, "gather", weft_gather(x, 0, x));
    NONE(WEFT_ESHAPE, "gather", weft_gather(y, 1, i));
    NONE(WEFT_EDATA, "gather",
         looked_at(f, weft_gather(y, 0, weft_full(f, 3, 1, three, WEFT_I64))));
    NONE(WEFT_ESHAPE, "sum", weft_sum(x, 2));
    NONE(WEFT_ESHAPE, "mean", weft_mean(x, -3));
    NONE(WEFT_EDTYPE, "sum", weft_sum(i, 0));
    NONE(WEFT_ESHAPE, "max", weft_max(x, 2));
    NONE(WEFT_ESHAPE, "min", weft_min(x, 2));
    NONE(WEFT_ESHAPE, "argmax", weft_argmax(x, 2));
    NONE(WEFT_ESHAPE, "argmin", weft_argmin(x, -3));
    NONE(WEFT_ESHAPE, "softmax", weft_softmax(weft_full(f, 1, 0, NULL, 0)));
    NONE(WEFT_ESHAPE, "softmax", weft_log_softmax(weft_full(f, 1, 0, NULL, 0)));
    NONE(WEFT_EARG, "eps", weft_batchnorm(x, NULL, NULL, -2, NULL));
    NONE(WEFT_EARG, "momentum", weft_batchnorm(x, NULL, NULL, 0, WEFT_RUNNING(.momentum = 2)));
    NONE(WEFT_EARG, "momentum", weft_batchnorm(x, NULL, NULL, 0, WEFT_RUNNING(.momentum = NAN)));
    NONE(WEFT_EARG, "mean", weft_batchnorm(x, NULL, NULL, 0, WEFT_RUNNING(.evaluate = true)));
    NONE(WEFT_EARG, "groups", weft_groupnorm(x, 0, NULL, NULL, 0));
    NONE(WEFT_EARG, "eps", weft_groupnorm(x, 1, NULL, NULL, NAN));
    NONE(WEFT_EARG, "eps", weft_layernorm(x, 1, NULL, NULL, -2));
    NONE(WEFT_EARG, "eps", weft_layernorm(x, 1, NULL, NULL, NAN));
    NONE(WEFT_ESHAPE, "layernorm", weft_layernorm(x, 0, NULL, NULL, 0));
    NONE(WEFT_ESHAPE, "layernorm", weft_layernorm(x, 3, NULL, NULL, 0));
    NONE(WEFT_ESHAPE, "layernorm", weft_layernorm(x, 1, y, NULL, 0));
    NONE(WEFT_EARG, "eps", weft_add_layernorm(x, x, 1, NULL, NULL, -2, NULL));
    NONE(WEFT_ESHAPE, "add_layernorm", weft_add_layernorm(x, x, 3, NULL, NULL, 0, NULL));
    NONE(WEFT_ESHAPE, "add_layernorm", weft_add_layernorm(x, y, 1, NULL, NULL, 0, NULL));
    NONE(WEFT_EDTYPE, "add_layernorm", weft_add_layernorm(i, i, 1, NULL, NULL, 0, NULL));
    NONE(WEFT_EARG, "eps", weft_rmsnorm(x, 1, NULL, -2));
    NONE(WEFT_EARG, "eps", weft_rmsnorm(x, 1, NULL, NAN));
    NONE(WEFT_ESHAPE, "rmsnorm", weft_rmsnorm(x, 0, NULL, 0));
    NONE(WEFT_ESHAPE, "rmsnorm", weft_rmsnorm(x, 1, y, 0));
    NONE(WEFT_EDTYPE, "rmsnorm", weft_rmsnorm(i, 1, NULL, 0));
    NONE(WEFT_ESHAPE, "swiglu", weft_swiglu(x, y));
    NONE(WEFT_EDTYPE, "swiglu", weft_swiglu(i, i));
    NONE(WEFT_EDTYPE, "embedding", weft_embedding(x, x, WEFT_OFF));
    NONE(WEFT_ESHAPE, "embedding", weft_embedding(i, y, WEFT_OFF));
    NONE(WEFT_EARG, "padding", weft_embedding(i, x, 2));
    NONE(WEFT_EDATA, "embedding",
         looked_at(f, weft_embedding(weft_full(f, 2, 0, NULL, WEFT_U8), x, WEFT_OFF)));
    NONE(WEFT_EARG, "chunks",
         weft_linear_cross_entropy(x, x, NULL, x, WEFT_LINEAR_CROSS_ENTROPY(.chunk = -1)));
    NONE(WEFT_EARG, "smoothing",
         weft_linear_cross_entropy(x, x, NULL, x, WEFT_LINEAR_CROSS_ENTROPY(.label_smoothing = 2)));
    NONE(WEFT_EARG, "ignore",
         weft_linear_cross_entropy(
             x, x, NULL, x, WEFT_LINEAR_CROSS_ENTROPY(.ignore_zero = true, .ignore_index = 1)));
    NONE(WEFT_EARG, "reduction",
         weft_linear_cross_entropy(x, x, NULL, x, WEFT_LINEAR_CROSS_ENTROPY(.reduction = "all")));
    NONE(WEFT_EDTYPE, "labels", weft_linear_cross_entropy(x, x, NULL, x, NULL));
    NONE(WEFT_EARG, "scale", weft_attention(x, x, x, WEFT_ATTENTION(.scale = NAN)));
    NONE(WEFT_EARG, "dropout", weft_attention(x, x, x, WEFT_ATTENTION(.dropout = 1.5)));
    NONE(WEFT_ESHAPE, "attention", weft_attention(x, x, x, NULL));
    NONE(WEFT_EARG, "heads", weft_attention_packed(x, 0, 0, NULL));
    NONE(WEFT_EARG, "heads", weft_attention_packed(x, 3, 2, NULL));
    NONE(WEFT_EARG, "heads", weft_attention_packed(x, INT64_MAX, 0, NULL));
    NONE(WEFT_ESHAPE, "attention", weft_attention_packed(x, 1, 1, NULL));
    NONE(WEFT_EARG, "base", weft_rotary(x, WEFT_ROTARY(.base = -1)));
    NONE(WEFT_EARG, "offset", weft_rotary(x, WEFT_ROTARY(.offset = -1)));
    NONE(WEFT_EARG, "dims", weft_rotary(x, WEFT_ROTARY(.dims = -2)));
    NONE(WEFT_ESHAPE, "rotary", weft_rotary(x, WEFT_ROTARY(.dims = 64)));
    NONE(WEFT_ESHAPE, "rotary", weft_rotary(x, WEFT_ROTARY(.positions_first = true)));
    NONE(WEFT_EARG, "dropout", weft_dropout(x, -0.1, true));
    NONE(WEFT_EARG, "dropout", weft_dropout(x, NAN, true));
    NONE(WEFT_EARG, "dropout", weft_dropout(x, 2, false));
    NONE(WEFT_EARG, "clamp", weft_clamp(x, NAN, 1));
    NONE(WEFT_EDTYPE, "cast", weft_cast(x, WEFT_I32));
    NONE(WEFT_EDTYPE, "cast", weft_cast(x, (weft_dtype)99));
    NONE(WEFT_EDTYPE, "exp", weft_exp(i));
    NONE(WEFT_ESHAPE, "count_correct", weft_count_correct(y, i));
    NONE(WEFT_EDTYPE, "count_correct", weft_count_correct(x, x));
    NONE(WEFT_ESHAPE, "cross_entropy", weft_cross_entropy(x, i));
    NONE(WEFT_ESHAPE, "mse", weft_mse_loss(x, y, NULL));
    NONE(WEFT_EARG, "reduction", weft_l1_loss(x, x, WEFT_LOSS(.reduction = "max")));
    NONE(WEFT_EARG, "delta", weft_huber_loss(x, x, WEFT_LOSS(.delta = -1)));
    NONE(WEFT_EARG, "beta", weft_smooth_l1_loss(x, x, WEFT_LOSS(.beta = NAN)));
    NONE(WEFT_ESHAPE, "bce", weft_bce_with_logits(x, x, WEFT_LOSS(.pos_weight = y)));
    NONE(WEFT_EHANDLE, "", weft_bce_with_logits(x, x, WEFT_LOSS(.pos_weight = stale)));
    NONE(WEFT_EARG, "beta", weft_kl_div(x, x, WEFT_LOSS(.beta = 1)));
    NONE(WEFT_EARG, "smoothing",
         weft_cross_entropy_with(x, weft_full(f, 0, 1, two, WEFT_U8),
                                 WEFT_CROSS_ENTROPY(.label_smoothing = 2)));
    NONE(WEFT_EHANDLE, "",
         weft_nll_loss(x, weft_full(f, 0, 1, two, WEFT_U8), WEFT_CROSS_ENTROPY(.weight = stale)));
    ck_assert_int_eq(weft_close(&g), 0);
}
END_TEST

START_TEST(wrong_images)
{
    weft_tensor *x = weft_full(f, 1, 4, (int64_t[]){1, 2, 3, 4}, 0);
    weft_tensor *w = weft_full(f, 1, 4, (int64_t[]){2, 2, 2, 2}, 0),
                *v = weft_full(f, 1, 1, two, 0);
    NONE(WEFT_EARG, "stride -2", weft_conv2d(x, w, v, WEFT_CONV(.stride = -2)));
    NONE(WEFT_EARG, "stride", weft_conv2d(x, w, v, WEFT_CONV(.stride_w = WEFT_OFF)));
    NONE(WEFT_EARG, "padding -2", weft_conv2d(x, w, v, WEFT_CONV(.padding = -2)));
    NONE(WEFT_EARG, "dilation", weft_conv2d(x, w, v, WEFT_CONV(.dilation = INT64_MAX)));
    NONE(WEFT_EARG, "groups -1", weft_conv2d(x, w, v, WEFT_CONV(.groups = -1)));
    NONE(WEFT_ESHAPE, "2 groups", weft_conv2d(x, w, v, WEFT_CONV(.groups = 2)));
    NONE(WEFT_ESHAPE, "groups", weft_conv2d(x, w, v, WEFT_CONV(.groups = INT64_MAX)));
    NONE(WEFT_ESHAPE, "conv2d: images", weft_conv2d(v, w, NULL, NULL));
    NONE(WEFT_ESHAPE, "bias (1, 2, 3, 4)", weft_conv2d(x, w, x, NULL));
    NONE(WEFT_ESHAPE, "no window", weft_conv2d(x, w, v, WEFT_CONV(.dilation = 4)));
    NONE(WEFT_ESHAPE, "", weft_conv2d(x, w, v, WEFT_CONV(.padding = INT32_MAX)));
    NONE(WEFT_ESHAPE, "conv1d", weft_conv1d(x, w, v, NULL));
    NONE(WEFT_EARG, "conv1d", weft_conv1d(x, w, v, WEFT_CONV(.stride = -3)));
    NONE(WEFT_EARG, "kernel 0", weft_max_pool2d(x, NULL));
    NONE(WEFT_EARG, "padding 2", weft_max_pool2d(x, WEFT_POOL(.kernel = 3, .padding = 2)));
    NONE(WEFT_EARG, "kernel -1", weft_avg_pool2d(x, WEFT_POOL(.kernel = -1)));
    NONE(WEFT_EARG, "dilation", weft_avg_pool2d(x, WEFT_POOL(.kernel = 2, .dilation = 2)));
    NONE(WEFT_ESHAPE, "max_pool2d", weft_max_pool2d(v, WEFT_POOL(.kernel = 2)));
    NONE(WEFT_ESHAPE, "4 x 4", weft_avg_pool2d(x, WEFT_POOL(.kernel = 4)));
    NONE(WEFT_EARG, "0 x 1 parts", weft_adaptive_avg_pool2d(x, 0, 1));
    NONE(WEFT_ESHAPE, "global", weft_global_avg_pool(v));
    NONE(WEFT_EARG, "0 channels", weft_nn_conv2d(f, 0, 1, 1, NULL));
    NONE(WEFT_EARG, "kernel 0", weft_nn_conv2d(f, 1, 1, 0, NULL));
    NONE(WEFT_EARG, "3 groups", weft_nn_conv2d(f, 6, 4, 1, WEFT_CONV(.groups = 3)));
    NONE(WEFT_EARG, "stride", weft_nn_conv2d(f, 1, 1, 1, WEFT_CONV(.stride = -1)));
    NONE(WEFT_EARG, "weft_nn_max", weft_nn_max_pool2d(f, NULL));
    NONE(WEFT_EARG, "weft_nn_avg", weft_nn_avg_pool2d(f, WEFT_POOL(.kernel = 2, .padding = 9)));
    NONE(WEFT_EARG, "parts", weft_nn_adaptive_avg_pool2d(f, 1, -1));
}
END_TEST

/* A table of the program's own that lacks what is required, and inputs that cannot be. */
START_TEST(wrong_ops_of_ones_own)
{
    static const weft_op empty = {.size = sizeof empty, .name = "mine"};
    weft_tensor *x = weft_full(f, 1, 0, NULL, 0);
    NONE(WEFT_EARG, "incomplete", weft_apply(f, NULL, 1, &x, NULL));
    NONE(WEFT_EARG, "mine", weft_apply(f, &empty, 1, &x, NULL));
    NONE(WEFT_EARG, "no function", weft_gradcheck(f, NULL, NULL, 1, &x, 0, 0, NULL) == 0);
}
END_TEST

static weft_tensor *nothing_forward(weft_module *m, void *self, weft_tensor *x)
{
    (void)m, (void)self;
    return x;
}

START_TEST(wrong_modules)
{
    static const weft_module_ops ops = {
        .size = sizeof ops, .name = "mine", .forward = nothing_forward};
    static const int64_t none[] = {2, 0};
    weft_module *m = weft_nn_sequential(f, weft_nn_linear(f, 2, 3), weft_nn_relu(f));
    weft_module *own = weft_module_new(f, &ops, NULL, 0);
    NONE(WEFT_EARG, "linear", weft_nn_linear(f, -1, 2));
    NONE(WEFT_EARG, "linear", weft_nn_linear(f, 2, -1));
    NONE(WEFT_EARG, "linear", weft_nn_linear_nobias(f, -1, 2));
    NONE(WEFT_EARG, "width 0", weft_nn_attention(f, 0, 1, NULL));
    NONE(WEFT_EARG, "3 heads", weft_nn_attention(f, 8, 3, NULL));
    NONE(WEFT_EARG, "3 of keys", weft_nn_attention(f, 8, 4, WEFT_NN_ATTENTION(.kv_heads = 3)));
    NONE(WEFT_EARG, "dropout", weft_nn_attention(f, 8, 4, WEFT_NN_ATTENTION(.dropout = NAN)));
    NONE(WEFT_EARG, "rotary", weft_nn_attention(f, 6, 2, WEFT_NN_ATTENTION(.rotary = true)));
    NONE(WEFT_EARG, "positions", weft_nn_positions(f, 0, 2));
    NONE(WEFT_EARG, "rmsnorm", weft_nn_rmsnorm(f, 0));
    NONE(WEFT_EARG, "rmsnorm", weft_nn_rmsnorm_with(f, 9, two, NULL));
    NONE(WEFT_EARG, "rmsnorm", weft_nn_rmsnorm_with(f, 2, none, NULL));
    NONE(WEFT_EARG, "eps", weft_nn_rmsnorm_with(f, 2, two, WEFT_RMSNORM(.eps = -2)));
    NONE(WEFT_EARG, "linear", weft_nn_swiglu(f, 2, 0, 2));
    NONE(WEFT_EARG, "batchnorm", weft_nn_batchnorm(f, 0));
    NONE(WEFT_EARG, "eps", weft_nn_batchnorm_with(f, 2, WEFT_BATCHNORM(.eps = NAN)));
    NONE(WEFT_EARG, "momentum", weft_nn_batchnorm_with(f, 2, WEFT_BATCHNORM(.momentum = -3)));
    NONE(WEFT_EARG, "groups", weft_nn_groupnorm(f, 0, 2));
    NONE(WEFT_EARG, "groups", weft_nn_instancenorm(f, 0));
    NONE(WEFT_EARG, "eps", weft_nn_groupnorm_with(f, 1, 2, WEFT_GROUPNORM(.eps = -2)));
    NONE(WEFT_EARG, "layernorm", weft_nn_layernorm(f, 0));
    NONE(WEFT_EARG, "layernorm", weft_nn_layernorm_with(f, 0, NULL, NULL));
    NONE(WEFT_EARG, "layernorm", weft_nn_layernorm_with(f, 2, NULL, NULL));
    NONE(WEFT_EARG, "layernorm", weft_nn_layernorm_with(f, 9, two, NULL));
    NONE(WEFT_EARG, "layernorm", weft_nn_layernorm_with(f, 2, none, NULL));
    NONE(WEFT_EARG, "eps", weft_nn_layernorm_with(f, 2, two, WEFT_LAYERNORM(.eps = -2)));
    NONE(WEFT_EARG, "eps", weft_nn_layernorm_with(f, 2, two, WEFT_LAYERNORM(.eps = NAN)));
    NONE(WEFT_EARG, "embedding", weft_nn_embedding(f, 0, 2));
    NONE(WEFT_EARG, "embedding", weft_nn_embedding(f, 2, -1));
    NONE(WEFT_EARG, "padding", weft_nn_embedding_padded(f, 2, 2, 2));
    NONE(WEFT_EARG, "padding", weft_nn_embedding_padded(f, 2, 2, -2));
    NONE(WEFT_EARG, "dropout", weft_nn_dropout(f, 1.5));
    NONE(WEFT_EARG, "dropout", weft_nn_dropout(f, NAN));
    IS(!weft_nn_residual(f, NULL) && !weft_error(f)); /* as ops: NULL in, NULL out */
    NONE(WEFT_EARG, "relu", weft_nn_activation(f, NULL));
    NONE(WEFT_EARG, "relu", weft_nn_activation(f, "rellu"));
    NONE(WEFT_EARG, "mlp", weft_nn_mlp(f, 1, two, NULL));
    NONE(WEFT_EARG, "mlp", weft_nn_mlp(f, 2, NULL, NULL));
    NONE(WEFT_EARG, "mlp", weft_nn_mlp(f, -3, two, NULL));
    NONE(WEFT_EARG, "gelu", weft_nn_mlp(f, 2, two, WEFT_MLP(.activation = "gellu")));
    NONE(WEFT_EARG, "dropout", weft_nn_mlp(f, 2, two, WEFT_MLP(.dropout = -1)));
    NONE(WEFT_EARG, "NULL", weft_nn_sequential_n(f, 2, NULL));
    NONE(WEFT_ESTATE, "parent", weft_nn_sequential(f, weft_child(m, 0)));
    NONE(WEFT_EARG, "incomplete", weft_module_new(f, NULL, NULL, 0));
    NONE(WEFT_EARG, "NULL", weft_module_new(f, &ops, NULL, 8));
    NONE(WEFT_EARG, "NULL", weft_module_param(own, NULL, 1, two, WEFT_CONSTANT(0)));
    NONE(WEFT_EARG, "NULL", weft_module_param(own, "w", 1, NULL, WEFT_CONSTANT(0)));
    NONE(WEFT_ESHAPE, "", weft_module_param(own, "w", -1, two, WEFT_CONSTANT(0)));
    NONE(WEFT_ESHAPE, "", weft_module_param(own, "w", 9, two, WEFT_CONSTANT(0)));
    NONE(WEFT_EARG, "", weft_module_param(own, "w", 1, two, WEFT_UNIFORM(1, NAN)));
    NONE(WEFT_EARG, "", weft_module_param(own, "a/b", 1, two, WEFT_CONSTANT(0)));
    NONE(WEFT_EARG, "", weft_module_param(own, "", 1, two, WEFT_CONSTANT(0)));
    NONE(WEFT_EARG, "NULL", weft_module_buffer(own, NULL, 1, two, WEFT_CONSTANT(0)));
    NONE(WEFT_EARG, "NULL", weft_module_buffer(own, "v", 1, NULL, WEFT_CONSTANT(0)));
    NONE(WEFT_ESHAPE, "", weft_module_buffer(own, "v", 9, two, WEFT_CONSTANT(0)));
    NONE(WEFT_EARG, "weft_module_buffer", weft_module_buffer(own, "a.b", 1, two, WEFT_CONSTANT(0)));
    NONE(WEFT_EARG, "NULL", weft_module_child(own, NULL, weft_nn_relu(f)));
    NONE(WEFT_EARG, "", weft_module_child(own, "", weft_nn_relu(f)));
    IS(!weft_module_child(own, "x", NULL));
    IS(!weft_module_own(own, NULL) && !weft_module_own(own, "w"));
    SAYS(WEFT_EARG, "NULL", weft_tie(m, NULL, "0.bias"));
    SAYS(WEFT_EARG, "NULL", weft_tie(m, "0.bias", NULL));
    SAYS(WEFT_ENOENT, "nobody", weft_tie(m, "0.bias", "nobody"));
    SAYS(WEFT_EARG, "NULL", weft_init_param(m, NULL, WEFT_INITIALIZER(.kind = "ones")));
    SAYS(WEFT_EARG, "NULL", weft_init_param(m, "0.bias", NULL));
    SAYS(WEFT_EARG, "kind", weft_init_param(m, "0.bias", WEFT_INITIALIZER(.lo = 1)));
    SAYS(WEFT_ESHAPE, "two",
         weft_init_param(m, "0.bias", WEFT_INITIALIZER(.kind = "xavier_normal")));
    IS(!weft_module_at(m, NULL) && noted(WEFT_EARG, "NULL", WEFT_EARG));
    IS(!weft_module_at(m, "9") && noted(WEFT_ENOENT, "9", WEFT_ENOENT));
    IS(!weft_child(m, 2) && !weft_child(m, -1) && !weft_error(f));
    IS(!weft_buffer(m, NULL) && noted(WEFT_EARG, "NULL", WEFT_EARG));
    IS(!weft_param(m, NULL) && noted(WEFT_EARG, "NULL", WEFT_EARG));
    IS(!weft_param(m, "0.bais") && noted(WEFT_ENOENT, "0.bias", WEFT_ENOENT));
    IS(!weft_param_name(m, 2) && !weft_param_name(m, -1) && !weft_error(f));
    SAYS(WEFT_ESTATE, "set up", weft_no_backward_sync_begin(m, true));
    SAYS(WEFT_EARG, "whole", weft_no_backward_sync_begin(weft_child(m, 0), true));
    SAYS(WEFT_ESTATE, "without", weft_no_backward_sync_end(m));
}
END_TEST

static weft_status search_nothing(void *self, const weft_optim_vector *x, int64_t t, double lr)
{
    (void)self, (void)x, (void)t, (void)lr;
    return WEFT_OK;
}

START_TEST(wrong_optimizers)
{
    static const weft_hyper far = {.name = "far", .at = 8, .below = 1};
    static const weft_optim_ops beyond = {.size = sizeof beyond,
                                          .name = "mine",
                                          .search = search_nothing,
                                          .hyper = &far,
                                          .hypers = 1};
    static const weft_optim_ops empty = {.size = sizeof empty, .name = "mine"},
                                ok = {.size = sizeof ok, .name = "mine", .search = search_nothing};
    weft_module *m = weft_nn_linear(f, 2, 2);
    NONE(WEFT_EARG, "rate -1", weft_sgd(m, WEFT_SGD(.lr = -1)));
    NONE(WEFT_EARG, "rate nan", weft_adam(m, WEFT_ADAM(.lr = NAN)));
    NONE(WEFT_EARG, "rate inf", weft_adamw(m, WEFT_ADAMW(.lr = INFINITY)));
    NONE(WEFT_EARG, "weight_decay", weft_adamw(m, WEFT_ADAMW(.weight_decay = -2)));
    NONE(WEFT_EARG, "alpha", weft_rmsprop(m, WEFT_RMSPROP(.alpha = -3)));
    NONE(WEFT_EARG, "lr_decay", weft_adagrad(m, WEFT_ADAGRAD(.lr_decay = -1)));
    NONE(WEFT_EARG, "max_iter", weft_lbfgs(m, WEFT_LBFGS(.max_iter = -1)));
    NONE(WEFT_EARG, "max_eval", weft_lbfgs(m, WEFT_LBFGS(.max_eval = -1)));
    NONE(WEFT_EARG, "history_size", weft_lbfgs(m, WEFT_LBFGS(.history_size = -2)));
    NONE(WEFT_EARG, "tolerance_grad", weft_lbfgs(m, WEFT_LBFGS(.tolerance_grad = -2)));
    NONE(WEFT_EARG, "tolerance_change", weft_lbfgs(m, WEFT_LBFGS(.tolerance_change = NAN)));
    NONE(WEFT_EARG, "strong_wolfe", weft_lbfgs(m, WEFT_LBFGS(.line_search = "wolfe")));
    NONE(WEFT_EARG, "rate -1", weft_muon(m, WEFT_MUON(.lr = -1)));
    NONE(WEFT_EARG, "rate nan", weft_muon(m, WEFT_MUON(.lr = NAN)));
    NONE(WEFT_EARG, "momentum", weft_muon(m, WEFT_MUON(.momentum = 1)));
    NONE(WEFT_EARG, "weight_decay", weft_muon(m, WEFT_MUON(.weight_decay = INFINITY)));
    NONE(WEFT_EARG, "nesterov", weft_muon(m, WEFT_MUON(.nesterov = 2)));
    NONE(WEFT_EARG, "ns_steps", weft_muon(m, WEFT_MUON(.ns_steps = 100)));
    NONE(WEFT_EARG, "ns_steps", weft_muon(m, WEFT_MUON(.ns_steps = -2)));
    NONE(WEFT_EARG, "coefficients c", weft_muon(m, WEFT_MUON(.ns_coefficients = {1, 1, INFINITY})));
    NONE(WEFT_EARG, "eps", weft_muon(m, WEFT_MUON(.eps = -2)));
    NONE(WEFT_EARG, "original", weft_muon(m, WEFT_MUON(.adjust_lr_fn = "")));
    NONE(WEFT_EARG, "beta1", weft_muon(m, WEFT_MUON(.beta1 = 1)));
    NONE(WEFT_EARG, "beta2", weft_muon(m, WEFT_MUON(.beta2 = NAN)));
    NONE(WEFT_EARG, "adamw_eps", weft_muon(m, WEFT_MUON(.adamw_eps = -3)));
    NONE(WEFT_EARG, "incomplete", weft_optimizer_new(m, NULL, NULL, 0, 1));
    NONE(WEFT_EARG, "mine", weft_optimizer_new(m, &empty, NULL, 0, 1));
    NONE(WEFT_EARG, "NULL", weft_optimizer_new(m, &ok, NULL, 8, 1));
    NONE(WEFT_EARG, "mine", weft_optimizer_new(m, &ok, NULL, 0, 0));
    NONE(WEFT_EARG, "incomplete", weft_optimizer_new(m, &beyond, two, 8, 1));
    weft_optimizer *o = weft_sgd(m, NULL);
    SAYS(WEFT_EARG, "pattern", weft_group(o, NULL, NULL));
    SAYS(WEFT_EARG, "NULL", weft_group_module(o, NULL, NULL));
    SAYS(WEFT_EARG, "beta1", weft_group(o, "*", WEFT_GROUP(.beta1 = 0.5)));
    SAYS(WEFT_EARG, "momentum", weft_group(o, "*", WEFT_GROUP(.momentum = -3)));
    SAYS(WEFT_EARG, "learning rate", weft_group(o, "*", WEFT_GROUP(.lr = NAN)));
    NOTED(WEFT_EARG, "rate", weft_set_lr(o, -1));
    NOTED(WEFT_EARG, "groups", weft_set_group_lr(o, 1, 1));
    SAYS(WEFT_EARG, "schedule", weft_set_schedule(o, WEFT_SCHEDULE(.kind = "sine")));
    SAYS(WEFT_EARG, "warmup",
         weft_set_schedule(o, WEFT_SCHEDULE(.kind = "constant", .warmup = -1)));
    SAYS(WEFT_EARG, "total", weft_set_schedule(o, WEFT_SCHEDULE(.kind = "cosine")));
    SAYS(WEFT_EARG, "milestones",
         weft_set_schedule(o, WEFT_SCHEDULE(.kind = "multistep", .milestone_count = 2)));
    SAYS(WEFT_ESTATE, "set up", weft_step(o));
    SAYS(WEFT_ESTATE, "set up", weft_step_closure(o, NULL, NULL));
    NONE(WEFT_ESTATE, "set up", weft_clip_gradients(o, WEFT_CLIP(.max_norm = 1)));
    SAYS(WEFT_ESTATE, "set up", weft_unscale(o));
    SAYS(WEFT_ESTATE, "plateau", weft_schedule_metric(o, 1));
}
END_TEST

static weft_status read_nothing(void *self, int field, const int64_t *row, int64_t n, void *out,
                                char *why, size_t size)
{
    (void)self, (void)field, (void)row, (void)n, (void)out, (void)why, (void)size;
    return WEFT_OK;
}

static weft_status no_order(void *self, uint64_t seed, int64_t epoch, int64_t rows, int64_t *order,
                            int64_t n, char *why, size_t size)
{
    (void)self, (void)seed, (void)epoch, (void)rows, (void)why, (void)size;
    for (int64_t i = 0; i < n; i++)
        order[i] = rows; /* one too far */
    return WEFT_OK;
}

#define ARRAYS(...)                                                                                \
    weft_loader_arrays(f, 4, x, 1, two, WEFT_F32, NULL, WEFT_I32, WEFT_LOADER(__VA_ARGS__))
#define FILE_OF(...) weft_loader_hdf5(f, "/nowhere.h5", WEFT_LOADER(__VA_ARGS__))

START_TEST(wrong_loaders)
{
    static const weft_dataset_ops ops = {.size = sizeof ops, .name = "mine", .read = read_nothing},
                                  bare = {.size = sizeof bare, .name = "bare"};
    static const weft_stream_ops still = {.size = sizeof still, .name = "still"};
    static const weft_sampler_ops unable = {.size = sizeof unable, .name = "unable"},
                                  far = {.size = sizeof far, .name = "far", .order = no_order};
    static const float x[8] = {0};
    static const double zero[4] = {0}, minus[4] = {1, -1, 1, 1}, nan_[4] = {1, NAN, 1, 1};
    static const int64_t lengths[4] = {1, -1, 1, 1}, negative[] = {-2};
    const weft_field field[2] = {{.present = true, .dtype = WEFT_F32, .rank = 1, .shape = {2}}};
    const weft_field rank9[2] = {{.present = true, .dtype = WEFT_F32, .rank = 8, .shape = {2}}};
    const weft_array array = {.name = "x", .data = x, .dtype = WEFT_F32, .rank = 1, .shape = {2}};
    const weft_array same[2] = {array, array}, empty[1] = {{.name = "x", .rank = 1, .shape = {2}}};
    weft_batch b;
    NONE(WEFT_EARG, "NULL", weft_loader_arrays(f, 4, NULL, 1, two, WEFT_F32, NULL, 0, NULL));
    NONE(WEFT_EARG, "NULL", weft_loader_arrays(f, 4, x, 1, NULL, WEFT_F32, NULL, 0, NULL));
    NONE(WEFT_EARG, "rows", weft_loader_arrays(f, -1, x, 1, two, WEFT_F32, NULL, 0, NULL));
    NONE(WEFT_ESHAPE, "8 dim", weft_loader_arrays(f, 4, x, 8, two, WEFT_F32, NULL, 0, NULL));
    NONE(WEFT_ESHAPE, "-1 dim", weft_loader_arrays(f, 4, x, -1, two, WEFT_F32, NULL, 0, NULL));
    NONE(WEFT_ESHAPE, "extent", weft_loader_arrays(f, 4, x, 1, negative, WEFT_F32, NULL, 0, NULL));
    NONE(WEFT_EDTYPE, "", weft_loader_arrays(f, 4, x, 1, two, (weft_dtype)99, NULL, 0, NULL));
    NONE(WEFT_EARG, "0 fields", weft_loader_fields(f, 4, 0, &array, NULL));
    NONE(WEFT_EARG, "9 fields", weft_loader_fields(f, 4, 9, &array, NULL));
    NONE(WEFT_EARG, "NULL", weft_loader_fields(f, 4, 1, NULL, NULL));
    NONE(WEFT_EARG, "NULL", weft_loader_fields(f, 4, 1, empty, NULL));
    NONE(WEFT_EARG, "x", weft_loader_fields(f, 4, 2, same, NULL));
    NONE(WEFT_EARG, "full size", weft_loader_new(f, NULL, NULL, 4, field, NULL));
    NONE(WEFT_EARG, "read", weft_loader_new(f, &bare, NULL, 4, field, NULL));
    NONE(WEFT_EARG, "NULL", weft_loader_new(f, &ops, NULL, 4, NULL, NULL));
    NONE(WEFT_ESHAPE, "8 dim", weft_loader_new(f, &ops, NULL, 4, rank9, NULL));
    NONE(WEFT_EARG, "rows", weft_loader_new(f, &ops, NULL, -4, field, NULL));
    NONE(WEFT_EARG, "stream", weft_loader_stream(f, NULL, NULL, field, NULL));
    NONE(WEFT_EARG, "stream", weft_loader_stream(f, &still, NULL, field, NULL));
    NONE(WEFT_EARG, "NULL", weft_loader_hdf5(f, NULL, NULL));
    NONE(WEFT_ENOENT, "nowhere", FILE_OF(.batch_size = 1));
    NONE(WEFT_EARG, "NULL", weft_loader_idx(f, NULL, NULL, NULL));
    NONE(WEFT_EARG, "NULL", weft_loader_tokens(f, NULL, NULL, NULL));
    NONE(WEFT_EARG, "global_batch", ARRAYS(.global_batch = -1));
    NONE(WEFT_EARG, "batch_size", ARRAYS(.batch_size = -1));
    NONE(WEFT_EARG, "exclude", ARRAYS(.batch_size = 1, .global_batch = 1));
    NONE(WEFT_EARG, "epochs", ARRAYS(.epochs = -1));
    NONE(WEFT_EARG, "last", ARRAYS(.last = "keep"));
    NONE(WEFT_EARG, "drop", ARRAYS(.last = "drop", .global_batch = 5));
    NONE(WEFT_EARG, "evaluation", ARRAYS(.evaluation = true, .shuffle = true));
    NONE(WEFT_EARG, "evaluation", ARRAYS(.evaluation = true, .last = "pad"));
    NONE(WEFT_EARG, "prefetch", ARRAYS(.prefetch = -2));
    NONE(WEFT_EARG, "prefetch", ARRAYS(.prefetch = 1 << 20));
    NONE(WEFT_EARG, "workers", ARRAYS(.workers = -1));
    NONE(WEFT_EARG, "workers", ARRAYS(.workers = 65));
    NONE(WEFT_EARG, "scale", ARRAYS(.scale = NAN));
    NONE(WEFT_EARG, "shift", ARRAYS(.scale = 1, .shift = INFINITY));
    NONE(WEFT_EARG, "shift", ARRAYS(.shift = 1));
    NONE(WEFT_EARG, "scale", ARRAYS(.scales = nan_ + 1, .shifts = zero));
    NONE(WEFT_EARG, "shift", ARRAYS(.shifts = minus));
    NONE(WEFT_EARG, "samples", ARRAYS(.samples = 3));
    NONE(WEFT_EARG, "samples", ARRAYS(.samples = -3, .replacement = true));
    NONE(WEFT_EARG, "exclude", ARRAYS(.shuffle = true, .replacement = true));
    NONE(WEFT_EARG, "weight", ARRAYS(.weights = zero));
    NONE(WEFT_EARG, "weight", ARRAYS(.weights = minus));
    NONE(WEFT_EARG, "weight", ARRAYS(.weights = nan_));
    NONE(WEFT_EARG, "length", ARRAYS(.lengths = lengths));
    NONE(WEFT_EARG, "sampler", ARRAYS(.sampler = &unable));
    NONE(WEFT_EARG, "shards", ARRAYS(.shards = 2));
    NONE(WEFT_EARG, "cache_mb", ARRAYS(.cache_mb = -1));
    NONE(WEFT_EARG, "field", ARRAYS(.fields = "x,,y"));
    NONE(WEFT_EARG, "field", FILE_OF(.fields = "x", .x = "x"));
    weft_loader *l = ARRAYS(.sampler = &far, .global_batch = 2);
    ck_assert(l != NULL);
    NONE(WEFT_EUSER, "row", weft_next(l, &b));
    SAYS(WEFT_EARG, "NULL", weft_setup_loader(f, NULL));
    weft_tensor *t = weft_full(f, 1, 1, two, 0), *s = weft_full(f, 1, 0, NULL, 0);
    NONE(WEFT_ESHAPE, "rows", weft_batch_of(f, s, NULL, 0, 0).x);
    NONE(WEFT_ESHAPE, "rows", weft_batch_of(f, t, weft_full(f, 1, 0, NULL, 0), 0, 0).x);
    NONE(WEFT_EARG, "base -1", weft_batch_of(f, t, NULL, -1, 2).x);
    NONE(WEFT_EARG, "global_rows 1", weft_batch_of(f, t, NULL, 0, 1).x);
    IS(!weft_batch_of(f, NULL, t, 0, 0).x && !weft_error(f));
}
END_TEST

static weft_status update_nothing(weft_metric *m, void *self, weft_tensor *x, weft_tensor *y)
{
    (void)self, (void)x, (void)y;
    return weft_metric_add(m, 1, x, 1);
}

static double no_value(void *self, const double *number, int64_t n, double weight)
{
    (void)self, (void)number, (void)n;
    return weight;
}

START_TEST(wrong_metrics)
{
    static const weft_metric_ops bare = {.size = sizeof bare, .name = "bare"},
                                 ops = {.size = sizeof ops,
                                        .name = "mine",
                                        .update = update_nothing,
                                        .value = no_value};
    weft_tensor *x = weft_full(f, 1, 2, two, 0), *y = weft_full(f, 1, 1, two, WEFT_U8);
    weft_metric *accuracy = weft_metric_accuracy(f, NULL), *mean = weft_metric_mean(f);
    weft_metric *confusion = weft_metric_confusion(f, 3),
                *own = weft_metric_new(f, &ops, NULL, 0, 1);
    int64_t v[9];
    NONE(WEFT_EARG, "top_k", weft_metric_accuracy(f, WEFT_ACCURACY(.top_k = -1)));
    NONE(WEFT_EARG, "classes", weft_metric_confusion(f, 0));
    NONE(WEFT_EARG, "classes", weft_metric_confusion(f, INT64_MAX));
    NONE(WEFT_EARG, "incomplete", weft_metric_new(f, NULL, NULL, 0, 1));
    NONE(WEFT_EARG, "bare", weft_metric_new(f, &bare, NULL, 0, 1));
    NONE(WEFT_EARG, "0 numbers", weft_metric_new(f, &ops, NULL, 0, 0));
    NONE(WEFT_EARG, "NULL", weft_metric_new(f, &ops, NULL, 8, 1));
    SAYS(WEFT_EARG, "no tensor", weft_metric_update(mean, NULL, NULL));
    SAYS(WEFT_EARG, "NULL", weft_metric_update(accuracy, x, NULL));
    SAYS(WEFT_EDTYPE, "", weft_metric_update(accuracy, x, x));
    SAYS(WEFT_EDTYPE, "u8", weft_metric_update(accuracy, y, y));
    SAYS(WEFT_ESHAPE, "", weft_metric_update(accuracy, weft_cast(y, WEFT_F32), y));
    SAYS(WEFT_ESHAPE, "classes", weft_metric_update(confusion, x, y));
    SAYS(WEFT_EARG, "one tensor", weft_metric_update(mean, x, y));
    SAYS(WEFT_EDATA, "2", weft_metric_update(accuracy, x, weft_full(f, 2, 1, two, WEFT_U8)));
    SAYS(WEFT_EARG, "1 numbers", weft_metric_update(own, weft_full(f, 1, 0, NULL, 0), NULL));
    SAYS(WEFT_EARG, "9", weft_metric_counts(f, confusion, v, 8));
    SAYS(WEFT_EARG, "NULL", weft_metric_counts(f, confusion, NULL, 9));
    SAYS(WEFT_EARG, "NULL", weft_metric_counts(f, NULL, v, 9));
    NONE(WEFT_EARG, "NULL", !isnan(weft_metric_value(f, NULL)));
}
END_TEST

static weft_status no_record(void *self, const weft_record *r)
{
    (void)self, (void)r;
    return WEFT_OK;
}

START_TEST(wrong_names_and_places)
{
    static const weft_logger_ops bare = {.size = sizeof bare, .name = "bare"},
                                 ops = {.size = sizeof ops, .name = "mine", .record = no_record};
    char long_[200], text[4] = "abc";
    double v[2] = {0};
    int64_t n[2] = {0};
    weft_fabric *g;
    weft_tensor *x = weft_full(f, 1, 0, NULL, 0), *wide = weft_full(f, 1, 1, two, 0);
    ck_assert(!weft_open(&g, NULL, NULL, NULL));
    weft_tensor *foreign = weft_full(g, 1, 0, NULL, 0);
    memset(long_, 'x', sizeof long_ - 1);
    long_[sizeof long_ - 1] = '\0';
    NOTED(WEFT_EARG, "name", weft_log(f, NULL, x));
    NOTED(WEFT_EARG, "name", weft_log(f, "", x));
    NOTED(WEFT_EARG, "name", weft_log(f, long_, x));
    NOTED(WEFT_ESHAPE, "2 elements", weft_log(f, "wide", wide));
    NOTED(WEFT_EHANDLE, "another fabric", weft_log(f, "foreign", foreign));
    NOTED(WEFT_EARG, "name", weft_log_value(f, NULL, 1));
    NOTED(WEFT_EARG, "no metrics", weft_log_dict_n(f, 2, NULL));
    IS(!weft_logger_new(f, NULL, NULL, 0) && noted(WEFT_EARG, "table", WEFT_EARG));
    IS(!weft_logger_new(f, &bare, NULL, 0) && noted(WEFT_EARG, "record", WEFT_EARG));
    IS(!weft_logger_new(f, &ops, NULL, 8) && noted(WEFT_EARG, "8 bytes", WEFT_EARG));
    IS(!weft_logger_csv(f, NULL) && noted(WEFT_EARG, "path", WEFT_EARG));
    IS(!weft_logger_jsonl(f, NULL) && noted(WEFT_EARG, "path", WEFT_EARG));
    IS(!weft_logger_csv(f, "") && noted(WEFT_EARG, "path", WEFT_EARG));
    IS(!weft_logger_jsonl(f, "") && noted(WEFT_EARG, "path", WEFT_EARG));
    IS(!weft_logger_at(f, 0) && !weft_logger_at(f, -1) && !weft_error(f));
    NOTED(WEFT_EARG, "NULL", weft_save(f, NULL));
    NOTED(WEFT_EARG, "", weft_save(f, ""));
    NOTED(WEFT_EIO, "null", weft_save(f, "/dev/null/x"));
    NOTED(WEFT_EARG, "NULL", weft_save_async(f, NULL));
    SAYS(WEFT_EARG, "NULL", weft_resume(f, NULL));
    SAYS(WEFT_EARG, "", weft_resume(f, ""));
    SAYS(WEFT_EARG, "NULL", weft_load(f, NULL));
    SAYS(WEFT_ENOENT, "nowhere", weft_load(f, "/nowhere/step-000001"));
    weft_module *whole = weft_nn_sequential(f, weft_nn_linear(f, 2, 2));
    SAYS(WEFT_EARG, "NULL", weft_load_raw(f, NULL, whole, NULL));
    SAYS(WEFT_EARG, "NULL", weft_load_raw(f, "x", NULL, NULL));
    SAYS(WEFT_EARG, "outermost", weft_load_raw(f, "x", weft_child(whole, 0), NULL));
    SAYS(WEFT_EARG, "no module", weft_load_raw(f, "x", whole, WEFT_LOAD_RAW(.from = "")));
    SAYS(WEFT_ENOENT, "nowhere", weft_load_raw(f, "/nowhere/step-000001", whole, NULL));
    SAYS(WEFT_EARG, "name", weft_track_f64(f, NULL, v, 1));
    SAYS(WEFT_EARG, "name", weft_track_f64(f, "a/b", v, 1));
    SAYS(WEFT_EARG, "address", weft_track_f64(f, "a", NULL, 1));
    SAYS(WEFT_EARG, "value", weft_track_i64(f, "a", n, 0));
    SAYS(WEFT_EARG, "value", weft_track_i64(f, "a", n, -1));
    ck_assert(!weft_track_i64(f, "a", n, 2));
    SAYS(WEFT_ESTATE, "a is tracked", weft_track_f64(f, "a", v, 1));
    IS(!weft_every(f, 0) && !weft_every(f, -1) && !weft_error(f));
    SAYS(WEFT_EUSER, "mine", weft_fail(f, WEFT_OK, "mine"));
    SAYS(WEFT_EUSER, "", weft_fail(f, WEFT_EUSER, NULL));
    SAYS(WEFT_EUSER, "", weft_fail_text(f, WEFT_SKIPPED, NULL));
    SAYS(WEFT_EARG, "0 micro-batches", weft_accumulate(f, 0));
    SAYS(WEFT_EARG, "NULL", weft_setup(f, NULL, NULL));
    SAYS(WEFT_EARG, "NULL", weft_setup_optimizer(f, NULL));
    SAYS(WEFT_ESTATE, "without", (weft_eval_end(f), weft_error(f)));
    SAYS(WEFT_ESTATE, "without", (weft_autocast_end(f), weft_error(f)));
    SAYS(WEFT_ESTATE, "without", weft_rank_zero_first_end(f));
    SAYS(WEFT_EARG, "loss is NULL", weft_backward(f, NULL));
    SAYS(WEFT_EHANDLE, "another fabric", weft_backward(f, foreign));
    SAYS(WEFT_ESHAPE, "one", weft_backward(f, wide));
    SAYS(WEFT_ESTATE, "does not depend", weft_backward(f, x));
    NONE(WEFT_ESTATE, "does not depend", weft_grad(x, wide));
    IS(!weft_gradient(x) && noted(WEFT_ESTATE, "no gradient", WEFT_ESTATE));
    NONE(WEFT_EARG, "op", weft_all_reduce(f, x, "product"));
    NONE(WEFT_EHANDLE, "another fabric", weft_all_gather(f, foreign));
    NONE(WEFT_ESHAPE, "", weft_all_gather_rows(f, x));
    NONE(WEFT_EARG, "no rank 1", weft_broadcast(f, x, 1));
    SAYS(WEFT_EARG, "no rank -1", weft_broadcast_bytes(f, v, 8, -1));
    SAYS(WEFT_EARG, "NULL", weft_broadcast_bytes(f, NULL, 8, 0));
    SAYS(WEFT_EARG, "", weft_broadcast_text(f, NULL, 4, 0));
    SAYS(WEFT_EARG, "", weft_broadcast_text(f, text, 2, 0));
    SAYS(WEFT_EARG, "-1 values", weft_sum_over_ranks(f, v, -1));
    SAYS(WEFT_EARG, "NULL", weft_sum_over_ranks(f, NULL, 1));
    IS((weft_print(f, NULL), true));
    ck_assert_int_eq(weft_close(&g), 0);
}
END_TEST

/* What a path is shows when the first row is written: it is said, and training goes on. */
START_TEST(wrong_paths_of_loggers)
{
    static const char *const path[] = {"/dev", "/dev/null", "/dev/null/x"};
    static const char *const words[] = {"/dev is not a regular", "null is not a regular", "x"};
    weft_fabric *g;
    ck_assert(!weft_open(&g, NULL, NULL, WEFT_OPEN(.log_every = 1)));
    IS(weft_logger_jsonl(g, path[_i]) && weft_logger_count(g) == 1 && !*weft_message(g));
    IS(weft_log_value(g, "a", 1) == 0 && weft_step_end(g) == 0);
    IS(!weft_error(g) && strstr(weft_message(g), "jsonl") && strstr(weft_message(g), words[_i]));
    IS(weft_log_value(g, "a", 1) == 0 && weft_step_end(g) == 0);
    IS(weft_close(&g) == 0);
}
END_TEST

/* Memory is told of at any time, and asking changes nothing. */
START_TEST(memory_at_odd_times)
{
    weft_memory_report before = weft_memory(f), now;
    IS(before.device.now > 0 && before.device.peak >= before.device.now);
    weft_tensor *kept = weft_retain(weft_full(f, 1, 2, (int64_t[]){1000, 1000}, 0));
    weft_release(kept);
    weft_step_end(f); /* frees it */
    weft_fail(f, WEFT_EUSER, "mine");
    now = weft_memory(f);
    IS(now.device.peak >= before.device.now + 4000000 && now.device.peak > now.device.now);
    IS(now.kind[WEFT_MEMORY_DATA].peak > now.kind[WEFT_MEMORY_DATA].now);
    weft_memory_reset_peak(f);
    weft_memory_reset_peak(f);
    now = weft_memory(f);
    for (int k = 0; k < WEFT_MEMORY_KINDS; k++)
        IS(now.kind[k].peak == now.kind[k].now);
    IS(now.device.peak == now.device.now);
    IS(sticks(WEFT_EUSER, "mine", true));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("wrong");
    TCase *c = tcase_create("NULL");
    tcase_add_test(c, no_fabric);
    tcase_add_test(c, no_module);
    tcase_add_test(c, no_optimizer_loader_or_metric);
    tcase_add_test(c, no_tensor);
    suite_add_tcase(s, c);
    c = tcase_create("values");
    tcase_add_checked_fixture(c, start, stop);
    tcase_add_test(c, wrong_tensors);
    tcase_add_test(c, wrong_ops);
    tcase_add_test(c, wrong_images);
    tcase_add_test(c, wrong_ops_of_ones_own);
    tcase_add_test(c, wrong_modules);
    tcase_add_test(c, wrong_optimizers);
    tcase_add_test(c, wrong_loaders);
    tcase_add_test(c, wrong_metrics);
    tcase_add_test(c, wrong_names_and_places);
    tcase_add_loop_test(c, wrong_paths_of_loggers, 0, 3);
    tcase_add_test(c, memory_at_odd_times);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    weft_log_level(WEFT_LOG_SILENT);
    SRunner *r = srunner_create(suite());
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
