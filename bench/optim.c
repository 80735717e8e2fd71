/* What the passes over all parameters reach of the bandwidth of a plain copy on the same device: one
 * line of JSON for each.
 *
 *   optim [--accelerator cpu|cuda] [--threads N] [--numbers 124000000] [--rounds 9]
 *
 * copy reads and writes an array, AdamW reads four and writes three, the norm reads one. Each round does
 * all of them in turn; a time is that of several calls and one wait, the least of the rounds. On the CPU
 * share_of_triad is of the triad's bandwidth at that working set, too. */
#include "bounds.h"
#include "report.h"
#include "triad.h"

#include "core/context.h"
#include "core/error.h"
#include "device/device.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

enum { COPY, ADAMW, ADAMW_BF16, NORM, NONFINITE, PASSES };
#define CALLS 5

typedef struct bench {
    weft_device *device;
    weft_stream *stream;
    int64_t n;
    weft_dev p, m, v, g, low, out;
} bench;

static const struct {
    const char *name;
    double bytes; /* of an element */
} pass[PASSES] = {
    {"copy", 8}, {"adamw f32", 28}, {"adamw bf16 parameters", 24}, {"norm", 4}, {"nonfinite", 4}};

static weft_status call(const bench *b, int which)
{
    const weft_device_ops *ops = b->device->ops;
    const weft_kernels *k = ops->kernels;
    const weft_adam_step step = {.lr = 1e-3,
                                 .beta1 = 0.9,
                                 .beta2 = 0.999,
                                 .eps = 1e-8,
                                 .weight_decay = 0.01,
                                 .correct1 = 0.1,
                                 .correct2 = 1e-3,
                                 .decoupled = 1};
    const weft_dev none = {0};
    const int64_t all[] = {0, b->n};
    switch (which) {
    case COPY:
        return ops->move(b->stream, b->p, b->g, (size_t)b->n * sizeof(float));
    case ADAMW:
        return k->adam(b->stream, b->p, b->m, b->v, none, b->g, none, none, all, 1, &step,
                       WEFT_F32);
    case ADAMW_BF16:
        return k->adam(b->stream, b->low, b->m, b->v, none, b->g, none, none, all, 1, &step,
                       WEFT_BF16);
    case NORM:
        return k->norm(b->stream, b->out, b->g, all, 1, 2, WEFT_F32);
    default:
        return k->nonfinite(b->stream, b->out, b->g, b->n, WEFT_F32);
    }
}

static weft_status time_pass(const bench *b, int which, double *seconds)
{
    const double begin = weft__now();
    for (int i = 0; i < CALLS; i++)
        WEFT_TRY(call(b, which));
    WEFT_TRY(b->device->ops->sync(b->stream));
    *seconds = (weft__now() - begin) / CALLS;
    return WEFT_OK;
}

static weft_status make(bench *b)
{
    const weft_device_ops *ops = b->device->ops;
    const size_t bytes = (size_t)b->n * sizeof(float);
    weft_dev *array[] = {&b->p, &b->m, &b->v, &b->g};
    WEFT_TRY(ops->stream_new(b->device, &b->stream));
    for (size_t i = 0; i < sizeof array / sizeof *array; i++) {
        WEFT_TRY(ops->alloc(b->device, bytes, array[i]));
        WEFT_TRY(ops->kernels->uniform(b->stream, *array[i], 1, i, 0, 0, b->n, 0, 1, WEFT_F32));
    }
    WEFT_TRY(ops->alloc(b->device, bytes / 2, &b->low));
    WEFT_TRY(ops->kernels->fill(b->stream, b->low, b->n, 0.5, WEFT_BF16));
    WEFT_TRY(ops->alloc(b->device, 64, &b->out));
    return ops->zero(b->stream, b->out, 64);
}

static void unmake(bench *b)
{
    const weft_device_ops *ops = b->device->ops;
    const size_t bytes = (size_t)b->n * sizeof(float);
    const weft_dev array[] = {b->p, b->m, b->v, b->g};
    for (size_t i = 0; i < sizeof array / sizeof *array; i++)
        if (array[i].addr)
            ops->free(b->device, array[i], bytes);
    if (b->low.addr)
        ops->free(b->device, b->low, bytes / 2);
    if (b->out.addr)
        ops->free(b->device, b->out, 64);
    if (b->stream)
        ops->stream_free(b->stream);
    weft__device_close(b->device);
}

static void show(const bench *b, int which, double seconds, double copy)
{
    const double bytes = pass[which].bytes * (double)b->n, rate = bytes / seconds;
    const weft_device_ops *ops = b->device->ops;
    json_t *line =
        json_pack("{s:s, s:s, s:s, s:s, s:i, s:I, s:f, s:f, s:f}", "bench", "optim", "device",
                  ops->name, "kernels", ops->kernel_set(b->device), "pass", pass[which].name,
                  "threads", b->device->threads, "numbers", (json_int_t)b->n, "us", 1e6 * seconds,
                  "gb_s", 1e-9 * rate, "share_of_copy", rate / copy);
    if (ops->immediate)
        json_object_set_new(line, "share_of_triad",
                            json_real(rate / bench_triad((int64_t)bytes, b->device->threads, 5)));
    bench_print(line);
}

static weft_status run(bench *b, long rounds)
{
    double best[PASSES], now;
    WEFT_TRY(make(b));
    for (long r = -1; r < rounds; r++) /* the first touches memory */
        for (int i = 0; i < PASSES; i++) {
            WEFT_TRY(time_pass(b, i, &now));
            best[i] = r < 1 || now < best[i] ? now : best[i];
        }
    const double copy = pass[COPY].bytes * (double)b->n / best[COPY];
    for (int i = 0; i < PASSES; i++)
        show(b, i, best[i], copy);
    return WEFT_OK;
}

int main(int argc, char **argv)
{
    static const struct option known[] = {{"accelerator", required_argument, NULL, 'a'},
                                          {"threads", required_argument, NULL, 't'},
                                          {"numbers", required_argument, NULL, 'n'},
                                          {"rounds", required_argument, NULL, 'r'},
                                          {NULL, 0, NULL, 0}};
    bench b = {.n = 124000000};
    const char *accelerator = "cpu";
    long threads = 1, rounds = 9;
    bool good = true;
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;)
        if (c == 'a')
            accelerator = optarg;
        else if (c == 't')
            threads = strtol(optarg, NULL, 10);
        else if (c == 'n')
            b.n = strtol(optarg, NULL, 10);
        else if (c == 'r')
            rounds = strtol(optarg, NULL, 10);
        else
            good = false;
    if (!good || optind != argc || threads < 1 || b.n < 1 || rounds < 1) {
        fputs("usage: optim [--accelerator cpu|cuda] [--threads N] [--numbers N] [--rounds N]\n",
              stderr);
        return 2;
    }
    weft_status s = weft__device_open(&b.device, accelerator, 0, (int)threads);
    if (!s && b.device->ops->immediate)
        bench_print(json_pack("{s:s, s:o, s:o}", "bench", "optim", "bounds",
                              bench_bounds((int)threads), "machine", bench_machine()));
    if (!s) {
        s = run(&b, rounds);
        unmake(&b);
    }
    if (s)
        fprintf(stderr, "optim: %s\n", weft__why());
    return s != 0;
}
