/* Images in f32, by AVX-512: planes with their padding, weights in panels of 32 target channels. */
#include "device/cpu/conv.h"

#if CPU_HAS_WIDE
#include <string.h>

static int64_t planes_of(const conv_map *m)
{
    return m->source * conv_plane(m) * (int64_t)sizeof(float);
}

static int64_t weights_of(const conv_map *m)
{
    return conv_up(m->target, WIDE_LANES) * m->taps * m->source * (int64_t)sizeof(float);
}

static int64_t vectors_of(const conv_map *m, int64_t panel)
{
    return m->target - panel * CONV_PANEL > WIDE_LANES ? 2 : 1;
}

/* Where the weights of a panel's tap are. */
static int64_t weights_at(const conv_map *m, int64_t panel, int64_t tap)
{
    const int64_t lanes = vectors_of(m, panel) * WIDE_LANES;
    return (panel * CONV_PANEL * m->taps + tap * lanes) * m->source;
}

static void pack(char *to, const conv_map *m, const void *w, int64_t panel, int64_t first,
                 weft_dtype dt)
{
    const int64_t lanes = vectors_of(m, panel) * WIDE_LANES, step = lanes * m->source;
    const int64_t end = first + CONV_PANEL < m->source ? first + CONV_PANEL : m->source;
    const int64_t places = m->ws < m->wt ? m->ws : m->wt, size = (int64_t)weft_dtype_size(dt);
    float turned[CONV_TAPS * WIDE_LANES];
    for (int64_t l = 0; l < lanes; l += WIDE_LANES)
        for (int64_t s = first; s < end; s++) {
            const int64_t t = panel * CONV_PANEL + l;
            float *p = (float *)to + weights_at(m, panel, 0) + s * lanes + l;
            weft__conv_turn(turned, WIDE_LANES, (const char *)w + (t * m->wt + s * m->ws) * size,
                            m->wt, places, m->target - t < WIDE_LANES ? m->target - t : WIDE_LANES,
                            dt);
            for (int64_t e = 0; e < m->taps; e++)
                memcpy(p + e * step, turned + m->tap[e].place * WIDE_LANES, 64);
        }
}

static void lay(char *to, const conv_map *m, const void *from, weft_dtype dt)
{
    weft__conv_planes((float *)to, m, from, dt);
}

static void grid(const conv_map *m, const conv_grid *g, const char *planes, const char *weights,
                 float *sums, int64_t row, int64_t panel)
{
    const int64_t pieces = (g->columns + CONV_ROWS - 1) / CONV_ROWS;
    conv_tile t = {.b = (const float *)weights + weights_at(m, panel, g->tap),
                   .rc = m->step[1] * row,
                   .depth = m->source,
                   .plane = conv_plane(m),
                   .taps = g->taps,
                   .tap = m->tap + g->tap};
    for (int64_t r = 0; r < g->rows; r++)
        for (int64_t p = 0; p < pieces; p++) {
            const int64_t lo = g->columns * p / pieces, hi = g->columns * (p + 1) / pieces;
            const int64_t place = (g->first[0] + r * m->step[0]) * m->out[1] + g->first[1];
            t.a = (const float *)planes + r * m->wide + lo;
            t.c = sums + (place + lo * m->step[1]) * row + panel * CONV_PANEL;
            weft__conv_multiply(&t, hi - lo, vectors_of(m, panel));
        }
}

const conv_way weft__conv_f32 = {.lanes = WIDE_LANES,
                                 .planes = planes_of,
                                 .weights = weights_of,
                                 .pack = pack,
                                 .lay = lay,
                                 .grid = grid};
#endif
