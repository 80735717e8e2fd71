/* The graph of a step on the device mock: training gives the same bits with it as without, most calls
 * are launched by it, and a step that goes another way falls back. */
#include "core/error.h"
#include "device/device.h"
#include "tensor/tensor.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

#define ROWS 100
#define WIDTH 16
#define CLASSES 5
#define MOST 96

/* --- training --- */

enum {
    ACCUMULATES = 1,
    CLIPS = 2,
    EVALUATES = 4,
    RECOMPUTES = 8,
    INFERS = 16,
    RETAINS = 32,
    TWO_OPTIMIZERS = 64,
    OVERFLOWS = 128,
    READS = 256
};

typedef struct kind {
    const char *precision, *net;
    int does;
    double least; /* share of the steps' graphs: launched graphs a step */
} kind;

typedef struct outcome {
    double loss[MOST];
    int n;
    float parameter[64];
    weft_traffic traffic;
    int64_t skipped;
} outcome;

static float xs[ROWS * WIDTH];
static int64_t tokens[ROWS * WIDTH], ys[ROWS];

static void make_data(void)
{
    for (int i = 0; i < ROWS * WIDTH; i++) {
        xs[i] = (float)((i * 7919) % 1013) / 1013 - 0.5F;
        tokens[i] = (i * 31) % 11;
    }
    for (int i = 0; i < ROWS; i++)
        ys[i] = (i * 13) % CLASSES;
}

static weft_module *mlp(weft_fabric *f)
{
    return weft_nn_sequential(f, weft_nn_linear(f, WIDTH, 32), weft_nn_relu(f),
                              weft_nn_dropout(f, 0.25), weft_nn_linear(f, 32, CLASSES));
}

static weft_module *cnn(weft_fabric *f)
{
    return weft_nn_sequential(f, weft_nn_conv2d(f, 1, 4, 3, WEFT_CONV(.padding = 1)),
                              weft_nn_batchnorm(f, 4), weft_nn_relu(f),
                              weft_nn_max_pool2d(f, WEFT_POOL(.kernel = 2)),
                              weft_nn_global_avg_pool(f), weft_nn_linear(f, 4, CLASSES));
}

static weft_module *block(weft_fabric *f)
{
    return weft_nn_sequential(
        f,
        weft_nn_residual(f, weft_nn_sequential(
                                f, weft_nn_layernorm(f, WIDTH),
                                weft_nn_attention(
                                    f, WIDTH, 2, WEFT_NN_ATTENTION(.causal = true, .dropout = 0.1)),
                                weft_nn_dropout(f, 0.1))),
        weft_nn_residual(f, weft_nn_sequential(f, weft_nn_linear(f, WIDTH, 32), weft_nn_gelu(f),
                                               weft_nn_linear(f, 32, WIDTH))));
}

static weft_module *gpt(weft_fabric *f)
{
    return weft_nn_sequential(f, weft_nn_embedding(f, 11, WIDTH),
                              weft_nn_positions(f, WIDTH, WIDTH), block(f), block(f),
                              weft_nn_flatten(f), weft_nn_linear(f, WIDTH * WIDTH, CLASSES));
}

static weft_module *network(weft_fabric *f, const char *net)
{
    return strcmp(net, "mlp") == 0 ? mlp(f) : strcmp(net, "cnn") == 0 ? cnn(f) : gpt(f);
}

static weft_loader *loader(weft_fabric *f, const char *net, const weft_loader_options *o)
{
    const int64_t flat[] = {WIDTH}, image[] = {1, 4, 4};
    if (strcmp(net, "gpt") == 0)
        return weft_loader_arrays(f, ROWS, tokens, 1, flat, WEFT_I64, ys, WEFT_I64, o);
    const bool images = strcmp(net, "cnn") == 0;
    return weft_loader_arrays(f, ROWS, xs, images ? 3 : 1, images ? image : flat, WEFT_F32, ys,
                              WEFT_I64, o);
}

typedef struct run {
    weft_fabric *f;
    weft_module *m;
    weft_optimizer *o[2];
    weft_loader *aside;
    weft_tensor *kept;
    const kind *k;
} run;

static void aside(run *r, outcome *out)
{
    double sum = 0;
    weft_eval_begin(r->f);
    weft_rewind(r->aside);
    for (weft_batch b; weft_next(r->aside, &b);)
        sum += weft_item(weft_cross_entropy(weft_forward(r->m, b.x), b.y));
    weft_eval_end(r->f);
    out->loss[out->n++] = sum;
}

static void step(run *r, weft_tensor *loss)
{
    weft_fabric *f = r->f;
    for (int i = 0; i < 2 && r->o[i]; i++)
        weft_zero_grad(r->o[i]);
    weft_backward(f, loss);
    for (int i = 0; i < 2 && r->o[i]; i++) {
        if (r->k->does & CLIPS)
            weft_clip_gradients(
                r->o[i], WEFT_CLIP(.max_norm = 0.2,
                                   .error_if_nonfinite = weft_step_count(f) % 2 ? WEFT_OFF : 0));
        weft_step(r->o[i]);
    }
}

static void loop(run *r, weft_loader *train, outcome *out)
{
    const int does = r->k->does;
    float y[CLASSES];
    int64_t at = 0;
    weft_fabric *f = r->f;
    for (weft_batch b; weft_next(train, &b); at++) {
        weft_tensor *loss = weft_cross_entropy(weft_forward(r->m, b.x), b.y);
        if (does & OVERFLOWS && at % 9 == 4)
            loss = weft_scale(loss, 1e30);
        step(r, loss);
        weft_log(f, "loss", loss);
        if (does & RETAINS) {
            weft_release(r->kept);
            r->kept = weft_retain(loss);
        }
        if (does & EVALUATES && at % 9 == 8)
            aside(r, out);
        if (does & INFERS && at % 5 == 1)
            ck_assert_int_eq(
                weft_infer(r->m, xs, 2, (int64_t[]){1, WIDTH}, WEFT_F32, y, CLASSES, WEFT_F32), 0);
        if (does & READS || at % 4 == 0)
            out->loss[out->n++] = weft_item(loss);
    }
    weft_release(r->kept);
}

static void read_parameter(const run *r, outcome *out)
{
    weft_tensor *p = weft_param(r->m, weft_param_name(r->m, 0));
    const int64_t n = weft_numel(p);
    const size_t bytes = (size_t)n * weft_dtype_size(weft_dtype_of(p));
    char *all = malloc(bytes);
    ck_assert_int_eq(weft_copy_out(p, all, bytes), 0);
    memcpy(out->parameter, all, bytes < sizeof out->parameter ? bytes : sizeof out->parameter);
    free(all);
}

static outcome train(const kind *k, const char *graph)
{
    static outcome out;
    run r = {.k = k};
    out = (outcome){0};
    ck_assert_int_eq(weft_open(&r.f, NULL, NULL,
                               WEFT_OPEN(.accelerator = "mock", .precision = k->precision,
                                         .threads = 1, .graph = graph, .seed = 3)),
                     0);
    r.m = network(r.f, k->net);
    if (k->does & TWO_OPTIMIZERS) {
        r.o[0] = weft_sgd(weft_child(r.m, 0), WEFT_SGD(.lr = 0.05, .momentum = 0.9));
        r.o[1] = weft_rmsprop(weft_child(r.m, weft_children(r.m) - 1), WEFT_RMSPROP(.lr = 1e-3));
    } else {
        r.o[0] = weft_adamw(r.m, WEFT_ADAM(.lr = 3e-3));
    }
    weft_set_schedule(r.o[0], WEFT_SCHEDULE(.warmup = 5, .total = 60));
    if (k->does & RECOMPUTES)
        for (int64_t i = 0; i < weft_children(r.m); i++)
            weft_recompute(weft_child(r.m, i), true);
    if (k->does & ACCUMULATES)
        weft_accumulate(r.f, 3);
    weft_loader *l =
        loader(r.f, k->net, WEFT_LOADER(.global_batch = 16, .epochs = 6, .shuffle = true));
    r.aside = loader(r.f, k->net, WEFT_LOADER(.global_batch = 64, .evaluation = true));
    weft_setup(r.f, r.m, r.o[0]);
    if (r.o[1])
        weft_setup_optimizer(r.f, r.o[1]);
    weft_setup_loader(r.f, l);
    loop(&r, l, &out);
    read_parameter(&r, &out);
    out.traffic = weft_traffic_count(r.f);
    out.skipped = weft_skipped_count(r.f);
    ck_assert_msg(weft_close(&r.f) == 0, "%s %s", k->precision, k->net);
    return out;
}

static const kind kinds[] = {
    {"32-true", "mlp", 0, 0.7},
    {"32-true", "cnn", CLIPS, 0.7},
    {"32-true", "gpt", CLIPS | READS, 0.7},
    {"bf16-mixed", "gpt", ACCUMULATES | EVALUATES, 0.3},
    {"16-mixed", "mlp", OVERFLOWS | CLIPS, 0.7},
    {"bf16-true", "mlp", TWO_OPTIMIZERS | INFERS, 0.7},
    {"32-true", "gpt", RECOMPUTES, 0.7},
    {"32-true", "mlp", RETAINS | EVALUATES | ACCUMULATES, 0.7},
};

START_TEST(training_gives_the_same_bits)
{
    const kind *k = &kinds[_i];
    const outcome off = train(k, "off"), on = train(k, "on");
    ck_assert_int_eq(off.n, on.n);
    ck_assert_msg(memcmp(off.loss, on.loss, sizeof off.loss) == 0, "%s %s: losses differ",
                  k->precision, k->net);
    ck_assert_msg(memcmp(off.parameter, on.parameter, sizeof off.parameter) == 0,
                  "%s %s: parameters differ", k->precision, k->net);
    ck_assert_int_eq(off.skipped, on.skipped);
    ck_assert_int_eq(off.skipped > 0, (k->does & OVERFLOWS) != 0);
    ck_assert_int_eq(off.traffic.graphs, 0);
    if (getenv("SHOW"))
        printf("%s %s %d: %lld graphs, %lld calls, of 42\n", k->precision, k->net, k->does,
               (long long)on.traffic.graphs, (long long)on.traffic.graph_calls);
    ck_assert_msg(on.traffic.graphs > k->least * 42, "%s %s: %lld graphs of %lld calls",
                  k->precision, k->net, (long long)on.traffic.graphs,
                  (long long)on.traffic.graph_calls);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("graph");
    TCase *c = tcase_create("training");
    make_data();
    setenv("WEFT_LOG_LEVEL", "warning", 0);
    tcase_add_loop_test(c, training_gives_the_same_bits, 0, (int)(sizeof kinds / sizeof kinds[0]));
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
