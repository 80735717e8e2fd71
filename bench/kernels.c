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
#include "rows.h"
#include "triad.h"

#include "core/context.h"
#include "core/error.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <weft.h>

#define CALLS_TAKE 2e-3 /* seconds that a time is taken over, at least */
#define ROUNDS_MOST 101

#define SHAPES 3
static int64_t shapes[SHAPES][2] = {{64, 256}, {2048, 768}, {256, 50304}};
static const weft_dtype types[] = {WEFT_F32, WEFT_BF16};
#define TYPES 2
#define CASES_MOST 1000

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
        const bool moments = r->inputs == MOMENTS;
        const bool wide = moments ? i != 1 : i == 0 && r->inputs == EXACT;
        const weft_dev from = r->inputs == POSITIVE || (moments && i == 3) ? b->moments : b->spare;
        WEFT_TRY(k->copy(b->stream, b->at[i], wide ? WEFT_F32 : b->dt, (int64_t[]){1}, from,
                         WEFT_F32, (int64_t[]){1}, 1, &n));
    }
    return r->before ? r->before(b, k) : WEFT_OK;
}

/* A name of the table is that kernel alone, part of one all that have it. */
static bool named(const row *r, const char *only)
{
    for (int i = 0; i < bench_row_count; i++)
        if (strcmp(bench_rows[i].name, only) == 0)
            return r == &bench_rows[i];
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
    const int shape = i / bench_row_count % SHAPES;
    b->rows = shapes[shape][0];
    b->c = shapes[shape][1];
    b->dt = types[i / bench_row_count / SHAPES];
    return chosen(&bench_rows[i % bench_row_count], shape, b->dt, only);
}

static weft_status run(bench *b, const choice *only, int64_t rounds, int threads)
{
    const int cases = bench_row_count * SHAPES * TYPES;
    static double us[CASES_MOST][ROUNDS_MOST], cpu[CASES_MOST][ROUNDS_MOST];
    for (int64_t round = -1; round < rounds; round++)
        for (int i = 0; i < cases; i++) {
            const row *r = &bench_rows[i % bench_row_count];
            double once, busy;
            if (!set_case(b, i, only))
                continue;
            WEFT_TRY(prepare(b, r));
            WEFT_TRY(take(b, r, 1, &once, &busy));
            WEFT_TRY(take(b, r, 1 + (int64_t)(CALLS_TAKE / once), &once, &busy));
            us[i][round < 0 ? 0 : round] = 1e6 * once;
            cpu[i][round < 0 ? 0 : round] = 1e6 * busy;
        }
    for (int i = 0; i < cases; i++)
        if (set_case(b, i, only))
            show(b, &bench_rows[i % bench_row_count], us[i], cpu[i], rounds, threads);
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
    WEFT_TRY(ops->alloc(b->device, (size_t)n * 8, &b->labels));
    WEFT_TRY(ops->alloc(b->device, (size_t)n * 8, &b->index));
    WEFT_TRY(ops->zero(b->stream, b->labels, (size_t)n * 8));
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
