/* Products of tiles that lie in the caches, too small for the libraries that gemm asks. */
#ifndef DEVICE_CPU_TILE_H
#define DEVICE_CPU_TILE_H
#include <stdbool.h>
#include <stdint.h>

/* c (m,n) = a b, or with `add` that much more: a[i as + x ak], b[x bs + j], x from 0 to k-1, c[i cs + j]. n is a
 * whole number of lines of 64 bytes. Each number of c is one sum in the order of x, so that its bits do not
 * depend on how products are cut into others. */
typedef void weft__tile_f32(float *c, int64_t cs, const float *a, int64_t as, int64_t ak,
                            const float *b, int64_t bs, int64_t m, int64_t n, int64_t k, bool add);
typedef void weft__tile_f64(double *c, int64_t cs, const double *a, int64_t as, int64_t ak,
                            const double *b, int64_t bs, int64_t m, int64_t n, int64_t k, bool add);

/* The sets of instructions, best first and the last one everywhere; the first two fuse multiplications
 * with additions. */
typedef struct weft__tile_set {
    const char *name;
    bool (*usable)(void);
    weft__tile_f32 *product_f32;
    weft__tile_f64 *product_f64;
} weft__tile_set;
extern const weft__tile_set weft__tile_sets[];
/* The best that this processor has. */
const weft__tile_set *weft__tile_best(void);
#endif
