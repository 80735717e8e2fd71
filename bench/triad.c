/* STREAM's triad at any working set: in the caches it is their bandwidth, beyond them the memory's. */
#include "triad.h"

#include "peak.h"

#include "core/alloc.h"

#include <string.h>

#define ROUND 1e-3 /* seconds, at least */
#define LANES 16

typedef float vector __attribute__((vector_size(4 * LANES), aligned(4 * LANES)));

#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__)
__attribute__((target_clones("avx512f", "avx2", "default"), noinline))
#else
__attribute__((noinline))
#endif
static void
sweep(vector *a, const vector *b, const vector *c, int64_t n, int64_t times)
{
    for (; times > 0; times--) {
        for (int64_t i = 0; i < n; i++)
            a[i] = b[i] + 3.0f * c[i];
        __asm__ volatile("" : : "r"(a) : "memory");
    }
}

/* Seconds of `times` sweeps, each thread over n vectors of its own: processor time of the slowest, so
 * that another process which takes a core makes no bandwidth small. */
static double run(float *all, int64_t n, int threads, int64_t times)
{
    double spent = 0;
#pragma omp parallel for num_threads(threads) schedule(static, 1) reduction(max : spent)
    for (int t = 0; t < threads; t++) {
        vector *mine = (vector *)all + 3 * n * t;
        spent = bench_own_time();
        sweep(mine, mine + n, mine + 2 * n, n, times);
        spent = bench_own_time() - spent;
    }
    return spent;
}

/* The best of several: a machine that does other things too stretches some. */
static double best_of(int tries, float *all, int64_t n, int threads, int64_t times)
{
    double best = run(all, n, threads, times);
    while (--tries > 0) {
        double spent = run(all, n, threads, times);
        best = spent < best ? spent : best;
    }
    return best;
}

double bench_triad(int64_t bytes, int threads, int rounds)
{
    int64_t n = bytes / (int64_t)sizeof(vector) / 3 / threads, times = 1;
    n = n ? n : 1;
    float *all = weft__new((size_t)(3 * n * threads), sizeof(vector));
    if (!all)
        return 0;
    run(all, n, threads, times); /* the first touches it */
    while (run(all, n, threads, times) < ROUND)
        times *= 2;
    double spent = best_of(rounds, all, n, threads, times);
    weft__free(all);
    return 3.0 * (double)n * sizeof(vector) * threads * (double)times / spent;
}
