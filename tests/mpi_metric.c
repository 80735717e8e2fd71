/* Metrics: exact on any number of ranks, also where a rank has nothing; wrong use. */
#include "mpi_train.h"

#include <weft/sys/metric.h>

#define OPENED(f) weft_open_mpi(&(f), MPI_COMM_WORLD, WEFT_OPEN(.seed = 5, .timeout = 20))

/* Logits of a row: its features, of which the first CLASSES. */
static weft_tensor *logits_of(const weft_batch *b, weft_fabric *f)
{
    static const double pick[FEATURES * CLASSES] = {[0] = 1, [5] = 1, [10] = 1, [15] = 1};
    return weft_matmul(b->x,
                       weft_tensor_of(f, pick, 2, (const int64_t[]){FEATURES, CLASSES}, WEFT_F64));
}

/* How many features come before that of the label. */
static int before(int row)
{
    const double *x = data_x + (size_t)row * FEATURES;
    int n = 0, label = data_y[row];
    for (int j = 0; j < CLASSES; j++)
        n += (float)x[j] > (float)x[label] || ((float)x[j] == (float)x[label] && j < label);
    return n;
}

static int largest(int row)
{
    const double *x = data_x + (size_t)row * FEATURES;
    int best = 0;
    for (int j = 1; j < CLASSES; j++)
        best = (float)x[j] > (float)x[best] ? j : best;
    return best;
}

/* 300 rows in batches of 77: no number of ranks divides them; and batches of 3, where 4 ranks do not
 * all have a row. */
START_TEST(counts)
{
    for (int batch = 3; batch < 100; batch += 74) {
        int64_t hits[CLASSES + 2] = {0}, table[CLASSES * CLASSES] = {0}, got[CLASSES * CLASSES];
        weft_fabric *f;
        OPENED(f);
        weft_loader *l =
            weft_loader_arrays(f, ROWS, data_x, 1, &features, WEFT_F64, data_y, WEFT_I32,
                               WEFT_LOADER(.global_batch = batch, .evaluation = true));
        weft_metric *top[CLASSES + 2], *confusion = weft_metric_confusion(f, CLASSES);
        for (int k = 0; k < CLASSES + 2; k++) /* 0 is the default, 1; one more than there are */
            top[k] = weft_metric_accuracy(f, k ? WEFT_ACCURACY(.top_k = k) : NULL);
        weft_eval_begin(f);
        for (weft_batch b; weft_next(l, &b);) {
            weft_tensor *x = logits_of(&b, f);
            for (int k = 0; k < CLASSES + 2; k++)
                ck_assert(!weft_metric_update(top[k], x, b.y));
            ck_assert(!weft_metric_update(confusion, x, b.y));
        }
        weft_eval_end(f);
        for (int i = 0; i < ROWS; i++) {
            for (int k = 0; k < CLASSES + 2; k++)
                hits[k] += before(i) < (k ? k : 1);
            table[data_y[i] * CLASSES + largest(i)]++;
        }
        for (int k = 0; k < CLASSES + 2; k++) {
            double v = weft_metric_value(f, top[k]);
            ck_all(v == (double)hits[k] / ROWS && v == weft_metric_value(f, top[k]));
            ck_all(!weft_metric_counts(f, top[k], got, 1) && got[0] == hits[k]);
        }
        ck_all(hits[1] > 20 && hits[1] < hits[2] && hits[2] < hits[3] && hits[4] == ROWS);
        ck_all(!weft_metric_counts(f, confusion, got, CLASSES * CLASSES));
        ck_all(!memcmp(got, table, sizeof got));
        ck_all(weft_metric_value(f, confusion) == (double)hits[1] / ROWS);
        ck_all(!weft_metric_reset(confusion) && isnan(weft_metric_value(f, confusion)));
        ck_all(!weft_error(f) && !weft_close(&f));
    }
}
END_TEST

/* A mean of means would be wrong here: the last batch is smaller, and ranks have unequal parts. */
START_TEST(means)
{
    double value[2], sum = 0, least = INFINITY, most = -INFINITY;
    for (int alone = 0; alone < 2; alone++) {
        weft_fabric *f;
        weft_open_mpi(&f, alone ? MPI_COMM_SELF : MPI_COMM_WORLD,
                      WEFT_OPEN(.precision = "64-true"));
        weft_loader *l =
            weft_loader_arrays(f, ROWS, data_x, 1, &features, WEFT_F64, data_y, WEFT_I32,
                               WEFT_LOADER(.global_batch = alone ? ROWS : 77, .evaluation = true));
        weft_metric *loss = weft_metric_mean(f), *loss_sum = weft_metric_mean(f),
                    *x = weft_metric_mean(f), *total = weft_metric_sum(f),
                    *min = weft_metric_min(f), *max = weft_metric_max(f);
        weft_eval_begin(f);
        for (weft_batch b; weft_next(l, &b);) {
            weft_tensor *z = logits_of(&b, f);
            weft_metric_update(loss, weft_cross_entropy(z, b.y), NULL);
            weft_metric_update(loss_sum, weft_cross_entropy_sum(z, b.y), NULL);
            weft_metric_update(x, b.x, NULL);
            weft_metric_update(total, weft_transpose(b.x, 0, 1), NULL);
            weft_metric_update(min, b.x, NULL);
            weft_metric_update(max, weft_transpose(b.x, 0, 1), NULL);
        }
        weft_eval_end(f);
        value[alone] = weft_metric_value(f, loss);
        ck_all(fabs(weft_metric_value(f, loss_sum) - value[alone]) < 1e-14);
        for (int i = 0; i < ROWS * FEATURES && !alone; i++) {
            sum += data_x[i];
            least = data_x[i] < least ? data_x[i] : least;
            most = data_x[i] > most ? data_x[i] : most;
        }
        ck_all(fabs(weft_metric_value(f, total) - sum) < 1e-11);
        ck_all(fabs(weft_metric_value(f, x) - sum / ROWS / FEATURES) < 1e-15);
        ck_all(weft_metric_value(f, min) == least && weft_metric_value(f, max) == most);
        ck_all(!weft_error(f) && !weft_close(&f));
    }
    ck_all(fabs(value[0] - value[1]) < 1e-14 && value[0] > 1);
}
END_TEST

START_TEST(ties_and_nan)
{
    static const double x[] = {2, 2, 1, NAN, 1, 0, 0, NAN, 1, 3, 1, 3};
    static const int32_t y[] = {1, 0, 2, 2};
    int64_t n = 4, got[9];
    weft_fabric *f;
    OPENED(f);
    weft_tensor *z = weft_tensor_of(f, x, 2, (const int64_t[]){4, 3}, WEFT_F64);
    weft_tensor *labels = weft_tensor_of(f, y, 1, &n, WEFT_I32);
    weft_metric *one = weft_metric_accuracy(f, NULL), *c = weft_metric_confusion(f, 3);
    weft_metric *two = weft_metric_accuracy(f, WEFT_ACCURACY(.top_k = 2));
    weft_metric_update(one, z, labels);
    weft_metric_update(two, z, labels);
    weft_metric_update(c, z, labels);
    /* ranks 1 (tie on the left), miss (NaN at the label), 1 after NaN, 1 after the tie */
    ck_all(weft_metric_value(f, one) == 0 && weft_metric_value(f, two) == 0.75);
    ck_all(!weft_metric_counts(f, c, got, 9) && got[3 * 1 + 0] == all_world());
    ck_all(got[3 * 0 + 0] == all_world() && got[3 * 2 + 1] == all_world());
    ck_all(got[3 * 2 + 0] == all_world() && !weft_close(&f));
}
END_TEST

/* A metric of one's own: the root of the mean square of x - y. */
static int destroyed;

static weft_status square(weft_metric *m, void *self, weft_tensor *x, weft_tensor *y)
{
    weft_tensor *d = weft_add(x, weft_scale(y, -*(double *)self));
    weft_metric_weigh(m, (double)weft_numel(d));
    return weft_metric_add(m, 1, weft_sum(weft_mul(d, d), WEFT_ALL), 1);
}

static double root(void *self, const double *number, int64_t n, double weight)
{
    (void)self;
    return n == 2 && number[0] == 0 ? sqrt(number[1] / weight) : NAN;
}

static void gone(void *self)
{
    destroyed += *(double *)self == 2;
}

static weft_status too_many(weft_metric *m, void *self, weft_tensor *x, weft_tensor *y)
{
    (void)self, (void)y;
    return weft_metric_add(m, 1, x, 1);
}

static const weft_metric_ops rmse = {
    .size = sizeof rmse, .name = "rmse", .update = square, .value = root, .destroy = gone};

START_TEST(of_ones_own)
{
    static const weft_metric_ops wild = {
        .size = sizeof wild, .name = "wild", .update = too_many, .value = root};
    const double twice = 2, x[2] = {6, 1}, y[2] = {1, 2}; /* 4, -3 */
    int64_t n = all_rank() == 0 ? 2 : 1, none = 0;
    weft_fabric *f;
    weft_open_mpi(&f, MPI_COMM_WORLD, WEFT_OPEN(.precision = "64-true"));
    destroyed = 0;
    weft_metric *m = weft_metric_new(f, &rmse, &twice, sizeof twice, 2);
    ck_all(!weft_metric_update(m, weft_tensor_of(f, x, 1, &n, 0), weft_tensor_of(f, y, 1, &n, 0)));
    ck_all(!weft_metric_update(m, weft_tensor_of(f, x, 1, &none, 0),
                               weft_tensor_of(f, y, 1, &none, 0)));
    weft_metric *least = weft_metric_min(f);
    const double odd = all_rank() == all_world() - 1 ? NAN : all_rank();
    ck_all(!weft_metric_update(least, weft_full(f, odd, 0, NULL, 0), NULL));
    ck_all(!weft_metric_update(least, weft_full(f, -1, 0, NULL, 0), NULL)); /* NaN stays */
    ck_all(!weft_metric_update(least, weft_full(f, -1, 1, &none, 0), NULL));
    ck_all(isnan(weft_metric_value(f, least)) && !weft_error(f) && !weft_metric_reset(least));
    double want = sqrt((16.0 * all_world() + 9) / (all_world() + 1));
    ck_all(weft_metric_value(f, m) == want && weft_metric_rows(weft_full(f, 1, 0, NULL, 0)) == -1);
    m = weft_metric_new(f, &wild, NULL, 0, 2);
    ck_all(weft_metric_update(m, weft_tensor_of(f, x, 1, (const int64_t[]){2}, 0), NULL) ==
           WEFT_EARG);
    ck_all(!weft_clear(f) && !weft_close(&f) && destroyed == 1);
}
END_TEST

/* Nothing goes on the tape, and in training nothing else is disturbed. */
START_TEST(while_training)
{
    double numbers[2][1000];
    size_t n = 0;
    for (int with = 0; with < 2; with++) {
        weft_fabric *f;
        OPENED(f);
        weft_module *model = small_net(f);
        weft_optimizer *o = weft_sgd(model, NULL);
        weft_metric *accuracy = weft_metric_accuracy(f, NULL), *mean = weft_metric_mean(f);
        weft_setup(f, model, o);
        weft_loader *l = weft_loader_arrays(f, ROWS, data_x, 1, &features, WEFT_F64, data_y,
                                            WEFT_I32, WEFT_LOADER(.global_batch = 60));
        weft_setup_loader(f, l);
        for (weft_batch b; weft_next(l, &b);) {
            weft_tensor *z = weft_forward(model, b.x), *loss = weft_cross_entropy(z, b.y);
            if (with)
                ck_assert(!weft_metric_update(accuracy, z, b.y) &&
                          !weft_metric_update(mean, loss, NULL));
            weft_zero_grad(o);
            weft_backward(f, loss);
            weft_step(o);
        }
        double a = weft_metric_value(f, accuracy), v = weft_metric_value(f, mean);
        ck_all(with ? a > 0 && a < 1 && v > 0.5 && v < 5 : isnan(a) && isnan(v));
        n = numbers_of(model, numbers[with]);
        ck_all(!weft_close(&f));
    }
    ck_all(n && !memcmp(numbers[0], numbers[1], n * sizeof(double)));
}
END_TEST

/* On one rank alone: the others learn of it where they ask for the value. */
START_TEST(wrong_here)
{
    static const int32_t outside[2] = {1, 7};
    static const weft_metric_ops bare = {.size = sizeof bare, .name = "bare"};
    int64_t two = 2, got[2] = {-5, -5};
    for (int bad = -1; bad < all_world(); bad++) {
        weft_fabric *f;
        OPENED(f);
        for (int kind = 0; kind < 9; kind++) {
            static const weft_status want[] = {WEFT_EDATA, WEFT_ESHAPE, WEFT_EARG,
                                               WEFT_EARG,  WEFT_EARG,   WEFT_EARG,
                                               WEFT_EARG,  WEFT_EDTYPE, WEFT_EARG};
            bool here = bad < 0 || all_rank() == bad;
            weft_tensor *x = weft_full(f, 0, 2, (const int64_t[]){2, 3}, 0);
            weft_tensor *y =
                weft_tensor_of(f, here && kind == 0 ? outside : data_y, 1, &two, WEFT_I32);
            weft_metric *m = weft_metric_confusion(f, here && kind == 1 ? 4 : 3);
            if (kind == 2)
                m = weft_metric_accuracy(f, WEFT_ACCURACY(.top_k = here ? -1 : 2));
            if (kind == 3)
                m = weft_metric_confusion(f, here ? 0 : 3);
            if (kind == 4)
                m = here ? weft_metric_new(f, &bare, NULL, 0, 1) : m;
            if (kind == 5)
                m = weft_metric_mean(f);
            if (kind == 7)
                x = here ? y : x; /* integers are not logits */
            weft_metric_update(m, here && kind == 8 ? NULL : x,
                               (kind == 5 && !here) || (kind == 6 && here) ? NULL : y);
            double v = weft_metric_value(f, m);
            ck_all(isnan(v) && weft_error(f) == want[kind]);
            ck_all(weft_metric_counts(f, m, got, 2) == weft_error(f) && got[0] == -5);
            ck_all(!weft_clear(f));
        }
        ck_all(!weft_close(&f));
    }
}
END_TEST

START_TEST(wrong_together)
{
    int64_t got[9];
    for (int bad = 0; bad < all_world(); bad++) {
        bool here = all_rank() == bad, several = all_world() > 1;
        weft_fabric *f, *g;
        OPENED(f);
        weft_open_mpi(&g, MPI_COMM_SELF, NULL);
        weft_metric *m = weft_metric_sum(f), *other = weft_metric_mean(f);
        weft_metric *c = weft_metric_confusion(f, 3), *foreign = weft_metric_sum(g);
        ck_all(isnan(weft_metric_value(f, here ? m : other)));
        ck_all(weft_error(f) == (several ? WEFT_ECONFIG : WEFT_OK) && !weft_clear(f));
        ck_all(isnan(weft_metric_value(f, here ? c : m)));
        ck_all(weft_error(f) == (several ? WEFT_ECONFIG : WEFT_OK) && !weft_clear(f));
        ck_all(isnan(weft_metric_value(f, here ? NULL : m)) && weft_error(f) == WEFT_EARG);
        ck_all(!weft_clear(f));
        ck_all(isnan(weft_metric_value(f, here ? foreign : m)) && weft_error(f) == WEFT_EHANDLE);
        ck_all(!weft_clear(f));
        ck_all(weft_metric_counts(f, c, got, here ? 8 : 9) == WEFT_EARG && !weft_clear(f));
        ck_all(!weft_metric_counts(f, c, got, 9) && got[8] == 0);
        ck_all(weft_metric_update(NULL, NULL, NULL) == WEFT_EARG);
        ck_all(weft_metric_reset(NULL) == WEFT_EARG && !weft_error(f));
        ck_all(!weft_metric_new(f, &rmse, NULL, 0, 0) && weft_error(f) == WEFT_EARG);
        ck_all(!weft_clear(f) && !weft_close(&g) && !weft_close(&f));
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("metric");
    TCase *t = tcase_create("metrics");
    tcase_add_test(t, counts);
    tcase_add_test(t, means);
    tcase_add_test(t, ties_and_nan);
    tcase_add_test(t, of_ones_own);
    tcase_add_test(t, while_training);
    tcase_add_test(t, wrong_here);
    tcase_add_test(t, wrong_together);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv)
{
    weft_log_level(WEFT_LOG_SILENT);
    make_data();
    return all_main(&argc, &argv, suite);
}
