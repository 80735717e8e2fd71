/* Optimizers on several ranks: N ranks equal one, for groups, parts of a tree and closures; state goes
 * to another number of ranks; and what is wrong on one rank is known to all. */
#include "mpi_train.h"

#include "core/error.h"
#include "device/device.h"
#include "optim/optimizer.h"

#include <unistd.h>

#define BATCH 30
#define EACH_RANK(bad) for (int bad = 0; bad < all_world(); bad++)

typedef struct job {
    weft_fabric *f;
    weft_module *body, *head, *model;
    weft_optimizer *a, *b; /* b: of the head, or NULL */
    int64_t first;         /* row of the batch */
    int bad;               /* the rank on which the closure fails at evaluation `when` */
    int when, calls;
    enum { MEAN, SUM, WEIGHTED } loss;
    bool no_loss;
} job;

/* --- ways to train --- */

static void adamw_groups(job *j)
{
    j->a = weft_adamw(j->model, WEFT_ADAMW(.lr = 1e-2, .amsgrad = true));
    weft_group(j->a, "*.bias", WEFT_GROUP(.weight_decay = WEFT_OFF, .lr = 3e-2));
    weft_group_module(j->a, j->head, WEFT_GROUP(.beta1 = 0.5));
    weft_set_schedule(j->a, WEFT_SCHEDULE(.kind = "step", .step_size = 3, .gamma = 0.5));
}

static void two_parts(job *j)
{
    j->a = weft_rmsprop(j->body, WEFT_RMSPROP(.momentum = 0.5, .centered = true, .eps = 1e-2));
    j->b = weft_adagrad(j->head, WEFT_ADAGRAD(.initial_accumulator_value = 0.1));
}

static void plateau(job *j)
{
    j->a = weft_sgd(j->model, WEFT_SGD(.lr = 0.1, .momentum = 0.9, .dampening = 0.2));
    weft_set_schedule(j->a, WEFT_SCHEDULE(.kind = "plateau", .patience = 1, .factor = 0.5));
}

static void lbfgs(job *j)
{
    j->a = weft_lbfgs(j->model,
                      WEFT_LBFGS(.max_iter = 4, .history_size = 3, .line_search = "strong_wolfe"));
}

static void lbfgs_of_the_head(job *j)
{
    j->a = weft_lbfgs(j->head, WEFT_LBFGS(.lr = 0.2, .max_iter = 3, .history_size = 2));
    j->b = weft_sgd(j->body, WEFT_SGD(.lr = 0.1));
}

/* Whole matrices, and biases in a group of their own. */
static void muon(job *j)
{
    j->a = weft_muon(j->model, WEFT_MUON(.lr = 0.02));
    weft_group(j->a, "*.bias", WEFT_GROUP(.lr = 1e-2, .weight_decay = WEFT_OFF));
    weft_group_module(j->a, j->head, WEFT_GROUP(.adamw = 1));
}

static void (*const way[])(job *j) = {adamw_groups, two_parts,         plateau,
                                      lbfgs,        lbfgs_of_the_head, muon};
#define WAYS 6

static job opened(MPI_Comm comm, void (*make)(job *j))
{
    job j = {.bad = -1};
    weft_open_mpi(&j.f, comm, WEFT_OPEN(.precision = "64-true", .seed = 3, .timeout = 20));
    j.body = weft_nn_sequential(j.f, weft_nn_linear(j.f, FEATURES, 8), weft_nn_relu(j.f));
    j.head = weft_nn_linear(j.f, 8, CLASSES);
    j.model = weft_nn_sequential(j.f, j.body, j.head);
    make(&j);
    return j;
}

static weft_status set_up(job *j)
{
    weft_status s = weft_setup(j->f, j->model, j->a);
    return !s && j->b ? weft_setup_optimizer(j->f, j->b) : s;
}

/* This rank's rows of the batch: the last rank has none, where there are more than two. */
static weft_batch rows(const job *j)
{
    int64_t w = weft_world_size(j->f), r = weft_global_rank(j->f), parts = w > 2 ? w - 1 : w;
    int64_t from = r < parts ? BATCH * r / parts : BATCH;
    int64_t to = r < parts ? BATCH * (r + 1) / parts : BATCH, n = to - from;
    weft_tensor *x = weft_tensor_of(j->f, data_x + (j->first + from) * FEATURES, 2,
                                    (const int64_t[]){n, FEATURES}, WEFT_F64);
    weft_tensor *y = weft_tensor_of(j->f, data_y + j->first + from, 1, &n, WEFT_I32);
    return weft_batch_of(j->f, x, y, j->first + from, BATCH);
}

static weft_tensor *loss_of(const job *j, weft_tensor *z, weft_tensor *y)
{
    if (j->loss == SUM)
        return weft_scale(weft_cross_entropy_sum(z, y), 1.0 / BATCH);
    return j->loss == MEAN ? weft_cross_entropy(z, y)
                           : weft_cross_entropy_with(z, y, WEFT_CROSS_ENTROPY(.ignore_index = 2));
}

static weft_tensor *closure(void *user)
{
    job *j = user;
    if (++j->calls == j->when && all_rank() == j->bad && !j->no_loss)
        weft_fail(j->f, WEFT_EUSER, "only here");
    weft_batch b = rows(j);
    weft_tensor *z = weft_forward(j->model, b.x);
    weft_tensor *loss = loss_of(j, z, b.y);
    weft_zero_grad(j->a);
    if (j->b)
        weft_zero_grad(j->b);
    weft_backward(j->f, loss);
    return j->calls == j->when && all_rank() == j->bad ? NULL : loss;
}

static weft_status train(job *j, int from, int steps)
{
    for (int i = from; i < from + steps; i++) {
        j->first = i * BATCH % (ROWS - BATCH);
        weft_status s = weft_step_closure(j->a, closure, j);
        if (!s && j->b)
            s = weft_step(j->b);
        if (!s && j->a->schedule.rate == weft__plateau_rate) /* rank by rank another value */
            s = weft_schedule_metric(j->a, i + 0.25 * weft_global_rank(j->f));
        if (s || weft_step_end(j->f))
            return s ? s : weft_error(j->f);
    }
    return WEFT_OK;
}

static double mine[NUMBERS], theirs[NUMBERS], before[NUMBERS];

/* --- N is one --- */

START_TEST(n_is_one)
{
    void (*make)(job * j) = way[_i / 3];
    job j = opened(MPI_COMM_WORLD, make), one = opened(MPI_COMM_SELF, make);
    j.loss = one.loss = _i % 3;
    ck_all(!set_up(&j) && !set_up(&one));
    ck_all(!train(&j, 0, 10) && !train(&one, 0, 10));
    size_t n = numbers_of(j.model, mine);
    ck_all(numbers_of(one.model, theirs) == n && j.calls == one.calls);
    ck_all(same_bytes(mine, n * sizeof *mine));
    double d = furthest(mine, theirs, n);
    if (!(d <= 1e-9))
        fprintf(stderr, "# way %d: %g apart\n", _i / 3, d);
    ck_all(d <= 1e-9);
    ck_all(make == plateau || weft_lr(j.a) == weft_lr(one.a));
    ck_all(weft_close(&j.f) == 0 && weft_close(&one.f) == 0);
}
END_TEST

/* --- state on another number of ranks --- */

typedef struct listing {
    weft_visitor v;
    const weft_fabric *f;
    unsigned char *at;
    size_t n;
} listing;

static weft_status list(weft_visitor *v, const weft_state_item *item)
{
    listing *l = (listing *)v;
    for (int i = 0; item->kind == WEFT_STATE_TENSOR && i < item->nslabs; i++) {
        size_t bytes = (size_t)item->slabs[i].count * weft_dtype_size(item->dtype);
        WEFT_TRY(
            l->f->device->ops->download(l->f->stream, l->at + l->n, item->slabs[i].data, bytes));
        l->n += bytes;
    }
    if (item->kind != WEFT_STATE_TENSOR) {
        memcpy(l->at + l->n, item->values, (size_t)item->count * 8);
        l->n += (size_t)item->count * 8;
    }
    return WEFT_OK;
}

static size_t state_of(const job *j, double *out)
{
    listing l = {
        .v = {.mode = WEFT_VISIT_SAVE, .item = list}, .f = j->f, .at = (unsigned char *)out};
    weft__optim_state(j->a, &l.v);
    if (j->b)
        weft__optim_state(j->b, &l.v);
    return l.n;
}

START_TEST(state_goes_to_other_ranks)
{
    char dir[64] = "/tmp/weft-optim-XXXXXX", latest[80];
    job j = opened(MPI_COMM_WORLD, way[_i]);
    ck_all(all_rank() || mkdtemp(dir));
    MPI_Bcast(dir, sizeof dir, MPI_CHAR, 0, MPI_COMM_WORLD);
    snprintf(latest, sizeof latest, "%s/latest", dir);
    ck_all(!set_up(&j) && !train(&j, 0, 5) && !weft_save(j.f, dir));
    size_t n = state_of(&j, mine);
    ck_all(n > 100);
    job one = opened(MPI_COMM_SELF, way[_i]);
    ck_all(!set_up(&one) && !weft_load(one.f, latest));
    ck_all(state_of(&one, theirs) == n && memcmp(mine, theirs, n) == 0);
    /* The parameters alone, into a module that is set up, and into one that is not. */
    job bare = opened(MPI_COMM_WORLD, way[_i]);
    ck_all(!set_up(&bare) && !weft_load_raw(bare.f, latest, bare.model, NULL));
    weft_module *fresh = weft_nn_sequential(
        bare.f,
        weft_nn_sequential(bare.f, weft_nn_linear(bare.f, FEATURES, 8), weft_nn_relu(bare.f)),
        weft_nn_linear(bare.f, 8, CLASSES));
    ck_all(!weft_load_raw(bare.f, latest, fresh, NULL) && weft_step_count(bare.f) == 0);
    n = numbers_of(j.model, mine);
    ck_all(numbers_of(bare.model, theirs) == n && memcmp(mine, theirs, n * sizeof *mine) == 0);
    ck_all(numbers_of(fresh, theirs) == n && memcmp(mine, theirs, n * sizeof *mine) == 0);
    ck_all(!weft_close(&bare.f));
    /* On the same ranks the next steps are the same bits. */
    job again = opened(MPI_COMM_WORLD, way[_i]);
    ck_all(!set_up(&again) && !weft_load(again.f, latest));
    ck_all(!train(&j, 5, 3) && !train(&again, 5, 3));
    n = numbers_of(j.model, mine);
    ck_all(numbers_of(again.model, theirs) == n);
    ck_all(memcmp(mine, theirs, n * sizeof *mine) == 0);
    ck_all(!weft_close(&j.f) && !weft_close(&one.f) && !weft_close(&again.f));
    snprintf(latest, sizeof latest, "rm -rf '%s'", dir);
    ck_all(all_rank() || system(latest) == 0);
}
END_TEST

/* --- wrong on one rank --- */

static int all_know(const job *j, weft_status code, const char *text)
{
    int ok = weft_error(j->f) == code && strstr(weft_message(j->f), text) != NULL;
    if (!ok)
        fprintf(stderr, "# %d: %s\n", weft_error(j->f), weft_message(j->f));
    return ok;
}

static void plain(job *j)
{
    j->a = weft_adam(j->model, NULL);
}

/* Each way in which the optimizer of one rank may differ. */
static void differ(job *j, int how, bool here)
{
    weft_group(j->a, "*.bias", WEFT_GROUP(.weight_decay = 0.5));
    if (how == 0 && here)
        weft_group(j->a, "*.weight", NULL);
    else if (how == 1)
        weft_group(j->a, here ? "0.*" : "1.*", WEFT_GROUP(.lr = 1));
    else if (how == 2)
        weft_group(j->a, "1.*", WEFT_GROUP(.beta1 = here ? 0.5 : 0.25));
    else if (how == 3)
        weft_group(j->a, "1.*", WEFT_GROUP(.lr = here ? 0.5 : 0.25));
    else if (how == 4)
        weft_set_lr(j->a, here ? 0.5 : 0.25);
    else if (how == 5)
        weft_set_schedule(j->a, WEFT_SCHEDULE(.total = here ? 10 : 20));
    else if (how == 6)
        weft_set_schedule(j->a, WEFT_SCHEDULE(.kind = "multistep", .milestone_count = 1,
                                              .milestones = (int64_t[]){here ? 4 : 5}));
    else if (how == 7)
        weft_set_schedule(j->a, WEFT_SCHEDULE(.kind = "plateau", .mode = here ? "max" : "min"));
}

START_TEST(other_groups_on_one_rank)
{
    const int many = all_world() > 1;
    EACH_RANK(bad)
    {
        job j = opened(MPI_COMM_WORLD, plain);
        differ(&j, _i, all_rank() == bad);
        ck_all(set_up(&j) == (many ? WEFT_ECONFIG : WEFT_OK));
        ck_all(!many || all_know(&j, WEFT_ECONFIG, "optimizer given to weft_setup differs"));
        ck_all(!many || !weft_clear(j.f));
        ck_all(weft_close(&j.f) == 0);
    }
}
END_TEST

START_TEST(a_group_of_nothing_on_one_rank)
{
    EACH_RANK(bad)
    {
        job j = opened(MPI_COMM_WORLD, plain);
        weft_group(j.a, all_rank() == bad ? "none" : "*.bias", NULL);
        ck_all(set_up(&j) == WEFT_ENOENT && all_know(&j, WEFT_ENOENT, "\"none\""));
        ck_all(!weft_clear(j.f) && weft_close(&j.f) == 0);
    }
}
END_TEST

START_TEST(an_overlap_on_one_rank)
{
    EACH_RANK(bad)
    {
        job j = opened(MPI_COMM_WORLD, plain);
        if (all_rank() == bad)
            weft_sgd(j.head, NULL);
        ck_all(set_up(&j) == WEFT_ESTATE && all_know(&j, WEFT_ESTATE, "already has an optimizer"));
        ck_all(!weft_clear(j.f) && weft_close(&j.f) == 0);
    }
}
END_TEST

/* At each evaluation of L-BFGS, and in the one of a first-order optimizer. */
START_TEST(a_closure_fails_on_one_rank)
{
    static const int when[] = {1, 2, 4};
    EACH_RANK(bad)
    {
        job j = opened(MPI_COMM_WORLD, _i < 3 ? lbfgs : plain);
        ck_all(!set_up(&j) && !train(&j, 0, 1));
        size_t n = numbers_of(j.model, before);
        j.bad = bad;
        j.calls = 0;
        j.when = _i < 3 ? when[_i] : 1;
        ck_all(train(&j, 1, 1) == WEFT_EUSER && all_know(&j, WEFT_EUSER, "only here"));
        ck_all(j.calls == j.when);
        weft_step_end(j.f);
        ck_all(!weft_clear(j.f) && numbers_of(j.model, mine) == n);
        ck_all(memcmp(mine, before, n * sizeof *mine) == 0 && weft_steps(j.a) == 1);
        ck_all(!train(&j, 2, 2) && weft_steps(j.a) == 3);
        n = numbers_of(j.model, mine);
        ck_all(same_bytes(mine, n * sizeof *mine) && weft_close(&j.f) == 0);
    }
}
END_TEST

START_TEST(no_loss_on_one_rank)
{
    EACH_RANK(bad)
    {
        job j = opened(MPI_COMM_WORLD, lbfgs);
        j.bad = bad;
        j.when = 2;
        j.no_loss = true;
        ck_all(!set_up(&j));
        ck_all(train(&j, 0, 1) == WEFT_EARG && all_know(&j, WEFT_EARG, "gave no loss"));
        ck_all(!weft_clear(j.f) && weft_close(&j.f) == 0);
    }
}
END_TEST

/* Micro-batches: a first-order optimizer steps at the end of their window, L-BFGS refuses. */
START_TEST(closures_and_windows)
{
    job j = opened(MPI_COMM_WORLD, plain), k = opened(MPI_COMM_WORLD, lbfgs);
    ck_all(!set_up(&j) && !set_up(&k) && !weft_accumulate(j.f, 2) && !weft_accumulate(k.f, 2));
    ck_all(weft_step_closure(j.a, closure, &j) == WEFT_POSTPONED && !weft_step_end(j.f));
    ck_all(weft_step_closure(j.a, closure, &j) == WEFT_OK && !weft_step_end(j.f));
    ck_all(weft_steps(j.a) == 1 && j.calls == 2);
    ck_all(weft_step_closure(k.a, closure, &k) == WEFT_ESTATE);
    ck_all(all_know(&k, WEFT_ESTATE, "takes whole batches") && !weft_clear(k.f));
    ck_all(!weft_accumulate(k.f, 1) && !weft_no_backward_sync_begin(k.model, true));
    ck_all(weft_step_closure(k.a, closure, &k) == WEFT_ESTATE);
    ck_all(all_know(&k, WEFT_ESTATE, "takes whole batches") && !weft_clear(k.f));
    ck_all(!weft_no_backward_sync_end(k.model) && !train(&k, 0, 2));
    ck_all(!weft_close(&j.f) && !weft_close(&k.f));
}
END_TEST

static double not_a_number(int64_t t, int group, void *user)
{
    (void)t, (void)group, (void)user;
    return NAN;
}

/* What keeps one rank from its closure must not keep the others waiting. */
START_TEST(no_closure_on_one_rank)
{
    EACH_RANK(bad)
    {
        job j = opened(MPI_COMM_WORLD, _i ? lbfgs : plain);
        const int here = all_rank() == bad;
        ck_all(!set_up(&j));
        size_t n = numbers_of(j.model, before);
        ck_all(weft_step_closure(j.a, here ? NULL : closure, &j) == WEFT_EARG);
        ck_all(all_know(&j, WEFT_EARG, "closure is NULL") && !weft_clear(j.f));
        if (here && _i)
            weft_set_schedule(j.a, WEFT_SCHEDULE(.kind = "lambda", .lambda = not_a_number));
        ck_all(!_i || weft_step_closure(j.a, closure, &j) == WEFT_EUSER);
        ck_all(!_i || all_know(&j, WEFT_EUSER, "learning rate of group 0"));
        ck_all(numbers_of(j.model, mine) == n && !memcmp(mine, before, n * sizeof *mine));
        ck_all((!_i || !weft_clear(j.f)) && weft_close(&j.f) == 0);
    }
}
END_TEST

/* Hyperparameters that decide how many collectives a step has. */
START_TEST(another_search_on_one_rank)
{
    const weft_lbfgs_options row[] = {
        {.max_iter = 3}, {.max_eval = 3}, {.history_size = 3}, {.line_search = "strong_wolfe"}};
    const int many = all_world() > 1;
    EACH_RANK(bad)
    {
        job j = {.bad = -1};
        weft_open_mpi(&j.f, MPI_COMM_WORLD, NULL);
        j.model = small_net(j.f);
        j.a = weft_lbfgs(j.model, all_rank() == bad ? &row[_i] : NULL);
        ck_all(set_up(&j) == (many ? WEFT_ECONFIG : WEFT_OK));
        ck_all((!many || !weft_clear(j.f)) && weft_close(&j.f) == 0);
    }
}
END_TEST

START_TEST(a_metric_without_plateau_on_one_rank)
{
    EACH_RANK(bad)
    {
        job j = opened(MPI_COMM_WORLD, plateau);
        ck_all(!set_up(&j) && !weft_schedule_metric(j.a, all_rank()));
        if (all_rank() == bad)
            weft_set_schedule(j.a, NULL);
        ck_all(weft_schedule_metric(j.a, 1) == WEFT_ESTATE);
        ck_all(all_know(&j, WEFT_ESTATE, "no plateau"));
        ck_all(!weft_clear(j.f) && weft_close(&j.f) == 0);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("optim");
    TCase *t = tcase_create("ranks");
    make_data();
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, n_is_one, 0, 3 * WAYS);
    tcase_add_loop_test(t, state_goes_to_other_ranks, 0, WAYS);
    tcase_add_loop_test(t, other_groups_on_one_rank, 0, 8);
    tcase_add_test(t, a_group_of_nothing_on_one_rank);
    tcase_add_test(t, an_overlap_on_one_rank);
    tcase_add_loop_test(t, a_closure_fails_on_one_rank, 0, 4);
    tcase_add_test(t, no_loss_on_one_rank);
    tcase_add_test(t, closures_and_windows);
    tcase_add_loop_test(t, no_closure_on_one_rank, 0, 2);
    tcase_add_loop_test(t, another_search_on_one_rank, 0, 4);
    tcase_add_test(t, a_metric_without_plateau_on_one_rank);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv)
{
    weft_log_level(WEFT_LOG_SILENT);
    return all_main(&argc, &argv, suite);
}
