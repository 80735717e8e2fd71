/* See nets.h. A file is: i64 number of parameters; for each its name in 96 bytes, i64 elements, f32
 * values; then x (BATCHES, ROWS, ...) and labels (BATCHES, ROWS, ...), i64. x is f32, of GPT-2 i64. */
#include "nets.h"

#include "../../examples/gpt2/model.h"
#include "../peak.h"
#include "../triad.h"

#include "core/alloc.h"
#include "core/context.h"
#include "core/error.h"
#include "device/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME 96
#define SIDE 28
#define WORDS 50304
#define WIDTH 768
#define FAR 268435456 /* bytes that no cache holds */

/* --- models --- */

static weft_module *make_mlp(network *w)
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

static weft_module *conv(weft_fabric *f, int64_t in, int64_t out, int64_t stride)
{
    return weft_nn_sequential(
        f,
        weft_nn_conv2d(f, in, out, 3, WEFT_CONV(.stride = stride, .padding = 1, .no_bias = true)),
        weft_nn_batchnorm(f, out));
}

static weft_module *block(weft_fabric *f, int64_t n)
{
    weft_module *body = weft_nn_sequential(f, conv(f, n, n, 1), weft_nn_relu(f), conv(f, n, n, 1));
    return weft_nn_sequential(f, weft_nn_residual(f, body), weft_nn_relu(f));
}

static weft_module *make_cnn(network *w)
{
    weft_fabric *f = w->fabric;
    const int64_t n = w->channels;
    return weft_nn_sequential(f, conv(f, 1, n, 1), weft_nn_relu(f),
                              weft_nn_max_pool2d(f, WEFT_POOL(.kernel = 2)), block(f, n),
                              conv(f, n, 2 * n, 2), weft_nn_relu(f), block(f, 2 * n),
                              weft_nn_global_avg_pool(f), weft_nn_linear(f, 2 * n, 10));
}

static void make(network *w)
{
    if (w->kind == GPT2) {
        const gpt2_options o = {
            .layers = w->blocks, .vocabulary = WORDS, .dropout = (double)w->percent / 100};
        w->model = gpt2_new(w->fabric, &o);
        w->adam = gpt2_adamw(w->model, 3e-4, 0.1);
        return;
    }
    w->model = w->kind == CNN ? make_cnn(w) : make_mlp(w);
    w->adam = weft_adam(w->model, WEFT_ADAM(.lr = 1e-3));
}

/* --- the file --- */

static weft_status read_all(FILE *in, void *out, size_t n, size_t size)
{
    if (!out)
        return WEFT_ENOMEM;
    return fread(out, size, n, in) == n ? WEFT_OK : WEFT_EFORMAT;
}

static weft_status read_param(network *w, FILE *in)
{
    char name[NAME];
    int64_t n = 0;
    weft_status s = read_all(in, name, 1, sizeof name);
    if (!s)
        s = read_all(in, &n, 1, sizeof n);
    name[NAME - 1] = 0;
    float *values = s ? NULL : weft__new((size_t)n, sizeof *values);
    if (!s && !(s = read_all(in, values, (size_t)n, sizeof *values)))
        s = weft_copy_in(weft_param(w->model, name), values, (size_t)n * sizeof *values);
    weft__free(values);
    return s;
}

static weft_status read_file(network *w, const char *path)
{
    const size_t size = w->kind == GPT2 ? sizeof(int64_t) : sizeof(float);
    const size_t rows = (size_t)(w->batches * w->rows), cells = rows * (size_t)w->cells,
                 targets = rows * (size_t)w->targets;
    FILE *in = fopen(path, "rb");
    int64_t n = 0;
    weft_status s = in ? read_all(in, &n, 1, sizeof n) : WEFT_ENOENT;
    for (int64_t i = 0; !s && i < n; i++)
        s = read_param(w, in);
    w->x = weft__new(cells, size);
    w->label = weft__new(targets, sizeof *w->label);
    if (!s && !(s = read_all(in, w->x, cells, size)))
        s = read_all(in, w->label, targets, sizeof *w->label);
    if (in)
        fclose(in);
    w->pinned = !w->fabric->device->ops->immediate;
    if (!s && w->pinned)
        s = weft_pin_memory(w->fabric, w->x, cells * size);
    if (!s && w->pinned)
        s = weft_pin_memory(w->fabric, w->label, targets * sizeof *w->label);
    return s ? weft_fail(w->fabric, s, "%s cannot be read as this network and its batches", path)
             : s;
}

/* --- one of them --- */

static int64_t number(void)
{
    const char *word = strtok(NULL, " ");
    return word ? strtol(word, NULL, 10) : 0;
}

static weft_status parse(network *w, char *words, const char **path)
{
    const char *word = strtok(words, " "), *precision;
    w->kind = word && word[0] == 'g' ? GPT2 : word && word[0] == 'c' ? CNN : MLP;
    *path = strtok(NULL, " ");
    precision = strtok(NULL, " ");
    w->low = precision && strcmp(precision, "bf16") == 0;
    w->rows = number();
    w->batches = number();
    w->layers = -1;
    w->targets = 1;
    if (w->kind == GPT2) {
        w->cells = w->targets = w->length = number();
        w->blocks = number();
        w->percent = number();
    } else if (w->kind == CNN) {
        w->cells = SIDE * SIDE;
        w->channels = number();
    } else {
        for (int64_t n; w->layers < LAYERS && (n = number()) > 0;)
            w->width[++w->layers] = n;
        w->cells = w->width[0];
    }
    return *path && w->rows > 0 && w->batches > 0 && w->cells > 0 ? WEFT_OK : WEFT_EARG;
}

void net_free(network *w)
{
    if (w->fabric)
        weft_close(&w->fabric); /* a GPU may read what is pinned until then */
    weft__free(w->x);
    weft__free(w->label);
    *w = (network){0};
}

weft_status net_load(network *w, const char *options, char *words)
{
    char all[512];
    const char *path = NULL;
    net_free(w); /* a fabric for each network, so that nothing of the one before is left */
    const weft_status bad = parse(w, words, &path);
    snprintf(all, sizeof all, "%s precision=%s", options, w->low ? "bf16-mixed" : "32-true");
    WEFT_TRY(weft_open_text(&w->fabric, NULL, NULL, all));
    if (bad)
        return weft_fail(w->fabric, bad, "load: see the head of nets.h");
    make(w);
    WEFT_TRY(weft_setup(w->fabric, w->model, w->adam));
    return read_file(w, path);
}

weft_batch net_take(network *w)
{
    const int64_t b = w->at % w->batches * w->rows, shape[2] = {w->rows, w->cells},
                  images[4] = {w->rows, 1, SIDE, SIDE};
    const bool cnn = w->kind == CNN, gpt2 = w->kind == GPT2;
    char *from = (char *)w->x + b * w->cells * (gpt2 ? 8 : 4);
    int64_t *label = w->label + b * w->targets;
    const weft_dtype t = gpt2 ? WEFT_I64 : WEFT_F32;
    const int64_t *as = cnn ? images : shape;
    weft_tensor *x = w->pinned ? weft_tensor_of(w->fabric, from, cnn ? 4 : 2, as, t)
                               : weft_wrap(w->fabric, from, cnn ? 4 : 2, as, t);
    weft_tensor *y = w->pinned ? weft_tensor_of(w->fabric, label, gpt2 ? 2 : 1, shape, WEFT_I64)
                               : weft_wrap(w->fabric, label, gpt2 ? 2 : 1, shape, WEFT_I64);
    return weft_batch_of(w->fabric, x, y, w->at++ * w->rows, w->rows);
}

weft_tensor *net_loss(network *w, weft_batch b)
{
    return w->kind == GPT2 ? gpt2_loss(w->model, b.x, b.y)
                           : weft_cross_entropy(weft_forward(w->model, b.x), b.y);
}

/* --- what it costs at least --- */

typedef struct limits {
    double peak, bandwidth, flops, flops_us, bytes_us, bound_us;
} limits;

/* A part of the step takes as long as the slower of its arithmetic and its memory. */
static void count(limits *l, double flops, double bytes)
{
    const double f = 1e6 * flops / l->peak, b = 1e6 * bytes / l->bandwidth;
    l->flops += flops;
    l->flops_us += f;
    l->bytes_us += b;
    l->bound_us += f > b ? f : b;
}

/* The products of a layer: y = x W^T, gx = gy W, gW = gy^T x. */
static void count_layer(limits *l, double rows, double in, double out, bool first, double size)
{
    for (int pass = first ? 1 : 0; pass < 3; pass++)
        count(l, 2 * rows * in * out, size * (in * out + rows * in + rows * out));
}

/* Of 3 x 3 convolutions of side x side numbers; they read and write less than products would. */
static void count_conv(limits *l, double images, double side, double in, double out, bool first)
{
    for (int pass = first ? 1 : 0; pass < 3; pass++)
        count(l, 2 * images * side * side * 9 * in * out, 0);
}

static void count_cnn(const network *w, limits *l, double size)
{
    const double b = (double)w->rows, n = (double)w->channels;
    count_conv(l, b, SIDE, 1, n, true);
    for (int i = 0; i < 2; i++)
        count_conv(l, b, SIDE / 2, n, n, false);
    count_conv(l, b, SIDE / 4, n, 2 * n, false);
    for (int i = 0; i < 2; i++)
        count_conv(l, b, SIDE / 4, 2 * n, 2 * n, false);
    count_layer(l, b, 2 * n, 10, false, size);
}

json_t *net_bound(const network *w)
{
    const int threads = weft_threads(w->fabric);
    const double size = w->low ? 2 : 4, params = (double)weft_param_elements(w->model);
    const char *isa;
    limits l = {.peak = bench_peak_now(w->low ? WEFT_BF16 : WEFT_F32, threads, &isa)};
    int64_t values = w->rows * w->cells;
    for (int64_t i = 0; i < w->layers; i++)
        values += 2 * w->rows * w->width[i + 1];
    int64_t bytes = (4 * (int64_t)params + values) * (int64_t)sizeof(float);
    bytes = w->kind == GPT2 || bytes > FAR ? FAR : bytes;
    l.bandwidth = bench_triad(bytes, threads, 9);
    for (int64_t i = 0; i < w->layers; i++)
        count_layer(&l, (double)w->rows, (double)w->width[i], (double)w->width[i + 1], !i, size);
    if (w->kind == CNN)
        count_cnn(w, &l, size);
    if (w->kind == GPT2) /* 6 N + 6 L C T a token, N without positions, attention as causal */
        count(&l,
              (double)(w->rows * w->length) * (6 * (params - 1024.0 * WIDTH) +
                                               6.0 * (double)w->blocks * WIDTH * (double)w->length),
              0);
    /* Adam reads four arrays of f32 and writes three, and a copy in 16 bits */
    count(&l, 0, (w->low ? 30 : 28) * params);
    return json_pack("{s:s, s:f, s:f, s:I, s:f, s:f, s:f, s:f}", "isa", isa, "peak_gflops",
                     1e-9 * l.peak, "bandwidth_gb_s", 1e-9 * l.bandwidth, "working_set",
                     (json_int_t)bytes, "flops", l.flops, "flops_us", l.flops_us, "bytes_us",
                     l.bytes_us, "bound_us", l.bound_us);
}
