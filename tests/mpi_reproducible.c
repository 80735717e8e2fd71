/* Reproducible mode: the same bits on 1, 2 and 4 ranks, each size on a communicator of its own, where
 * without it they differ. */
#include "mpi_train.h"

#include <weft/sys/logger.h>

#define LEAVES 8
#define STEPS 12

static double logged[2 * STEPS];
static int rows_logged;

static weft_status remember(void *self, const weft_record *r)
{
    (void)self;
    for (int i = 0; i < r->n && rows_logged < 2 * STEPS; i++)
        logged[rows_logged++] = r->value[i];
    return WEFT_OK;
}

static const weft_logger_ops remembers = {
    .size = sizeof remembers, .name = "memory", .record = remember};

/* What is trained, and how. */
typedef struct recipe {
    const char *name, *precision;
    int64_t batch; /* 37 is no multiple of anything, 5 leaves leaves without rows */
    double max_norm, dropout;
    bool weighted, ignores; /* the loss has weights of classes, and labels that do not count */
    bool wide;              /* so that threads share the work */
} recipe;

static const recipe table[] = {
    {"plain", "32-true", 64, 0, 0, false, false, false},
    {"uneven", "32-true", 37, 0, 0, false, false, false},
    {"few rows", "32-true", 5, 0, 0, false, false, false},
    {"double", "64-true", 37, 0, 0, false, false, false},
    {"clipped", "32-true", 37, 0.05, 0, false, false, false},
    {"dropout", "32-true", 37, 0, 0.3, false, false, false},
    {"weighted", "32-true", 37, 0, 0, true, false, false},
    {"ignoring", "32-true", 37, 0, 0, false, true, false},
    {"16 bits", "bf16-true", 37, 0, 0, false, false, false},
    {"wide", "32-true", 300, 0, 0, false, false, true},
};

static weft_tensor *loss_of(weft_fabric *f, const recipe *r, weft_module *net, const weft_batch *b)
{
    static const float weight[CLASSES] = {0.1f, 0.7f, 1.3f, 2.9f};
    const int64_t classes = CLASSES;
    weft_cross_entropy_options o = {.ignore_index = r->ignores ? 2 : 0};
    if (r->weighted)
        o.weight = weft_tensor_of(f, weight, 1, &classes, WEFT_F32);
    return weft_cross_entropy_with(weft_forward(net, b->x), b->y, &o);
}

static weft_module *net_of(weft_fabric *f, const recipe *r)
{
    if (r->wide)
        return weft_nn_sequential(f, weft_nn_linear(f, FEATURES, 512), weft_nn_relu(f),
                                  weft_nn_linear(f, 512, 512), weft_nn_linear(f, 512, CLASSES));
    return weft_nn_sequential(f, weft_nn_linear(f, FEATURES, 16), weft_nn_layernorm(f, 16),
                              weft_nn_dropout(f, r->dropout), weft_nn_relu(f),
                              weft_nn_linear(f, 16, CLASSES));
}

/* Trains on comm; parameters to out. @return numbers, 0 after an error. */
static size_t trained(const recipe *r, MPI_Comm comm, int leaves, int threads, double *out)
{
    weft_fabric *f;
    rows_logged = 0;
    weft_open_mpi(&f, comm,
                  WEFT_OPEN(.precision = r->precision, .seed = 3, .timeout = 20, .log_every = 1,
                            .threads = threads, .reproducible = leaves));
    weft_logger_new(f, &remembers, NULL, 0);
    weft_module *net = net_of(f, r);
    weft_optimizer *adam = weft_adamw(net, WEFT_ADAM(.lr = 0.02, .stochastic_rounding = true));
    weft_loader *train = weft_loader_arrays(
        f, ROWS, data_x, 1, &features, WEFT_F64, data_y, WEFT_I32,
        WEFT_LOADER(.global_batch = r->batch, .epochs = 100, .shuffle = true, .seed = 9));
    weft_setup(f, net, adam);
    weft_setup_loader(f, train);
    for (weft_batch b; weft_step_count(f) < STEPS && weft_next(train, &b);) {
        weft_tensor *loss = loss_of(f, r, net, &b);
        weft_zero_grad(adam);
        weft_backward(f, loss);
        weft_log(f, "loss", loss);
        if (r->max_norm > 0)
            weft_clip_gradients(adam, WEFT_CLIP(.max_norm = r->max_norm));
        weft_step(adam);
    }
    size_t n = weft_error(f) ? 0 : numbers_of(net, out);
    return weft_close(&f) == 0 ? n : 0;
}

static double expected[NUMBERS], got[NUMBERS];

/* Whether training on the first `ranks` ranks gives what one rank gives alone; *n: numbers. */
static bool same_on(const recipe *r, int ranks, int leaves)
{
    double alone[2 * STEPS];
    MPI_Comm part;
    size_t n = trained(r, MPI_COMM_SELF, leaves, 1, expected), m = n;
    memcpy(alone, logged, sizeof alone);
    MPI_Comm_split(MPI_COMM_WORLD, all_rank() < ranks ? 1 : MPI_UNDEFINED, 0, &part);
    bool same = true;
    if (part != MPI_COMM_NULL) {
        m = trained(r, part, leaves, 2, got);
        same = memcmp(expected, got, n * sizeof *got) == 0;
        same &= all_rank() > 0 || memcmp(alone, logged, sizeof alone) == 0;
        MPI_Comm_free(&part);
    }
    if (n == 0 || m != n)
        ck_abort_msg("%s: trained %zu and %zu numbers", r->name, n, m);
    return same;
}

START_TEST(the_same_bits_on_any_number_of_ranks)
{
    for (int ranks = 1; ranks <= all_world(); ranks *= 2)
        ck_assert_msg(all(same_on(&table[_i], ranks, LEAVES)), "%s on %d ranks", table[_i].name,
                      ranks);
}
END_TEST

/* So that the test above can fail. */
START_TEST(others_without_it)
{
    bool same = all_world() == 1 || same_on(&table[_i], all_world(), 0);
    int any = !same;
    MPI_Allreduce(MPI_IN_PLACE, &any, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    ck_assert_msg(any || all_world() == 1, "%s", table[_i].name);
}
END_TEST

/* A failing micro-batch in the middle of a step. */
START_TEST(a_failing_rank_stops_all)
{
    weft_fabric *f;
    int world = all_world();
    if (world == 3)
        return;
    weft_open_mpi(&f, MPI_COMM_WORLD, WEFT_OPEN(.timeout = 20, .reproducible = LEAVES));
    weft_module *net = small_net(f);
    weft_optimizer *sgd = weft_sgd(net, NULL);
    weft_loader *train = weft_loader_arrays(f, ROWS, data_x, 1, &features, WEFT_F64, data_y,
                                            WEFT_I32, WEFT_LOADER(.global_batch = 64));
    weft_setup(f, net, sgd);
    weft_setup_loader(f, train);
    int turns = 0;
    for (weft_batch b; weft_next(train, &b);) {
        weft_tensor *loss = weft_cross_entropy(weft_forward(net, b.x), b.y);
        if (all_rank() == world - 1 && ++turns == 2)
            weft_fail(f, WEFT_EUSER, "enough");
        weft_zero_grad(sgd);
        weft_backward(f, loss);
        weft_step(sgd);
    }
    ck_all(weft_error(f) == WEFT_EUSER);
    weft_close(&f);
}
END_TEST

/* Opens with the options. @return its code. */
static weft_status opens(const weft_open_options *o)
{
    weft_fabric *f;
    weft_status s = weft_open_mpi(&f, MPI_COMM_WORLD, o);
    weft_close(&f);
    return s;
}

START_TEST(wrong_values)
{
    const int world = all_world(), bad[] = {-1, 3, 6, 12, 4096};
    weft_log_level(WEFT_LOG_SILENT);
    for (int i = 0; i < 5; i++)
        ck_all(opens(WEFT_OPEN(.timeout = 20, .reproducible = bad[i])) == WEFT_EARG);
    ck_all((opens(WEFT_OPEN(.timeout = 20, .reproducible = 4)) == WEFT_ECONFIG) == (world == 3));
    ck_all((opens(WEFT_OPEN(.timeout = 20, .reproducible = 1)) == WEFT_ECONFIG) == (world > 1));
    weft_status mixed = opens(WEFT_OPEN(.timeout = 20, .reproducible = all_rank() ? 4 : 8));
    ck_all(mixed == (world > 1 ? WEFT_ECONFIG : WEFT_OK));
}
END_TEST

/* What the mode does not take. */
START_TEST(refusals)
{
    weft_fabric *f;
    if (all_world() == 3)
        return;
    weft_log_level(WEFT_LOG_SILENT);
    weft_open_mpi(&f, MPI_COMM_WORLD, WEFT_OPEN(.timeout = 20, .reproducible = LEAVES));
    weft_module *net = small_net(f);
    weft_optimizer *sgd = weft_sgd(net, NULL);
    weft_setup(f, net, sgd);
    ck_all(weft_accumulate(f, 2) == WEFT_ENOTSUP && weft_clear(f) == WEFT_OK);
    ck_all(weft_no_backward_sync_begin(net, true) == WEFT_ENOTSUP && weft_clear(f) == WEFT_OK);
    for (int k = 0; k < 3; k++) { /* a gradient that zero_grad did not clear; two losses */
        for (int i = 0; i < LEAVES / all_world(); i++) {
            const int64_t shape[] = {2, FEATURES};
            weft_batch b = weft_batch_of(f, weft_tensor_of(f, data_x, 2, shape, WEFT_F64), NULL,
                                         2 * all_rank(), 2 * all_world());
            weft_tensor *loss = weft_mean(weft_forward(net, weft_cast(b.x, WEFT_F32)), WEFT_ALL);
            if (k != 1)
                weft_zero_grad(sgd);
            weft_backward(f, loss);
            if (k == 2)
                weft_backward(f, loss);
            weft_step(sgd);
            weft_step_end(f);
        }
        ck_all(weft_error(f) == (k == 0 ? WEFT_OK : k == 1 ? WEFT_ESTATE : WEFT_ENOTSUP));
        ck_all(k == 0 || weft_clear(f) == WEFT_OK);
    }
    weft_close(&f);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("reproducible");
    TCase *t = tcase_create("reproducible");
    const int n = (int)(sizeof table / sizeof table[0]);
    suite_add_tcase(s, t);
    tcase_set_timeout(t, 60);
    make_data();
    tcase_add_loop_test(t, the_same_bits_on_any_number_of_ranks, 0, n);
    tcase_add_loop_test(t, others_without_it, 0, n);
    tcase_add_test(t, a_failing_rank_stops_all);
    tcase_add_test(t, wrong_values);
    tcase_add_test(t, refusals);
    return s;
}

int main(int argc, char **argv)
{
    return all_main(&argc, &argv, suite);
}
