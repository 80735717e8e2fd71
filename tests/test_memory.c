/* What memory is held for what: the device's account, and what a full device says. */
#include "device/device.h"
#include "optim_fixture.h"
#include "tensor/tensor.h"

#include <string.h>

/* --- a device of the cpu's kernels that has `room` bytes --- */

static size_t room;
static weft_device_ops small;

static weft_status alloc(weft_device *d, size_t bytes, weft_dev *out)
{
    if (bytes > room)
        return weft__fail(WEFT_ENOMEM, "%zu bytes are left", room);
    WEFT_TRY(weft__cpu.alloc(d, bytes, out));
    room -= bytes;
    return WEFT_OK;
}

static void release(weft_device *d, weft_dev p, size_t bytes)
{
    room += bytes;
    weft__cpu.free(d, p, bytes);
}

static void make_small(size_t bytes)
{
    room = bytes;
    small = weft__cpu;
    small.name = "small";
    small.alloc = alloc;
    small.free = release;
}

static weft_device *open_small(size_t bytes)
{
    weft_device *d = NULL;
    make_small(bytes);
    ck_assert_int_eq(weft__device_open_ops(&d, &small, 3, 1), WEFT_OK);
    return d;
}

static void holds(const weft_device *d, int kind, int64_t now, int64_t peak)
{
    const weft_memory_use use = weft__device_use(d, kind);
    ck_assert_msg(use.now == now && use.peak == peak, "%s: %lld, at most %lld",
                  weft_memory_name((weft_memory_kind)kind), (long long)use.now,
                  (long long)use.peak);
}

START_TEST(the_peak_is_that_of_the_sum)
{
    weft_device *d = open_small(1000);
    weft_dev p, q;
    ck_assert_int_eq(weft_device_alloc(d, 600, WEFT_MEMORY_GRADS, &p), 0);
    weft_device_free(d, p, 600, WEFT_MEMORY_GRADS);
    ck_assert_int_eq(weft_device_alloc(d, 500, WEFT_MEMORY_DATA, &p), 0);
    ck_assert_int_eq(weft_device_alloc(d, 0, WEFT_MEMORY_DATA, &q), 0);
    weft__device_count(d, 50, WEFT_MEMORY_GRADS);
    holds(d, WEFT_MEMORY_GRADS, 50, 600);
    holds(d, WEFT_MEMORY_DATA, 500, 500);
    holds(d, WEFT_MEMORY_ARENA, 0, 0);
    holds(d, -1, 550, 600);
    weft__device_forget_peak(d);
    holds(d, WEFT_MEMORY_GRADS, 50, 50);
    holds(d, -1, 550, 550);
    weft_device_free(d, p, 500, WEFT_MEMORY_DATA);
    weft_device_free(d, q, 0, WEFT_MEMORY_DATA);
    holds(d, -1, 50, 550);
    weft__device_close(d);
}
END_TEST

START_TEST(a_full_device_says_what_it_holds)
{
    weft_device *d = open_small(5 << 20);
    weft_dev p, q, none = {7};
    ck_assert_int_eq(weft_device_alloc(d, 3 << 20, WEFT_MEMORY_PARAMS, &p), 0);
    ck_assert_int_eq(weft_device_alloc(d, 1536, WEFT_MEMORY_OTHER, &q), 0);
    d->who = "adamw";
    ck_assert_int_eq(weft_device_alloc(d, 6 << 20, WEFT_MEMORY_MOMENTS, &none), WEFT_ENOMEM);
    ck_assert_str_eq(weft__why(),
                     "adamw: no memory for 6.0 MiB of moments on device small 3, which "
                     "holds 3.0 MiB (params 3.0 MiB, other 1.5 KiB); take a smaller "
                     "model or batch, or a strategy that shards: 2095616 bytes are "
                     "left");
    ck_assert_uint_eq(none.addr, 7);
    holds(d, WEFT_MEMORY_MOMENTS, 0, 0);
    holds(d, -1, (3 << 20) + 1536, (3 << 20) + 1536);
    weft_device_free(d, p, 3 << 20, WEFT_MEMORY_PARAMS);
    weft_device_free(d, q, 1536, WEFT_MEMORY_OTHER);
    weft__device_close(d);
}
END_TEST

/* --- a fabric's --- */

static int64_t now(weft_memory_kind kind)
{
    return weft__device_use(f->device, (int)kind).now;
}

START_TEST(planes_are_counted_by_kind)
{
    start();
    const int64_t before = now(WEFT_MEMORY_OTHER);
    weft_module *m = weft_nn_linear(f, 100, 10); /* 1010 numbers and padding */
    weft_optimizer *o = weft_adam(m, NULL);
    ck_assert_int_eq(now(WEFT_MEMORY_PARAMS), 0);
    ck_assert_int_eq(weft_setup(f, m, o), 0);
    const int64_t params = now(WEFT_MEMORY_PARAMS);
    ck_assert_int_ge(params, 8 * 1010);
    ck_assert_int_le(params, 8 * (1010 + 2 * 64));
    ck_assert_int_eq(now(WEFT_MEMORY_MOMENTS), 2 * params);
    ck_assert_int_ge(now(WEFT_MEMORY_GRADS), params);
    ck_assert_int_le(now(WEFT_MEMORY_GRADS), params + 256);
    ck_assert_int_eq(now(WEFT_MEMORY_OTHER), before);
    weft_tensor *x = weft_retain(weft_full(f, 0, 1, (int64_t[]){1000}, WEFT_F64));
    ck_assert_int_eq(now(WEFT_MEMORY_DATA), 8000);
    weft_metric *metric = weft_metric_confusion(f, 10);
    ck_assert_int_ge(now(WEFT_MEMORY_OTHER), before + 800);
    ck_assert_ptr_nonnull(metric);
    weft_release(x);
    weft_step_end(f);
    ck_assert_int_eq(now(WEFT_MEMORY_DATA), 0);
    stop();
}
END_TEST

static char said[400];

static void hear(void *user, weft_level level, const char *text)
{
    (void)user;
    if (level == WEFT_LOG_DEBUG && strstr(text, "memory"))
        snprintf(said, sizeof said, "%s", text);
}

START_TEST(a_program_can_ask)
{
    float x[64 * 4] = {0};
    weft_memory_report r = weft_memory(NULL);
    ck_assert(r.device.peak == 0 && r.kind[WEFT_MEMORY_ARENA].now == 0);
    weft_memory_reset_peak(NULL);
    start_in("32-true");
    weft_loader *l = weft_loader_arrays(f, 64, x, 1, (int64_t[]){4}, WEFT_F32, NULL, 0,
                                        WEFT_LOADER(.batch_size = 16));
    weft_module *m = weft_nn_linear(f, 4, 2);
    weft_optimizer *o = weft_sgd(m, WEFT_SGD(.lr = 1, .momentum = 0.5));
    ck_assert_int_eq(weft_setup(f, m, o), 0);
    ck_assert_int_eq(weft_setup_loader(f, l), 0);
    r = weft_memory(f);
    ck_assert(r.loaders == 0 && r.checkpoints == 0);
    ck_assert_int_eq(r.kind[WEFT_MEMORY_MOMENTS].now, r.kind[WEFT_MEMORY_PARAMS].now);
    weft_batch b;
    ck_assert(weft_next(l, &b));
    for (int i = 0; i < 40; i++) /* the arena grows by this once, and then stays */
        ck_assert_ptr_nonnull(weft_full(f, 0, 1, (int64_t[]){1 << 16}, WEFT_F32));
    ck_assert(weft_next(l, &b));
    const weft_memory_report large = weft_memory(f);
    ck_assert_int_ge(large.loaders, 16 * 4 * 4);
    ck_assert_int_ge(large.kind[WEFT_MEMORY_ARENA].now, 40 << 18);
    ck_assert_int_gt(large.device.peak, large.device.now - 1);
    weft_memory_reset_peak(f);
    r = weft_memory(f);
    ck_assert(r.device.now == large.device.now && r.device.peak == r.device.now);
    int64_t sum = 0;
    for (int k = 0; k < WEFT_MEMORY_KINDS; k++)
        sum += r.kind[k].now;
    ck_assert_int_eq(sum, r.device.now);
    char dir[] = "/tmp/weft-memory-XXXXXX", command[64];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(weft_save(f, dir), 0);
    ck_assert_int_gt(weft_memory(f).checkpoints, 1000);
    snprintf(command, sizeof command, "rm -r %s", dir);
    ck_assert_int_eq(system(command), 0);
    weft_log_level(WEFT_LOG_DEBUG);
    weft_log_to(hear, NULL);
    stop();
    weft_log_to(NULL, NULL);
    weft_log_level(WEFT_LOG_SILENT);
    ck_assert_msg(strstr(said, "rank 0: memory of device ") && strstr(said, " 0 was at most 1") &&
                      strstr(said, " MiB (params ") && strstr(said, " bytes, arena 1"),
                  "%s", said);
}
END_TEST

/* A device may have little more than a step takes: its first may not ask for twice as much. */
START_TEST(the_first_step_takes_little_more_than_it_needs)
{
    enum { MANY = 50 };
    start();
    for (int i = 0; i < MANY; i++)
        ck_assert_ptr_nonnull(weft_full(f, 0, 1, (int64_t[]){1 << 20}, WEFT_F32));
    const double first = (double)weft_memory(f).kind[WEFT_MEMORY_ARENA].peak;
    ck_assert_msg(first >= MANY << 22 && first < 1.15 * (MANY << 22), "%.0f MiB of arena for %d",
                  first / (1 << 20), MANY * 4);
    stop();
}
END_TEST

START_TEST(a_large_activation_is_refused_by_name)
{
    start();
    const weft_device_ops *ops = f->device->ops;
    make_small(0);
    f->device->ops = &small;
    weft_tensor *x = weft_full(f, 1, 2, (int64_t[]){1000, 1000}, WEFT_F64);
    ck_assert_ptr_null(x);
    ck_assert_ptr_nonnull(
        strstr(weft_message(f), "no memory for 7.6 MiB of arena on device small"));
    weft_clear(f);
    room = (size_t)40 << 20;
    x = weft_full(f, 1, 2, (int64_t[]){1000, 1000}, WEFT_F64);
    ck_assert_ptr_nonnull(x);
    while (x)
        x = weft_matmul(x, x);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "matmul: no memory for "));
    ck_assert_int_eq(weft_error(f), WEFT_ENOMEM);
    weft_clear(f);
    f->device->ops = ops;
    stop();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("memory");
    TCase *d = tcase_create("device"), *t = tcase_create("fabric");
    weft_log_level(WEFT_LOG_SILENT);
    suite_add_tcase(s, d);
    suite_add_tcase(s, t);
    tcase_add_test(d, the_peak_is_that_of_the_sum);
    tcase_add_test(d, a_full_device_says_what_it_holds);
    tcase_add_test(t, planes_are_counted_by_kind);
    tcase_add_test(t, a_program_can_ask);
    tcase_add_test(t, the_first_step_takes_little_more_than_it_needs);
    tcase_add_test(t, a_large_activation_is_refused_by_name);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
