/* A GPT-2 training step on random tokens: one line of JSON with its time, tokens a second, and the share
 * of a peak that is given. gpu/peer.py does the same in PyTorch.
 *
 *   gpt2 [--batch 8] [--length 1024] [--layers 12] [--steps 20] [--chunk 0] [--recompute] [--peak GFLOPS]
 *
 * Accelerator and precision are Weft's options (WEFT_ACCELERATOR, WEFT_PRECISION). The step is forward,
 * loss, backward, clipping to norm 1 and AdamW; vocabulary 50304, as many multiples of 128. A token's work
 * is 6 N + 6 L C T floating point operations, N the parameters without those of the positions (attention is
 * counted as causal). On the CPU the peak is measured, and share_of_bound is of that and what AdamW moves. */
#include "../examples/gpt2/model.h"
#include "bounds.h"
#include "report.h"

#include "core/context.h"
#include "device/device.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WARMUP 5
#define STEPS 200
#define WORDS 50304

typedef struct arguments {
    long batch, length, layers, steps, chunk, recompute;
    double peak; /* GFLOP/s */
} arguments;

static bool parse(int argc, char **argv, arguments *a)
{
    static const struct option options[] = {{"batch", 1, NULL, 'b'},  {"length", 1, NULL, 't'},
                                            {"layers", 1, NULL, 'l'}, {"steps", 1, NULL, 's'},
                                            {"chunk", 1, NULL, 'c'},  {"recompute", 0, NULL, 'r'},
                                            {"peak", 1, NULL, 'p'},   {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        const long v = optarg ? strtol(optarg, NULL, 10) : 1;
        if (c == 'b')
            a->batch = v;
        else if (c == 't')
            a->length = v;
        else if (c == 'l')
            a->layers = v;
        else if (c == 's')
            a->steps = v < STEPS ? v : STEPS;
        else if (c == 'c')
            a->chunk = v;
        else if (c == 'r')
            a->recompute = v;
        else if (c == 'p')
            a->peak = strtod(optarg, NULL);
        else
            return false;
    }
    return optind == argc && a->batch > 0 && a->length > 0 && a->layers > 0 && a->steps > 0;
}

/* The time from one step's end to the next, each waited for, and the host's share of it: until all is asked for.
 * @return the last loss */
static double train(weft_fabric *f, const arguments *a, weft_module *m, int32_t *tokens, double *us,
                    double *host)
{
    const int64_t shape[] = {a->batch, a->length};
    weft_optimizer *adam = gpt2_adamw(m, 3e-4, 0.1);
    double last = 0, value = 0;
    weft_setup(f, m, adam);
    for (long i = 0; i < WARMUP + a->steps && !weft_error(f); i++) {
        weft_tensor *x = weft_tensor_of(f, tokens, 2, shape, WEFT_I32);
        weft_tensor *y = weft_tensor_of(f, tokens + 1, 2, shape, WEFT_I32);
        weft_batch b = weft_batch_of(f, x, y, 0, a->batch);
        weft_tensor *loss = gpt2_loss(m, b.x, b.y);
        weft_zero_grad(adam);
        weft_backward(f, loss);
        weft_clip_gradients(adam, WEFT_CLIP(.max_norm = 1));
        weft_step(adam);
        const double asked = weft__now();
        value = weft_item(loss);
        weft_step_end(f);
        f->device->ops->sync(f->stream);
        const double now = weft__now();
        if (i >= WARMUP) {
            us[i - WARMUP] = 1e6 * (now - last);
            host[i - WARMUP] = 1e6 * (asked - last);
        }
        last = now;
    }
    return value;
}

/* Measured, on the CPU: what the step must take, and what it is of the peak if none was given. */
static void add_bounds(weft_fabric *f, const arguments *a, weft_module *m, json_t *out, double work,
                       double seconds)
{
    const int threads = weft_threads(f);
    const bool low = strncmp(weft_precision_name(f), "bf16", 4) == 0;
    const double adam = (low ? 30 : 28) * (double)weft_param_elements(m);
    if (!f->device->ops->immediate)
        return;
    const bench_rates r = bench_measure(low ? WEFT_BF16 : WEFT_F32, 1 << 28, threads);
    const double bound = bench_bound(&r, work, 0) + bench_bound(&r, 0, adam);
    if (a->peak <= 0 && r.peak > 0)
        json_object_set_new(out, "share_of_peak", json_real(work / seconds / r.peak));
    json_object_set_new(out, "bound_us", json_real(1e6 * bound));
    json_object_set_new(out, "share_of_bound", json_real(bound / seconds));
    json_object_set_new(out, "threads", json_integer(threads));
    json_object_set_new(out, "bounds", bench_bounds(threads));
}

static void report(weft_fabric *f, const arguments *a, weft_module *m, double loss, double *us,
                   double *host)
{
    const double n = (double)weft_param_elements(m) - 768.0 * 1024,
                 work = 6 * n + 6.0 * (double)a->layers * 768 * (double)a->length,
                 tokens = (double)(a->batch * a->length);
    json_t *spread = bench_quartiles(us, a->steps);
    const double median = json_real_value(json_object_get(spread, "median"));
    const weft_memory_report held = weft_memory(f);
    json_t *out = json_pack(
        "{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:b, s:f, s:f, s:f, s:f, s:I, s:o, s:o}", "bench",
        "gpt2", "kernels", weft_kernel_set(f), "precision", weft_precision_name(f), "by", "weft",
        "batch", (json_int_t)a->batch, "length", (json_int_t)a->length, "layers",
        (json_int_t)a->layers, "chunk", (json_int_t)a->chunk, "recompute", (int)a->recompute,
        "loss", loss, "tokens_s", 1e6 * tokens / median, "tflops", 1e-6 * work * tokens / median,
        "share_of_peak", a->peak > 0 ? 1e-3 * work * tokens / median / a->peak : 0, "peak_bytes",
        (json_int_t)held.device.peak, "step_us", spread, "machine", bench_machine());
    if (!f->device->ops->immediate)
        json_object_set_new(out, "host_us", bench_quartiles(host, a->steps));
    add_bounds(f, a, m, out, work * tokens, 1e-6 * median);
    bench_print(out);
}

int main(int argc, char **argv)
{
    static double us[STEPS], host[STEPS];
    arguments a = {.batch = 8, .length = 1024, .layers = 12, .steps = 20};
    weft_fabric *f;
    uint32_t s = 1;
    if (weft_open(&f, NULL, NULL, WEFT_OPEN(.seed = 1)))
        return weft_close(&f);
    if (!parse(argc, argv, &a)) {
        fprintf(stderr, "see the head of bench/gpt2.c\n");
        weft_close(&f);
        return 2;
    }
    const size_t n = (size_t)(a.batch * a.length) + 1;
    int32_t *tokens = malloc(n * sizeof *tokens);
    for (size_t i = 0; tokens && i < n; i++)
        tokens[i] = (int32_t)(((s = s * 1664525u + 1013904223u) >> 8) % WORDS);
    weft_module *m = gpt2_new(f, &(gpt2_options){.layers = a.layers,
                                                 .heads = 12,
                                                 .width = 768,
                                                 .vocabulary = WORDS,
                                                 .context = 1024,
                                                 .chunk = a.chunk,
                                                 .recompute = a.recompute != 0});
    if (tokens) {
        const double loss = train(f, &a, m, tokens, us, host);
        if (!weft_error(f))
            report(f, &a, m, loss, us, host);
    }
    const int status = weft_close(&f);
    free(tokens);
    return status;
}
