/* How much of the reduction of gradients hides behind backward: lines of JSON.
 *
 *   passes [--mbit RATE] [--repeats N] [--seconds S] [--ratio R] [--layers N] [--share C]
 *           [options of weft_open]
 *   sh bench/overlap/run.sh --build DIR         on two nodes that this machine stands for, as root
 *
 * Two ranks, each on a core of its own, train --layers (5) layers of 1000 x 1000 in buckets of one layer
 * each; rows are as many as let the backward pass take --ratio (1.3) times as long as the link needs.
 * A repeat times weft_backward four times: by itself, with sums beside it, with sums that it waits
 * for, and by itself again. A repeat counts if both ranks had --share (0.95) of a core or more in the first
 * and the last. All is a maximum over ranks.
 *
 *   bound        what the link needs for all buckets: bytes x 8 / RATE x 1514 / 1448 for TCP's frames
 *   exposed      a pass with sums, less the mean of the two without
 *   unavoidable  what a link without delay would expose: bucket after bucket, none before it is ready
 *   hidden       (bound - exposed) / (bound - unavoidable): 1 is all that can be hidden, 0 nothing
 *
 * Nothing is asserted. */
#include "report.h"

#include "comm/comm.h"
#include "core/context.h"

#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <weft.h>
#include <weft/sys/strategy.h>

#define WIDTH 1000
#define INPUTS 64
#define CLASSES 10
#define BUCKETS 64
#define REPEATS 101
#define FRAME (1514.0 / 1448)

typedef struct arguments {
    double mbit, seconds, ratio, share;
    long repeats, layers;
} arguments;

static bool parse(int argc, char **argv, arguments *a)
{
    static const struct option known[] = {{"mbit", required_argument, NULL, 'm'},
                                          {"seconds", required_argument, NULL, 's'},
                                          {"ratio", required_argument, NULL, 'r'},
                                          {"share", required_argument, NULL, 'c'},
                                          {"repeats", required_argument, NULL, 'n'},
                                          {"layers", required_argument, NULL, 'l'},
                                          {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        double v = optarg ? strtod(optarg, NULL) : 0;
        if (c == 'm')
            a->mbit = v;
        else if (c == 's')
            a->seconds = v;
        else if (c == 'r')
            a->ratio = v;
        else if (c == 'c')
            a->share = v;
        else if (c == 'n')
            a->repeats = (long)v;
        else if (c == 'l')
            a->layers = (long)v;
        else
            return false;
    }
    return optind == argc && a->mbit > 0 && a->seconds > 0 && a->ratio > 0 && a->repeats > 0 &&
           a->repeats <= REPEATS && a->layers > 0 && a->layers < BUCKETS - 2;
}

/* ---- a strategy that notes when buckets are ready, and sums nothing ---- */

typedef struct notes {
    double begun, cpu;     /* of the pass */
    double ready[BUCKETS]; /* seconds after that */
    double bytes[BUCKETS];
    double used; /* of a core, until the last */
    int n;
} notes;

static double cpu_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static weft_status note(weft_strategy *s, void *self, const weft_bucket *b)
{
    notes *n = self;
    double at = weft__now() - n->begun;
    (void)s;
    n->ready[n->n] = at;
    n->bytes[n->n] = (double)b->count * (double)weft_dtype_size(b->dtype);
    n->n += n->n < BUCKETS - 1;
    n->used = (cpu_now() - n->cpu) / at;
    return WEFT_OK;
}

static const weft_strategy_ops noting = {.size = sizeof noting, .name = "noting", .reduce = note};

/* ---- a net on a fabric ---- */

enum { ALONE_FIRST, BESIDE, BLOCKING, ALONE_LAST, MODES };

typedef struct net {
    weft_fabric *f;
    weft_module *model;
    weft_optimizer *sgd;
    notes *notes;
} net;

static void make(net *t, const arguments *a)
{
    weft_fabric *f = t->f;
    t->model = weft_nn_sequential(f, weft_nn_linear_nobias(f, INPUTS, WIDTH), weft_nn_relu(f));
    for (long i = 0; i < a->layers; i++)
        t->model = weft_nn_sequential(f, t->model, weft_nn_linear_nobias(f, WIDTH, WIDTH),
                                      weft_nn_relu(f));
    t->model = weft_nn_sequential(f, t->model, weft_nn_linear(f, WIDTH, CLASSES));
    t->sgd = weft_sgd(t->model, WEFT_SGD(.lr = 0.1));
    weft_setup(f, t->model, t->sgd);
}

static double most(weft_comm *c, double v)
{
    weft__all_reduce(c, "maximum", &v, 1, WEFT_F64, WEFT_REDUCE_MAX);
    return v;
}

/* Seconds of a backward pass over some rows, on the slowest rank. */
static double backward(net *t, int64_t rows)
{
    weft_fabric *f = t->f;
    weft_tensor *x = weft_full(f, 0.01, 2, (const int64_t[]){rows, INPUTS}, WEFT_DEFAULT);
    weft_tensor *z = weft_forward(t->model, x), *loss = weft_mean(weft_mul(z, z), WEFT_ALL);
    weft_zero_grad(t->sgd);
    weft__barrier(f->comm, "begin");
    double begun = weft__now();
    if (t->notes)
        *t->notes = (notes){.begun = begun, .cpu = cpu_now()};
    weft_backward(f, loss);
    double seconds = most(f->comm, weft__now() - begun);
    weft_step_end(f);
    return seconds;
}

/* ---- what there is to hide ---- */

static double on_link(const arguments *a, double bytes)
{
    return bytes * 8 / (a->mbit * 1e6) * FRAME;
}

/* The link takes bucket after bucket, none before it is ready on both ranks. */
static double unavoidable(const arguments *a, weft_comm *c, const notes *n, double pass)
{
    double end = 0;
    for (int i = 0; i < n->n; i++) {
        double ready = most(c, n->ready[i]);
        end = (ready > end ? ready : end) + on_link(a, n->bytes[i]);
    }
    return end > pass ? end - pass : 0;
}

typedef struct results {
    double pass[REPEATS], exposed[2][REPEATS], least[REPEATS], hidden[2][REPEATS], bound;
    int64_t kept, tries, rows;
    int buckets;
} results;

/* Rows with which a pass takes ratio times what the link needs; found in two steps, as short passes tell
 * little of long ones. */
static int64_t calibrate(const arguments *a, net *alone, results *r)
{
    double seconds[5];
    int64_t rows = 256;
    backward(alone, rows);
    for (int i = 0; i < alone->notes->n; i++)
        r->bound += on_link(a, alone->notes->bytes[i]);
    r->buckets = alone->notes->n;
    for (int step = 0; step < 2; step++) {
        for (int i = 0; i < 5; i++)
            seconds[i] = backward(alone, rows);
        double want = a->ratio * r->bound / bench_median(seconds, 5) * (double)rows;
        rows = (int64_t)most(alone->f->comm, want < 1 ? 1 : want);
    }
    return rows;
}

static void repeat(const arguments *a, net *net_of[MODES], results *r)
{
    weft_comm *c = net_of[ALONE_FIRST]->f->comm;
    double seconds[MODES], used = 1, least = 0;
    for (int m = 0; m < MODES; m++) {
        seconds[m] = backward(net_of[m], r->rows);
        const notes *n = net_of[m]->notes;
        used = n && n->used < used ? n->used : used;
        least = m == ALONE_FIRST ? unavoidable(a, c, n, seconds[m]) : least;
    }
    int64_t k = r->kept;
    double pass = (seconds[ALONE_FIRST] + seconds[ALONE_LAST]) / 2;
    r->tries++;
    if (-most(c, -used) < a->share)
        return;
    r->pass[k] = pass * 1e3;
    r->least[k] = least * 1e3;
    for (int m = 0; m < 2; m++) {
        double exposed = seconds[BESIDE + m] - pass;
        r->exposed[m][k] = exposed * 1e3;
        r->hidden[m][k] = (r->bound - exposed) / (r->bound - least);
    }
    r->kept++;
}

static void report(const arguments *a, results *r)
{
    static const char *const mode[] = {"beside", "blocking"};
    if (!r->kept) {
        bench_print(json_pack("{s:s, s:I, s:I, s:s}", "bench", "overlap", "kept", r->kept, "tries",
                              r->tries, "note", "no repeat had the cores to itself"));
        return;
    }
    json_t *pass = bench_quartiles(r->pass, r->kept), *least = bench_quartiles(r->least, r->kept);
    for (int m = 0; m < 2; m++)
        bench_print(json_pack("{s:s, s:s, s:f, s:I, s:i, s:I, s:I, s:f, s:O, s:O, s:o, s:o, s:o}",
                              "bench", "overlap", "mode", mode[m], "link_mbit", a->mbit, "rows",
                              r->rows, "buckets", r->buckets, "kept", r->kept, "tries", r->tries,
                              "bound_ms", r->bound * 1e3, "pass_ms", pass, "unavoidable_ms", least,
                              "exposed_ms", bench_quartiles(r->exposed[m], r->kept), "hidden",
                              bench_quartiles(r->hidden[m], r->kept), "machine", bench_machine()));
    json_decref(pass);
    json_decref(least);
}

/* Each rank on a core: rank r of the launcher's on the r-th. */
static void pin(void)
{
    const char *rank = getenv("OMPI_COMM_WORLD_RANK");
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)((rank ? atol(rank) : 0) % cores), &set);
    sched_setaffinity(0, sizeof set, &set);
}

int main(int argc, char **argv)
{
    arguments a = {
        .mbit = 1000, .seconds = 240, .ratio = 1.3, .share = 0.95, .repeats = 25, .layers = 5};
    static notes n;
    static results r;
    net alone = {.notes = &n}, beside = {0}, blocking = {0};
    net *net_of[MODES] = {&alone, &beside, &blocking, &alone};
    pin();
    weft_open(
        &alone.f, &argc, &argv,
        WEFT_OPEN(.strategy_ops = &noting, .strategy_self = &n, .bucket_mb = 4, .threads = 1));
    weft_open(&beside.f, NULL, NULL,
              WEFT_OPEN(.strategy = "ddp", .overlap_comm = "on", .bucket_mb = 4, .threads = 1));
    weft_open(&blocking.f, NULL, NULL,
              WEFT_OPEN(.strategy = "ddp", .overlap_comm = "off", .bucket_mb = 4, .threads = 1));
    weft_fabric *f = alone.f;
    if (!weft_error(f) && (!parse(argc, argv, &a) || f->world != 2))
        weft_fail(f, WEFT_EARG,
                  "passes: options are in the head of bench/overlap/passes.c; two ranks");
    double until = weft__now() + a.seconds;
    for (int m = 0; m < ALONE_LAST && !weft_error(f); m++)
        make(net_of[m], &a);
    if (!weft_error(f) && !weft_error(beside.f) && !weft_error(blocking.f))
        r.rows = calibrate(&a, &alone, &r);
    for (int64_t i = 0; r.rows && r.kept < a.repeats && i < 8 * a.repeats; i++) {
        repeat(&a, net_of, &r);
        if (most(f->comm, weft__now()) > until || weft_error(f) || weft_error(beside.f) ||
            weft_error(blocking.f))
            break;
    }
    if (f->rank == 0 && r.rows)
        report(&a, &r);
    int status[3] = {weft_close(&blocking.f), weft_close(&beside.f), weft_close(&alone.f)};
    return status[0] ? status[0] : status[1] ? status[1] : status[2];
}
