/* Batchnorm on several ranks: synchronised it is that of one rank with all rows, whoever has how many of
 * them and whoever fails; else buffers are rank 0's. Checkpoints of them on other numbers of ranks. */
#include "mpi_train.h"

#include <unistd.h>
#include <weft/sys/module.h>

#define BATCH 14
#define IGNORED (CLASSES - 1)

typedef enum where { NOWHERE, BEFORE, BETWEEN, BEHIND } where;

static double together[NUMBERS], alone[NUMBERS];
static where fails; /* on this rank, in the next forward */

static weft_tensor *pass(weft_module *m, void *self, weft_tensor *x)
{
    if (x && fails == *(where *)self)
        weft_fail(weft_module_fabric(m), WEFT_EDATA, "spoilt on %d", all_rank());
    return fails == *(where *)self ? NULL : x;
}

/* It does not go on with NULL: the others wait in its batchnorm. */
static weft_tensor *impatient(weft_module *m, void *self, weft_tensor *x)
{
    (void)self;
    for (int64_t i = 0; i < weft_children(m); i++)
        if (!(x = weft_forward(weft_child(m, i), x)))
            return NULL;
    return x;
}

static weft_module *hurdle(weft_fabric *f, where w)
{
    static const weft_module_ops ops = {.size = sizeof ops, .name = "hurdle", .forward = pass};
    return weft_module_new(f, &ops, &w, sizeof w);
}

typedef struct job {
    weft_fabric *f;
    weft_module *net;
    weft_optimizer *o;
    int64_t step;
} job;

static job opened(MPI_Comm comm, const char *strategy, bool sync)
{
    job j = {.step = 0};
    weft_open_mpi(&j.f, comm, WEFT_OPEN(.strategy = strategy, .seed = 5, .precision = "64-true"));
    j.net = weft_nn_sequential(j.f, hurdle(j.f, BEFORE), weft_nn_linear(j.f, FEATURES, 9),
                               weft_nn_batchnorm(j.f, 9), hurdle(j.f, BETWEEN), weft_nn_relu(j.f),
                               weft_nn_linear(j.f, 9, 5),
                               weft_nn_batchnorm_with(j.f, 5, WEFT_BATCHNORM(.momentum = WEFT_OFF)),
                               weft_nn_linear(j.f, 5, CLASSES), hurdle(j.f, BEHIND));
    if (sync)
        weft_nn_sync_batchnorm(j.net);
    /* biases before batchnorm have no gradient but roundings, which adam would make large */
    j.o = weft_sgd(j.net, WEFT_SGD(.lr = 0.1, .momentum = 0.9));
    weft_setup(j.f, j.net, j.o);
    return j;
}

/* Who has how many of a batch's rows: even, all but one with the last rank, none with the first. */
typedef enum share { EVEN, LAST, NONE, SHARES } share;

static int64_t rows_of(share how, int rank, int world)
{
    if (world == 1)
        return BATCH;
    if (how == EVEN)
        return BATCH / world + (rank < BATCH % world);
    if (how == LAST)
        return rank == world - 1 ? BATCH - (world - 1) : 1;
    return rank == 0 ? 0 : BATCH / (world - 1) + (rank - 1 < BATCH % (world - 1));
}

static weft_batch batch_of(const job *j, share how)
{
    const int world = weft_world_size(j->f), rank = weft_global_rank(j->f);
    int64_t first = j->step * BATCH, rows = rows_of(how, rank, world);
    for (int r = 0; r < rank; r++)
        first += rows_of(how, r, world);
    return weft_batch_of(
        j->f,
        weft_tensor_of(j->f, data_x + first * FEATURES, 2, (int64_t[]){rows, FEATURES}, WEFT_F64),
        weft_tensor_of(j->f, data_y + first, 1, &rows, WEFT_I32), first, BATCH);
}

/* ignore: labels of one class do not count: ranks ask for the weights of the others. */
static weft_status train(job *j, share how, bool ignore)
{
    weft_batch b = batch_of(j, how);
    weft_tensor *z = weft_forward(j->net, b.x);
    weft_tensor *loss =
        ignore ? weft_cross_entropy_with(z, b.y, WEFT_CROSS_ENTROPY(.ignore_index = IGNORED))
               : weft_cross_entropy(z, b.y);
    weft_zero_grad(j->o);
    weft_backward(j->f, loss);
    weft_status s = weft_step(j->o);
    j->step++;
    return weft_step_end(j->f) ? weft_error(j->f) : s;
}

/* Parameters, then buffers. */
static size_t all_numbers(weft_module *m, double *out)
{
    size_t n = numbers_of(m, out);
    for (int64_t i = 0; i < weft_buffer_count(m); i++) {
        weft_tensor *t = weft_buffer(m, weft_buffer_name(m, i));
        const size_t k = (size_t)weft_numel(t);
        weft_copy_out(t, out + n, k * sizeof *out);
        n += k;
    }
    return n;
}

static size_t trained(MPI_Comm comm, const char *strategy, share how, bool ignore, double *out)
{
    job j = opened(comm, strategy, true);
    for (int i = 0; i < 10; i++)
        if (train(&j, how, ignore))
            fprintf(stderr, "# step %d: %s\n", i, weft_message(j.f));
    size_t n = weft_error(j.f) ? 0 : all_numbers(j.net, out);
    return weft_close(&j.f) == 0 ? n : 0;
}

START_TEST(ranks_together_are_one)
{
    static const char *const strategy[] = {"ddp", "zero1", "zero2"};
    const bool ignore = _i % 2;
    const size_t n = trained(MPI_COMM_SELF, "single", EVEN, ignore, alone);
    ck_all(n > 100);
    for (share how = EVEN; how < SHARES; how++) {
        ck_all(trained(MPI_COMM_WORLD, strategy[_i / 2], how, ignore, together) == n);
        const double far = furthest(together, alone, n);
        if (!(far < 1e-11))
            fprintf(stderr, "# %s, share %d: off by %g\n", strategy[_i / 2], (int)how, far);
        ck_all(far < 1e-11 && same_bytes(together, n * sizeof *together));
    }
}
END_TEST

/* A rank whose rows do not count has a gradient all the same: theirs, by the statistics. */
START_TEST(rows_that_do_not_count)
{
    int32_t kept[ROWS];
    memcpy(kept, data_y, sizeof kept);
    for (int i = 0; i < ROWS; i++) /* those of rank 0 */
        if (i % BATCH < rows_of(EVEN, 0, all_world()) - (all_world() == 1))
            data_y[i] = IGNORED;
    const size_t n = trained(MPI_COMM_SELF, "single", EVEN, true, alone);
    ck_all(trained(MPI_COMM_WORLD, "ddp", EVEN, true, together) == n && n > 100);
    ck_all(furthest(together, alone, n) < 1e-11);
    memcpy(data_y, kept, sizeof kept);
}
END_TEST

START_TEST(windows_and_held_sums)
{
    job j = opened(MPI_COMM_WORLD, "ddp", true), one = opened(MPI_COMM_SELF, "single", true);
    ck_all(!weft_accumulate(j.f, 2) && !weft_accumulate(one.f, 2));
    for (int i = 0; i < 6; i++)
        ck_all(train(&j, i % SHARES, false) >= 0 && train(&one, EVEN, false) >= 0);
    const size_t n = all_numbers(j.net, together);
    ck_all(all_numbers(one.net, alone) == n && weft_step_count(j.f) == 3);
    ck_all(furthest(together, alone, n) < 1e-11);
    ck_all(!weft_close(&j.f) && !weft_close(&one.f));
}
END_TEST

/* --- failures --- */

START_TEST(a_rank_that_fails_keeps_nobody)
{
    for (int bad = 0; bad < all_world(); bad++) {
        job j = opened(MPI_COMM_WORLD, _i % 2 ? "zero2" : "ddp", true);
        ck_all(train(&j, EVEN, false) == 0);
        const size_t n = numbers_of(j.net, alone);
        fails = all_rank() == bad ? (where)(BEFORE + _i / 2) : NOWHERE;
        ck_all(train(&j, EVEN, false) == WEFT_EDATA);
        fails = NOWHERE;
        char text[32];
        snprintf(text, sizeof text, "spoilt on %d", bad);
        ck_all(strstr(weft_message(j.f), text) != NULL);
        ck_all(numbers_of(j.net, together) == n);
        ck_all(!memcmp(together, alone, n * sizeof *alone)); /* and alike */
        ck_all(weft_clear(j.f) == 0 && train(&j, NONE, true) == 0 && train(&j, LAST, false) == 0);
        ck_all(same_bytes(together, all_numbers(j.net, together) * sizeof *together));
        ck_all(!weft_close(&j.f));
    }
}
END_TEST

START_TEST(a_forward_that_ends_early)
{
    static const weft_module_ops ops = {
        .size = sizeof ops, .name = "impatient", .forward = impatient};
    const weft_batchnorm_options sync = {.sync = true};
    job j = {.step = 0};
    weft_open_mpi(&j.f, MPI_COMM_WORLD, WEFT_OPEN(.strategy = "ddp", .precision = "64-true"));
    j.net = weft_module_new(j.f, &ops, NULL, 0);
    weft_module_child(j.net, "a", weft_nn_linear(j.f, FEATURES, 4));
    weft_module_child(j.net, "b", weft_nn_batchnorm_with(j.f, 4, &sync));
    weft_module_child(j.net, "c", hurdle(j.f, BETWEEN));
    weft_module_child(j.net, "d", weft_nn_linear(j.f, 4, CLASSES));
    weft_module_child(j.net, "e", weft_nn_batchnorm_with(j.f, CLASSES, &sync));
    j.o = weft_sgd(j.net, NULL);
    weft_setup(j.f, j.net, j.o);
    for (int bad = 0; bad < all_world(); bad++) {
        ck_all(train(&j, EVEN, false) == 0);
        fails = all_rank() == bad ? BETWEEN : NOWHERE;
        ck_all(train(&j, EVEN, false) == WEFT_EDATA);
        fails = NOWHERE;
        ck_all(weft_clear(j.f) == 0);
        j.step = 0;
    }
    ck_all(train(&j, NONE, false) == 0 && !weft_close(&j.f));
}
END_TEST

START_TEST(a_rank_without_a_loss)
{
    job j = opened(MPI_COMM_WORLD, "ddp", true);
    const int bad = all_world() - 1;
    weft_tensor *z = weft_forward(j.net, batch_of(&j, EVEN).x);
    ck_all(weft_backward(j.f, all_rank() == bad ? NULL : weft_mean(z, WEFT_ALL)) == WEFT_EARG);
    ck_all(weft_clear(j.f) == 0 && !weft_step_end(j.f) && train(&j, LAST, false) == 0);
    z = weft_forward(j.net, batch_of(&j, EVEN).x); /* two numbers where there should be one */
    ck_all(weft_backward(j.f, all_rank() == bad ? z : weft_mean(z, WEFT_ALL)) == WEFT_ESHAPE);
    ck_all(weft_clear(j.f) == 0 && !weft_step_end(j.f));
    weft_batch b = batch_of(&j, EVEN); /* too wide on one rank */
    weft_tensor *x = all_rank() == bad ? weft_full(j.f, 1, 2, (int64_t[]){3, 2}, WEFT_F64) : b.x;
    ck_all(weft_backward(j.f, weft_mean(weft_forward(j.net, x), WEFT_ALL)) == WEFT_ESHAPE);
    ck_all(weft_clear(j.f) == 0 && !weft_step_end(j.f) && train(&j, NONE, false) == 0);
    ck_all(!weft_close(&j.f));
}
END_TEST

START_TEST(what_cannot_be_together)
{
    job j = opened(MPI_COMM_WORLD, "ddp", true);
    const bool many = all_world() > 1;
    weft_tensor *x = batch_of(&j, EVEN).x;
    weft_require_grad(x);
    weft_tensor *g = weft_grad(weft_sum(weft_forward(j.net, x), WEFT_ALL), x);
    ck_all(many ? !g && weft_error(j.f) == WEFT_ENOTSUP : g != NULL);
    ck_all(weft_clear(j.f) == 0 && !weft_step_end(j.f));
    weft_recompute(weft_child(j.net, 2), true);
    weft_status s =
        weft_backward(j.f, weft_mean(weft_forward(j.net, batch_of(&j, EVEN).x), WEFT_ALL));
    ck_all(s == (many ? WEFT_ENOTSUP : WEFT_OK));
    ck_all(weft_clear(j.f) == 0 && weft_close(&j.f) == 0);
    if (all_world() == 3)
        return;
    weft_open_mpi(&j.f, MPI_COMM_WORLD, WEFT_OPEN(.reproducible = 4));
    weft_module *m = weft_nn_batchnorm_with(j.f, 2, WEFT_BATCHNORM(.sync = true));
    ck_all(weft_setup_module(j.f, m) == WEFT_ENOTSUP && weft_clear(j.f) == 0);
    ck_all(weft_close(&j.f) == 0);
}
END_TEST

/* --- buffers --- */

START_TEST(statistics_are_those_of_rank_0)
{
    static double before[NUMBERS];
    job j = opened(MPI_COMM_WORLD, "ddp", false);
    const size_t params = numbers_of(j.net, before), n = all_numbers(j.net, before);
    ck_all(same_bytes(before, n * sizeof *before));
    ck_all(train(&j, EVEN, false) == 0 && all_numbers(j.net, together) == n);
    ck_all(same_bytes(together, n * sizeof *together));
    ck_all(together[params] != before[params] && together[n - 1] == 1);
    /* rank 0's rows alone, in its parameters */
    job one = opened(MPI_COMM_SELF, "single", false);
    weft_tensor *x = weft_tensor_of(one.f, data_x, 2,
                                    (int64_t[]){rows_of(EVEN, 0, all_world()), FEATURES}, WEFT_F64);
    weft_forward(one.net, x);
    ck_all(all_numbers(one.net, alone) == n);
    ck_all(furthest(alone + params, together + params, n - params) == 0);
    ck_all(!weft_close(&j.f) && !weft_close(&one.f));
}
END_TEST

START_TEST(checkpoints_keep_them)
{
    char dir[80], step[120];
    snprintf(dir, sizeof dir, "%s/norms-%d", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp",
             all_world());
    MPI_Bcast(dir, sizeof dir, MPI_CHAR, 0, MPI_COMM_WORLD);
    job j = opened(MPI_COMM_WORLD, _i ? "zero2" : "ddp", false);
    for (int i = 0; i < 3; i++)
        ck_all(train(&j, EVEN, false) == 0);
    /* a forward without backward: ranks differ until the save */
    weft_forward(j.net, batch_of(&j, EVEN).x);
    ck_all(weft_save(j.f, dir) == 0);
    const size_t n = all_numbers(j.net, together);
    ck_all(same_bytes(together, n * sizeof *together) && together[n - 1] == 4);
    ck_all(!weft_close(&j.f));
    snprintf(step, sizeof step, "%s/step-000003", dir);
    job one = opened(MPI_COMM_SELF, "single", true); /* on one rank */
    ck_all(weft_load(one.f, step) == 0 && all_numbers(one.net, alone) == n);
    ck_all(memcmp(alone, together, n * sizeof *alone) == 0);
    ck_all(!weft_close(&one.f));
    j = opened(MPI_COMM_WORLD, "zero1", true);
    ck_all(weft_load(j.f, step) == 0 && all_numbers(j.net, alone) == n);
    ck_all(memcmp(alone, together, n * sizeof *alone) == 0);
    j.step = 3;
    ck_all(train(&j, LAST, false) == 0 && !weft_close(&j.f));
    all_barrier();
    if (all_rank() == 0) {
        char command[200];
        snprintf(command, sizeof command, "rm -rf '%s'", dir);
        ck_assert(system(command) >= 0);
    }
    all_barrier();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("norms");
    TCase *t = tcase_create("norms");
    make_data();
    tcase_set_timeout(t, 100);
    tcase_add_loop_test(t, ranks_together_are_one, 0, 6);
    tcase_add_test(t, rows_that_do_not_count);
    tcase_add_test(t, windows_and_held_sums);
    tcase_add_loop_test(t, a_rank_that_fails_keeps_nobody, 0, 6);
    tcase_add_test(t, a_forward_that_ends_early);
    tcase_add_test(t, a_rank_without_a_loss);
    tcase_add_test(t, what_cannot_be_together);
    tcase_add_test(t, statistics_are_those_of_rank_0);
    tcase_add_loop_test(t, checkpoints_keep_them, 0, 2);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv)
{
    return all_main(&argc, &argv, suite);
}
