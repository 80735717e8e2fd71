/* Forward and the gradient of images: weights are packed once, by panels of 32 target channels; then each image
 * is laid out, its sums are taken with channels side by side, and turned into planes. */
#include "device/cpu/conv.h"

#if CPU_HAS_WIDE
#include "device/cpu/half.h"

#define MULTIPLY_ADDS 16.0 /* that count as one element operation */

typedef struct job {
    const conv_map *m;
    char *y;
    const char *x, *w, *b;
    weft_dtype yt, dt;
    float *packed, *bias, *scratch;
    int64_t each, slots;
} job;

static int64_t size_of(weft_dtype t)
{
    return (int64_t)weft_dtype_size(t);
}

static int64_t panel_of(const conv_map *m)
{
    return CONV_PANEL * m->taps * m->source;
}

/* Numbers of packed weights, and of the bias behind them. */
static int64_t packed_of(const conv_map *m)
{
    return conv_up(m->target, WIDE_LANES) * m->taps * m->source;
}

static int64_t bias_of(const conv_map *m)
{
    return conv_up(m->target, WIDE_LANES);
}

static int64_t planes_of(const conv_map *m)
{
    return conv_up(m->source * conv_plane(m), WIDE_LANES);
}

int64_t weft__conv_images_each(const conv_map *m)
{
    const int64_t sums = m->out[0] * m->out[1] * conv_up(m->target, WIDE_LANES);
    return (planes_of(m) + sums) * (int64_t)sizeof(float);
}

int64_t weft__conv_images_room(const conv_map *m, int threads)
{
    return (packed_of(m) + bias_of(m)) * (int64_t)sizeof(float) +
           threads * weft__conv_images_each(m);
}

/* --- weights --- */

static float number(const char *p, int64_t i, weft_dtype dt)
{
    if (dt == WEFT_F32)
        return ((const float *)p)[i];
    const uint16_t h = ((const uint16_t *)p)[i];
    return dt == WEFT_BF16 ? half_wide_bf16(h) : half_wide_f16(h);
}

/* Items are a panel's tap. */
static void pack(const void *args, int64_t lo, int64_t hi)
{
    const job *o = args;
    const conv_map *m = o->m;
    for (int64_t e = lo; e < hi; e++) {
        const int64_t first = e / m->taps * CONV_PANEL, tap = e % m->taps;
        const int64_t left = m->target - first, lanes = left > WIDE_LANES ? CONV_PANEL : WIDE_LANES;
        float *to = o->packed + e / m->taps * panel_of(m) + tap * m->source * lanes;
        for (int64_t s = 0; s < m->source; s++)
            for (int64_t l = 0; l < lanes; l++)
                *to++ = l < left ? number(o->w, (first + l) * m->wt + s * m->ws + m->tap[tap].place,
                                          o->dt)
                                 : 0;
    }
}

/* --- images --- */

/* The sums of a panel's channels in one grid. */
static void grid(const job *o, const conv_grid *g, const float *planes, float *sums, int64_t panel)
{
    const conv_map *m = o->m;
    const int64_t row = conv_up(m->target, WIDE_LANES), first = panel * CONV_PANEL;
    const int64_t vectors = m->target - first > WIDE_LANES ? 2 : 1;
    const int64_t pieces = (g->columns + CONV_ROWS - 1) / CONV_ROWS;
    conv_tile t = {.b = o->packed + panel * panel_of(m) + g->tap * m->source * vectors * WIDE_LANES,
                   .rc = m->step[1] * row,
                   .depth = m->source,
                   .plane = conv_plane(m),
                   .taps = g->taps,
                   .tap = m->tap + g->tap};
    for (int64_t r = 0; r < g->rows; r++)
        for (int64_t p = 0; p < pieces; p++) {
            const int64_t lo = g->columns * p / pieces, hi = g->columns * (p + 1) / pieces;
            const int64_t place = (g->first[0] + r * m->step[0]) * m->out[1] + g->first[1];
            t.a = planes + r * m->wide + lo;
            t.c = sums + (place + lo * m->step[1]) * row + first;
            weft__conv_multiply(&t, hi - lo, vectors);
        }
}

static void image(const job *o, int64_t i, float *planes, float *sums)
{
    const conv_map *m = o->m;
    const int64_t places = m->out[0] * m->out[1], row = conv_up(m->target, WIDE_LANES);
    weft__conv_planes(planes, m, o->x + i * m->source * m->in[0] * m->in[1] * size_of(o->dt),
                      o->dt);
    for (int64_t p = 0; p * CONV_PANEL < m->target; p++)
        for (int g = 0; g < m->grids; g++)
            grid(o, &m->grid[g], planes, sums, p);
    weft__conv_turn_back(o->y + i * m->target * places * size_of(o->yt), places, sums, row, places,
                         m->target, o->b ? o->bias : NULL, o->yt);
}

/* A slot is the room of a thread. */
static void images(const void *args, int64_t lo, int64_t hi)
{
    const job *o = args;
    const int64_t n = o->m->n;
    for (int64_t slot = lo; slot < hi; slot++) {
        float *planes = o->scratch + slot * o->each, *sums = planes + planes_of(o->m);
        memset(planes, 0, (size_t)planes_of(o->m) * sizeof *planes);
        for (int64_t i = n * slot / o->slots; i < n * (slot + 1) / o->slots; i++)
            image(o, i, planes, sums);
    }
}

void weft__conv_images(const weft_device *d, const conv_map *m, void *y, weft_dtype yt,
                       const void *x, const void *w, const void *b, char *room, int64_t bytes,
                       weft_dtype dt)
{
    const int64_t each = weft__conv_images_each(m),
                  most = (bytes - weft__conv_images_room(m, 0)) / each;
    const double work = (double)packed_of(m) * (double)(m->n * m->out[0] * m->out[1]) /
                        MULTIPLY_ADDS / (double)(m->step[0] * m->step[1]);
    const int team = weft__cpu_team(d, work);
    job o = {.m = m,
             .y = y,
             .x = x,
             .w = w,
             .b = b,
             .yt = yt,
             .dt = dt,
             .packed = (float *)room,
             .each = each / (int64_t)sizeof(float),
             .slots = team < most ? team : most};
    o.bias = o.packed + packed_of(m);
    o.scratch = o.bias + bias_of(m);
    for (int64_t j = 0; j < m->target && b; j++)
        o.bias[j] = number(b, j, dt);
    weft__cpu_rows(d, pack, &o, (m->target + CONV_PANEL - 1) / CONV_PANEL * m->taps,
                   m->source * CONV_PANEL);
    weft__cpu_pieces(images, &o, o.slots, 1, (int)o.slots);
}
#endif
