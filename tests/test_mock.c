/* The mock device: what goes wrong on a GPU is planted here, and must be found. Each fault is silent on a
 * device whose work is done at once or whose memory is the host's. */
#include "comm/comm.h"
#include "core/error.h"
#include "device/device.h"
#include "environ/environ.h"
#include "tensor/tensor.h"

#include <check.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weft.h>

#define N 64
#define SEEDS 20

static weft_device *d;
static weft_stream *a, *b;
static weft_dev x, y;

static void start_with(const char *memory, int seed)
{
    char text[16];
    snprintf(text, sizeof text, "%d", seed);
    setenv("WEFT_MOCK_SEED", text, 1);
    if (memory)
        setenv("WEFT_MOCK_MEMORY", memory, 1);
    ck_assert_int_eq(weft__device_open(&d, "mock", 0, 1), WEFT_OK);
    ck_assert_int_eq(d->ops->stream_new(d, &a), WEFT_OK);
    ck_assert_int_eq(d->ops->stream_new(d, &b), WEFT_OK);
    ck_assert_int_eq(d->ops->alloc(d, N * sizeof(double), &x), WEFT_OK);
    ck_assert_int_eq(d->ops->alloc(d, N * sizeof(double), &y), WEFT_OK);
    unsetenv("WEFT_MOCK_SEED");
    unsetenv("WEFT_MOCK_MEMORY");
}

static void stop(void)
{
    d->ops->stream_free(a);
    d->ops->stream_free(b);
    weft__device_close(d);
}

static weft_status fill(weft_stream *s, weft_dev to, double value)
{
    return d->ops->kernels->fill(s, to, N, value, WEFT_F64);
}

static double look(weft_stream *s, weft_dev p)
{
    double v = 0;
    ck_assert_int_eq(d->ops->download(s, &v, p, sizeof v), WEFT_OK);
    return v;
}

START_TEST(the_host_may_not_touch_it)
{
    int pipes[2], status;
    char said[256] = "";
    ck_assert_int_eq(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        const double *host;
        dup2(pipes[1], STDERR_FILENO);
        signal(SIGSEGV, SIG_DFL);
        start_with(NULL, 0);
        memcpy(&host, &x, sizeof host);
        _exit(*(volatile const double *)host != 0);
    }
    close(pipes[1]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_gt(read(pipes[0], said, sizeof said - 1), 0);
    close(pipes[0]);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    ck_assert_msg(strstr(said, "the host touched memory of device mock 0") != NULL, "%s", said);
}
END_TEST

/* y = x on one stream while x is written on another. @return how often it was too early. */
static int races(bool event)
{
    int early = 0;
    for (int seed = 0; seed < SEEDS; seed++) {
        weft_event *e;
        const int64_t n = N, one = 1;
        start_with(NULL, seed);
        ck_assert_int_eq(d->ops->event_new(d, &e), WEFT_OK);
        ck_assert_int_eq(fill(a, x, 7), WEFT_OK);
        ck_assert_int_eq(d->ops->event_record(e, a), WEFT_OK);
        if (event)
            ck_assert_int_eq(d->ops->event_wait(b, e), WEFT_OK);
        ck_assert_int_eq(d->ops->kernels->copy(b, y, WEFT_F64, &one, x, WEFT_F64, &one, 1, &n),
                         WEFT_OK);
        early += look(b, y) != 7;
        ck_assert_double_eq(look(a, x), 7);
        ck_assert_int_eq(d->ops->event_sync(e), WEFT_OK);
        d->ops->event_free(e);
        stop();
    }
    return early;
}

START_TEST(a_missing_event_shows)
{
    ck_assert_int_gt(races(false), 2);
    ck_assert_int_eq(races(true), 0);
}
END_TEST

START_TEST(use_after_free_shows)
{
    start_with(NULL, 1);
    ck_assert_int_eq(fill(a, x, 1), WEFT_OK);
    ck_assert_double_eq(look(a, x), 1);
    const double *host = d->ops->host(d, x);
    d->ops->free(d, x, N * sizeof(double));
    ck_assert(isnan(host[0]) && isnan(host[N - 1]));
    ck_assert_int_eq(fill(a, x, 2), WEFT_EHANDLE);
    ck_assert_ptr_nonnull(strstr(weft__why(), "y of fill"));
    ck_assert_ptr_nonnull(strstr(weft__why(), "was freed"));
    ck_assert_int_eq(d->ops->zero(a, weft__at(x, 8), 8), WEFT_EHANDLE);
    ck_assert_int_eq(fill(a, (weft_dev){(uintptr_t)&host}, 2), WEFT_EHANDLE);
    ck_assert_ptr_nonnull(strstr(weft__why(), "no memory of this device"));
    stop();
}
END_TEST

/* What was queued before the free still finds its memory. */
START_TEST(freeing_waits_for_what_was_queued)
{
    start_with(NULL, 2);
    const int64_t n = N, one = 1;
    ck_assert_int_eq(fill(a, x, 3), WEFT_OK);
    d->ops->kernels->copy(a, y, WEFT_F64, &one, x, WEFT_F64, &one, 1, &n);
    d->ops->free(d, x, N * sizeof(double));
    ck_assert_double_eq(look(a, y), 3);
    stop();
}
END_TEST

/* A communicator works on what `host` gives: too early, it finds what was there before. */
START_TEST(a_missing_wait_before_a_reduction_shows)
{
    weft_comm *comm;
    int early = 0;
    ck_assert_int_eq(weft__comm_self(&comm), WEFT_OK);
    for (int seed = 0; seed < SEEDS; seed++)
        for (int waits = 0; waits < 2; waits++) {
            start_with(NULL, seed);
            double *host = weft__comm_reach(comm, d, x);
            ck_assert_ptr_nonnull(host);
            ck_assert_int_eq(fill(a, x, 5), WEFT_OK);
            if (waits)
                ck_assert_int_eq(d->ops->sync(a), WEFT_OK);
            weft__all_reduce(comm, "sum", host, N, WEFT_F64, WEFT_REDUCE_SUM);
            ck_assert(!waits || host[0] == 5);
            early += !waits && isnan(host[0]);
            stop();
        }
    weft__comm_free(comm);
    ck_assert_int_gt(early, SEEDS / 2);
}
END_TEST

START_TEST(fresh_memory_is_nan)
{
    start_with(NULL, 3);
    ck_assert(isnan(look(a, x)) && isnan(look(a, weft__at(y, 8 * (N - 1)))));
    stop();
}
END_TEST

START_TEST(discarded_memory_is_nan)
{
    start_with(NULL, 6);
    ck_assert_int_eq(fill(a, x, 1), WEFT_OK);
    ck_assert_int_eq(d->ops->discard(a, weft__at(x, 8), 8), WEFT_OK);
    ck_assert(look(a, x) == 1 && isnan(look(a, weft__at(x, 8))) && look(a, weft__at(x, 16)) == 1);
    stop();
}
END_TEST

/* A step's memory, too, is NaN once the step is over. */
START_TEST(the_last_step_is_nan)
{
    weft_fabric *f;
    ck_assert_int_eq(weft_open(&f, NULL, NULL, WEFT_OPEN(.accelerator = "mock", .threads = 1)), 0);
    const weft_dev data =
        weft__tensor_at(weft_full(f, 1, 1, (int64_t[]){1000}, WEFT_F32), NULL)->view.data;
    float v = 0;
    ck_assert_int_eq(f->device->ops->download(f->stream, &v, data, sizeof v), 0);
    ck_assert(v == 1);
    ck_assert_int_eq(weft_step_end(f), 0);
    ck_assert_int_eq(f->device->ops->download(f->stream, &v, data, sizeof v), 0);
    ck_assert(isnan(v));
    ck_assert_int_eq(weft_close(&f), 0);
}
END_TEST

/* One that uploads may change its bytes at once. */
START_TEST(uploads_and_arguments_are_copied)
{
    double v = 1;
    int64_t n = N, one = 1;
    start_with(NULL, 4);
    for (int i = 0; i < 100; i++, v++) {
        ck_assert_int_eq(d->ops->upload(a, weft__at(x, 8 * (i % N)), &v, sizeof v), WEFT_OK);
        ck_assert_int_eq(d->ops->kernels->copy(a, y, WEFT_F64, &one, x, WEFT_F64, &one, 1, &n),
                         WEFT_OK);
        n = one = 0;
        n = N, one = 1;
    }
    ck_assert_double_eq(look(a, weft__at(x, 8 * 35)), 100);
    ck_assert_double_eq(look(a, weft__at(y, 8 * 35)), 100);
    stop();
}
END_TEST

START_TEST(what_goes_wrong_late_is_told_once)
{
    start_with(NULL, 5);
    weft_status s = d->ops->kernels->fill(a, x, N, 1, (weft_dtype)99);
    ck_assert_int_eq(s, WEFT_OK);
    ck_assert_int_lt(d->ops->sync(a), 0);
    ck_assert_int_eq(d->ops->sync(a), WEFT_OK);
    stop();
}
END_TEST

START_TEST(memory_has_an_end)
{
    weft_dev p, q;
    start_with("1M", 0);
    ck_assert_int_eq(d->ops->alloc(d, 700 << 10, &p), WEFT_OK);
    ck_assert_int_eq(d->ops->alloc(d, 400 << 10, &q), WEFT_ENOMEM);
    ck_assert_msg(strstr(weft__why(), "no room for 400.0 KiB") &&
                      strstr(weft__why(), "of 1.0 MiB") && strstr(weft__why(), "WEFT_MOCK_MEMORY"),
                  "%s", weft__why());
    d->ops->free(d, p, 700 << 10);
    ck_assert_int_eq(d->ops->alloc(d, 400 << 10, &q), WEFT_OK);
    ck_assert_int_eq(fill(a, q, 1), WEFT_OK);
    ck_assert_double_eq(look(a, q), 1);
    d->ops->free(d, q, 400 << 10);
    stop();
}
END_TEST

/* A fabric says it, and goes on with less. */
START_TEST(a_run_goes_on_after_it)
{
    weft_fabric *f;
    setenv("WEFT_MOCK_MEMORY", "8M", 1);
    ck_assert_int_eq(weft_open(&f, NULL, NULL, WEFT_OPEN(.accelerator = "mock", .threads = 1)), 0);
    unsetenv("WEFT_MOCK_MEMORY");
    ck_assert_ptr_null(weft_full(f, 1, 1, (int64_t[]){4 << 20}, WEFT_F32));
    ck_assert_int_eq(weft_error(f), WEFT_ENOMEM);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "16.0 MiB"));
    ck_assert_int_eq(weft_clear(f), 0);
    ck_assert_double_eq(weft_item(weft_sum(weft_full(f, 1, 1, (int64_t[]){1000}, WEFT_F32), 0)),
                        1000);
    ck_assert_int_eq(weft_close(&f), 0);
}
END_TEST

static const struct {
    const char *variable, *value;
    weft_status code;
    const char *says;
} wrong[] = {{"WEFT_MOCK_MEMORY", "much", WEFT_EARG, "WEFT_MOCK_MEMORY is \"much\""},
             {"WEFT_MOCK_MEMORY", "10Q", WEFT_EARG, "as in 500M"},
             {"WEFT_MOCK_MEMORY", "-5M", WEFT_EARG, "WEFT_MOCK_MEMORY"},
             {"WEFT_MOCK_MEMORY", "100", WEFT_EARG, "64K"},
             {"WEFT_MOCK_MEMORY", "99999999999G", WEFT_EARG, "1024G"},
             {"WEFT_MOCK_SEED", "x", WEFT_EARG, "WEFT_MOCK_SEED"},
             {"WEFT_MOCK_DEVICES", "0", WEFT_EARG, "WEFT_MOCK_DEVICES"},
             {"WEFT_MOCK_DEVICES", "2", WEFT_ECONFIG, "no device mock 2"}};

START_TEST(wrong_settings_are_refused)
{
    setenv(wrong[_i].variable, wrong[_i].value, 1);
    ck_assert_int_eq(weft__device_open(&d, "mock", 2, 1), wrong[_i].code);
    ck_assert_msg(strstr(weft__why(), wrong[_i].says) != NULL, "%s", weft__why());
    unsetenv(wrong[_i].variable);
}
END_TEST

START_TEST(ranks_take_devices_by_number)
{
    static const struct {
        const char *text;
        weft_status code;
        int n, third; /* the device of local rank 2 of 3, if they may share */
    } row[] = {{NULL, WEFT_OK, 4, 2},      {"auto", WEFT_OK, 4, 2},  {"-1", WEFT_OK, 4, 2},
               {"3", WEFT_OK, 3, 2},       {"2", WEFT_OK, 2, 0},     {"3,1", WEFT_OK, 2, 3},
               {"[0,3,1]", WEFT_OK, 3, 1}, {"5", WEFT_EARG, 0, 0},   {"1,4", WEFT_EARG, 0, 0},
               {"1,1", WEFT_EARG, 0, 0},   {"some", WEFT_EARG, 0, 0}};
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        weft__devices list;
        int at = -1;
        ck_assert_int_eq(weft__devices_of_node("mock", row[i].text, 4, &list), row[i].code);
        if (row[i].code)
            continue;
        ck_assert_int_eq(list.n, row[i].n);
        ck_assert_int_eq(weft__devices_index("mock", &list, 2, 3, true, &at), WEFT_OK);
        ck_assert_int_eq(at, row[i].third);
        ck_assert_int_eq(weft__devices_index("mock", &list, 2, 3, false, &at),
                         row[i].n < 3 ? WEFT_ECONFIG : WEFT_OK);
        if (row[i].n < 3)
            ck_assert_ptr_nonnull(strstr(weft__why(), "share_devices=true"));
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("mock");
    TCase *c = tcase_create("mock");
    tcase_set_timeout(c, 60);
    tcase_add_test(c, the_host_may_not_touch_it);
    tcase_add_test(c, a_missing_event_shows);
    tcase_add_test(c, use_after_free_shows);
    tcase_add_test(c, freeing_waits_for_what_was_queued);
    tcase_add_test(c, a_missing_wait_before_a_reduction_shows);
    tcase_add_test(c, fresh_memory_is_nan);
    tcase_add_test(c, discarded_memory_is_nan);
    tcase_add_test(c, the_last_step_is_nan);
    tcase_add_test(c, uploads_and_arguments_are_copied);
    tcase_add_test(c, what_goes_wrong_late_is_told_once);
    tcase_add_test(c, memory_has_an_end);
    tcase_add_test(c, a_run_goes_on_after_it);
    tcase_add_loop_test(c, wrong_settings_are_refused, 0, sizeof wrong / sizeof wrong[0]);
    tcase_add_test(c, ranks_take_devices_by_number);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    SRunner *r = srunner_create(suite());
    srunner_set_fork_status(r, CK_NOFORK);
    weft_log_level(WEFT_LOG_SILENT);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
