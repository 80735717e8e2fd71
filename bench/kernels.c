/* What the kernels that are not matrix products reach of this machine's bandwidth: one line of JSON for
 * each, its type and size.
 *
 *   kernels [--accelerator cpu|cuda] [--threads N] [--rounds 7] [--only PART] [--dtype f32|bf16] [--batch 8]
 *           [--length 256] [--rows N --columns N]
 *
 * Rows and columns are those given, else of the networks: 64 x 256 of 784-256-10, 2048 x 768 and 256 x 50304 of
 * GPT-2. gb_s counts what a kernel must read and write; share_of_triad is of the triad's bandwidth at that working
 * set, on a GPU share_of_copy of a copy's. Attention, of `batch` rows of `length` places, 12 heads of 64, causal, has gflop_s and share_of_peak:
 * 2 T^2 d multiply-adds a head and pass, half of them seen, gradients 2.5 times as much. A round times each
 * kernel once, so that what disturbs the machine disturbs all alike. cpu_us is processor time. */
#include "bounds.h"
#include "peak.h"
#include "report.h"
#include "triad.h"

#include "core/context.h"
#include "core/error.h"
#include "device/device.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <weft.h>

#define CALLS_TAKE 2e-3 /* seconds that a time is taken over, at least */
#define ROUNDS_MOST 101
#define PLANES 6
enum { HEADS = 12, HEAD = 64 };

typedef struct bench {
    weft_device *device;
    weft_stream *stream;
    int64_t rows, c, batch, length;
    weft_dtype dt;
    weft_dev at[PLANES], spare, moments, labels, stats, out;
} bench;

typedef weft_status work(const bench *b, const weft_kernels *k);

#define KERNEL(name, ...)                                                                          \
    static weft_status name(const bench *b, const weft_kernels *k)                                 \
    {                                                                                              \
        weft_stream *s = b->stream;                                                                \
        const int64_t rows = b->rows, c = b->c, n = rows * c;                                      \
        const weft_dev x = b->at[0], y = b->at[1], z = b->at[2], none = {0};                       \
        const double p[2] = {0};                                                                   \
        (void)rows, (void)c, (void)n, (void)x, (void)y, (void)z, (void)none, (void)p;              \
        return __VA_ARGS__;                                                                        \
    }
KERNEL(copy_f32, k->copy(s, y, b->dt, (int64_t[]){1}, x, WEFT_F32, (int64_t[]){1}, 1, &n))
KERNEL(copy_to_f32, k->copy(s, y, WEFT_F32, (int64_t[]){1}, x, b->dt, (int64_t[]){1}, 1, &n))
KERNEL(add, k->binary(s, WEFT_ADD, y, x, (int64_t[]){1}, z, (int64_t[]){1}, 1, &n, b->dt))
KERNEL(axpy, k->axpy(s, y, 1e-9, x, n, b->dt))
KERNEL(relu, k->relu(s, y, x, n, b->dt))
KERNEL(gelu, k->unary(s, WEFT_GELU_TANH, y, x, p, n, b->dt))
KERNEL(gelu_back, k->unary_back(s, WEFT_GELU_TANH, z, y, x, y, p, n, b->dt))
KERNEL(bias, k->bias(s, y, x, 0, rows, c, b->dt))
KERNEL(column_sums, k->sum(s, y, WEFT_F32, (int64_t[]){0, 1}, 1, x, (int64_t[]){c, 1}, 2,
                           (int64_t[]){rows, c}, b->dt))
KERNEL(softmax, k->softmax(s, y, x, rows, c, b->dt))
KERNEL(softmax_back, k->softmax_back(s, z, y, x, rows, c, b->dt))
KERNEL(layernorm, k->layernorm(s, y, b->stats, x, z, z, rows, c, 1e-5, b->dt))
KERNEL(layernorm_back,
       k->layernorm_back(s, z, b->at[3], b->at[4], y, x, b->stats, b->at[5], rows, c, b->dt))
KERNEL(add_layernorm_back, k->add_layernorm_back(s, z, b->at[3], b->at[4], y, b->at[5], x, b->stats,
                                                 b->at[5], rows, c, b->dt))
KERNEL(add_layernorm,
       k->add_layernorm(s, y, b->at[3], b->stats, x, z, b->at[5], b->at[5], rows, c, 1e-5, b->dt))
KERNEL(xent, k->xent(s, b->out, y, none, x, b->labels, WEFT_I64, rows, c, NULL, b->dt))
KERNEL(xent_back, k->xent_back(s, z, b->at[5], 1, y, b->labels, WEFT_I64, rows, c, NULL, b->dt))
KERNEL(xent_lse,
       k->xent_lse(s, b->out, b->stats, none, x, b->labels, WEFT_I64, rows, c, NULL, b->dt))
KERNEL(xent_lse_back,
       k->xent_lse_back(s, z, b->spare, 1, x, b->stats, b->labels, WEFT_I64, rows, c, NULL, b->dt))
KERNEL(dropout,
       k->dropout(s, y, x,
                  &(weft_dropout_terms){.seed = 1, .outer = 1, .rows = rows, .inner = c, .p = 0.1},
                  b->dt))
KERNEL(uniform, k->uniform(s, y, 1, 0, 0, 0, n, -1, 1, b->dt))
KERNEL(normal, k->normal(s, y, 1, 0, n, &(weft_normal_terms){0, 0.02, 0, 1}, b->dt))
KERNEL(norm, k->norm(s, b->out, x, (int64_t[]){0, n}, 1, 2, b->dt))
KERNEL(nonfinite, k->nonfinite(s, b->out, x, n, b->dt))
KERNEL(adamw, k->adam(s, y, b->at[2], b->at[3], none, x, none, none, (int64_t[]){0, n}, 1,
                      &(weft_adam_step){.lr = 1e-3,
                                        .beta1 = 0.9,
                                        .beta2 = 0.999,
                                        .eps = 1e-8,
                                        .weight_decay = 0.01,
                                        .correct1 = 0.1,
                                        .correct2 = 1e-3,
                                        .decoupled = 1},
                      b->dt))

/* Packed heads, as of a layer that gives all three. */
static weft_attention_terms terms(const bench *b)
{
    const int64_t width = HEADS * HEAD, line = 3 * width;
    weft_attention_terms t = {.batch = b->batch,
                              .heads = HEADS,
                              .kv_heads = HEADS,
                              .queries = b->length,
                              .keys = b->length,
                              .size = HEAD,
                              .vsize = HEAD,
                              .scale = 0.125,
                              .causal = 1};
    for (int i = 0; i < 3; i++) {
        t.y[i] = i == 0 ? b->length * width : i == 1 ? HEAD : width;
        t.q[i] = t.k[i] = t.v[i] = i == 1 ? HEAD : t.y[i] * (line / width);
        t.gq[i] = t.gk[i] = t.gv[i] = t.q[i];
    }
    return t;
}

/* Number i of the three in a plane. */
static weft_dev third(const bench *b, weft_dev p, int i)
{
    return (weft_dev){p.addr + (uintptr_t)(i * HEADS * HEAD) * weft_dtype_size(b->dt)};
}

static weft_status attend(const bench *b, const weft_kernels *k, double p)
{
    weft_attention_terms t = terms(b);
    const weft_dev x = b->at[0];
    t.p = p;
    return k->attention(b->stream, b->at[1], b->stats, x, third(b, x, 1), third(b, x, 2), &t,
                        b->dt);
}

static weft_status attend_back(const bench *b, const weft_kernels *k, double p)
{
    weft_attention_terms t = terms(b);
    const weft_dev x = b->at[0], g = b->at[2];
    t.p = p;
    return k->attention_back(b->stream, g, third(b, g, 1), third(b, g, 2), b->at[4], b->at[3], x,
                             third(b, x, 1), third(b, x, 2), b->at[1], b->stats, &t, b->dt);
}

#define ATTENTION(name, p)                                                                         \
    static weft_status name(const bench *b, const weft_kernels *k)                                 \
    {                                                                                              \
        return attend(b, k, p);                                                                    \
    }                                                                                              \
    static weft_status name##_back(const bench *b, const weft_kernels *k)                          \
    {                                                                                              \
        return attend_back(b, k, p);                                                               \
    }
ATTENTION(attention, 0)
ATTENTION(attention_dropout, 0.1)

/* What is read and written of an element: numbers of the type, and bytes beside them. */
typedef struct row {
    const char *name;
    work *call;
    int numbers, bytes;
    bool wide;                      /* as a classifier's, too */
    enum { BOTH, FULL, LOW } types; /* f32 alone, 16 bits alone: there is no other */
    double passes;                  /* of attention */
} row;

static const row table[] = {
    {"copy_from_f32", copy_f32, 1, 4, false, BOTH, 0},
    {"copy_to_f32", copy_to_f32, 1, 4, false, BOTH, 0},
    {"add", add, 3, 0, false, BOTH, 0},
    {"axpy", axpy, 3, 0, false, BOTH, 0},
    {"relu", relu, 2, 0, false, BOTH, 0},
    {"gelu", gelu, 2, 0, false, BOTH, 0},
    {"gelu_back", gelu_back, 3, 0, false, BOTH, 0},
    {"bias", bias, 2, 0, false, BOTH, 0},
    {"column_sums", column_sums, 1, 0, false, BOTH, 0},
    {"softmax", softmax, 2, 0, true, FULL, 0},
    {"softmax_back", softmax_back, 3, 0, true, FULL, 0},
    {"layernorm", layernorm, 2, 0, false, BOTH, 0},
    {"layernorm_back", layernorm_back, 3, 0, false, BOTH, 0},
    {"add_layernorm_back", add_layernorm_back, 4, 0, false, BOTH, 0},
    {"add_layernorm", add_layernorm, 4, 0, false, BOTH, 0},
    {"xent", xent, 2, 0, true, FULL, 0},
    {"xent_back", xent_back, 2, 0, true, FULL, 0},
    {"xent_lse", xent_lse, 1, 0, true, LOW, 0},
    {"xent_lse_back", xent_lse_back, 2, 0, true, LOW, 0},
    {"dropout", dropout, 2, 0, false, BOTH, 0},
    {"uniform", uniform, 1, 0, false, FULL, 0},
    {"normal", normal, 1, 0, false, FULL, 0},
    {"norm", norm, 1, 0, true, BOTH, 0},
    {"nonfinite", nonfinite, 1, 0, true, BOTH, 0},
    {"adamw", adamw, 2, 20, true, BOTH, 0},
    {"attention", attention, 0, 0, false, BOTH, 1},
    {"attention_back", attention_back, 0, 0, false, BOTH, 2.5},
    {"attention_dropout", attention_dropout, 0, 0, false, BOTH, 1},
    {"attention_dropout_back", attention_dropout_back, 0, 0, false, BOTH, 2.5}};
#define KERNELS ((int)(sizeof table / sizeof table[0]))
#define SHAPES 3
static int64_t shapes[SHAPES][2] = {{64, 256}, {2048, 768}, {256, 50304}};
static const weft_dtype types[] = {WEFT_F32, WEFT_BF16};
#define TYPES 2
#define CASES (KERNELS * SHAPES * TYPES)

/* What is measured of the table: all, or what has this in its name and is of this type. */
typedef struct choice {
    const char *only, *dtype;
} choice;

/* Processor time of all threads: what others take of a busy machine does not count. */
static double processor(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static weft_status take(bench *b, const row *r, int64_t calls, double *seconds, double *busy)
{
    const double begin = weft__now(), before = processor();
    for (int64_t i = 0; i < calls; i++)
        WEFT_TRY(r->call(b, b->device->ops->kernels));
    WEFT_TRY(b->device->ops->sync(b->stream));
    *seconds = (weft__now() - begin) / (double)calls;
    *busy = (processor() - before) / (double)calls;
    return WEFT_OK;
}

/* Numbers like activations; of AdamW gradients and moments, too, in f32. */
static weft_status prepare(bench *b, const row *r)
{
    const weft_kernels *k = b->device->ops->kernels;
    const int64_t n = r->passes > 0 ? b->batch * b->length * HEADS * HEAD * 3 : b->rows * b->c;
    for (int i = 0; i < PLANES; i++) {
        const bool wide = r->call == adamw ? i != 1 : i == 0 && r->call == copy_f32;
        const weft_dev from = r->call == adamw && i == 3 ? b->moments : b->spare;
        WEFT_TRY(k->copy(b->stream, b->at[i], wide ? WEFT_F32 : b->dt, (int64_t[]){1}, from,
                         WEFT_F32, (int64_t[]){1}, 1, &n));
    }
    WEFT_TRY(b->device->ops->zero(b->stream, b->labels, (size_t)b->rows * 8));
    if (r->call == xent_lse_back)
        WEFT_TRY(xent_lse(b, k));
    if (r->call == layernorm_back || r->call == add_layernorm_back)
        WEFT_TRY(layernorm(b, k));
    return r->passes > 1 ? attention(b, k) : WEFT_OK;
}

/* A name of the table is that kernel alone, part of one all that have it. */
static bool named(const row *r, const char *only)
{
    for (int i = 0; i < KERNELS; i++)
        if (strcmp(table[i].name, only) == 0)
            return r == &table[i];
    return strstr(r->name, only) != NULL;
}

static bool chosen(const row *r, int shape, weft_dtype dt, const choice *o)
{
    if ((o->only && !named(r, o->only)) || (o->dtype && strcmp(weft_dtype_name(dt), o->dtype) != 0))
        return false;
    if (r->types == (dt == WEFT_F32 ? LOW : FULL) || !shapes[shape][0])
        return false;
    return r->passes > 0 ? shape == 0 : shape < 2 || r->wide;
}

/* Bytes a second of a copy that reads and writes as many numbers as a row of kernels has. */
static double copies(const bench *b)
{
    const size_t bytes = (size_t)(b->rows * b->c) * weft_dtype_size(b->dt);
    double least = HUGE_VAL;
    for (int i = 0; i < 5; i++) {
        const double begin = weft__now();
        for (int j = 0; j < 20; j++)
            b->device->ops->move(b->stream, b->at[1], b->at[0], bytes);
        b->device->ops->sync(b->stream);
        least = fmin(least, (weft__now() - begin) / 20);
    }
    return 2 * (double)bytes / least;
}

static void show(bench *b, const row *r, double *us, double *cpu, int64_t rounds, int threads)
{
    const int64_t size = (int64_t)weft_dtype_size(b->dt), n = b->rows * b->c;
    const int64_t bytes = n * (r->numbers * size + r->bytes);
    json_t *spent = bench_quartiles(us, rounds);
    const double median = us[rounds / 2] * 1e-6;
    const char *isa;
    json_t *line = json_pack("{s:s, s:s, s:s, s:i}", "bench", "kernels", "kernel", r->name, "dtype",
                             weft_dtype_name(b->dt), "threads", threads);
    json_t *shape = r->passes > 0 ? json_pack("[I,I,i,i]", (json_int_t)b->batch,
                                              (json_int_t)b->length, HEADS, HEAD)
                                  : json_pack("[I,I]", (json_int_t)b->rows, (json_int_t)b->c);
    json_object_set_new(line, "shape", shape);
    if (r->passes > 0) {
        const double t = (double)b->length;
        const double flops = r->passes * 2 * t * t * HEAD * HEADS * (double)b->batch;
        const double peak = bench_peak(b->dt, threads, &isa);
        json_object_set_new(line, "gflop_s", json_real(1e-9 * flops / median));
        json_object_set_new(line, "share_of_peak", json_real(flops / median / peak));
    } else {
        const bool host = b->device->ops->immediate;
        const double bound = host ? bench_triad(bytes, threads, 3) : copies(b);
        json_object_set_new(line, "gb_s", json_real(1e-9 * (double)bytes / median));
        json_object_set_new(line, host ? "share_of_triad" : "share_of_copy",
                            json_real((double)bytes / median / bound));
    }
    json_object_set_new(line, "us", spent);
    json_object_set_new(line, "cpu_us", bench_quartiles(cpu, rounds));
    bench_print(line);
}

/* Case number i; false: there is no such one. */
static bool set_case(bench *b, int i, const choice *only)
{
    const int shape = i / KERNELS % SHAPES;
    b->rows = shapes[shape][0];
    b->c = shapes[shape][1];
    b->dt = types[i / KERNELS / SHAPES];
    return chosen(&table[i % KERNELS], shape, b->dt, only);
}

static weft_status run(bench *b, const choice *only, int64_t rounds, int threads)
{
    static double us[CASES][ROUNDS_MOST], cpu[CASES][ROUNDS_MOST];
    for (int64_t round = -1; round < rounds; round++)
        for (int i = 0; i < CASES; i++) {
            const row *r = &table[i % KERNELS];
            double once, busy;
            if (!set_case(b, i, only))
                continue;
            WEFT_TRY(prepare(b, r));
            WEFT_TRY(take(b, r, 1, &once, &busy));
            WEFT_TRY(take(b, r, 1 + (int64_t)(CALLS_TAKE / once), &once, &busy));
            us[i][round < 0 ? 0 : round] = 1e6 * once;
            cpu[i][round < 0 ? 0 : round] = 1e6 * busy;
        }
    for (int i = 0; i < CASES; i++)
        if (set_case(b, i, only))
            show(b, &table[i % KERNELS], us[i], cpu[i], rounds, threads);
    return WEFT_OK;
}

static weft_status begin(bench *b)
{
    const weft_device_ops *ops = b->device->ops;
    int64_t n = 3 * b->batch * b->length * HEADS * HEAD, rows = 1 << 13;
    for (int i = 0; i < SHAPES; i++) {
        n = shapes[i][0] * shapes[i][1] > n ? shapes[i][0] * shapes[i][1] : n;
        rows = shapes[i][0] > rows ? shapes[i][0] : rows;
    }
    const size_t bytes = (size_t)n * 4, line = (size_t)rows * 8;
    WEFT_TRY(ops->stream_new(b->device, &b->stream));
    for (int i = 0; i < PLANES; i++)
        WEFT_TRY(ops->alloc(b->device, bytes, &b->at[i]));
    WEFT_TRY(ops->alloc(b->device, line, &b->labels));
    WEFT_TRY(ops->alloc(b->device, bytes, &b->stats));
    WEFT_TRY(ops->alloc(b->device, bytes, &b->spare));
    WEFT_TRY(ops->alloc(b->device, bytes, &b->moments));
    WEFT_TRY(ops->kernels->uniform(b->stream, b->spare, 1, 0, 0, 0, (int64_t)bytes / 4, -1, 1,
                                   WEFT_F32));
    WEFT_TRY(ops->kernels->uniform(b->stream, b->moments, 1, 1, 0, 0, (int64_t)bytes / 4, 0, 1,
                                   WEFT_F32));
    WEFT_TRY(ops->alloc(b->device, line, &b->out));
    return ops->zero(b->stream, b->out, line);
}

int main(int argc, char **argv)
{
    static const struct option known[] = {{"threads", 1, NULL, 't'}, {"rounds", 1, NULL, 'r'},
                                          {"only", 1, NULL, 'o'},    {"dtype", 1, NULL, 'd'},
                                          {"batch", 1, NULL, 'b'},   {"length", 1, NULL, 'l'},
                                          {"rows", 1, NULL, 'm'},    {"accelerator", 1, NULL, 'a'},
                                          {"columns", 1, NULL, 'n'}, {NULL, 0, NULL, 0}};
    bench b = {.batch = 8, .length = 256};
    choice only = {0};
    const char *accelerator = "cpu";
    int64_t shape[2] = {0};
    long threads = 1, rounds = 7;
    bool good = true;
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;)
        if (c == 'o')
            only.only = optarg;
        else if (c == 'd')
            only.dtype = optarg;
        else if (c == 'a')
            accelerator = optarg;
        else if (c == 't')
            threads = strtol(optarg, NULL, 10);
        else if (c == 'r')
            rounds = strtol(optarg, NULL, 10);
        else if (c == 'b')
            b.batch = strtol(optarg, NULL, 10);
        else if (c == 'l')
            b.length = strtol(optarg, NULL, 10);
        else if (c == 'm' || c == 'n')
            shape[c == 'n'] = strtol(optarg, NULL, 10);
        else
            good = false;
    if (shape[0] > 0) {
        memset(shapes, 0, sizeof shapes);
        memcpy(shapes[0], shape, sizeof shape);
    }
    if (!good || optind != argc || threads < 1 || rounds < 1 || rounds > ROUNDS_MOST ||
        b.batch < 1 || b.length < 1 || shape[0] < 0 || (shape[0] > 0) != (shape[1] > 0)) {
        fputs("usage: kernels [--accelerator cpu|cuda] [--threads N] [--rounds N] [--only PART] "
              "[--dtype f32|bf16] "
              "[--batch N] [--length N] [--rows N --columns N]\n",
              stderr);
        return 2;
    }
    weft_status s = weft__device_open(&b.device, accelerator, 0, (int)threads);
    if (!s && b.device->ops->immediate)
        bench_print(json_pack("{s:s, s:s, s:o, s:o}", "bench", "kernels", "kernels",
                              b.device->ops->kernel_set(b.device), "bounds",
                              bench_bounds((int)threads), "machine", bench_machine()));
    if (s || begin(&b) || run(&b, &only, rounds, (int)threads)) {
        fprintf(stderr, "kernels: %s\n", weft__why());
        return 1;
    }
    return 0;
}
