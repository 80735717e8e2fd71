/* Windows over planes side by side, place after place. Read in each pass of a family. */
#ifdef T
#include "device/cpu/lanes.h"

/* Lays out what the windows of a band have under some of their places, the first at (top, left); `none` outside of the
 * plane. */
CPU_INLINE void N(lay)(const struct band *b, C *to, const T *x, const weft_window *o,
                       const int64_t step, int64_t top, int64_t left, C none)
{
    for (int64_t h = 0; h < b->phases[1]; h++) {
        const range in = cpu_inside(left + h, step, o->in[1], b->pitch);
        for (int64_t k = 0; k < b->phases[0]; k++)
            for (int64_t r = 0; r < b->rows; r++, to += b->pitch) {
                const int64_t row = top + k + r * o->stride[0];
                const bool out = row < 0 || row >= o->in[0];
                const T *from = x + row * o->in[1] + left + h;
                for (int64_t q = 0; q < (out ? b->pitch : in.first); q++)
                    to[q] = none;
#pragma omp simd
                for (int64_t q = out ? b->pitch : in.first; q < in.end; q++)
                    to[q] = LOAD(from[q * step]);
                for (int64_t q = in.end; q < b->pitch; q++)
                    to[q] = none;
            }
    }
    for (int q = 0; q < SPARE; q++)
        to[q] = none;
}

/* Windows r.., c.. of a band, place after place: the largest so far and where it is, counted from the window's corner, or
 * the sum so far. What lies outside of the plane changes neither. */
CPU_INLINE void N(gather)(const struct band *b, const T *x, const weft_window *o, int64_t r,
                          int64_t c, C *best, int32_t *at, double *sum)
{
    _Alignas(64) C room[ROOM + SPARE];
    const int64_t *d = o->dilation, *s = o->stride, *k = b->kernel;
    for (int64_t i = 0; i < o->kernel[0]; i += k[0])
        for (int64_t j = 0; j < o->kernel[1]; j += k[1]) {
            const int64_t top = r * s[0] - o->padding[0] + i * d[0];
            const int64_t left = c * s[1] - o->padding[1] + j * d[1];
            const C none = best ? (C)-INFINITY : 0;
            if (s[1] == 1)
                N(lay)(b, room, x, o, 1, top, left, none);
            else if (s[1] == 2)
                N(lay)(b, room, x, o, 2, top, left, none);
            else
                N(lay)(b, room, x, o, s[1], top, left, none);
            for (int64_t t = 0; t < k[0] * k[1]; t++) {
                const int64_t u = t / k[1] * d[0], v = t % k[1] * d[1],
                              h = v % s[1] * b->phases[0] + u % s[0];
                const C *w = room + (h * b->rows + u / s[0]) * b->pitch + v / s[1];
                const int32_t place = (int32_t)((i * d[0] + u) * o->in[1] + j * d[1] + v);
                if (j + t % k[1] >= o->kernel[1])
                    continue;
#pragma omp simd
                for (int32_t q = 0; q < (best ? b->windows : 0); q++) {
                    const bool take = !(w[q] <= best[q]) & (best[q] == best[q]);
                    best[q] = take ? w[q] : best[q];
                    at[q] = take ? place : at[q];
                }
#pragma omp simd
                for (int32_t q = 0; q < (best ? 0 : b->windows); q++)
                    sum[q] += (double)w[q];
            }
        }
}
#endif
