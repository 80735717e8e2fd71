/* Convolutions without a matrix of windows, in f32 by AVX-512: each image is laid out with its padding, small enough for
 * a core's cache, and products read the places of windows where they lie.
 *
 * Forward and the gradient of images are one task: numbers of a target plane are sums over channels and taps of a
 * source, each tap a place at a fixed distance. With a stride, forward's source is cut into the phases of the
 * stride (each with every stride-th row and column), and the gradient's target into grids, one for each phase. */
#ifndef DEVICE_CPU_CONV_H
#define DEVICE_CPU_CONV_H
#include "device/cpu/amx.h"
#include "device/cpu/wide.h"

#define CONV_TAPS 64  /* places of a kernel, at most */
#define CONV_GRIDS 16 /* phases of a stride */
#define CONV_ROWS 14  /* of a tile: 28 sums in registers */
#define CONV_PANEL 32 /* channels of a tile */

/* Targets (t, u), t < rows and u < columns, at the place first + step (t, u) of the plane. */
typedef struct conv_grid {
    int64_t first[2], rows, columns, tap, taps; /* its taps */
} conv_grid;

typedef struct conv_tap {
    int64_t at;    /* from target (0, 0) of a grid to its source, in numbers */
    int64_t place; /* of the kernel */
} conv_tap;

/* Planes of `source` channels, laid out, and of `target` channels. Plane (f, g) has at (r, c) the source's
 * number at (r, c) phases + (f, g) - before, or 0. */
typedef struct conv_map {
    int64_t n, groups, source, target; /* channels of a group */
    int64_t in[2], out[2], phases[2], before[2], step[2];
    int64_t high, wide; /* of a plane that is laid out */
    int64_t ws, wt;     /* from source to source, from target to target channel in the weights */
    int64_t weights;    /* of a group */
    int64_t taps;
    int grids;
    conv_grid grid[CONV_GRIDS];
    conv_tap tap[CONV_TAPS];
} conv_map;

static inline int64_t conv_up(int64_t n, int64_t to)
{
    return (n + to - 1) / to * to;
}

/* Of a source channel, laid out. */
static inline int64_t conv_plane(const conv_map *m)
{
    return m->phases[0] * m->phases[1] * m->high * m->wide;
}

/* conv_map.c. False: the kernel or the stride is too large. */
bool weft__conv_forward(conv_map *m, const weft_conv_terms *t);
bool weft__conv_backward(conv_map *m, const weft_conv_terms *t);

#if CPU_HAS_WIDE
/* conv_tile.c. rows x (16 vectors) sums, from c on in rows rc apart:
 * sum over taps and depth of a[tap.at + k plane + r] b[k' + lane], b going on by a vector or two each time. */
typedef struct conv_tile {
    const float *a, *b;
    float *c;
    int64_t rc, depth, plane, taps;
    const conv_tap *tap;
} conv_tile;
void weft__conv_multiply(const conv_tile *t, int64_t rows, int64_t vectors);

/* rows x (16 vectors) sums, set (or added to, if there are some) from c on in rows rc apart: over `lines` lines of
 * `depth` each, of a[r] b[lane], a going on by ra, b by rb in a line, and by la and lb from one to the next. */
typedef struct conv_outer {
    const float *a, *b;
    float *c;
    int64_t ra, rb, la, lb, lines, depth, rc;
    bool add;
} conv_outer;
void weft__conv_outer(const conv_outer *t, int64_t rows, int64_t vectors);

/* conv_lay.c. Numbers in memory of type f32, bf16 or f16. */
/* The planes of one image; what is not in it is left as it is, 0. */
void weft__conv_planes(float *to, const conv_map *m, const void *from, weft_dtype dt);
/* n numbers of each of `channels` planes (`plane` apart): to[i][channel], `step` from i to i + 1. step: channels, rounded
 * up to 16, or fewer than 16. */
void weft__conv_turn(float *to, int64_t step, const void *from, int64_t plane, int64_t n,
                     int64_t channels, weft_dtype dt);
/* And back, adding bias[channel], which may be NULL. */
void weft__conv_turn_back(void *to, int64_t plane, const float *from, int64_t step, int64_t n,
                          int64_t channels, const float *bias, weft_dtype dt);
#endif

/* A way to compute images: how they are laid out, and by what. */
typedef struct conv_way {
    int64_t lanes; /* of which sums have a multiple side by side */
    /* Bytes of an image, laid out, and of weights, packed. */
    int64_t (*planes)(const conv_map *m);
    int64_t (*weights)(const conv_map *m);
    /* The weights of so many target channels from panel * CONV_PANEL on, and source channels from `first` on. */
    void (*pack)(char *to, const conv_map *m, const void *w, int64_t panel, int64_t first,
                 weft_dtype dt);
    /* An image; what is not in it is left as it is, 0. */
    void (*lay)(char *to, const conv_map *m, const void *from, weft_dtype dt);
    /* A panel's sums in a grid, those of a place `row` numbers from the next one's. */
    void (*grid)(const conv_map *m, const conv_grid *g, const char *planes, const char *weights,
                 float *sums, int64_t row, int64_t panel);
} conv_way;
extern const conv_way weft__conv_f32; /* conv_f32.c */
#if CPU_HAS_AMX
extern const conv_way weft__conv_amx; /* conv_amx.c: of bf16 */
#endif

/* conv_ways.c */
typedef enum conv_by {
    CONV_BY_PRODUCTS,
    CONV_BY_PLANES,
    CONV_BY_IMAGES,
} conv_by;
typedef bool conv_mapping(conv_map *m, const weft_conv_terms *t);
/* How images are computed, by the map that this sets. */
conv_by weft__conv_by_images(conv_mapping *of, conv_map *m, const weft_conv_terms *t,
                             weft_dtype dt);
/* How weights' gradients are, and m of forward. */
conv_by weft__conv_by_weights(conv_map *m, const weft_conv_terms *t, weft_dtype dt);
/* Whether those of images are products of tiles of AMX. */
bool weft__conv_by_tiles(const weft_conv_terms *t, weft_dtype dt);

/* conv_depth.c, any type: the same plane by plane, for few channels to a group. m of forward or backward. */
weft_status weft__conv_depth(weft_stream *s, const conv_map *m, void *y, weft_dtype yt,
                             const void *x, const void *w, const void *b, void *room, int64_t bytes,
                             weft_dtype dt);
/* conv_dots.c: and the gradient of weights. m of forward. */
weft_status weft__conv_dots(weft_stream *s, const conv_map *m, void *gw, const void *gy,
                            const void *x, void *room, int64_t bytes, weft_dtype dt);
/* Bytes that a thread of either needs. */
int64_t weft__conv_depth_each(const conv_map *m, weft_dtype dt);

/* conv_images.c: y = windows of x times w, by m; w is read as target and source channels of m. */
void weft__conv_images(const weft_device *d, const conv_map *m, void *y, weft_dtype yt,
                       const void *x, const void *w, const void *b, char *room, int64_t bytes,
                       weft_dtype dt);
/* Bytes of room for so many threads; what one thread needs. */
int64_t weft__conv_images_room(const conv_map *m, int threads, weft_dtype dt);
int64_t weft__conv_images_each(const conv_map *m, weft_dtype dt);

/* conv_weights.c: the gradient of weights, in f32. */
void weft__conv_weights(const weft_device *d, const weft_conv_terms *t, float *gw, const void *gy,
                        const void *x, char *room, weft_dtype dt);
int64_t weft__conv_weights_room(const weft_conv_terms *t, int threads);
int64_t weft__conv_weights_each(const weft_conv_terms *t);
#if CPU_HAS_AMX
/* conv_weights_amx.c: the same of bf16. */
void weft__conv_weights_amx(const weft_device *d, const weft_conv_terms *t, float *gw,
                            const void *gy, const void *x, char *room);
int64_t weft__conv_weights_amx_room(const weft_conv_terms *t, int threads);
int64_t weft__conv_weights_amx_each(const weft_conv_terms *t);
#endif
#endif
