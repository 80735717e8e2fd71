/* Philox (core/rng.h) for some blocks at a time, one in each lane of a vector; the same words in every set. */
#include "device/cpu/words.h"

#include "device/cpu/unroll.h"

#include <string.h>

/* One block after the other. */
static void blocks_plain(uint32_t *to, const uint32_t key[2], uint64_t step, uint64_t first,
                         int64_t n)
{
    for (int64_t i = 0; i < n; i++, first++, to += 4)
        weft__philox((const uint32_t[]){(uint32_t)first, (uint32_t)(first >> 32), (uint32_t)step,
                                        (uint32_t)(step >> 32)},
                     key, to);
}

static bool always(void)
{
    return true;
}

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

/* A word of as many blocks lies in each lane of 64 bits, of which the upper half is none of it: what multiplies reads the
 * lower halves alone. Two vectors at a time, as each waits for itself. */
#define BLOCKS(name, attributes, V, lanes, multiply, M)                                            \
    typedef uint64_t V __attribute__((vector_size(8 * (lanes))));                                  \
    attributes static void name(uint32_t *to, const uint32_t key[2], uint64_t step,                \
                                uint64_t first, int64_t n)                                         \
    {                                                                                              \
        const V none = {0}, by0 = none + 0xD2511F53u, by2 = none + 0xCD9E8D57u;                    \
        V lane = none;                                                                             \
        for (int i = 0; i < (lanes); i++)                                                          \
            lane[i] = (uint64_t)i;                                                                 \
        for (; n > 0; n -= 2 * (lanes), first += 2 * (lanes)) {                                    \
            V c0[2], c1[2], c2[2], c3[2];                                                          \
            uint32_t k0 = key[0], k1 = key[1];                                                     \
            for (int h = 0; h < 2; h++) {                                                          \
                c0[h] = lane + (first + (uint64_t)(h * (lanes)));                                  \
                c1[h] = c0[h] >> 32;                                                               \
                c2[h] = none + step;                                                               \
                c3[h] = none + (step >> 32);                                                       \
            }                                                                                      \
            CPU_UNROLL(10)                                                                         \
            for (int round = 0; round < 10; round++) {                                             \
                CPU_UNROLL(2)                                                                      \
                for (int h = 0; h < 2; h++) {                                                      \
                    const V a = (V)multiply((M)by0, (M)c0[h]), b = (V)multiply((M)by2, (M)c2[h]);  \
                    c0[h] = b >> 32 ^ c1[h] ^ k0;                                                  \
                    c1[h] = b;                                                                     \
                    c2[h] = a >> 32 ^ c3[h] ^ k1;                                                  \
                    c3[h] = a;                                                                     \
                }                                                                                  \
                k0 += 0x9E3779B9u;                                                                 \
                k1 += 0xBB67AE85u;                                                                 \
            }                                                                                      \
            for (int h = 0; h < 2; h++) {                                                          \
                const V x = (c0[h] & 0xFFFFFFFF) | c1[h] << 32;                                    \
                const V y = (c2[h] & 0xFFFFFFFF) | c3[h] << 32;                                    \
                for (int i = 0; i < (lanes); i++, to += 4)                                         \
                    memcpy(to, (const uint64_t[]){x[i], y[i]}, 16);                                \
            }                                                                                      \
        }                                                                                          \
    }
BLOCKS(blocks_sse2, , two_lanes, 2, _mm_mul_epu32, __m128i)
BLOCKS(blocks_avx2, __attribute__((target("avx2"))), four_lanes, 4, _mm256_mul_epu32, __m256i)
BLOCKS(blocks_avx512, __attribute__((target("avx512f"))), eight_lanes, 8, _mm512_mul_epu32, __m512i)

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2");
}

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f");
}
#endif

#define ROW(label, has)                                                                            \
    {                                                                                              \
        .name = #label, .usable = has, .blocks = blocks_##label                                    \
    }
const weft__words_set weft__words_sets[WORDS_SETS] = {
#if WORDS_SETS > 1
    ROW(avx512, has_avx512), ROW(avx2, has_avx2), ROW(sse2, always),
#endif
    ROW(plain, always)};

const uint32_t *weft__cpu_words(uint32_t *room, uint64_t seed, uint64_t stream, uint64_t step,
                                uint64_t first, int64_t n)
{
    const weft__words_set *set = weft__words_sets;
    const int64_t lead = (int64_t)(first % 4);
    uint32_t key[2];
    while (!set->usable())
        set++;
    weft__draw_key(seed, stream, key);
    set->blocks(room, key, step, first / 4, WORDS_ROOM(n + lead - 3) / 4);
    return room + lead;
}
