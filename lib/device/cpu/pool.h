/* Windows over planes, of pooling. */
#ifndef DEVICE_CPU_POOL_H
#define DEVICE_CPU_POOL_H
#include "device/cpu/cpu.h"
#include "device/cpu/lanes.h"
#include "device/cpu/range.h"
#include "device/cpu/wide.h"

#define ROOM 2048 /* places of a plane that are worked on at a time */
#define SPARE                                                                                      \
    16 /* more, so that vectors are whole; arithmetic on whatever lay there could be slow */
#define SOME 112 /* windows of a row, */
#define REACH 16 /* and columns that each covers, where not all have room */

struct pool {
    void *y;
    int32_t *at;
    const void *x;
    weft_average how;
    int64_t planes;
    weft_window o;
};

static inline int64_t clamp(int64_t v, int64_t most)
{
    return v < 0 ? 0 : v < most ? v : most;
}

/* The windows along dimension d that may have a place in lo..hi-1. */
static inline range covering(const weft_window *o, int d, int64_t lo, int64_t hi)
{
    const int64_t reach = (o->kernel[d] - 1) * o->dilation[d];
    const int64_t first = lo + o->padding[d] - reach, last = hi - 1 + o->padding[d];
    return (range){first < 0 ? 0 : (first + o->stride[d] - 1) / o->stride[d],
                   clamp(last / o->stride[d] + 1, o->out[d])};
}

/* What is worked on at a time: `height` rows of n windows, side by side under each of kernel[0] x kernel[1] places. Rows
 * and columns of the plane that are a stride apart lie one behind the other, `rows` by `pitch`, for each of the phases;
 * so what a place needs lies in one line of so many windows, with some between the rows that are none. */
struct band {
    int64_t kernel[2], phases[2], n, height, bands, rows, pitch;
    int32_t windows;
};

static inline struct band band_of(const weft_window *o)
{
    struct band b = {.kernel = {o->kernel[0], o->kernel[1]}, .n = o->out[1]};
    for (int part = 0; b.height < 1; part++) {
        int64_t behind[2];
        if (part) { /* large windows, a row of places at a time */
            b.n = b.n < SOME ? b.n : SOME;
            b.kernel[0] = 1;
            b.kernel[1] = clamp((REACH - 1) / o->dilation[1] + 1, b.kernel[1]);
        }
        for (int d = 0; d < 2; d++) {
            const int64_t reach = (b.kernel[d] - 1) * o->dilation[d];
            b.phases[d] = reach < o->stride[d] ? reach + 1 : o->stride[d];
            behind[d] = reach / o->stride[d];
        }
        b.pitch = b.n + behind[1];
        if (b.phases[0] <= ROOM && b.phases[1] <= ROOM && b.pitch <= ROOM)
            b.height = clamp(ROOM / (b.phases[0] * b.phases[1] * b.pitch) - behind[0], o->out[0]);
        b.rows = b.height + behind[0];
    }
    b.bands = (o->out[0] + b.height - 1) / b.height;
    b.windows = (int32_t)(((b.height - 1) * b.pitch + b.n + 15) / 16 * 16);
    return b;
}

/* The body of maxpool over rows of windows that is quicker for these windows here; NULL: none. */
weft__cpu_body *weft__pool_wide(const weft_window *o, weft_dtype t);
#endif
