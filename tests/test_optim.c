/* Optimizers and schedules against PyTorch's traces, a whole training run against PyTorch's, what
 * is refused, and an optimizer of the user's own: all through the public interface. */
#include "optim_fixture.h"

/* --- traces --- */

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

/* --- rarer options, and more optimizers --- */

static double attribute(hid_t file, const char *group, const char *name, double otherwise)
{
    double v = otherwise;
    golden_attributes(file, group, name, &v, 1);
    return v;
}

#define A(name, otherwise) attribute(file, g, name, otherwise)

static weft_optimizer *as_named(hid_t file, const char *g, const char *name, weft_module *m)
{
    const weft_adam_options adam = {.lr = A("lr", 0),
                                    .weight_decay = A("weight_decay", 0),
                                    .amsgrad = A("amsgrad", 0) != 0,
                                    .maximize = A("maximize", 0) != 0};
    if (strncmp(name, "adamw", 5) == 0)
        return weft_adamw(m, &adam);
    if (strncmp(name, "adam_", 5) == 0)
        return weft_adam(m, &adam);
    if (strncmp(name, "sgd", 3) == 0)
        return weft_sgd(m, WEFT_SGD(.lr = A("lr", 0), .momentum = A("momentum", 0),
                                    .dampening = A("dampening", 0),
                                    .weight_decay = A("weight_decay", 0),
                                    .maximize = A("maximize", 0) != 0));
    if (strncmp(name, "rmsprop", 7) == 0)
        return weft_rmsprop(
            m, WEFT_RMSPROP(.lr = A("lr", 0), .alpha = A("alpha", 0), .eps = A("eps", 0),
                            .momentum = A("momentum", 0), .weight_decay = A("weight_decay", 0),
                            .centered = A("centered", 0) != 0, .maximize = A("maximize", 0) != 0));
    return weft_adagrad(
        m, WEFT_ADAGRAD(.lr = A("lr", 0), .lr_decay = A("lr_decay", 0), .eps = A("eps", 0),
                        .weight_decay = A("weight_decay", 0),
                        .initial_accumulator_value = A("initial_accumulator_value", 0)));
}

/* Farthest from PyTorch's trace of the same type, relative to the step's largest parameter. */
static double trace_of(hid_t file, const char *name, bool single)
{
    char group[80];
    double worst = 0, v[64];
    snprintf(group, sizeof group, "trace/%s", name);
    golden p0 = golden_read(file, "p0"), grads = golden_read(file, "grads");
    golden want = part(file, group, single ? "p_f32" : "p_f64");
    const int64_t n = p0.n, steps = grads.shape[0];
    start_in(single ? "32-true" : "64-true");
    weft_module *m = vector(n);
    weft_optimizer *o = as_named(file, group, name, m);
    ck_assert_msg(weft_setup(f, m, o) == 0, "%s", weft_message(f));
    set(weft_param(m, "p"), p0.v);
    for (int64_t t = 0; t < steps; t++) {
        double most = 1e-300;
        ck_assert_int_eq(step_with(m, o, grads.v + t * n, n), 0);
        get(weft_param(m, "p"), v);
        for (int64_t i = 0; i < n; i++)
            most = fmax(most, fabs(want.v[t * n + i]));
        for (int64_t i = 0; i < n; i++)
            worst = fmax(worst, fabs(v[i] - want.v[t * n + i]) / most);
        weft_step_end(f);
    }
    stop();
    golden_free(&p0), golden_free(&grads), golden_free(&want);
    return worst;
}

/* The roundings are PyTorch's; what may differ is how its vectors are summed up in one step: units
 * in the last place. */
START_TEST(rarer_traces)
{
    static const double tolerance[] = {1e-14, 1e-6};
    char name[60];
    hid_t file = golden_open("optim2.h5");
    ck_assert_int_eq(golden_count(file, "trace"), 12);
    for (int i = 0; i < 12; i++) {
        golden_name(file, "trace", i, name, sizeof name);
        double off = trace_of(file, name, _i);
        ck_assert_msg(off <= tolerance[_i], "%s: %.3g off", name, off);
    }
    H5Fclose(file);
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
    ck_assert_ptr_null(weft_adamw(vector(1), WEFT_ADAMW(.beta1 = 2)));
    ck_assert_str_eq(strstr(weft_message(f), "adamw"), "adamw: beta1 is 2; it must be in [0, 1)");
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
    refused_sgd(WEFT_SGD(.momentum = 0.9, .dampening = -0.5));
    refused_sgd(WEFT_SGD(.momentum = 0.9, .dampening = 0.5, .nesterov = true));
}
END_TEST

static void refused(weft_optimizer *o, const char *message)
{
    ck_assert_ptr_null(o);
    ck_assert_int_eq(weft_error(f), WEFT_EARG);
    ck_assert_msg(strstr(weft_message(f), message) != NULL, "%s", weft_message(f));
    weft_clear(f);
}

START_TEST(bad_hyperparameters_of_the_others_are_refused)
{
    weft_module *m = vector(1);
    refused(weft_rmsprop(m, WEFT_RMSPROP(.alpha = -0.5)), "rmsprop: alpha is -0.5");
    refused(weft_rmsprop(m, WEFT_RMSPROP(.eps = NAN)), "rmsprop: eps is nan");
    refused(weft_rmsprop(m, WEFT_RMSPROP(.momentum = -1)), "rmsprop: momentum is -1");
    refused(weft_rmsprop(m, WEFT_RMSPROP(.weight_decay = INFINITY)), "rmsprop: weight_decay");
    refused(weft_rmsprop(m, WEFT_RMSPROP(.lr = -1)), "rmsprop: the learning rate -1");
    refused(weft_adagrad(m, WEFT_ADAGRAD(.lr_decay = -1)), "adagrad: lr_decay is -1");
    refused(weft_adagrad(m, WEFT_ADAGRAD(.initial_accumulator_value = -1)), "from 0 up");
    refused(weft_adagrad(m, WEFT_ADAGRAD(.eps = -2)), "adagrad: eps is -2");
    refused(weft_adagrad(m, WEFT_ADAGRAD(.lr = NAN)), "adagrad: the learning rate nan");
    refused(weft_lbfgs(m, WEFT_LBFGS(.max_iter = -1)),
            "lbfgs: max_iter is 0; it must be in [1, 1e+09)");
    refused(weft_lbfgs(m, WEFT_LBFGS(.max_eval = -1)), "lbfgs: max_eval is 0");
    refused(weft_lbfgs(m, WEFT_LBFGS(.history_size = -1)), "lbfgs: history_size is 0");
    refused(weft_lbfgs(m, WEFT_LBFGS(.max_iter = -5)), "lbfgs: max_iter is -5");
    refused(weft_lbfgs(m, WEFT_LBFGS(.tolerance_grad = -2)), "lbfgs: tolerance_grad is -2");
    refused(weft_lbfgs(m, WEFT_LBFGS(.line_search = "wolfe")), "strong_wolfe");
    ck_assert_ptr_nonnull(weft_lbfgs(m, NULL)); /* none of them has taken the module */
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
    ck_assert_ptr_null(weft_adamw(NULL, NULL));
    ck_assert_ptr_null(weft_rmsprop(NULL, NULL));
    ck_assert_ptr_null(weft_adagrad(NULL, NULL));
    ck_assert_ptr_null(weft_lbfgs(NULL, NULL));
    ck_assert_int_eq(weft_group(NULL, "*", NULL), WEFT_EARG);
    ck_assert_int_eq(weft_group_module(NULL, NULL, NULL), WEFT_EARG);
    ck_assert_int_eq(weft_group_count(NULL), 0);
    ck_assert(isnan(weft_group_lr(NULL, 0)));
    ck_assert_int_eq(weft_set_group_lr(NULL, 0, 1), WEFT_EARG);
    ck_assert_int_eq(weft_schedule_metric(NULL, 1), WEFT_EARG);
    ck_assert_int_eq(weft_step_closure(NULL, NULL, NULL), WEFT_EARG);
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
    tcase_add_loop_test(g, rarer_traces, 0, 2);
    tcase_add_test(g, schedules);
    tcase_add_test(g, a_whole_run_f64);
    tcase_add_test(g, a_whole_run_f32);
    tcase_add_test(t, the_first_gradient_of_zero_leaves_parameters_alone);
    tcase_add_test(t, off_means_zero_and_zero_the_default);
    tcase_add_test(t, bad_hyperparameters_of_adam_are_refused);
    tcase_add_test(t, bad_hyperparameters_of_sgd_are_refused);
    tcase_add_test(t, bad_hyperparameters_of_the_others_are_refused);
    tcase_add_test(t, bad_schedules_are_refused);
    tcase_add_test(t, the_rate_can_be_changed_but_not_to_nonsense);
    tcase_add_test(t, a_module_has_one_optimizer);
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
