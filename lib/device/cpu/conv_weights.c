/* The gradient of weights: dW[o][c][place] = the sum over images and windows of dy[o] x[c] at that place. x, with
 * its padding, and dy are laid out with channels side by side; tiles of dW are output channels times vectors
 * of input channels. Where there are few of these, the places of a row of the window are part of the vector; or the
 * tile is turned, if that leaves less of vectors unused.
 *
 * Images are cut into chunks by their number alone; each has sums of its own, which are added up in order. */
#include "device/cpu/conv.h"

#if CPU_HAS_WIDE
#include <string.h>

#define MULTIPLY_ADDS 16.0      /* that count as one element operation */
#define CHUNKS 8                /* of images */
#define PARTS 16                /* of the work: chunks and parts of the output channels */
#define MOST ((int64_t)2 << 20) /* numbers of all chunks' sums */
#define GROUP 65536             /* numbers that are laid out at a time, */
#define IMAGES 8                /* of at most so many images */

typedef struct job {
    const weft_conv_terms *t;
    const char *gy, *x;
    weft_dtype dt;
    float *gw, *sums, *scratch;
    int64_t slots, each;
    int64_t c;          /* input channels of a group */
    int64_t places;     /* of an image's windows */
    int64_t high, wide; /* of x with its padding */
    int64_t pixel,
        line;        /* numbers of it side by side: channels, and of a vector: what a tile covers */
    int64_t taps;    /* of which each has its vectors */
    bool merged;     /* taps are rows of the window */
    bool turned;     /* vectors are of output channels */
    int64_t outputs; /* of a part, at most */
    int64_t chunks, parts /* of each group's */, group /* of images */;
} job;

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Numbers of x and of dy of one image. */
static int64_t image_of(const job *o)
{
    return o->high * o->wide * o->pixel + o->places * conv_up(o->outputs, WIDE_LANES);
}

/* A tap's sums in a part: rows, and what is from one to the next. */
static int64_t rows_of(const job *o)
{
    return o->turned ? o->line : o->outputs;
}

static int64_t row_of(const job *o)
{
    return conv_up(o->turned ? o->outputs : o->line, WIDE_LANES);
}

static int64_t part_of(const job *o)
{
    return o->taps * rows_of(o) * row_of(o);
}

static int64_t chunk_of(const job *o)
{
    return o->t->groups * o->parts * part_of(o);
}

/* Cuts a group's output channels into parts. */
static void cut(job *o)
{
    const int64_t outputs = o->t->o / o->t->groups, least_of = o->turned ? CONV_PANEL : CONV_ROWS;
    const int64_t most = PARTS / o->chunks / o->t->groups;
    o->parts = least(most < 1 ? 1 : most, (outputs + least_of - 1) / least_of);
    o->outputs = (outputs + o->parts - 1) / o->parts;
    o->parts = (outputs + o->outputs - 1) / o->outputs;
}

static job job_of(const weft_conv_terms *t)
{
    const weft_window *w = &t->window;
    const int64_t c = t->c / t->groups, outputs = t->o / t->groups;
    job o = {.t = t,
             .c = c,
             .places = w->out[0] * w->out[1],
             .high = (w->out[0] - 1) * w->stride[0] + (w->kernel[0] - 1) * w->dilation[0] + 1,
             .wide = (w->out[1] - 1) * w->stride[1] + (w->kernel[1] - 1) * w->dilation[1] + 1,
             .pixel = c < WIDE_LANES ? c : conv_up(c, WIDE_LANES),
             .merged = c < WIDE_LANES && w->dilation[1] == 1,
             .chunks = least(t->n, CHUNKS)};
    o.line = o.merged ? w->kernel[1] * c : c;
    o.taps = o.merged ? w->kernel[0] : w->kernel[0] * w->kernel[1];
    o.turned =
        o.merged && o.line * conv_up(outputs, WIDE_LANES) < conv_up(o.line, WIDE_LANES) * outputs;
    cut(&o);
    for (; o.chunks > 1 && o.chunks * chunk_of(&o) > MOST; cut(&o))
        o.chunks /= 2;
    o.group = GROUP / image_of(&o);
    o.group = o.group < 1 ? 1 : least(o.group, IMAGES);
    o.each = conv_up(o.group * image_of(&o) + 2 * WIDE_LANES, WIDE_LANES);
    return o;
}

int64_t weft__conv_weights_each(const weft_conv_terms *t)
{
    const job o = job_of(t);
    return o.each * (int64_t)sizeof(float);
}

int64_t weft__conv_weights_room(const weft_conv_terms *t, int threads)
{
    const job o = job_of(t);
    return (o.chunks * chunk_of(&o) + WIDE_LANES + threads * o.each) * (int64_t)sizeof(float);
}

/* --- one group of images --- */

/* x of an image, line after line; what is not in it stays 0. */
static void lay_out(const job *o, float *to, const char *from)
{
    const weft_window *w = &o->t->window;
    const int64_t size = (int64_t)weft_dtype_size(o->dt), plane = w->in[0] * w->in[1];
    const int64_t n = least(w->in[1], o->wide - w->padding[1]);
    for (int64_t r = 0; r < o->high; r++) {
        const int64_t y = r - w->padding[0];
        if (y >= 0 && y < w->in[0] && n > 0)
            weft__conv_turn(to + (r * o->wide + w->padding[1]) * o->pixel, o->pixel,
                            from + y * w->in[1] * size, plane, n, o->c, o->dt);
    }
}

/* Adds a group's products to the sums of a part of n output channels. */
static void add_up(const job *o, const float *x, const float *gy, float *sums, int64_t images,
                   int64_t n, bool first)
{
    const weft_window *w = &o->t->window;
    const int64_t rows = o->turned ? o->line : n, lanes = o->turned ? n : o->line;
    const int64_t tiles = (rows + CONV_ROWS - 1) / CONV_ROWS, image = o->high * o->wide * o->pixel;
    const int64_t width = conv_up(o->outputs, WIDE_LANES), step = w->stride[1] * o->pixel;
    const int64_t line = w->stride[0] * o->wide * o->pixel, across = w->out[1] * width;
    conv_outer t = {.ra = o->turned ? step : width,
                    .rb = o->turned ? width : step,
                    .la = o->turned ? line : across,
                    .lb = o->turned ? across : line,
                    .lines = w->out[0],
                    .depth = w->out[1],
                    .rc = row_of(o)};
    for (int64_t l = 0; l < lanes; l += CONV_PANEL)
        for (int64_t tap = 0; tap < o->taps; tap++) {
            const int64_t down = o->merged ? tap : tap / w->kernel[1];
            const int64_t right = o->merged ? 0 : tap % w->kernel[1];
            const int64_t at = down * w->dilation[0] * o->wide + right * w->dilation[1];
            for (int64_t p = 0; p < tiles; p++) {
                const int64_t lo = rows * p / tiles, hi = rows * (p + 1) / tiles;
                for (int64_t i = 0; i < images; i++) {
                    const float *from = x + i * image + at * o->pixel;
                    const float *back = gy + i * o->places * width;
                    t.add = i || !first;
                    t.a = (o->turned ? from : back) + lo;
                    t.b = (o->turned ? back : from) + l;
                    t.c = sums + (tap * rows_of(o) + lo) * t.rc + l;
                    weft__conv_outer(&t, hi - lo, lanes - l > WIDE_LANES ? 2 : 1);
                }
            }
        }
}

/* --- all of them --- */

/* A chunk's images for a part of a group's output channels. */
static void item(const job *o, int64_t e, float *x)
{
    const weft_conv_terms *t = o->t;
    const int64_t chunk = e / o->parts / t->groups, part = e % o->parts;
    const int64_t group = e / o->parts % t->groups, outputs = t->o / t->groups;
    const int64_t o0 = group * outputs + part * o->outputs;
    const int64_t some = least(o->outputs, outputs - part * o->outputs);
    const int64_t size = (int64_t)weft_dtype_size(o->dt), image = o->high * o->wide * o->pixel;
    const int64_t plane = t->window.in[0] * t->window.in[1];
    const int64_t begin = t->n * chunk / o->chunks, end = t->n * (chunk + 1) / o->chunks;
    const int64_t width = conv_up(o->outputs, WIDE_LANES);
    float *gy = x + conv_up(o->group * image + WIDE_LANES, WIDE_LANES);
    for (int64_t i = begin; i < end; i += o->group) {
        const int64_t n = least(o->group, end - i);
        for (int64_t j = 0; j < n; j++) {
            lay_out(o, x + j * image, o->x + ((i + j) * t->c + group * o->c) * plane * size);
            weft__conv_turn(gy + j * o->places * width, width,
                            o->gy + ((i + j) * t->o + o0) * o->places * size, o->places, o->places,
                            some, o->dt);
        }
        add_up(o, x, gy, o->sums + e * part_of(o), n, some, i == begin);
    }
}

/* A slot is the room of a thread. */
static void items(const void *args, int64_t lo, int64_t hi)
{
    const job *o = args;
    const int64_t all = o->chunks * o->t->groups * o->parts;
    for (int64_t slot = lo; slot < hi; slot++) {
        float *x = o->scratch + slot * o->each;
        memset(x, 0, (size_t)o->each * sizeof *x);
        for (int64_t e = all * slot / o->slots; e < all * (slot + 1) / o->slots; e++)
            item(o, e, x);
    }
}

/* Where number l of an output channel's tap is in a part's sums; beside it, unless they are turned, those that follow. */
static int64_t at(const job *o, int64_t tap, int64_t output, int64_t l)
{
    return o->turned ? (tap * o->line + l) * row_of(o) + output
                     : (tap * o->outputs + output) * row_of(o) + l;
}

/* Rows of dW: the chunks' sums, in order. */
static void join(const void *args, int64_t lo, int64_t hi)
{
    const job *o = args;
    const weft_conv_terms *t = o->t;
    const int64_t across = t->window.kernel[1], all = t->window.kernel[0] * across;
    const int64_t outputs = t->o / t->groups, beside = o->turned ? 1 : WIDE_LANES;
    for (int64_t r = lo; r < hi; r++)
        for (int64_t tap = 0; tap < o->taps; tap++)
            for (int64_t l = 0; l < o->line; l += beside) {
                const int64_t part = r / outputs * o->parts + r % outputs / o->outputs;
                const float *from =
                    o->sums + part * part_of(o) + at(o, tap, r % outputs % o->outputs, l);
                float sum[WIDE_LANES] = {0};
                for (int64_t e = 0; e < o->chunks; e++, from += chunk_of(o))
#pragma omp simd
                    for (int j = 0; j < WIDE_LANES; j++)
                        sum[j] += from[j];
                for (int64_t j = l; j < least(l + beside, o->line); j++) {
                    const int64_t c = j % o->c, place = o->merged ? tap * across + j / o->c : tap;
                    o->gw[(r * o->c + c) * all + place] = sum[j - l];
                }
            }
}

void weft__conv_weights(const weft_device *d, const weft_conv_terms *t, float *gw, const void *gy,
                        const void *x, char *room, weft_dtype dt)
{
    job o = job_of(t);
    const int64_t bytes = (int64_t)sizeof(float);
    const int64_t most = (t->room / bytes - o.chunks * chunk_of(&o) - WIDE_LANES) / o.each;
    const double work =
        (double)(t->n * o.places) * (double)(t->o * o.c) * (double)(o.taps) / MULTIPLY_ADDS;
    const int team = weft__cpu_team(d, work);
    o.gy = gy;
    o.x = x;
    o.dt = dt;
    o.gw = gw;
    o.sums = (float *)room;
    o.scratch = o.sums + o.chunks * chunk_of(&o) + WIDE_LANES; /* join reads so far */
    o.slots = least(least(team, most), o.chunks * t->groups * o.parts);
    weft__cpu_pieces(items, &o, o.slots, 1, (int)o.slots);
    weft__cpu_rows(d, join, &o, t->o, o.taps * o.line * o.chunks);
}
#endif
