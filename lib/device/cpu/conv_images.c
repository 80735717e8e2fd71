/* Forward and the gradient of images: weights are packed once, by panels of 32 target channels; then each image
 * is laid out, its sums are taken with channels side by side, and turned into planes. */
#include "device/cpu/conv.h"

#if CPU_HAS_WIDE
#include "device/cpu/half.h"

#define MULTIPLY_ADDS 16.0 /* that count as one element operation */
#define FEW 16             /* source channels for which tiles of AMX do not pay */
#define LINE 64            /* what rooms are aligned to */

typedef struct job {
    const conv_map *m;
    const conv_way *way;
    char *y;
    const char *x, *w, *b;
    weft_dtype yt, dt;
    char *packed, *scratch;
    float *bias;
    int64_t each, slots, row;
} job;

static int64_t size_of(weft_dtype t)
{
    return (int64_t)weft_dtype_size(t);
}

static const conv_way *way_of(const conv_map *m, weft_dtype dt)
{
#if CPU_HAS_AMX
    if (dt == WEFT_BF16 && m->source >= FEW && weft__cpu_amx())
        return &weft__conv_amx;
#endif
    (void)m, (void)dt;
    return &weft__conv_f32;
}

static int64_t packed_of(const conv_map *m, const conv_way *way)
{
    return conv_up(way->weights(m), LINE);
}

static int64_t bias_of(const conv_map *m)
{
    return conv_up(m->groups * m->target * (int64_t)sizeof(float), LINE);
}

int64_t weft__conv_images_each(const conv_map *m, weft_dtype dt)
{
    const conv_way *way = way_of(m, dt);
    const int64_t sums = m->out[0] * m->out[1] * conv_up(m->target, way->lanes);
    return conv_up(way->planes(m), LINE) + sums * (int64_t)sizeof(float);
}

int64_t weft__conv_images_room(const conv_map *m, int threads, weft_dtype dt)
{
    return m->groups * packed_of(m, way_of(m, dt)) + bias_of(m) +
           threads * weft__conv_images_each(m, dt);
}

static int64_t panels_of(int64_t channels)
{
    return (channels + CONV_PANEL - 1) / CONV_PANEL;
}

/* Items are parts of the source channels of panels of groups. */
static void pack(const void *args, int64_t lo, int64_t hi)
{
    const job *o = args;
    const int64_t parts = panels_of(o->m->source), panels = panels_of(o->m->target);
    for (int64_t e = lo; e < hi; e++) {
        const int64_t group = e / parts / panels;
        o->way->pack(o->packed + group * packed_of(o->m, o->way), o->m,
                     o->w + group * o->m->weights * size_of(o->dt), e / parts % panels,
                     e % parts * CONV_PANEL, o->dt);
    }
}

static void widen(const job *o)
{
    for (int64_t j = 0; j < o->m->groups * o->m->target && o->b; j++)
        o->bias[j] = o->dt == WEFT_F32    ? ((const float *)o->b)[j]
                     : o->dt == WEFT_BF16 ? half_wide_bf16(((const uint16_t *)o->b)[j])
                                          : half_wide_f16(((const uint16_t *)o->b)[j]);
}

/* Group i % groups of an image. */
static void image(const job *o, int64_t i, char *planes, float *sums)
{
    const conv_map *m = o->m;
    const int64_t places = m->out[0] * m->out[1], group = i % m->groups;
    const char *packed = o->packed + group * packed_of(m, o->way);
    o->way->lay(planes, m, o->x + i * m->source * m->in[0] * m->in[1] * size_of(o->dt), o->dt);
    for (int64_t p = 0; p * CONV_PANEL < m->target; p++)
        for (int g = 0; g < m->grids; g++)
            o->way->grid(m, &m->grid[g], planes, packed, sums, o->row, p);
    weft__conv_turn_back(o->y + i * m->target * places * size_of(o->yt), places, sums, o->row,
                         places, m->target, o->b ? o->bias + group * m->target : NULL, o->yt);
}

/* A slot is the room of a thread. */
static void images(const void *args, int64_t lo, int64_t hi)
{
    const job *o = args;
    const int64_t n = o->m->n * o->m->groups, planes = conv_up(o->way->planes(o->m), LINE);
    for (int64_t slot = lo; slot < hi; slot++) {
        char *room = o->scratch + slot * o->each;
        memset(room, 0, (size_t)planes);
        for (int64_t i = n * slot / o->slots; i < n * (slot + 1) / o->slots; i++)
            image(o, i, room, (float *)(room + planes));
    }
}

void weft__conv_images(const weft_device *d, const conv_map *m, void *y, weft_dtype yt,
                       const void *x, const void *w, const void *b, char *room, int64_t bytes,
                       weft_dtype dt)
{
    const conv_way *way = way_of(m, dt);
    const int64_t each = weft__conv_images_each(m, dt);
    const int64_t most = (bytes - weft__conv_images_room(m, 0, dt)) / each;
    const double work = (double)m->target * (double)(m->source * m->taps) *
                        (double)(m->groups * m->n * m->out[0] * m->out[1]) / MULTIPLY_ADDS /
                        (double)(m->step[0] * m->step[1]);
    const int team = weft__cpu_team(d, work);
    job o = {.m = m,
             .way = way,
             .y = y,
             .x = x,
             .w = w,
             .b = b,
             .yt = yt,
             .dt = dt,
             .packed = room,
             .each = each,
             .slots = team < most ? team : most,
             .row = conv_up(m->target, way->lanes)};
    o.bias = (float *)(room + m->groups * packed_of(m, way));
    o.scratch = (char *)o.bias + bias_of(m);
    widen(&o);
    weft__cpu_rows(d, pack, &o, m->groups * panels_of(m->target) * panels_of(m->source),
                   m->taps * CONV_PANEL * CONV_PANEL);
    weft__cpu_pieces(images, &o, o.slots, 1, (int)o.slots);
}
#endif
