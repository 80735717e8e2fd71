/* Gradient accumulation: a window of micro-batches is one batch, costs one batch's communication, and
 * an error inside it reaches all ranks at its end. */
#include "mpi_train.h"

#include <ftw.h>
#include <unistd.h>
#include <weft/sys/logger.h>

typedef struct job {
    weft_fabric *f;
    weft_module *model;
    weft_optimizer *sgd;
    weft_loader *train;
} job;

static job opened(void)
{
    job j;
    weft_open_mpi(&j.f, MPI_COMM_WORLD,
                  WEFT_OPEN(.precision = "64-true", .seed = 5, .timeout = 20, .log_every = 1));
    j.model = small_net(j.f);
    j.sgd = weft_sgd(j.model, WEFT_SGD(.lr = 0.1, .momentum = 0.9));
    weft_setup(j.f, j.model, j.sgd);
    return j;
}

static void load(job *j, int64_t batch, int64_t epochs, const int32_t *labels)
{
    j->train = weft_loader_arrays(
        j->f, ROWS, data_x, 1, &features, WEFT_F64, labels, WEFT_I32,
        WEFT_LOADER(.global_batch = batch, .epochs = epochs, .shuffle = true, .seed = 9));
    weft_setup_loader(j->f, j->train);
}

#define IGNORED (-100)
static bool ignores; /* labels are IGNORED in places */

static weft_tensor *loss_of(const job *j, const weft_batch *b)
{
    return weft_cross_entropy_with(weft_forward(j->model, b->x), b->y,
                                   WEFT_CROSS_ENTROPY(.ignore_index = ignores ? IGNORED : 0));
}

/* The loop of the README, whatever the window. @return steps. */
static int loop(job *j)
{
    int steps = 0;
    for (weft_batch b; weft_next(j->train, &b);) {
        weft_tensor *loss = loss_of(j, &b);
        weft_zero_grad(j->sgd);
        weft_backward(j->f, loss);
        steps += weft_step(j->sgd) == WEFT_OK;
        weft_log(j->f, "loss", loss);
    }
    return steps;
}

static const weft_logger_ops remembers;
static double logged[100];
static int64_t logged_step[100];
static int rows_logged;

static weft_status remember(void *self, const weft_record *r)
{
    (void)self;
    if (rows_logged < 100 && r->n == 1) {
        logged_step[rows_logged] = r->step;
        logged[rows_logged++] = r->value[0];
    }
    return WEFT_OK;
}

static const weft_logger_ops remembers = {
    .size = sizeof remembers, .name = "memory", .record = remember};

/* Trains two epochs; parameters to out. @return steps. */
static int trained(int64_t batch, int64_t window, double *out, size_t *n)
{
    static int32_t some[ROWS];
    job j = opened();
    for (int i = 0; i < ROWS; i++)
        some[i] = i % 7 < 2 || i / 40 == 3 ? IGNORED : data_y[i];
    load(&j, batch, 2, ignores ? some : data_y);
    weft_logger_new(j.f, &remembers, NULL, 0);
    rows_logged = 0;
    int steps = weft_accumulate(j.f, window) ? -1 : loop(&j);
    *n = numbers_of(j.model, out);
    return weft_close(&j.f) ? -1 : steps;
}

/* Batches of 25 in windows of 5 are 125, 125, 50 rows an epoch: those of batches of 125. */
START_TEST(window_is_a_batch)
{
    static double one[1000], many[1000], loss[100];
    size_t n, k;
    ck_all(trained(125, 1, one, &n) == 6);
    int rows = rows_logged;
    memcpy(loss, logged, sizeof loss);
    ck_all(rows == (all_rank() ? 0 : 6));
    ck_all(trained(25, 5, many, &k) == 6 && k == n);
    ck_all(furthest(one, many, n) < 1e-13 && same_bytes(many, n * sizeof *many));
    /* and a row of metrics is of the window, its mean that of all its rows */
    ck_all(rows_logged == rows && furthest(loss, logged, (size_t)rows) < 1e-13);
    for (int i = 0; i < rows; i++)
        ck_assert(logged_step[i] == i + 1);
    ck_all(trained(50, 4, many, &k) == 4); /* 200 and 100 rows */
    ck_all(trained(200, 1, one, &k) == 4 && furthest(one, many, n) < 1e-13);
}
END_TEST

/* The mean over a window is that over its labels that count, of which only the ranks together know how
 * many there are: they learn it where they communicate, at the window's end. */
START_TEST(window_of_uncounted_labels_is_a_batch)
{
    static double one[1000], many[1000], loss[100];
    size_t n, k;
    ignores = true;
    ck_all(trained(125, 1, one, &n) == 6);
    memcpy(loss, logged, sizeof loss);
    const int rows = rows_logged;
    ck_all(trained(25, 5, many, &k) == 6 && k == n);
    ck_all(furthest(one, many, n) < 1e-13 && same_bytes(many, n * sizeof *many));
    ck_all(rows_logged == rows && furthest(loss, logged, (size_t)rows) < 1e-13);
    ignores = false;
}
END_TEST

/* Where nothing is communicated the others cannot learn it. No rank waits. */
START_TEST(uncounted_labels_without_a_sum)
{
    job j = opened();
    static int32_t none[ROWS];
    for (int i = 0; i < ROWS; i++)
        none[i] = IGNORED;
    ignores = true;
    load(&j, 50, 1, none);
    weft_batch b;
    ck_all(weft_next(j.train, &b));
    weft_no_backward_sync_begin(j.model, true);
    weft_status s = weft_backward(j.f, loss_of(&j, &b));
    weft_no_backward_sync_end(j.model);
    ck_all(s == (all_world() > 1 ? WEFT_ESTATE : WEFT_OK));
    ck_all(weft_backward(j.f, weft_error(j.f) ? NULL : loss_of(&j, &b)) == s);
    ck_all((weft_close(&j.f) != 0) == (all_world() > 1));
    ignores = false;
}
END_TEST

/* torch's order: zero_grad after the step. */
START_TEST(zero_grad_last)
{
    static double one[1000], many[1000];
    size_t n;
    int steps = 0, postponed = 0;
    ck_all(trained(100, 1, one, &n) == 6);
    job j = opened();
    load(&j, 25, 2, data_y);
    ck_all(!weft_accumulate(j.f, 4));
    for (weft_batch b; weft_next(j.train, &b);) {
        bool more = weft_is_accumulating(j.f);
        weft_backward(j.f, loss_of(&j, &b));
        weft_status s = weft_step(j.sgd), z = weft_zero_grad(j.sgd);
        steps += s == WEFT_OK && !more && z == WEFT_OK;
        postponed += s == WEFT_POSTPONED && more && z == WEFT_POSTPONED;
    }
    ck_all(steps == 6 && postponed == 18 && weft_step_count(j.f) == 6);
    numbers_of(j.model, many);
    ck_all(furthest(one, many, n) < 1e-13 && !weft_close(&j.f));
}
END_TEST

/* One set of buckets a window, and nothing else between its batches. */
START_TEST(collectives)
{
    job j = opened();
    load(&j, 25, 1, data_y);
    int64_t each = all_world() > 1 ? 1 : 0, before, inside = 0;
    weft_batch b;
    ck_all(!weft_accumulate(j.f, 4));
    before = weft_traffic_count(j.f).gradient_reduces;
    for (int i = 0; weft_next(j.train, &b); i++) {
        int64_t at = weft_traffic_count(j.f).collectives;
        weft_zero_grad(j.sgd);
        ck_all(!weft_backward(j.f, loss_of(&j, &b)));
        weft_step(j.sgd);
        if (weft_is_accumulating(j.f))
            inside += weft_traffic_count(j.f).collectives - at;
    }
    ck_all(inside == 0);
    ck_all(weft_traffic_count(j.f).gradient_reduces - before == 3 * each);
    ck_all(!weft_close(&j.f));
}
END_TEST

/* No loader: batches of rows that only the ranks know, in windows of unequal rows. */
START_TEST(made_in_place)
{
    static double one[1000], many[1000];
    size_t n = 0;
    for (int pass = 0; pass < 2; pass++) {
        job j = opened();
        int64_t first = 0, w = all_world(), r = all_rank();
        int pieces = pass ? 3 : 1;
        ck_all(!weft_accumulate(j.f, pieces));
        for (int i = 0; i < pieces; i++) {
            int64_t global = pass ? 10 + 30 * i : 120; /* 10 + 40 + 70 */
            int64_t from = first + global * r / w, rows = first + global * (r + 1) / w - from;
            weft_tensor *x = weft_tensor_of(j.f, data_x + from * FEATURES, 2,
                                            (const int64_t[]){rows, FEATURES}, WEFT_F64);
            weft_tensor *y = weft_tensor_of(j.f, data_y + from, 1, &rows, WEFT_I32);
            weft_batch b = weft_batch_of(j.f, x, y, from, i == 1 ? global : 0);
            weft_zero_grad(j.sgd);
            weft_backward(j.f, loss_of(&j, &b));
            ck_all(weft_step(j.sgd) == (i + 1 < pieces ? WEFT_POSTPONED : WEFT_OK));
            ck_all(!weft_step_end(j.f));
            first += global;
        }
        n = numbers_of(j.model, pass ? many : one);
        ck_all(!weft_close(&j.f));
    }
    ck_all(furthest(one, many, n) < 1e-14);
}
END_TEST

/* Two losses of one batch, each by a backward of its own. */
START_TEST(two_losses)
{
    static double one[1000], many[1000];
    size_t n = 0;
    for (int pass = 0; pass < 2; pass++) {
        job j = opened();
        load(&j, pass ? 40 : 120, 1, data_y); /* 120 + 120 + 60 */
        ck_all(!weft_accumulate(j.f, pass ? 3 : 1));
        for (weft_batch b; weft_next(j.train, &b);) {
            weft_zero_grad(j.sgd);
            weft_backward(j.f, loss_of(&j, &b));
            weft_backward(j.f, weft_scale(loss_of(&j, &b), 0.5));
            weft_step(j.sgd);
        }
        n = numbers_of(j.model, pass ? many : one);
        ck_all(!weft_close(&j.f));
    }
    ck_all(furthest(one, many, n) < 1e-13);
}
END_TEST

START_TEST(sums_stay_sums)
{
    static double one[1000], many[1000];
    size_t n = 0;
    for (int pass = 0; pass < 2; pass++) {
        job j = opened();
        weft_set_lr(j.sgd, 1e-3);
        load(&j, pass ? 50 : 100, 1, data_y);
        ck_all(!weft_accumulate(j.f, pass ? 2 : 1));
        for (weft_batch b; weft_next(j.train, &b);) {
            weft_zero_grad(j.sgd);
            weft_backward(j.f, weft_cross_entropy_sum(weft_forward(j.model, b.x), b.y));
            weft_step(j.sgd);
        }
        n = numbers_of(j.model, pass ? many : one);
        ck_all(!weft_close(&j.f));
    }
    ck_all(furthest(one, many, n) < 1e-13);
}
END_TEST

START_TEST(sum_and_mean)
{
    job j = opened();
    weft_batch b;
    load(&j, 50, 1, data_y);
    ck_all(!weft_accumulate(j.f, 3) && weft_next(j.train, &b));
    ck_all(!weft_backward(j.f, loss_of(&j, &b)) && weft_next(j.train, &b));
    weft_tensor *sum = weft_cross_entropy_sum(weft_forward(j.model, b.x), b.y);
    ck_all(weft_backward(j.f, sum) == WEFT_EARG && strstr(weft_message(j.f), "weft_accumulate"));
    ck_all(!weft_clear(j.f) && !weft_close(&j.f));
}
END_TEST

/* By hand: three backwards without, one with. */
START_TEST(scopes)
{
    static double one[1000], many[1000];
    size_t n = 0;
    int64_t each = all_world() > 1 ? 1 : 0;
    for (int pass = 0; pass < 2; pass++) {
        job j = opened();
        int64_t first = weft_traffic_count(j.f).gradient_reduces;
        int i = 0;
        load(&j, 25, 1, data_y);
        for (weft_batch b; weft_next(j.train, &b); i++) {
            if (i % 4 == 0)
                weft_zero_grad(j.sgd);
            ck_all(!weft_no_backward_sync_begin(j.model, pass && i % 4 != 3));
            ck_all(!weft_backward(j.f, weft_scale(loss_of(&j, &b), 0.25)));
            ck_all(!weft_no_backward_sync_end(j.model));
            if (i % 4 == 3)
                ck_all(!weft_step(j.sgd));
        }
        ck_all(i == 12 &&
               weft_traffic_count(j.f).gradient_reduces - first == each * (pass ? 3 : 12));
        n = numbers_of(j.model, pass ? many : one);
        ck_all(!weft_close(&j.f));
    }
    ck_all(furthest(one, many, n) < 1e-13);
}
END_TEST

/* Two modules, one of them held: the other is summed, and carries the verdict. */
START_TEST(one_module_of_two)
{
    job j = opened();
    weft_module *other = small_net(j.f);
    weft_optimizer *o = weft_sgd(other, NULL);
    weft_batch b;
    double mine[1000];
    ck_all(!weft_setup(j.f, other, o));
    load(&j, 50, 1, data_y);
    for (int held = 0; held < 2; held++) {
        weft_module *m = held ? other : j.model;
        int64_t at = weft_traffic_count(j.f).gradient_reduces;
        ck_all(weft_next(j.train, &b) && !weft_zero_grad(j.sgd) && !weft_zero_grad(o));
        weft_tensor *loss =
            weft_add(loss_of(&j, &b), weft_cross_entropy(weft_forward(other, b.x), b.y));
        ck_all(!weft_no_backward_sync_begin(m, true) && !weft_backward(j.f, loss));
        ck_all(weft_traffic_count(j.f).gradient_reduces == at + (all_world() > 1));
        ck_all(!weft_step(held ? j.sgd : o));
        ck_all(weft_step(held ? o : j.sgd) == WEFT_ESTATE && !weft_clear(j.f));
        ck_all(!weft_no_backward_sync_end(m));
        size_t n = numbers_of(held ? j.model : other, mine);
        ck_all(same_bytes(mine, n * sizeof *mine));
    }
    ck_all(!weft_close(&j.f));
}
END_TEST

START_TEST(wrong_scopes)
{
    job j = opened();
    weft_module *fresh = small_net(j.f), *part = weft_nn_relu(j.f);
    weft_batch b;
    ck_all(weft_no_backward_sync_begin(NULL, true) == WEFT_EARG && !weft_error(j.f));
    ck_all(weft_no_backward_sync_begin(fresh, true) == WEFT_ESTATE);
    ck_all(strstr(weft_message(j.f), "not set up") && !weft_clear(j.f));
    weft_nn_sequential(j.f, part);
    ck_all(weft_no_backward_sync_begin(part, true) == WEFT_EARG && !weft_clear(j.f));
    ck_all(weft_no_backward_sync_end(j.model) == WEFT_ESTATE && !weft_clear(j.f));
    load(&j, 50, 1, data_y);
    ck_all(weft_next(j.train, &b) && !weft_no_backward_sync_begin(j.model, true));
    ck_all(!weft_no_backward_sync_begin(j.model, false)); /* the outer one still holds */
    ck_all(!weft_backward(j.f, loss_of(&j, &b)) && weft_step(j.sgd) == WEFT_ESTATE);
    ck_all(strstr(weft_message(j.f), "not summed") && weft_step_count(j.f) == 0);
    ck_all(!weft_clear(j.f) && !weft_no_backward_sync_end(j.model));
    ck_all(!weft_no_backward_sync_end(j.model) && !weft_close(&j.f));
}
END_TEST

START_TEST(wrong_windows)
{
    job j = opened();
    weft_batch b;
    ck_all(!weft_is_accumulating(j.f));
    for (int bad = 0; bad < all_world(); bad++) {
        ck_all(weft_accumulate(j.f, all_rank() == bad ? 0 : 4) == WEFT_EARG);
        ck_all(!weft_clear(j.f) && !weft_is_accumulating(j.f));
        weft_status s = weft_accumulate(j.f, all_rank() == bad ? 3 : 4);
        ck_all(s == (all_world() > 1 ? WEFT_ECONFIG : WEFT_OK) && weft_error(j.f) == s);
        ck_all(!weft_clear(j.f) && !weft_accumulate(j.f, 1));
    }
    load(&j, 50, 1, data_y);
    ck_all(!weft_accumulate(j.f, 3) && weft_next(j.train, &b));
    ck_all(!weft_backward(j.f, loss_of(&j, &b)) && weft_next(j.train, &b));
    ck_all(weft_accumulate(j.f, 2) == WEFT_ESTATE && strstr(weft_message(j.f), "inside a window"));
    ck_all(!weft_clear(j.f) && !weft_accumulate(j.f, 2) && !weft_close(&j.f));
    ck_all(!weft_is_accumulating(NULL));
}
END_TEST

/* A label spoilt in the first batch of a window, on one rank: the others go on until the window's
 * last backward, where all learn of it; no step is taken, and the loop goes on after weft_clear. */
START_TEST(error_inside)
{
    for (int bad = 0; bad < all_world(); bad++) {
        static int32_t spoilt[ROWS];
        static double before[1000], after[1000];
        job j = opened();
        weft_batch b;
        memcpy(spoilt, data_y, sizeof spoilt);
        load(&j, 25, 1, spoilt);
        ck_all(!weft_accumulate(j.f, 4));
        size_t n = numbers_of(j.model, before);
        for (int i = 0; i < 4; i++) {
            ck_all(weft_next(j.train, &b));
            if (i == 0 && all_rank() == bad) /* this batch's labels are read already */
                weft_fail(j.f, WEFT_EDATA, "spoilt on %d", bad);
            weft_zero_grad(j.sgd);
            weft_status s = weft_backward(j.f, loss_of(&j, &b));
            ck_all(s == (i == 3 || all_rank() == bad ? WEFT_EDATA : WEFT_OK));
            s = weft_step(j.sgd);
            ck_all(s == (i == 3 ? WEFT_EDATA : WEFT_POSTPONED));
            if (i == 1)
                ck_all(weft_save(j.f, "never") == WEFT_POSTPONED);
        }
        char words[32];
        snprintf(words, sizeof words, "spoilt on %d", bad);
        ck_all(weft_error(j.f) == WEFT_EDATA && strstr(weft_message(j.f), words));
        ck_all(numbers_of(j.model, after) == n && furthest(before, after, n) == 0);
        ck_all(!weft_clear(j.f));
        ck_all(loop(&j) == 2 && !weft_error(j.f) && weft_step_count(j.f) == 2);
        n = numbers_of(j.model, after);
        ck_all(same_bytes(after, n * sizeof *after) && furthest(before, after, n) > 0);
        ck_all(!weft_close(&j.f));
    }
}
END_TEST

/* A gradient that is not finite in the middle of a window stops its step. */
START_TEST(nonfinite_inside)
{
    job j = opened();
    weft_batch b;
    load(&j, 25, 1, data_y);
    ck_all(!weft_accumulate(j.f, 2) && weft_next(j.train, &b));
    ck_all(!weft_backward(j.f, weft_scale(loss_of(&j, &b), all_rank() ? 1 : INFINITY)));
    ck_all(weft_step(j.sgd) == WEFT_POSTPONED && weft_next(j.train, &b));
    ck_all(weft_backward(j.f, loss_of(&j, &b)) == WEFT_ENONFINITE);
    ck_all(weft_step(j.sgd) == WEFT_ENONFINITE && !weft_clear(j.f) && loop(&j) == 5);
    ck_all(!weft_close(&j.f));
}
END_TEST

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *at)
{
    (void)st, (void)flag, (void)at;
    return remove(path);
}

static void make_directory(char dir[64])
{
    snprintf(dir, 64, "accumulate-XXXXXX");
    int ok = all_rank() || mkdtemp(dir);
    MPI_Bcast(dir, 64, MPI_CHAR, 0, MPI_COMM_WORLD);
    ck_all(ok);
}

/* To the end, or out of the loop after some batches; a save is asked for inside the first window. */
static void train_in(const char *dir, int batches, double *out, size_t *n, int64_t *steps)
{
    job j = opened();
    load(&j, 25, 2, data_y);
    ck_all(!weft_accumulate(j.f, 5));
    ck_all(!weft_resume(j.f, dir));
    bool fresh = weft_step_count(j.f) == 0;
    for (weft_batch b; batches-- > 0 && weft_next(j.train, &b);) {
        weft_zero_grad(j.sgd);
        weft_backward(j.f, loss_of(&j, &b));
        if (fresh && weft_loader_position(j.train) == 2)
            ck_all(weft_save(j.f, dir) == WEFT_POSTPONED);
        weft_step(j.sgd);
    }
    *n = numbers_of(j.model, out);
    *steps = weft_step_count(j.f);
    ck_all(!weft_close(&j.f));
}

/* Left in the middle of a window, and resumed: the window is begun anew, and nothing is lost. */
START_TEST(resumed)
{
    static double whole[1000], parts[1000];
    for (int stop = 6; stop < 9; stop++) {
        char dir[64], path[96];
        size_t n, k;
        int64_t steps;
        make_directory(dir);
        train_in(dir, 100, whole, &n, &steps);
        ck_all(steps == 6);
        snprintf(path, sizeof path, "%s/step-000001/MANIFEST", dir);
        ck_all(access(path, R_OK) == 0); /* made after the window's step */
        if (all_rank() == 0)
            nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
        make_directory(dir);
        train_in(dir, stop + 5, parts, &k, &steps);
        ck_all(steps == (stop == 7 || stop == 8 ? 3 : 2));
        train_in(dir, 100, parts, &k, &steps);
        ck_all(steps == 6 && k == n && !memcmp(whole, parts, n * sizeof *whole));
        all_barrier();
        if (all_rank() == 0)
            nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("accumulate");
    TCase *t = tcase_create("windows");
    tcase_add_test(t, window_is_a_batch);
    tcase_add_test(t, window_of_uncounted_labels_is_a_batch);
    tcase_add_test(t, uncounted_labels_without_a_sum);
    tcase_add_test(t, zero_grad_last);
    tcase_add_test(t, collectives);
    tcase_add_test(t, made_in_place);
    tcase_add_test(t, two_losses);
    tcase_add_test(t, sums_stay_sums);
    tcase_add_test(t, sum_and_mean);
    tcase_add_test(t, scopes);
    tcase_add_test(t, one_module_of_two);
    tcase_add_test(t, wrong_scopes);
    tcase_add_test(t, wrong_windows);
    tcase_add_test(t, error_inside);
    tcase_add_test(t, nonfinite_inside);
    tcase_add_test(t, resumed);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv)
{
    weft_log_level(WEFT_LOG_SILENT);
    make_data();
    return all_main(&argc, &argv, suite);
}
