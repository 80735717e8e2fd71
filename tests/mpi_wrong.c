/* Wrong values on one rank alone, and on all, of what is collective or decides what is: the others return
 * too, all have a code, nobody waits, and after weft_clear training goes on alike. What has a table of
 * its own stands there: collectives in mpi_calls, clipping in mpi_clip, metrics in mpi_metric, options in
 * mpi_options, groups and schedules at setup in mpi_optim, losses and ops in mpi_ops. */
#include "mpi_train.h"

#include <sys/stat.h>
#include <unistd.h>
#include <weft/sys/logger.h>

#define BATCH 12

typedef struct job {
    weft_fabric *f;
    weft_module *model;
    weft_optimizer *o;
    weft_loader *train;
    char dir[64];
} job;

static weft_tensor *loss_of(const job *j, int64_t rows, int64_t global)
{
    weft_batch b =
        weft_batch_of(j->f, weft_tensor_of(j->f, data_x, 2, (int64_t[]){rows, FEATURES}, WEFT_F64),
                      weft_tensor_of(j->f, data_y, 1, &rows, WEFT_I32), rows * all_rank(), global);
    return weft_cross_entropy(weft_forward(j->model, b.x), b.y);
}

/* One step of this rank's two rows. */
static weft_status train(const job *j)
{
    weft_zero_grad(j->o);
    weft_backward(j->f, loss_of(j, 2, 2 * all_world()));
    weft_status s = weft_step(j->o);
    return weft_step_end(j->f) ? weft_error(j->f) : s;
}

static weft_loader *loader(const job *j, const weft_loader_options *o)
{
    return weft_loader_arrays(j->f, 60, data_x, 1, &features, WEFT_F64, data_y, WEFT_I32, o);
}

/* --- before setup --- */

static weft_status setup_without_optimizer(job *j, bool here)
{
    return weft_setup(j->f, j->model, here ? NULL : j->o);
}

static weft_status setup_without_module(job *j, bool here)
{
    return weft_setup(j->f, here ? NULL : j->model, j->o);
}

static weft_status setup_a_part(job *j, bool here)
{
    return weft_setup_module(j->f, here ? weft_child(j->model, 0) : j->model);
}

static weft_status setup_other_order(job *j, bool here)
{
    return here ? weft_setup_optimizer(j->f, j->o) : weft_setup(j->f, j->model, j->o);
}

static weft_status setup_muon(job *j, bool here)
{
    weft_module *m = small_net(j->f);
    return weft_setup(j->f, m, here ? weft_muon(m, NULL) : weft_sgd(m, NULL));
}

static weft_status setup_other_muon(job *j, bool here)
{
    weft_module *m = small_net(j->f);
    return weft_setup(j->f, m, weft_muon(m, WEFT_MUON(.ns_steps = here ? 3 : 5)));
}

static weft_status setup_other_batchnorm(job *j, bool here)
{
    weft_module *m = weft_nn_sequential(j->f, small_net(j->f), weft_nn_batchnorm(j->f, CLASSES));
    if (here)
        weft_nn_sync_batchnorm(m);
    return weft_setup(j->f, m, weft_sgd(m, NULL));
}

static weft_status setup_bad_muon(job *j, bool here)
{
    weft_module *m = small_net(j->f);
    return weft_setup(j->f, m, weft_muon(m, WEFT_MUON(.momentum = here ? 1 : 0.5)));
}

static weft_status setup_frozen(job *j, bool here)
{
    if (here)
        weft_freeze(weft_child(j->model, 0), true);
    return weft_setup(j->f, j->model, j->o);
}

static weft_status setup_no_loader(job *j, bool here)
{
    return weft_setup_loader(j->f, here ? NULL : loader(j, WEFT_LOADER(.global_batch = BATCH)));
}

static weft_status setup_evaluation(job *j, bool here)
{
    return weft_setup_loader(
        j->f, loader(j, WEFT_LOADER(.global_batch = BATCH, .evaluation = here, .seed = 1)));
}

static weft_status setup_bad_loader(job *j, bool here)
{
    return weft_setup_loader(j->f, loader(j, WEFT_LOADER(.global_batch = here ? -1 : BATCH)));
}

/* --- between steps --- */

static weft_status model_again(job *j, bool here)
{
    return weft_setup_module(j->f, here ? j->model : small_net(j->f));
}

static weft_status without_zero_grad(job *j, bool here)
{
    if (!here)
        weft_zero_grad(j->o);
    return weft_backward(j->f, loss_of(j, 2, 2 * all_world()));
}

static weft_status other_rows(job *j, bool here)
{
    weft_zero_grad(j->o);
    return weft_backward(j->f, loss_of(j, 2, (here ? 3 : 2) * all_world()));
}

static weft_status unknown_rows(job *j, bool here)
{
    weft_zero_grad(j->o);
    return weft_backward(j->f, loss_of(j, 2, here ? 0 : 2 * all_world()));
}

static weft_status rewound(job *j, bool here)
{
    weft_batch b;
    if (!weft_next(j->train, &b))
        return WEFT_EIO;
    if (here)
        weft_rewind(j->train);
    weft_zero_grad(j->o);
    return weft_backward(j->f, weft_cross_entropy(weft_forward(j->model, b.x), b.y));
}

static weft_status other_schedule(job *j, bool here)
{
    if (here)
        weft_set_schedule(j->o, WEFT_SCHEDULE(.kind = "exponential", .gamma = 0.5));
    return train(j);
}

static weft_status bad_schedule(job *j, bool here)
{
    if (here)
        weft_set_schedule(j->o, WEFT_SCHEDULE(.kind = "step"));
    return train(j);
}

static weft_status no_plateau(job *j, bool here)
{
    weft_set_schedule(j->o, WEFT_SCHEDULE(.kind = here ? "constant" : "plateau"));
    return weft_schedule_metric(j->o, 1);
}

static weft_tensor *closure(void *user)
{
    const job *j = user;
    weft_tensor *loss = loss_of(j, 2, 2 * all_world());
    weft_zero_grad(j->o);
    weft_backward(j->f, loss);
    return loss;
}

static weft_status no_closure(job *j, bool here)
{
    return weft_step_closure(j->o, here ? NULL : closure, j);
}

static weft_status scope_of_a_part(job *j, bool here)
{
    weft_no_backward_sync_begin(here ? weft_child(j->model, 0) : j->model, false);
    weft_no_backward_sync_end(here ? weft_child(j->model, 0) : j->model);
    return train(j);
}

static weft_status join_with_error(job *j, bool here)
{
    if (here)
        weft_fail(j->f, WEFT_EUSER, "mine");
    return weft_join(j->f, true) ? WEFT_OK : weft_error(j->f);
}

static weft_status other_scope(job *j, bool here)
{
    weft_status s = weft_rank_zero_first_begin(j->f, here);
    weft_status t = weft_rank_zero_first_end(j->f);
    return t ? t : s;
}

/* --- collectives on values, and metrics --- */

static weft_status other_count(job *j, bool here)
{
    double v[8] = {0};
    return weft_sum_over_ranks(j->f, v, here ? 7 : 3);
}

static weft_status negative_count(job *j, bool here)
{
    double v[8] = {0};
    return weft_sum_over_ranks(j->f, v, here ? -7 : 3);
}

static weft_status no_values(job *j, bool here)
{
    double v[8] = {0};
    return weft_sum_over_ranks(j->f, here ? NULL : v, 3);
}

static weft_status other_bytes(job *j, bool here)
{
    char v[80] = {0};
    return weft_broadcast_bytes(j->f, v, here ? 80 : 4, 0);
}

static weft_status other_columns(job *j, bool here)
{
    weft_all_gather_rows(j->f, weft_full(j->f, 1, 2, (int64_t[]){2, here ? 3 : 4}, WEFT_F32));
    return weft_error(j->f);
}

static weft_status other_type(job *j, bool here)
{
    weft_all_gather_rows(j->f, weft_full(j->f, 1, 1, &features, here ? WEFT_I32 : WEFT_F32));
    return weft_error(j->f);
}

static weft_status metric_reset(job *j, bool here)
{
    weft_metric *m = weft_metric_mean(j->f);
    weft_metric_update(m, weft_full(j->f, 1, 0, NULL, WEFT_F32), NULL);
    if (here)
        weft_metric_reset(m);
    weft_metric_update(m, weft_full(j->f, 1, 0, NULL, WEFT_F32), NULL);
    weft_metric_value(j->f, m);
    return weft_error(j->f);
}

static weft_status metric_room(job *j, bool here)
{
    int64_t v[9];
    return weft_metric_counts(j->f, weft_metric_confusion(j->f, 3), here ? NULL : v, 9);
}

/* --- checkpoints --- */

static weft_status save_nowhere(job *j, bool here)
{
    return weft_save(j->f, here ? NULL : j->dir);
}

static weft_status save_elsewhere(job *j, bool here)
{
    char other[80];
    snprintf(other, sizeof other, "%s-other", j->dir);
    return weft_save(j->f, here ? other : j->dir);
}

static weft_status resume_nowhere(job *j, bool here)
{
    return weft_resume(j->f, here ? NULL : j->dir);
}

static weft_status resume_elsewhere(job *j, bool here)
{
    char other[80];
    snprintf(other, sizeof other, "%s-other", j->dir);
    return weft_resume(j->f, here ? other : j->dir);
}

static weft_status load_elsewhere(job *j, bool here)
{
    return weft_load(j->f, here ? "/nowhere" : j->dir);
}

static weft_status load_raw_elsewhere(job *j, bool here)
{
    return weft_load_raw(j->f, here ? "/nowhere" : j->dir, j->model, NULL);
}

static weft_status load_raw_lenient(job *j, bool here)
{
    return weft_load_raw(j->f, "/nowhere", j->model, WEFT_LOAD_RAW(.not_strict = here));
}

static weft_status tracked_here(job *j, bool here)
{
    static double v[2];
    if (here)
        weft_track_f64(j->f, "mine", v, 2);
    return weft_save(j->f, j->dir);
}

static weft_status tracked_others(job *j, bool here)
{
    static int64_t v[4];
    weft_track_i64(j->f, "mine", v, here ? 4 : 2);
    return weft_save(j->f, j->dir);
}

static weft_status record(void *self, const weft_record *r)
{
    (void)self, (void)r;
    return WEFT_OK;
}

static weft_status state(void *self, weft_visitor *v)
{
    (void)self;
    static int64_t n;
    return weft_state_i64(v, "n", &n);
}

static weft_status logger_here(job *j, bool here)
{
    static const weft_logger_ops ops = {
        .size = sizeof ops, .name = "mine", .record = record, .state = state};
    if (here)
        weft_logger_new(j->f, &ops, NULL, 0);
    return weft_save(j->f, j->dir);
}

static const char *jsonl_path(void)
{
    static char path[4096];
    const char *dir = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/wrong-%d.jsonl", dir ? dir : "/tmp", all_world());
    return path;
}

/* Loggers and peaks are a rank's own affair: the others go on beside it. */
static weft_status jsonl_nowhere(job *j, bool here)
{
    weft_logger_jsonl(j->f, here ? NULL : jsonl_path());
    weft_log_value(j->f, "a", 1);
    return train(j);
}

static weft_status jsonl_unable(job *j, bool here)
{
    weft_logger_jsonl(j->f, here ? "/dev/null/x" : jsonl_path());
    weft_log_value(j->f, "a", 1);
    return train(j);
}

static weft_status peaks_here(job *j, bool here)
{
    if (here)
        weft_memory_reset_peak(j->f);
    return weft_memory(j->f).device.now > 0 ? train(j) : WEFT_EDATA;
}

typedef struct row {
    const char *name;
    weft_status (*call)(job *j, bool here);
    weft_status one, all; /* what all ranks get where one rank, and where all, do it */
    bool after_setup;
    bool leaves; /* something behind: the next one begins anew. Saves, whose failures are noted */
} row;

#define ROW(call, ...)                                                                             \
    {                                                                                              \
#call, call, __VA_ARGS__                                                                   \
    }
static const row table[] = {
    ROW(setup_without_optimizer, WEFT_ECONFIG, WEFT_OK, false, false),
    ROW(setup_without_module, WEFT_EARG, WEFT_EARG, false, false),
    ROW(setup_a_part, WEFT_EARG, WEFT_EARG, false, false),
    ROW(setup_other_order, WEFT_ESTATE, WEFT_ESTATE, false, false),
    ROW(setup_muon, WEFT_ECONFIG, WEFT_OK, false, false),
    ROW(setup_other_muon, WEFT_ECONFIG, WEFT_OK, false, false),
    ROW(setup_other_batchnorm, WEFT_ECONFIG, WEFT_OK, false, false),
    ROW(setup_bad_muon, WEFT_EARG, WEFT_EARG, false, false),
    ROW(setup_frozen, WEFT_ECONFIG, WEFT_OK, false, false),
    ROW(setup_no_loader, WEFT_EARG, WEFT_EARG, false, false),
    ROW(setup_evaluation, WEFT_ECONFIG, WEFT_OK, false, false),
    ROW(setup_bad_loader, WEFT_EARG, WEFT_EARG, false, false),
    ROW(model_again, WEFT_ESTATE, WEFT_ESTATE, true, false),
    ROW(without_zero_grad, WEFT_ECONFIG, WEFT_OK, true, false),
    ROW(other_rows, WEFT_ECONFIG, WEFT_OK, true, false),
    ROW(unknown_rows, WEFT_ECONFIG, WEFT_OK, true, false),
    ROW(rewound, WEFT_ECONFIG, WEFT_OK, true, false),
    ROW(other_schedule, WEFT_ECONFIG, WEFT_OK, true, false),
    ROW(bad_schedule, WEFT_EARG, WEFT_EARG, true, false),
    ROW(no_plateau, WEFT_ESTATE, WEFT_ESTATE, true, false),
    ROW(no_closure, WEFT_EARG, WEFT_EARG, true, false),
    ROW(scope_of_a_part, WEFT_EARG, WEFT_EARG, true, false),
    ROW(join_with_error, WEFT_EUSER, WEFT_EUSER, true, false),
    ROW(other_scope, WEFT_ECONFIG, WEFT_OK, true, false),
    ROW(other_count, WEFT_ECONFIG, WEFT_OK, true, false),
    ROW(negative_count, WEFT_EARG, WEFT_EARG, true, false),
    ROW(no_values, WEFT_EARG, WEFT_EARG, true, false),
    ROW(other_bytes, WEFT_ECONFIG, WEFT_OK, true, false),
    ROW(other_columns, WEFT_ECONFIG, WEFT_OK, true, false),
    ROW(other_type, WEFT_ECONFIG, WEFT_OK, true, false),
    ROW(metric_reset, WEFT_ECONFIG, WEFT_OK, true, false),
    ROW(metric_room, WEFT_EARG, WEFT_EARG, true, false),
    ROW(save_nowhere, WEFT_EARG, WEFT_EARG, true, true),
    ROW(save_elsewhere, WEFT_ECONFIG, WEFT_OK, true, true),
    ROW(resume_nowhere, WEFT_EARG, WEFT_EARG, true, false),
    ROW(resume_elsewhere, WEFT_ECONFIG, WEFT_OK, true, false),
    ROW(load_elsewhere, WEFT_ECONFIG, WEFT_ENOENT, true, false),
    ROW(load_raw_elsewhere, WEFT_ECONFIG, WEFT_ENOENT, true, false),
    ROW(load_raw_lenient, WEFT_ECONFIG, WEFT_ENOENT, true, false),
    ROW(tracked_here, WEFT_ECONFIG, WEFT_OK, true, true),
    ROW(tracked_others, WEFT_ECONFIG, WEFT_OK, true, true),
    ROW(logger_here, WEFT_ECONFIG, WEFT_OK, true, true),
    ROW(jsonl_nowhere, WEFT_OK, WEFT_OK, true, true),
    ROW(jsonl_unable, WEFT_OK, WEFT_OK, true, true),
    ROW(peaks_here, WEFT_OK, WEFT_OK, true, false),
};
#define ROWS_OF_TABLE ((int)(sizeof table / sizeof table[0]))

static job opened(const row *r)
{
    job j = {0};
    weft_open_mpi(
        &j.f, MPI_COMM_WORLD,
        WEFT_OPEN(.strategy = "ddp", .seed = 3, .timeout = 20, .heartbeat = 4, .log_every = 1));
    j.model = small_net(j.f);
    j.o = weft_sgd(j.model, WEFT_SGD(.lr = 1e-2));
    snprintf(j.dir, sizeof j.dir, "wrong-%d", all_world());
    if (r->after_setup) {
        weft_setup(j.f, j.model, j.o);
        j.train = loader(&j, WEFT_LOADER(.global_batch = BATCH, .epochs = 2));
        weft_setup_loader(j.f, j.train);
        train(&j);
    }
    return j;
}

/* All ranks have that code and a message, or, if it is noted, at least a code. */
static int told(const job *j, const row *r, weft_status s, weft_status want)
{
    const int ok = s == want && weft_error(j->f) == (r->leaves ? WEFT_OK : want) &&
                   (!want || *weft_message(j->f));
    if (!ok)
        fprintf(stderr, "# %s: %s, %s, not %s: %s\n", r->name, weft_status_name(s),
                weft_status_name(weft_error(j->f)), weft_status_name(want), weft_message(j->f));
    return ok;
}

/* The rest is trained, alike on all ranks. */
static int goes_on(job *j, const row *r)
{
    static double v[1000];
    int ok = weft_clear(j->f) == 0;
    if (!r->after_setup)
        return ok;
    weft_set_schedule(j->o, NULL);
    ok &= train(j) == 0 && train(j) == 0;
    size_t n = numbers_of(j->model, v);
    return ok && n && same_bytes(v, n * sizeof *v);
}

START_TEST(wrong)
{
    const row *r = &table[_i];
    job j = {0};
    for (int bad = -1; bad < all_world(); bad += bad < 0 || all_world() < 3 ? 1 : all_world() - 1) {
        const bool one = bad >= 0 && all_world() > 1;
        if (!j.f)
            j = opened(r);
        weft_status s = r->call(&j, bad < 0 || all_rank() == bad);
        ck_all(told(&j, r, s, one ? r->one : r->all));
        ck_all(goes_on(&j, r));
        if (!r->after_setup || r->leaves)
            ck_all(weft_close(&j.f) == 0);
    }
    ck_all(weft_close(&j.f) == 0);
}
END_TEST

/* --- a rank that goes another way: what it calls cannot tell; shared memory does --- */

static void scope_alone(job *j, bool here)
{
    weft_no_backward_sync_begin(j->model, here);
    weft_zero_grad(j->o);
    weft_backward(j->f, loss_of(j, 2, 2 * all_world()));
}

static void evaluation_alone(job *j, bool here)
{
    weft_batch b;
    if (here)
        weft_eval_begin(j->f);
    if (weft_next(j->train, &b) && !here)
        weft_backward(j->f, weft_cross_entropy(weft_forward(j->model, b.x), b.y));
}

static void clear_alone(job *j, bool here)
{
    if (here)
        weft_clear(j->f);
    else
        weft_barrier(j->f);
}

static void barrier_alone(job *j, bool here)
{
    if (here)
        weft_barrier(j->f);
    train(j);
}

static void (*const stray[])(job *j, bool here) = {scope_alone, evaluation_alone, clear_alone,
                                                   barrier_alone};
#define STRAYS ((int)(sizeof stray / sizeof stray[0]))

START_TEST(strays)
{
    static const row r = {.after_setup = true};
    if (all_world() == 1)
        return;
    job j = opened(&r);
    if (strcmp(weft_process_group_backend(j.f), "shm") != 0) { /* MPI itself may end the job */
        ck_all(weft_close(&j.f) == 0);
        return;
    }
    double begun = MPI_Wtime();
    stray[_i](&j, all_rank() == all_world() - 1);
    weft_step_end(j.f);
    weft_step_end(j.f);
    const weft_status s = weft_error(j.f);
    const int ok = s == WEFT_EPEER && MPI_Wtime() - begun < 10;
    if (!ok)
        fprintf(stderr, "# stray %d: %s after %g s: %s\n", _i, weft_status_name(s),
                MPI_Wtime() - begun, weft_message(j.f));
    ck_all(ok);
    ck_all(weft_close(&j.f) == -WEFT_EPEER);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("wrong");
    TCase *t = tcase_create("on one rank");
    weft_log_level(WEFT_LOG_SILENT);
    tcase_set_timeout(t, 120);
    suite_add_tcase(s, t);
    tcase_add_loop_test(t, wrong, 0, ROWS_OF_TABLE);
    tcase_add_loop_test(t, strays, 0, STRAYS);
    return s;
}

int main(int argc, char **argv)
{
    make_data();
    return all_main(&argc, &argv, suite);
}
