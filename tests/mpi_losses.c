/* N ranks equal one where losses have denominators of their own: labels that do not count, spread
 * unevenly, on some ranks all of them; class weights; ranks without rows. And no rank waits for
 * one that failed before or after the others learn that such a loss is there. */
#include "mpi_train.h"

#include <weft/sys/logger.h>

#define STEPS 6
#define IGNORED (-100)

typedef enum pattern { HERE_AND_THERE, FIRST_HALF, ALL_OF_STEP_3, NONE } pattern;

typedef struct plan {
    int64_t batch;
    pattern pattern;
    bool weights, both, unknown, fused;
    double smoothing;
} plan;

typedef struct memory {
    double loss[64];
    int n;
} memory;

static const char *precision = "64-true";
static double together_[NUMBERS], alone[NUMBERS];
static memory logged[2];

static weft_status remember(void *self, const weft_record *r)
{
    memory *m = *(memory **)self;
    for (int64_t i = 0; i < r->n && m->n < 64; i++)
        m->loss[m->n++] = r->value[i];
    return WEFT_OK;
}

static const weft_logger_ops memory_ops = {
    .size = sizeof memory_ops, .name = "memory", .record = remember};

static int32_t label_of(const plan *p, int64_t step, int64_t row, int64_t at)
{
    bool ignored = (p->pattern == HERE_AND_THERE && row % 5 > 1 && row < 3 * p->batch / 4) ||
                   (p->pattern == FIRST_HALF && row < (p->batch + 1) / 2) ||
                   (p->pattern == ALL_OF_STEP_3 && step == 3);
    return ignored ? IGNORED : data_y[at];
}

/* This rank's rows of a batch: contiguous, the longer parts first. */
static weft_batch part(weft_fabric *f, const plan *p, int64_t step)
{
    int64_t r = weft_global_rank(f), w = weft_world_size(f), rows = p->batch / w;
    int64_t mine = rows + (r < p->batch % w),
            first = r * rows + (r < p->batch % w ? r : p->batch % w);
    int32_t y[ROWS];
    int64_t at = step * p->batch % (ROWS - p->batch) + first;
    for (int64_t i = 0; i < mine; i++)
        y[i] = label_of(p, step, first + i, at + i);
    weft_tensor *x =
        weft_tensor_of(f, data_x + at * FEATURES, 2, (const int64_t[]){mine, FEATURES}, WEFT_F64);
    if (precision[0] == '3')
        x = weft_cast(x, WEFT_F32);
    return weft_batch_of(f, x, weft_tensor_of(f, y, 1, &mine, WEFT_I32), at,
                         p->unknown ? 0 : p->batch);
}

static weft_tensor *loss_of(weft_fabric *f, const plan *p, weft_tensor *z, weft_tensor *y)
{
    static const double w[CLASSES] = {0.5, 2, 0, 1.25};
    const int64_t classes = CLASSES, ignored = p->pattern == NONE ? 0 : IGNORED;
    static const double turn[CLASSES * CLASSES] = {1,  0.5, 0, 0, 0, 1, 0, 0.25,
                                                   -1, 0,   1, 0, 0, 0, 0, 1};
    if (p->fused)
        return weft_linear_cross_entropy(
            z, weft_tensor_of(f, turn, 2, (const int64_t[]){classes, classes}, WEFT_F64), NULL, y,
            WEFT_LINEAR_CROSS_ENTROPY(.ignore_index = ignored, .chunk = 3));
    return weft_cross_entropy_with(
        z, y,
        WEFT_CROSS_ENTROPY(.ignore_index = ignored, .label_smoothing = p->smoothing,
                           .weight =
                               p->weights ? weft_tensor_of(f, w, 1, &classes, WEFT_F64) : NULL));
}

static weft_fabric *open_on(MPI_Comm comm)
{
    weft_fabric *f;
    weft_open_mpi(&f, comm,
                  WEFT_OPEN(.strategy = comm == MPI_COMM_WORLD ? "ddp" : "single", .seed = 7,
                            .log_every = 3, .precision = precision));
    return f;
}

/* @return how many numbers went to out, 0 after an error. */
static size_t train(MPI_Comm comm, const plan *p, memory *log, double *out)
{
    weft_fabric *f = open_on(comm);
    log->n = 0;
    weft_logger_new(f, &memory_ops, &log, sizeof log);
    weft_module *m = small_net(f);
    weft_optimizer *o = weft_sgd(m, WEFT_SGD(.lr = 0.1, .momentum = 0.9));
    weft_setup(f, m, o);
    for (int64_t i = 0; i < STEPS; i++) {
        weft_batch b = part(f, p, i);
        weft_tensor *z = weft_forward(m, b.x), *loss = loss_of(f, p, z, b.y);
        weft_zero_grad(o);
        weft_backward(f, loss);
        if (p->both)
            weft_backward(f, weft_mean(weft_mul(z, weft_scale(z, 0.1)), WEFT_ALL));
        weft_step(o);
        weft_log(f, "loss", loss);
        weft_step_end(f);
    }
    size_t n = weft_error(f) ? 0 : numbers_of(m, out);
    return weft_close(&f) == 0 ? n : 0;
}

static int same_log(double tolerance)
{
    const memory *a = &logged[0], *b = &logged[1];
    int same = a->n == b->n && a->n == STEPS;
    for (int i = 0; i < a->n && same; i++)
        same =
            fabs(a->loss[i] - b->loss[i]) <= tolerance || (isnan(a->loss[i]) && isnan(b->loss[i]));
    return same;
}

static void n_is_one(const plan *p)
{
    double tolerance = strcmp(precision, "32-true") ? 1e-12 : 1e-5;
    size_t n = train(MPI_COMM_WORLD, p, &logged[0], together_);
    ck_all(n > 0);
    ck_all(train(MPI_COMM_SELF, p, &logged[1], alone) == n);
    ck_all(same_bytes(together_, n * sizeof *together_));
    double d = furthest(together_, alone, n);
    if (!(d <= tolerance))
        fprintf(stderr, "# batch %d, pattern %d: %g apart\n", (int)p->batch, p->pattern, d);
    ck_all(d <= tolerance);
    ck_all(all_rank() || same_log(tolerance));
}

START_TEST(ignored_labels)
{
    for (int i = 0; i < 3; i++)
        for (int both = 0; both < 2; both++) {
            n_is_one(&(plan){.batch = 41, .pattern = (pattern)i, .both = both});
            n_is_one(&(plan){.batch = 2, .pattern = (pattern)i, .both = both});
        }
}
END_TEST

START_TEST(class_weights_and_smoothing)
{
    for (int i = 0; i < 4; i++)
        n_is_one(
            &(plan){.batch = 23, .pattern = (pattern)i, .weights = true, .smoothing = i / 8.0});
}
END_TEST

START_TEST(a_classifier_in_chunks)
{
    for (int i = 0; i < 4; i++)
        n_is_one(&(plan){.batch = 23, .pattern = (pattern)i, .fused = true, .both = i % 2});
}
END_TEST

/* In f32 the verdict's words are f32 too. */
START_TEST(in_f32)
{
    precision = "32-true";
    n_is_one(&(plan){.batch = 23, .pattern = HERE_AND_THERE, .weights = true, .both = true});
    n_is_one(&(plan){.batch = 3, .pattern = FIRST_HALF});
    precision = "64-true";
}
END_TEST

START_TEST(rows_that_the_program_does_not_know)
{
    n_is_one(&(plan){.batch = 13, .pattern = HERE_AND_THERE, .unknown = true, .both = true});
    n_is_one(&(plan){.batch = 13, .pattern = NONE, .unknown = true, .both = true});
}
END_TEST

typedef enum failure { BAD_LABEL, NO_LOSS, NO_BATCH, FAILURES } failure;

/* One step; rank `who` fails in it, in its own way. */
static weft_status one(weft_fabric *f, weft_module *m, weft_optimizer *o, int64_t i, int who,
                       failure how)
{
    const plan p = {.batch = 16, .pattern = HERE_AND_THERE};
    bool fails = weft_global_rank(f) == who;
    weft_batch b = {0};
    if (fails && how == NO_BATCH)
        weft_fail(f, WEFT_EUSER, "no batch");
    else
        b = part(f, &p, i);
    if (fails && how == BAD_LABEL)
        b.y = weft_full(f, 99, 1, &b.rows, WEFT_I64);
    weft_tensor *loss = loss_of(f, &p, weft_forward(m, b.x), b.y);
    if (fails && how == NO_LOSS) {
        weft_fail(f, WEFT_EUSER, "no loss");
        loss = NULL;
    }
    weft_zero_grad(o);
    weft_status s = weft_backward(f, loss);
    weft_step(o);
    weft_step_end(f);
    return s;
}

/* In step `when`; 0 is before the ranks know that losses are weighed. */
static void fails_in(int when, int who, failure how)
{
    weft_fabric *f = open_on(MPI_COMM_WORLD);
    weft_module *m = small_net(f);
    weft_optimizer *o = weft_sgd(m, WEFT_SGD(.lr = 0.1));
    weft_status want = how == BAD_LABEL ? WEFT_EDATA : WEFT_EUSER;
    weft_setup(f, m, o);
    for (int i = 0; i < when; i++)
        ck_all(!one(f, m, o, i, -1, how));
    size_t n = numbers_of(m, alone);
    ck_all(one(f, m, o, when, who, how) == want);
    ck_all(weft_error(f) == want);
    numbers_of(m, together_);
    ck_all(!memcmp(alone, together_, n * sizeof *alone));
    ck_all(!weft_clear(f));
    for (int i = 1; i < 4; i++)
        ck_all(!one(f, m, o, when + i, -1, how));
    numbers_of(m, together_);
    ck_all(same_bytes(together_, n * sizeof *together_));
    ck_all(furthest(alone, together_, n) > 1e-6);
    ck_all(weft_close(&f) == 0);
}

START_TEST(a_rank_that_fails_holds_nobody_up)
{
    for (int when = 0; when < 3; when += 2)
        for (failure how = BAD_LABEL; how < FAILURES; how++) {
            fails_in(when, all_world() - 1, how);
            fails_in(when, 0, how);
        }
}
END_TEST

/* A rank whose part is known adds it once, also in the backward that all go through twice. */
START_TEST(what_is_known_is_added_once)
{
    const plan p = {.batch = 16, .pattern = HERE_AND_THERE};
    double g[2][FEATURES * 16];
    weft_fabric *f = open_on(MPI_COMM_WORLD);
    weft_module *m = small_net(f);
    weft_optimizer *o = weft_sgd(m, NULL);
    weft_setup(f, m, o);
    for (int i = 0; i < 2; i++) {
        weft_batch b = part(f, &p, 0);
        weft_tensor *one = weft_full(f, 1, 2, (int64_t[]){1, FEATURES}, WEFT_F64);
        weft_tensor *loss = all_rank() ? loss_of(f, &p, weft_forward(m, b.x), b.y)
                                       : weft_mean(weft_forward(m, one), WEFT_ALL);
        weft_zero_grad(o);
        ck_all(!weft_backward(f, loss));
        ck_all(!weft_copy_out(weft_gradient(weft_param(m, "0.weight")), g[i], sizeof g[i]));
        weft_step_end(f);
    }
    ck_all(furthest(g[0], g[1], FEATURES * 16) < 1e-15);
    ck_all(weft_close(&f) == 0);
}
END_TEST

/* A metric, and an optimizer that evaluates the loss itself, weigh it as its gradient is. */
typedef struct evaluation {
    weft_fabric *f;
    weft_module *m;
    weft_optimizer *o;
    const plan *p;
} evaluation;

static weft_tensor *evaluate(void *user)
{
    const evaluation *e = user;
    weft_batch b = part(e->f, e->p, 0);
    weft_tensor *loss = loss_of(e->f, e->p, weft_forward(e->m, b.x), b.y);
    weft_zero_grad(e->o);
    weft_backward(e->f, loss);
    return loss;
}

static double searched(MPI_Comm comm, const plan *p, double *mean)
{
    evaluation e = {.f = open_on(comm), .p = p};
    e.m = small_net(e.f);
    e.o = weft_lbfgs(e.m, WEFT_LBFGS(.lr = 0.5, .max_iter = 4, .line_search = "strong_wolfe"));
    weft_metric *metric = weft_metric_mean(e.f);
    weft_setup(e.f, e.m, e.o);
    weft_step_closure(e.o, evaluate, &e);
    numbers_of(e.m, comm == MPI_COMM_SELF ? alone : together_);
    weft_eval_begin(e.f);
    for (int i = 0; i < 3; i++) {
        weft_batch b = part(e.f, p, i);
        weft_metric_update(metric, loss_of(e.f, p, weft_forward(e.m, b.x), b.y), NULL);
    }
    weft_eval_end(e.f);
    *mean = weft_metric_value(e.f, metric);
    double sum = 0;
    for (int i = 0; i < 7 * 16 + 17 * CLASSES; i++)
        sum += (comm == MPI_COMM_SELF ? alone : together_)[i];
    return weft_close(&e.f) == 0 ? sum : NAN;
}

START_TEST(metrics_and_searches_weigh_alike)
{
    for (pattern k = HERE_AND_THERE; k <= FIRST_HALF; k++) {
        const plan p = {.batch = 21, .pattern = k, .weights = k == FIRST_HALF};
        double mean[2], a = searched(MPI_COMM_WORLD, &p, &mean[0]);
        double b = searched(MPI_COMM_SELF, &p, &mean[1]);
        ck_all(fabs(a - b) < 1e-10);
        ck_all(fabs(mean[0] - mean[1]) < 1e-10 && mean[0] > 0);
    }
}
END_TEST

/* The sums over ranks that a loss costs: none if the denominators are known. */
START_TEST(what_it_costs)
{
    for (int weighed = 0; weighed < 2; weighed++) {
        const plan p = {.batch = 16, .pattern = weighed ? HERE_AND_THERE : NONE};
        weft_fabric *f = open_on(MPI_COMM_WORLD);
        weft_module *m = small_net(f);
        weft_setup(f, m, NULL);
        for (int i = 0; i < 5; i++) {
            weft_batch b = part(f, &p, i);
            weft_backward(f, loss_of(f, &p, weft_forward(m, b.x), b.y));
            weft_step_end(f);
        }
        ck_all(weft_traffic_count(f).gradient_reduces == 5 + (weighed && all_world() > 1));
        ck_all(weft_close(&f) == 0);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("losses");
    TCase *t = tcase_create("N is one"), *e = tcase_create("failures");
    weft_log_level(WEFT_LOG_SILENT);
    make_data();
    tcase_set_timeout(t, 120);
    tcase_set_timeout(e, 120);
    suite_add_tcase(s, t);
    suite_add_tcase(s, e);
    tcase_add_test(t, ignored_labels);
    tcase_add_test(t, a_classifier_in_chunks);
    tcase_add_test(t, class_weights_and_smoothing);
    tcase_add_test(t, in_f32);
    tcase_add_test(t, rows_that_the_program_does_not_know);
    tcase_add_test(t, what_is_known_is_added_once);
    tcase_add_test(t, metrics_and_searches_weigh_alike);
    tcase_add_test(t, what_it_costs);
    tcase_add_test(e, a_rank_that_fails_holds_nobody_up);
    return s;
}

int main(int argc, char **argv)
{
    return all_main(&argc, &argv, suite);
}
