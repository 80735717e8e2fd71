/* Twelve independent chains of fused multiply-adds: enough to fill two units of a latency of up to
 * six cycles, and few enough to stay in sixteen registers. */
#include "peak.h"

#include "core/context.h"

#define ROUNDS 9
#define LENGTH 2000000 /* multiply-adds of each chain a round: a few milliseconds */
#define CHAINS 12

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

/* The values become unknown to the compiler, so that the chains are not one. */
#define HIDE(p, q, r, s) __asm__ volatile("" : "+x"(p), "+x"(q), "+x"(r), "+x"(s))

#define CHAIN(name, isa, V, set, fma)                                                              \
    __attribute__((target(isa), noinline)) static void name(int64_t n)                             \
    {                                                                                              \
        V x = set(1e-9f), y = set(0.5f), a = set(0), b = a, c = a, d = a;                          \
        V e = a, f = a, g = a, h = a, i = a, j = a, k = a, l = a;                                  \
        HIDE(a, b, c, d);                                                                          \
        HIDE(e, f, g, h);                                                                          \
        HIDE(i, j, k, l);                                                                          \
        while (n-- > 0) {                                                                          \
            a = fma(x, y, a), b = fma(x, y, b), c = fma(x, y, c), d = fma(x, y, d);                \
            e = fma(x, y, e), f = fma(x, y, f), g = fma(x, y, g), h = fma(x, y, h);                \
            i = fma(x, y, i), j = fma(x, y, j), k = fma(x, y, k), l = fma(x, y, l);                \
        }                                                                                          \
        HIDE(a, b, c, d);                                                                          \
        HIDE(e, f, g, h);                                                                          \
        HIDE(i, j, k, l);                                                                          \
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
