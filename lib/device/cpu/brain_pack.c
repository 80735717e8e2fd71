/* Steps of panels of bf16, two tiles at a time: lines along k are read as they are, others as pairs of rows
 * that are laid side by side; what then lies across is turned, in words of a pair. Lines may lie far apart,
 * where the processor fetches nothing ahead by itself. */
#include "device/cpu/brain.h"

#if CPU_HAS_BRAIN
#include "device/cpu/turn.h"

#define AHEAD 4 /* steps */

/* Where a step of a panel begins, and how much of it there is. */
typedef struct place {
    const uint16_t *x;
    int64_t ld, lines, numbers;
} place;

typedef void pack(uint16_t *to, const place *p);

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static __mmask32 mask_of(int64_t n)
{
    return n >= 32 ? ~0u : n > 0 ? (1u << n) - 1 : 0;
}

BRAIN_TARGET CPU_INLINE __m512i row_of(const uint16_t *x, __mmask32 in, const bool whole)
{
    return whole ? _mm512_loadu_si512(x) : _mm512_maskz_loadu_epi16(in, x);
}

/* Sixteen lines, those of a tile. */
BRAIN_TARGET CPU_INLINE void lines_along(__m512i v[16], const place *p, int64_t first,
                                         const bool whole)
{
    const __mmask32 in = mask_of(p->numbers);
    CPU_UNROLL(16)
    for (int i = 0; i < 16; i++)
        v[i] = whole || first + i < p->lines ? row_of(p->x + (first + i) * p->ld, in, whole)
                                             : _mm512_setzero_si512();
}

/* Pairs of all lines; in quarters, of low those of lines 0, 8, 16, 24 and the next three, of high 4, 12, 20, 28. */
BRAIN_TARGET CPU_INLINE void lines_across(__m512i low[16], __m512i high[16], const place *p,
                                          const bool whole)
{
    const __mmask32 in = mask_of(p->lines);
    CPU_UNROLL(16)
    for (int i = 0; i < 16; i++) {
        const uint16_t *x = p->x + 2 * i * p->ld;
        const bool one = whole || 2 * i < p->numbers, two = whole || 2 * i + 1 < p->numbers;
        const __m512i a = one ? row_of(x, in, whole) : _mm512_setzero_si512();
        const __m512i b = two ? row_of(x + p->ld, in, whole) : _mm512_setzero_si512();
        low[i] = _mm512_unpacklo_epi16(a, b);
        high[i] = _mm512_unpackhi_epi16(a, b);
    }
}

BRAIN_TARGET CPU_INLINE void store(uint16_t *to, const __m512i v[16])
{
    CPU_UNROLL(16)
    for (int i = 0; i < 16; i++)
        _mm512_storeu_si512(to + i * BRAIN_STEP, v[i]);
}

BRAIN_TARGET CPU_INLINE void along(uint16_t *to, const place *p, const bool turn, const bool whole)
{
    for (int t = 0; t < 2; t++) {
        __m512i v[16];
        lines_along(v, p, 16 * t, whole);
        if (turn)
            cpu_turn(v);
        store(to + t * BRAIN_TILE, v);
    }
}

BRAIN_TARGET CPU_INLINE void across(uint16_t *to, const place *p, const bool whole)
{
    __m512i low[16], high[16];
    const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const __m512i last = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    lines_across(low, high, p, whole);
    CPU_UNROLL(16)
    for (int i = 0; i < 16; i++) {
        _mm512_storeu_si512(to + i * BRAIN_STEP, _mm512_permutex2var_epi64(low[i], first, high[i]));
        _mm512_storeu_si512(to + BRAIN_TILE + i * BRAIN_STEP,
                            _mm512_permutex2var_epi64(low[i], last, high[i]));
    }
}

/* Turned, a quarter is four lines, one after the other. */
BRAIN_TARGET CPU_INLINE void across_turned(uint16_t *to, const place *p, const bool whole)
{
    __m512i v[2][16];
    lines_across(v[0], v[1], p, whole);
    for (int h = 0; h < 2; h++) {
        cpu_turn(v[h]);
        CPU_UNROLL(16)
        for (int i = 0; i < 16; i++)
            _mm512_storeu_si512(to + (i / 4 * 8 + 4 * h + i % 4) * BRAIN_STEP, v[h][i]);
    }
}

#define PACK(name, ...)                                                                            \
    BRAIN_TARGET static void name(uint16_t *to, const place *p)                                    \
    {                                                                                              \
        __VA_ARGS__;                                                                               \
    }
PACK(pack_along, along(to, p, false, true))
PACK(pack_along_turned, along(to, p, true, true))
PACK(pack_across, across(to, p, true))
PACK(pack_across_turned, across_turned(to, p, true))
PACK(edge_along, along(to, p, false, false))
PACK(edge_along_turned, along(to, p, true, false))
PACK(edge_across, across(to, p, false))
PACK(edge_across_turned, across_turned(to, p, false))

/* All lines of a step, or all numbers of them. */
static void fetch(const weft__brain_side *s, const place *p)
{
    const int64_t n = s->along ? p->lines : p->numbers;
    for (int64_t i = 0; i < least(n, 32); i++)
        _mm_prefetch((const char *)(p->x + i * p->ld), _MM_HINT_T1);
}

static place place_of(const weft__brain_side *s, int64_t panel, int64_t k, int64_t k1)
{
    const int64_t line = panel * BRAIN_SIDE;
    return (place){s->x + (s->along ? line * s->ld + k : k * s->ld + line), s->ld, s->lines - line,
                   k1 - k};
}

/* In the order in which rows lie in memory. */
void weft__brain_pack(uint16_t *to, const weft__brain_side *s, int64_t p0, int64_t p1, int64_t k0,
                      int64_t k1)
{
    static pack *const all[2][2][2] = {
        {{edge_across, edge_across_turned}, {edge_along, edge_along_turned}},
        {{pack_across, pack_across_turned}, {pack_along, pack_along_turned}},
    };
    const int64_t steps = (k1 - k0 + BRAIN_STEP - 1) / BRAIN_STEP, panels = p1 - p0;
    const int64_t inner = s->along ? steps : panels, n = steps * panels;
    for (int64_t i = 0; i < n; i++) {
        const int64_t panel = s->along ? i / inner : i % inner;
        const int64_t step = s->along ? i % inner : i / inner;
        const place p = place_of(s, p0 + panel, k0 + step * BRAIN_STEP, k1);
        const bool whole = p.lines >= BRAIN_SIDE && p.numbers >= BRAIN_STEP;
        if (i + AHEAD < n) {
            const int64_t j = i + AHEAD;
            const place later = place_of(s, p0 + (s->along ? j / inner : j % inner),
                                         k0 + (s->along ? j % inner : j / inner) * BRAIN_STEP, k1);
            fetch(s, &later);
        }
        all[whole][s->along][s->turn](to + (panel * steps + step) * 2 * BRAIN_TILE, &p);
    }
}
#endif
