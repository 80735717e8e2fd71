/* Weft's side of a comparison: trains a network of linear layers with ReLU between them, cross
 * entropy and Adam, at the word of compare.py, which reads one line of JSON for each of these:
 *
 *   load FILE ROWS BATCHES WIDTH...   weights and batches from FILE, a new network with these widths
 *   loaders                           from here on batches come shuffled from a loader over the arrays
 *   losses N                          the losses of the next N steps
 *   time N                            microseconds of each of the next N steps (the mean, where the
 *                                     device goes on beside the program), and a step's mean
 *                                     processor time and number of times that it was made to wait
 *   bound                             what a step costs at least on this machine, by measured peak
 *                                     and bandwidth, and its parts
 *   about                             versions, kernels, where it runs
 *
 * FILE is f32: weight (out,in) and bias (out) of each layer, then x (BATCHES, ROWS, in); then i64:
 * labels (BATCHES, ROWS). Batches stay in memory and are taken in turn. Options are weft_open's. */
#include "../peak.h"
#include "../report.h"
#include "../triad.h"

#include "core/alloc.h"
#include "core/context.h"
#include "device/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <weft.h>

#define LAYERS 8
#define STEPS 100000

typedef struct network {
    weft_fabric *fabric;
    weft_module *model;
    weft_optimizer *adam;
    weft_loader *loader; /* or NULL: batches are taken in turn */
    int64_t layers, width[LAYERS + 1], rows, batches, at;
    float *x;
    int64_t *label;
} network;

static weft_status read_all(FILE *in, void *out, size_t n, size_t size)
{
    if (!out)
        return WEFT_ENOMEM;
    return fread(out, size, n, in) == n ? WEFT_OK : WEFT_EFORMAT;
}

static weft_status read_param(network *w, FILE *in, int64_t layer, const char *which, int64_t n)
{
    char name[32];
    snprintf(name, sizeof name, "%lld.%s", (long long)(2 * layer), which);
    float *values = weft__new((size_t)n, sizeof *values);
    weft_status s = read_all(in, values, (size_t)n, sizeof *values);
    if (!s)
        s = weft_copy_in(weft_param(w->model, name), values, (size_t)n * sizeof *values);
    weft__free(values);
    return s;
}

static weft_status read_file(network *w, const char *path)
{
    const size_t cells = (size_t)(w->batches * w->rows), pixels = cells * (size_t)w->width[0];
    FILE *in = fopen(path, "rb");
    weft_status s = in ? WEFT_OK : WEFT_ENOENT;
    for (int64_t i = 0; !s && i < w->layers; i++)
        if (!(s = read_param(w, in, i, "weight", w->width[i] * w->width[i + 1])))
            s = read_param(w, in, i, "bias", w->width[i + 1]);
    w->x = weft__new(pixels, sizeof *w->x);
    w->label = weft__new(cells, sizeof *w->label);
    if (!s && !(s = read_all(in, w->x, pixels, sizeof *w->x)))
        s = read_all(in, w->label, cells, sizeof *w->label);
    if (in)
        fclose(in);
    return s ? weft_fail(w->fabric, s, "%s cannot be read as these widths and batches", path) : s;
}

static weft_module *make_model(network *w)
{
    weft_module *part[2 * LAYERS];
    size_t n = 0;
    for (int64_t i = 0; i < w->layers; i++) {
        part[n++] = weft_nn_linear(w->fabric, w->width[i], w->width[i + 1]);
        if (i + 1 < w->layers)
            part[n++] = weft_nn_relu(w->fabric);
    }
    return weft_nn_sequential_n(w->fabric, n, part);
}

/* A fabric for each network, so that nothing of the one before is left. */
static weft_status load(network *w, const char *options, char *words)
{
    const char *path = strtok(words, " ");
    char *word = strtok(NULL, " ");
    w->rows = word ? strtol(word, NULL, 10) : 0;
    w->batches = (word = strtok(NULL, " ")) ? strtol(word, NULL, 10) : 0;
    for (w->layers = -1; w->layers < LAYERS && (word = strtok(NULL, " "));)
        w->width[++w->layers] = strtol(word, NULL, 10);
    weft__free(w->x);
    weft__free(w->label);
    w->x = NULL;
    w->label = NULL;
    w->at = 0;
    w->loader = NULL;
    if (w->fabric)
        weft_close(&w->fabric);
    WEFT_TRY(weft_open_text(&w->fabric, NULL, NULL, options));
    if (w->layers < 1 || w->rows < 1 || w->batches < 1)
        return weft_fail(w->fabric, WEFT_EARG, "load: a file, rows, batches and widths");
    w->model = make_model(w);
    w->adam = weft_adam(w->model, WEFT_ADAM(.lr = 1e-3));
    WEFT_TRY(weft_setup(w->fabric, w->model, w->adam));
    return read_file(w, path);
}

static weft_status make_loader(network *w)
{
    w->loader = weft_loader_arrays(
        w->fabric, w->batches * w->rows, w->x, 1, &w->width[0], WEFT_F32, w->label, WEFT_I64,
        WEFT_LOADER(.global_batch = w->rows, .epochs = 1000000, .shuffle = true));
    return weft_setup_loader(w->fabric, w->loader);
}

/* The next batch, in place. */
static weft_batch take(network *w)
{
    const int64_t shape[2] = {w->rows, w->width[0]}, b = w->at % w->batches;
    weft_tensor *x = weft_wrap(w->fabric, w->x + b * w->rows * w->width[0], 2, shape, WEFT_F32);
    weft_tensor *y = weft_wrap(w->fabric, w->label + b * w->rows, 1, shape, WEFT_I64);
    return weft_batch_of(w->fabric, x, y, w->at++ * w->rows, w->rows);
}

/* One step, with its loss if it is asked for. */
static void train(network *w, double *loss)
{
    weft_batch b;
    if (!w->loader)
        b = take(w);
    else if (!weft_next(w->loader, &b))
        return;
    weft_tensor *l = weft_cross_entropy(weft_forward(w->model, b.x), b.y);
    weft_zero_grad(w->adam);
    weft_backward(w->fabric, l);
    weft_step(w->adam);
    if (loss)
        *loss = weft_item(l);
    if (!w->loader)
        weft_step_end(w->fabric);
}

/* Processor time of all threads in seconds, and how often one was made to wait for another process. */
static double used(int64_t *preempted)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    *preempted = r.ru_nivcsw;
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           1e-6 * (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

static json_t *steps(network *w, int64_t n, bool losses)
{
    json_t *list = json_array();
    int64_t before, after;
    const weft_device *d = w->fabric->device;
    double cpu = used(&before), begin = weft__now();
    double *value = n > 0 && n <= STEPS ? weft__new((size_t)n, sizeof *value) : NULL;
    for (int64_t i = 0; value && i < n; i++) {
        double start = weft__now();
        train(w, losses ? &value[i] : NULL);
        if (!losses)
            value[i] = 1e6 * (weft__now() - start);
    }
    if (!d->ops->immediate && !losses) {
        d->ops->sync(w->fabric->stream);
        begin = weft__now() - begin;
        for (int64_t i = 0; value && i < n; i++)
            value[i] = 1e6 * begin / (double)n;
    }
    cpu = used(&after) - cpu;
    for (int64_t i = 0; value && i < n; i++)
        json_array_append_new(list, json_real(value[i]));
    weft__free(value);
    if (weft_error(w->fabric))
        return json_decref(list), NULL;
    return json_pack("{s:o, s:f, s:f}", losses ? "losses" : "us", list, "cpu_us",
                     1e6 * cpu / (double)n, "preempted", (double)(after - before) / (double)n);
}

typedef struct limits {
    double peak, bandwidth, flops_us, bytes_us, bound_us;
} limits;

/* A part of the step takes as long as the slower of its arithmetic and its memory. */
static void count(limits *l, double flops, double numbers)
{
    double f = 1e6 * flops / l->peak, b = 1e6 * numbers * sizeof(float) / l->bandwidth;
    l->flops_us += f;
    l->bytes_us += b;
    l->bound_us += f > b ? f : b;
}

static json_t *bound(const network *w)
{
    const int threads = weft_threads(w->fabric);
    const char *isa;
    limits l = {.peak = bench_peak(WEFT_F32, threads, &isa)};
    int64_t params = 0, values = w->rows * w->width[0];
    for (int64_t i = 0; i < w->layers; i++) {
        params += (w->width[i] + 1) * w->width[i + 1];
        values += 2 * w->rows * w->width[i + 1];
    }
    const int64_t bytes = (4 * params + values) * (int64_t)sizeof(float);
    l.bandwidth = bench_triad(bytes, threads, 9);
    for (int64_t i = 0; i < w->layers; i++) {
        const double in = (double)w->width[i], out = (double)w->width[i + 1], b = (double)w->rows;
        for (int pass = i ? 0 : 1; pass < 3; pass++) /* the first has no gradient of its input */
            count(&l, 2 * b * in * out, in * out + b * in + b * out);
    }
    count(&l, 0, 7.0 * (double)params); /* Adam reads four arrays and writes three */
    return json_pack("{s:s, s:f, s:f, s:I, s:f, s:f, s:f}", "isa", isa, "peak_gflops",
                     1e-9 * l.peak, "bandwidth_gb_s", 1e-9 * l.bandwidth, "working_set",
                     (json_int_t)bytes, "flops_us", l.flops_us, "bytes_us", l.bytes_us, "bound_us",
                     l.bound_us);
}

static json_t *about(const network *w)
{
    json_t *out = bench_machine();
    json_object_set_new(out, "kernels", json_string(weft_kernel_set(w->fabric)));
    json_object_set_new(out, "threads", json_integer(weft_threads(w->fabric)));
    return out;
}

static json_t *obey(network *w, const char *options, char *line)
{
    char *words = line + strcspn(line, " ");
    words += *words == ' ';
    if (strncmp(line, "load ", 5) == 0)
        return load(w, options, words) ? NULL : json_object();
    if (!w->fabric || weft_error(w->fabric))
        return NULL;
    if (strncmp(line, "losses ", 7) == 0 || strncmp(line, "time ", 5) == 0)
        return steps(w, strtol(words, NULL, 10), line[0] == 'l');
    if (strcmp(line, "loaders") == 0)
        return make_loader(w) ? NULL : json_object();
    return strcmp(line, "bound") == 0 ? bound(w) : strcmp(line, "about") == 0 ? about(w) : NULL;
}

int main(int argc, char **argv)
{
    char line[8192];
    network w = {0};
    const char *options = argc > 1 ? argv[1] : "";
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        json_t *answer = obey(&w, options, line);
        if (!answer)
            answer = json_pack("{s:s}", "error", w.fabric ? weft_message(w.fabric) : line);
        bench_print(answer);
    }
    int status = w.fabric ? weft_close(&w.fabric) : 0;
    weft__free(w.x);
    weft__free(w.label);
    return status;
}
