/* N ranks equal one. Every plan is trained by all ranks together under each strategy and by each rank alone on
 * a communicator of its own: the parameters, and what was logged, must be the same numbers, up to
 * the order of their sums; and among the ranks bit by bit. */
#include "mpi_train.h"

#include "flat/flat.h"
#include "nn/module.h"

#include <weft/sys/logger.h>

#define STEPS 20

typedef enum loss { MEAN, SUM, ELEMENTS } loss;

typedef struct plan {
    int64_t batch;
    const char *last;
    int64_t rows; /* of the data; default ROWS */
    loss loss;
    bool adam;
    bool both;    /* backward twice, for two losses of one forward */
    int parts;    /* > 0: weft_batch_of on so many parts of each batch, */
    bool unknown; /* whose rows over all ranks the program does not know */
    bool frozen;  /* the first layer */
    bool two;     /* modules and optimizers */
    int64_t wide; /* hidden units; default 16 */
    int steps;    /* default STEPS */
    int bucket_mb;
    const char *precision; /* default 64-true */
} plan;

static double together_[NUMBERS], alone[NUMBERS], under_ddp[NUMBERS];

static const char *const strategy[] = {"ddp", "zero1", "zero2"};
static int chosen; /* of them, by all ranks together */

/* What rank 0 was given to log. */
typedef struct memory {
    double loss[64], sum[64];
    int64_t step[64];
    int n;
} memory;

static memory logged[2];

static weft_status remember(void *self, const weft_record *r)
{
    memory *m = *(memory **)self;
    m->step[m->n] = r->step;
    m->loss[m->n] = m->sum[m->n] = 0;
    for (int64_t i = 0; i < r->n; i++)
        *(strcmp(r->name[i], "loss") ? &m->sum[m->n] : &m->loss[m->n]) = r->value[i];
    m->n += m->n < 63;
    return WEFT_OK;
}

static const weft_logger_ops memory_ops = {
    .size = sizeof memory_ops, .name = "memory", .record = remember};

typedef struct nets {
    weft_fabric *f;
    weft_module *body, *head; /* head: of two */
    weft_optimizer *a, *b;
} nets;

static weft_optimizer *optimizer(weft_module *m, bool adam)
{
    return adam ? weft_adam(m, WEFT_ADAM(.lr = 1e-2, .weight_decay = 1e-2))
                : weft_sgd(m, WEFT_SGD(.lr = 0.1, .momentum = 0.9));
}

static nets make(weft_fabric *f, const plan *p)
{
    int64_t wide = p->wide ? p->wide : 16;
    nets n = {.f = f};
    weft_module *first = weft_nn_linear(f, FEATURES, wide);
    if (p->frozen)
        weft_freeze(first, true);
    if (p->two) {
        n.body = weft_nn_sequential(f, first, weft_nn_relu(f));
        n.head = weft_nn_linear(f, wide, CLASSES);
        n.b = optimizer(n.head, !p->adam);
    } else {
        n.body = weft_nn_sequential(f, first, weft_nn_relu(f), weft_nn_linear(f, wide, wide),
                                    weft_nn_relu(f), weft_nn_linear(f, wide, CLASSES));
    }
    n.a = optimizer(n.body, p->adam);
    weft_setup(f, n.body, n.a);
    if (n.head)
        weft_setup(f, n.head, n.b);
    return n;
}

static weft_tensor *loss_of(const plan *p, weft_tensor *z, weft_tensor *y)
{
    if (p->loss == ELEMENTS)
        return weft_mean(weft_mul(z, z), WEFT_ALL);
    return p->loss == SUM ? weft_scale(weft_cross_entropy_sum(z, y), 0.01)
                          : weft_cross_entropy(z, y);
}

static void backward(const nets *n, const plan *p, weft_tensor *x, weft_tensor *y)
{
    weft_tensor *z = weft_forward(n->body, x);
    z = n->head ? weft_forward(n->head, z) : z;
    weft_tensor *loss = loss_of(p, z, y);
    weft_backward(n->f, loss);
    if (p->both)
        weft_backward(n->f, weft_mean(weft_mul(z, weft_scale(z, 0.1)), WEFT_ALL));
    weft_log(n->f, "loss", loss);
    weft_log(n->f, "sum", weft_cross_entropy_sum(z, y));
}

static void step(const nets *n)
{
    weft_step(n->a);
    if (n->b)
        weft_step(n->b);
}

static void zero(const nets *n)
{
    weft_zero_grad(n->a);
    if (n->b)
        weft_zero_grad(n->b);
}

static int by_loader(const nets *n, const plan *p)
{
    int steps = p->steps ? p->steps : STEPS, done = 0;
    weft_loader *l = weft_loader_arrays(
        n->f, p->rows ? p->rows : ROWS, data_x, 1, &features, WEFT_F64, data_y, WEFT_I32,
        WEFT_LOADER(.global_batch = p->batch, .epochs = 1000, .shuffle = true, .last = p->last));
    weft_setup_loader(n->f, l);
    for (weft_batch b; done < steps && weft_next(l, &b); done++) {
        zero(n);
        backward(n, p, b.x, b.y);
        step(n);
    }
    return done == steps;
}

/* Rank r's rows of [first, first + rows): contiguous, the longer parts first. */
static weft_batch slice(const nets *n, const plan *p, int64_t first, int64_t rows)
{
    int64_t r = weft_global_rank(n->f), w = weft_world_size(n->f);
    int64_t mine = rows / w + (r < rows % w),
            at = first + r * (rows / w) + (r < rows % w ? r : rows % w);
    weft_tensor *x = weft_tensor_of(n->f, data_x + at * FEATURES, 2,
                                    (const int64_t[]){mine, FEATURES}, WEFT_F64);
    weft_tensor *y = weft_tensor_of(n->f, data_y + at, 1, &mine, WEFT_I32);
    return weft_batch_of(n->f, x, y, at, p->unknown ? 0 : rows);
}

static int in_place(const nets *n, const plan *p)
{
    for (int i = 0; i < STEPS; i++) {
        int64_t first = i * p->batch % (ROWS - p->batch), rows = p->batch / p->parts;
        zero(n);
        for (int k = 0; k < p->parts; k++) {
            int64_t last = k == p->parts - 1 ? p->batch - k * rows : rows;
            weft_batch b = slice(n, p, first + k * rows, last);
            backward(n, p, b.x, b.y);
        }
        step(n);
        if (weft_step_end(n->f))
            return 0;
    }
    return 1;
}

static int64_t buckets(const nets *n, int64_t *bytes)
{
    int64_t count = 0;
    *bytes = 0;
    for (int k = 0; k < 2; k++) {
        weft_module *m = k ? n->head : n->body;
        for (int i = 0; m && i < m->flats; i++) {
            const weft__flat *flat = m->flat[i];
            count += flat->trainable ? flat->nbuckets : 0;
            for (int s = 0; flat->trainable && s < flat->nsegments; s++)
                *bytes +=
                    flat->segment[s]->count * (int64_t)weft_dtype_size(flat->type[WEFT__GRAD]);
        }
    }
    return count;
}

/* Trains on comm; all numbers go to out. @return how many, 0 after an error. */
static size_t train(MPI_Comm comm, const plan *p, memory *log, double *out)
{
    weft_fabric *f;
    bool world = comm == MPI_COMM_WORLD;
    int64_t bytes, steps = p->steps ? p->steps : STEPS;
    int64_t backwards = steps * (p->both ? 2 : 1) * (p->parts ? p->parts : 1);
    weft_open_mpi(&f, comm,
                  WEFT_OPEN(.strategy = world ? strategy[chosen] : "single", .seed = 7,
                            .log_every = 3, .precision = p->precision ? p->precision : "64-true",
                            .bucket_mb = p->bucket_mb));
    log->n = 0;
    weft_logger_new(f, &memory_ops, &log, sizeof log);
    nets n = make(f, p);
    int ok = p->parts ? in_place(&n, p) : by_loader(&n, p);
    size_t count = numbers_of(n.body, out);
    count += n.head ? numbers_of(n.head, out + count) : 0;
    weft_traffic t = weft_traffic_count(f);
    if (p->parts && p->unknown && (p->loss != SUM || p->both) && all_world() > 1)
        backwards++; /* the first, in which all ranks learn that rows must be summed */
    int64_t reduces = buckets(&n, &bytes) * backwards;
    bytes *= backwards;
    if (t.gradient_reduces != (world ? reduces : 0) || t.gradient_bytes != (world ? bytes : 0)) {
        fprintf(stderr, "# %d reduces of %d bytes, expected %d and %d\n", (int)t.gradient_reduces,
                (int)t.gradient_bytes, (int)reduces, (int)bytes);
        ok = 0;
    }
    ok &= weft_error(f) == 0 && weft_step_count(f) == steps * (p->two ? 2 : 1);
    return weft_close(&f) == 0 && ok ? count : 0;
}

static int same_log(double tolerance)
{
    const memory *a = &logged[0], *b = &logged[1];
    int same = a->n == b->n && a->n > 0;
    for (int i = 0; i < a->n && same; i++)
        same = a->step[i] == b->step[i] &&
               fabs(a->loss[i] - b->loss[i]) <= tolerance * (1 + fabs(b->loss[i])) &&
               fabs(a->sum[i] - b->sum[i]) <= tolerance * (1 + fabs(b->sum[i]));
    return same;
}

static void is_one(const plan *p, double tolerance, size_t n)
{
    ck_all(train(MPI_COMM_WORLD, p, &logged[0], together_) == n);
    ck_all(same_bytes(together_, n * sizeof *together_));
    double d = furthest(together_, alone, n);
    if (!(d <= tolerance))
        fprintf(stderr, "# %s, batch %d: %g apart\n", strategy[chosen], (int)p->batch, d);
    ck_all(d <= tolerance);
    ck_all(all_rank() || same_log(tolerance));
}

/* Buckets are reduced in order of rank, so that all strategies have the same bits: but where a backward adds to
 * an earlier one, whose sum other ranks keep. */
static void n_is_one(const plan *p, double tolerance)
{
    size_t n = train(MPI_COMM_SELF, p, &logged[1], alone);
    ck_all(n > 0);
    for (chosen = 0; chosen < 3; chosen++) {
        is_one(p, tolerance, n);
        if (chosen == 0)
            memcpy(under_ddp, together_, n * sizeof *together_);
        ck_all(p->both || p->parts || memcmp(under_ddp, together_, n * sizeof *together_) == 0);
    }
    chosen = 0;
}

/* Batches that P divides and does not, smaller than P, uneven at the epoch's end. */
static const int64_t batch[] = {128, 7, 2, 1};

START_TEST(batches)
{
    static const char *const last[] = {"uneven", "drop", "pad"};
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 3; k++)
            for (int adam = 0; adam < 2; adam++)
                n_is_one(&(plan){.batch = batch[i],
                                 .last = last[k],
                                 .adam = adam,
                                 .rows = batch[i] == 128 ? ROWS : 25},
                         1e-12);
}
END_TEST

START_TEST(losses)
{
    for (int i = 0; i < 4; i++)
        for (int k = SUM; k <= ELEMENTS; k++)
            n_is_one(&(plan){.batch = batch[i],
                             .loss = (loss)k,
                             .rows = batch[i] == 128 ? ROWS : 25,
                             .adam = i % 2},
                     1e-12);
}
END_TEST

START_TEST(two_backwards)
{
    for (int i = 0; i < 4; i++)
        for (int k = MEAN; k <= ELEMENTS; k++)
            n_is_one(&(plan){.batch = batch[i], .both = true, .loss = (loss)k, .adam = i % 2},
                     1e-12);
}
END_TEST

START_TEST(parts_of_batches)
{
    for (int i = 0; i < 3; i++)
        for (int parts = 1; parts <= 2; parts++)
            for (int unknown = 0; unknown < 2; unknown++)
                n_is_one(&(plan){.batch = batch[i],
                                 .parts = parts,
                                 .unknown = unknown,
                                 .loss = (loss)(i + unknown) % 3,
                                 .adam = unknown},
                         1e-12);
}
END_TEST

/* The sums of two halves of a batch are the sum of the whole. */
START_TEST(parts_are_the_whole)
{
    static double halves[NUMBERS];
    plan p = {.batch = 64, .parts = 2, .loss = SUM};
    size_t n = train(MPI_COMM_WORLD, &p, &logged[0], halves);
    p.parts = 1;
    ck_all(n > 0 && train(MPI_COMM_WORLD, &p, &logged[1], together_) == n);
    ck_all(furthest(halves, together_, n) <= 1e-12);
}
END_TEST

START_TEST(frozen_part)
{
    static double before[NUMBERS];
    plan p = {.batch = 7, .frozen = true, .adam = true};
    n_is_one(&p, 1e-12);
    weft_fabric *f;
    weft_open_mpi(&f, MPI_COMM_WORLD, WEFT_OPEN(.seed = 7, .precision = "64-true"));
    size_t n = numbers_of(make(f, &p).body, before);
    ck_all(weft_close(&f) == 0 && n > 0);
    ck_all(memcmp(before, together_, (FEATURES + 1) * 16 * sizeof *before) == 0);
    ck_all(memcmp(before, together_, n * sizeof *before) != 0);
}
END_TEST

START_TEST(two_modules)
{
    for (int i = 0; i < 4; i++)
        n_is_one(&(plan){.batch = batch[i], .two = true, .adam = i % 2}, 1e-12);
    n_is_one(&(plan){.batch = 7, .two = true, .both = true}, 1e-12);
    n_is_one(&(plan){.batch = 2, .two = true, .frozen = true}, 1e-12);
}
END_TEST

START_TEST(spaces_have_names_of_their_own)
{
    weft_fabric *f;
    weft_open_mpi(&f, MPI_COMM_WORLD, NULL);
    weft_module *m[2] = {small_net(f), small_net(f)};
    ck_all(!weft_setup_module(f, m[0]) && !weft_setup_module(f, m[1]));
    ck_all(strcmp(m[0]->flat[0]->bucket[0].name, m[1]->flat[0]->bucket[0].name) != 0);
    ck_all(weft_close(&f) == 0);
}
END_TEST

/* sum_b mean_c y and mean of x^T y, whose gradients for the bias c are B / C and sum_b,i x / (I C). */
static weft_tensor *turned(weft_tensor *x, weft_tensor *y, int i)
{
    if (i == 0)
        return weft_sum(weft_mean(weft_transpose(y, 0, 1), 0), WEFT_ALL);
    return weft_mean(weft_matmul(weft_transpose(x, 0, 1), y), WEFT_ALL);
}

/* The rows of a batch are known where weft_transpose has put them. */
START_TEST(transposed_batches)
{
    enum { B = 12 };
    double all = 0, bias[CLASSES];
    for (int i = 0; i < B * FEATURES; i++)
        all += data_x[i];
    for (int i = 0; i < 2; i++) {
        weft_fabric *f;
        weft_open_mpi(&f, MPI_COMM_WORLD, WEFT_OPEN(.precision = "64-true"));
        weft_module *m = weft_nn_linear(f, FEATURES, CLASSES);
        weft_setup_module(f, m);
        int64_t n = B / all_world(), base = n * all_rank();
        weft_tensor *mine =
            weft_tensor_of(f, data_x + base * FEATURES, 2, (int64_t[]){n, FEATURES}, WEFT_F64);
        weft_batch b = weft_batch_of(f, mine, NULL, base, B);
        ck_all(!weft_backward(f, turned(b.x, weft_forward(m, b.x), i)));
        ck_all(!weft_copy_out(weft_gradient(weft_param(m, "bias")), bias, sizeof bias));
        double want = i == 0 ? (double)B / CLASSES : all / (FEATURES * CLASSES);
        for (int c = 0; c < CLASSES; c++)
            ck_all(fabs(bias[c] - want) < 1e-12);
        ck_all(weft_close(&f) == 0);
    }
}
END_TEST

/* Weights of 2 MiB in buckets of 1 MiB, biases between them. */
START_TEST(many_buckets)
{
    plan p = {.batch = 7, .wide = 512, .bucket_mb = 1, .steps = 3};
    int64_t bytes;
    weft_fabric *f;
    n_is_one(&p, 1e-12);
    p.adam = p.both = true;
    n_is_one(&p, 1e-12);
    weft_open_mpi(&f, MPI_COMM_WORLD, WEFT_OPEN(.precision = "64-true", .bucket_mb = 1));
    nets n = make(f, &p);
    ck_all(buckets(&n, &bytes) >= 3);
    ck_all(bytes == 8 * weft_param_elements(n.body));
    ck_all(weft_close(&f) == 0);
}
END_TEST

/* Sums of at most 128 terms in another order differ by some units in the last place, 6e-8 of
 * gradients below 1; 20 steps of lr 0.1 with momentum 0.9 add them up to 20 x 0.1 / (1 - 0.9) of
 * that at most. */
START_TEST(single_precision)
{
    for (int i = 0; i < 4; i++)
        n_is_one(&(plan){.batch = batch[i], .precision = "32-true"}, 5e-6);
}
END_TEST

/* Values that ranks wrote each for itself before setup are rank 0's after it. */
START_TEST(parameters_are_made_alike)
{
    double mine[FEATURES * CLASSES], now[FEATURES * CLASSES], bias[CLASSES] = {0};
    weft_fabric *f;
    weft_open_mpi(&f, MPI_COMM_WORLD, WEFT_OPEN(.precision = "64-true"));
    weft_module *m = weft_nn_linear(f, FEATURES, CLASSES);
    ck_all(!strcmp(weft_param_name(m, 0), "weight")); /* it has memory now */
    for (int i = 0; i < FEATURES * CLASSES; i++)
        mine[i] = i + 100 * all_rank();
    bias[1] = all_rank();
    ck_all(!weft_copy_in(weft_param(m, "weight"), mine, sizeof mine));
    ck_all(!weft_copy_in(weft_param(m, "bias"), bias, sizeof bias));
    ck_all(!weft_setup(f, m, NULL));
    ck_all(!weft_copy_out(weft_param(m, "weight"), now, sizeof now));
    ck_all(!weft_copy_out(weft_param(m, "bias"), bias, sizeof bias));
    for (int i = 0; i < FEATURES * CLASSES; i++)
        ck_assert(now[i] == i);
    ck_all(bias[1] == 0);
    ck_all(weft_close(&f) == 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("strategy");
    TCase *t = tcase_create("N is one");
    make_data();
    tcase_add_test(t, batches);
    tcase_add_test(t, losses);
    tcase_add_test(t, two_backwards);
    tcase_add_test(t, parts_of_batches);
    tcase_add_test(t, parts_are_the_whole);
    tcase_add_test(t, frozen_part);
    tcase_add_test(t, two_modules);
    tcase_add_test(t, spaces_have_names_of_their_own);
    tcase_add_test(t, transposed_batches);
    tcase_add_test(t, many_buckets);
    tcase_add_test(t, single_precision);
    tcase_add_test(t, parameters_are_made_alike);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv)
{
    weft_log_level(WEFT_LOG_ERROR);
    return all_main(&argc, &argv, suite);
}
