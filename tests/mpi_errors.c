/* One rank fails, all ranks learn of it at the same place, nothing has changed, nobody hangs, and
 * weft_clear goes on. Each case is tried with the first, the last and a middle rank failing. */
#include "mpi_train.h"

#include "core/alloc.h"

#include <ftw.h>
#include <time.h>
#include <weft/sys/dataset.h>
#include <weft/sys/logger.h>
#include <weft/sys/op.h>
#include <weft/sys/optimizer.h>

#define BATCH 12

typedef struct job {
    weft_fabric *f;
    weft_module *model;
    weft_optimizer *adam;
    weft_loader *train;
    double params[1000], before[1000];
    size_t n;
    double begun;
} job;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#define OPENED(...) opened(WEFT_OPEN(.seed = 3, .timeout = 20, __VA_ARGS__))

static job opened(const weft_open_options *o)
{
    job j = {.begun = now()};
    weft_open_mpi(&j.f, MPI_COMM_WORLD, o);
    j.model = small_net(j.f);
    j.adam = weft_adam(j.model, WEFT_ADAM(.lr = 1e-2));
    return j;
}

/* A loader over data that the calling test may have spoilt on one rank. */
static void load(job *j, const void *x, const void *y, int64_t epochs)
{
    j->train = weft_loader_arrays(j->f, 60, x, 1, &features, WEFT_F64, y, WEFT_I32,
                                  WEFT_LOADER(.global_batch = BATCH, .epochs = epochs));
    weft_setup_loader(j->f, j->train);
}

static job ready(int64_t epochs)
{
    job j = OPENED(.strategy = "ddp");
    weft_setup(j.f, j.model, j.adam);
    load(&j, data_x, data_y, epochs);
    return j;
}

static weft_status take_step(job *j, weft_tensor *loss)
{
    weft_zero_grad(j->adam);
    weft_backward(j->f, loss);
    return weft_step(j->adam);
}

static weft_tensor *loss_of(const job *j, const weft_batch *b)
{
    return weft_cross_entropy(weft_forward(j->model, b->x), b->y);
}

/* To the end of the loop. @return steps taken. */
static int loop(job *j)
{
    int steps = 0;
    for (weft_batch b; weft_next(j->train, &b);) {
        j->n = numbers_of(j->model, j->before);
        steps += take_step(j, loss_of(j, &b)) == 0;
    }
    return steps;
}

static int rank_in(const char *message, int rank)
{
    char text[32];
    snprintf(text, sizeof text, "rank %d", rank);
    return strstr(message, text) != NULL;
}

/* All ranks have this error, with this rank and these words in its message, within seconds. */
static int all_know(const job *j, weft_status code, int rank, const char *words)
{
    const char *message = weft_message(j->f);
    int ok = weft_error(j->f) == code && rank_in(message, rank) && strstr(message, words) &&
             now() - j->begun < 10;
    if (!ok)
        fprintf(stderr, "# %s, expected %s: %s\n", weft_status_name(weft_error(j->f)),
                weft_status_name(code), message);
    return ok;
}

/* The parameters are what they were before the step that failed, on all ranks. */
static int unchanged(job *j)
{
    size_t n = numbers_of(j->model, j->params);
    return n == j->n && memcmp(j->params, j->before, n * sizeof *j->params) == 0 &&
           same_bytes(j->params, n * sizeof *j->params);
}

static int alike(job *j)
{
    size_t n = numbers_of(j->model, j->params);
    return n > 0 && same_bytes(j->params, n * sizeof *j->params);
}

/* After weft_clear the rest is trained, on all ranks alike, and nothing sticks at the end. */
static int goes_on(job *j, int steps)
{
    int ok = weft_clear(j->f) == 0 && weft_error(j->f) == 0;
    int64_t before = weft_step_count(j->f);
    int done = loop(j);
    if (done != steps)
        fprintf(stderr, "# %d steps after weft_clear, expected %d\n", done, steps);
    ok &= done == steps && weft_step_count(j->f) == before + steps && alike(j);
    return ok && weft_error(j->f) == 0;
}

static int closes(job *j, int status)
{
    return weft_close(&j->f) == status && j->f == NULL && now() - j->begun < 10;
}

#define EACH_RANK(bad)                                                                             \
    for (int bad = 0; bad < all_world();                                                           \
         bad += bad == all_world() - 1 || all_world() < 3 ? 1 : all_world() - 1)

/* The global row at this rank's place in batch n, so that a sample of that rank's can be spoilt. */
static int64_t row_of(int rank, int batch)
{
    int64_t w = all_world(), each = BATCH / w, more = BATCH % w;
    return batch * BATCH + rank * each + (rank < more ? rank : more);
}

START_TEST(bad_label)
{
    static int32_t y[ROWS];
    char words[40];
    EACH_RANK(bad)
    {
        int64_t row = row_of(bad, 2);
        job j = OPENED(.strategy = "ddp");
        weft_setup(j.f, j.model, j.adam);
        memcpy(y, data_y, sizeof y);
        if (all_rank() == bad)
            y[row] = CLASSES;
        load(&j, data_x, y, 2);
        snprintf(words, sizeof words, "sample %d of the data set", (int)row);
        ck_all(loop(&j) == 2);
        ck_all(all_know(&j, WEFT_EDATA, bad, words) && unchanged(&j));
        ck_all(weft_step(j.adam) == WEFT_EDATA && unchanged(&j));
        ck_all(weft_backward(j.f, NULL) == WEFT_EDATA && weft_step_count(j.f) == 2);
        ck_all(!weft_clear(j.f) && loop(&j) == 4); /* to the same row of the next epoch */
        ck_all(all_know(&j, WEFT_EDATA, bad, words) && unchanged(&j) && weft_step_count(j.f) == 6);
        ck_all(goes_on(&j, 2) && closes(&j, 0));
    }
}
END_TEST

START_TEST(closing_with_an_error)
{
    static int32_t y[ROWS];
    EACH_RANK(bad)
    {
        job j = OPENED(.strategy = "ddp");
        weft_setup(j.f, j.model, j.adam);
        memcpy(y, data_y, sizeof y);
        if (all_rank() == bad)
            y[row_of(bad, 4)] = -1; /* the last batch */
        load(&j, data_x, y, 1);
        ck_all(loop(&j) == 4 && all_know(&j, WEFT_EDATA, bad, "label -1"));
        ck_all(weft_save(j.f, "nowhere") == WEFT_EDATA);
        ck_all(closes(&j, -WEFT_EDATA));
    }
}
END_TEST

static job with_nan(const char *policy, int bad)
{
    static double x[ROWS * FEATURES];
    job j = OPENED(.strategy = "ddp", .nonfinite = policy);
    weft_setup(j.f, j.model, j.adam);
    memcpy(x, data_x, sizeof x);
    if (all_rank() == bad)
        x[row_of(bad, 1) * FEATURES] = NAN;
    load(&j, x, data_y, 1);
    return j;
}

START_TEST(not_finite)
{
    EACH_RANK(bad)
    {
        job j = with_nan(NULL, bad);
        ck_all(loop(&j) == 1 && all_know(&j, WEFT_ENONFINITE, bad, "the loss is"));
        ck_all(unchanged(&j) && goes_on(&j, 3) && closes(&j, 0));
    }
}
END_TEST

START_TEST(not_finite_is_skipped)
{
    EACH_RANK(bad)
    {
        job j = with_nan("skip", bad);
        int n = 0, skipped = 0, same = 1;
        for (weft_batch b; weft_next(j.train, &b); n++) {
            j.n = numbers_of(j.model, j.before);
            weft_status s = take_step(&j, loss_of(&j, &b));
            skipped += s == WEFT_SKIPPED;
            same &= s <= 0 || unchanged(&j);
        }
        ck_all(n == 5 && skipped == 1 && same && !weft_error(j.f) && alike(&j));
        ck_all(weft_step_count(j.f) == 5 && weft_steps(j.adam) == 4 && closes(&j, 0));
    }
}
END_TEST

START_TEST(not_finite_is_ignored)
{
    EACH_RANK(bad)
    {
        job j = with_nan("ignore", bad);
        ck_all(loop(&j) == 5 && !weft_error(j.f));
        ck_all(numbers_of(j.model, j.params) > 0 && isnan(j.params[0]) && closes(&j, 0));
    }
}
END_TEST

/* What a rank may do wrong between weft_next and weft_backward. */
typedef enum wrong { SHAPE, STALE, FAIL, NO_LOSS, TWO_ELEMENTS, NO_GRAD, FOREIGN, WRONGS } wrong;

static const struct {
    weft_status code;
    const char *words;
} expected[] = {{WEFT_ESHAPE, "linear"},         {WEFT_EHANDLE, "stale"},
                {WEFT_EUSER, "mine, 42"},        {WEFT_EARG, "the loss is NULL"},
                {WEFT_ESHAPE, "must have one"},  {WEFT_ESTATE, "does not depend"},
                {WEFT_EHANDLE, "another fabric"}};

static weft_tensor *do_wrong(const job *j, wrong w, const weft_batch *b, weft_tensor *stale,
                             weft_tensor *foreign)
{
    const int64_t any = -1;
    weft_tensor *loss = NULL;
    switch (w) {
    case SHAPE:
        return weft_cross_entropy(weft_forward(j->model, weft_reshape(b->x, 1, &any)), b->y);
    case STALE:
        return weft_cross_entropy(weft_forward(j->model, stale), b->y);
    case FAIL:
        weft_fail(j->f, WEFT_EUSER, "mine, %d", 42);
        return loss_of(j, b);
    case TWO_ELEMENTS:
        return weft_forward(j->model, b->x);
    case NO_GRAD:
        weft_eval_begin(j->f);
        loss = loss_of(j, b);
        weft_eval_end(j->f);
        return loss;
    case FOREIGN:
        return foreign;
    default:
        return NULL;
    }
}

/* Each mistake, in the first step of all and in a later one. */
START_TEST(one_rank_does_wrong)
{
    for (int w = 0; w < WRONGS; w++)
        EACH_RANK(bad)
    for (int at = 0; at < 3; at += 2) {
        weft_fabric *other;
        weft_open_mpi(&other, MPI_COMM_SELF, NULL);
        weft_tensor *stale = NULL, *foreign = weft_full(other, 1, 0, NULL, WEFT_DEFAULT);
        job j = ready(1);
        int step = 0, good = 0;
        for (weft_batch b; weft_next(j.train, &b); step++) {
            int here = step == at && all_rank() == bad;
            j.n = numbers_of(j.model, j.before);
            stale = stale ? stale : weft_full(j.f, 0, 1, &features, WEFT_DEFAULT);
            weft_tensor *old = at ? stale : (weft_tensor *)((uintptr_t)b.x + 77);
            good +=
                !take_step(&j, here ? do_wrong(&j, (wrong)w, &b, old, foreign) : loss_of(&j, &b));
        }
        ck_all(good == at && step == at + 1);
        ck_all(all_know(&j, expected[w].code, bad, expected[w].words) && unchanged(&j));
        ck_all(goes_on(&j, 4 - at) && closes(&j, 0) && weft_close(&other) == 0);
    }
}
END_TEST

/* Between weft_backward and weft_step: that step is taken by all, the edge tells. */
START_TEST(error_after_backward)
{
    EACH_RANK(bad)
    for (int at = 0; at < 5; at += 2) { /* the first, a middle one, the last */
        job j = ready(1);
        int step = 0, good = 0;
        for (weft_batch b; weft_next(j.train, &b); step++) {
            weft_zero_grad(j.adam);
            weft_backward(j.f, loss_of(&j, &b));
            if (step == at && all_rank() == bad)
                weft_fail(j.f, WEFT_EUSER, "after backward");
            good += !weft_step(j.adam);
        }
        ck_all(good == at + 1 && all_know(&j, WEFT_EUSER, bad, "after backward"));
        ck_all(alike(&j) && weft_loader_position(j.train) == (at < 4 ? at + 2 : 5));
        ck_all(goes_on(&j, at < 4 ? 3 - at : 0) && closes(&j, 0));
    }
}
END_TEST

/* A failing weft_log does not stick; a stale handle in it does, and the edge tells. */
START_TEST(errors_in_log)
{
    EACH_RANK(bad)
    {
        job j = ready(1);
        weft_tensor *stale = NULL;
        int step = 0;
        for (weft_batch b; weft_next(j.train, &b); step++) {
            weft_tensor *loss = loss_of(&j, &b), *z = weft_forward(j.model, b.x);
            stale = stale ? stale : loss;
            take_step(&j, loss);
            ck_assert(
                !(weft_log(j.f, "z", all_rank() == bad && step == 1 ? z : loss) && step != 1));
            weft_log(j.f, "loss", all_rank() == bad && step == 3 ? stale : loss);
        }
        ck_all(step == 5 && all_know(&j, WEFT_EHANDLE, bad, "stale"));
        ck_all(closes(&j, -WEFT_EHANDLE));
    }
}
END_TEST

/* Metrics that only one rank logs are not combined; the training goes on. */
START_TEST(log_on_one_rank)
{
    EACH_RANK(bad)
    {
        job j = OPENED(.strategy = "ddp", .log_every = 2);
        weft_setup(j.f, j.model, j.adam);
        load(&j, data_x, data_y, 3);
        int steps = 0;
        for (weft_batch b; weft_next(j.train, &b); steps++) {
            weft_tensor *loss = loss_of(&j, &b);
            ck_assert(!take_step(&j, loss));
            if (all_rank() == bad)
                weft_log(j.f, "loss", loss);
        }
        ck_all(steps == 15 && !weft_error(j.f) && alike(&j) && closes(&j, 0));
    }
}
END_TEST

typedef struct heard {
    double value[4];
    int n;
} heard;

static heard ears;

static weft_status hear(void *self, const weft_record *r)
{
    (void)self;
    for (int64_t i = 0; i < r->n && ears.n < 4; i++)
        ears.value[ears.n++] = r->value[i];
    return WEFT_OK;
}

/* Two metrics in another order on one rank: they are left out, not mixed. */
START_TEST(log_in_another_order)
{
    static const weft_logger_ops ops = {.size = sizeof ops, .name = "hear", .record = hear};
    EACH_RANK(bad)
    {
        job j = OPENED(.log_every = 1);
        int here = all_rank() == bad;
        ears.n = 0;
        weft_logger_new(j.f, &ops, NULL, 0);
        weft_log(j.f, here ? "b" : "a", weft_full(j.f, here ? 2 : 1, 0, NULL, 0));
        weft_log(j.f, here ? "a" : "b", weft_full(j.f, here ? 1 : 2, 0, NULL, 0));
        ck_all(!weft_step_end(j.f));
        ck_all(all_world() == 1 ? ears.n == 2 : ears.n == 0);
        ck_all(closes(&j, 0));
    }
}
END_TEST

static int said;

static void count_errors(void *user, weft_level level, const char *text)
{
    (void)user, (void)text;
    said += level == WEFT_LOG_ERROR;
}

/* A peer that does not come is said by each rank that waited, and what is collective fails from
 * then on. */
START_TEST(saving_and_closing_without_a_peer)
{
    for (int closing = 0; closing < 2 && all_world() > 1; closing++) {
        job j = opened(WEFT_OPEN(.timeout = 0.5));
        int waits = all_rank() != 0, ok = 1;
        said = 0;
        weft_log_level(WEFT_LOG_ERROR);
        weft_log_to(count_errors, NULL);
        if (waits && !closing)
            ok = weft_save(j.f, "never") == WEFT_ETIMEOUT && weft_save(j.f, "never") < 0 &&
                 weft_error(j.f) == WEFT_ETIMEOUT;
        if (waits)
            ok = weft_close(&j.f) == -WEFT_ETIMEOUT && said == 1 && ok;
        ck_all(ok);
        if (!waits)
            weft_close(&j.f);
        weft_log_to(NULL, NULL);
        weft_log_level(WEFT_LOG_SILENT);
        ck_all(1);
    }
}
END_TEST

/* A data set whose read of one row fails on one rank. */
typedef struct broken {
    int64_t row;
} broken;

static weft_status read_rows(void *self, int field, const int64_t *row, int64_t n, void *out,
                             char *why, size_t size)
{
    const broken *d = self;
    for (int64_t i = 0; i < n; i++) {
        if (row[i] == d->row) {
            snprintf(why, size, "row %d is on a broken disk", (int)row[i]);
            return WEFT_EIO;
        }
        if (field == 0)
            memcpy((double *)out + i * FEATURES, data_x + row[i] * FEATURES,
                   sizeof(double[FEATURES]));
        else
            ((int32_t *)out)[i] = data_y[row[i]];
    }
    return WEFT_OK;
}

static const weft_dataset_ops broken_ops = {
    .size = sizeof broken_ops, .name = "broken", .read = read_rows};

START_TEST(read_error)
{
    static const weft_field field[WEFT_FIELDS] = {
        {.present = true, .dtype = WEFT_F64, .rank = 1, .shape = {FEATURES}},
        {.present = true, .dtype = WEFT_I32}};
    EACH_RANK(bad)
    for (int at = 0; at < 5; at += 2) {
        broken d = {.row = all_rank() == bad ? row_of(bad, at) : -1};
        job j = OPENED(.strategy = "ddp");
        weft_setup(j.f, j.model, j.adam);
        j.train =
            weft_loader_new(j.f, &broken_ops, &d, 60, field,
                            WEFT_LOADER(.global_batch = BATCH, .prefetch = at ? 0 : WEFT_OFF));
        ck_all(!weft_setup_loader(j.f, j.train));
        ck_all(loop(&j) == at && all_know(&j, WEFT_EIO, bad, "broken disk") && unchanged(&j));
        ck_all(goes_on(&j, 4 - at) && closes(&j, 0));
    }
}
END_TEST

START_TEST(setup_twice)
{
    job j = ready(1);
    ck_all(weft_setup(j.f, j.model, NULL) == WEFT_ESTATE && strstr(weft_message(j.f), "once"));
    ck_all(!weft_clear(j.f) && weft_setup_optimizer(j.f, j.adam) == WEFT_ESTATE);
    ck_all(!weft_clear(j.f) && weft_setup_loader(j.f, j.train) == WEFT_ESTATE);
    ck_all(goes_on(&j, 5) && closes(&j, 0));
}
END_TEST

START_TEST(setup_fails_on_one_rank)
{
    EACH_RANK(bad)
    {
        job j = OPENED(.strategy = "ddp");
        int here = all_rank() == bad;
        weft_module *child = weft_nn_linear(j.f, 2, 2), *parent = weft_nn_sequential(j.f, child);
        ck_all(parent && weft_setup(j.f, here ? NULL : parent, NULL) == WEFT_EARG);
        ck_all(all_know(&j, WEFT_EARG, bad, "NULL") && !weft_clear(j.f));
        ck_all(weft_setup(j.f, here ? child : parent, NULL) == WEFT_EARG);
        ck_all(all_know(&j, WEFT_EARG, bad, "part of another") && !weft_clear(j.f));
        ck_all(!weft_setup_module(j.f, j.model));
        ck_all(weft_setup_optimizer(j.f, here ? NULL : j.adam) == WEFT_EARG);
        ck_all(!weft_clear(j.f) && weft_setup_loader(j.f, NULL) == WEFT_EARG);
        ck_all(!weft_clear(j.f));
        ck_all(closes(&j, 0));
    }
}
END_TEST

START_TEST(setup_of_different_modules)
{
    int many = all_world() > 1;
    EACH_RANK(bad)
    {
        job j = OPENED(.strategy = "ddp");
        int64_t wide = all_rank() == bad ? 9 : 8;
        weft_module *m = weft_nn_sequential(j.f, weft_nn_linear(j.f, FEATURES, wide),
                                            weft_nn_linear(j.f, wide, CLASSES));
        ck_all(weft_setup(j.f, m, weft_adam(m, NULL)) == (many ? WEFT_ECONFIG : 0));
        ck_all(!many || strstr(weft_message(j.f), "digest"));
        ck_all(closes(&j, many ? -WEFT_ECONFIG : 0));
        j = OPENED(.strategy = "ddp");
        j.train = weft_loader_arrays(j.f, all_rank() == bad ? 61 : 60, data_x, 1, &features,
                                     WEFT_F64, NULL, WEFT_I32, WEFT_LOADER(.global_batch = BATCH));
        ck_all(weft_setup_loader(j.f, j.train) == (many ? WEFT_ECONFIG : 0));
        ck_all(!many || strstr(weft_message(j.f), "61 rows"));
        ck_all(closes(&j, many ? -WEFT_ECONFIG : 0));
    }
}
END_TEST

START_TEST(different_options)
{
    int many = all_world() > 1, status = many ? -WEFT_ECONFIG : 0;
    EACH_RANK(bad)
    {
        job j = opened(WEFT_OPEN(.seed = all_rank() == bad ? 4 : 3));
        ck_all(weft_error(j.f) == -status && (!many || strstr(weft_message(j.f), "seed")));
        ck_all(closes(&j, status));
        j = opened(WEFT_OPEN(.nonfinite = all_rank() == bad ? "skip" : "ignore"));
        ck_all(weft_error(j.f) == -status && closes(&j, status));
    }
}
END_TEST

/* A variable that only one rank has, before it could talk to the others. */
START_TEST(open_fails_on_one_rank)
{
    static const struct {
        const char *variable, *value;
        weft_status code;
    } bad_one[] = {{"WEFT_THREADS", "x", WEFT_EARG},     {"WEFT_DEVICES", "0", WEFT_EARG},
                   {"WEFT_STRATEGY", "dpp", WEFT_EARG},  {"WEFT_PRECISION", "8", WEFT_EARG},
                   {"WEFT_NONFINITE", "no", WEFT_EARG},  {"WEFT_ACCELERATOR", "tpu", WEFT_ENOTSUP},
                   {"WEFT_NUM_NODES", "7", WEFT_ECONFIG}};
    EACH_RANK(bad)
    for (int i = 0; i < 7; i++) {
        job j = {.begun = now()};
        if (all_rank() == bad)
            setenv(bad_one[i].variable, bad_one[i].value, 1);
        weft_status s = weft_open(&j.f, NULL, NULL, WEFT_OPEN(.timeout = 20));
        unsetenv(bad_one[i].variable);
        ck_all(s == bad_one[i].code && all_know(&j, s, bad, ""));
        ck_all(closes(&j, -s));
    }
}
END_TEST

START_TEST(out_of_order)
{
    job j = OPENED(.strategy = "ddp");
    ck_all(weft_step(j.adam) == WEFT_ESTATE && strstr(weft_message(j.f), "not set up"));
    ck_all(weft_step_end(j.f) == WEFT_ESTATE && !weft_clear(j.f));
    ck_all(!weft_setup(j.f, j.model, j.adam));
    ck_all(weft_step(j.adam) == WEFT_ESTATE && strstr(weft_message(j.f), "without weft_backward"));
    ck_all(!weft_clear(j.f) && weft_backward(j.f, NULL) == WEFT_EARG);
    ck_all(!weft_clear(j.f) && weft_step_count(j.f) == 0);
    load(&j, data_x, data_y, 1);
    ck_all(goes_on(&j, 5) && closes(&j, 0));
}
END_TEST

START_TEST(out_of_order_on_one_rank)
{
    EACH_RANK(bad)
    {
        job j = ready(1);
        int here = all_rank() == bad;
        if (here)
            ck_assert(weft_step(j.adam) == WEFT_ESTATE);
        ck_all(weft_step_end(j.f) == WEFT_ESTATE && all_know(&j, WEFT_ESTATE, bad, "backward"));
        ck_all(goes_on(&j, 5));
        double v[2] = {1, all_rank()};
        if (here)
            weft_fail(j.f, WEFT_EDATA, "nothing to sum");
        ck_all(weft_sum_over_ranks(j.f, v, 2) == WEFT_EDATA && v[0] == 1 && v[1] == all_rank());
        ck_all(!weft_clear(j.f));
        ck_all(weft_sum_over_ranks(j.f, v, here ? -1 : 2) == WEFT_EARG && v[0] == 1);
        ck_all(!weft_clear(j.f) && !weft_sum_over_ranks(j.f, v, 2) && v[0] == all_world());
        ck_all(closes(&j, 0));
    }
}
END_TEST

/* An evaluation that fails on one rank ends there early; the sum tells. */
START_TEST(evaluation)
{
    static int32_t y[ROWS];
    EACH_RANK(bad)
    {
        job j = ready(1);
        memcpy(y, data_y, sizeof y);
        if (all_rank() == bad)
            y[row_of(bad, 1)] = 99;
        weft_loader *test =
            weft_loader_arrays(j.f, 60, data_x, 1, &features, WEFT_F64, y, WEFT_I32,
                               WEFT_LOADER(.global_batch = BATCH, .evaluation = true));
        double sum = 0, count = 0;
        weft_eval_begin(j.f);
        for (weft_batch b; weft_next(test, &b); count++)
            sum += weft_item(weft_cross_entropy_sum(weft_forward(j.model, b.x), b.y));
        weft_eval_end(j.f);
        ck_all(count == (all_rank() == bad ? 2 : 5) && (all_rank() == bad || isfinite(sum)));
        ck_all(weft_sum_over_ranks(j.f, &sum, 1) == WEFT_EDATA);
        ck_all(all_know(&j, WEFT_EDATA, bad, "label 99") && goes_on(&j, 5) && closes(&j, 0));
    }
}
END_TEST

/* An evaluation of one rank alone leaves nothing for the others to take part in. */
START_TEST(evaluation_of_data_in_place)
{
    EACH_RANK(alone)
    {
        job j = ready(1);
        int steps = 0;
        for (weft_batch b; weft_next(j.train, &b); steps++) {
            weft_eval_begin(j.f);
            if (all_rank() == alone)
                weft_batch_of(j.f, weft_full(j.f, 1, 1, &features, 0), NULL, 0, 0);
            weft_eval_end(j.f);
            take_step(&j, loss_of(&j, &b));
        }
        ck_all(steps == 5 && !weft_error(j.f) && alike(&j) && closes(&j, 0));
    }
}
END_TEST

/* Failures of saving do not stick; those of loading do. */
START_TEST(checkpoints)
{
    EACH_RANK(bad)
    {
        job j = ready(1);
        int here = all_rank() == bad;
        weft_batch b;
        ck_all(weft_next(j.train, &b) && !take_step(&j, loss_of(&j, &b)));
        ck_all(weft_save(j.f, "/proc/no/such/place") < 0 && !weft_error(j.f));
        ck_all(*weft_message(j.f) != '\0');
        ck_all(weft_save_async(j.f, "/dev/null/x") < 0 && !weft_error(j.f));
        ck_all(weft_save(j.f, here ? NULL : "/proc/no") < 0 && !weft_error(j.f));
        ck_all(weft_save(j.f, here ? "/proc/other" : "/proc/no") < 0 && !weft_error(j.f));
        ck_all(loop(&j) == 4);
        ck_all(!weft_resume(j.f, "/proc/no/such/place") && !weft_error(j.f));
        ck_all(weft_load(j.f, here ? NULL : "/proc/no") == WEFT_EARG);
        ck_all(all_know(&j, WEFT_EARG, bad, "NULL") && !weft_clear(j.f));
        ck_all(weft_load(j.f, "/proc/no") < 0 && weft_error(j.f) < 0 && !weft_clear(j.f));
        ck_all(weft_resume(j.f, here ? NULL : "/proc/no") == WEFT_EARG && !weft_clear(j.f));
        if (here)
            weft_fail(j.f, WEFT_EDATA, "no loading after this");
        ck_all(weft_resume(j.f, "/proc/no") == WEFT_EDATA && !weft_clear(j.f));
        ck_all(closes(&j, 0));
    }
}
END_TEST

/* An optimizer of the user's that fails on one rank: ranks still count steps alike. */
static weft_status update(weft_stream *s, const weft_kernels *k, void *self,
                          const weft_optim_run *r, int64_t t, double lr)
{
    (void)s, (void)k, (void)r, (void)lr;
    return t == 2 && *(int *)self ? WEFT_EUSER : WEFT_OK;
}

START_TEST(update_fails_on_one_rank)
{
    static const weft_optim_ops ops = {.size = sizeof ops, .name = "lazy", .update = update};
    EACH_RANK(bad)
    {
        job j = {.begun = now()};
        int here = all_rank() == bad, steps = 0;
        weft_open_mpi(&j.f, MPI_COMM_WORLD, WEFT_OPEN(.timeout = 20));
        j.model = small_net(j.f);
        j.adam = weft_optimizer_new(j.model, &ops, &here, sizeof here, 0.1);
        weft_setup(j.f, j.model, j.adam);
        load(&j, data_x, data_y, 1);
        for (weft_batch b; weft_next(j.train, &b); steps++)
            take_step(&j, loss_of(&j, &b));
        ck_all(steps == 3 && weft_error(j.f) == WEFT_EUSER && weft_step_count(j.f) == 2);
        ck_all(closes(&j, -WEFT_EUSER));
    }
}
END_TEST

static int remove_one(const char *path, const struct stat *s, int type, struct FTW *where)
{
    (void)s, (void)type, (void)where;
    return remove(path);
}

/* A directory of rank 0's making, or its end. */
static void make_directory(char dir[64])
{
    snprintf(dir, 64, "/tmp/weft-errors-XXXXXX");
    int ok = all_rank() || mkdtemp(dir);
    ck_all(ok);
    MPI_Bcast(dir, 64, MPI_CHAR, 0, MPI_COMM_WORLD);
}

static void remove_directory(const char *dir)
{
    all_barrier();
    if (all_rank() == 0)
        nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Opens, trains, saves and loads, with the n-th allocation failing on one rank. @return whether nobody had
 * to wait for a peer that did not come; *left: what was left of n there. */
static int short_of_memory(int bad, long n, long *left)
{
    job j = {.begun = now()};
    weft_batch b;
    char dir[64];
    make_directory(dir);
    weft__fail_alloc(all_rank() == bad ? n : 0);
    if (!weft_open_mpi(&j.f, MPI_COMM_WORLD, WEFT_OPEN(.timeout = 20, .log_every = 2))) {
        j.model = small_net(j.f);
        j.adam = weft_adam(j.model, NULL);
        weft_setup(j.f, j.model, j.adam);
        load(&j, data_x, data_y, 1);
        for (int k = 0; weft_next(j.train, &b); k++) {
            weft_tensor *loss = loss_of(&j, &b);
            take_step(&j, loss);
            weft_log(j.f, "loss", loss);
            if (k == 2)
                weft_save(j.f, dir);
        }
        weft_resume(j.f, dir);
        weft_barrier(j.f);
    }
    *left = weft__fail_alloc(0);
    int lost = weft_error(j.f) == WEFT_ETIMEOUT || weft_error(j.f) == WEFT_EPEER;
    int status = weft_close(&j.f), least;
    MPI_Allreduce(&status, &least, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    MPI_Bcast(left, 1, MPI_LONG, bad, MPI_COMM_WORLD);
    remove_directory(dir);
    return !lost && now() - j.begun < 16 && status == least; /* a GPU opens slowly */
}

/* From the first allocation after the fabric's own two, without which a rank has nothing to speak
 * with, to the last: all ranks come to the same end. */
START_TEST(no_memory_on_one_rank)
{
    int bad = all_world() == 3 ? 0 : all_world() - 1;
    int stride = all_world() < 3 ? 1 : 4; /* more ranks are slower; fewer have tried them all */
    for (long n = all_world() == 4 ? 5 : 3, left = 0; left <= 0; n += stride) {
        int ok = short_of_memory(bad, n, &left);
        if (!ok)
            fprintf(stderr, "# allocation %ld\n", n);
        ck_all(ok);
    }
}
END_TEST

/* Codes that are no codes still become something fit for main. */
START_TEST(exit_status)
{
    for (int code = -1; code > -70000; code = code * 3 - 1) {
        job j = {.begun = now()};
        weft_open_mpi(&j.f, MPI_COMM_WORLD, NULL);
        weft_fail(j.f, (weft_status)code, "%s", "100%");
        ck_all(strstr(weft_message(j.f), "100%") && closes(&j, code > -125 ? -code : 125));
    }
    ck_all(weft_close(NULL) == 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("errors");
    TCase *t = tcase_create("one rank fails");
    make_data();
    tcase_add_test(t, bad_label);
    tcase_add_test(t, closing_with_an_error);
    tcase_add_test(t, not_finite);
    tcase_add_test(t, not_finite_is_skipped);
    tcase_add_test(t, not_finite_is_ignored);
    tcase_add_test(t, one_rank_does_wrong);
    tcase_add_test(t, error_after_backward);
    tcase_add_test(t, errors_in_log);
    tcase_add_test(t, log_on_one_rank);
    tcase_add_test(t, log_in_another_order);
    tcase_add_test(t, read_error);
    tcase_add_test(t, setup_twice);
    tcase_add_test(t, setup_fails_on_one_rank);
    tcase_add_test(t, setup_of_different_modules);
    tcase_add_test(t, different_options);
    tcase_add_test(t, open_fails_on_one_rank);
    tcase_add_test(t, out_of_order);
    tcase_add_test(t, out_of_order_on_one_rank);
    tcase_add_test(t, evaluation);
    tcase_add_test(t, evaluation_of_data_in_place);
    tcase_add_test(t, checkpoints);
    tcase_add_test(t, update_fails_on_one_rank);
    tcase_add_test(t, no_memory_on_one_rank);
    tcase_add_test(t, exit_status);
    tcase_add_test(t, saving_and_closing_without_a_peer);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv)
{
    weft_log_level(WEFT_LOG_SILENT);
    return all_main(&argc, &argv, suite);
}
