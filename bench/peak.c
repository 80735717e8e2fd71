/* Twelve independent chains of fused multiply-adds: enough to fill two units of a latency of up to
 * six cycles, and few enough to stay in sixteen registers. */
#include "peak.h"

#include "core/context.h"

#define ROUNDS 9
#define LENGTH 2000000 /* multiply-adds of each chain a round: a few milliseconds */
#define CHAINS 12

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

/* The value becomes unknown to the compiler, so that the chains are not one. */
#define HIDE(i) __asm__ volatile("" : "+x"(c[i]))

#define CHAIN(name, isa, V, set, fma)                                                              \
    __attribute__((target(isa), noinline)) static void name(int64_t n)                             \
    {                                                                                              \
        V c[CHAINS], a = set(1e-9f), b = set(0.5f);                                                \
        for (int i = 0; i < CHAINS; i++)                                                           \
            c[i] = set(0);                                                                         \
        for (int i = 0; i < CHAINS; i++)                                                           \
            HIDE(i);                                                                               \
        for (int64_t i = 0; i < n; i++) {                                                          \
            c[0] = fma(a, b, c[0]), c[1] = fma(a, b, c[1]), c[2] = fma(a, b, c[2]);                \
            c[3] = fma(a, b, c[3]), c[4] = fma(a, b, c[4]), c[5] = fma(a, b, c[5]);                \
            c[6] = fma(a, b, c[6]), c[7] = fma(a, b, c[7]), c[8] = fma(a, b, c[8]);                \
            c[9] = fma(a, b, c[9]), c[10] = fma(a, b, c[10]), c[11] = fma(a, b, c[11]);            \
        }                                                                                          \
        EACH(HIDE);                                                                                \
    }

CHAIN(wide_f32, "avx512f", __m512, _mm512_set1_ps, _mm512_fmadd_ps)
CHAIN(wide_f64, "avx512f", __m512d, _mm512_set1_pd, _mm512_fmadd_pd)
CHAIN(half_f32, "avx2,fma", __m256, _mm256_set1_ps, _mm256_fmadd_ps)
CHAIN(half_f64, "avx2,fma", __m256d, _mm256_set1_pd, _mm256_fmadd_pd)

typedef void chain(int64_t n);

/* The chain of the widest vectors that there are, and their bytes. */
static chain *choose(weft_dtype t, int *bytes, const char **isa)
{
    if (__builtin_cpu_supports("avx512f")) {
        *bytes = 64;
        *isa = "avx512f";
        return t == WEFT_F64 ? wide_f64 : wide_f32;
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        *bytes = 32;
        *isa = "avx2+fma";
        return t == WEFT_F64 ? half_f64 : half_f32;
    }
    return NULL;
}

double bench_peak(weft_dtype t, int threads, const char **isa)
{
    int bytes = 0;
    double best = 0;
    *isa = "none";
    chain *run = choose(t, &bytes, isa);
    for (int r = 0; run && r < ROUNDS; r++) {
        double start = weft__now();
#pragma omp parallel num_threads(threads)
        run(LENGTH);
        double spent = weft__now() - start;
        double done = 2.0 * LENGTH * CHAINS * threads * bytes / (double)weft_dtype_size(t);
        best = done / spent > best ? done / spent : best;
    }
    return best;
}
#else
double bench_peak(weft_dtype t, int threads, const char **isa)
{
    (void)t, (void)threads;
    *isa = "none";
    return 0;
}
#endif
