/* Opening: on the program's own communicators and its own MPI, several at once, and again and again;
 * what a fabric then tells of itself; and options from code, text, environment and command line. */
#include "mpi_train.h"

#include <unistd.h>

static int steps(weft_fabric *f, weft_module *m, weft_optimizer *o, int n)
{
    int good = 0;
    for (int i = 0; i < n; i++) {
        int64_t rows = 3 + weft_global_rank(f);
        weft_tensor *x = weft_tensor_of(f, data_x, 2, (const int64_t[]){rows, FEATURES}, WEFT_F64);
        weft_tensor *y = weft_tensor_of(f, data_y, 1, &rows, WEFT_I32);
        weft_batch b = weft_batch_of(f, x, y, 0, 0);
        weft_zero_grad(o);
        good += !weft_backward(f, weft_cross_entropy(weft_forward(m, b.x), b.y)) && !weft_step(o);
        good -= weft_step_end(f) != 0;
    }
    return good;
}

/* A small training; *sum gets a digest of its parameters. */
static int trains(weft_fabric *f, double *sum)
{
    static double numbers[1000];
    weft_module *m = small_net(f);
    weft_optimizer *o = weft_sgd(m, NULL);
    int ok = !weft_setup(f, m, o) && steps(f, m, o, 5) == 5;
    *sum = 0;
    for (size_t n = numbers_of(m, numbers); n > 0; n--)
        *sum += (double)n * numbers[n - 1];
    return ok;
}

START_TEST(subset)
{
    MPI_Comm part;
    int alone = all_rank() == 0, ok = 1;
    double sum = 0, same;
    weft_fabric *f = NULL;
    MPI_Comm_split(MPI_COMM_WORLD, alone ? MPI_UNDEFINED : 1, 0, &part);
    if (!alone) { /* rank 0 does something else meanwhile */
        ok = !weft_open_mpi(&f, part, NULL) && weft_world_size(f) == all_world() - 1 &&
             weft_global_rank(f) == all_rank() - 1 && trains(f, &sum);
        same = sum;
        MPI_Bcast(&same, 1, MPI_DOUBLE, 0, part);
        ok &= same == sum && !weft_close(&f);
        MPI_Comm_free(&part);
    }
    ck_all(ok);
}
END_TEST

/* Reversed ranks and a topology; the program's communicator stays as it is. */
START_TEST(cartesian)
{
    MPI_Comm cart, reversed;
    weft_fabric *f;
    double sum;
    int dims[1] = {all_world()}, wrap[1] = {1}, kind = 0, one = 1, all;
    MPI_Comm_split(MPI_COMM_WORLD, 0, -all_rank(), &reversed);
    MPI_Cart_create(reversed, 1, dims, wrap, 0, &cart);
    ck_all(!weft_open_mpi(&f, cart, NULL));
    ck_all(weft_global_rank(f) == all_world() - 1 - all_rank() && trains(f, &sum));
    ck_all(same_bytes(&sum, sizeof sum) && !weft_close(&f));
    MPI_Topo_test(cart, &kind);
    MPI_Allreduce(&one, &all, 1, MPI_INT, MPI_SUM, cart);
    ck_all(kind == MPI_CART && all == all_world());
    MPI_Comm_free(&cart);
    MPI_Comm_free(&reversed);
}
END_TEST

/* The program may free its communicator while the fabric lives. */
START_TEST(fortran)
{
    MPI_Comm copy;
    weft_fabric *f;
    double sum;
    MPI_Comm_dup(MPI_COMM_WORLD, &copy);
    ck_all(!weft_open_mpi_f(&f, MPI_Comm_c2f(copy), WEFT_OPEN(.strategy = "ddp")));
    MPI_Comm_free(&copy);
    ck_all(trains(f, &sum) && same_bytes(&sum, sizeof sum) && !weft_close(&f));
    ck_all(weft_open_mpi_f(&f, MPI_Comm_c2f(MPI_COMM_NULL), NULL) == WEFT_EARG);
    ck_all(strstr(weft_message(f), "MPI_COMM_NULL") && weft_close(&f) == -WEFT_EARG);
}
END_TEST

/* Figures of the whole job do not concern a part of it. */
START_TEST(part_of_the_job)
{
    weft_fabric *f;
    weft_status s = weft_open_mpi(&f, MPI_COMM_SELF, WEFT_OPEN(.devices = "1", .num_nodes = 5));
    int single = all_world() == 1; /* then it is the job */
    ck_all(s == (single ? WEFT_ECONFIG : WEFT_OK));
    ck_all(weft_close(&f) == (single ? -WEFT_ECONFIG : 0));
    s = weft_open_mpi(&f, MPI_COMM_WORLD, WEFT_OPEN(.devices = "7"));
    ck_all((s == WEFT_ECONFIG && strstr(weft_message(f), "devices=7")) ||
           (s == WEFT_EARG && strstr(weft_message(f), "devices is \"7\""))); /* there are fewer */
    ck_all(weft_close(&f) == -s);
    s = weft_open_mpi(&f, MPI_COMM_WORLD, WEFT_OPEN(.strategy = "single"));
    ck_all(s == (single ? WEFT_OK : WEFT_ECONFIG));
    ck_all(weft_close(&f) == (single ? 0 : -WEFT_ECONFIG));
}
END_TEST

/* Everything interleaved on two communicators; what sticks to one does not concern the other. */
START_TEST(two_at_once)
{
    MPI_Comm half;
    weft_fabric *f, *g;
    double a, b;
    MPI_Comm_split(MPI_COMM_WORLD, all_rank() % 2, 0, &half);
    ck_all(!weft_open_mpi(&f, MPI_COMM_WORLD, WEFT_OPEN(.precision = "64-true")));
    ck_all(!weft_open_mpi(&g, half, NULL));
    weft_module *m = small_net(f), *n = small_net(g);
    weft_optimizer *o = weft_adam(m, NULL), *p = weft_sgd(n, NULL);
    ck_all(!weft_setup(f, m, o) && !weft_setup(g, n, p));
    for (int i = 0; i < 3; i++)
        ck_all(steps(f, m, o, 2) == 2 && steps(g, n, p, 1) == 1);
    weft_fail(g, WEFT_EDATA, "only here");
    ck_all(weft_step_end(g) == WEFT_EDATA && steps(f, m, o, 2) == 2 && !weft_error(f));
    ck_all(weft_add(weft_full(f, 1, 0, NULL, 0), weft_full(g, 1, 0, NULL, 0)) == NULL);
    ck_all(!weft_clear(f) && !weft_clear(g));
    ck_all(weft_step_count(f) == 8 && weft_step_count(g) == 3 && !weft_close(&f));
    ck_all(trains(g, &a) && trains(g, &b) && a == b && !weft_close(&g));
    MPI_Comm_free(&half);
}
END_TEST

START_TEST(properties)
{
    weft_fabric *f;
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    ck_all(!weft_open_mpi(&f, MPI_COMM_WORLD, WEFT_OPEN(.seed = 42)));
    ck_all(weft_global_rank(f) == all_rank() && weft_local_rank(f) == all_rank());
    ck_all(weft_world_size(f) == all_world() && weft_node_rank(f) == 0 && weft_num_nodes(f) == 1);
    ck_all(weft_is_global_zero(f) == (all_rank() == 0) && weft_seed(f) == 42);
    ck_all(weft_threads(f) == 1); /* OMP_NUM_THREADS */
    ck_all(!strcmp(weft_strategy_name(f), all_world() > 1 ? "ddp" : "single"));
    const char *device = getenv("WEFT_ACCELERATOR") ? getenv("WEFT_ACCELERATOR") : "cpu";
    ck_all(!strcmp(weft_precision_name(f), "32-true") && !strcmp(weft_device_name(f), device));
    ck_all(!strcmp(weft_accelerator_name(f), device) && strlen(weft_kernel_set(f)) > 3);
    ck_all(!strncmp(weft_hostname(f), host, 60) && weft_step_count(f) == 0);
    ck_all(weft_logger_count(f) == 0 && weft_logger_at(f, 0) == NULL);
    weft_logger *a = weft_logger_null(f), *b = weft_logger_null(f);
    ck_all(weft_logger_count(f) == 2 && weft_logger_at(f, 0) == a && weft_logger_at(f, 1) == b);
    ck_all(!weft_logger_at(f, 2) && a != b && !weft_every(f, 1) && !weft_close(&f));
    ck_all(f == NULL && weft_close(&f) == 0 && weft_close(NULL) == 0);
}
END_TEST

START_TEST(sums)
{
    weft_fabric *f;
    double v[3] = {1, all_rank(), 0.5}, w = all_world();
    ck_all(!weft_open_mpi(&f, MPI_COMM_WORLD, NULL));
    ck_all(!weft_sum_over_ranks(f, v, 3));
    ck_all(v[0] == w && v[1] == w * (w - 1) / 2 && v[2] == w / 2);
    ck_all(!weft_sum_over_ranks(f, v, 0) && !weft_sum_over_ranks(f, NULL, 0) && v[0] == w);
    ck_all(weft_sum_over_ranks(f, v, -1) == WEFT_EARG && v[0] == w && !weft_clear(f));
    ck_all(!weft_barrier(f) && !weft_barrier(f));
    ck_all(weft_traffic_count(f).gradient_reduces == 0 && !weft_close(&f));
}
END_TEST

/* More often than communicators or fabrics last, if one were lost each time. */
START_TEST(many_times)
{
    double first = 0, sum;
    for (int i = 0; i < 300; i++) {
        weft_fabric *f;
        ck_assert(!weft_open_mpi(&f, MPI_COMM_WORLD, NULL));
        if (i % 100 == 0) {
            ck_assert(trains(f, &sum));
            first = i ? first : sum;
            ck_all(first == sum);
        }
        ck_assert(!weft_close(&f));
    }
}
END_TEST

/* Code below text below environment below command line; ours are taken out of argv. */
START_TEST(precedence)
{
    char *argv_[] = {"program", "--lr=3",      "--seed=5", "in.h5", "--log-every", "7",
                     "-n",      "--precision", "64-true",  "--",    "--seed=6",    NULL};
    char **argv = argv_;
    int argc = 11;
    weft_fabric *f;
    setenv("WEFT_SEED", "4", 1);
    setenv("WEFT_PRECISION", "32-true", 1);
    ck_all(!weft_open(&f, &argc, &argv, WEFT_OPEN(.seed = 3, .precision = "16-true")));
    ck_all(weft_seed(f) == 5 && !strcmp(weft_precision_name(f), "64-true"));
    ck_all(argc == 6 && !strcmp(argv[0], "program") && !strcmp(argv[1], "--lr=3"));
    ck_all(!strcmp(argv[2], "in.h5") && !strcmp(argv[3], "-n") && !strcmp(argv[4], "--"));
    ck_all(!strcmp(argv[5], "--seed=6") && argv[6] == NULL && !weft_close(&f));
    ck_all(!weft_open_text(&f, NULL, NULL, " seed=9  strategy=auto\tdevices=auto "));
    ck_all(weft_seed(f) == 4 && !weft_close(&f));
    unsetenv("WEFT_SEED");
    unsetenv("WEFT_PRECISION");
    ck_all(!weft_open_text(&f, NULL, NULL, "seed=9 strategy=DDP precision=64-TRUE"));
    ck_all(weft_seed(f) == 9 && !strcmp(weft_precision_name(f), "64-true"));
    ck_all(!strcmp(weft_strategy_name(f), "ddp") && !weft_close(&f));
    ck_all(!weft_open_text(&f, NULL, NULL, NULL) && weft_seed(f) == 0 && !weft_close(&f));
}
END_TEST

START_TEST(bad_words)
{
    static const char *const text[] = {"sed=3",     "seed",        "seed=",      "seed=-1",
                                       "threads=0", "timeout=nan", "keep=1e3",   "log_every=0",
                                       "devices=x", "=3",          "bucket_mb=0"};
    for (int i = 0; i < 11; i++) {
        weft_fabric *f;
        char word[40], *argv_[] = {"program", word, NULL}, **argv = argv_;
        int argc = 2;
        ck_all(weft_open_text(&f, NULL, NULL, text[i]) == WEFT_EARG);
        ck_all(*weft_message(f) && weft_close(&f) == -WEFT_EARG);
        snprintf(word, sizeof word, "--%s", text[i]);
        weft_status s = weft_open(&f, &argc, &argv, NULL);
        ck_all(s == (i == 0 || i == 9 ? WEFT_OK : WEFT_EARG)); /* those may be the program's own */
        ck_all(weft_close(&f) == -s && argv[argc] == NULL);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("fabric");
    TCase *t = tcase_create("on the program's MPI");
    tcase_add_test(t, subset);
    tcase_add_test(t, cartesian);
    tcase_add_test(t, fortran);
    tcase_add_test(t, part_of_the_job);
    tcase_add_test(t, two_at_once);
    tcase_add_test(t, properties);
    tcase_add_test(t, sums);
    tcase_add_test(t, many_times);
    tcase_add_test(t, precedence);
    tcase_add_test(t, bad_words);
    suite_add_tcase(s, t);
    return s;
}

/* The program's MPI at the lowest thread level that this job's number of ranks names, so that each
 * level is met. Weft leaves it as it was found. */
int main(int argc, char **argv)
{
    static const int level[] = {MPI_THREAD_SINGLE, MPI_THREAD_FUNNELED, MPI_THREAD_SERIALIZED,
                                MPI_THREAD_MULTIPLE};
    const char *ranks = getenv("OMPI_COMM_WORLD_SIZE");
    int provided, over = 1, failed;
    weft_log_level(WEFT_LOG_SILENT);
    make_data();
    all_yield();
    MPI_Init_thread(&argc, &argv, level[ranks ? (atoi(ranks) - 1) % 4 : 0], &provided);
    failed = all_run(suite());
    MPI_Finalized(&over);
    if (over) {
        fprintf(stderr, "the program's MPI was finalised by weft_close\n");
        return EXIT_FAILURE;
    }
    MPI_Finalize();
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
