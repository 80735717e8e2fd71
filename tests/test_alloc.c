/* A training loop allocates nothing once it is warm, whoever asks: the allocator itself is counted,
 * on all threads. And whichever allocation fails, the loop ends cleanly. */
#include "core/alloc.h"

#include <blis.h>
#include <check.h>
#include <errno.h>
#include <hdf5.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weft.h>

/* The program's definitions come before libc's for every library in the process. With a sanitizer
 * they would come before its own, so that build counts nothing and runs the torture alone. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define COUNTS 0
#else
#define COUNTS 1
#endif

static atomic_bool counting;
static atomic_long counted, teams; /* allocations; those of others */

/* Where the code of others lies that asks for memory in a step, counted apart and bounded. The OpenMP
 * runtime, if BLIS was built with it: BLIS then opens a region of one thread for every product, for
 * which the runtime allocates a team and frees it (a larger team it keeps). oneDNN, which lists the
 * arguments of each product anew, with C++'s operator new. On a GPU, cuBLASLt and the driver. With a serial
 * BLIS, and in f32, every allocation on the cpu counts. */
static const char *const other[] = {"libgomp", "libdnnl", "libstdc++", "libcublasLt", "libcuda.so"};
#define OTHERS ((int)(sizeof other / sizeof *other))
static uintptr_t from[OTHERS], to[OTHERS];

static int find_others(struct dl_phdr_info *info, size_t size, void *user)
{
    (void)size, (void)user;
    for (int k = 0; k < OTHERS; k++)
        for (int i = 0; i < info->dlpi_phnum && strstr(info->dlpi_name, other[k]); i++)
            if (info->dlpi_phdr[i].p_type == PT_LOAD && (info->dlpi_phdr[i].p_flags & PF_X)) {
                from[k] = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
                to[k] = from[k] + info->dlpi_phdr[i].p_memsz;
            }
    return 0;
}

#if COUNTS
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);

static void note(uintptr_t caller)
{
    if (!atomic_load_explicit(&counting, memory_order_relaxed))
        return;
    bool team = false;
    for (int k = 0; k < OTHERS; k++)
        team |= caller >= from[k] && caller < to[k];
    atomic_fetch_add(team ? &teams : &counted, 1);
}
#define count() note((uintptr_t)__builtin_return_address(0))

void *malloc(size_t n)
{
    count();
    return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    count();
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    count();
    return __libc_realloc(p, n);
}

void *aligned_alloc(size_t align, size_t n)
{
    count();
    return __libc_memalign(align, n);
}

void *memalign(size_t align, size_t n)
{
    count();
    return __libc_memalign(align, n);
}

int posix_memalign(void **out, size_t align, size_t n)
{
    count();
    *out = __libc_memalign(align, n);
    return *out ? 0 : ENOMEM;
}
#endif

#define NEVER 1000000000L

static void begin(void)
{
    counted = teams = 0;
    weft__fail_alloc(NEVER);
    counting = true;
}

static long end(void)
{
    counting = false;
    return counted;
}

/* The same of a loop of steps. On a GPU what Weft's own calls asked for: CUDA's run time, which is linked
 * in, asks for memory, too. */
static long end_of_steps(void)
{
    const char *on = getenv("WEFT_ACCELERATOR");
    const long all = end(), asked = NEVER - weft__fail_alloc(0);
    return on && strcmp(on, "cuda") == 0 ? asked : all;
}

/* --- the counter --- */

static void *one_each(void *volatile *keep)
{
    void *p = NULL;
    free(*keep = malloc(10));
    free(*keep = calloc(10, 10));
    *keep = malloc(10);
    free(*keep = realloc(*keep, 1000));
    free(*keep = aligned_alloc(64, 64));
    if (!posix_memalign(&p, 64, 64))
        free(*keep = p);
    return NULL;
}

static void *on_a_thread(void *keep)
{
    return one_each(keep);
}

START_TEST(the_counter_counts_every_door)
{
    void *volatile keep;
    begin();
    one_each(&keep);
    ck_assert_int_eq(end(), 6);
    one_each(&keep);
    ck_assert_int_eq(counted, 6);
}
END_TEST

START_TEST(the_counter_counts_other_threads)
{
    void *volatile keep;
    pthread_t t;
    begin();
    ck_assert_int_eq(pthread_create(&t, NULL, on_a_thread, (void *)&keep), 0);
    pthread_join(t, NULL);
    ck_assert_int_ge(end(), 6);
}
END_TEST

/* What the library and libc do behind it is seen too: the count comes from below them. */
START_TEST(the_counter_sees_into_libraries)
{
    weft_fabric *f;
    begin();
    ck_assert_int_eq(weft_open(&f, NULL, NULL, WEFT_OPEN(.threads = 1)), 0);
    ck_assert_int_gt(end(), 5);
    begin();
    weft_module *m = weft_nn_linear(f, 3, 4);
    ck_assert_int_gt(end(), 2);
    ck_assert_ptr_nonnull(m);
    ck_assert_int_eq(weft_close(&f), 0);
}
END_TEST

/* --- the loop --- */

#define ROWS 2048
#define BATCH 64
#define PRODUCTS 5 /* matrix products a step: two forward, three backward */

static char folder[] = "/tmp/weft-alloc-XXXXXX";
static char data[64], metrics[64];

static bool write_set(hid_t file, const char *name, hid_t type, int rank, const hsize_t *shape,
                      const void *values)
{
    hid_t space = H5Screate_simple(rank, shape, NULL);
    hid_t set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    bool good = H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0;
    H5Dclose(set);
    H5Sclose(space);
    return good;
}

static bool make_data(void)
{
    uint8_t *x = calloc(ROWS, 784), y[ROWS];
    if (!x || !mkdtemp(folder))
        return false;
    snprintf(data, sizeof data, "%s/train.h5", folder);
    snprintf(metrics, sizeof metrics, "%s/metrics.csv", folder);
    for (int i = 0; i < ROWS; i++) {
        y[i] = (uint8_t)(i % 10);
        for (int k = 0; k < 784; k++)
            x[i * 784 + k] = (uint8_t)((k * 31 + i % 10 * 57) % 256);
    }
    hid_t file = H5Fcreate(data, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    bool good = write_set(file, "x", H5T_NATIVE_UINT8, 2, (const hsize_t[]){ROWS, 784}, x) &&
                write_set(file, "y", H5T_NATIVE_UINT8, 1, (const hsize_t[]){ROWS}, y);
    H5Fclose(file);
    free(x);
    return good;
}

static void remove_data(void)
{
    char command[64];
    snprintf(command, sizeof command, "rm -rf '%s'", folder); /* old metrics are kept aside there */
    if (system(command))
        fprintf(stderr, "%s failed\n", command);
}

typedef struct loop {
    weft_fabric *f;
    weft_module *model;
    weft_optimizer *adam;
    weft_loader *train;
    double loss;
    enum { PLAIN, GROUPS, SEARCH } kind;
    weft_batch b;
} loop;

static weft_optimizer *optimizer(const loop *l)
{
    if (l->kind == SEARCH)
        return weft_lbfgs(l->model, WEFT_LBFGS(.lr = 0.1, .max_iter = 3, .history_size = 3,
                                               .line_search = "strong_wolfe"));
    if (l->kind == PLAIN)
        return weft_adam(l->model, WEFT_ADAM(.lr = 1e-3));
    weft_optimizer *o = weft_adamw(l->model, WEFT_ADAMW(.lr = 1e-3, .amsgrad = true));
    weft_group(o, "*.bias", WEFT_GROUP(.weight_decay = WEFT_OFF));
    weft_group(o, "2.*", WEFT_GROUP(.lr = 1e-2));
    return o;
}

static void set_up(loop *l, int64_t width, int64_t batch)
{
    weft_fabric *f = l->f;
    weft_module *more = l->kind != GROUPS
                            ? weft_nn_identity(f)
                            : weft_nn_residual(f, weft_nn_sequential(f, weft_nn_layernorm(f, 10),
                                                                     weft_nn_dropout(f, 0.1)));
    l->model = weft_nn_sequential(f, weft_nn_linear(f, 784, width), weft_nn_relu(f),
                                  weft_nn_linear(f, width, 10), more);
    l->adam = optimizer(l);
    l->train = weft_loader_hdf5(
        f, data,
        WEFT_LOADER(.global_batch = batch, .epochs = 100, .shuffle = true, .scale = 1 / 255.0));
    weft_set_schedule(l->adam, WEFT_SCHEDULE(.total = 1000));
    weft_logger_csv(f, metrics);
    weft_setup(f, l->model, l->adam);
    weft_setup_loader(f, l->train);
}

static weft_tensor *evaluate(void *user)
{
    loop *l = user;
    weft_tensor *loss =
        weft_cross_entropy_with(weft_forward(l->model, l->b.x), l->b.y,
                                WEFT_CROSS_ENTROPY(.ignore_index = l->kind == GROUPS ? 9 : 0));
    weft_zero_grad(l->adam);
    weft_backward(l->f, loss);
    weft_log(l->f, "loss", loss);
    return loss;
}

/* The loop of the front page. @return the steps it made. */
static int64_t run(loop *l, int64_t steps)
{
    int64_t done = 0;
    while (done < steps && weft_next(l->train, &l->b)) {
        weft_tensor *loss = NULL;
        weft_log_value(l->f, "lr", weft_lr(l->adam));
        if (l->kind == SEARCH) {
            weft_step_closure(l->adam, evaluate, l);
        } else {
            loss = evaluate(l);
            weft_step(l->adam);
        }
        done++;
        if (l->kind == SEARCH && done == steps && !weft_error(l->f))
            loss = evaluate(l);
        if (done == steps && !weft_error(l->f))
            l->loss = weft_item(loss);
    }
    return done;
}

static long lines(const char *path)
{
    FILE *in = fopen(path, "r");
    long n = 0;
    for (int c; in && (c = fgetc(in)) != EOF;)
        n += c == '\n';
    if (in)
        fclose(in);
    return n;
}

/* Allocations of ten times weft_infer. */
static long asked(const loop *l)
{
    static const float x[4 * 784];
    float y[4 * 10];
    int good = 0;
    for (int i = 0; i < 11; i++) {
        if (i == 1)
            begin();
        good += !weft_infer(l->model, x, 2, (int64_t[]){4, 784}, WEFT_F32, y, 40, WEFT_F32);
    }
    const long n = end(); /* an assertion allocates */
    ck_assert_int_eq(good, 11);
    return n;
}

static void steady_in(const char *precision, int threads, int kind)
{
    const bool low = strstr(precision, "16") != NULL;
    loop l = {.kind = kind};
    unlink(metrics);
    ck_assert_int_eq(
        weft_open(&l.f, NULL, NULL, WEFT_OPEN(.threads = threads, .precision = precision)), 0);
    dl_iterate_phdr(find_others, NULL);
    set_up(&l, 256, BATCH);
    const int64_t begun = kind == SEARCH ? 1 : 50; /* by then a search's is rounding noise */
    ck_assert_int_eq(run(&l, begun), begun);
    double first = l.loss;
    ck_assert_int_eq(run(&l, 50),
                     50); /* graphs of a step whose loss is read, and of the one behind it */
    long before = lines(metrics);
    begin();
    int64_t done = run(&l, 200);
    long n = end_of_steps();
    ck_assert_msg(done == 200, "%lld steps: %s", (long long)done, weft_message(l.f));
    ck_assert_msg(lines(metrics) >= before + 180, "%ld rows came", lines(metrics) - before);
    ck_assert_msg(n == 0, "%ld allocations in 200 steps", n);
    ck_assert_msg(teams <= (low ? 8 : 1) * (long)PRODUCTS * threads * 200 || kind == SEARCH,
                  "%ld by others", (long)teams);
    ck_assert_double_lt(l.loss, first);
    ck_assert_int_eq(asked(&l), 0);
    ck_assert_int_eq(weft_close(&l.f), 0);
}

static void steady(int threads, int kind)
{
    steady_in("32-true", threads, kind);
}

/* 200 steps of 784-256-10 with the loader's worker, a csv logger and 20 flushes of the metrics. */
START_TEST(a_steady_step_allocates_nothing)
{
    steady(1, PLAIN);
}
END_TEST

/* Products through oneDNN where it is there, casts, the compute copy, the loss scale. */
START_TEST(nor_does_one_in_16_bits)
{
    steady_in(_i % 2 ? "16-mixed" : "bf16-mixed", 1 + _i / 2, PLAIN);
}
END_TEST

START_TEST(nor_does_one_with_groups)
{
    steady(1, GROUPS);
}
END_TEST

/* How many evaluations a step has differs: what the longest one needed is there before. */
START_TEST(nor_does_one_that_searches)
{
    steady(1, SEARCH);
}
END_TEST

START_TEST(nor_does_it_on_two_threads)
{
    steady(2, PLAIN);
}
END_TEST

/* With windows, clipping, collectives and metrics in the loop. */
START_TEST(nor_do_the_calls)
{
    loop l = {0};
    unlink(metrics);
    ck_assert_int_eq(weft_open(&l.f, NULL, NULL, WEFT_OPEN(.threads = 1)), 0);
    set_up(&l, 32, BATCH);
    weft_metric *accuracy = weft_metric_accuracy(l.f, NULL), *mean = weft_metric_mean(l.f);
    ck_assert_int_eq(weft_accumulate(l.f, 2), 0);
    bool good = true; /* an assertion of Check's allocates */
    weft_batch b;
    for (int i = 0; i < 150 && weft_next(l.train, &b); i++) {
        if (i == 50)
            begin();
        weft_tensor *z = weft_forward(l.model, b.x), *loss = weft_cross_entropy(z, b.y);
        weft_zero_grad(l.adam);
        weft_backward(l.f, loss);
        weft_log(l.f, "norm", weft_clip_gradients(l.adam, WEFT_CLIP(.max_norm = 1)));
        weft_step(l.adam);
        weft_log(l.f, "loss", weft_all_reduce(l.f, loss, "mean"));
        weft_all_gather_rows(l.f, weft_all_gather(l.f, b.y));
        weft_metric_update(accuracy, z, b.y);
        weft_metric_update(mean, loss, NULL);
        good &= weft_metric_value(l.f, accuracy) >= 0 && weft_metric_value(l.f, mean) > 0;
    }
    long n = end_of_steps();
    ck_assert_msg(n == 0, "%ld allocations in 100 batches", n);
    ck_assert_msg(good && weft_step_count(l.f) == 75 && !weft_error(l.f), "%s", weft_message(l.f));
    ck_assert_int_eq(weft_close(&l.f), 0);
}
END_TEST

/* --- torture --- */

/* Sets up and takes three steps while the k-th allocation fails. @return whether it was reached. */
static bool tortured(long k, int kind)
{
    loop l = {.kind = kind};
    unlink(metrics);
    weft__fail_alloc(k);
    weft_status opened = weft_open(&l.f, NULL, NULL, WEFT_OPEN(.threads = 1, .log_every = 2));
    if (!opened) {
        set_up(&l, 8, 16);
        run(&l, 3);
    }
    bool reached = weft__fail_alloc(0) <= 0;
    weft_status stuck = weft_error(l.f);
    bool done = weft_step_count(l.f) == 3;
    ck_assert_msg(opened == stuck || (!opened && stuck), "%ld: opened %d, stuck %d", k, opened,
                  stuck);
    ck_assert_msg(stuck == 0 || stuck == WEFT_ENOMEM, "%ld: %s: %s", k, weft_status_name(stuck),
                  weft_message(l.f));
    ck_assert_msg(stuck || done, "%ld: nothing stuck, %lld steps", k,
                  (long long)weft_step_count(l.f));
    int status = weft_close(&l.f);
    ck_assert_ptr_null(l.f);
    ck_assert_msg(stuck ? status >= 1 && status <= 125 : status == 0, "%ld: weft_close gave %d", k,
                  status);
    return reached;
}

START_TEST(whichever_allocation_fails_the_loop_ends_cleanly)
{
    long k = 1, most = 2000;
    while (k < most && tortured(k, _i))
        k++;
    ck_assert_msg(k > 40 && k < most, "%ld allocations", k);
}
END_TEST

/* After the error is cleared, the same objects train on: nothing was left half made. */
START_TEST(a_step_that_ran_out_of_memory_can_be_repeated)
{
    for (long k = 1; k < 60; k++) {
        loop l = {.kind = _i};
        ck_assert_int_eq(weft_open(&l.f, NULL, NULL, WEFT_OPEN(.threads = 1)), 0);
        set_up(&l, 8, 16);
        weft__fail_alloc(k);
        run(&l, 3);
        bool reached = weft__fail_alloc(0) <= 0;
        ck_assert_int_eq(weft_clear(l.f), 0);
        ck_assert_msg(run(&l, 3) == 3 && !weft_error(l.f), "%ld: %s", k, weft_message(l.f));
        ck_assert_int_eq(weft_close(&l.f), 0);
        if (!reached)
            break;
    }
}
END_TEST

/* Parameters whose memory could not be had come into being at the next try. */
START_TEST(modules_get_their_memory_at_a_second_try)
{
    for (long k = 1; k < 60; k++) {
        weft_fabric *f;
        ck_assert_int_eq(weft_open(&f, NULL, NULL, WEFT_OPEN(.threads = 1)), 0);
        weft_module *m = weft_nn_sequential(f, weft_nn_linear(f, 3, 4), weft_nn_linear(f, 4, 2));
        weft_tensor *x = weft_retain(weft_full(f, 1, 2, (int64_t[]){5, 3}, WEFT_DEFAULT));
        weft__fail_alloc(k);
        weft_tensor *y = weft_forward(m, x);
        bool reached = weft__fail_alloc(0) <= 0;
        ck_assert(y || weft_error(f) == WEFT_ENOMEM);
        weft_clear(f);
        y = weft_forward(m, x);
        ck_assert_msg(y && weft_dim(y, 1) == 2, "%ld: %s", k, weft_message(f));
        ck_assert_int_eq(weft_close(&f), 0);
        if (!reached)
            break;
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("alloc");
    TCase *c = tcase_create("count"), *t = tcase_create("torture");
    weft_log_level(WEFT_LOG_SILENT);
    if (bli_info_get_enable_openmp())
        dl_iterate_phdr(find_others, NULL);
    if (!make_data()) {
        fprintf(stderr, "no data under %s\n", folder);
        return 1;
    }
    tcase_set_timeout(c, 60);
    tcase_set_timeout(t, 110);
    suite_add_tcase(s, c);
    suite_add_tcase(s, t);
    if (COUNTS) {
        tcase_add_test(c, the_counter_counts_every_door);
        tcase_add_test(c, the_counter_counts_other_threads);
        tcase_add_test(c, the_counter_sees_into_libraries);
        tcase_add_test(c, a_steady_step_allocates_nothing);
        tcase_add_test(c, nor_does_one_with_groups);
        tcase_add_test(c, nor_does_one_that_searches);
        tcase_add_test(c, nor_does_it_on_two_threads);
        tcase_add_loop_test(c, nor_does_one_in_16_bits, 0, 4);
        tcase_add_test(c, nor_do_the_calls);
    }
    tcase_add_loop_test(t, whichever_allocation_fails_the_loop_ends_cleanly, 0, 3);
    tcase_add_loop_test(t, a_step_that_ran_out_of_memory_can_be_repeated, 0, 3);
    tcase_add_test(t, modules_get_their_memory_at_a_second_try);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    remove_data();
    return failed != 0;
}
