/* The gradient of weights in bf16, by AMX: dW[place][c][o] = the sum over q of x[c][q + at] dy[o][q], q going through
 * the windows in rows as wide as those of x with its padding: dy is 0 at those that are none. Tiles of x are
 * read where they lie, 32 numbers of 16 channels; those of dy have two numbers of a channel side by side.
 *
 * Images are cut into chunks by their number alone; each has sums of its own, which are added up in order. */
#include "device/cpu/conv.h"

#if CPU_HAS_AMX
#include "device/cpu/range.h"
#include "device/cpu/turn.h"

#include <string.h>

#define MULTIPLY_ADDS 64.0      /* that count as one element operation */
#define CHUNKS 8                /* of images */
#define PARTS 16                /* of the work: chunks and parts of the output channels */
#define MOST ((int64_t)2 << 20) /* numbers of all chunks' sums */
#define GROUP 65536             /* bytes that are laid out at a time, about */
#define IMAGES 8                /* of at most so many images */
#define DEPTH 32                /* numbers of a tile's row */
#define SIDE 16                 /* its rows, and channels of dy's tiles */
#define TILE 512                /* numbers of a tile */
#define PAIR 32                 /* channels of two tiles */

typedef struct job {
    conv_map m;
    const weft_conv_terms *t;
    const uint16_t *gy, *x;
    float *gw, *sums;
    char *scratch;
    int64_t slots, each;
    int64_t plane;         /* from channel to channel of x */
    int64_t channels, all; /* of x and of dy, in whole pairs of tiles */
    int64_t steps;         /* of a sum */
    int64_t chunks, parts, group;
} job;

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Bytes of x and of dy of an image. */
static int64_t x_of(const job *o)
{
    return o->channels * o->plane * (int64_t)sizeof(uint16_t);
}

static int64_t gy_of(const job *o)
{
    return conv_up(o->all / PAIR, o->parts) / o->parts * 2 * o->steps * TILE *
           (int64_t)sizeof(uint16_t);
}

static int64_t chunk_of(const job *o)
{
    return o->m.taps * o->channels * o->all;
}

static job job_of(const weft_conv_terms *t)
{
    job o = {.t = t, .chunks = least(t->n, CHUNKS)};
    weft__conv_forward(&o.m, t);
    o.plane = conv_up(conv_plane(&o.m) + o.m.wide + DEPTH, DEPTH);
    o.channels = conv_up(t->c, PAIR);
    o.all = conv_up(t->o, PAIR);
    o.steps = conv_up((o.m.out[0] - 1) * o.m.wide + o.m.out[1], DEPTH) / DEPTH;
    while (o.chunks > 1 && o.chunks * chunk_of(&o) > MOST)
        o.chunks /= 2;
    o.parts = least(PARTS / o.chunks, o.all / PAIR);
    o.group = GROUP / (x_of(&o) + gy_of(&o));
    o.group = o.group < 1 ? 1 : least(o.group, IMAGES);
    o.each = o.group * (x_of(&o) + gy_of(&o)) + SIDE * o.steps * DEPTH * (int64_t)sizeof(uint16_t);
    return o;
}

int64_t weft__conv_weights_amx_each(const weft_conv_terms *t)
{
    const job o = job_of(t);
    return o.each;
}

int64_t weft__conv_weights_amx_room(const weft_conv_terms *t, int threads)
{
    const job o = job_of(t);
    return o.chunks * chunk_of(&o) * (int64_t)sizeof(float) + threads * o.each;
}

/* --- one image --- */

AMX_TARGET CPU_INLINE void copy(uint16_t *to, const uint16_t *from, int64_t n)
{
    for (int64_t i = 0; i < n; i += DEPTH) {
        const __mmask32 some = n - i < DEPTH ? (__mmask32)((1u << (n - i)) - 1) : ~(__mmask32)0;
        _mm512_mask_storeu_epi16(to + i, some, _mm512_maskz_loadu_epi16(some, from + i));
    }
}

/* A row of x goes to the phases that have its numbers. */
AMX_TARGET CPU_INLINE void lay_row(const conv_map *m, uint16_t *to, const uint16_t *from)
{
    const int64_t step = m->phases[1];
    if (step == 1) {
        copy(to + m->before[1], from, least(m->in[1], m->wide - m->before[1]));
        return;
    }
    for (int64_t g = 0; g < step; g++, to += m->high * m->wide) {
        const range in = cpu_inside(g - m->before[1], step, m->in[1], m->wide);
        for (int64_t q = in.first; q < in.end; q++)
            to[q] = from[q * step + g - m->before[1]];
    }
}

AMX_TARGET static void lay_x(const job *o, uint16_t *to, const uint16_t *from)
{
    const conv_map *m = &o->m;
    for (int64_t c = 0; c < o->t->c; c++, to += o->plane)
        for (int64_t y = 0; y < m->in[0]; y++, from += m->in[1]) {
            const int64_t down = y + m->before[0], row = down / m->phases[0];
            const int64_t phase = down % m->phases[0] * m->phases[1];
            if (row < m->high)
                lay_row(m, to + (phase * m->high + row) * m->wide, from);
        }
}

/* Tiles of dy's channels o0..o1-1, by way of `lines`: 16 of them with rows as wide as x's. */
AMX_TARGET static void lay_gy(const job *o, uint16_t *to, const uint16_t *from, uint16_t *lines,
                              int64_t o0, int64_t o1)
{
    const conv_map *m = &o->m;
    const int64_t line = o->steps * DEPTH;
    for (int64_t c = o0; c < o1; c += SIDE) {
        for (int64_t e = 0; e < SIDE; e++)
            for (int64_t r = 0; r < m->out[0]; r++)
                if (c + e < o->t->o)
                    copy(lines + e * line + r * m->wide,
                         from + ((c + e) * m->out[0] + r) * m->out[1], m->out[1]);
        for (int64_t s = 0; s < o->steps; s++, to += TILE) {
            __m512 v[SIDE];
#pragma GCC unroll 16
            for (int e = 0; e < SIDE; e++)
                v[e] = c + e < o->t->o ? _mm512_loadu_ps(lines + e * line + s * DEPTH)
                                       : _mm512_setzero_ps();
            cpu_turn_f32(v);
#pragma GCC unroll 16
            for (int e = 0; e < SIDE; e++)
                _mm512_storeu_ps(to + e * DEPTH, v[e]);
        }
    }
}

/* --- products --- */

/* Two by two tiles of a place's sums: of so many images, from x and gy on. */
AMX_TARGET CPU_INLINE void add_tiles(const job *o, const uint16_t *x, const uint16_t *gy,
                                     float *sums, int64_t images, bool first)
{
    const int64_t down = o->all * (int64_t)sizeof(float),
                  plane = o->plane * (int64_t)sizeof(uint16_t);
    if (first) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    } else {
        _tile_loadd(0, sums, down);
        _tile_loadd(1, sums + SIDE, down);
        _tile_loadd(2, sums + SIDE * o->all, down);
        _tile_loadd(3, sums + SIDE * o->all + SIDE, down);
    }
    for (int64_t i = 0; i < images; i++) {
        const uint16_t *a = x + i * x_of(o) / 2, *b = gy + i * gy_of(o) / 2;
        for (int64_t s = 0; s < o->steps; s++, a += DEPTH, b += TILE) {
            _tile_loadd(4, a, plane);
            _tile_loadd(6, b, 64);
            _tile_loadd(7, b + o->steps * TILE, 64);
            _tile_loadd(5, a + SIDE * o->plane, plane);
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(1, 4, 7);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
    }
    _tile_stored(0, sums, down);
    _tile_stored(1, sums + SIDE, down);
    _tile_stored(2, sums + SIDE * o->all, down);
    _tile_stored(3, sums + SIDE * o->all + SIDE, down);
}

AMX_TARGET static void add_up(const job *o, const uint16_t *x, const uint16_t *gy, float *sums,
                              int64_t images, int64_t o0, int64_t o1, bool first)
{
    weft__amx_begin();
    for (int64_t e = 0; e < o->m.taps; e++)
        for (int64_t c = 0; c < o->channels; c += PAIR)
            for (int64_t p = o0; p < o1; p += PAIR)
                add_tiles(o, x + c * o->plane + o->m.tap[e].at,
                          gy + (p - o0) / SIDE * o->steps * TILE,
                          sums + (e * o->channels + c) * o->all + p, images, first);
    weft__amx_end();
}

/* --- all of them --- */

/* A chunk's images for a part of the output channels. */
static void item(const job *o, int64_t e, char *room)
{
    const weft_conv_terms *t = o->t;
    const conv_map *m = &o->m;
    const int64_t chunk = e / o->parts, part = e % o->parts, pairs = o->all / PAIR;
    const int64_t o0 = pairs * part / o->parts * PAIR, o1 = pairs * (part + 1) / o->parts * PAIR;
    const int64_t begin = t->n * chunk / o->chunks, end = t->n * (chunk + 1) / o->chunks;
    uint16_t *x = (uint16_t *)room, *gy = (uint16_t *)(room + o->group * x_of(o));
    uint16_t *lines = (uint16_t *)(room + o->group * (x_of(o) + gy_of(o)));
    for (int64_t i = begin; i < end; i += o->group) {
        const int64_t n = least(o->group, end - i);
        for (int64_t j = i; j < i + n; j++) {
            lay_x(o, x + (j - i) * x_of(o) / 2, o->x + j * t->c * m->in[0] * m->in[1]);
            lay_gy(o, gy + (j - i) * gy_of(o) / 2, o->gy + j * t->o * m->out[0] * m->out[1], lines,
                   o0, o1);
        }
        add_up(o, x, gy, o->sums + chunk * chunk_of(o), n, o0, o1, i == begin);
    }
}

/* A slot is the room of a thread. */
static void items(const void *args, int64_t lo, int64_t hi)
{
    const job *o = args;
    const int64_t all = o->chunks * o->parts;
    for (int64_t slot = lo; slot < hi; slot++) {
        char *room = o->scratch + slot * o->each;
        memset(room, 0, (size_t)o->each);
        for (int64_t e = all * slot / o->slots; e < all * (slot + 1) / o->slots; e++)
            item(o, e, room);
    }
}

/* Input channels: the chunks' sums, in order. */
static void join(const void *args, int64_t lo, int64_t hi)
{
    const job *o = args;
    const weft_conv_terms *t = o->t;
    for (int64_t c = lo; c < hi; c++)
        for (int64_t tap = 0; tap < o->m.taps; tap++)
            for (int64_t p = 0; p < t->o; p += SIDE) {
                float sum[SIDE] = {0};
                for (int64_t e = 0; e < o->chunks; e++) {
                    const float *from =
                        o->sums + e * chunk_of(o) + (tap * o->channels + c) * o->all + p;
#pragma omp simd
                    for (int j = 0; j < SIDE; j++)
                        sum[j] += from[j];
                }
                for (int64_t j = p; j < least(p + SIDE, t->o); j++)
                    o->gw[(j * t->c + c) * o->m.taps + o->m.tap[tap].place] = sum[j - p];
            }
}

void weft__conv_weights_amx(const weft_device *d, const weft_conv_terms *t, float *gw,
                            const void *gy, const void *x, char *room)
{
    job o = job_of(t);
    const int64_t sums = o.chunks * chunk_of(&o) * (int64_t)sizeof(float);
    const double work = (double)(t->n * o.m.out[0] * o.m.out[1]) * (double)(t->o * t->c) *
                        (double)o.m.taps / MULTIPLY_ADDS;
    const int64_t team = weft__cpu_team(d, work);
    o.gy = gy;
    o.x = x;
    o.gw = gw;
    o.sums = (float *)room;
    o.scratch = room + sums;
    o.slots = least(least(team, (t->room - sums) / o.each), o.chunks * o.parts);
    weft__cpu_pieces(items, &o, o.slots, 1, (int)o.slots);
    weft__cpu_rows(d, join, &o, t->c, o.m.taps * o.all * o.chunks);
}
#endif
