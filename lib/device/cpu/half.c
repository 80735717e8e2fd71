/* Casts between f32 and the 16-bit formats, in the widths of vectors that processors have. */
#include "device/cpu/half.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define X86
#include "device/cpu/half_512.h"
#endif

/* The four of a set, with what is done to whole vectors before the rest. */
#define LOOP(name, target, Y, X, one, vectors)                                                     \
    target static void name(Y *y, const X *x, int64_t n)                                           \
    {                                                                                              \
        int64_t done = 0;                                                                          \
        vectors;                                                                                   \
        _Pragma("omp simd") for (int64_t i = done; i < n; i++) y[i] = one(x[i]);                   \
    }
#define SET(name, target, wide_bf, low_bf, wide_f, low_f)                                          \
    LOOP(wide_bf16_##name, target, float, uint16_t, half_wide_bf16, wide_bf)                       \
    LOOP(low_bf16_##name, target, uint16_t, float, half_low_bf16, low_bf)                          \
    LOOP(wide_f16_##name, target, float, uint16_t, half_wide_f16, wide_f)                          \
    LOOP(low_f16_##name, target, uint16_t, float, half_low_f16, low_f)
/* Callers go by pieces of so many numbers at most, and work on each for a while: the next one's 32 are asked for. */
#define PIECE 1024
#define READS(x) __builtin_prefetch((x) + PIECE)
#define WRITES(y) __builtin_prefetch((y) + PIECE, 1)
#define EACH(step, ...)                                                                            \
    for (; done + (step) <= n; done += (step)) {                                                   \
        __VA_ARGS__                                                                                \
    }

SET(plain, , , , , )

#ifdef X86
SET(avx2, __attribute__((target("avx2,f16c"))), , ,
    EACH(8, _mm256_storeu_ps(y + done,
                             _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(x + done))));),
    EACH(8, _mm_storeu_si128((__m128i *)(y + done), _mm256_cvtps_ph(_mm256_loadu_ps(x + done),
                                                                    _MM_FROUND_TO_NEAREST_INT));))

#define WIDE_BF16 EACH(32, READS(x + done); wide_32(y + done, x + done);)
#define LOW_BF16 EACH(32, WRITES(y + done); low_32(y + done, x + done);)
#define WIDE_F16                                                                                   \
    EACH(16, _mm512_storeu_ps(y + done,                                                            \
                              _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(x + done))));)
#define LOW_F16                                                                                    \
    EACH(16,                                                                                       \
         _mm256_storeu_si256((__m256i *)(y + done), _mm512_cvtps_ph(_mm512_loadu_ps(x + done),     \
                                                                    _MM_FROUND_TO_NEAREST_INT));)
SET(avx512, __attribute__((target(AVX512))), WIDE_BF16, LOW_BF16, WIDE_F16, LOW_F16)

SET(brain, __attribute__((target(BRAIN))), WIDE_BF16,
    EACH(64, WRITES(y + done); WRITES(y + done + 32); low_64(y + done, x + done);) LOW_BF16,
    WIDE_F16, LOW_F16)

/* F16C is older, and there on all of them; clang 14 cannot ask for it. */
static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2");
}

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

static bool has_brain(void)
{
    return has_avx512() && __builtin_cpu_supports("avx512bf16");
}
#else
#define has_avx2 never
#define has_avx512 never
#define has_brain never
static bool never(void)
{
    return false;
}
SET(avx2, , , , , )
SET(avx512, , , , , )
SET(brain, , , , , )
#endif

static bool always(void)
{
    return true;
}

#define ROW(label, has)                                                                            \
    {                                                                                              \
        .name = #label, .usable = has, .wide_bf16 = wide_bf16_##label,                             \
        .wide_f16 = wide_f16_##label, .low_bf16 = low_bf16_##label, .low_f16 = low_f16_##label     \
    }
const weft__half_set weft__half_sets[HALF_SETS] = {ROW(brain, has_brain), ROW(avx512, has_avx512),
                                                   ROW(avx2, has_avx2), ROW(plain, always)};

const weft__half_set *weft__half_best(void)
{
    const weft__half_set *set = weft__half_sets;
    while (!set->usable())
        set++;
    return set;
}
