/* Convolutions of few channels to a group, plane by plane: numbers side by side, from the first row's first one to the
 * last row's last one, get for each tap those at a fixed distance. What this gives between rows is not used.
 * Read in each pass of a family. */
#include "device/cpu/conv.h"
#include "device/cpu/lanes.h"
#ifndef DEVICE_CPU_CONV_DEPTH_H
#define DEVICE_CPU_CONV_DEPTH_H
#include "device/cpu/range.h"

#include <string.h>

#define BLOCK_BYTES 256  /* of sums side by side */
#define MULTIPLY_ADDS 16 /* that count as one element operation */

typedef struct conv_depth {
    const conv_map *m;
    void *y;
    const void *x, *w, *b;
    bool exact; /* y is f32 of 16 bits */
    char *room;
    int64_t slots, each; /* rooms of a thread, and their bytes */
} conv_depth;

/* Runs k over as many rooms as there are threads, of these bytes, for so many items. */
static inline weft_status conv_depth_run(weft_stream *s, const weft__cpu_kernel *k, conv_depth *a,
                                         int64_t items, int64_t bytes, weft_dtype dt)
{
    const conv_map *m = a->m;
    const int64_t threads = s->device->threads;
    a->each = weft__conv_depth_each(m, dt);
    a->slots = bytes / a->each < threads ? bytes / a->each : threads;
    a->slots = a->slots < items ? a->slots : items;
    if (a->slots == 0) /* no images */
        return WEFT_OK;
    const int64_t sums = m->n * m->groups * m->weights * m->grid->rows * m->grid->columns;
    return weft__cpu_each_row(s, k, dt, a, a->slots, sums / MULTIPLY_ADDS / a->slots);
}

/* Numbers of a grid, from row to row as in the source. */
static inline int64_t conv_flat(const conv_map *m, const conv_grid *g)
{
    return (g->rows - 1) * m->wide + g->columns;
}

/* Rooms of so many numbers, and of some more. */
static inline int64_t conv_planes_room(const conv_map *m)
{
    return conv_up(m->source * conv_plane(m), 64) + BLOCK_BYTES;
}

static inline int64_t conv_sums_room(const conv_map *m)
{
    int64_t most = 0;
    for (const conv_grid *g = m->grid; g < m->grid + m->grids; g++)
        most = conv_flat(m, g) > most ? conv_flat(m, g) : most;
    return conv_up(most, 64) + BLOCK_BYTES;
}
#endif

#ifdef T
#ifndef LOW
#define LINE ((int64_t)(64 / sizeof(C)))
#define BLOCK ((int64_t)(BLOCK_BYTES / sizeof(C)))
#endif

/* A row of a phase: q from first on, each at x = q step + off of the source. */
CPU_INLINE void N(lay_row)(C *to, int64_t wide, const T *from, int64_t extent, int64_t step,
                           int64_t off)
{
    const range in = cpu_inside(off, step, extent, wide);
    from += off;
    if (step == 1) {
        const C *v = N(read)(to + in.first, from + in.first, in.end - in.first) - in.first;
        if (v != to)
#pragma omp simd
            for (int64_t q = in.first; q < in.end; q++)
                to[q] = v[q];
    } else if (step == 2)
#pragma omp simd
        for (int64_t q = in.first; q < in.end; q++)
            to[q] = LOAD(from[2 * q]);
    else
        for (int64_t q = in.first; q < in.end; q++)
            to[q] = LOAD(from[q * step]);
}

/* Planes of a group of an image; what is not in it is left as it is, 0. */
static void N(lay)(C *to, const conv_map *m, const T *from)
{
    for (int64_t c = 0; c < m->source; c++, from += m->in[0] * m->in[1])
        for (int64_t i = 0; i < m->phases[0]; i++)
            for (int64_t j = 0; j < m->phases[1]; j++)
                for (int64_t r = 0; r < m->high; r++, to += m->wide) {
                    const int64_t y = r * m->phases[0] + i - m->before[0];
                    if (y >= 0 && y < m->in[0])
                        CPU_CALL(lay_row, to, m->wide, from + y * m->in[1], m->in[1], m->phases[1],
                                 j - m->before[1]);
                }
}
#endif
