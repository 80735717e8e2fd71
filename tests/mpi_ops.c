/* The rows of a batch, followed through ops: the gradient of a loss over N ranks is that of one rank
 * with the whole batch. And weft_grad, which is a rank's own. */
#include "mpi_train.h"

#define B 7 /* more on the first ranks than on the others */

typedef weft_tensor *reduction(weft_tensor *x, int dim);

/* Each makes something from logits (b,CLASSES) of rows x (b,FEATURES) and reduces it. */
static weft_tensor *reshaped(weft_tensor *z, weft_tensor *x, reduction *r)
{
    (void)x;
    weft_tensor *y = weft_reshape(z, 3, (int64_t[]){-1, 2, CLASSES / 2});
    y = weft_reshape(weft_permute(y, 3, (int[]){1, 0, 2}), 2, (int64_t[]){2, -1}); /* (2, b 2) */
    return weft_mean(r(weft_mul(y, y), 1), 0);
}

static weft_tensor *moved(weft_tensor *z, weft_tensor *x, reduction *r)
{
    (void)x;
    weft_tensor *y = weft_permute(weft_unsqueeze(z, 0), 3, (int[]){2, 0, 1}); /* (C,1,b) */
    y = weft_squeeze(weft_mul(y, y), 1);
    return weft_sum(r(y, -1), WEFT_ALL);
}

static weft_tensor *columns(weft_tensor *z, weft_tensor *x, reduction *r)
{
    weft_tensor *y = weft_slice(weft_concat(1, z, x, weft_mul(z, z)), 1, 1, -1, 3);
    return weft_mean(r(weft_silu(y), 0), 0);
}

static weft_tensor *twice(weft_tensor *z, weft_tensor *x, reduction *r)
{
    (void)x;
    return r(weft_gelu(weft_concat(0, z, weft_scale(z, 2))), WEFT_ALL);
}

static weft_tensor *chosen_columns(weft_tensor *z, weft_tensor *x, reduction *r)
{
    weft_tensor *at = weft_unsqueeze(weft_argmax(x, 1), 1); /* 0..FEATURES-1 */
    at = weft_argmin(weft_concat(1, weft_gather(x, 1, at), weft_slice(x, 1, 0, 1, 1)), 1);
    return r(weft_gather(weft_log_softmax(z), 1, weft_unsqueeze(at, 1)), WEFT_ALL);
}

static weft_tensor *largest(weft_tensor *z, weft_tensor *x, reduction *r)
{
    (void)x;
    return r(weft_sub(weft_max(z, 1), weft_min(z, 1)), 0);
}

static weft_tensor *outer_products(weft_tensor *z, weft_tensor *x, reduction *r)
{
    weft_tensor *y = weft_matmul(weft_unsqueeze(z, 2), weft_unsqueeze(x, 1)); /* (b,C,F) */
    return weft_mean(weft_mean(r(weft_tanh(y), 0), 0), 0);
}

static weft_tensor *conditions(weft_tensor *z, weft_tensor *x, reduction *r)
{
    weft_tensor *c = weft_gt(z, weft_slice(x, 1, 0, CLASSES, 1));
    weft_tensor *y = weft_where(c, z, weft_exp(weft_clamp(z, -1, 1)));
    return r(weft_div(y, weft_pow_scalar(weft_add(weft_mul(z, z), c ? y : z), 2)), WEFT_ALL);
}

/* What is taken from the batch beside the loss. */
static weft_tensor *detached(weft_tensor *z, weft_tensor *x, reduction *r)
{
    (void)x;
    weft_tensor *y = weft_mul(z, z), *zero = weft_scale(weft_detach(weft_max(z, 0)), 0);
    weft_tensor *zeros = weft_scale(weft_detach(weft_sum(z, 0)), 0);
    return r(weft_add(zeros, weft_add(zero, y)), WEFT_ALL);
}

static weft_tensor *contracted(weft_tensor *z, weft_tensor *x, reduction *r)
{
    if (r == weft_sum)
        return weft_mean(weft_matmul(weft_transpose(x, 0, 1), weft_tanh(z)), WEFT_ALL);
    return r(weft_matmul(weft_unsqueeze(z, 1), weft_unsqueeze(weft_sigmoid(z), 2)), 0);
}

typedef weft_tensor *path(weft_tensor *z, weft_tensor *x, reduction *r);
static path *const paths[] = {reshaped, moved,          columns,    twice,    chosen_columns,
                              largest,  outer_products, conditions, detached, contracted};
#define PATHS ((int)(sizeof paths / sizeof paths[0]))

/* Rows of rank r of P: the first ranks have one more. */
static int64_t first_row(int r, int world)
{
    return (int64_t)B / world * r + (r < B % world ? r : B % world);
}

typedef struct job {
    weft_fabric *f;
    weft_module *m;
    weft_batch b;
    weft_tensor *z;
} job;

static job begin(MPI_Comm comm)
{
    job j;
    int rank, world;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &world);
    weft_open_mpi(&j.f, comm, WEFT_OPEN(.precision = "64-true"));
    j.m = weft_nn_linear(j.f, FEATURES, CLASSES);
    weft_setup_module(j.f, j.m);
    int64_t base = first_row(rank, world), n = first_row(rank + 1, world) - base;
    weft_tensor *x =
        weft_tensor_of(j.f, data_x + base * FEATURES, 2, (int64_t[]){n, FEATURES}, WEFT_F64);
    j.b = weft_batch_of(j.f, x, NULL, base, B);
    j.z = weft_forward(j.m, j.b.x);
    return j;
}

static int solve(MPI_Comm comm, path *p, reduction *r, double *weight)
{
    job j = begin(comm);
    weft_tensor *loss = p(j.z, j.b.x, r);
    if (loss && weft_rank_of(loss)) /* one element by now */
        loss = weft_sum(loss, WEFT_ALL);
    weft_backward(j.f, loss);
    weft_copy_out(weft_gradient(weft_param(j.m, "weight")), weight,
                  FEATURES * CLASSES * sizeof *weight);
    if (weft_error(j.f))
        fprintf(stderr, "# %s\n", weft_message(j.f));
    return weft_close(&j.f);
}

START_TEST(rows_are_followed)
{
    double many[FEATURES * CLASSES], one[FEATURES * CLASSES];
    path *p = paths[_i / 2];
    reduction *r = _i % 2 ? weft_sum : weft_mean;
    ck_all(solve(MPI_COMM_WORLD, p, r, many) == 0);
    ck_all(solve(MPI_COMM_SELF, p, r, one) == 0);
    double off = furthest(many, one, FEATURES * CLASSES);
    if (!(off < 1e-12))
        fprintf(stderr, "# path %d, %s: %g apart\n", _i / 2, _i % 2 ? "sum" : "mean", off);
    ck_all(off < 1e-12);
    double size = 0;
    for (int i = 0; i < FEATURES * CLASSES; i++)
        size += fabs(one[i]);
    ck_all(size > 1e-3);
}
END_TEST

/* One rank knows what these mean; over several they are neither sums nor means. */
static weft_tensor *weightless(const job *j, int i)
{
    weft_tensor *z = j->z;
    switch (i) {
    case 0:
        return weft_mean(weft_max(z, 0), 0);
    case 1:
        return weft_min(z, WEFT_ALL);
    case 2:
        return weft_mean(weft_div(z, weft_sum(z, 0)), WEFT_ALL);
    default:
        return weft_add(weft_mean(z, WEFT_ALL), weft_mean(weft_slice(z, 0, 0, 1, 1), WEFT_ALL));
    }
}

START_TEST(what_has_no_weight_is_refused_on_several_ranks)
{
    const bool several = all_world() > 1;
    for (int i = 0; i < 4; i++) {
        job j = begin(MPI_COMM_WORLD);
        weft_status s = weft_backward(j.f, weightless(&j, i));
        ck_all(s == (several ? WEFT_ENOTSUP : WEFT_OK));
        ck_all(!several || strstr(weft_message(j.f), "one rank's rows") != NULL);
        ck_all(!weft_clear(j.f));
        ck_all(weft_close(&j.f) == 0);
    }
}
END_TEST

/* On one rank alone, where the others' losses have a weight. */
START_TEST(one_ranks_mistake_is_everybodys_error)
{
    job j = begin(MPI_COMM_WORLD);
    weft_tensor *loss = all_rank() ? weft_mean(j.z, WEFT_ALL) : weightless(&j, 0);
    weft_status s = weft_backward(j.f, loss);
    ck_all(s == (all_world() > 1 ? WEFT_ENOTSUP : WEFT_OK));
    ck_all(!weft_clear(j.f));
    ck_all(weft_close(&j.f) == 0);
}
END_TEST

/* Some rows of each rank, in the last one the first twice. */
static weft_tensor *some_rows(weft_tensor *z, int i)
{
    switch (i) {
    case 0:
        return weft_slice(z, 0, 0, 2, 1);
    case 1:
        return weft_slice(z, 0, 0, INT64_MAX, 2);
    case 2: /* none where there is one */
        return weft_transpose(weft_slice(weft_transpose(z, 0, 1), 1, 1, INT64_MAX, 1), 0, 1);
    case 3:
        return weft_gather(z, 0, weft_unsqueeze(weft_argmax(z, 0), 0)); /* one, of many rows */
    default:
        return weft_concat(0, weft_slice(z, 0, 0, 1, 1), z);
    }
}

static const struct {
    int64_t from, until, step, more;
} which[] = {
    {0, 2, 1, 0}, {0, INT64_MAX, 2, 0}, {1, INT64_MAX, 1, 0}, {0, 1, 1, 0}, {0, INT64_MAX, 1, 1}};

/* A mean over some rows is that of these rows of all ranks, a sum their sum. */
START_TEST(rows_that_are_left_are_counted)
{
    double got[CLASSES], want[FEATURES] = {0}, n[1] = {0}, weight[CLASSES * FEATURES];
    const int i = _i / 2, sum = _i % 2;
    job j = begin(MPI_COMM_WORLD);
    const int64_t base = first_row(all_rank(), all_world());
    weft_tensor *some = some_rows(j.z, i);
    for (int64_t r = which[i].from; r < which[i].until && r < j.b.rows; r += which[i].step)
        for (int k = -1; k < FEATURES; k++)
            *(k < 0 ? n : want + k) += (k < 0 ? 1 : data_x[(base + r) * FEATURES + k]) *
                                       (r == 0 ? 1 + (double)which[i].more : 1);
    ck_all(!weft_sum_over_ranks(j.f, n, 1) && !weft_sum_over_ranks(j.f, want, FEATURES));
    ck_all(!weft_backward(j.f, weft_sum((sum ? weft_sum : weft_mean)(some, 0), 0)));
    ck_all(!weft_copy_out(weft_gradient(weft_param(j.m, "bias")), got, sizeof got));
    ck_all(!weft_copy_out(weft_gradient(weft_param(j.m, "weight")), weight, sizeof weight));
    const double by = sum ? 1 : *n;
    for (int c = 0; c < CLASSES; c++)
        ck_all(fabs(got[c] - *n / by) < 1e-12);
    for (int c = 0; c < CLASSES * FEATURES && i != 3; c++) /* gather's rows differ by column */
        ck_all(fabs(weight[c] - want[c % FEATURES] / by) < 1e-12);
    ck_all(weft_close(&j.f) == 0);
}
END_TEST

/* Rank 0 alone, in the middle of a step: nobody waits for it, and nothing changes for the others. */
START_TEST(weft_grad_is_a_ranks_own)
{
    double many[FEATURES * CLASSES], one[FEATURES * CLASSES], g[B * FEATURES];
    job j = begin(MPI_COMM_WORLD);
    weft_require_grad(j.b.x);
    weft_tensor *loss = weft_mean(weft_tanh(weft_forward(j.m, j.b.x)), WEFT_ALL);
    weft_traffic before = weft_traffic_count(j.f);
    for (int i = 0; i < 3 && all_rank() == 0; i++) {
        weft_tensor *gx = weft_grad(loss, j.b.x), *gw = weft_grad(loss, weft_param(j.m, "weight"));
        size_t bytes = (size_t)weft_numel(gx) * sizeof(double);
        ck_assert(weft_numel(gw) == FEATURES * CLASSES && bytes <= sizeof g);
        ck_assert(!weft_copy_out(gx, g, bytes));
    }
    weft_traffic after = weft_traffic_count(j.f);
    ck_all(before.collectives == after.collectives);
    ck_all(!weft_backward(j.f, loss));
    ck_all(!weft_copy_out(weft_gradient(weft_param(j.m, "weight")), many, sizeof many));
    ck_all(weft_close(&j.f) == 0);
    j = begin(MPI_COMM_SELF);
    ck_all(!weft_backward(j.f, weft_mean(weft_tanh(j.z), WEFT_ALL)));
    ck_all(!weft_copy_out(weft_gradient(weft_param(j.m, "weight")), one, sizeof one));
    ck_all(furthest(many, one, FEATURES * CLASSES) < 1e-12);
    ck_all(weft_close(&j.f) == 0);
}
END_TEST

/* A loss from a result of weft_grad, on one rank or on all. */
START_TEST(second_order_is_refused_on_all_ranks)
{
    for (int alone = 0; alone < 2; alone++) {
        job j = begin(MPI_COMM_WORLD);
        weft_require_grad(j.b.x);
        weft_tensor *loss = weft_mean(weft_tanh(weft_forward(j.m, j.b.x)), WEFT_ALL);
        if (!alone || all_rank() == all_world() - 1)
            loss = weft_mean(weft_abs(weft_grad(loss, j.b.x)), WEFT_ALL);
        ck_all(weft_backward(j.f, loss) == WEFT_ENOTSUP);
        ck_all(strstr(weft_message(j.f), "second order") != NULL);
        ck_all(!weft_clear(j.f));
        ck_all(weft_close(&j.f) == 0);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("ops on ranks");
    TCase *t = tcase_create("rows");
    make_data();
    tcase_add_loop_test(t, rows_are_followed, 0, 2 * PATHS);
    tcase_add_test(t, what_has_no_weight_is_refused_on_several_ranks);
    tcase_add_test(t, one_ranks_mistake_is_everybodys_error);
    tcase_add_loop_test(t, rows_that_are_left_are_counted, 0, 10);
    tcase_add_test(t, weft_grad_is_a_ranks_own);
    tcase_add_test(t, second_order_is_refused_on_all_ranks);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv)
{
    weft_log_level(WEFT_LOG_SILENT);
    return all_main(&argc, &argv, suite);
}
