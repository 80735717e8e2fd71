/* Images in bf16, by AMX: the channels of a place lie side by side, 32 to a step of a tile, whose rows are places
 * that follow each other in a row of a grid. Tiles of weights have two source channels' numbers side by side. */
#include "device/cpu/conv.h"

#if CPU_HAS_AMX
#include "device/cpu/turn.h"

#define DEPTH 32 /* numbers of a tile's row */
#define SIDE 16  /* rows, and target channels, of a tile */
#define TILE 512 /* numbers of a tile */

static int64_t depth_of(const conv_map *m)
{
    return conv_up(m->source, DEPTH);
}

static int64_t planes_of(const conv_map *m)
{
    return conv_plane(m) * depth_of(m) * (int64_t)sizeof(uint16_t);
}

static int64_t weights_of(const conv_map *m)
{
    return conv_up(m->target, CONV_PANEL) * m->taps * depth_of(m) * (int64_t)sizeof(uint16_t);
}

/* A step of both halves of a panel, side by side. */
static void pack(char *to, const conv_map *m, const void *w, int64_t panel, int64_t first,
                 weft_dtype dt)
{
    const int64_t tap = CONV_PANEL * depth_of(m);
    uint16_t *p = (uint16_t *)to + panel * m->taps * tap + first * CONV_PANEL;
    (void)dt;
    for (int64_t l = 0; l < CONV_PANEL; l++)
        for (int64_t s = 0; s < DEPTH; s++) {
            const int64_t t = panel * CONV_PANEL + l;
            const bool is = t < m->target && first + s < m->source;
            const uint16_t *from = (const uint16_t *)w + t * m->wt + (first + s) * m->ws;
            uint16_t *at = p + l / SIDE * TILE + s / 2 * DEPTH + l % SIDE * 2 + s % 2;
            for (int64_t e = 0; e < m->taps; e++)
                at[e * tap] = is ? from[m->tap[e].place] : 0;
        }
}

/* 16 numbers of a channel and of the next one, in pairs. */
AMX_TARGET CPU_INLINE __m512 pairs(const uint16_t *from, int64_t plane, int64_t n, int64_t channels)
{
    const __mmask16 some = n < SIDE ? (__mmask16)((1u << n) - 1) : (__mmask16)-1;
    __m512i low = _mm512_setzero_si512(), high = low;
    if (channels > 0)
        low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(some, from));
    if (channels > 1)
        high = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(some, from + plane));
    return _mm512_castsi512_ps(_mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
}

/* Numbers x..x+15 of row y of an image go to their places, by whole lines of a cache. */
AMX_TARGET CPU_INLINE void lay_some(char *to, const conv_map *m, const uint16_t *from, int64_t y,
                                    int64_t x)
{
    const int64_t plane = m->in[0] * m->in[1], down = y + m->before[0], depth = depth_of(m);
    const int64_t row =
        (down % m->phases[0] * m->phases[1] * m->high + down / m->phases[0]) * m->wide;
    if (down / m->phases[0] >= m->high)
        return;
    for (int64_t c = 0; c < m->source; c += DEPTH) {
        __m512 v[SIDE];
#pragma GCC unroll 16
        for (int e = 0; e < SIDE; e++)
            v[e] = pairs(from + (c + 2 * e) * plane + y * m->in[1] + x, plane, m->in[1] - x,
                         m->source - c - 2 * e);
        cpu_turn_f32(v);
#pragma GCC unroll 16
        for (int e = 0; e < SIDE; e++) {
            const int64_t right = x + e + m->before[1], column = right / m->phases[1];
            const int64_t place = row + right % m->phases[1] * m->high * m->wide + column;
            if (x + e < m->in[1] && column < m->wide)
                _mm512_storeu_ps(to + (place * depth + c) * (int64_t)sizeof(uint16_t), v[e]);
        }
    }
}

AMX_TARGET static void lay(char *to, const conv_map *m, const void *from, weft_dtype dt)
{
    (void)dt;
    for (int64_t y = 0; y < m->in[0]; y++)
        for (int64_t x = 0; x < m->in[1]; x += SIDE)
            lay_some(to, m, from, y, x);
}

/* Tiles 0..3: sums, 4 and 5: places, 6 and 7: weights. */
AMX_TARGET CPU_INLINE void configure(int64_t rows)
{
    struct {
        uint8_t palette, start, none[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } o = {.palette = 1, .bytes = {64, 64, 64, 64, 64, 64, 64, 64}, .rows = {0}};
    for (int i = 0; i < 8; i++)
        o.rows[i] = i < 6 ? (uint8_t)rows : SIDE;
    _tile_loadconfig(&o);
}

/* `rows` places of two pieces times a panel's weights; b[e] is the weights of tap e. */
typedef struct work {
    const char *a[2], *b;
    float *c[2];
    int64_t step, down; /* bytes from place to place, from sum to sum */
    int64_t depth, taps;
    const conv_tap *tap;
} work;

AMX_TARGET CPU_INLINE void multiply(const work *o)
{
    const char *b = o->b;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t e = 0; e < o->taps; e++)
        for (int64_t k = 0; k < o->depth; k += DEPTH, b += 2 * TILE * sizeof(uint16_t)) {
            const int64_t at = o->tap[e].at * o->step + k * (int64_t)sizeof(uint16_t);
            _tile_loadd(4, o->a[0] + at, o->step);
            _tile_loadd(6, b, 64);
            _tile_loadd(7, b + TILE * sizeof(uint16_t), 64);
            _tile_loadd(5, o->a[1] + at, o->step);
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(1, 4, 7);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
    _tile_stored(0, o->c[0], o->down);
    _tile_stored(1, o->c[0] + SIDE, o->down);
    _tile_stored(2, o->c[1], o->down);
    _tile_stored(3, o->c[1] + SIDE, o->down);
}

/* Pieces of rows are of one length; the last one of a row may begin in that before it. */
AMX_TARGET static void grid(const conv_map *m, const conv_grid *g, const char *planes,
                            const char *weights, float *sums, int64_t row, int64_t panel)
{
    const int64_t pieces = (g->columns + SIDE - 1) / SIDE,
                  rows = (g->columns + pieces - 1) / pieces;
    const int64_t all = g->rows * pieces, depth = depth_of(m);
    work o = {.b = weights +
                   (panel * m->taps + g->tap) * CONV_PANEL * depth * (int64_t)sizeof(uint16_t),
              .step = depth * (int64_t)sizeof(uint16_t),
              .down = m->step[1] * row * (int64_t)sizeof(float),
              .depth = depth,
              .taps = g->taps,
              .tap = m->tap + g->tap};
    configure(rows);
    for (int64_t e = 0; e < all; e += 2) {
        for (int i = 0; i < 2; i++) {
            const int64_t p = e + i < all ? e + i : e, r = p / pieces;
            const int64_t lo = p % pieces * rows,
                          at = lo + rows > g->columns ? g->columns - rows : lo;
            const int64_t place = (g->first[0] + r * m->step[0]) * m->out[1] + g->first[1];
            o.a[i] = planes + (r * m->wide + at) * o.step;
            o.c[i] = sums + (place + at * m->step[1]) * row + panel * CONV_PANEL;
        }
        multiply(&o);
    }
    _tile_release();
}

const conv_way weft__conv_amx = {.lanes = CONV_PANEL,
                                 .planes = planes_of,
                                 .weights = weights_of,
                                 .pack = pack,
                                 .lay = lay,
                                 .grid = grid};
#endif
