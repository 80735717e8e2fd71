/* A small residual network with batch normalisation is PyTorch's, number for number, on any number of ranks: logits, loss
 * and every gradient of the first step, and the losses of 100 steps (golden/make_cnn.py). */
#include "golden.h"
#include "mpi_all.h"

#include <math.h>
#include <weft.h>
#include <weft/mpi.h>

#define STEPS 100
#define BATCHES 3

typedef struct kind {
    const char *precision, *golden;
    double tol;   /* of the largest magnitude */
    double final; /* the same after training, 0: not compared */
} kind;

static const kind kinds[] = {{"64-true", "f64", 1e-12, 1e-11},
                             {"32-true", "f64", 1e-5, 1e-3},
                             {"bf16-mixed", "bf16", 1e-2, 0}};

static hid_t file;

static weft_module *conv(weft_fabric *f, int64_t in, int64_t out, int64_t stride)
{
    return weft_nn_sequential(
        f,
        weft_nn_conv2d(f, in, out, 3, WEFT_CONV(.stride = stride, .padding = 1, .no_bias = true)),
        weft_nn_batchnorm(f, out));
}

static weft_module *block(weft_fabric *f, int64_t width)
{
    weft_module *body =
        weft_nn_sequential(f, conv(f, width, width, 1), weft_nn_relu(f), conv(f, width, width, 1));
    return weft_nn_sequential(f, weft_nn_residual(f, body), weft_nn_relu(f));
}

static weft_module *network(weft_fabric *f)
{
    const int64_t width = (int64_t)golden_attribute(file, "/", "width");
    const int64_t classes = (int64_t)golden_attribute(file, "/", "classes");
    return weft_nn_sequential(f, conv(f, 1, width, 1), weft_nn_relu(f),
                              weft_nn_max_pool2d(f, WEFT_POOL(.kernel = 2)), block(f, width),
                              conv(f, width, 2 * width, 2), weft_nn_relu(f), block(f, 2 * width),
                              weft_nn_global_avg_pool(f), weft_nn_linear(f, 2 * width, classes));
}

/* Host numbers as a tensor of the fabric's type. */
static weft_tensor *tensor(weft_fabric *f, const double *v, int rank, const int64_t *shape)
{
    return weft_cast(weft_tensor_of(f, v, rank, shape, WEFT_F64),
                     strcmp(weft_precision_name(f), "64-true") ? WEFT_F32 : WEFT_F64);
}

static golden part(const char *group, const char *name)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", group, name);
    return golden_read(file, path);
}

/* Whether t, of rows `first` on, is what the file has, and how far apart they are. */
static int near(weft_tensor *t, const golden *want, int64_t first, double tol, const char *what)
{
    const int64_t n = weft_numel(t), row = want->rank ? want->n / want->shape[0] : 1;
    double worst = 0, most = 0, *v = calloc((size_t)(n > 0 ? n : 0) + 1, sizeof *v);
    int good = n >= 0 && first * row + n <= want->n &&
               weft_copy_out(weft_cast(t, WEFT_F64), v, (size_t)n * sizeof *v) == 0;
    for (int64_t i = 0; i < want->n; i++)
        most = fmax(most, fabs(want->v[i]));
    for (int64_t i = 0; good && i < n; i++) {
        const double d = fabs(v[i] - want->v[first * row + i]);
        worst = d <= worst ? worst : d; /* NaN is worst */
    }
    free(v);
    if (good && worst <= tol * most)
        return 1;
    fprintf(stderr, "%s: %.3g apart, %.3g allowed\n", what, worst, tol * most);
    return 0;
}

static int64_t share(weft_fabric *f, int64_t n, int64_t *first)
{
    const int64_t rank = weft_global_rank(f), world = weft_world_size(f);
    *first = n * rank / world;
    return n * (rank + 1) / world - *first;
}

static int gradients(weft_module *m, const kind *k)
{
    int good = 1;
    char group[64];
    snprintf(group, sizeof group, "%s/grad", k->golden);
    for (int64_t i = 0; i < weft_param_count(m); i++) {
        golden g = part(group, weft_param_name(m, i));
        good &= near(weft_gradient(weft_param(m, weft_param_name(m, i))), &g, 0, k->tol,
                     weft_param_name(m, i));
        golden_free(&g);
    }
    return good;
}

/* Images `first` on, and their labels. */
static weft_batch batch(weft_fabric *f, int64_t start, int64_t first, int64_t mine, int64_t all)
{
    golden x = golden_read(file, "x"), y = golden_read(file, "y");
    const int64_t side = x.shape[2], shape[4] = {mine, 1, side, side};
    weft_tensor *images = tensor(f, x.v + (start + first) * side * side, 4, shape);
    int64_t label[256];
    for (int64_t i = 0; i < mine; i++)
        label[i] = (int64_t)y.v[start + first + i];
    weft_tensor *labels = weft_tensor_of(f, label, 1, &mine, WEFT_I64);
    golden_free(&x);
    golden_free(&y);
    return weft_batch_of(f, images, labels, first, all);
}

/* One step on batch t % BATCHES; its loss over all ranks. */
static double step(weft_fabric *f, weft_module *m, weft_optimizer *o, const kind *k, int t,
                   int *good)
{
    int64_t all = (int64_t)golden_attribute(file, "/", "batch"), first,
            mine = share(f, all, &first);
    weft_batch b = batch(f, t % BATCHES * all, first, mine, all);
    weft_tensor *logits = weft_forward(m, b.x), *loss = weft_cross_entropy(logits, b.y);
    weft_zero_grad(o);
    weft_backward(f, loss);
    if (t == 0) {
        golden want = part(k->golden, "logits");
        *good &= near(logits, &want, first, k->tol, "logits") & gradients(m, k);
        golden_free(&want);
    }
    double sum = mine ? weft_item(loss) * (double)mine : 0;
    weft_step(o);
    weft_sum_over_ranks(f, &sum, 1);
    weft_step_end(f);
    return sum / (double)all;
}

/* Evaluation after training, by running statistics. */
static int final(weft_fabric *f, weft_module *m, const kind *k)
{
    int64_t all = (int64_t)golden_attribute(file, "/", "batch"), first,
            mine = share(f, all, &first);
    int good = 1;
    weft_train(m, false);
    weft_eval_begin(f);
    golden want = part(k->golden, "final/logits");
    good &= near(weft_forward(m, batch(f, 0, first, mine, all).x), &want, first, k->final,
                 "final logits");
    golden_free(&want);
    for (int64_t i = 0; i < weft_buffer_count(m); i++) {
        want = part("f64/final", weft_buffer_name(m, i));
        good &= near(weft_buffer(m, weft_buffer_name(m, i)), &want, 0, k->final,
                     weft_buffer_name(m, i));
        golden_free(&want);
    }
    weft_eval_end(f);
    return good;
}

static void start_at(weft_fabric *f, weft_module *m)
{
    for (int64_t i = 0; i < weft_param_count(m); i++) {
        weft_tensor *to = weft_param(m, weft_param_name(m, i));
        golden g = part("initial", weft_param_name(m, i));
        float *narrow = calloc((size_t)g.n, sizeof *narrow);
        for (int64_t n = 0; n < g.n; n++)
            narrow[n] = (float)g.v[n];
        const bool wide = weft_dtype_of(to) == WEFT_F64;
        weft_copy_in(to, wide ? (void *)g.v : narrow,
                     (size_t)g.n * (wide ? sizeof *g.v : sizeof *narrow));
        free(narrow);
        golden_free(&g);
    }
    (void)f;
}

START_TEST(the_network_is_pytorchs)
{
    const kind *k = &kinds[_i];
    weft_fabric *f;
    ck_all(weft_open_mpi(&f, MPI_COMM_WORLD,
                         WEFT_OPEN(.strategy = "ddp", .precision = k->precision, .threads = 1)) ==
           0);
    file = golden_open("cnn.h5");
    weft_module *m = network(f);
    weft_nn_sync_batchnorm(m);
    weft_optimizer *o = weft_sgd(m, WEFT_SGD(.lr = golden_attribute(file, "/", "lr"),
                                             .momentum = golden_attribute(file, "/", "momentum")));
    ck_all(weft_setup(f, m, o) == 0);
    start_at(f, m);
    golden want = part(k->golden, "loss");
    double worst = 0;
    int good = 1;
    for (int t = 0; t < STEPS && good; t++) {
        const double d = fabs(step(f, m, o, k, t, &good) - want.v[t]);
        worst = d <= worst ? worst : d;
    }
    if (all_rank() == 0)
        printf("# %s: losses are %.1e apart\n", k->precision, worst / want.v[0]);
    good &= worst <= k->tol * want.v[0]; /* the first is the largest */
    good &= k->final == 0 || final(f, m, k);
    golden_free(&want);
    H5Fclose(file);
    ck_all(good && !weft_error(f));
    ck_all(weft_close(&f) == 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cnn");
    TCase *t = tcase_create("golden");
    weft_log_level(WEFT_LOG_SILENT);
    tcase_set_timeout(t, 120);
    suite_add_tcase(s, t);
    tcase_add_loop_test(t, the_network_is_pytorchs, 0, 3);
    return s;
}

int main(int argc, char **argv)
{
    return all_main(&argc, &argv, suite);
}
