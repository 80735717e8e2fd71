/* Layer normalisation, embedding, dropout and blocks; how parameters start, are frozen while they
 * train, and have two names; finding one's way in the tree. */
#include "core/rng.h"
#include "late.h"
#include "nn/module.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>
#include <weft/sys/module.h>

static weft_fabric *f;

static void start(void)
{
    ck_assert_int_eq(
        weft_open(&f, NULL, NULL, WEFT_OPEN(.threads = 1, .seed = 7, .precision = "64-true")), 0);
}

static void stop(void)
{
    weft_clear(f);
    ck_assert_int_eq(weft_close(&f), 0);
}

static void stuck_with(weft_status code, const char *says)
{
    ck_assert_int_eq(weft_error(f), code);
    ck_assert_msg(strstr(weft_message(f), says) != NULL, "\"%s\"", weft_message(f));
    weft_clear(f);
}

static double *values(weft_tensor *t)
{
    int64_t n = weft_numel(t);
    double *v = calloc((size_t)n + 1, sizeof *v);
    ck_assert_int_eq(weft_copy_out(t, v, (size_t)n * sizeof *v), 0);
    return v;
}

static weft_tensor *ones(int64_t rows, int64_t columns)
{
    return weft_full(f, 1, 2, (const int64_t[]){rows, columns}, WEFT_F64);
}

/* A batch of 0, 1, 2, ... / 8 */
static weft_tensor *ramp(int64_t rows, int64_t columns)
{
    double v[1024];
    for (int i = 0; i < rows * columns; i++)
        v[i] = i / 8.0;
    return weft_tensor_of(f, v, 2, (const int64_t[]){rows, columns}, WEFT_F64);
}

/* --- modules --- */

START_TEST(layernorms_have_pytorchs_parameters)
{
    weft_module *m = weft_nn_layernorm(f, 6);
    weft_tensor *y = weft_forward(m, ramp(3, 6));
    double *v = values(y), sum = 0, square = 0;
    for (int j = 0; j < 6; j++) {
        sum += v[6 + j];
        square += v[6 + j] * v[6 + j];
    }
    ck_assert_double_eq_tol(sum, 0, 1e-12);
    ck_assert_double_eq_tol(square / 6, 1, 1e-3); /* eps */
    ck_assert_double_eq(weft_item(weft_mean(weft_param(m, "weight"), 0)), 1);
    ck_assert_double_eq(weft_item(weft_sum(weft_param(m, "bias"), 0)), 0);
    free(v);
}
END_TEST

START_TEST(layernorms_options)
{
    const int64_t shape[2] = {2, 3};
    ck_assert_int_eq(weft_param_count(weft_nn_layernorm_with(f, 2, shape, NULL)), 2);
    ck_assert_int_eq(
        weft_param_count(weft_nn_layernorm_with(f, 2, shape, WEFT_LAYERNORM(.no_bias = true))), 1);
    weft_module *m = weft_nn_layernorm_with(f, 1, shape + 1,
                                            WEFT_LAYERNORM(.no_parameters = true, .eps = WEFT_OFF));
    ck_assert_int_eq(weft_param_count(m), 0);
    double *v = values(weft_forward(m, ramp(1, 3)));
    ck_assert_double_eq_tol(v[2], sqrt(1.5), 1e-14);
    free(v);
    ck_assert_ptr_null(weft_nn_layernorm(f, 0));
    stuck_with(WEFT_EARG, "weft_nn_layernorm");
    ck_assert_ptr_null(weft_nn_layernorm_with(f, 0, shape, NULL));
    stuck_with(WEFT_EARG, "0 dimensions");
    ck_assert_ptr_null(weft_nn_layernorm_with(f, 1, shape, WEFT_LAYERNORM(.eps = -2)));
    stuck_with(WEFT_EARG, "eps -2");
    ck_assert_ptr_null(weft_layernorm(ones(2, 3), 1, NULL, NULL, -2));
    stuck_with(WEFT_EARG, "layernorm: eps -2");
    ck_assert_ptr_null(weft_layernorm(ones(2, 3), 3, NULL, NULL, 0));
    stuck_with(WEFT_ESHAPE, "the last 3 dimensions of (2, 3)");
}
END_TEST

START_TEST(paddings_start_at_zero_and_stay_there)
{
    const int64_t index[2][3] = {{1, 4, 1}, {0, 1, 3}};
    weft_module *m = weft_nn_embedding_padded(f, 5, 4, 1);
    weft_optimizer *o = weft_sgd(m, WEFT_SGD(.lr = 0.5));
    weft_setup(f, m, o);
    double *before = values(weft_param(m, "weight"));
    weft_tensor *y = weft_forward(m, weft_tensor_of(f, index, 2, (int64_t[]){2, 3}, WEFT_I64));
    ck_assert_int_eq(weft_rank_of(y), 3);
    ck_assert_int_eq(weft_backward(f, weft_sum(weft_mul(y, y), WEFT_ALL)), 0);
    ck_assert_int_eq(weft_step(o), 0);
    double *after = values(weft_param(m, "weight"));
    for (int j = 0; j < 4; j++) {
        ck_assert_double_eq(before[4 + j], 0);
        ck_assert_double_eq(after[4 + j], 0);
        ck_assert_double_eq_tol(after[j], 0, 1e-15);      /* w - 0.5 x 2 w */
        ck_assert_double_eq(after[8 + j], before[8 + j]); /* nobody asked for row 2 */
        ck_assert_double_ne(before[8 + j], 0);
    }
    free(before);
    free(after);
}
END_TEST

START_TEST(bad_indices_are_named)
{
    const int32_t index[2][3] = {{0, 1, 2}, {0, 5, 1}}, low[1] = {-1};
    weft_module *m = weft_nn_embedding(f, 5, 2);
    ck_assert_ptr_null(
        looked_at(f, weft_forward(m, weft_tensor_of(f, index, 2, (int64_t[]){2, 3}, WEFT_I32))));
    stuck_with(WEFT_EDATA, "embedding: index 5 at row 1 of this rank's batch, at step 0");
    ck_assert_ptr_null(
        looked_at(f, weft_forward(m, weft_tensor_of(f, low, 1, (int64_t[]){1}, WEFT_I32))));
    stuck_with(WEFT_EDATA, "index -1 at row 0");
    ck_assert_ptr_null(weft_forward(m, ones(2, 3)));
    stuck_with(WEFT_EDTYPE, "embedding: indices are f64");
    ck_assert_ptr_null(weft_nn_embedding_padded(f, 5, 2, 5));
    stuck_with(WEFT_EARG, "padding 5");
    ck_assert_ptr_null(weft_nn_embedding(f, 0, 2));
    stuck_with(WEFT_EARG, "weft_nn_embedding");
    weft_tensor *one = weft_full(f, 0, 1, (int64_t[]){1}, WEFT_I64);
    ck_assert_ptr_null(weft_embedding(one, ones(2, 3), 2));
    stuck_with(WEFT_EARG, "padding_idx 2");
    ck_assert_ptr_null(weft_embedding(one, ones(2, 3), -2));
    stuck_with(WEFT_EARG, "padding_idx -2");
}
END_TEST

START_TEST(rmsnorms_have_pytorchs_parameters)
{
    const int64_t shape[2] = {2, 3};
    weft_module *m = weft_nn_rmsnorm(f, 6);
    double *v = values(weft_forward(m, ramp(3, 6))), square = 0;
    for (int j = 0; j < 6; j++)
        square += v[6 + j] * v[6 + j];
    ck_assert_double_eq_tol(square / 6, 1, 1e-12);
    ck_assert_double_eq(weft_item(weft_mean(weft_param(m, "weight"), 0)), 1);
    ck_assert_int_eq(weft_param_count(m), 1);
    free(v);
    m = weft_nn_rmsnorm_with(f, 2, shape, WEFT_RMSNORM(.no_parameters = true, .eps = 0.25));
    ck_assert_int_eq(weft_param_count(m), 0);
    v = values(weft_forward(m, weft_full(f, 1, 2, shape, WEFT_F64)));
    ck_assert_double_eq_tol(v[0], 1 / sqrt(1.25), 1e-15);
    free(v);
}
END_TEST

START_TEST(a_swiglu_is_its_three_layers)
{
    weft_module *m = weft_nn_swiglu(f, 3, 5, 2);
    weft_tensor *x = ramp(4, 3);
    double *got = values(weft_forward(m, x));
    weft_tensor *gate = weft_linear(x, weft_param(m, "gate_proj.weight"), NULL);
    weft_tensor *up = weft_linear(x, weft_param(m, "up_proj.weight"), NULL);
    double *want =
        values(weft_linear(weft_mul(weft_silu(gate), up), weft_param(m, "down_proj.weight"), NULL));
    for (int i = 0; i < 8; i++)
        if (!(fabs(got[i] - want[i]) <= 1e-15))
            ck_abort_msg("element %d", i);
    ck_assert_int_eq(weft_param_count(m), 3);
    ck_assert_int_eq(weft_param_elements(m), 3 * 5 * 2 + 5 * 2);
    ck_assert_ptr_null(weft_forward(m, NULL));
    ck_assert_int_eq(weft_error(f), 0);
    free(got);
    free(want);
}
END_TEST

START_TEST(blocks_do_what_they_say)
{
    weft_tensor *x = weft_full(f, 2, 3, (const int64_t[]){3, 2, 4}, WEFT_F64);
    ck_assert_ptr_eq(weft_forward(weft_nn_identity(f), x), x);
    weft_tensor *y = weft_forward(weft_nn_flatten(f), x);
    ck_assert_int_eq(weft_rank_of(y), 2);
    ck_assert_int_eq(weft_dim(y, 1), 8);
    y = weft_forward(weft_nn_flatten(f), weft_full(f, 2, 3, (int64_t[]){0, 2, 4}, WEFT_F64));
    ck_assert_int_eq(weft_dim(y, 0), 0);
    ck_assert_int_eq(weft_dim(y, 1), 8);
    ck_assert_ptr_null(weft_forward(weft_nn_flatten(f), NULL));
    weft_module *m = weft_nn_residual(f, weft_nn_identity(f));
    ck_assert_double_eq(weft_item(weft_mean(weft_forward(m, x), WEFT_ALL)), 4);
    ck_assert_ptr_null(weft_forward(m, NULL));
    ck_assert_ptr_null(weft_nn_residual(f, NULL));
    ck_assert_int_eq(weft_error(f), 0);
}
END_TEST

START_TEST(mlps_are_what_their_options_say)
{
    static const char *const want[] = {"linear",    "layernorm", "gelu",    "dropout", "linear",
                                       "layernorm", "gelu",      "dropout", "linear"};
    const int64_t sizes[] = {20, 16, 8, 10};
    weft_module *m = weft_nn_mlp(f, 4, sizes, NULL);
    ck_assert_int_eq(weft_children(m), 5);
    ck_assert_str_eq(weft_module_kind(weft_child(m, 1)), "relu");
    ck_assert_int_eq(weft_param_count(m), 6);
    m = weft_nn_mlp(
        f, 4, sizes,
        WEFT_MLP(.activation = "gelu", .dropout = 0.1, .layernorm = true, .no_bias = true));
    ck_assert_int_eq(weft_children(m), 9);
    for (int i = 0; i < 9; i++)
        ck_assert_str_eq(weft_module_kind(weft_child(m, i)), want[i]);
    ck_assert_int_eq(weft_param_count(m), 7);
    ck_assert_int_eq(weft_dim(weft_forward(m, ones(3, 20)), 1), 10);
    ck_assert_ptr_null(weft_nn_mlp(f, 1, sizes, NULL));
    stuck_with(WEFT_EARG, "1 sizes");
    ck_assert_ptr_null(weft_nn_mlp(f, 3, sizes, WEFT_MLP(.activation = "rellu")));
    stuck_with(WEFT_EARG, "relu");
    ck_assert_ptr_null(weft_nn_mlp(f, 3, sizes, WEFT_MLP(.dropout = 1.5)));
    stuck_with(WEFT_EARG, "p 1.5");
    ck_assert_ptr_null(weft_nn_mlp(f, 3, (int64_t[]){3, 0, 2}, NULL));
    stuck_with(WEFT_EARG, "weft_nn_linear");
    ck_assert_ptr_null(weft_nn_activation(f, NULL));
    stuck_with(WEFT_EARG, "activation");
}
END_TEST

/* --- dropout --- */

START_TEST(a_share_is_dropped_and_the_rest_scaled)
{
    enum { N = 100000 };
    const double p = 0.3, keep = 1 / (1 - p);
    weft_tensor *x = weft_full(f, 2, 1, (int64_t[]){N}, WEFT_F64);
    weft_require_grad(x);
    weft_tensor *y = weft_dropout(x, p, true);
    double *v = values(y);
    int dropped = 0;
    for (int i = 0; i < N; i++) {
        ck_assert(v[i] == 0 || fabs(v[i] - 2 * keep) < 1e-15);
        dropped += v[i] == 0;
    }
    ck_assert_msg(abs(dropped - 30000) < 5 * 145, "%d of %d", dropped, N); /* 5 deviations */
    ck_assert_int_eq(weft_backward(f, weft_sum(y, WEFT_ALL)), 0);
    double *g = values(weft_gradient(x)); /* the same ones */
    for (int i = 0; i < N; i++)
        ck_assert_double_eq(g[i], v[i] / 2);
    free(v);
    free(g);
}
END_TEST

START_TEST(calls_steps_and_seeds_drop_others)
{
    weft_module *m = weft_nn_linear(f, 1, 1);
    weft_optimizer *o = weft_sgd(m, NULL);
    weft_fabric *g;
    double *v[4], *again;
    int equal[4] = {0};
    weft_setup(f, m, o);
    v[0] = values(weft_dropout(ones(20, 50), 0.5, true));
    v[1] = values(weft_dropout(ones(20, 50), 0.5, true));
    weft_step_end(f);
    again = values(weft_dropout(ones(20, 50), 0.5, true)); /* still step 0, its first call */
    ck_assert_mem_eq(v[0], again, 1000 * sizeof(double));
    weft_backward(f, weft_mean(weft_forward(m, ones(1, 1)), WEFT_ALL));
    weft_step(o);
    weft_step_end(f);
    v[2] = values(weft_dropout(ones(20, 50), 0.5, true));
    weft_open(&g, NULL, NULL, WEFT_OPEN(.seed = 8, .precision = "64-true"));
    v[3] = values(weft_dropout(weft_full(g, 1, 1, (int64_t[]){1000}, WEFT_F64), 0.5, true));
    weft_close(&g);
    for (int k = 1; k < 4; k++) {
        for (int i = 0; i < 1000; i++)
            equal[k] += v[0][i] == v[k][i];
        ck_assert_msg(abs(equal[k] - 500) < 5 * 16, "%d: %d equal", k, equal[k]);
        free(v[k]);
    }
    free(v[0]);
    free(again);
}
END_TEST

START_TEST(nothing_and_all_may_be_dropped)
{
    weft_tensor *x = ones(3, 4);
    weft_require_grad(x);
    ck_assert_ptr_eq(weft_dropout(x, 0, true), x);
    ck_assert_ptr_eq(weft_dropout(x, 0.5, false), x);
    weft_tensor *y = weft_dropout(x, 1, true);
    ck_assert_double_eq(weft_item(weft_sum(y, WEFT_ALL)), 0);
    ck_assert_int_eq(weft_backward(f, weft_sum(y, WEFT_ALL)), 0);
    ck_assert_double_eq(weft_item(weft_sum(weft_gradient(x), WEFT_ALL)), 0);
    const double bad[] = {-0.1, 1.1, NAN};
    for (int i = 0; i < 3; i++) {
        ck_assert_ptr_null(weft_dropout(x, bad[i], i % 2 == 0));
        stuck_with(WEFT_EARG, "dropout: p");
        ck_assert_ptr_null(weft_nn_dropout(f, bad[i]));
        stuck_with(WEFT_EARG, "weft_nn_dropout: p");
    }
}
END_TEST

START_TEST(evaluation_drops_nothing)
{
    weft_module *m = weft_nn_dropout(f, 0.5);
    weft_tensor *x = ones(3, 4);
    ck_assert_ptr_ne(weft_forward(m, x), x);
    weft_eval_begin(f);
    ck_assert_ptr_eq(weft_forward(m, x), x);
    weft_eval_end(f);
    weft_train(m, false);
    ck_assert_ptr_eq(weft_forward(m, x), x);
}
END_TEST

/* Whatever the threads, the type and the layout of the input. */
START_TEST(what_is_dropped_does_not_depend_on_threads_or_type)
{
    enum { N = 300000 };
    double *v[2];
    for (int k = 0; k < 2; k++) {
        weft_fabric *g;
        weft_open(
            &g, NULL, NULL,
            WEFT_OPEN(.threads = 1 + 2 * k, .seed = 3, .precision = k ? "32-true" : "64-true"));
        weft_tensor *x = weft_full(g, 1, 2, (int64_t[]){3, N / 3}, WEFT_DEFAULT);
        v[k] = values(weft_cast(weft_dropout(x, 0.25, true), WEFT_F64));
        weft_close(&g);
    }
    for (int i = 0; i < N; i++)
        ck_assert((v[0][i] == 0) == (v[1][i] == 0));
    free(v[0]);
    free(v[1]);
}
END_TEST

/* --- threads --- */

/* What each op and its gradients give on so many threads, in one array. */
static size_t on_threads(int threads, double *out)
{
    enum { R = 500, C = 130, V = 900 };
    static double x[R * C];
    static int64_t index[R];
    weft_fabric *g;
    size_t n = 0;
    weft_open(&g, NULL, NULL, WEFT_OPEN(.threads = threads, .seed = 3, .precision = "64-true"));
    for (int i = 0; i < R * C; i++)
        x[i] = sin(i) * 3;
    for (int i = 0; i < R; i++)
        index[i] = i * i % V;
    weft_tensor *a = weft_tensor_of(g, x, 2, (int64_t[]){R, C}, WEFT_F64);
    weft_tensor *w = weft_full(g, 1.5, 1, (int64_t[]){C}, WEFT_F64);
    weft_tensor *t = weft_full(g, 0.5, 2, (int64_t[]){V, C}, WEFT_F64);
    weft_tensor *at = weft_tensor_of(g, index, 1, (int64_t[]){R}, WEFT_I64), *leaf[] = {a, w, t};
    for (int i = 0; i < 3; i++)
        weft_require_grad(leaf[i]);
    weft_tensor *y = weft_layernorm(weft_dropout(a, 0.5, true), 1, w, w, 0);
    y = weft_mul(y, weft_embedding(at, t, WEFT_OFF));
    weft_tensor *z = weft_bce_with_logits(y, weft_sigmoid(a), WEFT_LOSS(.reduction = "none"));
    weft_tensor *loss =
        weft_cross_entropy_with(z, weft_full(g, 3, 1, (int64_t[]){R}, WEFT_I64),
                                WEFT_CROSS_ENTROPY(.label_smoothing = 0.1, .weight = w));
    ck_assert_int_eq(weft_backward(g, loss), 0);
    out[n++] = weft_item(loss);
    for (int i = 0; i < 3; i++) {
        weft_tensor *grad = weft_gradient(leaf[i]);
        ck_assert_int_eq(weft_copy_out(grad, out + n, (size_t)weft_numel(grad) * sizeof(double)),
                         0);
        n += (size_t)weft_numel(grad);
    }
    weft_module *m = weft_nn_embedding(g, 1000, 64);
    weft_setup(g, m, NULL);
    ck_assert_int_eq(weft_copy_out(weft_param(m, "weight"), out + n, 64000 * sizeof(double)), 0);
    ck_assert_int_eq(weft_close(&g), 0);
    return n + 64000;
}

START_TEST(threads_change_no_bit)
{
    static double one[300000], three[300000];
    size_t n = on_threads(1, one);
    ck_assert_uint_eq(n, on_threads(3, three));
    ck_assert_mem_eq(one, three, n * sizeof(double));
}
END_TEST

/* --- how parameters start --- */

static void moments_of(const double *v, int64_t n, double *mean, double *std, double *lo,
                       double *hi)
{
    double s = 0, q = 0;
    *lo = *hi = v[0];
    for (int64_t i = 0; i < n; i++) {
        s += v[i];
        *lo = fmin(*lo, v[i]);
        *hi = fmax(*hi, v[i]);
    }
    *mean = s / (double)n;
    for (int64_t i = 0; i < n; i++)
        q += (v[i] - *mean) * (v[i] - *mean);
    *std = sqrt(q / (double)n);
}

typedef struct kind {
    weft_initializer_options o;
    double mean, std, lo, hi; /* expected; hi 0: unbounded */
} kind;

/* Of a parameter (300,200): fan_in 200, fan_out 300. */
START_TEST(initialisers_have_their_moments)
{
    const kind all[] = {
        {{.kind = "constant", .value = 0.25}, 0.25, 0, 0.25, 0.25},
        {{.kind = "zeros"}, 0, 0, 0, 0},
        {{.kind = "ones"}, 1, 0, 1, 1},
        {{.kind = "uniform"}, 0.5, sqrt(1 / 12.0), 0, 1},
        {{.kind = "uniform", .lo = -1, .hi = 3}, 1, sqrt(16 / 12.0), -1, 3},
        {{.kind = "normal"}, 0, 1, 0, 0},
        {{.kind = "normal", .mean = 2, .std = 0.5}, 2, 0.5, 0, 0},
        {{.kind = "trunc_normal"}, 0, 0.8796256610342398, -2, 2},
        {{.kind = "trunc_normal", .std = 2, .lo = 0, .hi = 1}, 0.4896680, 0.2879, 0, 1},
        {{.kind = "kaiming_uniform"}, 0, sqrt(2 / 200.0), -sqrt(6 / 200.0), sqrt(6 / 200.0)},
        {{.kind = "kaiming_uniform", .a = sqrt(5)},
         0,
         sqrt(1 / 600.0),
         -sqrt(1 / 200.0),
         sqrt(1 / 200.0)},
        {{.kind = "kaiming_uniform", .mode = "fan_out", .nonlinearity = "linear"},
         0,
         sqrt(1 / 300.0),
         -sqrt(3 / 300.0),
         sqrt(3 / 300.0)},
        {{.kind = "kaiming_normal", .nonlinearity = "relu"}, 0, sqrt(2 / 200.0), 0, 0},
        {{.kind = "kaiming_normal", .mode = "fan_out", .nonlinearity = "tanh"},
         0,
         5 / 3.0 / sqrt(300),
         0,
         0},
        {{.kind = "kaiming_normal", .nonlinearity = "selu"}, 0, 0.75 / sqrt(200), 0, 0},
        {{.kind = "xavier_uniform"}, 0, sqrt(2 / 500.0), -sqrt(6 / 500.0), sqrt(6 / 500.0)},
        {{.kind = "xavier_normal", .gain = 2}, 0, 2 * sqrt(2 / 500.0), 0, 0}};
    enum { N = 60000 };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const kind *k = &all[i];
        double mean, std, lo, hi;
        weft_module *m = weft_nn_linear(f, 200, 300);
        ck_assert_int_eq(weft_init_param(m, "weight", &k->o), 0);
        double *v = values((weft_setup(f, m, NULL), weft_param(m, "weight")));
        moments_of(v, N, &mean, &std, &lo, &hi);
        double slack = 5 * k->std / sqrt(N);
        ck_assert_msg(fabs(mean - k->mean) <= slack + 1e-12, "%s: mean %g", k->o.kind, mean);
        ck_assert_msg(fabs(std - k->std) <= slack + 1e-12, "%s: deviation %g, not %g", k->o.kind,
                      std, k->std);
        if (k->lo != 0 || k->hi != 0) {
            ck_assert_msg(lo >= k->lo - 1e-12 && hi <= k->hi + 1e-12, "%s: %g to %g", k->o.kind, lo,
                          hi);
            ck_assert_msg(hi - lo >= 0.99 * (k->hi - k->lo), "%s: %g to %g", k->o.kind, lo, hi);
        }
        free(v);
    }
}
END_TEST

/* The distribution, not its moments alone: the greatest distance of the steps (Kolmogorov). */
static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

START_TEST(normal_values_are_normal)
{
    enum { N = 60000 };
    weft_module *m = weft_nn_embedding(f, 300, 200);
    double *v = values((weft_setup(f, m, NULL), weft_param(m, "weight"))), worst = 0;
    qsort(v, N, sizeof *v, ascending);
    for (int i = 0; i < N; i++)
        worst = fmax(worst, fabs(erfc(-v[i] / sqrt(2)) / 2 - (i + 0.5) / N));
    ck_assert_msg(worst < 1.95 / sqrt(N), "%g", worst); /* 1 in 1000 would be more */
    ck_assert_double_gt(v[N - 1], 3.5);
    free(v);
}
END_TEST

START_TEST(values_are_those_of_name_and_seed)
{
    double *v[3];
    for (int i = 0; i < 3; i++) {
        weft_module *m = weft_nn_linear(f, 5, 4);
        if (i == 1)
            weft_setup(f, m, NULL);
        ck_assert_int_eq(weft_init_param(m, "weight", WEFT_INITIALIZER(.kind = "normal")), 0);
        if (i == 2) {
            ck_assert_int_eq(weft_init_param(m, "weight", WEFT_INITIALIZER(.kind = "ones")), 0);
            ck_assert_int_eq(weft_init_param(m, "weight", WEFT_INITIALIZER(.kind = "normal")), 0);
        }
        v[i] = values((weft_forward(m, ones(1, 5)), weft_param(m, "weight")));
    }
    ck_assert_mem_eq(v[0], v[1], 20 * sizeof(double));
    ck_assert_mem_eq(v[0], v[2], 20 * sizeof(double));
    for (int i = 0; i < 3; i++)
        free(v[i]);
}
END_TEST

START_TEST(a_modules_own_parameters_may_be_normal)
{
    weft_module *m = weft_module_new(f, weft_module_table(weft_nn_identity(f)), NULL, 0);
    weft_init init = WEFT_TRUNC_NORMAL(1, 0.5, 0, 2);
    init.zero_first = 10;
    init.zero_count = 5;
    weft_module_param(m, "p", 1, (int64_t[]){4000}, init);
    weft_module_param(m, "q", 1, (int64_t[]){4000}, WEFT_NORMAL(-1, 0.25));
    weft_setup(f, m, NULL);
    double *p = values(weft_param(m, "p")), *q = values(weft_param(m, "q")), mean, std, lo, hi;
    for (int i = 0; i < 4000; i++)
        ck_assert((p[i] == 0) == (i >= 10 && i < 15) && p[i] <= 2);
    moments_of(q, 4000, &mean, &std, &lo, &hi);
    ck_assert_double_eq_tol(mean, -1, 0.02);
    ck_assert_double_eq_tol(std, 0.25, 0.02);
    free(p);
    free(q);
}
END_TEST

START_TEST(bad_initialisers_are_refused)
{
    const struct {
        const char *name, *says;
        weft_initializer_options o;
        weft_status code;
    } bad[] = {
        {"wieght", "wieght", {.kind = "ones"}, WEFT_ENOENT},
        {"weight", "kind", {.kind = NULL}, WEFT_EARG},
        {"weight", "kaiming_normal", {.kind = "kaiming_norml"}, WEFT_EARG},
        {"weight", "mode", {.kind = "kaiming_normal", .mode = "fan"}, WEFT_EARG},
        {"weight", "nonlinearity", {.kind = "kaiming_normal", .nonlinearity = "x"}, WEFT_EARG},
        {"weight", "std -1", {.kind = "normal", .std = -1}, WEFT_EARG},
        {"weight", "lo 1", {.kind = "uniform", .lo = 1, .hi = -1}, WEFT_EARG},
        {"weight", "value nan", {.kind = "constant", .value = NAN}, WEFT_EARG},
        {"bias", "1 dimensions", {.kind = "xavier_normal"}, WEFT_ESHAPE}};
    weft_module *m = weft_nn_linear(f, 5, 4);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_int_eq(weft_init_param(m, bad[i].name, &bad[i].o), bad[i].code);
        stuck_with(bad[i].code, bad[i].says);
    }
    ck_assert_int_eq(weft_init_param(NULL, "weight", WEFT_INITIALIZER(.kind = "ones")), WEFT_EARG);
}
END_TEST

/* --- freezing --- */

static double moved(const double *a, const double *b, int n)
{
    double d = 0;
    for (int i = 0; i < n; i++)
        d = fmax(d, fabs(a[i] - b[i]));
    return d;
}

/* Neither step nor decay nor momentum moves what is frozen; thawed, it goes on with its moments. */
START_TEST(parameters_are_frozen_and_thawed_while_training)
{
    weft_module *m = weft_nn_mlp(f, 3, (int64_t[]){3, 4, 2}, NULL);
    weft_optimizer *o = weft_adam(m, WEFT_ADAM(.lr = 0.1, .weight_decay = 0.1));
    weft_setup(f, m, o);
    weft_module *part[] = {weft_child(m, 0), m, weft_child(m, 2), NULL};
    for (int round = 0; round < 4; round++) {
        double *a[2], *b[2];
        a[0] = values(weft_param(m, "0.weight")), a[1] = values(weft_param(m, "2.weight"));
        if (part[round] && part[round] != m)
            ck_assert_int_eq(weft_freeze(part[round], true), 0);
        weft_zero_grad(o);
        ck_assert_int_eq(weft_backward(f, weft_mean(weft_forward(m, ones(2, 3)), WEFT_ALL)), 0);
        ck_assert_int_eq(weft_step(o), 0);
        weft_step_end(f);
        b[0] = values(weft_param(m, "0.weight")), b[1] = values(weft_param(m, "2.weight"));
        ck_assert_int_eq(moved(a[0], b[0], 12) == 0, round == 0);
        ck_assert_int_eq(moved(a[1], b[1], 8) == 0, round == 2);
        ck_assert_int_eq(weft_freeze(m, false), 0);
        for (int i = 0; i < 2; i++)
            free(a[i]), free(b[i]);
    }
}
END_TEST

START_TEST(what_was_frozen_at_setup_stays_so)
{
    weft_module *m = weft_nn_mlp(f, 3, (int64_t[]){3, 4, 2}, NULL);
    weft_freeze(weft_child(m, 0), true);
    weft_setup(f, m, NULL);
    ck_assert_int_eq(weft_freeze(m, false), WEFT_ESTATE);
    stuck_with(WEFT_ESTATE, "0.weight was frozen when it got its memory");
    ck_assert_int_eq(weft_freeze(m, true), 0);
    ck_assert_int_eq(weft_freeze(weft_child(m, 2), false), 0);
}
END_TEST

/* --- two names --- */

/* An embedding whose table is the output's weight too. */
static weft_module *language(void)
{
    return weft_nn_sequential(f, weft_nn_embedding(f, 6, 3), weft_nn_linear(f, 3, 3),
                              weft_nn_linear_nobias(f, 3, 6));
}

static weft_tensor *loss_of(weft_module *m)
{
    const int64_t x[4] = {0, 5, 2, 2}, y[4] = {1, 0, 5, 3}, four = 4;
    return weft_cross_entropy(weft_forward(m, weft_tensor_of(f, x, 1, &four, WEFT_I64)),
                              weft_tensor_of(f, y, 1, &four, WEFT_I64));
}

START_TEST(a_tied_parameter_is_one_with_two_names)
{
    weft_module *m = language();
    ck_assert_int_eq(weft_tie(m, "2.weight", "0.weight"), 0);
    ck_assert_int_eq(weft_param_count(m), 3);
    ck_assert_int_eq(weft_param_elements(m), 18 + 9 + 3);
    ck_assert_int_eq(weft_setup(f, m, NULL), 0);
    static const char *const want[] = {"0.weight", "1.weight", "1.bias"};
    for (int i = 0; i < 3; i++)
        ck_assert_str_eq(weft_param_name(m, i), want[i]);
    double *a = values(weft_param(m, "0.weight")), *b = values(weft_param(m, "2.weight"));
    ck_assert_mem_eq(a, b, 18 * sizeof(double));
    a[0] = 42;
    ck_assert_int_eq(weft_copy_in(weft_param(m, "2.weight"), a, 18 * sizeof(double)), 0);
    free(b);
    b = values(weft_param(m, "0.weight"));
    ck_assert_mem_eq(a, b, 18 * sizeof(double));
    free(a);
    free(b);
}
END_TEST

/* The sum of what two separate parameters of the same values get. */
START_TEST(a_tied_parameters_gradient_is_the_sum_over_its_uses)
{
    weft_module *one = language(), *two = language();
    weft_tie(one, "2.weight", "0.weight");
    weft_setup(f, one, NULL);
    weft_setup(f, two, NULL);
    double *w = values(weft_param(one, "0.weight"));
    weft_copy_in(weft_param(two, "2.weight"), w, 18 * sizeof(double));
    ck_assert_int_eq(weft_backward(f, loss_of(one)), 0);
    ck_assert_int_eq(weft_backward(f, loss_of(two)), 0);
    double *g = values(weft_gradient(weft_param(one, "0.weight")));
    double *h = values(weft_gradient(weft_param(one, "2.weight")));
    double *a = values(weft_gradient(weft_param(two, "0.weight")));
    double *b = values(weft_gradient(weft_param(two, "2.weight")));
    for (int i = 0; i < 18; i++) {
        ck_assert_double_eq(g[i], h[i]);
        ck_assert_double_eq_tol(g[i], a[i] + b[i], 1e-15);
    }
    free(w), free(g), free(h), free(a), free(b);
}
END_TEST

START_TEST(both_names_are_frozen_together)
{
    weft_module *m = language();
    weft_tie(m, "2.weight", "0.weight");
    weft_optimizer *o = weft_sgd(m, WEFT_SGD(.lr = 1));
    weft_setup(f, m, o);
    for (int i = 0; i < 4; i++) {
        double *a = values(weft_param(m, "0.weight")), *b;
        weft_freeze(weft_child(m, i / 2 * 2), i % 2 == 0);
        weft_zero_grad(o);
        ck_assert_int_eq(weft_backward(f, loss_of(m)), 0);
        ck_assert_int_eq(weft_step(o), 0);
        b = values(weft_param(m, "2.weight"));
        ck_assert_int_eq(moved(a, b, 18) == 0, i % 2 == 0);
        free(a), free(b);
    }
}
END_TEST

START_TEST(bad_ties_are_refused)
{
    weft_module *m = language();
    ck_assert_int_eq(weft_tie(m, "2.weight", "0.wight"), WEFT_ENOENT);
    stuck_with(WEFT_ENOENT, "0.wight");
    ck_assert_int_eq(weft_tie(m, "2.weight", "1.weight"), WEFT_ESHAPE);
    stuck_with(WEFT_ESHAPE, "2.weight is (6, 3), 1.weight is (3, 3)");
    ck_assert_int_eq(weft_tie(m, "0.weight", "0.weight"), WEFT_ESTATE);
    stuck_with(WEFT_ESTATE, "0.weight");
    ck_assert_int_eq(weft_tie(m, "2.weight", "0.weight"), 0);
    ck_assert_int_eq(weft_tie(m, "2.weight", "0.weight"), WEFT_ESTATE);
    stuck_with(WEFT_ESTATE, "already");
    ck_assert_int_eq(weft_tie(m, "0.weight", "2.weight"), WEFT_ESTATE);
    stuck_with(WEFT_ESTATE, "already");
    weft_setup(f, m, NULL);
    ck_assert_int_eq(weft_tie(m, "1.bias", "1.bias"), WEFT_ESTATE);
    stuck_with(WEFT_ESTATE, "after the module got its memory");
    ck_assert_int_eq(weft_tie(NULL, "a", "b"), WEFT_EARG);
}
END_TEST

/* Dropout's numbers are those of the step, and two names are one parameter on disk: what is resumed
 * goes on to the same bits. */
static double *run(const char *dir, int steps, weft_fabric **kept)
{
    weft_fabric *g;
    const int64_t four = 4;
    weft_open(&g, NULL, NULL, WEFT_OPEN(.threads = 1, .seed = 7, .precision = "64-true"));
    weft_module *m = weft_nn_sequential(g, weft_nn_embedding(g, 6, 3), weft_nn_dropout(g, 0.4),
                                        weft_nn_layernorm(g, 3), weft_nn_linear_nobias(g, 3, 6));
    weft_tie(m, "3.weight", "0.weight");
    weft_optimizer *o = weft_adam(m, WEFT_ADAM(.lr = 0.1));
    weft_setup(g, m, o);
    ck_assert_int_eq(weft_resume(g, dir), 0);
    while (weft_step_count(g) < steps) {
        const int64_t x[4] = {0, 5, weft_step_count(g) % 6, 2}, y[4] = {1, 0, 5, 3};
        weft_tensor *z = weft_forward(m, weft_tensor_of(g, x, 1, &four, WEFT_I64));
        weft_zero_grad(o);
        weft_backward(g, weft_cross_entropy(z, weft_tensor_of(g, y, 1, &four, WEFT_I64)));
        ck_assert_int_eq(weft_step(o), 0);
        weft_step_end(g);
    }
    double *v = values(weft_param(m, "3.weight"));
    *kept = g;
    return v;
}

START_TEST(a_resumed_run_drops_what_it_would_have_dropped)
{
    char dir[2][64] = {"/tmp/weft-modules-a-XXXXXX", "/tmp/weft-modules-b-XXXXXX"}, rm[400];
    weft_fabric *g;
    double *v[3];
    ck_assert_ptr_nonnull(mkdtemp(dir[0]));
    ck_assert_ptr_nonnull(mkdtemp(dir[1]));
    v[0] = run(dir[0], 9, &g);
    ck_assert_int_eq(weft_close(&g), 0);
    v[1] = run(dir[1], 4, &g); /* saved by weft_close */
    ck_assert_int_eq(weft_close(&g), 0);
    v[2] = run(dir[1], 9, &g);
    ck_assert_int_eq(weft_close(&g), 0);
    ck_assert_mem_eq(v[0], v[2], 18 * sizeof(double));
    ck_assert_mem_ne(v[0], v[1], 18 * sizeof(double));
    snprintf(rm, sizeof rm,
             "grep -q '0.weight' %s/latest/MANIFEST && ! grep -q '3.weight' "
             "%s/latest/MANIFEST",
             dir[1], dir[1]);
    ck_assert_int_eq(system(rm), 0);
    snprintf(rm, sizeof rm, "rm -rf %s %s", dir[0], dir[1]);
    ck_assert_int_eq(system(rm), 0);
    for (int i = 0; i < 3; i++)
        free(v[i]);
}
END_TEST

/* --- the tree --- */

START_TEST(modules_are_found_by_their_path)
{
    weft_module *body = weft_nn_mlp(f, 3, (int64_t[]){4, 8, 4}, NULL);
    weft_module *m = weft_nn_sequential(f, weft_nn_flatten(f), weft_nn_residual(f, body));
    ck_assert_ptr_eq(weft_module_at(m, ""), m);
    ck_assert_ptr_eq(weft_module_at(m, "1.body"), body);
    ck_assert_ptr_eq(weft_module_at(m, "1.body.2"), weft_child(body, 2));
    ck_assert_ptr_eq(weft_module_at(body, "0"), weft_child(body, 0));
    ck_assert_str_eq(weft_module_name(body), "body");
    ck_assert_str_eq(weft_module_name(m), "");
    ck_assert_int_eq(weft_children(m), 2);
    ck_assert_ptr_null(weft_child(m, 2));
    ck_assert_ptr_null(weft_child(m, -1));
    ck_assert_ptr_null(weft_module_at(m, "1.bidy"));
    ck_assert_ptr_nonnull(strstr(weft_message(f), "did you mean \"body\""));
    ck_assert_ptr_null(weft_module_at(m, "7"));
    ck_assert_int_eq(weft_error(f), 0);
    ck_assert_ptr_null(weft_module_at(NULL, "0"));
    ck_assert_int_eq(weft_children(NULL), 0);
    ck_assert_ptr_nonnull(weft_param(m, "1.body.2.bias"));
}
END_TEST

/* Residual blocks with all of it learn something. */
START_TEST(a_net_of_all_of_it_learns)
{
    double first = 0, last = 0;
    weft_module *block =
        weft_nn_residual(f, weft_nn_sequential(f, weft_nn_layernorm(f, 8), weft_nn_linear(f, 8, 8),
                                               weft_nn_relu(f), weft_nn_dropout(f, 0.1)));
    weft_module *m =
        weft_nn_sequential(f, weft_nn_embedding(f, 12, 8), block, weft_nn_linear_nobias(f, 8, 12));
    weft_tie(m, "2.weight", "0.weight");
    ck_assert_int_eq(weft_init_param(m, "0.weight", WEFT_INITIALIZER(.kind = "normal", .std = 0.5)),
                     0);
    weft_optimizer *o = weft_adam(m, WEFT_ADAM(.lr = 1e-2));
    weft_setup(f, m, o);
    for (int i = 0; i < 150; i++) {
        int64_t x[12], y[12], n = 12;
        for (int64_t k = 0; k < n; k++) {
            x[k] = k;
            y[k] = (5 * k + 1) % n;
        }
        weft_tensor *loss =
            weft_cross_entropy(weft_forward(m, weft_tensor_of(f, x, 1, &n, WEFT_I64)),
                               weft_tensor_of(f, y, 1, &n, WEFT_I64));
        last = weft_item(loss);
        first = i ? first : last;
        weft_zero_grad(o);
        weft_backward(f, loss);
        ck_assert_int_eq(weft_step(o), 0);
        weft_step_end(f);
    }
    ck_assert_msg(last < 0.25 * first, "from %g to %g", first, last);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("modules");
    TCase *t = tcase_create("modules");
    weft_log_level(WEFT_LOG_SILENT);
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, start, stop);
    suite_add_tcase(s, t);
    tcase_add_test(t, layernorms_have_pytorchs_parameters);
    tcase_add_test(t, layernorms_options);
    tcase_add_test(t, paddings_start_at_zero_and_stay_there);
    tcase_add_test(t, bad_indices_are_named);
    tcase_add_test(t, blocks_do_what_they_say);
    tcase_add_test(t, mlps_are_what_their_options_say);
    tcase_add_test(t, a_share_is_dropped_and_the_rest_scaled);
    tcase_add_test(t, rmsnorms_have_pytorchs_parameters);
    tcase_add_test(t, a_swiglu_is_its_three_layers);
    tcase_add_test(t, calls_steps_and_seeds_drop_others);
    tcase_add_test(t, nothing_and_all_may_be_dropped);
    tcase_add_test(t, evaluation_drops_nothing);
    tcase_add_test(t, what_is_dropped_does_not_depend_on_threads_or_type);
    tcase_add_test(t, threads_change_no_bit);
    tcase_add_test(t, initialisers_have_their_moments);
    tcase_add_test(t, normal_values_are_normal);
    tcase_add_test(t, values_are_those_of_name_and_seed);
    tcase_add_test(t, a_modules_own_parameters_may_be_normal);
    tcase_add_test(t, bad_initialisers_are_refused);
    tcase_add_test(t, parameters_are_frozen_and_thawed_while_training);
    tcase_add_test(t, what_was_frozen_at_setup_stays_so);
    tcase_add_test(t, a_tied_parameter_is_one_with_two_names);
    tcase_add_test(t, a_tied_parameters_gradient_is_the_sum_over_its_uses);
    tcase_add_test(t, both_names_are_frozen_together);
    tcase_add_test(t, bad_ties_are_refused);
    tcase_add_test(t, a_resumed_run_drops_what_it_would_have_dropped);
    tcase_add_test(t, modules_are_found_by_their_path);
    tcase_add_test(t, a_net_of_all_of_it_learns);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
