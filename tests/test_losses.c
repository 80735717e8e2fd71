/* What losses refuse, and what the golden values do not show: nothing counts, no overflow, and how
 * losses with denominators of their own may be combined. */
#include "late.h"

#include <check.h>
#include <math.h>
#include <string.h>
#include <weft.h>

static weft_fabric *f;

static void start(void)
{
    ck_assert_int_eq(weft_open(&f, NULL, NULL, WEFT_OPEN(.precision = "64-true", .threads = 1)), 0);
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

static weft_tensor *logits(void)
{
    const double x[4][3] = {{1, 2, 3}, {0, -1, 2}, {2, 2, 0}, {-1, 0, 1}};
    return weft_tensor_of(f, x, 2, (int64_t[]){4, 3}, WEFT_F64);
}

static weft_tensor *labels(int64_t a, int64_t b, int64_t c, int64_t d)
{
    return weft_tensor_of(f, (const int64_t[]){a, b, c, d}, 1, (const int64_t[]){4}, WEFT_I64);
}

static weft_tensor *vector(const double *v, int64_t n)
{
    return weft_tensor_of(f, v, 1, &n, WEFT_F64);
}

static weft_tensor *ignoring(weft_tensor *x, weft_tensor *y)
{
    return weft_cross_entropy_with(x, y, WEFT_CROSS_ENTROPY(.ignore_index = -100));
}

START_TEST(where_nothing_counts_the_mean_is_nan_and_the_gradient_zero)
{
    weft_module *m = weft_nn_linear(f, 3, 3);
    weft_optimizer *o = weft_sgd(m, WEFT_SGD(.lr = 1));
    double before[9], after[9];
    weft_setup(f, m, o);
    weft_copy_out(weft_param(m, "weight"), before, sizeof before);
    weft_tensor *loss = ignoring(weft_forward(m, logits()), labels(-100, -100, -100, -100));
    ck_assert(isnan(weft_item(loss)));
    ck_assert_int_eq(weft_backward(f, loss), 0);
    ck_assert_double_eq(weft_item(weft_sum(weft_gradient(weft_param(m, "weight")), WEFT_ALL)), 0);
    ck_assert_int_eq(weft_step(o), 0);
    weft_copy_out(weft_param(m, "weight"), after, sizeof after);
    ck_assert_mem_eq(before, after, sizeof before);
}
END_TEST

START_TEST(rows_that_do_not_count_may_be_anything)
{
    double v[4][3] = {{1, 2, 3}, {NAN, INFINITY, 0}, {2, 2, 0}, {-1, 0, 1}}, g[4][3];
    weft_tensor *x = weft_tensor_of(f, v, 2, (int64_t[]){4, 3}, WEFT_F64);
    weft_require_grad(x);
    weft_tensor *loss = ignoring(x, labels(0, -100, 1, 2));
    ck_assert(isfinite(weft_item(loss)));
    ck_assert_int_eq(weft_backward(f, loss), 0);
    ck_assert_int_eq(weft_copy_out(weft_gradient(x), g, sizeof g), 0);
    for (int j = 0; j < 3; j++)
        ck_assert(g[1][j] == 0 && isfinite(g[0][j]) && g[2][j] != 0);
}
END_TEST

START_TEST(labels_that_are_neither_classes_nor_ignored_are_named)
{
    const int32_t y[2][3] = {{0, 1, -100}, {2, -1, 0}};
    ck_assert_ptr_null(looked_at(f, ignoring(logits(), labels(0, -100, 3, 1))));
    stuck_with(WEFT_EDATA, "cross_entropy: label 3 at row 2");
    ck_assert_ptr_null(looked_at(
        f, weft_nll_loss(logits(), labels(0, 1, 2, -1), WEFT_CROSS_ENTROPY(.ignore_zero = true))));
    stuck_with(WEFT_EDATA, "nll_loss: label -1 at row 3");
    ck_assert_ptr_null(
        looked_at(f, ignoring(weft_full(f, 0, 3, (int64_t[]){2, 3, 3}, WEFT_F64),
                              weft_tensor_of(f, y, 2, (int64_t[]){2, 3}, WEFT_I32))));
    stuck_with(WEFT_EDATA, "label -1 at row 1"); /* of the batch */
}
END_TEST

START_TEST(options_out_of_range_are_refused)
{
    const struct {
        weft_cross_entropy_options o;
        const char *says;
    } bad[] = {{{.label_smoothing = 1.5}, "label_smoothing 1.5"},
               {{.label_smoothing = -0.5}, "label_smoothing -0.5"},
               {{.label_smoothing = NAN}, "label_smoothing nan"},
               {{.ignore_zero = true, .ignore_index = 3}, "ignore_zero and ignore_index 3"},
               {{.reduction = "avg"}, "reduction"},
               {{.reduction = "batchmean"}, "reduction"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_ptr_null(weft_cross_entropy_with(logits(), labels(0, 1, 2, 0), &bad[i].o));
        stuck_with(WEFT_EARG, bad[i].says);
    }
    ck_assert_ptr_null(
        weft_nll_loss(logits(), labels(0, 1, 2, 0), WEFT_CROSS_ENTROPY(.label_smoothing = 0.1)));
    stuck_with(WEFT_EARG, "nll_loss: label_smoothing 0.1 is not in [0, 0]");
}
END_TEST

START_TEST(options_of_other_losses_are_refused)
{
    static weft_tensor *(*const loss[])(weft_tensor *, weft_tensor *, const weft_loss_options *) = {
        weft_mse_loss,       weft_l1_loss,         weft_huber_loss,
        weft_smooth_l1_loss, weft_bce_with_logits, weft_kl_div};
    const weft_loss_options o[] = {{.delta = 1},
                                   {.beta = 1},
                                   {.pos_weight = weft_full(f, 1, 0, NULL, WEFT_F64)},
                                   {.log_target = true},
                                   {.reduction = "batchmean"}};
    const int takes[] = {2, 3, 4, 5, 5};
    for (int i = 0; i < 6; i++)
        for (int k = 0; k < 5; k++) {
            weft_tensor *y = loss[i](logits(), logits(), &o[k]);
            ck_assert_int_eq(y != NULL, takes[k] == i);
            if (!y)
                stuck_with(WEFT_EARG, k == 4 ? "reduction" : "it has no option");
        }
    ck_assert_ptr_null(weft_huber_loss(logits(), logits(), WEFT_LOSS(.delta = -1)));
    stuck_with(WEFT_EARG, "huber_loss: delta -1");
    ck_assert_ptr_null(weft_smooth_l1_loss(logits(), logits(), WEFT_LOSS(.beta = NAN)));
    stuck_with(WEFT_EARG, "beta nan");
    ck_assert_ptr_null(weft_mse_loss(logits(), logits(), WEFT_LOSS(.reduction = "men")));
    stuck_with(WEFT_EARG, "mean");
}
END_TEST

START_TEST(weights_have_a_shape_and_a_type)
{
    const double two[2] = {1, 2};
    weft_tensor *short_ = vector(two, 2), *whole = weft_full(f, 1, 1, (int64_t[]){3}, WEFT_I32);
    ck_assert_ptr_null(weft_cross_entropy_with(logits(), labels(0, 1, 2, 0),
                                               WEFT_CROSS_ENTROPY(.weight = short_)));
    stuck_with(WEFT_ESHAPE, "weight (2) for logits (4, 3)");
    ck_assert_ptr_null(weft_bce_with_logits(logits(), logits(), WEFT_LOSS(.pos_weight = short_)));
    stuck_with(WEFT_ESHAPE, "pos_weight (2) for (4, 3)");
    ck_assert_ptr_null(
        weft_cross_entropy_with(logits(), labels(0, 1, 2, 0), WEFT_CROSS_ENTROPY(.weight = whole)));
    stuck_with(WEFT_EDTYPE, "cross_entropy");
    ck_assert_ptr_null(weft_bce_with_logits(logits(), logits(), WEFT_LOSS(.pos_weight = whole)));
    stuck_with(WEFT_EDTYPE, "bce_with_logits");
    weft_step_end(f);
    ck_assert_ptr_null(weft_cross_entropy_with(logits(), labels(0, 1, 2, 0),
                                               WEFT_CROSS_ENTROPY(.weight = short_)));
    stuck_with(WEFT_EHANDLE, "cross_entropy");
}
END_TEST

START_TEST(weights_get_no_gradient_and_must_be_numbers)
{
    const double w[3] = {1, 2, 0.5}, bad[3] = {1, NAN, 1};
    weft_tensor *x = logits(), *weight = vector(w, 3);
    weft_require_grad(x);
    weft_require_grad(weight);
    ck_assert_int_eq(
        weft_backward(f, weft_cross_entropy_with(x, labels(0, 1, 2, 0),
                                                 WEFT_CROSS_ENTROPY(.weight = weight))),
        0);
    ck_assert_ptr_nonnull(weft_gradient(x));
    ck_assert_ptr_null(weft_gradient(weight));
    weight = vector(bad, 3);
    ck_assert_int_eq(
        weft_backward(f, weft_cross_entropy_with(x, labels(0, 1, 2, 0),
                                                 WEFT_CROSS_ENTROPY(.weight = weight))),
        WEFT_EDATA);
    stuck_with(WEFT_EDATA, "add up to NaN");
}
END_TEST

START_TEST(nothing_overflows)
{
    const double v[4] = {-1000, 1000, -1000, 1000}, t[4] = {0, 1, 1, 0},
                 want[4] = {0, 0, 1000, 1000}, slope[4] = {0, 0, -1, 1};
    double got[4];
    weft_tensor *x = vector(v, 4);
    weft_require_grad(x);
    weft_tensor *y = weft_bce_with_logits(x, vector(t, 4), WEFT_LOSS(.reduction = "none"));
    ck_assert_int_eq(weft_copy_out(y, got, sizeof got), 0);
    ck_assert_mem_eq(got, want, sizeof got);
    ck_assert_int_eq(weft_backward(f, weft_sum(y, WEFT_ALL)), 0);
    ck_assert_int_eq(weft_copy_out(weft_gradient(x), got, sizeof got), 0);
    for (int i = 0; i < 4; i++)
        ck_assert_double_eq(got[i], slope[i]);
}
END_TEST

START_TEST(nan_and_infinity_are_handed_on)
{
    const double v[2] = {NAN, INFINITY}, zero[2] = {0, 0};
    static weft_tensor *(*const loss[])(weft_tensor *, weft_tensor *, const weft_loss_options *) = {
        weft_mse_loss, weft_l1_loss, weft_huber_loss, weft_smooth_l1_loss};
    for (int i = 0; i < 4; i++) {
        double got[2];
        weft_tensor *x = vector(v, 2);
        weft_require_grad(x);
        weft_tensor *y = loss[i](x, vector(zero, 2), WEFT_LOSS(.reduction = "none"));
        ck_assert_int_eq(weft_copy_out(y, got, sizeof got), 0);
        ck_assert(isnan(got[0]) && isinf(got[1]));
        ck_assert_int_eq(weft_backward(f, weft_sum(y, WEFT_ALL)), 0);
        ck_assert_int_eq(weft_copy_out(weft_gradient(x), got, sizeof got), 0);
        ck_assert_msg(isnan(got[0]), "%d: %g", i, got[0]);
    }
}
END_TEST

START_TEST(the_mean_of_no_rows_is_nan)
{
    weft_tensor *x = weft_full(f, 1, 2, (int64_t[]){0, 3}, WEFT_F64);
    weft_tensor *y = weft_tensor_of(f, NULL, 1, (int64_t[]){0}, WEFT_I64);
    ck_assert(isnan(weft_item(ignoring(x, y))));
    ck_assert(isnan(weft_item(weft_mse_loss(x, x, NULL))));
    ck_assert_double_eq(weft_item(weft_mse_loss(x, x, WEFT_LOSS(.reduction = "sum"))), 0);
}
END_TEST

/* --- combined losses --- */

/* A part of a batch, so that means are weighed. */
static weft_batch batch(void)
{
    return weft_batch_of(f, logits(), labels(0, -100, 2, -100), 0, 4);
}

START_TEST(means_with_different_denominators_are_not_added)
{
    const double w[3] = {1, 2, 0.5};
    weft_batch b = batch();
    weft_require_grad(b.x);
    ck_assert_ptr_null(weft_add(ignoring(b.x, b.y), weft_mean(weft_mul(b.x, b.x), WEFT_ALL)));
    stuck_with(WEFT_EARG, "add: two means with different denominators");
    weft_tensor *other = weft_cross_entropy_with(
        b.x, b.y, WEFT_CROSS_ENTROPY(.ignore_index = -100, .weight = vector(w, 3)));
    ck_assert_ptr_null(weft_add(ignoring(b.x, b.y), other));
    stuck_with(WEFT_EARG, "weft_backward for each");
}
END_TEST

/* ... but to themselves, to what no batch is part of, and by two backward passes. */
START_TEST(what_one_number_weighs_is_added)
{
    weft_module *m = weft_nn_linear_nobias(f, 3, 3);
    double once[9], twice[9], sum[9];
    weft_setup(f, m, NULL);
    weft_batch b = batch();
    weft_tensor *w = weft_param(m, "weight"), *z = weft_forward(m, b.x), *loss = ignoring(z, b.y);
    weft_tensor *penalty = weft_scale(weft_sum(weft_mul(w, w), WEFT_ALL), 0.5);
    ck_assert_int_eq(weft_backward(f, weft_add(loss, weft_scale(loss, 1))), 0);
    ck_assert_int_eq(weft_copy_out(weft_gradient(w), twice, sizeof twice), 0);
    weft_clear(f); /* forgets the gradients */
    ck_assert_int_eq(weft_backward(f, loss), 0);
    ck_assert_int_eq(weft_copy_out(weft_gradient(w), once, sizeof once), 0);
    for (int i = 0; i < 9; i++)
        ck_assert_double_eq_tol(twice[i], 2 * once[i], 1e-15);
    weft_clear(f);
    ck_assert_int_eq(weft_backward(f, weft_add(loss, penalty)), 0);
    ck_assert_int_eq(weft_copy_out(weft_gradient(w), sum, sizeof sum), 0);
    weft_clear(f);
    ck_assert_int_eq(weft_backward(f, loss), 0);
    ck_assert_int_eq(weft_backward(f, weft_mean(weft_mul(z, z), WEFT_ALL)), 0);
    double value[9];
    ck_assert_int_eq(weft_copy_out(w, value, sizeof value), 0);
    for (int i = 0; i < 9; i++)
        ck_assert_double_eq_tol(sum[i], once[i] + value[i], 1e-15);
}
END_TEST

START_TEST(sums_and_means_are_not_added)
{
    weft_batch b = batch();
    weft_require_grad(b.x);
    weft_tensor *sum = weft_cross_entropy_with(
        b.x, b.y, WEFT_CROSS_ENTROPY(.ignore_index = -100, .reduction = "sum"));
    ck_assert_ptr_null(weft_add(sum, ignoring(b.x, b.y)));
    stuck_with(WEFT_EARG, "a sum over the batch");
}
END_TEST

/* Each by itself, the mean of "none" is over all rows. */
START_TEST(none_gives_each_label_its_loss)
{
    weft_tensor *y =
        weft_cross_entropy_with(logits(), labels(0, -100, 2, 1),
                                WEFT_CROSS_ENTROPY(.ignore_index = -100, .reduction = "none"));
    double v[4];
    ck_assert_int_eq(weft_rank_of(y), 1);
    ck_assert_int_eq(weft_copy_out(y, v, sizeof v), 0);
    ck_assert_double_eq(v[1], 0);
    ck_assert_double_eq_tol(v[0] + v[2] + v[3],
                            3 * weft_item(ignoring(logits(), labels(0, -100, 2, 1))), 1e-14);
    ck_assert_double_eq_tol(weft_item(weft_mean(y, 0)), (v[0] + v[2] + v[3]) / 4, 1e-15);
}
END_TEST

#define LOW_ROWS 5
#define LOW_WIDTH 2500

static weft_tensor *low_logits(weft_dtype t, weft_tensor **leaf)
{
    static float x[LOW_ROWS * LOW_WIDTH];
    for (int i = 0; i < LOW_ROWS * LOW_WIDTH; i++)
        x[i] = i < LOW_WIDTH / 2 ? -INFINITY : (float)(i * 7919 % 1013) / 64 - 8;
    *leaf = weft_cast(weft_tensor_of(f, x, 2, (int64_t[]){LOW_ROWS, LOW_WIDTH}, WEFT_F32), t);
    weft_require_grad(*leaf);
    return *leaf;
}

/* Logits that stay in 16 bits give what they give as f32, the gradient rounded once. */
START_TEST(logits_of_16_bits_stay_as_they_are)
{
    static const weft_cross_entropy_options options[] = {
        {0}, {.reduction = "sum"}, {.reduction = "none"}, {.ignore_index = 77}};
    static float g[2][LOW_ROWS * LOW_WIDTH];
    const weft_dtype t = _i ? WEFT_F16 : WEFT_BF16;
    const int64_t y[LOW_ROWS] = {LOW_WIDTH - 1, 0, 77, 1024, 3}, n = LOW_ROWS;
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        double v[2];
        for (int k = 0; k < 2; k++) {
            weft_tensor *leaf, *x = low_logits(t, &leaf);
            weft_tensor *loss = weft_cross_entropy_with(
                k ? weft_cast(x, WEFT_F32) : x, weft_tensor_of(f, y, 1, &n, WEFT_I64), &options[i]);
            ck_assert_int_eq(weft_dtype_of(loss), WEFT_F32);
            loss = weft_sum(weft_mul(loss, loss), WEFT_ALL);
            v[k] = weft_item(loss);
            ck_assert_int_eq(weft_backward(f, loss), 0);
            ck_assert_int_eq(weft_dtype_of(weft_gradient(leaf)), t);
            weft_copy_out(weft_cast(weft_gradient(leaf), WEFT_F32), g[k], sizeof g[k]);
        }
        ck_assert_double_eq_tol(v[0], v[1], 1e-5 * fabs(v[1]));
        double off = 0;
        for (int j = 0; j < LOW_ROWS * LOW_WIDTH; j++)
            off = fmax(off, fabs((double)(g[0][j] - g[1][j])) / (fabs((double)g[1][j]) + 1e-6));
        ck_assert_msg(off <= 0x1p-7, "%zu: the gradient is off by %g", i, off);
    }
    weft_tensor *leaf, *x = low_logits(t, &leaf);
    ck_assert_ptr_null(looked_at(
        f, weft_cross_entropy(
               x, weft_tensor_of(f, (int64_t[LOW_ROWS]){0, 1, 2, LOW_WIDTH}, 1, &n, WEFT_I64))));
    stuck_with(WEFT_EDATA, "cross_entropy: label 2500 at row 3");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("losses");
    TCase *t = tcase_create("losses");
    weft_log_level(WEFT_LOG_SILENT);
    tcase_add_checked_fixture(t, start, stop);
    suite_add_tcase(s, t);
    tcase_add_test(t, where_nothing_counts_the_mean_is_nan_and_the_gradient_zero);
    tcase_add_test(t, rows_that_do_not_count_may_be_anything);
    tcase_add_test(t, labels_that_are_neither_classes_nor_ignored_are_named);
    tcase_add_test(t, options_out_of_range_are_refused);
    tcase_add_test(t, options_of_other_losses_are_refused);
    tcase_add_test(t, weights_have_a_shape_and_a_type);
    tcase_add_test(t, weights_get_no_gradient_and_must_be_numbers);
    tcase_add_test(t, nothing_overflows);
    tcase_add_test(t, nan_and_infinity_are_handed_on);
    tcase_add_test(t, the_mean_of_no_rows_is_nan);
    tcase_add_test(t, means_with_different_denominators_are_not_added);
    tcase_add_test(t, what_one_number_weighs_is_added);
    tcase_add_test(t, sums_and_means_are_not_added);
    tcase_add_test(t, none_gives_each_label_its_loss);
    tcase_add_loop_test(t, logits_of_16_bits_stay_as_they_are, 0, 2);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
