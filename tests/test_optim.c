/* Optimizers and schedules against PyTorch's traces, a whole training run against PyTorch's, what
 * is refused, and an optimizer of the user's own: all through the public interface. */
#include "golden.h"

#include <math.h>
#include <weft.h>
#include <weft/sys/module.h>
#include <weft/sys/optimizer.h>

static weft_fabric *f;

static void start_in(const char *precision)
{
    ck_assert_int_eq(weft_open(&f, NULL, NULL, WEFT_OPEN(.precision = precision, .threads = 1)), 0);
}

static void start(void)
{
    start_in("64-true");
}

static void stop(void)
{
    if (!f)
        return;
    weft_clear(f);
    ck_assert_int_eq(weft_close(&f), 0);
}

/* --- a module that is one vector of parameters --- */

static weft_tensor *vector_forward(weft_module *m, void *self, weft_tensor *x)
{
    (void)self;
    return weft_sum(weft_mul(weft_module_own(m, "p"), x), WEFT_ALL);
}

static const weft_module_ops vector_ops = {
    .size = sizeof vector_ops, .name = "vector", .forward = vector_forward};

static weft_module *vector(int64_t n)
{
    weft_module *m = weft_module_new(f, &vector_ops, NULL, 0);
    weft_module_param(m, "p", 1, &n, WEFT_CONSTANT(0.5));
    return m;
}

/* Host values in the fabric's type. */
static weft_tensor *numbers(const double *v, int rank, const int64_t *shape)
{
    weft_tensor *x = weft_full(f, 0, rank, shape, WEFT_DEFAULT);
    int64_t n = weft_numel(x);
    float *single = calloc((size_t)n + 1, sizeof *single);
    for (int64_t i = 0; i < n; i++)
        single[i] = (float)v[i];
    bool wide = weft_dtype_of(x) == WEFT_F64;
    ck_assert_int_eq(weft_copy_in(x, wide ? (const void *)v : single, (size_t)n * (wide ? 8 : 4)),
                     0);
    free(single);
    return x;
}

static void set(weft_tensor *p, const double *v)
{
    const int64_t n = weft_numel(p);
    size_t bytes = (size_t)n * weft_dtype_size(weft_dtype_of(p));
    void *host = malloc(bytes + 1);
    ck_assert_int_eq(weft_copy_out(numbers(v, 1, &n), host, bytes), 0);
    ck_assert_int_eq(weft_copy_in(p, host, bytes), 0);
    free(host);
}

static void get(weft_tensor *p, double *v)
{
    const int64_t n = weft_numel(p);
    weft_tensor *wide = weft_cast(weft_detach(p), WEFT_F64);
    ck_assert_int_eq(weft_copy_out(wide, v, (size_t)n * sizeof *v), 0);
}

/* One step with gradient g. */
static weft_status step_with(weft_module *m, weft_optimizer *o, const double *g, int64_t n)
{
    weft_zero_grad(o);
    weft_backward(f, weft_forward(m, numbers(g, 1, &n)));
    weft_status s = weft_step(o);
    weft_step_end(f);
    return s;
}

/* --- traces --- */

static double number(hid_t file, const char *group, const char *name)
{
    return golden_attribute(file, group, name);
}

/* Zero there is zero; zero in an option is the default. */
static double option(hid_t file, const char *group, const char *name)
{
    double v = number(file, group, name);
    return v == 0 ? WEFT_OFF : v;
}

static weft_optimizer *as_described(hid_t file, const char *g, weft_module *m)
{
    if (number(file, g, "kind") == 0)
        return weft_sgd(m, WEFT_SGD(.lr = number(file, g, "lr"),
                                    .momentum = number(file, g, "momentum"),
                                    .weight_decay = number(file, g, "weight_decay"),
                                    .nesterov = number(file, g, "nesterov") != 0));
    return weft_adam(m, WEFT_ADAM(.lr = number(file, g, "lr"), .beta1 = option(file, g, "beta1"),
                                  .beta2 = option(file, g, "beta2"), .eps = option(file, g, "eps"),
                                  .weight_decay = number(file, g, "weight_decay")));
}

static golden part(hid_t file, const char *group, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", group, name);
    return golden_read(file, path);
}

/* The largest difference to the trace, relative to the step's largest parameter. */
static double trace(hid_t file, const char *group, bool single)
{
    char twin[100];
    double worst = 0, v[64];
    snprintf(twin, sizeof twin, "%s", group);
    memcpy(strstr(twin, single ? "_f32" : "_f64"), "_f64", 4); /* the truth for both */
    golden p0 = part(file, group, "p0"), grads = part(file, group, "grads");
    golden want = part(file, twin, "p");
    const int64_t n = p0.n, steps = grads.shape[0];
    start_in(single ? "32-true" : "64-true");
    weft_module *m = vector(n);
    weft_optimizer *o = as_described(file, group, m);
    ck_assert_msg(weft_setup(f, m, o) == 0, "%s", weft_message(f));
    set(weft_param(m, "p"), p0.v);
    for (int64_t t = 0; t < steps; t++) {
        ck_assert_int_eq(step_with(m, o, grads.v + t * n, n), 0);
        get(weft_param(m, "p"), v);
        double most = 1e-300;
        for (int64_t i = 0; i < n; i++)
            most = fmax(most, fabs(want.v[t * n + i]));
        for (int64_t i = 0; i < n; i++)
            worst = fmax(worst, fabs(v[i] - want.v[t * n + i]) / most);
        weft_step_end(f);
    }
    ck_assert_int_eq(weft_steps(o), steps);
    stop();
    golden_free(&p0), golden_free(&grads), golden_free(&want);
    return worst;
}

static int traces(bool single, double tol)
{
    char name[100];
    int done = 0;
    hid_t file = golden_open("optim.h5");
    for (int i = 0; i < golden_count(file, "/"); i++) {
        golden_name(file, "/", i, name, sizeof name);
        if (!strstr(name, single ? "_f32" : "_f64"))
            continue;
        double off = trace(file, name, single);
        ck_assert_msg(off <= tol, "%s: %.3g off, %.3g allowed", name, off, tol);
        done++;
    }
    H5Fclose(file);
    return done;
}

/* 100 steps of a handful of roundings each, 2^-53 relative: 1e-13. */
START_TEST(traces_f64)
{
    ck_assert_int_ge(traces(false, 1e-13), 6);
}
END_TEST

/* Likewise with 2^-24: 100 steps add up to at most 100 x 6e-8 of the largest parameter. */
START_TEST(traces_f32)
{
    ck_assert_int_ge(traces(true, 6e-6), 6);
}
END_TEST

START_TEST(schedules)
{
    const double zero[1] = {0};
    char name[60], group[80];
    hid_t file = golden_open("optim.h5");
    int n = golden_count(file, "schedule");
    ck_assert_int_ge(n, 3);
    for (int i = 0; i < n; i++) {
        snprintf(group, sizeof group, "schedule/%s",
                 golden_name(file, "schedule", i, name, sizeof name));
        golden want = part(file, group, "lr");
        start();
        weft_module *m = vector(1);
        weft_optimizer *o = weft_sgd(m, WEFT_SGD(.lr = number(file, group, "lr")));
        weft_setup(f, m, o);
        ck_assert_int_eq(
            weft_set_schedule(
                o, WEFT_SCHEDULE(.kind = number(file, group, "kind") != 0 ? "cosine" : "constant",
                                 .warmup = (int64_t)number(file, group, "warmup"),
                                 .total = (int64_t)number(file, group, "total"),
                                 .min_lr = number(file, group, "lr_min"))),
            0);
        for (int64_t t = 0; t < want.n; t++) {
            ck_assert_msg(fabs(weft_lr(o) - want.v[t]) <= 1e-15 * number(file, group, "lr"),
                          "%s at %lld: %.17g, not %.17g", name, (long long)t, weft_lr(o),
                          want.v[t]);
            ck_assert_int_eq(step_with(m, o, zero, 1), 0);
        }
        stop();
        golden_free(&want);
    }
    H5Fclose(file);
}
END_TEST

/* --- a whole run --- */

static const char *const weights[] = {"0.weight", "0.bias", "2.weight", "2.bias"};

static void compare(const char *what, const double *got, const double *want, int64_t n, double tol)
{
    double most = 1e-300;
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, fabs(want[i]));
    for (int64_t i = 0; i < n; i++)
        ck_assert_msg(fabs(got[i] - want[i]) <= tol * most, "%s[%lld]: %.17g, not %.17g", what,
                      (long long)i, got[i], want[i]);
}

static void load_weights(hid_t file, const char *group, weft_module *m)
{
    char path[80];
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/initial/%s", group, weights[i]);
        golden w = golden_read(file, path);
        set(weft_param(m, weights[i]), w.v);
        golden_free(&w);
    }
}

static void check_weights(hid_t file, weft_module *m, double tol)
{
    char path[80];
    double v[400];
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "f64/final/%s", weights[i]);
        golden w = golden_read(file, path);
        get(weft_param(m, weights[i]), v);
        compare(weights[i], v, w.v, w.n, tol);
        golden_free(&w);
    }
}

static void train(const char *precision, const char *group, double tol)
{
    double loss[100], rate[100];
    hid_t file = golden_open("train.h5");
    golden x = part(file, group, "x"), y = part(file, group, "y");
    golden losses = golden_read(file, "f64/loss"), rates = golden_read(file, "f64/lr");
    start_in(precision);
    weft_module *m = weft_nn_sequential(f, weft_nn_linear(f, 20, 16), weft_nn_relu(f),
                                        weft_nn_linear(f, 16, 10));
    weft_optimizer *o = weft_adam(m, WEFT_ADAM(.lr = number(file, group, "lr")));
    weft_set_schedule(o, WEFT_SCHEDULE(.total = (int64_t)number(file, group, "total"),
                                       .warmup = (int64_t)number(file, group, "warmup"),
                                       .min_lr = number(file, group, "lr_min")));
    ck_assert_msg(weft_setup(f, m, o) == 0, "%s", weft_message(f));
    load_weights(file, group, m);
    for (int t = 0; t < 100; t++) {
        const int64_t row = 16 * t % 64, shape[2] = {16, 20};
        int64_t label[16];
        for (int i = 0; i < 16; i++)
            label[i] = (int64_t)y.v[row + i];
        weft_batch b = weft_batch_of(f, numbers(x.v + row * 20, 2, shape),
                                     weft_tensor_of(f, label, 1, shape, WEFT_I64), row, 16);
        weft_tensor *l = weft_cross_entropy(weft_forward(m, b.x), b.y);
        weft_zero_grad(o);
        ck_assert_int_eq(weft_backward(f, l), 0);
        rate[t] = weft_lr(o);
        ck_assert_int_eq(weft_step(o), 0);
        loss[t] = weft_item(l);
        ck_assert_int_eq(weft_step_end(f), 0);
    }
    compare("lr", rate, rates.v, 100, 1e-15);
    compare("loss", loss, losses.v, 100, tol);
    check_weights(file, m, tol);
    stop();
    golden_free(&x), golden_free(&y), golden_free(&losses), golden_free(&rates);
    H5Fclose(file);
}

START_TEST(a_whole_run_f64)
{
    train("64-true", "f64", 1e-12);
}
END_TEST

/* Adam divides by the root of v: where a gradient is small its rounding, 2^-24 of the batch's sum,
 * becomes 2^-24 of a whole step. 100 steps of 1e-2 over weights of 0.5 then differ by up to
 * 100 x 1e-2 / 0.5 x 6e-8 x the ratio of the sums to the gradient, about 100: 1e-5. */
START_TEST(a_whole_run_f32)
{
    train("32-true", "f32", 2e-5);
}
END_TEST

/* --- the edges of the interface --- */

START_TEST(the_first_gradient_of_zero_leaves_parameters_alone)
{
    const double zero[3] = {0, 0, 0};
    double v[3];
    weft_module *m = vector(3);
    weft_optimizer *o = weft_adam(m, NULL);
    weft_setup(f, m, o);
    ck_assert_int_eq(step_with(m, o, zero, 3), 0);
    get(weft_param(m, "p"), v);
    ck_assert(v[0] == 0.5 && v[1] == 0.5 && v[2] == 0.5);
}
END_TEST

START_TEST(off_means_zero_and_zero_the_default)
{
    const double g[1] = {4};
    double v;
    weft_module *m = vector(1), *n = vector(1);
    weft_optimizer *o =
        weft_adam(m, WEFT_ADAM(.lr = 0.25, .beta1 = WEFT_OFF, .beta2 = WEFT_OFF, .eps = WEFT_OFF));
    weft_optimizer *q = weft_sgd(n, NULL);
    weft_setup(f, m, o);
    weft_setup(f, n, q);
    step_with(m, o, g, 1);
    get(weft_param(m, "p"), &v);
    ck_assert_double_eq(v, 0.25); /* g / sqrt(g^2) is 1 */
    ck_assert_double_eq(weft_lr(q), 1e-3);
}
END_TEST

static void refused_adam(const weft_adam_options *o)
{
    ck_assert_ptr_null(weft_adam(vector(1), o));
    ck_assert_int_eq(weft_error(f), WEFT_EARG);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "adam"));
    weft_clear(f);
}

START_TEST(bad_hyperparameters_of_adam_are_refused)
{
    refused_adam(WEFT_ADAM(.beta1 = 1));
    refused_adam(WEFT_ADAM(.beta1 = -0.5));
    refused_adam(WEFT_ADAM(.beta2 = 1.5));
    refused_adam(WEFT_ADAM(.beta2 = NAN));
    refused_adam(WEFT_ADAM(.eps = -1e-8));
    refused_adam(WEFT_ADAM(.weight_decay = -1));
    refused_adam(WEFT_ADAM(.lr = -1e-3));
    refused_adam(WEFT_ADAM(.lr = NAN));
    refused_adam(WEFT_ADAM(.lr = INFINITY));
}
END_TEST

static void refused_sgd(const weft_sgd_options *o)
{
    ck_assert_ptr_null(weft_sgd(vector(1), o));
    ck_assert_int_eq(weft_error(f), WEFT_EARG);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "sgd"));
    weft_clear(f);
}

START_TEST(bad_hyperparameters_of_sgd_are_refused)
{
    refused_sgd(WEFT_SGD(.momentum = -0.9));
    refused_sgd(WEFT_SGD(.momentum = NAN));
    refused_sgd(WEFT_SGD(.weight_decay = -1));
    refused_sgd(WEFT_SGD(.weight_decay = NAN));
    refused_sgd(WEFT_SGD(.nesterov = true));
    refused_sgd(WEFT_SGD(.lr = -1));
}
END_TEST

START_TEST(bad_schedules_are_refused)
{
    weft_optimizer *o = weft_sgd(vector(1), WEFT_SGD(.lr = 1));
    const weft_schedule_options bad[] = {
        {.kind = "cosin", .total = 10}, {.kind = "cosine"},         {.total = 5, .warmup = 5},
        {.total = 5, .warmup = -1},     {.total = 5, .min_lr = -1}, {.total = 5, .min_lr = NAN}};
    for (int i = 0; i < 6; i++) {
        ck_assert_int_eq(weft_set_schedule(o, &bad[i]), WEFT_EARG);
        ck_assert_double_eq(weft_lr(o), 1);
        weft_clear(f);
    }
}
END_TEST

START_TEST(the_rate_can_be_changed_but_not_to_nonsense)
{
    weft_optimizer *o = weft_sgd(vector(1), WEFT_SGD(.lr = 1));
    ck_assert_int_eq(weft_set_lr(o, 0.5), 0);
    ck_assert_double_eq(weft_lr(o), 0.5);
    ck_assert_int_eq(weft_set_lr(o, -1), WEFT_EARG);
    ck_assert_int_eq(weft_set_lr(o, NAN), WEFT_EARG);
    ck_assert_double_eq(weft_lr(o), 0.5);
    ck_assert_int_eq(weft_error(f), 0);
}
END_TEST

START_TEST(a_module_has_one_optimizer)
{
    weft_module *m = vector(1);
    ck_assert_ptr_nonnull(weft_sgd(m, NULL));
    ck_assert_ptr_null(weft_adam(m, NULL));
    ck_assert_int_eq(weft_error(f), WEFT_ESTATE);
}
END_TEST

START_TEST(a_part_of_a_module_has_none)
{
    weft_module *part = weft_nn_linear(f, 2, 2);
    weft_nn_sequential(f, part);
    ck_assert_ptr_null(weft_adam(part, NULL));
    ck_assert_int_eq(weft_error(f), WEFT_ENOTSUP);
}
END_TEST

START_TEST(steps_out_of_order_are_refused)
{
    weft_module *m = vector(1);
    weft_optimizer *o = weft_sgd(m, NULL);
    ck_assert_int_eq(weft_step(o), WEFT_ESTATE);
    weft_clear(f);
    weft_setup(f, m, o);
    ck_assert_int_eq(weft_step(o), WEFT_ESTATE);
    ck_assert_int_eq(weft_steps(o), 0);
}
END_TEST

START_TEST(null_is_harmless)
{
    ck_assert_ptr_null(weft_adam(NULL, NULL));
    ck_assert_ptr_null(weft_sgd(NULL, NULL));
    ck_assert_int_eq(weft_zero_grad(NULL), WEFT_EARG);
    ck_assert_int_eq(weft_step(NULL), WEFT_EARG);
    ck_assert_int_eq(weft_set_lr(NULL, 1), WEFT_EARG);
    ck_assert_int_eq(weft_set_schedule(NULL, NULL), WEFT_EARG);
    ck_assert_int_eq(weft_steps(NULL), 0);
    ck_assert(isnan(weft_lr(NULL)));
    ck_assert_int_eq(weft_error(f), 0);
}
END_TEST

/* --- the user's own --- */

typedef struct signs {
    double factor;
    int *calls;
    int64_t *last;
} signs;

/* p -= lr factor g, counted. */
static weft_status signs_update(weft_stream *s, const weft_kernels *k, void *self,
                                const weft_optim_run *run, int64_t t, double lr)
{
    const signs *mine = self;
    ++*mine->calls;
    mine->last[0] = t;
    mine->last[1] = run->n;
    return k->axpy(s, run->p, -lr * mine->factor, run->g, run->n, run->dtype);
}

static const weft_optim_ops whole = {.size = sizeof whole,
                                     .name = "mine",
                                     .moments = 1,
                                     .moment_name = {"mine"},
                                     .whole_tensors = true,
                                     .update = signs_update};

START_TEST(an_optimizer_of_the_users_own)
{
    const double g[3] = {1, 2, 3};
    double v[3];
    int calls = 0;
    int64_t last[2] = {0, 0};
    weft_module *m = vector(3);
    weft_optimizer *o =
        weft_optimizer_new(m, &whole, &(signs){2, &calls, last}, sizeof(signs), 0.125);
    ck_assert_int_eq(weft_setup(f, m, o), 0);
    step_with(m, o, g, 3);
    ck_assert_int_eq(step_with(m, o, g, 3), 0);
    get(weft_param(m, "p"), v);
    ck_assert(v[0] == 0 && v[1] == -0.5 && v[2] == -1);
    ck_assert_int_eq(calls, 2);
    ck_assert_int_eq(last[0], 2);
    ck_assert_int_eq(last[1], 3); /* a whole tensor, no padding */
}
END_TEST

START_TEST(incomplete_tables_of_optimizers_are_refused)
{
    const weft_optim_ops bad[] = {{.size = sizeof *bad, .name = "mine"},
                                  {.name = "mine", .update = signs_update},
                                  {.size = sizeof *bad,
                                   .name = "mine",
                                   .update = signs_update,
                                   .moments = WEFT_OPTIM_MOMENTS + 1},
                                  {.size = sizeof *bad,
                                   .name = "mine",
                                   .update = signs_update,
                                   .moments = 2,
                                   .moment_name = {"one"}}};
    for (int i = 0; i < 4; i++) {
        ck_assert_ptr_null(weft_optimizer_new(vector(1), &bad[i], NULL, 0, 1));
        ck_assert_int_eq(weft_error(f), WEFT_EARG);
        ck_assert_ptr_nonnull(strstr(weft_message(f), "mine"));
        weft_clear(f);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("optim");
    TCase *g = tcase_create("golden"), *t = tcase_create("interface");
    weft_log_level(WEFT_LOG_SILENT);
    tcase_set_timeout(g, 60);
    tcase_add_checked_fixture(t, start, stop);
    suite_add_tcase(s, g);
    suite_add_tcase(s, t);
    tcase_add_test(g, traces_f64);
    tcase_add_test(g, traces_f32);
    tcase_add_test(g, schedules);
    tcase_add_test(g, a_whole_run_f64);
    tcase_add_test(g, a_whole_run_f32);
    tcase_add_test(t, the_first_gradient_of_zero_leaves_parameters_alone);
    tcase_add_test(t, off_means_zero_and_zero_the_default);
    tcase_add_test(t, bad_hyperparameters_of_adam_are_refused);
    tcase_add_test(t, bad_hyperparameters_of_sgd_are_refused);
    tcase_add_test(t, bad_schedules_are_refused);
    tcase_add_test(t, the_rate_can_be_changed_but_not_to_nonsense);
    tcase_add_test(t, a_module_has_one_optimizer);
    tcase_add_test(t, a_part_of_a_module_has_none);
    tcase_add_test(t, steps_out_of_order_are_refused);
    tcase_add_test(t, null_is_harmless);
    tcase_add_test(t, an_optimizer_of_the_users_own);
    tcase_add_test(t, incomplete_tables_of_optimizers_are_refused);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
