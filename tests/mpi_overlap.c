/* Gradients summed beside backward: by the ring, whoever brings it forward, the same bits; as MPI's own
 * sums, but for rounding; and what happens when a rank fails in the middle. */
#include "mpi_train.h"

#include "comm/comm.h"
#include "comm/mpi.h"
#include "core/alloc.h"
#include "core/context.h"
#include "flat/flat.h"
#include "nn/module.h"

#include <dirent.h>
#include <unistd.h>
#include <weft/sys/op.h>

#ifndef LEVEL
#define LEVEL MPI_THREAD_MULTIPLE
#endif

enum { ITSELF = WEFT__BESIDE_THREAD + 1, OPTION }; /* MPI's own sums; overlap_comm=on */
#define STEPS 8
#define WIDE 48

/* Threads of this process. */
static int threads(void)
{
    int n = -2;
    DIR *d = opendir("/proc/self/task");
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

/* --- an op in the middle of the net, whose gradient fails or is late --- */

static struct {
    int rank;
    enum { NOTHING, FAILS, IS_LATE } what;
} trouble;

static weft_status same_shape(weft_op_call *c)
{
    c->out = c->in[0];
    return WEFT_OK;
}

static weft_status copy_on(weft_op_call *c)
{
    return c->device->ops->move(c->stream, c->out.data, c->in[0].data,
                                (size_t)c->out.numel * weft_dtype_size(c->out.dtype));
}

static weft_status copy_back(weft_op_call *c)
{
    if (trouble.what == IS_LATE && trouble.rank == all_rank())
        usleep(60000);
    if (trouble.what == FAILS && trouble.rank == all_rank())
        return weft_op_fail(c, WEFT_EUSER, "in the middle");
    return c->device->ops->move(c->stream, c->gin[0].data, c->gout.data,
                                (size_t)c->gout.numel * weft_dtype_size(c->gout.dtype));
}

static const weft_op middle = {.size = sizeof middle,
                               .name = "middle",
                               .contiguous = 1,
                               .shape = same_shape,
                               .forward = copy_on,
                               .backward = copy_back,
                               .rows = WEFT_ROWS_KEEP};

/* --- a net on a fabric --- */

typedef struct net {
    weft_fabric *f;
    weft_module *low, *high;
    weft_optimizer *a, *b;
    int64_t taken;
} net;

static const char *strategy = "ddp";

static int make(net *n, int how, int64_t bucket_bytes)
{
    *n = (net){0};
    if (weft_open_mpi(&n->f, MPI_COMM_WORLD,
                      WEFT_OPEN(.strategy = strategy, .seed = 3,
                                .overlap_comm = how == OPTION ? "on" : "off",
                                .process_group_backend = how == OPTION ? NULL : "mpi")))
        return 0;
    weft_fabric *f = n->f;
    f->bucket_bytes = bucket_bytes;
    if (how < ITSELF && weft__mpi_overlap(f->comm, 0, (weft__beside)how))
        return 0;
    n->low = weft_nn_sequential(f, weft_nn_linear(f, FEATURES, WIDE), weft_nn_relu(f));
    n->high = weft_nn_sequential(f, weft_nn_linear(f, WIDE, WIDE), weft_nn_relu(f),
                                 weft_nn_linear(f, WIDE, CLASSES));
    n->a = weft_adam(n->low, WEFT_ADAM(.lr = 1e-2));
    n->b = weft_adam(n->high, WEFT_ADAM(.lr = 1e-2));
    return !weft_setup(f, n->high, n->b) && !weft_setup(f, n->low, n->a);
}

static int step(net *n)
{
    weft_fabric *f = n->f;
    int64_t mine = 4, first = n->taken * mine * all_world() % (ROWS - mine * all_world());
    int64_t at = first + mine * all_rank();
    float x[4 * FEATURES];
    n->taken++;
    for (int i = 0; i < 4 * FEATURES; i++)
        x[i] = (float)data_x[at * FEATURES + i];
    weft_tensor *rows = weft_tensor_of(f, x, 2, (const int64_t[]){mine, FEATURES}, WEFT_F32);
    weft_tensor *y = weft_tensor_of(f, data_y + at, 1, &mine, WEFT_I32);
    weft_batch b = weft_batch_of(f, rows, y, at, mine * all_world());
    weft_tensor *h = weft_forward(n->low, b.x);
    h = weft_apply(f, &middle, 1, &h, NULL);
    weft_zero_grad(n->a);
    weft_zero_grad(n->b);
    weft_backward(f, weft_cross_entropy(weft_forward(n->high, h), b.y));
    weft_step(n->a);
    weft_step(n->b);
    return !weft_step_end(f);
}

static size_t numbers(const net *n, double *out)
{
    size_t k = numbers_of(n->low, out);
    return k + numbers_of(n->high, out + k);
}

static int level; /* that MPI gives */
static double result[ITSELF + 2][8000];

static size_t train(int how, int64_t bucket_bytes)
{
    net n;
    int good = make(&n, how, bucket_bytes);
    for (int i = 0; i < STEPS && good; i++)
        good = step(&n);
    size_t k = good ? numbers(&n, result[how]) : 0;
    return weft_close(&n.f) == 0 ? k : 0;
}

/* Buckets of one segment each, of a few, and one for all. */
static const int64_t bucket[] = {64, 1000, 1 << 20};
static const char *const strategies[] = {"ddp", "deepspeed_stage_1", "deepspeed_stage_2"};

START_TEST(same_bits)
{
    strategy = strategies[_i / 3];
    _i %= 3;
    size_t n = train(ITSELF, bucket[_i]), bytes = n * sizeof(double);
    ck_all(n > 0);
    for (int how = 0; how < ITSELF; how++) {
        ck_all(train(how, bucket[_i]) == n && same_bytes(result[how], bytes));
        ck_all(memcmp(result[how], result[0], bytes) == 0);
    }
    ck_all(train(OPTION, bucket[_i]) == n);
    ck_all(memcmp(result[OPTION], result[0], bytes) == 0);
    ck_all(furthest(result[0], result[ITSELF], n) < 1e-4);
    strategy = "ddp";
}
END_TEST

/* There is a thread if there is something to do for it, and MPI lets it; and no more after the end. */
START_TEST(a_thread_at_most)
{
    int before = threads(), due = all_world() > 1 && level == MPI_THREAD_MULTIPLE, with[2];
    for (int on = 0; on < 2; on++) {
        weft_fabric *f;
        ck_all(!weft_open_mpi(&f, MPI_COMM_WORLD,
                              WEFT_OPEN(.heartbeat = WEFT_OFF, .overlap_comm = on ? "on" : "off")));
        with[on] = threads();
        ck_all(weft_close(&f) == 0);
    }
    ck_all(with[0] == before && with[1] == before + due && threads() == before);
}
END_TEST

START_TEST(late_in_the_middle)
{
    for (int how = 0; how < ITSELF; how++) {
        trouble.what = NOTHING;
        size_t n = train(how, 64);
        memcpy(result[ITSELF], result[how], n * sizeof(double));
        trouble.what = IS_LATE;
        trouble.rank = all_world() - 1;
        ck_all(n > 0 && train(how, 64) == n);
        trouble.what = NOTHING;
        ck_all(memcmp(result[how], result[ITSELF], n * sizeof(double)) == 0);
    }
}
END_TEST

/* Some sums are under way when a rank fails: all know, no parameter has changed, and after weft_clear
 * they train on alike. */
START_TEST(fails_in_the_middle)
{
    static double before[8000], after[8000];
    for (int how = 0; how < ITSELF; how++)
        for (int bad = 0; bad < all_world(); bad++) {
            net n;
            strategy = strategies[bad % 3];
            ck_all(make(&n, how, 64) && step(&n) && step(&n));
            strategy = "ddp";
            size_t k = numbers(&n, before);
            trouble.what = FAILS;
            trouble.rank = bad;
            ck_all(!step(&n) && weft_error(n.f) == WEFT_EUSER);
            ck_all(strstr(weft_message(n.f), "middle: in the middle") != NULL);
            trouble.what = NOTHING;
            ck_all(!n.f->comm->flying && !weft_clear(n.f));
            ck_all(numbers(&n, after) == k && memcmp(before, after, k * sizeof *after) == 0);
            ck_all(step(&n) && step(&n));
            ck_all(numbers(&n, after) == k && memcmp(before, after, k * sizeof *after) != 0);
            ck_all(same_bytes(after, k * sizeof *after));
            ck_all(weft_close(&n.f) == 0);
        }
}
END_TEST

/* Two fabrics take turns, each as if it were alone. */
START_TEST(two_fabrics)
{
    static double both[2][8000];
    size_t k = train(WEFT__BESIDE_THREAD, 64);
    net n[2];
    ck_all(make(&n[0], WEFT__BESIDE_THREAD, 64) && make(&n[1], OPTION, 64));
    for (int i = 0; i < STEPS; i++)
        ck_all(step(&n[0]) && step(&n[1]));
    for (int i = 0; i < 2; i++)
        ck_all(numbers(&n[i], both[i]) == k);
    ck_all(weft_close(&n[0].f) == 0 && weft_close(&n[1].f) == 0);
    for (int i = 0; i < 2; i++)
        ck_all(memcmp(both[i], result[WEFT__BESIDE_THREAD], k * sizeof(double)) == 0);
}
END_TEST

/* What is waited for is communication; and a step asks for no memory of ours. */
START_TEST(steady)
{
    net n;
    trouble.what = IS_LATE;
    trouble.rank = 0;
    ck_all(make(&n, OPTION, 1000));
    for (int i = 0; i < 3; i++)
        ck_all(step(&n));
    weft_timing_take(n.f);
    weft__fail_alloc(1000000);
    int good = 1;
    for (int i = 0; i < 3; i++)
        good &= step(&n);
    long asked = 1000000 - weft__fail_alloc(0);
    weft_timing t = weft_timing_take(n.f);
    trouble.what = NOTHING;
    ck_all(good);
    ck_all(asked == 0);
    ck_all(all_rank() == 0 || t.communication > 0.05); /* of 0.06 seconds a step */
    ck_all(weft_close(&n.f) == 0);
}
END_TEST

/* The option is one for all ranks. */
START_TEST(unlike_options)
{
    weft_fabric *f;
    int odd = all_rank() == all_world() - 1;
    weft_status s =
        weft_open_mpi(&f, MPI_COMM_WORLD, WEFT_OPEN(.overlap_comm = odd ? "on" : "off"));
    ck_all(s == (all_world() > 1 ? WEFT_ECONFIG : WEFT_OK));
    ck_all(all_world() == 1 || strstr(weft_message(f), "overlap_comm differs between ranks"));
    ck_all((weft_close(&f) == 0) == (all_world() == 1));
    s = weft_open_mpi(&f, MPI_COMM_WORLD, WEFT_OPEN(.overlap_comm = odd ? "maybe" : "off"));
    ck_all(s == WEFT_EARG && strstr(weft_message(f), "overlap_comm"));
    ck_all(weft_close(&f) != 0);
    s = weft_open_mpi(&f, MPI_COMM_WORLD,
                      WEFT_OPEN(.overlap_comm = "on", .process_group_backend = "shm"));
    ck_all(all_world() == 1 || (s == WEFT_ECONFIG && strstr(weft_message(f), "mpi")));
    ck_all((weft_close(&f) == 0) == (all_world() == 1));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("overlap");
    TCase *t = tcase_create("ranks");
    make_data();
    tcase_add_loop_test(t, same_bits, 0, 9);
    tcase_add_test(t, a_thread_at_most);
    tcase_add_test(t, late_in_the_middle);
    tcase_add_test(t, fails_in_the_middle);
    tcase_add_test(t, two_fabrics);
    tcase_add_test(t, steady);
    tcase_add_test(t, unlike_options);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv)
{
    int failed;
    all_yield();
    weft_log_level(WEFT_LOG_SILENT);
    MPI_Init_thread(&argc, &argv, LEVEL, &level);
    if (level < LEVEL) {
        MPI_Finalize();
        return 77;
    }
    failed = all_run(suite());
    MPI_Finalize();
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
