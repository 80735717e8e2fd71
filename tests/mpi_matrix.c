/* One table of strategies, precisions, devices and communicators: whatever the row, training on all
 * ranks is training on one, with accumulation and clipping; what one row has saved another loads on
 * another number of ranks; a rank that fails makes all return. */
#include "mpi_train.h"

#define STEPS 6
#define BATCH 40
#define WINDOW 2

/* Equal within `near`, of the largest number, to one rank in the same precision; `type` is that of the
 * parameters: rows of one type load each other's checkpoints to the bit. */
static const struct precision {
    const char *name;
    weft_dtype type;
    double near;
} precisions[] = {
    {"32-true", WEFT_F32, 1e-5},  {"64-true", WEFT_F64, 1e-13},   {"bf16-mixed", WEFT_F32, 1e-2},
    {"16-mixed", WEFT_F32, 2e-3}, {"bf16-true", WEFT_BF16, 2e-2}, {"16-true", WEFT_F16, 4e-3},
};
static const char *const strategies[] = {"ddp", "zero1", "zero2"};
static const char *const devices[] = {"cpu", "mock"};
static const char *const backends[] = {"mpi", "shm"};

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))
#define ROWS_OF_TABLE (COUNT(strategies) * COUNT(precisions) * COUNT(devices) * COUNT(backends))

typedef struct row {
    const char *strategy, *device, *backend;
    const struct precision *precision;
} row;

/* "zero1 bf16-mixed mock shm" */
static const char *name_of(const row *r)
{
    static char text[2][80];
    static int at;
    char *name = text[at++ % 2];
    snprintf(name, sizeof text[0], "%s %s %s %s", r->strategy, r->precision->name, r->device,
             r->backend);
    return name;
}

/* Precision is the slowest, so that rows of one type lie together. */
static row row_at(int i)
{
    row r;
    r.backend = backends[i % COUNT(backends)];
    i /= COUNT(backends);
    r.device = devices[i % COUNT(devices)];
    i /= COUNT(devices);
    r.strategy = strategies[i % COUNT(strategies)];
    r.precision = &precisions[i / COUNT(strategies)];
    return r;
}

/* Another row whose parameters have the same type. */
static row partner_of(int i)
{
    const row r = row_at(i);
    for (int k = 1; k <= ROWS_OF_TABLE; k++) {
        const row other = row_at((i + 5 * k) % ROWS_OF_TABLE);
        if (other.precision->type == r.precision->type)
            return other;
    }
    return r;
}

typedef struct job {
    weft_fabric *f;
    weft_module *net;
    weft_optimizer *adam;
    weft_loader *train;
} job;

static job opened(const row *r, MPI_Comm comm)
{
    int size;
    job j;
    MPI_Comm_size(comm, &size);
    weft_open_mpi(&j.f, comm,
                  WEFT_OPEN(.strategy = size > 1 ? r->strategy : "single", .accelerator = r->device,
                            .precision = r->precision->name,
                            .process_group_backend = size > 1 ? r->backend : "auto", .seed = 4,
                            .timeout = 30, .log_every = 1));
    j.net = weft_nn_sequential(j.f, weft_nn_linear(j.f, FEATURES, 17), weft_nn_layernorm(j.f, 17),
                               weft_nn_relu(j.f), weft_nn_linear(j.f, 17, CLASSES));
    j.adam = weft_adamw(j.net, WEFT_ADAM(.lr = 1e-2));
    j.train = weft_loader_arrays(
        j.f, ROWS, data_x, 1, &features, WEFT_F64, data_y, WEFT_I32,
        WEFT_LOADER(.global_batch = BATCH, .epochs = 100, .shuffle = true, .seed = 9));
    weft_setup(j.f, j.net, j.adam);
    weft_setup_loader(j.f, j.train);
    weft_accumulate(j.f, WINDOW);
    return j;
}

/* To that step; rank `culprit` fails in it. */
static void train(job *j, int64_t steps, int culprit)
{
    for (weft_batch b; weft_step_count(j->f) < steps && weft_next(j->train, &b);) {
        weft_tensor *loss = weft_cross_entropy(weft_forward(j->net, b.x), b.y);
        if (culprit == weft_global_rank(j->f) && weft_step_count(j->f) == 1)
            weft_fail(j->f, WEFT_EUSER, "enough");
        weft_zero_grad(j->adam);
        weft_backward(j->f, loss);
        weft_clip_gradients(j->adam, WEFT_CLIP(.max_norm = 0.5));
        weft_step(j->adam);
        weft_log(j->f, "loss", loss);
    }
    weft_step_end(j->f);
}

static double alone[NUMBERS], here[NUMBERS], loaded[NUMBERS];

static double largest(const double *x, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = fabs(x[i]) > most ? fabs(x[i]) : most;
    return most;
}

/* What one rank on the cpu comes to, remembered for a precision. */
static size_t reference(const struct precision *p)
{
    static const struct precision *last;
    static size_t n;
    if (last != p) {
        const row r = {"single", "cpu", "auto", p};
        job j = opened(&r, MPI_COMM_SELF);
        train(&j, STEPS, -1);
        n = weft_error(j.f) ? 0 : numbers_of(j.net, alone);
        weft_close(&j.f);
        last = p;
    }
    return n;
}

START_TEST(all_ranks_are_one)
{
    const row r = row_at(_i);
    size_t n = reference(r.precision);
    job j = opened(&r, MPI_COMM_WORLD);
    train(&j, STEPS, -1);
    const int bad = weft_error(j.f);
    const char *why = bad ? weft_message(j.f) : "";
    ck_assert_msg(all(!bad), "%s: %s", name_of(&r), why);
    const bool same = numbers_of(j.net, here) == n && n > 0;
    const double away = furthest(alone, here, n) / largest(alone, n);
    ck_all(same_bytes(here, n * sizeof *here));
    ck_all(weft_close(&j.f) == 0);
    ck_assert_msg(all(same && away <= r.precision->near), "%s: %g from one rank", name_of(&r),
                  away);
}
END_TEST

/* Saved by this row on all ranks, loaded by another on half of them, which then goes on to where this
 * one is without a break. */
START_TEST(saved_here_loaded_there)
{
    const row r = row_at(_i), other = partner_of(_i);
    char dir[64] = "/tmp/weft-matrix-XXXXXX", command[100];
    MPI_Comm half;
    ck_all(all_rank() || mkdtemp(dir));
    MPI_Bcast(dir, sizeof dir, MPI_CHAR, 0, MPI_COMM_WORLD);
    job j = opened(&r, MPI_COMM_WORLD);
    train(&j, STEPS / 2, -1);
    size_t n = numbers_of(j.net, here);
    ck_all(weft_save(j.f, dir) == WEFT_OK && weft_close(&j.f) == 0);
    MPI_Comm_split(MPI_COMM_WORLD, all_rank() < (all_world() + 1) / 2 ? 1 : MPI_UNDEFINED, 0,
                   &half);
    bool same = true, ends = true;
    if (half != MPI_COMM_NULL) {
        j = opened(&other, half);
        same = weft_resume(j.f, dir) == WEFT_OK && weft_step_count(j.f) == STEPS / 2 &&
               numbers_of(j.net, loaded) == n && memcmp(here, loaded, n * sizeof *here) == 0;
        train(&j, STEPS, -1);
        ends = !weft_error(j.f) && numbers_of(j.net, loaded) == n && reference(r.precision) == n &&
               furthest(alone, loaded, n) <=
                   fmax(r.precision->near, other.precision->near) * largest(alone, n);
        if (!same || !ends)
            fprintf(stderr, "%s\n", weft_message(j.f));
        weft_close(&j.f);
        MPI_Comm_free(&half);
    }
    all_barrier();
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    ck_assert(all_rank() || system(command) == 0);
    ck_assert_msg(all(same && ends), "%s to %s: %s", name_of(&r), name_of(&other),
                  same ? "ends elsewhere" : "not the same");
}
END_TEST

START_TEST(one_failure_stops_all)
{
    const row r = row_at(_i);
    job j = opened(&r, MPI_COMM_WORLD);
    train(&j, STEPS, all_world() - 1);
    ck_assert_msg(all(weft_error(j.f) == WEFT_EUSER && weft_step_count(j.f) == 1), "%s: %s",
                  name_of(&r), weft_message(j.f));
    ck_all(weft_clear(j.f) == WEFT_OK);
    train(&j, STEPS, -1);
    ck_all(weft_error(j.f) == WEFT_OK && weft_step_count(j.f) == STEPS);
    size_t n = numbers_of(j.net, here);
    ck_all(same_bytes(here, n * sizeof *here));
    weft_close(&j.f);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("matrix");
    TCase *t = tcase_create("matrix");
    suite_add_tcase(s, t);
    tcase_set_timeout(t, 60);
    make_data();
    weft_log_level(WEFT_LOG_SILENT);
    tcase_add_loop_test(t, all_ranks_are_one, 0, ROWS_OF_TABLE);
    tcase_add_loop_test(t, saved_here_loaded_there, 0, ROWS_OF_TABLE);
    tcase_add_loop_test(t, one_failure_stops_all, 0, ROWS_OF_TABLE);
    return s;
}

int main(int argc, char **argv)
{
    return all_main(&argc, &argv, suite);
}
