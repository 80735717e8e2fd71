/* Forward and the gradient of images: weights are packed once, by panels of 32 target channels; then each image
 * is laid out, its sums are taken with channels side by side, and turned into planes. Some images go together where
 * weights do not stay in a core's cache. */
#include "device/cpu/conv.h"

#if CPU_HAS_WIDE
#include "device/cpu/half.h"

#define MULTIPLY_ADDS 16.0          /* that count as one element operation */
#define FEW 16                      /* source channels for which tiles of AMX do not pay */
#define LINE 64                     /* what rooms are aligned to */
#define STAYS ((int64_t)1 << 20)    /* bytes of weights that do */
#define TOGETHER ((int64_t)3 << 19) /* of images */

typedef struct job {
    const conv_map *m;
    const conv_way *way;
    char *y;
    const char *x, *w, *b;
    weft_dtype yt, dt;
    char *packed, *scratch;
    float *bias;
    int64_t each, some, slots, row; /* bytes of an image; images together */
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
    return conv_up(way->planes(m), LINE) + conv_up(sums * (int64_t)sizeof(float), LINE);
}

static int64_t some_of(const conv_map *m, weft_dtype dt)
{
    const int64_t most = TOGETHER / weft__conv_images_each(m, dt);
    if (m->groups > 1 || most < 2 || packed_of(m, way_of(m, dt)) <= STAYS)
        return 1;
    return most < m->n ? most : m->n;
}

int64_t weft__conv_images_room(const conv_map *m, int threads, weft_dtype dt)
{
    const int64_t items = m->n * m->groups, slots = threads < items ? threads : items;
    return m->groups * packed_of(m, way_of(m, dt)) + bias_of(m) +
           slots * some_of(m, dt) * weft__conv_images_each(m, dt);
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

/* n images from number i on; of several groups, group i % groups of one. */
static void image(const job *o, int64_t i, int64_t n, char *room)
{
    const conv_map *m = o->m;
    const int64_t places = m->out[0] * m->out[1], group = i % m->groups;
    const int64_t planes = conv_up(o->way->planes(m), LINE);
    const char *packed = o->packed + group * packed_of(m, o->way);
    for (int64_t j = 0; j < n; j++)
        o->way->lay(room + j * o->each, m,
                    o->x + (i + j) * m->source * m->in[0] * m->in[1] * size_of(o->dt), o->dt);
    for (int64_t p = 0; p * CONV_PANEL < m->target; p++)
        for (int64_t e = 0; e < n * m->grids; e++) {
            char *at = room + e / m->grids * o->each;
            o->way->grid(m, &m->grid[e % m->grids], at, packed, (float *)(at + planes), o->row, p);
        }
    for (int64_t j = 0; j < n; j++)
        weft__conv_turn_back(o->y + (i + j) * m->target * places * size_of(o->yt), places,
                             (float *)(room + j * o->each + planes), o->row, places, m->target,
                             o->b ? o->bias + group * m->target : NULL, o->yt);
}

/* A slot is the room of a thread. */
static void images(const void *args, int64_t lo, int64_t hi)
{
    const job *o = args;
    const int64_t n = o->m->n * o->m->groups;
    for (int64_t slot = lo; slot < hi; slot++) {
        char *room = o->scratch + slot * o->some * o->each;
        const int64_t end = n * (slot + 1) / o->slots;
        for (int64_t j = 0; j < o->some; j++)
            memset(room + j * o->each, 0, (size_t)o->way->planes(o->m));
        for (int64_t i = n * slot / o->slots; i < end; i += o->some)
            image(o, i, end - i < o->some ? end - i : o->some, room);
    }
}

void weft__conv_images(const weft_device *d, const conv_map *m, void *y, weft_dtype yt,
                       const void *x, const void *w, const void *b, char *room, int64_t bytes,
                       weft_dtype dt)
{
    const conv_way *way = way_of(m, dt);
    const int64_t each = weft__conv_images_each(m, dt), some = some_of(m, dt);
    const int64_t most = (bytes - weft__conv_images_room(m, 0, dt)) / (some * each);
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
             .some = some,
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
