/* What layer normalisation and its gradient share. Read in each pass of a family. */
#include "device/cpu/lanes.h"
#ifndef DEVICE_CPU_LAYERNORM_H
#define DEVICE_CPU_LAYERNORM_H
struct norm {
    void *y, *gw, *gb, *sum;
    const void *x, *w, *b, *gy;
    const void *r; /* what is added: to x, or to gx; NULL: nothing */
    double *stats, eps;
    int64_t rows, c;
    double *room; /* of the gradient's parts */
    int64_t parts;
};
#endif

#ifdef T
/* n numbers from p on as C, in room where they are not so already, or `kept` there from before; NULL: all are
 * `otherwise`. */
CPU_INLINE const C *N(operand)(C *room, const T *p, int64_t first, int64_t n, C otherwise,
                               bool kept)
{
#ifndef LOW
    if (p)
        return p + first;
#else
    if (p && !kept)
        WIDEN(room, p + first, n);
#endif
    if (!p && !kept)
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            room[i] = otherwise;
    return room;
}
#endif
