/* The matrix products of two networks, as their layers call them: one line of JSON for each shape,
 * pass, type and number of threads.
 *
 *   gemm [--network mlp|gpt2|square] [--dtype f32|f64|bf16] [--threads 1,2] [--rounds 7] [--vocabulary]
 *        [--accelerator cpu|cuda] [--tf32] [--table FILE]
 *
 * mlp is 784-256-10 with 1, 32, 64 and 1024 rows; gpt2 has the layers of GPT-2 124M with 256 and 2048
 * rows, --vocabulary its classifier too; square, if it is asked for, shows what a GPU can do, in f32 with
 * leave to round to TF32 by --tf32. There calls are timed together, and bounds are not known. A round times every product once, after the other, so that
 * what disturbs the machine disturbs all; medians and quartiles are over rounds. The bound is the
 * larger of flops / peak and bytes / bandwidth, both measured in every round right before and after
 * the product, the bandwidth at its own working set. share_of_peak and share_of_bound are medians of
 * the rounds' own shares; peak_gflops, bandwidth_gb_s and bound_us are of the best that was measured
 * beside the product in any round, what the machine can do. --table writes the same as a table in
 * Markdown. Operands stay where they are, so small ones are in the caches. */
#include "bounds.h"
#include "peak.h"
#include "report.h"
#include "triad.h"

#include "core/alloc.h"
#include "core/context.h"
#include "core/error.h"
#include "device/device.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

#define SLICE 0.01 /* seconds for one product in one round, or one call */
#define CALLS 2000
#define TOGETHER 50 /* calls between two waits for a device that queues them, and of little work, */
#define LITTLE 1e6  /* floating point operations, as to read the clock takes tens of nanoseconds */
#define MOST 64     /* rounds */
#define CASES 512
#define DEVICES 8

static const weft_dtype types[] = {WEFT_F32, WEFT_F64, WEFT_BF16};
#define TYPES ((int)(sizeof types / sizeof *types))

typedef struct layer {
    const char *network, *name;
    int64_t in, out;
    bool first; /* of its network: nobody asks for the gradient of its input */
} layer;

static const layer layers[] = {
    {"mlp", "784x256", 784, 256, true},        {"mlp", "256x10", 256, 10, false},
    {"gpt2", "qkv", 768, 2304, false},         {"gpt2", "projection", 768, 768, false},
    {"gpt2", "fc", 768, 3072, false},          {"gpt2", "fc projection", 3072, 768, false},
    {"gpt2", "vocabulary", 768, 50257, false}, {"square", "4096x4096", 4096, 4096, true},
    {"square", "8192x8192", 8192, 8192, true},
};
static const int64_t mlp_rows[] = {1, 32, 64, 1024, 0}, gpt2_rows[] = {256, 2048, 0},
                     square_rows[] = {4096, 0};
static const char *const passes[] = {"forward", "input gradient", "weight gradient"};

typedef struct product {
    const layer *layer;
    int pass;
    int64_t rows, m, n, k;
    int ta, tb;
    weft_dtype dtype;
    weft_device *device;
    double us[MOST], of_peak[MOST], of_bound[MOST]; /* a round: time, shares */
    bench_rates best;                               /* of all rounds */
} product;

typedef struct arguments {
    const char *network, *dtype, *threads, *table, *accelerator;
    long rounds;
    bool vocabulary, tf32;
} arguments;

typedef struct bench {
    weft_device *device[DEVICES];
    int ndevices, ncases;
    product cases[CASES];
} bench;

static bool parse(int argc, char **argv, arguments *a)
{
    static const struct option known[] = {{"network", required_argument, NULL, 'n'},
                                          {"dtype", required_argument, NULL, 'd'},
                                          {"threads", required_argument, NULL, 't'},
                                          {"rounds", required_argument, NULL, 'r'},
                                          {"vocabulary", no_argument, NULL, 'v'},
                                          {"table", required_argument, NULL, 'o'},
                                          {"accelerator", required_argument, NULL, 'a'},
                                          {"tf32", no_argument, NULL, 'f'},
                                          {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;)
        if (c == 'n')
            a->network = optarg;
        else if (c == 'd')
            a->dtype = optarg;
        else if (c == 't')
            a->threads = optarg;
        else if (c == 'r')
            a->rounds = strtol(optarg, NULL, 10);
        else if (c == 'o')
            a->table = optarg;
        else if (c == 'a')
            a->accelerator = optarg;
        else if (c == 'v')
            a->vocabulary = true;
        else if (c == 'f')
            a->tf32 = true;
        else
            return false;
    return optind == argc && a->rounds > 0 && a->rounds <= MOST;
}

/* y = x W^T,  gx = gy W,  gW = gy^T x. */
static product make(const layer *l, int pass, int64_t rows)
{
    const product all[] = {
        {.m = rows, .n = l->out, .k = l->in, .tb = 1},
        {.m = rows, .n = l->in, .k = l->out},
        {.m = l->out, .n = l->in, .k = rows, .ta = 1},
    };
    product p = all[pass];
    p.layer = l;
    p.pass = pass;
    p.rows = rows;
    return p;
}

static void add(bench *b, product p, const arguments *a)
{
    for (int t = 0; t < TYPES; t++)
        for (int d = 0; d < b->ndevices; d++) {
            p.dtype = types[t];
            p.device = b->device[d];
            if (b->ncases < CASES && (!a->dtype || !strcmp(a->dtype, weft_dtype_name(p.dtype))))
                b->cases[b->ncases++] = p;
        }
}

static void list(bench *b, const arguments *a)
{
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        const layer *l = &layers[i];
        const bool square = l->network[0] == 's';
        if (a->network ? strcmp(a->network, l->network) : square)
            continue;
        if (l->out > 50000 && !a->vocabulary)
            continue;
        for (const int64_t *r = square                 ? square_rows
                                : l->network[0] == 'm' ? mlp_rows
                                                       : gpt2_rows;
             *r; r++)
            for (int pass = 0; pass < 3; pass++)
                if (pass != 1 || !l->first)
                    add(b, make(l, pass, *r), a);
    }
}

/* Of C: gradients of weights are summed in f32. */
static weft_dtype type_of_c(const product *p)
{
    return p->pass == 2 && weft_dtype_size(p->dtype) == 2 ? WEFT_F32 : p->dtype;
}

static double bytes_of(const product *p)
{
    return (double)(p->m * p->k + p->k * p->n) * (double)weft_dtype_size(p->dtype) +
           (double)(p->m * p->n) * (double)weft_dtype_size(type_of_c(p));
}

static double flops_of(const product *p)
{
    return 2.0 * (double)p->m * (double)p->n * (double)p->k;
}

/* Random numbers in [-1, 1), of 16 bits by way of f32. */
static bool fill(weft_stream *s, weft_dev to, int64_t n, uint64_t stream, weft_dtype t)
{
    const weft_device_ops *ops = s->device->ops;
    const int64_t one = 1;
    weft_dev wide = {0};
    if (weft_dtype_size(t) > 2)
        return !ops->kernels->uniform(s, to, 1, stream, 0, 0, n, -1, 1, t);
    const size_t bytes = (size_t)n * sizeof(float);
    const bool good = !ops->alloc(s->device, bytes, &wide) &&
                      !ops->kernels->uniform(s, wide, 1, stream, 0, 0, n, -1, 1, WEFT_F32) &&
                      !ops->kernels->copy(s, to, t, &one, wide, WEFT_F32, &one, 1, &n) &&
                      !ops->sync(s);
    ops->free(s->device, wide, bytes);
    return good;
}

/* Seconds of a call; where it is short or the device queues calls, of so many together. */
static bool time_call(const product *p, weft_stream *s, weft_dev a, weft_dev b, weft_dev c,
                      double *seconds)
{
    const weft_device_ops *ops = p->device->ops;
    const int times = ops->immediate && flops_of(p) > LITTLE ? 1 : TOGETHER;
    const double begin = weft__now();
    bool failed = false;
    for (int i = 0; i < times && !failed; i++)
        failed = ops->kernels->gemm(s, c, type_of_c(p), p->n, 1, a, p->ta ? p->m : p->k, p->ta, b,
                                    p->tb ? p->k : p->n, p->tb, 0, p->m, p->n, p->k, p->dtype);
    failed = ops->sync(s) || failed;
    *seconds = (weft__now() - begin) / times;
    return !failed;
}

/* Microseconds of one call, the median over a slice of time; negative: no memory, or it failed. */
static double measure(const product *p)
{
    static double spent[CALLS];
    weft_device *d = p->device;
    weft_stream *s = NULL;
    const size_t size = weft_dtype_size(p->dtype), na = (size_t)(p->m * p->k) * size,
                 nb = (size_t)(p->k * p->n) * size,
                 nc = (size_t)(p->m * p->n) * weft_dtype_size(type_of_c(p));
    weft_dev a = {0}, b = {0}, c = {0};
    int n = 0;
    bool failed = d->ops->stream_new(d, &s) || d->ops->alloc(d, na, &a) ||
                  d->ops->alloc(d, nb, &b) || d->ops->alloc(d, nc, &c) ||
                  !fill(s, a, p->m * p->k, 1, p->dtype) || !fill(s, b, p->k * p->n, 2, p->dtype);
    for (double start = weft__now(); !failed && n < CALLS && (n < 2 || weft__now() - start < SLICE);
         n++) {
        failed = !time_call(p, s, a, b, c, &spent[n]);
        spent[n] *= 1e6;
    }
    d->ops->free(d, a, na);
    d->ops->free(d, b, nb);
    d->ops->free(d, c, nc);
    d->ops->stream_free(s);
    return failed  ? -1
           : n > 2 ? bench_median(spent, n)
                   : spent[1]; /* the first touches the result */
}

/* The head of the table, which says where it comes from. */
static FILE *open_table(const bench *b, const arguments *a, const json_t *machine,
                        const json_t *bounds)
{
    FILE *out = a->table ? fopen(a->table, "w") : NULL;
    const char *cpu = "", *weft = "", *isa = "none", *low = "none";
    int cores = 0;
    if (a->table && !out)
        fprintf(stderr, "gemm: cannot write %s\n", a->table);
    json_unpack((json_t *)machine, "{s:s, s:i, s:s}", "cpu", &cpu, "cores", &cores, "weft", &weft);
    json_unpack((json_t *)bounds, "[{s:{s:{s:s}, s:{s:s}}}]", "peaks", "f32", "isa", &isa, "bf16",
                "isa", &low);
    if (out)
        fprintf(out,
                "# Matrix products\n\nMade by `bench/gemm --table`. %s, %d cores. Weft %s, %s. "
                "Medians of %ld interleaved rounds, quartiles in\nbrackets; shares are of the peak "
                "(%s, of bf16 %s) and of max(flops / peak, bytes / bandwidth), measured\nin the "
                "same round right before and after the product: the median of the rounds' "
                "shares.\n\n"
                "| network | layer | rows | pass | type | threads | us | GF/s | share of peak | "
                "share of bound |\n|---|---|---|---|---|---|---|---|---|---|\n",
                cpu, cores, weft, b->device[0]->ops->kernel_set(b->device[0]), a->rounds, isa, low);
    return out;
}

static void report(product *p, int64_t rounds, FILE *table)
{
    const double flops = flops_of(p), of_peak = bench_median(p->of_peak, rounds),
                 of_bound = bench_median(p->of_bound, rounds),
                 bound = p->best.peak > 0 ? bench_bound(&p->best, flops, bytes_of(p)) : 0;
    json_t *us = bench_quartiles(p->us, rounds);
    const double rate = 1e-3 * flops / p->us[rounds / 2];
    if (table)
        fprintf(table,
                "| %s | %s | %lld | %s | %s | %d | %.1f (%.1f-%.1f) | %.1f | %.2f | %.2f |\n",
                p->layer->network, p->layer->name, (long long)p->rows, passes[p->pass],
                weft_dtype_name(p->dtype), p->device->threads, p->us[rounds / 2], p->us[rounds / 4],
                p->us[rounds * 3 / 4], rate, of_peak, of_bound);
    bench_print(
        json_pack("{s:s, s:s, s:s, s:I, s:s, s:I, s:I, s:I, s:s, s:b, s:i, s:o, s:f, s:f, s:f, "
                  "s:f, s:f, s:f}",
                  "bench", "gemm", "network", p->layer->network, "layer", p->layer->name, "rows",
                  (json_int_t)p->rows, "pass", passes[p->pass], "m", (json_int_t)p->m, "n",
                  (json_int_t)p->n, "k", (json_int_t)p->k, "dtype", weft_dtype_name(p->dtype),
                  "tf32", p->device->tf32, "threads", p->device->threads, "us", us, "gflops", rate,
                  "peak_gflops", 1e-9 * p->best.peak, "share_of_peak", of_peak, "bandwidth_gb_s",
                  1e-9 * p->best.bandwidth, "bound_us", 1e6 * bound, "share_of_bound", of_bound));
}

/* Raises the rates to what is measured now, on a device where that is ours to measure. */
static void gauge(bench_rates *r, const product *p)
{
    const int threads = p->device->threads;
    if (!p->device->ops->immediate)
        return;
    r->peak = fmax(r->peak, bench_peak_now(p->dtype, threads, &r->isa));
    r->bandwidth = fmax(r->bandwidth, bench_triad((int64_t)bytes_of(p), threads, 3));
}

/* A product between two measurements of what bounds it. The larger of each counts: what disturbs
 * makes a rate too small, never too large. Where the machine changes in between a share comes out
 * too small; their mean could flatter it. */
static bool measure_round(product *p, long r)
{
    bench_rates beside = {0};
    gauge(&beside, p);
    p->us[r] = measure(p);
    gauge(&beside, p);
    if (beside.peak > 0) {
        p->of_peak[r] = 1e6 * flops_of(p) / beside.peak / p->us[r];
        p->of_bound[r] = 1e6 * bench_bound(&beside, flops_of(p), bytes_of(p)) / p->us[r];
    }
    p->best.peak = fmax(p->best.peak, beside.peak);
    p->best.bandwidth = fmax(p->best.bandwidth, beside.bandwidth);
    return p->us[r] >= 0 && (beside.bandwidth > 0 || !p->device->ops->immediate);
}

/* One round: every product. */
static bool measure_all(bench *b, long r)
{
    bool good = true;
    for (int i = 0; good && i < b->ncases; i++)
        good = measure_round(&b->cases[i], r);
    return good;
}

static int run(bench *b, const arguments *a)
{
    for (long r = 0; r < a->rounds; r++)
        if (!measure_all(b, r)) {
            fputs("gemm: a product failed, or there is no memory for it\n", stderr);
            return 1;
        }
    json_t *machine = bench_machine();
    json_t *bounds = json_array();
    for (int d = 0; d < b->ndevices && b->device[d]->ops->immediate; d++)
        json_array_append_new(bounds, bench_bounds(b->device[d]->threads));
    FILE *table = open_table(b, a, machine, bounds);
    bench_print(json_pack("{s:s, s:s, s:I, s:o, s:o}", "bench", "gemm", "kernels",
                          b->device[0]->ops->kernel_set(b->device[0]), "rounds",
                          (json_int_t)a->rounds, "bounds", bounds, "machine", machine));
    for (int i = 0; i < b->ncases; i++)
        report(&b->cases[i], a->rounds, table);
    return table ? fclose(table) != 0 : a->table != NULL;
}

int main(int argc, char **argv)
{
    arguments a = {.threads = "1,2", .rounds = 7, .accelerator = "cpu"};
    bench *b = weft__new(1, sizeof *b);
    bool good = b && parse(argc, argv, &a);
    int status = 1;
    if (!good)
        fputs("usage: gemm [--network mlp|gpt2|square] [--dtype f32|f64|bf16] [--threads 1,2] "
              "[--rounds 7] "
              "[--vocabulary] [--accelerator cpu|cuda] [--tf32] [--table FILE]\n",
              stderr);
    const char *t = a.threads;
    for (char *end; good && b->ndevices < DEVICES && strtol(t, &end, 10) > 0;
         t = *end ? end + 1 : end)
        if (weft__device_open(&b->device[b->ndevices], a.accelerator, 0,
                              (int)strtol(t, NULL, 10))) {
            fprintf(stderr, "gemm: %s\n", weft__why());
            good = false;
        } else
            b->device[b->ndevices++]->tf32 = a.tf32;
    if (good && b->ndevices) {
        list(b, &a);
        status = run(b, &a);
    }
    for (int d = 0; b && d < b->ndevices; d++)
        weft__device_close(b->device[d]);
    weft__free(b);
    return status;
}
