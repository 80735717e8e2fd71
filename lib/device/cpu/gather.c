/* y = x at index along one dimension, and its gradient. Lines along that dimension go to threads
 * whole: no two write to one place. */
#ifdef T

static void N(gather)(const void *args, int64_t lo, int64_t hi)
{
    const struct gather *a = args;
    weft__place p = weft__walk_seek(&a->lines, lo);
    for (int64_t r = lo; r < hi; r++, weft__walk_step(&a->lines, &p, 1)) {
        const T *x = (const T *)a->x + p.at[0];
        for (int64_t j = 0; j < a->length; j++) {
            const int64_t at = p.at[1] + j * a->ystep, k = cpu_label(a->index, a->it, at);
            const bool good = k >= 0 && k < a->n;
            ((T *)a->y)[at] = good ? x[k * a->xstep] : STORE((C)NAN);
            if (!good)
                atomic_store_explicit(a->bad, 1, memory_order_relaxed);
        }
    }
}

static void N(gather_back)(const void *args, int64_t lo, int64_t hi)
{
    const struct gather *a = args;
    weft__place p = weft__walk_seek(&a->lines, lo);
    for (int64_t r = lo; r < hi; r++, weft__walk_step(&a->lines, &p, 1)) {
        C *gx = (C *)a->y + p.at[0];
        for (int64_t j = 0; j < a->length; j++) {
            const int64_t at = p.at[1] + j * a->ystep, k = cpu_label(a->index, a->it, at);
            if (k >= 0 && k < a->n)
                gx[k * a->xstep] += LOAD(((const T *)a->x)[at]);
        }
    }
}

#else

#include "core/shape.h"
#include "device/cpu/cpu.h"
#include "device/cpu/walk.h"

#include <math.h>
#include <stdatomic.h>

struct gather {
    void *y;
    const void *x, *index;
    weft_dtype it;
    weft__walk lines; /* the dimensions but dim: in x, and in y and index */
    int64_t length, xstep, ystep, n;
    atomic_int *bad;
};

#define CPU_LOW
#define CPU_FAMILY "device/cpu/gather.c"
#include "device/cpu/typed.h"

/* Parts the dimensions into dim and the others. @return elements of the index. */
static int64_t part(struct gather *a, const int64_t *xstride, int rank, const int64_t *shape,
                    int dim)
{
    int64_t ystride[WEFT_MAX_RANK], shapes[WEFT_MAX_RANK], xs[WEFT_MAX_RANK], ys[WEFT_MAX_RANK];
    const int64_t *const stride[] = {xs, ys};
    int n = 0;
    weft__strides(rank, shape, ystride);
    for (int d = 0; d < rank; d++) {
        if (d == dim)
            continue;
        shapes[n] = shape[d];
        xs[n] = xstride[d];
        ys[n++] = ystride[d];
    }
    a->length = shape[dim];
    a->xstep = xstride[dim];
    a->ystep = ystride[dim];
    weft__walk_of(&a->lines, 2, n, shapes, stride);
    return a->lines.numel * a->length;
}

weft_status weft__cpu_gather(weft_stream *s, weft_dev y, weft_dev flag, weft_dev x,
                             const int64_t *xstride, weft_dev index, weft_dtype it, int rank,
                             const int64_t *shape, int dim, int64_t n, weft_dtype dt)
{
    atomic_int bad = 0;
    struct gather a = {
        .y = cpu_ptr(y), .x = cpu_ptr(x), .index = cpu_ptr(index), .it = it, .n = n, .bad = &bad};
    if (!cpu_is_label(it))
        return weft__no_kernel(s->device, "gather", it);
    const int64_t elements = part(&a, xstride, rank, shape, dim);
    WEFT_TRY(weft__cpu_each_row(s, CPU_FLOATS(gather), dt, &a, a.lines.numel, 4 * a.length));
    if (bad)
        cpu_report(cpu_ptr(flag), a.index, it, elements, n);
    return WEFT_OK;
}

weft_status weft__cpu_gather_back(weft_stream *s, weft_dev gx, const int64_t *gxstride, weft_dev gy,
                                  weft_dev index, weft_dtype it, int rank, const int64_t *shape,
                                  int dim, int64_t n, weft_dtype dt)
{
    struct gather a = {
        .y = cpu_ptr(gx), .x = cpu_ptr(gy), .index = cpu_ptr(index), .it = it, .n = n};
    if (!cpu_is_label(it))
        return weft__no_kernel(s->device, "gather_back", it);
    part(&a, gxstride, rank, shape, dim);
    return weft__cpu_each_row(s, CPU_FLOATS(gather_back), dt, &a, a.lines.numel, 4 * a.length);
}
#endif
