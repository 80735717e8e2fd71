/* What the library itself takes of a training step: steps on a device whose kernels do nothing, one line of
 * JSON for each network and way to run, and one for each fit.
 *
 *   overhead [--steps 2000] [--only mlp|gpt2|784-256-10] [--way now|late|graph|noted]
 *
 * Networks: layers of 64 with ReLU, GPT-2's blocks, both at several depths, and 784-256-10. An op counts
 * once in forward and once in backward. Over the depths of a network the time of a step is fitted as
 * a + b ops, least squares, of the best rounds, as the rest is other programs'; the targets are a <= 2 us and
 * b <= 0.2 us. `way` is "now", kernels that are done when they return, "late", a device that queues them,
 * "graph", the same with graph=on, where each call is found to be the last step's, "noted", a first such
 * step. Weights are small: what they weigh does not matter here. */
#include "../examples/gpt2/model.h"
#include "bounds.h"
#include "empty.h"
#include "heap.h"
#include "report.h"

#include "autograd/tape.h"
#include "core/alloc.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WARMUP 50
#define ROUND 50 /* steps of which the mean is one time */
#define STEPS_MOST 100000
#define PARTS 4
#define DEPTHS 4
enum { ROWS = 1, WIDTH = 64, HEADS = 4, LENGTH = 4, WORDS = 64 };

typedef struct network {
    const char *name;
    int depth[DEPTHS]; /* 0: none */
    weft_module *(*make)(weft_fabric *f, int depth);
    int64_t inputs; /* of a row; 0: tokens */
} network;

static weft_module *mlp(weft_fabric *f, int depth)
{
    weft_module *layer[2 * 64];
    int n = 0;
    for (int i = 0; i < depth; i++) {
        layer[n++] = weft_nn_linear(f, WIDTH, WIDTH);
        layer[n++] = weft_nn_relu(f);
    }
    return weft_nn_sequential_n(f, (size_t)n - 1, layer);
}

static weft_module *wide(weft_fabric *f, int depth)
{
    (void)depth;
    return weft_nn_sequential(f, weft_nn_linear(f, 784, 256), weft_nn_relu(f),
                              weft_nn_linear(f, 256, 10));
}

static weft_module *gpt2(weft_fabric *f, int depth)
{
    return gpt2_new(f, &(gpt2_options){.layers = depth,
                                       .heads = HEADS,
                                       .width = WIDTH,
                                       .vocabulary = WORDS,
                                       .context = LENGTH});
}

static const network networks[] = {{"mlp", {2, 3, 8, 32}, mlp, WIDTH},
                                   {"784-256-10", {2}, wide, 784},
                                   {"gpt2", {1, 3, 6, 12}, gpt2, 0}};
enum { NOW, LATE, GRAPH, NOTED, WAYS };
static const char *const way[WAYS] = {"now", "late", "graph", "noted"};

typedef struct figures {
    int64_t ops, calls, heap;
    double part[PARTS], step; /* us, medians */
    double best;              /* the least of the rounds */
} figures;

/* What is recorded of a forward. */
static int64_t count_ops(const weft__tape *t)
{
    int64_t n = 0;
    for (size_t i = 0; i < t->nodes; i++)
        n += t->node[i].op != NULL;
    return n;
}

static weft_tensor *loss_of(weft_module *m, const network *n, const weft_batch *b)
{
    return n->inputs ? weft_cross_entropy(weft_forward(m, b->x), b->y) : gpt2_loss(m, b->x, b->y);
}

/* One step; us: the time of its parts is added there. ops: the forward's, if they are asked for. */
static void step(weft_fabric *f, const network *n, weft_module *m, weft_optimizer *adam, double *us,
                 int64_t *ops)
{
    static float x[1024];
    static int32_t y[LENGTH + 1];
    const int64_t row[] = {ROWS, n->inputs}, tokens[] = {ROWS, LENGTH};
    const double begin = weft__now();
    weft_batch b;
    if (n->inputs)
        b = weft_batch_of(f, weft_wrap(f, x, 2, row, WEFT_F32), weft_wrap(f, y, 1, row, WEFT_I32),
                          0, ROWS);
    else
        b = weft_batch_of(f, weft_wrap(f, y, 2, tokens, WEFT_I32),
                          weft_wrap(f, y + 1, 2, tokens, WEFT_I32), 0, ROWS);
    weft_tensor *loss = loss_of(m, n, &b);
    const double forward = weft__now();
    if (ops)
        *ops = count_ops(f->tape);
    const double counted = ops ? weft__now() : forward;
    weft_zero_grad(adam);
    weft_backward(f, loss);
    const double backward = weft__now();
    weft_step(adam);
    const double stepped = weft__now();
    weft_step_end(f);
    us[0] += 1e6 * (forward - begin);
    us[1] += 1e6 * (backward - counted);
    us[2] += 1e6 * (stepped - backward);
    us[3] += 1e6 * (weft__now() - stepped);
}

static void measure(weft_fabric *f, const network *n, weft_module *m, weft_optimizer *adam, int w,
                    long steps, figures *out)
{
    static double part[PARTS + 1][STEPS_MOST / ROUND];
    double lost[PARTS] = {0};
    const long rounds = steps / ROUND;
    for (int i = 0; i < WARMUP; i++)
        step(f, n, m, adam, lost, &out->ops);
    out->ops *= 2;
    out->calls = bench_empty_calls();
    out->heap = bench_heap_calls();
    for (long r = 0; r < rounds; r++) {
        double us[PARTS] = {0};
        part[PARTS][r] = 0;
        for (int i = 0; i < ROUND; i++) {
            if (w == NOTED)
                bench_empty_forget(f);
            step(f, n, m, adam, us, NULL);
        }
        for (int p = 0; p < PARTS; p++) {
            part[p][r] = us[p] / ROUND;
            part[PARTS][r] += us[p] / ROUND;
        }
    }
    out->calls = (bench_empty_calls() - out->calls) / (rounds * ROUND);
    out->heap = out->heap < 0 ? -1 : bench_heap_calls() - out->heap;
    for (int p = 0; p < PARTS; p++)
        out->part[p] = bench_median(part[p], rounds);
    out->step = bench_median(part[PARTS], rounds);
    out->best = part[PARTS][0]; /* they are sorted now */
}

static void report(weft_fabric *f, const network *n, int depth, int w, long steps, const figures *g)
{
    json_t *heap = g->heap < 0 ? json_null() : json_real((double)g->heap / (double)steps);
    json_t *parts = json_pack("{s:f, s:f, s:f, s:f}", "forward", g->part[0], "backward", g->part[1],
                              "optimizer", g->part[2], "edge", g->part[3]);
    bench_print(json_pack("{s:s, s:s, s:i, s:s, s:s, s:I, s:I, s:f, s:f, s:f, s:o, s:o}", "bench",
                          "overhead", "network", n->name, "depth", depth, "way", way[w],
                          "precision", weft_precision_name(f), "ops", (json_int_t)g->ops, "calls",
                          (json_int_t)g->calls, "step_us", g->step, "best_us", g->best, "ns_per_op",
                          1e3 * g->best / (double)g->ops, "parts_us", parts, "allocations_per_step",
                          heap));
}

/* A network at one depth; false: an error. */
static bool run(const network *n, int depth, int w, long steps, figures *out)
{
    weft_fabric *f;
    if (weft_open(&f, NULL, NULL, WEFT_OPEN(.accelerator = "cpu", .threads = 1)))
        return weft_close(&f) == 0;
    weft_module *m = n->make(f, depth);
    weft_optimizer *adam = weft_adam(m, WEFT_ADAM(.lr = 1e-3));
    weft_setup(f, m, adam);
    bool good = !weft_error(f) && bench_empty_begin(f, w >= LATE, w >= GRAPH);
    if (good) {
        measure(f, n, m, adam, w, steps, out);
        good = !weft_error(f);
        bench_empty_end(f);
    }
    if (good)
        report(f, n, depth, w, steps, out);
    return weft_close(&f) == 0 && good;
}

/* Least squares of us = a + b ops. */
static void fit(const network *n, int w, const figures *g, int points)
{
    double x = 0, y = 0, xx = 0, xy = 0;
    for (int i = 0; i < points; i++) {
        x += (double)g[i].ops / points;
        y += g[i].best / points;
        xx += (double)g[i].ops * (double)g[i].ops / points;
        xy += (double)g[i].ops * g[i].best / points;
    }
    const double b = (xy - x * y) / (xx - x * x);
    bench_print(json_pack("{s:s, s:s, s:s, s:f, s:f}", "bench", "overhead fit", "network", n->name,
                          "way", way[w], "us_per_step", y - b * x, "ns_per_op", 1e3 * b));
}

int main(int argc, char **argv)
{
    static const struct option known[] = {{"steps", required_argument, NULL, 's'},
                                          {"only", required_argument, NULL, 'o'},
                                          {"way", required_argument, NULL, 'w'},
                                          {NULL, 0, NULL, 0}};
    const char *only = NULL, *the_way = NULL;
    long steps = 2000;
    bool good = true;
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;)
        if (c == 's')
            steps = strtol(optarg, NULL, 10);
        else if (c == 'o')
            only = optarg;
        else if (c == 'w')
            the_way = optarg;
        else
            good = false;
    if (!good || optind < argc || steps < ROUND || steps > STEPS_MOST) {
        fputs("usage: overhead [--steps 2000] [--only NETWORK] [--way WAY]\n", stderr);
        return 1;
    }
    weft_log_level(WEFT_LOG_WARNING);
    bench_print(json_pack("{s:s, s:o, s:o}", "bench", "overhead", "bounds", bench_bounds(1),
                          "machine", bench_machine()));
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++)
        for (int w = 0; w < WAYS && good; w++) {
            const network *n = &networks[i];
            figures g[DEPTHS] = {{0}};
            int points = 0;
            if ((only && strcmp(only, n->name) != 0) || (the_way && strcmp(the_way, way[w]) != 0))
                continue;
            for (; good && points < DEPTHS && n->depth[points]; points++)
                good = run(n, n->depth[points], w, steps, &g[points]);
            if (good && points > 1)
                fit(n, w, g, points);
        }
    return !good;
}
