/* Sums over the ranks of one node, one line of JSON for each size: Weft's in shared memory, where it
 * lies in the window and where it must be copied, beside MPI_Allreduce, with Open MPI's own choice of
 * algorithm and with each of its algorithms.
 *
 *   mpirun -n 2 sums [--sizes 1K,64K,1M] [--rounds 21] [--no-pin] [--table FILE]
 *
 * In a round all take turns. Before each call every rank writes its numbers anew, as a backward pass
 * does, and all meet; without that, lines that nobody wrote need not move. After it, untimed, every sum
 * is looked at. A round's time is the slowest rank's mean over its calls. The bound is the time of the
 * same loads, additions and stores on memory of the rank's own, all ranks at once. */
#include "report.h"

#include "comm/comm.h"
#include "comm/mpi.h"
#include "comm/shm_self.h"
#include "comm/shm.h"
#include "core/alloc.h"
#include "core/context.h"
#include "core/error.h"
#include "device/device.h"

#include <getopt.h>
#include <malloc.h>
#include <mpi.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define MOST 101 /* rounds */
#define SIZES 32
#define SLICE 1e-3 /* seconds of calls a round, at least, */
#define CALLS 200  /* but no more of them */
#define PINGS 1000

enum { MPI_METHODS = 6, FOREIGN = MPI_METHODS, WINDOW, SCATTER, BY_MPI, BOUND, METHODS };
static const char *const method_name[METHODS] = {"mpi",
                                                 "mpi nonoverlapping",
                                                 "mpi recursive doubling",
                                                 "mpi ring",
                                                 "mpi segmented ring",
                                                 "mpi rabenseifner",
                                                 "foreign",
                                                 "window",
                                                 "reduce_scatter",
                                                 "process_group_backend=mpi",
                                                 "bound"};

typedef struct bench {
    weft_comm *shm, *mpi;
    weft_device *cpu;
    MPI_Comm tuned[MPI_METHODS];
    int rank, world;
    float *own, *window, *private; /* private: world arrays of a share each, and more */
    int64_t *counts;
    int64_t wrong, preempted, calls; /* calls: also what tells one call's numbers from the next's */
    double us[METHODS][MOST], ping[MOST];
} bench;

typedef struct arguments {
    const char *sizes, *table;
    long rounds;
    bool pin;
} arguments;

/* ---- numbers ---- */

/* Small whole numbers, whose sums are exact in any order. */
static void write_numbers(const bench *b, float *x, int64_t n)
{
    const int k = (int)(b->calls % 5) + b->rank;
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)((int)(i & 7) + k);
}

static int64_t count_wrong(const bench *b, const float *x, int64_t first, int64_t n)
{
    const int p = b->world, k = p * (int)(b->calls % 5) + p * (p - 1) / 2;
    int64_t wrong = 0;
    for (int64_t i = 0; i < n; i++)
        wrong += x[i] != (float)(p * (int)((first + i) & 7) + k);
    return wrong;
}

/* ---- one call ---- */

static int64_t share_of(const bench *b, int64_t n, int rank)
{
    return n * (rank + 1) / b->world - n * rank / b->world;
}

static void sum_own_memory(const bench *b, int64_t n)
{
    const void *in[64];
    void *out[64];
    int64_t share = n / b->world;
    for (int q = 0; q < b->world; q++)
        in[q] = out[q] = b->private + q * share;
    weft__shm_reduce(out, b->world, in, b->world, share, WEFT_F32, WEFT_REDUCE_SUM);
}

static weft_status call(bench *b, int m, int64_t n)
{
    float *x = b->window;
    switch (m) {
    case FOREIGN:
        return weft__all_reduce(b->shm, "foreign", b->own, n, WEFT_F32, WEFT_REDUCE_SUM);
    case WINDOW:
        return weft__all_reduce(b->shm, "window", x, n, WEFT_F32, WEFT_REDUCE_SUM);
    case SCATTER:
        return weft__reduce_scatter(b->shm, "scatter", x + n * b->rank / b->world, x, b->counts,
                                    WEFT_F32);
    case BY_MPI:
        return weft__all_reduce(b->mpi, "mpi", b->own, n, WEFT_F32, WEFT_REDUCE_SUM);
    case BOUND:
        sum_own_memory(b, n);
        return WEFT_OK;
    default:
        return MPI_Allreduce(MPI_IN_PLACE, b->own, (int)n, MPI_FLOAT, MPI_SUM, b->tuned[m])
                   ? WEFT_EMPI
                   : WEFT_OK;
    }
}

static float *buffer_of(const bench *b, int m)
{
    return m == BOUND ? b->private : m == WINDOW || m == SCATTER ? b->window : b->own;
}

static long preemptions(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_nivcsw;
}

static weft_status timed(bench *b, int m, int64_t n, double *seconds)
{
    float *x = buffer_of(b, m);
    int64_t first = m == SCATTER ? n * b->rank / b->world : 0;
    b->calls++;
    write_numbers(b, x, n);
    WEFT_TRY(weft__barrier(b->shm, "ready"));
    long before = preemptions();
    double start = weft__now();
    WEFT_TRY(call(b, m, n));
    *seconds += weft__now() - start;
    b->preempted += preemptions() - before;
    if (m != BOUND)
        b->wrong += count_wrong(b, x + first, first, m == SCATTER ? b->counts[b->rank] : n);
    return WEFT_OK;
}

/* ---- rounds ---- */

/* One way for a flag from core to core, in nanoseconds: two cores of one cache, of two, or one. */
static weft_status ping(bench *b, double *ns)
{
    double start = weft__now();
    for (int i = 0; i < PINGS; i++)
        WEFT_TRY(weft__barrier(b->shm, "ping"));
    *ns = 1e9 * (weft__now() - start) / PINGS;
    return WEFT_OK;
}

static weft_status measure(bench *b, int m, int64_t n, int64_t calls, double *us)
{
    double mine = 0, slowest = 0;
    for (int64_t i = 0; i < calls; i++)
        WEFT_TRY(timed(b, m, n, &mine));
    MPI_Allreduce(&mine, &slowest, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    *us = 1e6 * slowest / (double)calls;
    return WEFT_OK;
}

/* So many that a round has SLICE of the quickest; alike on all ranks. */
static weft_status calls_of(bench *b, int64_t n, int64_t *calls)
{
    double us = 0;
    WEFT_TRY(measure(b, WINDOW, n, 3, &us));
    *calls = (int64_t)(SLICE * 1e6 / us);
    *calls = *calls < 1 ? 1 : *calls > CALLS ? CALLS : *calls;
    return WEFT_OK;
}

static weft_status rounds(bench *b, int64_t n, long count)
{
    int64_t calls = 1;
    double unused;
    for (int q = 0; q < b->world; q++)
        b->counts[q] = share_of(b, n, q);
    WEFT_TRY(calls_of(b, n, &calls));
    b->wrong = b->preempted = 0;
    for (int m = 0; m < METHODS; m++)
        WEFT_TRY(measure(b, m, n, 1, &unused));
    for (long r = 0; r < count; r++) {
        WEFT_TRY(ping(b, &b->ping[r]));
        for (int m = 0; m < METHODS; m++)
            WEFT_TRY(measure(b, m, n, calls, &b->us[m][r]));
    }
    int64_t mine[2] = {b->wrong, b->preempted}, all[2];
    MPI_Allreduce(mine, all, 2, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
    b->wrong = all[0];
    b->preempted = all[1];
    return WEFT_OK;
}

/* ---- reports ---- */

/* The algorithm with the lowest median. */
static int best_of_mpi(const bench *b, long count)
{
    double best = 0, copy[MOST];
    int which = 0;
    for (int m = 0; m < MPI_METHODS; m++) {
        memcpy(copy, b->us[m], sizeof copy);
        double median = bench_median(copy, count);
        if (m == 0 || median < best) {
            best = median;
            which = m;
        }
    }
    return which;
}

/* Quartiles over rounds of a's time over b's in the same round. */
static json_t *ratios(const bench *b, int over, int under, long count)
{
    double ratio[MOST];
    for (long r = 0; r < count; r++)
        ratio[r] = b->us[over][r] / b->us[under][r];
    return bench_quartiles(ratio, count);
}

static double middle(json_t *quartiles)
{
    return json_real_value(json_object_get(quartiles, "median"));
}

static void add_row(FILE *table, int64_t bytes, json_t *us, const char *best, json_t *line)
{
    json_t *window = json_object_get(line, "best_mpi_over_window");
    json_t *foreign = json_object_get(line, "best_mpi_over_foreign");
    fprintf(table, "| %lld | %.2f | %.2f (%s) | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f |\n",
            (long long)bytes, middle(json_object_get(us, "mpi")), middle(json_object_get(us, best)),
            best, middle(json_object_get(us, "foreign")), middle(json_object_get(us, "window")),
            middle(json_object_get(us, "reduce_scatter")), middle(foreign), middle(window),
            middle(json_object_get(line, "share_of_bound")));
}

static void report(bench *b, int64_t bytes, long count, FILE *table)
{
    json_t *us = json_object();
    const int best = best_of_mpi(b, count);
    double load = 0;
    json_t *line =
        json_pack("{s:s, s:i, s:I, s:s, s:o, s:o, s:o, s:o}", "bench", "allreduce", "ranks",
                  b->world, "bytes", (json_int_t)bytes, "best_mpi", method_name[best],
                  "best_mpi_over_window", ratios(b, best, WINDOW, count), "best_mpi_over_foreign",
                  ratios(b, best, FOREIGN, count), "mpi_over_window", ratios(b, 0, WINDOW, count),
                  "share_of_bound", ratios(b, BOUND, WINDOW, count));
    for (int m = 0; m < METHODS; m++) /* sorts, so it comes last */
        json_object_set_new(us, method_name[m], bench_quartiles(b->us[m], count));
    /* every rank reads all ranks' part of its share, and writes it to all */
    double gb_s = 2e-3 * (double)bytes * b->world / middle(json_object_get(us, "window"));
    getloadavg(&load, 1);
    json_object_set(line, "us", us);
    json_object_set_new(line, "window_gb_s", json_real(gb_s));
    json_object_set_new(line, "barrier_ns", bench_quartiles(b->ping, count));
    json_object_set_new(line, "wrong", json_integer(b->wrong));
    json_object_set_new(line, "preempted", json_integer(b->preempted));
    json_object_set_new(line, "load", json_real(load));
    if (table)
        add_row(table, bytes, us, method_name[best], line);
    bench_print(line);
    json_decref(us);
}

static FILE *open_table(const bench *b, const arguments *a)
{
    FILE *table = a->table && b->rank == 0 ? fopen(a->table, "w") : NULL;
    if (table)
        fprintf(
            table,
            "Sums of f32 over %d ranks of one node, medians of %ld rounds in us; the best is the "
            "quickest of Open MPI's algorithms.\n\n"
            "| bytes | MPI_Allreduce | best | foreign | window | reduce_scatter | best / "
            "foreign | best / window | bound / window |\n"
            "|---|---|---|---|---|---|---|---|---|\n",
            b->world, a->rounds);
    return table;
}

/* ---- beginning ---- */

/* A communicator on which Open MPI takes its algorithm a, or makes its own choice (0). */
static MPI_Comm communicator(int a)
{
    int index, count, provided;
    MPI_T_cvar_handle h;
    MPI_Comm c;
    MPI_T_init_thread(MPI_THREAD_SINGLE, &provided);
    if (MPI_T_cvar_get_index("coll_tuned_allreduce_algorithm", &index) == MPI_SUCCESS &&
        MPI_T_cvar_handle_alloc(index, NULL, &h, &count) == MPI_SUCCESS) {
        if (MPI_T_cvar_write(h, &a))
            fputs("sums: Open MPI refuses to be told an algorithm\n", stderr);
        MPI_T_cvar_handle_free(&h);
    }
    MPI_Comm_dup(MPI_COMM_WORLD, &c);
    MPI_T_finalize();
    return c;
}

/* A core for each rank, of those that all may use, where there are as many. */
static void pin(int rank, int world)
{
    cpu_set_t all, one;
    sched_getaffinity(0, sizeof all, &all);
    for (int i = 0, k = 0; i < CPU_SETSIZE && CPU_COUNT(&all) >= world; i++)
        if (CPU_ISSET(i, &all) && k++ == rank) {
            CPU_ZERO(&one);
            CPU_SET(i, &one);
            sched_setaffinity(0, sizeof one, &one);
        }
}

static weft_status begin(bench *b, int world_handle, int64_t largest)
{
    bool is_world;
    weft_dev p;
    size_t bytes = (size_t)largest + 64;
    WEFT_TRY(weft__comm_mpi(&b->mpi, world_handle, 600, &is_world));
    WEFT_TRY(weft__comm_mpi(&b->shm, world_handle, 600, &is_world));
    WEFT_TRY(weft__comm_shm(&b->shm));
    WEFT_TRY(weft__device_open(&b->cpu, "cpu", 0, 1));
    WEFT_TRY(weft__comm_alloc(b->shm, b->cpu, bytes, WEFT_MEMORY_GRADS, &p));
    b->window = weft__comm_reach(b->shm, b->cpu, p);
    b->own = weft__new(bytes, 1);
    b->private = weft__new(bytes, 1);
    b->counts = weft__new((size_t)b->world, sizeof *b->counts);
    for (int a = 0; a < MPI_METHODS; a++)
        b->tuned[a] = communicator(a ? a + 1 : 0);
    return b->own && b->private && b->counts ? WEFT_OK : WEFT_ENOMEM;
}

static int64_t bytes_of(const char *text, char **end)
{
    int64_t n = strtoll(text, end, 10);
    int shift = **end == 'K' ? 10 : **end == 'M' ? 20 : **end == 'G' ? 30 : 0;
    *end += shift != 0;
    return n << shift;
}

static int run(bench *b, const arguments *a, int world_handle)
{
    int64_t size[SIZES], largest = 0;
    int n = 0;
    char *end;
    for (const char *t = a->sizes; *t && n < SIZES; t = *end ? end + 1 : end) {
        size[n] = bytes_of(t, &end) / 4 * 4;
        if (size[n] <= 0)
            return 1;
        largest = size[n] > largest ? size[n] : largest;
        n++;
    }
    weft_status s = begin(b, world_handle, largest);
    json_t *machine = bench_machine();
    if (!s && b->rank == 0)
        bench_print(json_pack("{s:s, s:i, s:I, s:b, s:O}", "bench", "allreduce", "ranks", b->world,
                              "rounds", (json_int_t)a->rounds, "pinned", a->pin, "machine",
                              machine));
    FILE *table = open_table(b, a);
    int64_t wrong = 0;
    for (int i = 0; i < n && !s; i++) {
        s = rounds(b, size[i] / 4, a->rounds);
        wrong += b->wrong;
        if (!s && b->rank == 0)
            report(b, size[i], a->rounds, table);
    }
    json_decref(machine);
    if (s)
        fprintf(stderr, "sums: %s\n", weft__why());
    if (wrong && b->rank == 0)
        fprintf(stderr, "sums: %lld sums were wrong\n", (long long)wrong);
    return (table ? fclose(table) != 0 : a->table && b->rank == 0) || s || wrong;
}

static bool parse(int argc, char **argv, arguments *a)
{
    static const struct option known[] = {{"sizes", required_argument, NULL, 's'},
                                          {"rounds", required_argument, NULL, 'r'},
                                          {"no-pin", no_argument, NULL, 'n'},
                                          {"table", required_argument, NULL, 'o'},
                                          {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;)
        switch (c) {
        case 's':
            a->sizes = optarg;
            break;
        case 'r':
            a->rounds = strtol(optarg, NULL, 10);
            break;
        case 'n':
            a->pin = false;
            break;
        case 'o':
            a->table = optarg;
            break;
        default:
            return false;
        }
    return optind == argc && a->rounds >= 1 && a->rounds <= MOST;
}

int main(int argc, char **argv)
{
    arguments a = {
        .sizes = "1K,2K,4K,8K,16K,64K,256K,1M,4M,16M,25M,64M", .rounds = 21, .pin = true};
    static bench b;
    int world_handle, failed = 1, usage = !parse(argc, argv, &a);
    /* Favours MPI: else it asks for its temporary buffer anew in each call, page by page. */
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    setenv("OMPI_MCA_coll_tuned_use_dynamic_rules", "1", 0);
    if (usage)
        fputs("usage: mpirun -n 2 sums [--sizes 1K,64K,1M] [--rounds 21] [--no-pin] "
              "[--table FILE]\n",
              stderr);
    if (usage || weft__mpi_enter(&world_handle))
        return 1;
    MPI_Comm_rank(MPI_COMM_WORLD, &b.rank);
    MPI_Comm_size(MPI_COMM_WORLD, &b.world);
    if (a.pin)
        pin(b.rank, b.world);
    if (b.world > 64)
        fputs("sums: at most 64 ranks\n", stderr);
    else
        failed = run(&b, &a, world_handle);
    weft__mpi_leave(failed != 0);
    return failed;
}
