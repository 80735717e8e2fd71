/* What a rank holds while it trains, beside the formula and beside what the system says: one line of
 * JSON, of the rank that holds most.
 *
 *   memory [--width N] [--layers N] [--steps N] [options of weft_open]
 *   mpirun -n 4 memory --strategy zero2 --precision bf16-mixed
 *
 * The network is so many square layers with Adam. The formula, in bytes a parameter on P ranks, is
 *   ddp    4 (parameters) + 4 (gradients) + 8 (moments)
 *   zero1  4 + 4 + 8/P
 *   zero2  4 + 4/P + 8/P, and two buckets that are being summed
 * and 2 more in a mixed precision: the copy in 16 bits. The system's figure is the resident memory's
 * peak (VmHWM) less what was resident when weft_open returned; it takes process_group_backend=mpi, as
 * in shared memory a rank's pages are its peers', too. */
#include "report.h"

#include "comm/comm.h"
#include "core/context.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

#define LAYERS 64 /* at most */
#define MIB (1 << 20)

enum { WIDTH, DEEP, STEPS, NUMBERS };

static bool parse(int argc, char **argv, long *number)
{
    static const struct option known[] = {{"width", required_argument, NULL, WIDTH},
                                          {"layers", required_argument, NULL, DEEP},
                                          {"steps", required_argument, NULL, STEPS},
                                          {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (c == '?')
            return false;
        number[c] = strtol(optarg, NULL, 10);
    }
    return optind == argc && number[WIDTH] > 0 && number[DEEP] > 0 && number[DEEP] <= LAYERS &&
           number[STEPS] > 0;
}

/* Bytes that /proc/self/status gives in kB; 0 if it does not. */
static int64_t status_of(const char *name)
{
    char line[256];
    long kb = 0;
    FILE *in = fopen("/proc/self/status", "r");
    while (in && fgets(line, sizeof line, in))
        if (strncmp(line, name, strlen(name)) == 0)
            kb = strtol(line + strlen(name) + 1, NULL, 10);
    if (in)
        fclose(in);
    return (int64_t)kb * 1024;
}

static void train(weft_fabric *f, weft_module *m, weft_optimizer *o, const long *number)
{
    const int64_t shape[] = {2, number[WIDTH]};
    for (long i = 0; i < number[STEPS]; i++) {
        weft_tensor *x = weft_full(f, 0.5, 2, shape, WEFT_DEFAULT);
        weft_batch b = weft_batch_of(f, x, NULL, 2 * weft_global_rank(f), 2 * weft_world_size(f));
        weft_tensor *loss = weft_mean(weft_forward(m, b.x), WEFT_ALL);
        weft_zero_grad(o);
        weft_backward(f, loss);
        weft_step(o);
        if (weft_step_end(f))
            return;
    }
}

/* Bytes a parameter that all ranks hold, and those that they share out; buckets that are whole. */
static void formula(const weft_fabric *f, double *whole, double *cut, int *buckets)
{
    const char *strategy = weft_strategy_name(f);
    const int stage = strcmp(strategy, "zero1") == 0 ? 1 : strcmp(strategy, "zero2") == 0 ? 2 : 0;
    *whole = stage == 0 ? 16 : stage == 1 ? 8 : 4;
    *cut = 16 - *whole;
    *buckets = stage == 2 ? 2 : 0;
    if (strstr(weft_precision_name(f), "mixed"))
        *whole += 2;
}

static void report(weft_fabric *f, weft_module *m, int64_t before)
{
    const weft_memory_report held = weft_memory(f);
    int64_t most[WEFT_MEMORY_KINDS + 2], model = 0;
    for (int k = 0; k < WEFT_MEMORY_KINDS; k++)
        most[k] = held.kind[k].peak;
    most[WEFT_MEMORY_KINDS] = held.device.peak;
    most[WEFT_MEMORY_KINDS + 1] = status_of("VmHWM") - before;
    weft__all_reduce(f->comm, "memory", most, WEFT_MEMORY_KINDS + 2, WEFT_I64, WEFT_REDUCE_MAX);
    for (weft_memory_kind k = WEFT_MEMORY_PARAMS; k <= WEFT_MEMORY_COMPUTE; k++)
        model += most[k];
    double whole, cut, n = 0;
    int buckets;
    formula(f, &whole, &cut, &buckets);
    for (int64_t i = 0; i < weft_param_count(m); i++)
        n += (double)weft_numel(weft_param(m, weft_param_name(m, i)));
    const double due = n * (whole + cut / f->world) + buckets * (double)f->bucket_bytes;
    json_t *kinds = json_object();
    for (int k = 0; k < WEFT_MEMORY_KINDS; k++)
        json_object_set_new(kinds, weft_memory_name((weft_memory_kind)k), json_integer(most[k]));
    json_t *out = json_pack(
        "{s:s, s:s, s:s, s:i, s:I, s:I, s:o, s:I, s:I, s:f, s:f, s:I, s:I, s:f, s:o}", "bench",
        "memory", "strategy", weft_strategy_name(f), "precision", weft_precision_name(f), "ranks",
        f->world, "parameters", (json_int_t)n, "bucket_bytes", (json_int_t)f->bucket_bytes,
        "peak_by_kind", kinds, "model_bytes", (json_int_t)model, "formula_bytes", (json_int_t)due,
        "of_formula", (double)model / due, "bytes_a_parameter", (double)model / n, "accounted_peak",
        (json_int_t)most[WEFT_MEMORY_KINDS], "system_peak", (json_int_t)most[WEFT_MEMORY_KINDS + 1],
        "system_of_accounted",
        (double)most[WEFT_MEMORY_KINDS + 1] / (double)most[WEFT_MEMORY_KINDS], "machine",
        bench_machine());
    if (f->rank == 0)
        bench_print(out);
    else
        json_decref(out);
}

int main(int argc, char **argv)
{
    weft_fabric *f;
    long number[NUMBERS] = {1024, 40, 4};
    int opened = weft_open(&f, &argc, &argv,
                           WEFT_OPEN(.process_group_backend = "mpi", .bucket_mb = 9, .threads = 1));
    if (opened)
        return weft_close(&f);
    if (!parse(argc, argv, number)) {
        weft_fail(f, WEFT_EARG, "usage: memory [--width N] [--layers N, at most %d] [--steps N]",
                  LAYERS);
        return weft_close(&f);
    }
    const int64_t before = status_of("VmRSS");
    weft_module *layer[LAYERS];
    for (long i = 0; i < number[DEEP]; i++)
        layer[i] = weft_nn_linear(f, number[WIDTH], number[WIDTH]);
    weft_module *m = weft_nn_sequential_n(f, (size_t)number[DEEP], layer);
    weft_optimizer *adam = weft_adam(m, NULL);
    if (!weft_setup(f, m, adam))
        train(f, m, adam, number);
    if (!weft_error(f))
        report(f, m, before);
    return weft_close(&f);
}
