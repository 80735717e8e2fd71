/* Twelve independent chains of fused multiply-adds: enough to fill two units of a latency of up to
 * six cycles, and few enough to stay in sixteen registers. Of bf16 pairs of products, or, where
 * there are tiles, four tiles of sums: what two of the eight tiles are multiplied into. */
#include "peak.h"

#include "core/context.h"

#include <time.h>

#define ROUNDS 9
#define LENGTH 2000000 /* multiply-adds of each chain a round: a few milliseconds */
#define BRIEF 5        /* rounds of a tenth of that */
#define CHAINS 12
#define LONG 4000.0 /* flops of a turn, above which turns are fewer */
#define TILES 4
#define TILE_FLOPS (2 * 16 * 16 * 32) /* of one product of tiles */

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

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

#define PAIRS(x, y, a) _mm512_dpbf16_ps(a, (__m512bh)(x), (__m512bh)(y))
CHAIN(wide_bf16, "avx512f,avx512bf16", __m512, _mm512_set1_ps, PAIRS)

/* A process asks Linux once for the state of the tiles: ARCH_REQ_XCOMP_PERM, of component 18. */
static bool tiles(void)
{
    unsigned eax, ebx, ecx, edx = 0;
#ifdef SYS_arch_prctl
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && edx >> 22 & 1)
        return syscall(SYS_arch_prctl, 0x1023, 18) == 0;
#endif
    return false;
}

__attribute__((target("amx-tile,amx-bf16"), noinline)) static void tile_bf16(int64_t n)
{
    static const struct {
        uint8_t palette, start, zero[14];
        uint16_t bytes[16]; /* of a row of each tile, */
        uint8_t rows[16];
    } shape = {.palette = 1, .bytes = {64, 64, 64, 64, 64, 64}, .rows = {16, 16, 16, 16, 16, 16}};
    _tile_loadconfig(&shape);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    while (n-- > 0) {
        _tile_dpbf16ps(0, 4, 5);
        _tile_dpbf16ps(1, 4, 5);
        _tile_dpbf16ps(2, 4, 5);
        _tile_dpbf16ps(3, 4, 5);
    }
    _tile_release();
}

typedef void chain(int64_t n);

/* A chain, the flops of one turn of it, and its instructions. */
typedef struct way {
    chain *run;
    double flops;
    const char *isa;
} way;

static way by_f32(weft_dtype t)
{
    const double lanes = t == WEFT_F64 ? 8 : 16;
    if (__builtin_cpu_supports("avx512f"))
        return (way){t == WEFT_F64 ? wide_f64 : wide_f32, CHAINS * 2 * lanes, "avx512f"};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return (way){t == WEFT_F64 ? half_f64 : half_f32, CHAINS * lanes, "avx2+fma"};
    return (way){NULL, 0, "none"};
}

/* Those made for bf16. */
static way by_bf16(void)
{
    if (tiles())
        return (way){tile_bf16, TILES * TILE_FLOPS, "amx_bf16"};
    if (__builtin_cpu_supports("avx512bf16"))
        return (way){wide_bf16, CHAINS * 2 * 32, "avx512_bf16"};
    return (way){NULL, 0, "none"};
}

/* In brief it is held against what was measured just now, and counts processor time: another process
 * that takes a core would make it small, and what is held against it look good. */
static double rate(const way *w, int threads, bool brief)
{
    double best = 0, (*const seconds)(void) = brief ? bench_own_time : weft__now;
    const int rounds = brief ? BRIEF : ROUNDS;
    const double turns = brief ? LENGTH / 10 : LENGTH;
    const int64_t length = (int64_t)(turns * (w->flops > LONG ? LONG / w->flops : 1));
    for (int r = 0; w->run && r < rounds; r++) {
        double spent = 0;
#pragma omp parallel num_threads(threads) reduction(max : spent)
        {
            const double start = seconds();
            w->run(length);
            spent = seconds() - start;
        }
        double now = (double)length * w->flops * threads / spent;
        best = now > best ? now : best;
    }
    return best;
}

static double quickest(weft_dtype t, int threads, bool brief, const char **isa)
{
    const way plain = by_f32(t), low = t == WEFT_BF16 ? by_bf16() : (way){NULL, 0, "none"};
    const double p = rate(&plain, threads, brief), l = rate(&low, threads, brief);
    *isa = l > p ? low.isa : plain.isa;
    return l > p ? l : p;
}
#else
static double quickest(weft_dtype t, int threads, bool brief, const char **isa)
{
    (void)t, (void)threads, (void)brief;
    *isa = "none";
    return 0;
}
#endif

double bench_own_time(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double bench_peak(weft_dtype t, int threads, const char **isa)
{
    return quickest(t, threads, false, isa);
}

double bench_peak_now(weft_dtype t, int threads, const char **isa)
{
    return quickest(t, threads, true, isa);
}
