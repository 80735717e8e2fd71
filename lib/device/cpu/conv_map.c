/* Where the numbers are that forward, and the gradient of images, read. Padded row r s + i d of x is row
 * r + floor(i d / s) of phase i d mod s. Row y of gx gets from row (y + p - i d) / s of gy where that is whole: rows
 * y = y0 + s t do for the same i, from row t + (y0 + p - i d) / s. */
#include "device/cpu/conv.h"

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static bool fits(const weft_window *o)
{
    return o->kernel[0] <= CONV_TAPS && o->kernel[1] <= CONV_TAPS &&
           o->kernel[0] * o->kernel[1] <= CONV_TAPS && o->stride[0] <= CONV_GRIDS &&
           o->stride[1] <= CONV_GRIDS && o->stride[0] * o->stride[1] <= CONV_GRIDS;
}

bool weft__conv_forward(conv_map *m, const weft_conv_terms *t)
{
    const weft_window *o = &t->window;
    const int64_t places = o->kernel[0] * o->kernel[1];
    if (!fits(o))
        return false;
    *m = (conv_map){.n = t->n,
                    .groups = t->groups,
                    .source = t->c / t->groups,
                    .target = t->o / t->groups,
                    .in = {o->in[0], o->in[1]},
                    .out = {o->out[0], o->out[1]},
                    .phases = {o->stride[0], o->stride[1]},
                    .before = {o->padding[0], o->padding[1]},
                    .step = {1, 1},
                    .ws = places,
                    .wt = t->c / t->groups * places,
                    .weights = t->c / t->groups * t->o / t->groups * places,
                    .taps = places,
                    .grids = 1};
    m->high = o->out[0] + (o->kernel[0] - 1) * o->dilation[0] / o->stride[0];
    m->wide = o->out[1] + (o->kernel[1] - 1) * o->dilation[1] / o->stride[1];
    m->grid[0] = (conv_grid){.rows = o->out[0], .columns = o->out[1], .taps = places};
    for (int64_t e = 0; e < places; e++) {
        const int64_t down = e / o->kernel[1] * o->dilation[0],
                      right = e % o->kernel[1] * o->dilation[1];
        const int64_t phase = down % o->stride[0] * o->stride[1] + right % o->stride[1];
        m->tap[e] = (conv_tap){.at = (phase * m->high + down / o->stride[0]) * m->wide +
                                     right / o->stride[1],
                               .place = e};
    }
    return true;
}

/* What is added to row (d = 0) or column t of a grid that begins at y0, for place i of the kernel. */
static bool source_of(const weft_window *o, int d, int64_t y0, int64_t i, int64_t *by)
{
    const int64_t v = y0 + o->padding[d] - i * o->dilation[d];
    *by = v / o->stride[d];
    return v % o->stride[d] == 0;
}

/* Margins along d, so that no source lies before or behind them. */
static void measure(conv_map *m, const weft_window *o, int d, int64_t *extent)
{
    int64_t by, last = 0;
    for (int64_t y0 = 0; y0 < o->stride[d] && y0 < o->in[d]; y0++)
        for (int64_t i = 0; i < o->kernel[d]; i++)
            if (source_of(o, d, y0, i, &by)) {
                m->before[d] = most(m->before[d], -by);
                last = most(last, (o->in[d] - 1 - y0) / o->stride[d] + by);
            }
    *extent = m->before[d] + last + 1;
}

static void add_taps(conv_map *m, const weft_window *o, conv_grid *g)
{
    int64_t down, right;
    g->tap = m->taps;
    for (int64_t e = 0; e < o->kernel[0] * o->kernel[1]; e++)
        if (source_of(o, 0, g->first[0], e / o->kernel[1], &down) &&
            source_of(o, 1, g->first[1], e % o->kernel[1], &right))
            m->tap[m->taps++] = (conv_tap){
                .at = (down + m->before[0]) * m->wide + right + m->before[1], .place = e};
    g->taps = m->taps - g->tap;
}

bool weft__conv_backward(conv_map *m, const weft_conv_terms *t)
{
    const weft_window *o = &t->window;
    const int64_t places = o->kernel[0] * o->kernel[1];
    if (!fits(o))
        return false;
    *m = (conv_map){.n = t->n,
                    .groups = t->groups,
                    .source = t->o / t->groups,
                    .target = t->c / t->groups,
                    .in = {o->out[0], o->out[1]},
                    .out = {o->in[0], o->in[1]},
                    .phases = {1, 1},
                    .step = {o->stride[0], o->stride[1]},
                    .ws = t->c / t->groups * places,
                    .wt = places,
                    .weights = t->c / t->groups * t->o / t->groups * places};
    measure(m, o, 0, &m->high);
    measure(m, o, 1, &m->wide);
    for (int64_t y0 = 0; y0 < o->stride[0] && y0 < o->in[0]; y0++)
        for (int64_t x0 = 0; x0 < o->stride[1] && x0 < o->in[1]; x0++) {
            conv_grid *g = &m->grid[m->grids++];
            *g = (conv_grid){.first = {y0, x0},
                             .rows = (o->in[0] - 1 - y0) / o->stride[0] + 1,
                             .columns = (o->in[1] - 1 - x0) / o->stride[1] + 1};
            add_taps(m, o, g);
        }
    return true;
}
