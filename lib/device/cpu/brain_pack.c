/* Tiles of bf16: lines along k are read as they are, others as pairs of rows that are laid side by side;
 * what then lies across is turned, in words of a pair. */
#include "device/cpu/brain.h"

#if CPU_HAS_BRAIN
#include "device/cpu/turn.h"

BRAIN_TARGET CPU_INLINE void lines_along(__m512i v[16], const uint16_t *x, int64_t ld,
                                         int64_t lines, int64_t left)
{
    const __mmask32 in = left < BRAIN_STEP ? (1u << left) - 1 : ~0u;
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        v[i] = i < lines ? _mm512_maskz_loadu_epi16(in, x + i * ld) : _mm512_setzero_si512();
}

/* Sixteen lines of two rows. */
BRAIN_TARGET CPU_INLINE __m512i pair(const uint16_t *x, int64_t ld, __mmask16 in, bool both)
{
    const __m512i one = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(in, x));
    const __m512i two =
        both ? _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(in, x + ld)) : _mm512_setzero_si512();
    return _mm512_or_si512(one, _mm512_slli_epi32(two, 16));
}

BRAIN_TARGET CPU_INLINE void lines_across(__m512i v[16], const uint16_t *x, int64_t ld,
                                          int64_t lines, int64_t left)
{
    const __mmask16 in = lines < 16 ? (__mmask16)((1u << lines) - 1) : (__mmask16)-1;
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        v[i] =
            2 * i < left ? pair(x + 2 * i * ld, ld, in, 2 * i + 1 < left) : _mm512_setzero_si512();
}

BRAIN_TARGET CPU_INLINE void store(uint16_t *to, __m512i v[16], bool turn)
{
    if (turn)
        cpu_turn(v);
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        _mm512_storeu_si512(to + i * BRAIN_STEP, v[i]);
}

#define TILE(name, read, lines, left, turn)                                                        \
    BRAIN_TARGET static void name(uint16_t *to, const uint16_t *x, int64_t ld, int64_t some,       \
                                  int64_t numbers)                                                 \
    {                                                                                              \
        __m512i v[16];                                                                             \
        (void)some, (void)numbers;                                                                 \
        read(v, x, ld, lines, left);                                                               \
        store(to, v, turn);                                                                        \
    }
TILE(along, lines_along, 16, BRAIN_STEP, false)
TILE(along_turned, lines_along, 16, BRAIN_STEP, true)
TILE(across, lines_across, 16, BRAIN_STEP, false)
TILE(across_turned, lines_across, 16, BRAIN_STEP, true)
TILE(some_along, lines_along, some, numbers, false)
TILE(some_along_turned, lines_along, some, numbers, true)
TILE(some_across, lines_across, some, numbers, false)
TILE(some_across_turned, lines_across, some, numbers, true)

/* The tile of lines from `line` and numbers from k on. */
static void pack_tile(uint16_t *to, const weft__brain_side *s, int64_t line, int64_t k, int64_t k1)
{
    typedef void pack(uint16_t * to, const uint16_t *x, int64_t ld, int64_t some, int64_t numbers);
    static pack *const all[2][2][2] = {
        {{some_across, some_across_turned}, {some_along, some_along_turned}},
        {{across, across_turned}, {along, along_turned}},
    };
    const int64_t lines = s->lines - line, left = k1 - k;
    const uint16_t *x = s->x + (s->along ? line * s->ld + k : k * s->ld + line);
    if (lines > 0)
        all[lines >= 16 && left >= BRAIN_STEP][s->along][s->turn](to, x, s->ld, lines, left);
}

/* In the order in which rows lie in memory, as far as sixteen or 32 of them are read side by side. */
void weft__brain_pack(uint16_t *to, const weft__brain_side *s, int64_t p0, int64_t p1, int64_t k0,
                      int64_t k1)
{
    const int64_t steps = (k1 - k0 + BRAIN_STEP - 1) / BRAIN_STEP;
    const int64_t tiles = 2 * (p1 - p0), outer = s->along ? tiles : steps;
    const int64_t inner = s->along ? steps : tiles;
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            const int64_t tile = s->along ? o : i, step = s->along ? i : o;
            pack_tile(to + ((tile / 2 * steps + step) * 2 + tile % 2) * BRAIN_TILE, s,
                      p0 * BRAIN_SIDE + tile * 16, k0 + step * BRAIN_STEP, k1);
        }
}
#endif
