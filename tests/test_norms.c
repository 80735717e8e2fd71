/* Batchnorm's running statistics beside PyTorch's, groupnorm, and buffers: names, memory, checkpoints, types. */
#include "golden.h"

#include <math.h>
#include <weft.h>
#include <weft/sys/module.h>

static weft_fabric *f;

static void open_as(const char *precision)
{
    ck_assert_int_eq(weft_open(&f, NULL, NULL, WEFT_OPEN(.precision = precision, .threads = 1)), 0);
}

static void start(void)
{
    open_as("64-true");
}

static void stop(void)
{
    weft_clear(f);
    ck_assert_int_eq(weft_close(&f), 0);
}

static void stuck_with(weft_status code, const char *words)
{
    ck_assert_msg(weft_error(f) == code, "%s", weft_message(f));
    ck_assert_msg(strstr(weft_message(f), words) != NULL, "%s", weft_message(f));
    ck_assert_int_eq(weft_clear(f), 0);
}

/* As f64; @return how many. */
static int64_t numbers(weft_tensor *t, double *out)
{
    const int64_t n = weft_numel(t);
    ck_assert_msg(n >= 0, "%s", weft_message(f));
    ck_assert_int_eq(weft_copy_out(weft_cast(t, WEFT_F64), out, (size_t)n * sizeof *out), 0);
    return n;
}

static double of(weft_module *m, const char *buffer)
{
    double v[64];
    numbers(weft_buffer(m, buffer), v);
    return v[0];
}

static void near(const char *what, weft_tensor *t, const golden *want, double tol)
{
    double v[200], far = 0;
    ck_assert_int_eq(numbers(t, v), want->n);
    for (int64_t i = 0; i < want->n; i++)
        far = fabs(v[i] - want->v[i]) <= far ? far : fabs(v[i] - want->v[i]);
    ck_assert_msg(far <= tol, "%s is off by %g", what, far);
}

static weft_tensor *read_as(hid_t file, const char *group, const char *name, weft_dtype t)
{
    char path[64];
    snprintf(path, sizeof path, "%s/%s", group, name);
    golden g = golden_read(file, path);
    weft_tensor *x = weft_cast(weft_tensor_of(f, g.v, g.rank, g.shape, WEFT_F64), t);
    golden_free(&g);
    return x;
}

static void compare(hid_t file, const char *group, const char *name, weft_tensor *t, double tol)
{
    char path[64];
    snprintf(path, sizeof path, "%s/%s", group, name);
    golden g = golden_read(file, path);
    near(path, t, &g, tol);
    golden_free(&g);
}

static void run_case(const char *group, weft_dtype t, double tol)
{
    hid_t file = golden_open("running.h5");
    const double momentum = golden_attribute(file, group, "momentum");
    weft_tensor *x = read_as(file, group, "in0", t);
    weft_module *m = weft_nn_batchnorm_with(
        f, weft_dim(x, 1),
        WEFT_BATCHNORM(.momentum = momentum, .eps = golden_attribute(file, group, "eps")));
    for (int i = 0; i < 3; i++) {
        char in[16], out[16];
        snprintf(in, sizeof in, "in%d", i);
        snprintf(out, sizeof out, "out%d", i);
        compare(file, group, out, weft_forward(m, read_as(file, group, in, t)), tol);
    }
    weft_eval_begin(f);
    compare(file, group, "out", weft_forward(m, read_as(file, group, "in0", t)), tol);
    weft_eval_end(f);
    weft_train(m, false);
    compare(file, group, "out", weft_forward(m, read_as(file, group, "in0", t)), tol);
    compare(file, group, "mean", weft_buffer(m, "running_mean"), tol);
    compare(file, group, "var", weft_buffer(m, "running_var"), tol);
    ck_assert_double_eq(of(m, "num_batches_tracked"), 3);
    H5Fclose(file);
}

/* Largest numbers are about 10. */
START_TEST(running_statistics_are_pytorchs)
{
    static const char *const group[] = {"default", "slow", "mean"};
    run_case(group[_i], WEFT_F64, 1e-12);
    stop();
    open_as("32-true");
    run_case(group[_i], WEFT_F32, 1e-5);
    ck_assert_int_eq(weft_dtype_of(weft_buffer(weft_nn_batchnorm(f, 2), "running_mean")), WEFT_F32);
}
END_TEST

START_TEST(what_is_tracked_can_be_left_out)
{
    const double v[4] = {1, 2, 3, 5};
    const int64_t shape[] = {4, 1};
    weft_tensor *x = weft_tensor_of(f, v, 2, shape, WEFT_F64);
    weft_module *m =
        weft_nn_batchnorm_with(f, 1, WEFT_BATCHNORM(.no_parameters = true, .no_statistics = true));
    double a[4], b[4];
    ck_assert(weft_param_count(m) == 0 && weft_buffer_count(m) == 0);
    numbers(weft_forward(m, x), a);
    weft_train(m, false);
    numbers(weft_forward(m, x), b);
    ck_assert_mem_eq(a, b, sizeof a);
    m = weft_nn_batchnorm(f, 1); /* no rows, no news */
    ck_assert_int_eq(weft_dim(weft_forward(m, weft_slice(x, 0, 0, 0, 1)), 0), 0);
    ck_assert(of(m, "num_batches_tracked") == 0 && of(m, "running_var") == 1);
}
END_TEST

START_TEST(buffers_have_names_and_no_gradient)
{
    weft_module *m = weft_nn_sequential(f, weft_nn_linear(f, 3, 2), weft_nn_batchnorm(f, 2),
                                        weft_nn_relu(f), weft_nn_batchnorm(f, 2));
    ck_assert_int_eq(weft_param_count(m), 6);
    ck_assert_int_eq(weft_param_elements(m), 6 + 2 + 8);
    ck_assert_int_eq(weft_buffer_count(m), 6);
    ck_assert_str_eq(weft_buffer_name(m, 1), "1.running_var");
    ck_assert_str_eq(weft_buffer_name(weft_child(m, 3), 2), "3.num_batches_tracked");
    ck_assert_ptr_null(weft_buffer_name(m, 6));
    ck_assert_int_eq(weft_rank_of(weft_buffer(m, "1.num_batches_tracked")), 0);
    ck_assert_ptr_null(weft_buffer(m, "1.running_men"));
    ck_assert_ptr_nonnull(strstr(weft_message(f), "running_mean"));
    ck_assert_ptr_null(weft_buffer(m, "1.weight"));
    ck_assert_ptr_null(weft_param(m, "1.running_mean"));
    ck_assert_int_gt(weft_memory(f).kind[WEFT_MEMORY_BUFFERS].now, 0);
}
END_TEST

static weft_tensor *count(weft_module *m, void *self, weft_tensor *x)
{
    double v = of(m, "calls") + 1;
    (void)self;
    ck_assert_int_eq(weft_copy_in(weft_buffer(m, "calls"), &v, sizeof v), 0);
    return x;
}

START_TEST(buffers_of_ones_own)
{
    static const weft_module_ops ops = {.size = sizeof ops, .name = "count", .forward = count};
    const int64_t two = 2;
    weft_module *m = weft_module_new(f, &ops, NULL, 0);
    ck_assert_ptr_nonnull(weft_module_buffer(m, "calls", 0, NULL, WEFT_CONSTANT(5)));
    weft_module_param(m, "w", 1, &two, WEFT_CONSTANT(1));
    ck_assert_ptr_null(weft_module_buffer(m, "w", 1, &two, WEFT_CONSTANT(1)));
    stuck_with(WEFT_EARG, "has a parameter w already");
    ck_assert_ptr_null(weft_module_param(m, "calls", 1, &two, WEFT_CONSTANT(1)));
    stuck_with(WEFT_EARG, "has a buffer calls already");
    ck_assert_ptr_nonnull(weft_forward(m, weft_full(f, 1, 1, &two, WEFT_F64)));
    ck_assert_double_eq(of(m, "calls"), 6);
    ck_assert_ptr_null(weft_module_buffer(m, "late", 1, &two, WEFT_CONSTANT(1)));
    stuck_with(WEFT_ESTATE, "late");
}
END_TEST

/* In 16 bits and mixed precision: y has x's type, statistics are f32. */
START_TEST(low_precisions_keep_statistics_in_f32)
{
    static const char *const precision[] = {"bf16-mixed", "bf16-true", "16-mixed", "16-true"};
    const double v[6] = {1, 2, 3, 5, 8, 13};
    const int64_t shape[] = {3, 2};
    for (int i = 0; i < 4; i++) {
        stop();
        open_as(precision[i]);
        weft_module *m = weft_nn_sequential(f, weft_nn_linear(f, 2, 4), weft_nn_batchnorm(f, 4));
        weft_optimizer *o = weft_sgd(m, WEFT_SGD(.lr = 0.1));
        ck_assert_int_eq(weft_setup(f, m, o), 0);
        weft_tensor *y = weft_forward(m, weft_tensor_of(f, v, 2, shape, WEFT_F64));
        weft_zero_grad(o);
        ck_assert_int_eq(weft_backward(f, weft_sum(weft_mul(y, y), WEFT_ALL)), 0);
        ck_assert_int_eq(weft_dtype_of(weft_buffer(m, "1.running_var")), WEFT_F32);
        ck_assert_int_eq(weft_dtype_of(weft_gradient(weft_param(m, "1.weight"))), WEFT_F32);
        ck_assert(weft_step(o) >= 0 && of(m, "1.num_batches_tracked") == 1);
        ck_assert(fabs(of(m, "1.running_mean")) > 1e-3 && of(m, "1.running_mean") < 10);
    }
}
END_TEST

START_TEST(one_value_has_no_variance)
{
    const int64_t shape[] = {1, 3};
    weft_module *m = weft_nn_batchnorm(f, 3);
    ck_assert_ptr_null(weft_forward(m, weft_full(f, 1, 2, shape, WEFT_F64)));
    stuck_with(WEFT_ESHAPE, "no variance");
    weft_train(m, false);
    ck_assert_ptr_nonnull(weft_forward(m, weft_full(f, 1, 2, shape, WEFT_F64)));
}
END_TEST

START_TEST(wrong_ones_are_refused)
{
    const int64_t two[] = {2, 2};
    weft_tensor *x = weft_full(f, 1, 2, two, WEFT_F64), *v = weft_full(f, 1, 1, two, WEFT_F64);
    ck_assert_ptr_null(weft_forward(weft_nn_batchnorm(f, 3), x));
    stuck_with(WEFT_ESHAPE, "2 channels, not 3");
    ck_assert_ptr_null(weft_batchnorm(x, NULL, NULL, 0, WEFT_RUNNING(.mean = v)));
    stuck_with(WEFT_EARG, "a mean and a variance");
    ck_assert_ptr_null(weft_batchnorm(x, NULL, NULL, 0, WEFT_RUNNING(.evaluate = true)));
    stuck_with(WEFT_EARG, "a mean and a variance");
    ck_assert_ptr_null(
        weft_batchnorm(x, NULL, NULL, 0, WEFT_RUNNING(.mean = v, .var = v, .momentum = WEFT_OFF)));
    stuck_with(WEFT_EARG, ".batches");
    ck_assert_ptr_null(
        weft_batchnorm(x, NULL, NULL, 0, WEFT_RUNNING(.mean = v, .var = weft_cast(v, WEFT_F32))));
    stuck_with(WEFT_EDTYPE, "alike");
    ck_assert_ptr_null(weft_batchnorm(x, NULL, NULL, 0, WEFT_RUNNING(.mean = x, .var = x)));
    stuck_with(WEFT_ESHAPE, "running mean");
    ck_assert_ptr_null(weft_nn_batchnorm_with(f, 3, WEFT_BATCHNORM(.momentum = 2)));
    stuck_with(WEFT_EARG, "momentum 2");
    ck_assert_ptr_null(weft_nn_groupnorm(f, 2, 3));
    stuck_with(WEFT_EARG, "3 channels in 2 groups");
    ck_assert_int_eq(weft_nn_sync_batchnorm(NULL), WEFT_EARG);
    weft_module *m = weft_nn_batchnorm(f, 2);
    weft_forward(m, x);
    ck_assert_int_eq(weft_nn_sync_batchnorm(m), WEFT_ESTATE);
    stuck_with(WEFT_ESTATE, "before weft_setup");
}
END_TEST

START_TEST(instancenorm_is_groupnorm_of_each_channel)
{
    const int64_t shape[] = {2, 3, 4};
    double v[24], a[24], b[24];
    for (int i = 0; i < 24; i++)
        v[i] = sin(3 * i);
    weft_tensor *x = weft_tensor_of(f, v, 3, shape, WEFT_F64);
    weft_module *m = weft_nn_instancenorm(f, 3);
    ck_assert_int_eq(weft_param_count(m), 0);
    numbers(weft_forward(m, x), a);
    numbers(weft_groupnorm(x, 3, NULL, NULL, 0), b);
    ck_assert_mem_eq(a, b, sizeof a);
    numbers(weft_forward(weft_nn_groupnorm(f, 1, 3), x), a);
    numbers(weft_layernorm(x, 2, NULL, NULL, 0), b);
    for (int i = 0; i < 24; i++)
        if (fabs(a[i] - b[i]) > 1e-13)
            ck_abort_msg("%d: %g, layernorm %g", i, a[i], b[i]);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("norms");
    TCase *t = tcase_create("norms");
    tcase_add_checked_fixture(t, start, stop);
    tcase_add_loop_test(t, running_statistics_are_pytorchs, 0, 3);
    tcase_add_test(t, what_is_tracked_can_be_left_out);
    tcase_add_test(t, buffers_have_names_and_no_gradient);
    tcase_add_test(t, buffers_of_ones_own);
    tcase_add_test(t, low_precisions_keep_statistics_in_f32);
    tcase_add_test(t, one_value_has_no_variance);
    tcase_add_test(t, wrong_ones_are_refused);
    tcase_add_test(t, instancenorm_is_groupnorm_of_each_channel);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    SRunner *r = srunner_create(suite());
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
