/* Products of tiles that lie in the caches, too small for the libraries that gemm asks. */
#ifndef DEVICE_CPU_TILE_H
#define DEVICE_CPU_TILE_H
#include <stdbool.h>
#include <stdint.h>

#define TILE 64 /* queries and keys of a tile of attention's scores */

/* c (m,n) = a b, or with `add` that much more: a[i as + x ak], b[x bs + j], x from 0 to k-1, c[i cs + j]. n is a
 * whole number of lines of 64 bytes. Each number of c is one sum in the order of x, so that its bits do not
 * depend on how products are cut into others. */
typedef void weft__tile_f32(float *c, int64_t cs, const float *a, int64_t as, int64_t ak,
                            const float *b, int64_t bs, int64_t m, int64_t n, int64_t k, bool add);
typedef void weft__tile_f64(double *c, int64_t cs, const double *a, int64_t as, int64_t ak,
                            const double *b, int64_t bs, int64_t m, int64_t n, int64_t k, bool add);

/* Scores s of n keys and w queries, s[j TILE + i], become exp(scale s - m) where query i sees key j, i >= j + lower,
 * else 0, with m the largest that i has seen, which m[i] was before: before[i] = exp(m before - m), sum[i] = the
 * sum of the new ones. Of the line that the first query that sees a key is in all are taken, w is a whole number of them. */
typedef void weft__tile_soften_f32(float *s, float *m, float *before, float *sum, int64_t lower,
                                   int64_t n, int64_t w, float scale);
typedef void weft__tile_soften_f64(double *s, double *m, double *before, double *sum, int64_t lower,
                                   int64_t n, int64_t w, double scale);
/* Scores s and what reaches their weights, g, n of a row: with p = exp(scale s - lse) and z = factor keep, or 1
 * without keep, s = p z and g = p (z g - delta) scale; lse and delta of the row, or with step 1 of its places. */
typedef void weft__tile_turn_f32(float *s, float *g, const float *keep, float factor,
                                 const float *lse, const float *delta, int step, float scale,
                                 int64_t n);
typedef void weft__tile_turn_f64(double *s, double *g, const float *keep, double factor,
                                 const double *lse, const double *delta, int step, double scale,
                                 int64_t n);

/* The sets of instructions, best first and the last one everywhere; the first two fuse multiplications
 * with additions. */
typedef struct weft__tile_set {
    const char *name;
    bool (*usable)(void);
    weft__tile_f32 *product_f32;
    weft__tile_f64 *product_f64;
    weft__tile_soften_f32 *soften_f32; /* NULL: what attention has for all */
    weft__tile_soften_f64 *soften_f64;
    weft__tile_turn_f32 *turn_f32;
    weft__tile_turn_f64 *turn_f64;
} weft__tile_set;
extern const weft__tile_set weft__tile_sets[];
weft__tile_soften_f32 weft__wide_soften; /* with AVX-512 */
weft__tile_turn_f32 weft__wide_turn;
/* The best that this processor has. */
const weft__tile_set *weft__tile_best(void);
#endif
