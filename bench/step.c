/* What a training step of a small network costs, and what the machine could do: one line of JSON.
 *
 *   step [--batch N] [--steps N] [--warmup N] [--hidden N] [--tag WORD] [options of weft_open]
 *   mpirun -n 2 step --batch 128
 *
 * The network is 784-hidden-10 with Adam; --batch is over all ranks; data are random and in memory.
 * --tag is handed on to the line, for whoever collects them.
 * Times are rank 0's, from one weft_next to the next. Nothing is asserted. */
#include "bounds.h"
#include "heap.h"
#include "report.h"

#include "autograd/tape.h"
#include "core/alloc.h"
#include "core/context.h"
#include "device/device.h"

#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

#define INPUTS 784
#define CLASSES 10
#define ROWS 4096 /* of the data set, about */
#define PARTS 7   /* of weft_timing and the rest */
#define GEMMS 5
#define GEMM_SECONDS 0.05
#define GEMM_CALLS 2000

typedef struct arguments {
    long batch, steps, warmup, hidden;
    const char *tag;
} arguments;

static bool parse(int argc, char **argv, arguments *a)
{
    static const struct option known[] = {
        {"batch", required_argument, NULL, 'b'},  {"steps", required_argument, NULL, 's'},
        {"warmup", required_argument, NULL, 'w'}, {"hidden", required_argument, NULL, 'h'},
        {"tag", required_argument, NULL, 't'},    {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        long *at = c == 'b'   ? &a->batch
                   : c == 's' ? &a->steps
                   : c == 'w' ? &a->warmup
                   : c == 'h' ? &a->hidden
                              : NULL;
        if (c == 't')
            a->tag = optarg;
        else if (at)
            *at = strtol(optarg, NULL, 10);
        else
            return false;
    }
    return optind == argc && a->batch > 0 && a->steps > 0 && a->warmup >= 0 && a->hidden > 0;
}

/* Borrowed by the loader, which lives as long as the fabric. */
typedef struct data {
    float *x;
    unsigned char *y;
} data;

/* The same on all ranks. */
static weft_loader *make_data(weft_fabric *f, const arguments *a, data *d)
{
    const int64_t shape[1] = {INPUTS};
    int64_t batches = ROWS / a->batch ? ROWS / a->batch : 1, rows = batches * a->batch;
    uint32_t s = 1;
    d->x = weft__new((size_t)rows * INPUTS, sizeof *d->x);
    d->y = weft__new((size_t)rows, 1);
    if (!d->x || !d->y) {
        weft_fail(f, WEFT_ENOMEM, "no memory for %lld rows", (long long)rows);
        return NULL;
    }
    for (int64_t i = 0; i < rows * INPUTS; i++)
        d->x[i] = (float)((s = s * 1664525u + 1013904223u) >> 8) / 16777216.0f;
    for (int64_t i = 0; i < rows; i++)
        d->y[i] = (unsigned char)(((s = s * 1664525u + 1013904223u) >> 8) % CLASSES);
    return weft_loader_arrays(f, rows, d->x, 1, shape, WEFT_F32, d->y, WEFT_U8,
                              WEFT_LOADER(.global_batch = a->batch, .shuffle = true,
                                          .epochs = (a->warmup + a->steps) / batches + 1));
}

/* Microseconds of each part and step, part by part. */
static void keep(const weft_timing *t, double *us, int64_t steps, int64_t i)
{
    const double known = t->data + t->forward + t->backward + t->communication + t->optimizer;
    const double part[PARTS] = {t->step,          t->data,      t->forward,     t->backward,
                                t->communication, t->optimizer, t->step - known};
    for (int k = 0; k < PARTS; k++)
        us[k * steps + i] = 1e6 * part[k];
}

/* Runs warm-up and steps. @return heap calls in the steps, or -1. */
static int64_t train(weft_fabric *f, const arguments *a, data *d, double *us)
{
    weft_module *model = weft_nn_sequential(f, weft_nn_linear(f, INPUTS, a->hidden),
                                            weft_nn_relu(f), weft_nn_linear(f, a->hidden, CLASSES));
    weft_optimizer *adam = weft_adam(model, WEFT_ADAM(.lr = 1e-3));
    weft_loader *loader = make_data(f, a, d);
    int64_t heap = 0, i = 0;
    weft_setup(f, model, adam);
    weft_setup_loader(f, loader);
    for (weft_batch b; i <= a->warmup + a->steps && weft_next(loader, &b); i++) {
        weft_timing t = weft_timing_take(f);
        if (i == a->warmup)
            heap = bench_heap_calls();
        if (i > a->warmup)
            keep(&t, us, a->steps, i - a->warmup - 1);
        weft_tensor *loss = weft_cross_entropy(weft_forward(model, b.x), b.y);
        weft_zero_grad(adam);
        weft_backward(f, loss);
        weft_step(adam);
        weft_log(f, "loss", loss);
    }
    return heap < 0 ? -1 : bench_heap_calls() - heap;
}

typedef struct gemm {
    const char *pass;
    int64_t m, n, k;
    int ta, tb;
} gemm;

/* What products are of. */
static weft_dtype type_of(const weft_fabric *f)
{
    return f->tape->low != WEFT_DEFAULT ? f->tape->low : f->dtype;
}

/* Seconds of one call, the median. */
static double time_gemm(weft_fabric *f, const gemm *g)
{
    static double spent[GEMM_CALLS];
    const weft_dtype t = type_of(f);
    const size_t size = weft_dtype_size(t);
    weft_dev a = {0}, b = {0}, c = {0};
    int n = 0;
    double start;
    if (f->device->ops->alloc(f->device, (size_t)(g->m * g->k) * size, &a) ||
        f->device->ops->alloc(f->device, (size_t)(g->k * g->n) * size, &b) ||
        f->device->ops->alloc(f->device, (size_t)(g->m * g->n) * 8, &c))
        return 0;
    f->device->ops->kernels->fill(f->stream, a, g->m * g->k, 0.5, t);
    f->device->ops->kernels->fill(f->stream, b, g->k * g->n, 0.5, t);
    for (start = weft__now(); n < GEMM_CALLS && (n < 5 || weft__now() - start < GEMM_SECONDS);
         n++) {
        double begin = weft__now();
        f->device->ops->kernels->gemm(f->stream, c, size > 2 ? t : WEFT_F32, g->n, 1, a,
                                      g->ta ? g->m : g->k, g->ta, b, g->tb ? g->k : g->n, g->tb, 0,
                                      g->m, g->n, g->k, t);
        f->device->ops->sync(f->stream);
        spent[n] = weft__now() - begin;
    }
    f->device->ops->free(f->device, a, (size_t)(g->m * g->k) * size);
    f->device->ops->free(f->device, b, (size_t)(g->k * g->n) * size);
    f->device->ops->free(f->device, c, (size_t)(g->m * g->n) * 8);
    return bench_median(spent, n);
}

/* A product's time and rate, beside its bound. */
static json_t *show_gemm(const gemm *g, double seconds, size_t size, const bench_rates *r)
{
    const double m = (double)g->m, n = (double)g->n, k = (double)g->k, work = 2 * m * n * k;
    json_t *out = json_pack("{s:s, s:I, s:I, s:I, s:f, s:f}", "pass", g->pass, "m",
                            (json_int_t)g->m, "n", (json_int_t)g->n, "k", (json_int_t)g->k, "us",
                            1e6 * seconds, "gflops", seconds > 0 ? 1e-9 * work / seconds : 0);
    if (r && seconds > 0) {
        const double bound = bench_bound(r, work, (double)size * (m * k + k * n + m * n));
        json_object_set_new(out, "share", json_real(work / seconds / r->peak));
        json_object_set_new(out, "bound_us", json_real(1e6 * bound));
    }
    return out;
}

/* What is read and written in a step at most: parameters, gradients, two moments, and rows. */
static int64_t working_set(int64_t rows, int64_t hidden)
{
    return 4 * (4 * (INPUTS * hidden + hidden + hidden * CLASSES + CLASSES) +
                rows * (INPUTS + 2 * hidden + 2 * CLASSES));
}

/* What the step must take: its products, and Adam, which reads four arrays and writes three. */
static void add_bound(weft_fabric *f, const arguments *a, json_t *out, const bench_rates *r,
                      double flops, double gemms_us, double step_us)
{
    const double params = (double)((INPUTS + 1) * a->hidden + (a->hidden + 1) * CLASSES);
    const double bound_us =
        gemms_us + 1e6 * bench_bound(r, 0, 7 * (double)weft_dtype_size(f->dtype) * params);
    json_object_set_new(out, "step_share", json_real(flops / (1e-6 * step_us) / r->peak));
    json_object_set_new(out, "bound_us", json_real(bound_us));
    json_object_set_new(out, "share_of_bound", json_real(bound_us / step_us));
    json_object_set_new(out, "bounds", bench_bounds(f->threads));
}

/* The step's matrix products on this rank's rows, and all of them together. */
static void add_gemms(weft_fabric *f, const arguments *a, json_t *out, double step_us)
{
    const int64_t b = (a->batch + f->world - 1) / f->world, h = a->hidden;
    const gemm all[GEMMS] = {{"forward 1", b, h, INPUTS, 0, 1},
                             {"forward 2", b, CLASSES, h, 0, 1},
                             {"input gradient 2", b, h, CLASSES, 0, 0},
                             {"weight gradient 2", CLASSES, h, b, 1, 0},
                             {"weight gradient 1", h, INPUTS, b, 1, 0}};
    const bool cpu = strcmp(f->device->ops->name, "cpu") == 0; /* whose peak we can measure */
    bench_rates r = {.isa = "none"};
    double flops = 0, seconds = 0, bound_us = 0;
    if (cpu)
        r = bench_measure(type_of(f), working_set(b, h), f->threads);
    const bench_rates *rates = r.peak > 0 && r.bandwidth > 0 ? &r : NULL;
    json_t *list = json_array();
    for (int i = 0; i < GEMMS; i++) {
        const double s = time_gemm(f, &all[i]);
        json_t *one = show_gemm(&all[i], s, weft_dtype_size(type_of(f)), rates);
        bound_us += json_number_value(json_object_get(one, "bound_us"));
        flops += 2.0 * (double)all[i].m * (double)all[i].n * (double)all[i].k;
        seconds += s;
        json_array_append_new(list, one);
    }
    json_object_set_new(out, "peak",
                        rates ? json_pack("{s:s, s:f, s:f}", "isa", r.isa, "gflops", 1e-9 * r.peak,
                                          "bandwidth_gb_s", 1e-9 * r.bandwidth)
                              : json_null());
    json_object_set_new(out, "gemm", list);
    json_object_set_new(out, "gemm_all",
                        json_pack("{s:f, s:f, s:f}", "flops", flops, "us", 1e6 * seconds, "gflops",
                                  seconds > 0 ? 1e-9 * flops / seconds : 0));
    if (!rates)
        return;
    if (seconds > 0)
        json_object_set_new(json_object_get(out, "gemm_all"), "share",
                            json_real(flops / seconds / r.peak));
    add_bound(f, a, out, rates, flops, bound_us, step_us);
}

static json_t *describe(weft_fabric *f, const arguments *a)
{
    char network[64];
    snprintf(network, sizeof network, "%d-%ld-%d", INPUTS, a->hidden, CLASSES);
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:s, s:s, s:I, s:I, s:I, s:o}", "bench", "step", "tag",
        a->tag, "kernels", weft_kernel_set(f), "network", network, "ranks", weft_world_size(f),
        "nodes", weft_num_nodes(f), "threads", weft_threads(f), "strategy", weft_strategy_name(f),
        "precision", weft_precision_name(f), "batch", (json_int_t)a->batch, "steps",
        (json_int_t)a->steps, "warmup", (json_int_t)a->warmup, "machine", bench_machine());
}

static void report(weft_fabric *f, const arguments *a, double *us, int64_t heap)
{
    static const char *const name[PARTS] = {"step",          "data",      "forward", "backward",
                                            "communication", "optimizer", "other"};
    json_t *out = describe(f, a), *parts = json_object();
    for (int k = 0; k < PARTS; k++)
        json_object_set_new(k ? parts : out, k ? name[k] : "step_us",
                            bench_quartiles(us + k * a->steps, a->steps));
    json_object_set_new(out, "parts_us", parts);
    json_object_set_new(out, "allocations_per_step",
                        heap < 0 ? json_null() : json_real((double)heap / (double)a->steps));
    add_gemms(f, a, out, us[a->steps / 2]);
    if (weft_is_global_zero(f))
        bench_print(out);
    else
        json_decref(out);
}

int main(int argc, char **argv)
{
    arguments a = {.batch = 64, .steps = 1000, .warmup = 100, .hidden = 256, .tag = ""};
    data d = {0};
    weft_fabric *f;
    if (weft_open(&f, &argc, &argv, NULL))
        return weft_close(&f);
    if (!parse(argc, argv, &a))
        weft_fail(f, WEFT_EARG,
                  "usage: step [--batch N] [--steps N] [--warmup N] [--hidden N] [--tag WORD]");
    double *us = weft_error(f) ? NULL : weft__new((size_t)(PARTS * a.steps), sizeof *us);
    int64_t heap = us ? train(f, &a, &d, us) : 0;
    if (us && !weft_error(f) && !weft_barrier(f))
        report(f, &a, us, heap);
    weft__free(us);
    int status = weft_close(&f);
    weft__free(d.x);
    weft__free(d.y);
    return status;
}
