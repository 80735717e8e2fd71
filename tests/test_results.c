/* Ops with more results than one: what their backward sees of each, gradients to and through them, and
 * tables that are refused. */
#include "autograd/tape.h"

#include <check.h>
#include <math.h>
#include <string.h>
#include <weft.h>
#include <weft/sys/op.h>

static weft_fabric *f;
static int seen; /* bits of the last backward: 1 the radius had a gradient, 2 the angle had one */

static void start(void)
{
    ck_assert_int_eq(weft_open(&f, NULL, NULL, WEFT_OPEN(.precision = "64-true", .threads = 1)), 0);
}

static void stop(void)
{
    weft_clear(f);
    ck_assert_int_eq(weft_close(&f), 0);
}

/* (x, y) -> r = sqrt(x^2 + y^2), and as a second result the angle atan2(y, x); the quadrant, an integer,
 * is a third. */
static weft_status polar_shape(weft_op_call *c)
{
    c->out = c->saved[0] = c->saved[1] = c->in[0];
    c->saved[1].dtype = WEFT_I32;
    return WEFT_OK;
}

static weft_status polar_forward(weft_op_call *c)
{
    const double *x = weft_op_host(c, &c->in[0]), *y = weft_op_host(c, &c->in[1]);
    double *r = weft_op_host(c, &c->out), *angle = weft_op_host(c, &c->saved[0]);
    int32_t *quadrant = weft_op_host(c, &c->saved[1]);
    for (int64_t i = 0; i < c->out.numel; i++) {
        r[i] = hypot(x[i], y[i]);
        angle[i] = atan2(y[i], x[i]);
        quadrant[i] = x[i] > 0 ? (y[i] > 0 ? 1 : 4) : (y[i] > 0 ? 2 : 3);
    }
    return WEFT_OK;
}

static weft_status polar_backward(weft_op_call *c)
{
    const double *x = weft_op_host(c, &c->in[0]), *y = weft_op_host(c, &c->in[1]);
    const double *r = weft_op_host(c, &c->out), *gr = weft_op_host(c, &c->gout);
    const double *ga = c->gsaved[0].data.addr ? weft_op_host(c, &c->gsaved[0]) : NULL;
    seen = (ga ? 2 : 0) | (c->gsaved[1].data.addr ? 4 : 0);
    for (int j = 0; j < 2; j++) {
        double *g = c->want[j] ? weft_op_host(c, &c->gin[j]) : NULL;
        for (int64_t i = 0; g && i < c->out.numel; i++) {
            seen |= gr[i] != 0;
            g[i] = gr[i] * (j ? y[i] : x[i]) / r[i];
            if (ga)
                g[i] += ga[i] * (j ? x[i] : -y[i]) / (r[i] * r[i]);
        }
    }
    return WEFT_OK;
}

static const weft_op polar_op = {.size = sizeof polar_op,
                                 .name = "polar",
                                 .contiguous = 1,
                                 .shape = polar_shape,
                                 .forward = polar_forward,
                                 .backward = polar_backward,
                                 .results = 2};

static weft_tensor *polar(weft_tensor *x, weft_tensor *y, weft_tensor **angle)
{
    weft_tensor *const in[] = {x, y};
    weft_tensor *more[2];
    weft_tensor *r = weft_apply_results(f, &polar_op, 2, in, NULL, more);
    *angle = more[0];
    return r;
}

static weft_tensor *leaf(double v)
{
    weft_tensor *x = weft_full(f, v, 0, NULL, WEFT_F64);
    weft_require_grad(x);
    return x;
}

static weft_tensor *row(double a, double b)
{
    const double v[] = {a, b};
    const int64_t n = 2;
    return weft_tensor_of(f, v, 1, &n, WEFT_F64);
}

START_TEST(results_are_tensors)
{
    weft_tensor *const in[] = {row(1, -2), row(1, 0.5)};
    weft_tensor *more[2], *r = weft_apply_results(f, &polar_op, 2, in, NULL, more);
    double angle[2];
    int32_t quadrant[2];
    ck_assert_double_eq_tol(weft_item(weft_sum(weft_mul(r, r), 0)), 2 + 4.25, 1e-14);
    ck_assert_int_eq(weft_copy_out(more[0], angle, sizeof angle), 0);
    ck_assert_double_eq(angle[0], atan2(1, 1));
    ck_assert_double_eq(angle[1], atan2(0.5, -2));
    ck_assert_int_eq(weft_copy_out(more[1], quadrant, sizeof quadrant), 0);
    ck_assert(quadrant[0] == 1 && quadrant[1] == 2);
}
END_TEST

/* Of r and the angle together, of each alone; and through what is a view of one. */
static weft_tensor *both(void *user, weft_tensor *const *x)
{
    weft_tensor *a, *r = polar(x[0], x[1], &a);
    (void)user;
    return weft_sum(weft_add(weft_mul(r, weft_sin(a)), weft_mul(a, a)), WEFT_ALL);
}

static weft_tensor *radius_alone(void *user, weft_tensor *const *x)
{
    weft_tensor *a, *r = polar(x[0], x[1], &a);
    (void)user;
    return weft_sum(weft_mul(r, r), WEFT_ALL);
}

static weft_tensor *angle_alone(void *user, weft_tensor *const *x)
{
    weft_tensor *a;
    (void)user;
    polar(x[0], x[1], &a);
    return weft_sum(weft_mul(weft_reshape(a, 2, (const int64_t[]){2, 1}), a), WEFT_ALL);
}

static const struct {
    weft_scalar_fn fn;
    int seen;
} use[] = {{both, 3}, {radius_alone, 1}, {angle_alone, 2}};

START_TEST(gradients_of_each_arrive)
{
    weft_tensor *x[] = {row(1.5, -2), row(1, 0.5)};
    ck_assert_int_eq(weft_gradcheck(f, use[_i].fn, NULL, 2, x, 0, 0, NULL), 0);
    weft_require_grad(x[0]);
    ck_assert_int_eq(weft_backward(f, use[_i].fn(NULL, x)), 0);
    ck_assert_int_eq(seen, use[_i].seen);
}
END_TEST

START_TEST(a_loss_may_be_a_second_result)
{
    weft_tensor *x = leaf(3), *y = leaf(4), *a;
    polar(x, y, &a);
    ck_assert_int_eq(weft_backward(f, a), 0);
    ck_assert_double_eq(weft_item(weft_gradient(x)), -4.0 / 25);
    ck_assert_double_eq(weft_item(weft_gradient(y)), 3.0 / 25);
}
END_TEST

START_TEST(gradients_by_a_second_result)
{
    weft_tensor *x = leaf(3), *a, *r = polar(x, leaf(4), &a);
    weft_tensor *loss = weft_add(weft_mul(a, a), r);
    weft_require_grad(a);
    weft_require_grad(r);
    ck_assert_double_eq(weft_item(weft_grad(loss, a)), 2 * atan2(4, 3));
    ck_assert_double_eq(weft_item(weft_grad(loss, r)), 1);
    ck_assert_double_eq_tol(weft_item(weft_grad(loss, x)), 3.0 / 5 + 2 * atan2(4, 3) * (-4.0 / 25),
                            1e-15);
    ck_assert_int_eq(weft_backward(f, loss), 0);
    ck_assert_double_eq(weft_item(weft_gradient(a)), 2 * atan2(4, 3));
    ck_assert_double_eq(weft_item(weft_gradient(r)), 1);
    ck_assert_ptr_null(weft_grad(r, a)); /* they do not depend on each other */
    ck_assert_int_eq(weft_error(f), WEFT_ESTATE);
}
END_TEST

START_TEST(integers_want_no_gradient)
{
    weft_tensor *const in[] = {leaf(3), leaf(4)};
    weft_tensor *more[2], *r = weft_apply_results(f, &polar_op, 2, in, NULL, more);
    weft_tensor *one = weft_cast(more[1], WEFT_F64);
    ck_assert_int_eq(weft_backward(f, weft_mul(r, one)), 0);
    ck_assert_double_eq(weft_item(weft_gradient(in[0])), 3.0 / 5);
}
END_TEST

static weft_status no_type(weft_op_call *c)
{
    c->out = c->saved[0] = c->in[0];
    return WEFT_OK;
}

START_TEST(what_is_wrong_is_named)
{
    weft_op op = polar_op;
    weft_tensor *const in[] = {row(1, 2), row(3, 4)};
    weft_tensor *more[2];
    ck_assert_ptr_null(weft_apply_results(f, &op, 2, in, NULL, NULL));
    ck_assert_int_eq(weft_error(f), WEFT_EARG);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "polar"));
    weft_clear(f);
    op.results = 3;
    ck_assert_ptr_null(weft_apply_results(f, &op, 2, in, NULL, more));
    ck_assert_int_eq(weft_error(f), WEFT_EARG);
    weft_clear(f);
    op.results = 2;
    op.shape = no_type;
    op.forward = no_type;
    ck_assert_ptr_null(weft_apply_results(f, &op, 2, in, NULL, more));
    ck_assert_int_eq(weft_error(f), WEFT_EARG);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "result 2"));
    ck_assert(!more[0] && !more[1]);
    weft_clear(f);
    ck_assert_ptr_null(
        weft_apply_results(f, &polar_op, 2, (weft_tensor *const[]){NULL, NULL}, NULL, more));
    ck_assert_int_eq(weft_error(f), 0);
}
END_TEST

/* --- the residual sum and its normalisation --- */

static weft_tensor *line(int64_t rows, int64_t n, int seed)
{
    double v[200];
    for (int64_t i = 0; i < rows * n; i++)
        v[i] = sin((double)(i * i + 7 * seed + 1)) * 2;
    weft_tensor *x =
        weft_tensor_of(f, v, rows > 1 ? 2 : 1, rows > 1 ? (int64_t[]){rows, n} : &n, WEFT_F64);
    weft_require_grad(x);
    return x;
}

static void keep_or_compare(weft_tensor *t, double *kept, bool compare)
{
    double now[200];
    const size_t bytes = (size_t)weft_numel(t) * sizeof *now;
    ck_assert_uint_le(bytes, sizeof now);
    ck_assert_int_eq(weft_copy_out(t, compare ? now : kept, bytes), 0);
    ck_assert(!compare || memcmp(now, kept, bytes) == 0);
}

START_TEST(a_fused_sum_is_the_sum)
{
    static double kept[6][200];
    for (int fused = 0; fused < 2; fused++) {
        weft_tensor *in[] = {line(7, 19, 1), line(7, 19, 2), line(1, 19, 3), line(1, 19, 4)};
        weft_tensor *sum, *y;
        if (fused)
            y = weft_add_layernorm(in[0], in[1], 1, in[2], in[3], 1e-3, &sum);
        else
            y = weft_layernorm(sum = weft_add(in[0], in[1]), 1, in[2], in[3], 1e-3);
        keep_or_compare(y, kept[0], fused);
        keep_or_compare(sum, kept[1], fused);
        weft_tensor *loss = weft_sum(weft_mul(y, _i ? weft_sin(sum) : y), WEFT_ALL);
        ck_assert_int_eq(weft_backward(f, loss), 0);
        for (int i = 0; i < 4; i++)
            keep_or_compare(weft_gradient(in[i]), kept[2 + i], fused);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("results");
    TCase *t = tcase_create("results");
    tcase_add_checked_fixture(t, start, stop);
    suite_add_tcase(s, t);
    tcase_add_test(t, results_are_tensors);
    tcase_add_loop_test(t, gradients_of_each_arrive, 0, (int)(sizeof use / sizeof use[0]));
    tcase_add_test(t, a_loss_may_be_a_second_result);
    tcase_add_test(t, gradients_by_a_second_result);
    tcase_add_test(t, integers_want_no_gradient);
    tcase_add_test(t, what_is_wrong_is_named);
    tcase_add_loop_test(t, a_fused_sum_is_the_sum, 0, 2);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
