/* weft_infer: what weft_forward gives, from and to the program's arrays, from any thread, and nothing is
 * left behind. What is copied is counted. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

#define ROWS 5
#define IN 7
#define OUT 3
#define THREADS 4

static weft_fabric *f;
static weft_module *m;
static const int64_t shape[] = {ROWS, IN};
static double x[ROWS * IN], right[ROWS * OUT];

static void start(void)
{
    ck_assert_int_eq(
        weft_open(&f, NULL, NULL, WEFT_OPEN(.threads = 1, .seed = 3, .precision = "64-true")), 0);
    m = weft_nn_sequential(f, weft_nn_linear(f, IN, 4), weft_nn_dropout(f, 0.5), weft_nn_tanh(f),
                           weft_nn_linear(f, 4, OUT));
    for (int i = 0; i < ROWS * IN; i++)
        x[i] = (i * 37 % 23) / 11.0 - 1;
    weft_eval_begin(f);
    ck_assert(
        !weft_copy_out(weft_forward(m, weft_tensor_of(f, x, 2, shape, 0)), right, sizeof right));
    weft_eval_end(f);
}

static void stop(void)
{
    ck_assert_int_eq(weft_close(&f), 0);
}

static weft_status ask(double *y)
{
    return weft_infer(m, x, 2, shape, WEFT_F64, y, ROWS * OUT, WEFT_F64);
}

static bool is_right(const double *y)
{
    return memcmp(y, right, sizeof right) == 0;
}

START_TEST(it_gives_what_forward_gives)
{
    double y[ROWS * OUT];
    float low[ROWS * OUT], xf[ROWS * IN];
    ck_assert(!ask(y) && is_right(y));
    ck_assert(!weft_infer(m, x, 2, shape, 0, low, ROWS * OUT, WEFT_F32));
    for (int i = 0; i < ROWS * OUT; i++)
        ck_assert(low[i] == (float)right[i]);
    for (int i = 0; i < ROWS * IN; i++)
        xf[i] = (float)x[i];
    ck_assert(!weft_infer(m, xf, 2, shape, WEFT_F32, y, ROWS * OUT, 0));
    ck_assert(!is_right(y));
    for (int i = 0; i < ROWS * OUT; i++)
        ck_assert_double_eq_tol(y[i], right[i], 1e-6);
    ck_assert(!weft_infer(m, NULL, 2, (int64_t[]){0, IN}, 0, NULL, 0, 0));
}
END_TEST

/* Between forward and backward of a step it changes nothing. */
START_TEST(it_leaves_a_step_alone)
{
    double y[ROWS * OUT], gradient[2][4 * IN];
    for (int asks = 0; asks < 2; asks++) {
        weft_tensor *t = weft_tensor_of(f, x, 2, shape, 0), *w = weft_param(m, "0.weight");
        weft_train(m, false); /* dropout draws anew in each step */
        weft_tensor *loss = weft_mean(weft_forward(m, t), WEFT_ALL);
        for (int i = 0; i < 3 * asks; i++)
            ck_assert(!ask(y) && is_right(y));
        ck_assert(!weft_copy_out(weft_grad(loss, w), gradient[asks], sizeof gradient[asks]));
        ck_assert(weft_is_valid(t) && !weft_step_end(f));
    }
    ck_assert_mem_eq(gradient[0], gradient[1], sizeof gradient[0]);
}
END_TEST

START_TEST(it_holds_no_memory)
{
    double y[ROWS * OUT];
    ck_assert(!ask(y));
    const weft_memory_report before = weft_memory(f);
    for (int i = 0; i < 1000; i++)
        ck_assert(!ask(y));
    const weft_memory_report after = weft_memory(f);
    ck_assert(is_right(y) && before.device.now == after.device.now);
    ck_assert(before.device.peak == after.device.peak);
}
END_TEST

static void *a_thread(void *good)
{
    double y[ROWS * OUT];
    for (int i = 0; i < 100; i++)
        *(int *)good += !ask(y) && is_right(y);
    return NULL;
}

START_TEST(threads_may_ask_at_once)
{
    pthread_t t[THREADS];
    int good[THREADS] = {0};
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, a_thread, &good[i]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(good[i], 100);
}
END_TEST

static void refused(weft_status s, weft_status code, const char *part)
{
    ck_assert_int_eq(s, code);
    ck_assert_msg(weft_error(f) == code && strstr(weft_message(f), part), "%s", weft_message(f));
    ck_assert_int_eq(weft_clear(f), 0);
}

START_TEST(what_does_not_fit_is_refused)
{
    double y[ROWS * OUT] = {42};
    int32_t integer[ROWS * OUT];
    refused(weft_infer(m, x, 2, shape, 0, y, 14, 0), WEFT_ESHAPE,
            "14 elements, the result is (5, 3)");
    refused(weft_infer(m, x, 2, shape, 0, integer, 15, WEFT_I32), WEFT_EDTYPE, "y of i32");
    refused(weft_infer(m, x, 2, shape, (weft_dtype)99, y, 15, 0), WEFT_EDTYPE, "99");
    refused(weft_infer(m, NULL, 2, shape, 0, y, 15, 0), WEFT_EARG, "x is NULL");
    refused(weft_infer(m, x, 2, shape, 0, NULL, 15, 0), WEFT_EARG, "y is NULL");
    refused(weft_infer(m, x, 2, NULL, 0, y, 15, 0), WEFT_EARG, "shape of x is NULL");
    refused(weft_infer(m, x, 9, (int64_t[9]){1}, 0, y, 15, 0), WEFT_ESHAPE, "rank 9");
    refused(weft_infer(m, x, 2, (int64_t[]){5, 6}, 0, y, 15, 0), WEFT_ESHAPE, "linear");
    ck_assert(weft_infer(NULL, x, 2, shape, 0, y, 15, 0) == WEFT_EARG && y[0] == 42);
    ck_assert(!ask(y) && is_right(y));
}
END_TEST

START_TEST(copies_are_counted)
{
    double y[ROWS * OUT];
    int64_t at = weft_traffic_count(f).copies, bytes = weft_traffic_count(f).copied_bytes;
    weft_tensor *t = weft_wrap(f, x, 2, shape, WEFT_F64);
    ck_assert(weft_data_pointer(t) == x &&
              weft_data_pointer(weft_slice(t, 0, 2, 4, 1)) == x + 2 * IN);
    weft_forward(m, t);
    ck_assert_int_eq(weft_traffic_count(f).copies, at);
    const bool far = !weft_data_pointer(weft_full(f, 1, 0, NULL, 0));
    ask(y); /* the result, and x to a device that does not compute where x lies */
    ck_assert_int_eq(weft_traffic_count(f).copies, at += 1 + far);
    bytes += (int64_t)(sizeof y + (far ? sizeof x : 0));
    ck_assert_int_eq(weft_traffic_count(f).copied_bytes, bytes);
    weft_cast(t, WEFT_F32);
    weft_copy_out(weft_transpose(t, 0, 1), y, sizeof y - 8); /* refused */
    weft_clear(f);
    t = weft_tensor_of(f, x, 2, shape, WEFT_F64);
    weft_retain(t);
    weft_copy_in(t, x, sizeof x);
    ck_assert_int_eq(weft_traffic_count(f).copies, at + 4);
    ck_assert_int_eq(weft_traffic_count(f).copied_bytes, bytes + 4 * (int64_t)sizeof x);
    ck_assert(!weft_data_pointer(NULL));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("infer");
    TCase *t = tcase_create("all");
    weft_log_level(WEFT_LOG_SILENT);
    tcase_add_checked_fixture(t, start, stop);
    tcase_add_test(t, it_gives_what_forward_gives);
    tcase_add_test(t, it_leaves_a_step_alone);
    tcase_add_test(t, it_holds_no_memory);
    tcase_add_test(t, threads_may_ask_at_once);
    tcase_add_test(t, what_does_not_fit_is_refused);
    tcase_add_test(t, copies_are_counted);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
