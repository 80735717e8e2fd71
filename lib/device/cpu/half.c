/* Casts between f32 and the 16-bit formats, in the widths of vectors that processors have. bf16 is
 * integer arithmetic throughout: the instructions made for it take subnormal numbers for zeros. */
#include "device/cpu/half.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define X86
#include <immintrin.h>
#endif

/* The four of a set, with what is done to whole vectors of f16 before the rest. */
#define SET(name, target, wide_vectors, low_vectors)                                               \
    target static void wide_bf16_##name(float *y, const uint16_t *x, int64_t n)                    \
    {                                                                                              \
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = half_wide_bf16(x[i]);           \
    }                                                                                              \
    target static void low_bf16_##name(uint16_t *y, const float *x, int64_t n)                     \
    {                                                                                              \
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = half_low_bf16(x[i]);            \
    }                                                                                              \
    target static void wide_f16_##name(float *y, const uint16_t *x, int64_t n)                     \
    {                                                                                              \
        int64_t done = 0;                                                                          \
        wide_vectors;                                                                              \
        _Pragma("omp simd") for (int64_t i = done; i < n; i++) y[i] = half_wide_f16(x[i]);         \
    }                                                                                              \
    target static void low_f16_##name(uint16_t *y, const float *x, int64_t n)                      \
    {                                                                                              \
        int64_t done = 0;                                                                          \
        low_vectors;                                                                               \
        _Pragma("omp simd") for (int64_t i = done; i < n; i++) y[i] = half_low_f16(x[i]);          \
    }

SET(plain, , , )

#ifdef X86
SET(avx2, __attribute__((target("avx2,f16c"))),
    for (; done + 8 <= n; done += 8)
        _mm256_storeu_ps(y + done, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(x + done)))),
    for (; done + 8 <= n; done += 8)
        _mm_storeu_si128((__m128i *)(y + done),
                         _mm256_cvtps_ph(_mm256_loadu_ps(x + done), _MM_FROUND_TO_NEAREST_INT)))
SET(avx512, __attribute__((target("avx512f,avx512bw,avx512vl"))),
    for (; done + 16 <= n; done += 16)
        _mm512_storeu_ps(y + done,
                         _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(x + done)))),
    for (; done + 16 <= n; done += 16)
        _mm256_storeu_si256((__m256i *)(y + done),
                            _mm512_cvtps_ph(_mm512_loadu_ps(x + done), _MM_FROUND_TO_NEAREST_INT)))

/* F16C is older, and there on all of them; clang 14 cannot ask for it. */
static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2");
}

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl");
}
#else
#define has_avx2 never
#define has_avx512 never
static bool never(void)
{
    return false;
}
SET(avx2, , , )
SET(avx512, , , )
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
const weft__half_set weft__half_sets[HALF_SETS] = {ROW(avx512, has_avx512), ROW(avx2, has_avx2),
                                                   ROW(plain, always)};

const weft__half_set *weft__half_best(void)
{
    const weft__half_set *set = weft__half_sets;
    while (!set->usable())
        set++;
    return set;
}
