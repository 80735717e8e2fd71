/* The loss scale: torch's, step by step; alike on all ranks whoever overflows; nothing but steps that
 * are skipped tells that it is there. Scales by powers of two change no bit of a gradient, so that
 * training with and without one ends in the same bits. */
#include "mpi_train.h"

#include "fabric/facade.h"
#include "golden.h"

#include <unistd.h>
#include <weft/sys/logger.h>

#define SMALL 8 /* numbers of the two layers of 2 x 2 */

typedef struct job {
    weft_fabric *f;
    weft_module *model, *part[2];
    weft_optimizer *o[2];
} job;

/* With the scale in f32, where it can be seen alone. */
static void scaled(weft_fabric *f, weft__scaling o)
{
    ck_all(!weft__scaling_complete(&o));
    weft__scaler_start(&f->facade->scaler, &o);
}

#define SCALING(...) ((weft__scaling){__VA_ARGS__})

static weft_tensor *weight(const job *j, int i)
{
    return j->model ? weft_param(j->model, i ? "1.weight" : "0.weight")
                    : weft_param(j->part[i], "weight");
}

/* Two layers with an optimizer each; all numbers are 0. */
static job pair(void)
{
    job j;
    const float zero[4] = {0};
    weft_open_mpi(&j.f, MPI_COMM_WORLD, WEFT_OPEN(.seed = 5, .timeout = 20));
    for (int i = 0; i < 2; i++)
        j.part[i] = weft_nn_linear_nobias(j.f, 2, 2);
    j.model = weft_nn_sequential_n(j.f, 2, j.part);
    for (int i = 0; i < 2; i++)
        j.o[i] = weft_sgd(j.part[i], WEFT_SGD(.lr = 0.25));
    weft_setup_module(j.f, j.model);
    for (int i = 0; i < 2; i++) {
        weft_setup_optimizer(j.f, j.o[i]);
        weft_copy_in(weight(&j, i), zero, sizeof zero);
    }
    return j;
}

/* A loss whose gradient are the eight numbers, whatever the number of ranks: each rank's loss counts
 * 1 / ranks. Which: layers that it depends on, as bits. */
static weft_tensor *loss_of(const job *j, const double *gradient, int which)
{
    weft_tensor *loss = NULL;
    for (int i = 0; i < 2; i++) {
        weft_tensor *p = weight(j, i);
        weft_tensor *g =
            weft_tensor_of(j->f, gradient + 4 * i, 2, (const int64_t[]){2, 2}, WEFT_F64);
        weft_tensor *term = weft_sum(weft_mul(p, weft_cast(g, WEFT_F32)), WEFT_ALL);
        if (which & 1 << i)
            loss = loss ? weft_add(loss, term) : term;
    }
    return loss;
}

static weft_status differentiate(const job *j, const double *gradient)
{
    weft_zero_grad(j->o[0]);
    weft_zero_grad(j->o[1]);
    return weft_backward(j->f, loss_of(j, gradient, 3));
}

static void gradient_of(const job *j, int i, double out[4])
{
    weft_tensor *g = weft_cast(weft_gradient(weight(j, i)), WEFT_F64);
    ck_all(!weft_copy_out(g, out, 4 * sizeof *out));
}

/* --- as torch --- */

static void follow(hid_t file, const char *name, int world)
{
    char path[96];
    golden in[5];
    static const char *const set[] = {"grads", "bad", "scale", "growth_tracker", "p"};
    for (int i = 0; i < 5; i++) {
        snprintf(path, sizeof path, "%s/%s", name, set[i]);
        in[i] = golden_read(file, path);
    }
    job j = pair();
    scaled(j.f, SCALING(.init_scale = golden_attribute(file, name, "init_scale"),
                        .growth_factor = golden_attribute(file, name, "growth_factor"),
                        .backoff_factor = golden_attribute(file, name, "backoff_factor"),
                        .growth_interval = (int)golden_attribute(file, name, "growth_interval"),
                        .min_scale = 1e-30));
    for (int t = 0; t < in[2].n; t++) {
        double g[SMALL], now[SMALL];
        memcpy(g, in[0].v + t * SMALL, sizeof g);
        for (int i = 0; i < 2; i++)
            if (in[1].v[2 * t + i] != 0 && all_rank() == t % world) /* on one rank alone */
                g[4 * i + t % 4] = (double[]){INFINITY, -INFINITY, NAN}[t % 3];
        ck_all(!differentiate(&j, g));
        for (int i = 0; i < 2; i++)
            ck_all(weft_step(j.o[i]) == (in[1].v[2 * t + i] != 0 ? WEFT_SKIPPED : WEFT_OK) ||
                   strcmp(name, "top") == 0); /* where the scale itself overflows */
        ck_all(!weft_step_end(j.f));
        ck_all(weft_loss_scale(j.f) == in[2].v[t]);
        ck_all((double)j.f->facade->scaler.good == in[3].v[t]);
        numbers_of(j.model, now);
        ck_all(furthest(now, in[4].v + t * SMALL, SMALL) <= 2e-6 && same_bytes(now, sizeof now));
    }
    ck_all(!weft_close(&j.f));
    for (int i = 0; i < 5; i++)
        golden_free(&in[i]);
}

START_TEST(as_torch)
{
    hid_t file = golden_open("scaler.h5");
    char name[64];
    ck_all(golden_count(file, ".") == 4);
    for (int i = 0; i < 4; i++)
        follow(file, golden_name(file, ".", i, name, sizeof name), all_world());
    H5Fclose(file);
}
END_TEST

/* The defaults, by the table: 65536, twice as much after 2000 good steps, half after an overflow, from
 * which the 2000 are counted again. */
START_TEST(two_thousand)
{
    static const double ones[SMALL] = {1, 1, 1, 1, 1, 1, 1, 1}, bad[SMALL] = {[3] = INFINITY};
    static const struct {
        int step;
        bool overflow;
        double before, after; /* it */
    } table[] = {{1999, false, 65536, 131072}, {2000, true, 131072, 65536},
                 {2001, true, 65536, 32768},   {4000, false, 32768, 32768},
                 {4001, false, 32768, 65536},  {4002, true, 65536, 32768}};
    job j = pair();
    int64_t skipped = 0;
    scaled(j.f, SCALING(0));
    ck_all(weft_loss_scale(j.f) == 65536);
    for (int t = 0, row = 0; row < 6; t++) {
        const bool at = t == table[row].step, over = at && table[row].overflow;
        const double before = weft_loss_scale(j.f);
        differentiate(&j, over ? bad : ones);
        const weft_status a = weft_step(j.o[0]), b = weft_step(j.o[1]);
        weft_step_end(j.f);
        skipped += over;
        if (a == (over ? WEFT_SKIPPED : WEFT_OK) && b == WEFT_OK && !at)
            continue;
        ck_all(a == (over ? WEFT_SKIPPED : WEFT_OK) && b == WEFT_OK);
        ck_all(before == table[row].before && weft_loss_scale(j.f) == table[row].after);
        ck_all(weft_skipped_count(j.f) == skipped);
        row++;
    }
    ck_all(weft_steps(j.o[0]) == 4003 - skipped && weft_steps(j.o[1]) == 4003);
    ck_all(weft_step_count(j.f) == 2 * 4003 && !weft_close(&j.f));
}
END_TEST

/* --- a step that is skipped --- */

static const char *const strategy[] = {"ddp", "zero1", "zero2"};
#define STRATEGIES 3

/* Whoever overflows: all skip, and nothing moves. */
START_TEST(on_one_rank)
{
    for (int run = 0; run < STRATEGIES * all_world(); run++) {
        const int bad = run % all_world();
        weft_fabric *f;
        bool late;
        weft_open_mpi(&f, MPI_COMM_WORLD,
                      WEFT_OPEN(.seed = 5, .timeout = 20, .strategy = strategy[run / all_world()]));
        late = (all_world() == 1 || run < all_world()) && strcmp(weft_device_name(f), "cpu") != 0;
        scaled(f, SCALING(0));
        weft_module *m = small_net(f);
        weft_optimizer *o = weft_adam(m, NULL);
        weft_set_schedule(o, WEFT_SCHEDULE(.kind = "linear", .total = 10));
        weft_setup(f, m, o);
        double before[200] = {0}, after[200] = {0}, rate = 0;
        for (int t = 0; t < 4; t++) {
            const double x = t == 2 && all_rank() == bad ? NAN : 1 + all_rank();
            weft_tensor *in = weft_full(f, x, 2, (const int64_t[]){3, FEATURES}, WEFT_F32);
            weft_zero_grad(o);
            ck_all(!weft_backward(f, weft_sum(weft_forward(m, in), WEFT_ALL)));
            rate = weft_lr(o);
            ck_all(weft_step(o) == (t == (late ? 3 : 2) ? WEFT_SKIPPED : WEFT_OK) &&
                   !weft_error(f));
            numbers_of(m, after);
            ck_all(t != 2 || (!memcmp(before, after, sizeof before) && rate == weft_lr(o)));
            memcpy(before, after, sizeof before);
            ck_all(!weft_step_end(f) && same_bytes(after, sizeof after));
            ck_all(weft_loss_scale(f) == (t < 2 ? 65536 : 32768));
        }
        ck_all(weft_steps(o) == 3 && weft_step_count(f) == 4 && weft_skipped_count(f) == 1);
        ck_all(!weft_close(&f));
    }
}
END_TEST

/* Of two optimizers one overflows: the other steps. Both are clipped before either steps, and neither
 * is divided twice; clipping what overflowed is no error. */
START_TEST(clipped)
{
    for (int way = 0; way < 4; way++) { /* bit 0: clip, bit 1: weft_unscale, too */
        const weft_status expected[] = {WEFT_SKIPPED, WEFT_OK};
        const double g[SMALL] = {1, INFINITY, 3, 4, 3, 0, 0, 4};
        double now[SMALL], left[4];
        job j = pair();
        scaled(j.f, SCALING(.init_scale = 4096));
        ck_all(!differentiate(&j, g));
        gradient_of(&j, 1, left);
        ck_all(left[0] == 3 * 4096);
        for (int i = 0; i < 2 && way & 2; i++)
            ck_all(weft_unscale(j.o[i]) == expected[i] && weft_unscale(j.o[i]) == expected[i]);
        for (int i = 0; i < 2 && way & 1; i++) {
            const double norm = weft_item(weft_clip_gradients(j.o[i], WEFT_CLIP(.max_norm = 5)));
            ck_all(i ? norm == 5 : isinf(norm));
            ck_all(i || !weft_clip_gradients(j.o[0], WEFT_CLIP(.clip_val = 1)));
        }
        for (int i = 0; i < 2; i++)
            ck_all(weft_step(j.o[i]) == expected[i] && weft_step(j.o[i]) == expected[i]);
        gradient_of(&j, 1, left);
        ck_all(fabs(left[0] - 3) < 1e-6 && !weft_step_end(j.f) && weft_loss_scale(j.f) == 2048);
        numbers_of(j.model, now);
        ck_all(now[0] == 0 && now[2] == 0 && fabs(now[4] + 1.5) < 1e-6);
        ck_all(weft_skipped_count(j.f) == 1 && !weft_close(&j.f));
    }
}
END_TEST

/* A scale that no overflow leaves: the 17th in a row has the scale at 1, and is an error. */
START_TEST(without_end)
{
    static const double ones[SMALL] = {1, 1, 1, 1, 1, 1, 1, 1};
    double bad[SMALL] = {[2] = all_rank() == all_world() - 1 ? NAN : 1}, now[SMALL];
    for (int clip = 0; clip < 2; clip++) {
        job j = pair();
        int t = 0;
        weft_status s = WEFT_OK;
        scaled(j.f, SCALING(0));
        for (; s >= 0 && t < 100; t++) {
            ck_all(!differentiate(&j, bad));
            if (clip)
                weft_clip_gradients(j.o[0], WEFT_CLIP(.max_norm = 1));
            s = weft_step(j.o[0]);
            ck_all(s == (t < 16 ? WEFT_SKIPPED : WEFT_ENONFINITE));
            ck_all(weft_step_end(j.f) == (t < 16 ? WEFT_OK : WEFT_ENONFINITE));
        }
        ck_all(t == 17 && weft_error(j.f) == WEFT_ENONFINITE && weft_loss_scale(j.f) == 1);
        ck_all(strstr(weft_message(j.f), "min_scale") && weft_step(j.o[1]) == WEFT_ENONFINITE);
        ck_all(!weft_clear(j.f) && numbers_of(j.model, now) == SMALL && now[0] == 0);
        ck_all(!differentiate(&j, ones) && !weft_step(j.o[0]) && !weft_step_end(j.f));
        ck_all(weft_loss_scale(j.f) == 1 && !weft_close(&j.f));
    }
}
END_TEST

/* --- nothing but that --- */

/* Trains on rows; growth after each step unless it overflows, so that the scale moves all the time. */
typedef struct plan {
    bool scaled;
    const char *strategy; /* NULL: auto */
    int accumulate, keep; /* keep: batches before a zero_grad */
    double clip;
    const char *dir;
    int stop;
} plan;

static void train(const plan *p, double *out, weft__scaler *end)
{
    weft_fabric *f;
    weft_open_mpi(&f, MPI_COMM_WORLD, WEFT_OPEN(.seed = 5, .timeout = 20, .strategy = p->strategy));
    if (p->scaled)
        scaled(f, SCALING(.init_scale = 1024, .growth_interval = 3));
    weft_module *m = small_net(f);
    weft_optimizer *o = weft_adam(m, WEFT_ADAM(.lr = 0.01));
    weft_loader *l = weft_loader_arrays(f, ROWS, data_x, 1, &features, WEFT_F64, data_y, WEFT_I32,
                                        WEFT_LOADER(.global_batch = 30, .epochs = 3));
    weft_setup(f, m, o);
    weft_setup_loader(f, l);
    if (p->accumulate)
        weft_accumulate(f, p->accumulate);
    if (p->dir)
        ck_all(!weft_resume(f, p->dir));
    int n = 0;
    for (weft_batch b; n < p->stop && weft_next(l, &b); n++) {
        const double scale = weft_loss_scale(f);
        if (!p->keep || n % p->keep == 0)
            weft_zero_grad(o);
        weft_tensor *x = weft_cast(b.x, WEFT_F32);
        ck_all(!weft_backward(f, weft_cross_entropy(weft_forward(m, x), b.y)));
        if (p->clip > 0)
            weft_clip_gradients(o, WEFT_CLIP(.max_norm = p->clip));
        ck_all(weft_step(o) >= 0 && weft_loss_scale(f) == scale);
        if (p->dir && weft_every(f, 7))
            ck_all(!weft_save(f, p->dir));
    }
    weft_step_end(f);
    numbers_of(m, out);
    *end = f->facade->scaler;
    ck_all(!weft_close(&f));
}

START_TEST(unseen)
{
    static const plan table[] = {{.stop = 30},
                                 {.stop = 30, .clip = 0.1},
                                 {.stop = 30, .accumulate = 4},
                                 {.stop = 30, .accumulate = 4, .clip = 0.1},
                                 {.stop = 30, .keep = 3},
                                 {.stop = 30, .keep = 3, .clip = 0.1},
                                 {.stop = 30, .strategy = "zero1", .clip = 0.1},
                                 {.stop = 30, .strategy = "zero1", .accumulate = 4},
                                 {.stop = 30, .strategy = "zero2", .clip = 0.1},
                                 {.stop = 30, .strategy = "zero2", .keep = 3},
                                 {.stop = 30, .strategy = "zero2", .accumulate = 4}};
    static double without[200], with[200];
    weft__scaler end;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        plan p = table[i];
        train(&p, without, &end);
        ck_all(!end.on);
        p.scaled = true;
        train(&p, with, &end);
        ck_all(end.on && end.scale == (p.accumulate ? 8 : 1024) * 1024.0 && !end.skipped);
        ck_all(!memcmp(with, without, sizeof with) && with[0] != 0);
    }
}
END_TEST

/* One optimizer steps at every edge, the other at every third, with what the three have added up in
 * its gradients while the scale grew. */
START_TEST(waiting)
{
    double now[2][SMALL];
    for (int on = 0; on < 2; on++)
        for (int held = 0; held < 2; held++) {
            job j = pair();
            if (on)
                scaled(j.f, SCALING(.init_scale = 4, .growth_interval = 1));
            for (int t = 0; t < 9; t++) {
                const double g[SMALL] = {1, t, 3, 4, t, 6, 7 + all_rank(), 8};
                weft_zero_grad(j.o[0]);
                if (t % 3 == 0)
                    weft_zero_grad(j.o[1]);
                ck_all(!weft_backward(j.f, loss_of(&j, g, 3)) && !weft_step(j.o[0]));
                ck_all(t % 3 < 2 || !weft_step(j.o[1]));
                ck_all(!weft_step_end(j.f) && weft_loss_scale(j.f) == (on ? 4 << (t + 1) : 1));
            }
            numbers_of(j.model, now[on]);
            ck_all(!weft_close(&j.f));
        }
    ck_all(!memcmp(now[0], now[1], sizeof now[0]) && now[0][5] == -13.5);
}
END_TEST

/* A module whose ranks add up by themselves, while another steps. */
START_TEST(held)
{
    double now[2][SMALL];
    for (int on = 0; on < 2; on++) {
        job j = {0};
        const float zero[4] = {0};
        weft_open_mpi(&j.f, MPI_COMM_WORLD, WEFT_OPEN(.seed = 5, .timeout = 20));
        for (int i = 0; i < 2; i++) {
            j.part[i] = weft_nn_linear_nobias(j.f, 2, 2);
            j.o[i] = weft_sgd(j.part[i], WEFT_SGD(.lr = 0.25));
            weft_setup(j.f, j.part[i], j.o[i]);
            weft_copy_in(weight(&j, i), zero, sizeof zero);
        }
        if (on)
            scaled(j.f, SCALING(.init_scale = 4, .growth_interval = 1));
        for (int t = 0; t < 6; t++) {
            const double g[SMALL] = {1, t, 3, 4, t, 6, 7 + all_rank(), 8};
            weft_zero_grad(j.o[0]);
            if (t % 3 == 0)
                weft_zero_grad(j.o[1]);
            weft_no_backward_sync_begin(j.part[1], t % 3 < 2);
            ck_all(!weft_backward(j.f, loss_of(&j, g, 3)) && !weft_step(j.o[0]));
            weft_no_backward_sync_end(j.part[1]);
            ck_all(t % 3 < 2 || !weft_step(j.o[1]));
            ck_all(!weft_step_end(j.f) && weft_loss_scale(j.f) == (on ? 4 << (t + 1) : 1));
        }
        for (int i = 0; i < 2; i++)
            numbers_of(j.part[i], now[on] + 4 * i);
        ck_all(!weft_close(&j.f));
    }
    ck_all(!memcmp(now[0], now[1], sizeof now[0]) && now[0][5] == -9);
}
END_TEST

/* --- in checkpoints --- */

static void make_directory(char dir[64])
{
    snprintf(dir, 64, "scaler-XXXXXX");
    int ok = all_rank() || mkdtemp(dir);
    MPI_Bcast(dir, 64, MPI_CHAR, 0, MPI_COMM_WORLD);
    ck_all(ok);
}

static void remove_directory(const char *dir)
{
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    all_barrier();
    ck_all(all_rank() || !system(command));
}

/* Left after any number of steps, before or after their edges' growth, and resumed: the same scale,
 * the same count towards its growth, the same bits. */
START_TEST(resumed)
{
    static double whole[200], parts[200];
    for (int stop = 5; stop < 9; stop++) {
        weft__scaler end, again;
        char dir[64];
        train(&(plan){.stop = 100, .scaled = true}, whole, &end);
        make_directory(dir);
        train(&(plan){.stop = stop, .scaled = true, .dir = dir}, parts, &again);
        ck_all(again.good == stop % 3);
        train(&(plan){.stop = 100, .scaled = true, .dir = dir}, parts, &again);
        ck_all(!memcmp(whole, parts, sizeof whole) && again.scale == end.scale);
        ck_all(again.good == end.good);
        remove_directory(dir);
    }
}
END_TEST

/* Saved between a step that is skipped and its edge. */
START_TEST(saved_in_a_skip)
{
    char dir[64], path[96];
    double bad[SMALL] = {[5] = INFINITY};
    make_directory(dir);
    job j = pair();
    scaled(j.f, SCALING(0));
    ck_all(!differentiate(&j, bad) && !weft_step(j.o[0]) && weft_step(j.o[1]) == WEFT_SKIPPED);
    ck_all(weft_skipped_count(j.f) == 1 && !weft_save(j.f, dir));
    ck_all(weft_loss_scale(j.f) == 65536 && !weft_close(&j.f));
    snprintf(path, sizeof path, "%s/step-000002", dir);
    for (int on = 1; on >= 0; on--) { /* and loaded where there is none */
        j = pair();
        if (on)
            scaled(j.f, SCALING(.init_scale = 8));
        ck_all(!weft_load(j.f, path) && weft_step_count(j.f) == 2);
        ck_all(weft_loss_scale(j.f) == (on ? 32768 : 1) && weft_skipped_count(j.f) == on);
        ck_all(!weft_close(&j.f));
    }
    remove_directory(dir);
}
END_TEST

static char said[2000];

static void collect(void *user, weft_level level, const char *text)
{
    (void)user, (void)level;
    size_t n = strlen(said);
    snprintf(said + n, sizeof said - n, "%s\n", text);
}

/* A checkpoint of a precision without a scale: it begins anew, which is said. */
START_TEST(from_another)
{
    static const double ones[SMALL] = {1, 1, 1, 1, 1, 1, 1, 1}, bad[SMALL] = {INFINITY};
    char dir[64], path[96];
    make_directory(dir);
    job j = pair();
    ck_all(!differentiate(&j, ones) && !weft_step(j.o[0]) && !weft_save(j.f, dir));
    ck_all(!weft_close(&j.f));
    snprintf(path, sizeof path, "%s/step-000001", dir);
    j = pair();
    scaled(j.f, SCALING(.init_scale = 512));
    ck_all(!differentiate(&j, bad) && weft_step(j.o[0]) == WEFT_SKIPPED && !weft_step_end(j.f));
    ck_all(weft_loss_scale(j.f) == 256);
    weft_log_level(WEFT_LOG_INFO);
    weft_log_to(collect, NULL);
    ck_all(!weft_load(j.f, path) && weft_loss_scale(j.f) == 512 && !weft_skipped_count(j.f));
    weft_log_level(WEFT_LOG_SILENT);
    ck_all((strstr(said, "no loss scale: it begins at 512") != NULL) == (all_rank() == 0));
    ck_all(!weft_close(&j.f));
    remove_directory(dir);
}
END_TEST

/* --- what it says --- */

static double logged[8];
static int64_t logged_at[8];
static int rows;

static weft_status record(void *self, const weft_record *r)
{
    (void)self;
    for (int64_t i = 0; i < r->n && rows < 8; i++)
        if (!strcmp(r->name[i], "loss_scale")) {
            logged_at[rows] = r->step;
            logged[rows++] = r->value[i];
        }
    return WEFT_OK;
}

START_TEST(told)
{
    static const weft_logger_ops ops = {.size = sizeof ops, .name = "mine", .record = record};
    double g[SMALL] = {1};
    job j = pair();
    scaled(j.f, SCALING(.init_scale = 64));
    weft_logger_new(j.f, &ops, NULL, 0);
    said[0] = '\0';
    rows = 0;
    weft_log_level(WEFT_LOG_INFO);
    weft_log_to(collect, NULL);
    for (int t = 0; t < 4; t++) {
        g[6] = t == 1 || t == 2 ? NAN : 1;
        ck_all(!differentiate(&j, g) && weft_step(j.o[1]) == (g[6] == 1 ? WEFT_OK : WEFT_SKIPPED));
        ck_all(!weft_step_end(j.f));
    }
    weft_log_level(WEFT_LOG_SILENT);
    ck_all(!weft_close(&j.f));
    const bool first = all_rank() == 0;
    ck_all(rows == (first ? 4 : 0));
    for (int t = 0; t < rows; t++)
        ck_assert(logged_at[t] == t + 1 && logged[t] == (t < 2 ? 64 : t == 2 ? 32 : 16));
    ck_all(first == (strstr(said, "step 1 of sgd is skipped") && strstr(said, "scale of 32")));
}
END_TEST

/* --- misuse --- */

START_TEST(wrong_time)
{
    static const double ones[SMALL] = {1, 1, 1, 1, 1, 1, 1, 1};
    for (int on = 0; on < 2; on++) {
        job j = pair();
        if (on)
            scaled(j.f, SCALING(0));
        weft_optimizer *fresh = weft_sgd(small_net(j.f), NULL);
        ck_all(weft_unscale(NULL) == WEFT_EARG);
        ck_all(weft_unscale(fresh) == WEFT_ESTATE && strstr(weft_message(j.f), "not set up"));
        ck_all(weft_error(j.f) == WEFT_ESTATE && !weft_clear(j.f));
        ck_all(weft_unscale(j.o[0]) == WEFT_ESTATE && strstr(weft_message(j.f), "weft_backward"));
        ck_all(!weft_clear(j.f) && !weft_no_backward_sync_begin(j.model, true));
        ck_all(!differentiate(&j, ones) && weft_unscale(j.o[0]) == WEFT_ESTATE);
        ck_all(!weft_clear(j.f) && !weft_no_backward_sync_end(j.model));
        ck_all(!weft_accumulate(j.f, 2) && !differentiate(&j, ones));
        ck_all(weft_unscale(j.o[0]) == WEFT_POSTPONED && weft_step(j.o[0]) == WEFT_POSTPONED);
        ck_all(!weft_step_end(j.f) && !differentiate(&j, ones) && !weft_unscale(j.o[0]));
        ck_all(!weft_step(j.o[0]) && weft_loss_scale(j.f) == (on ? 65536 : 1));
        ck_all(!weft_close(&j.f));
    }
    ck_all(weft_loss_scale(NULL) == 1 && weft_skipped_count(NULL) == 0);
}
END_TEST

START_TEST(searches)
{
    job j = pair();
    scaled(j.f, SCALING(0));
    weft_module *m = small_net(j.f);
    weft_optimizer *o = weft_lbfgs(m, NULL);
    ck_all(weft_setup(j.f, m, o) == WEFT_ENOTSUP && strstr(weft_message(j.f), "lbfgs"));
    weft_clear(j.f);
    ck_all(!weft_close(&j.f));
}
END_TEST

/* An error of one rank between an overflow and the edge: all are alike again after weft_clear. */
START_TEST(cleared)
{
    static const double ones[SMALL] = {1, 1, 1, 1, 1, 1, 1, 1}, bad[SMALL] = {INFINITY};
    for (int at = 0; at < all_world(); at++) {
        job j = pair();
        double now[SMALL];
        scaled(j.f, SCALING(.growth_interval = 2));
        ck_all(!differentiate(&j, bad) && weft_step(j.o[0]) == WEFT_SKIPPED);
        if (all_rank() == at)
            weft_fail(j.f, WEFT_EUSER, "by the test");
        ck_all(!weft_step_end(j.f) && weft_loss_scale(j.f) == 32768);
        weft_backward(j.f, all_rank() == at ? NULL : loss_of(&j, ones, 3));
        ck_all(weft_step(j.o[0]) == WEFT_EUSER && !weft_clear(j.f));
        for (int t = 0; t < 2; t++)
            ck_all(!differentiate(&j, ones) && !weft_step(j.o[0]) && !weft_step_end(j.f));
        numbers_of(j.model, now);
        ck_all(weft_loss_scale(j.f) == 65536 && now[0] == -0.5 && same_bytes(now, sizeof now));
        ck_all(!weft_close(&j.f));
    }
}
END_TEST

/* --- as a precision --- */

/* What makes an f16 overflow, at 16-mixed's own scale, is over after some skips; what is smaller than f16
 * holds without a scale trains with it. */
START_TEST(mixed)
{
    for (int off = 0; off < 2; off++)
        for (int small = 0; small < 2; small++) {
            weft_fabric *f;
            ck_all(!weft_open_mpi(
                &f, MPI_COMM_WORLD,
                WEFT_OPEN(.precision = "16-mixed", .seed = 5, .init_scale = off ? WEFT_OFF : 0)));
            ck_all(weft_loss_scale(f) == (off ? 1 : 65536));
            weft_module *m = small_net(f);
            weft_optimizer *o = weft_sgd(m, WEFT_SGD(.lr = small ? 1e6 : 1e-3));
            weft_setup(f, m, o);
            double before[200] = {0}, after[200] = {0};
            int skipped = 0;
            numbers_of(m, before);
            for (int t = 0; t < 12; t++) {
                weft_tensor *x = weft_full(f, 0.5, 2, (const int64_t[]){3, FEATURES}, WEFT_F32);
                weft_tensor *y = weft_sum(weft_forward(m, x), WEFT_ALL);
                weft_zero_grad(o);
                ck_all(!weft_backward(f, weft_scale(y, small ? 1e-9 : 8)));
                weft_status s = weft_step(o);
                skipped += s == WEFT_SKIPPED;
                ck_all(s >= 0 && !weft_step_end(f));
            }
            numbers_of(m, after);
            const bool moved = memcmp(before, after, sizeof before) != 0;
            ck_all(same_bytes(after, sizeof after) && moved == !(small && off));
            ck_all(weft_skipped_count(f) == skipped && (skipped > 0) == (!small && !off));
            ck_all(off || weft_loss_scale(f) == ldexp(65536, -skipped));
            ck_all(!weft_close(&f));
        }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("scaler");
    TCase *t = tcase_create("scale");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, as_torch);
    tcase_add_test(t, two_thousand);
    tcase_add_test(t, on_one_rank);
    tcase_add_test(t, clipped);
    tcase_add_test(t, without_end);
    tcase_add_test(t, unseen);
    tcase_add_test(t, waiting);
    tcase_add_test(t, held);
    tcase_add_test(t, resumed);
    tcase_add_test(t, saved_in_a_skip);
    tcase_add_test(t, from_another);
    tcase_add_test(t, told);
    tcase_add_test(t, wrong_time);
    tcase_add_test(t, searches);
    tcase_add_test(t, cleared);
    tcase_add_test(t, mixed);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv)
{
    weft_log_level(WEFT_LOG_SILENT);
    make_data();
    return all_main(&argc, &argv, suite);
}
