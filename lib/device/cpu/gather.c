/* y = x at index along one dimension, and its gradient. Lines along that dimension go to threads
 * whole: no two write to one place. */
#ifdef T

/* n neighbours of y and index, from element `at` on; x moves by xs from one to the next. */
CPU_INLINE void N(gather_run)(const struct gather *a, int64_t at, const T *x, int64_t xs, int64_t n)
{
    int64_t room[RUN];
    for (int64_t end = at + n; at < end; at += n, x += n * xs) {
        n = end - at < RUN ? end - at : RUN;
        const int64_t *k = n < FEW ? NULL : all_good(room, a, at, n);
        T *y = (T *)a->y + at;
        for (int64_t i = 0; k && i < n; i++)
            y[i] = x[k[i] * a->xstep + i * xs];
        for (int64_t i = 0; !k && i < n; i++) {
            const int64_t from = cpu_label(a->index, a->it, at + i);
            const bool good = from >= 0 && from < a->n;
            y[i] = good ? x[from * a->xstep + i * xs] : STORE((C)NAN);
            if (!good)
                atomic_store_explicit(a->bad, 1, memory_order_relaxed);
        }
    }
}

CPU_INLINE void N(gather_back_run)(const struct gather *a, int64_t at, C *gx, int64_t xs, int64_t n)
{
    int64_t room[RUN];
    for (int64_t end = at + n; at < end; at += n, gx += n * xs) {
        n = end - at < RUN ? end - at : RUN;
        const int64_t *k = n < FEW ? NULL : all_good(room, a, at, n);
        const T *gy = (const T *)a->x + at;
        for (int64_t i = 0; k && i < n; i++)
            gx[k[i] * a->xstep + i * xs] += LOAD(gy[i]);
        for (int64_t i = 0; !k && i < n; i++) {
            const int64_t to = cpu_label(a->index, a->it, at + i);
            if (to >= 0 && to < a->n)
                gx[to * a->xstep + i * xs] += LOAD(gy[i]);
        }
    }
}

/* Lines lo..hi-1, by runs of neighbours: a line, or an element of each of so many. */
#define EACH_RUN(run, X, x)                                                                        \
    const struct gather *a = args;                                                                 \
    const int64_t xs = a->lines.stride[0][a->lines.rank - 1];                                      \
    weft__place p = weft__walk_seek(&a->lines, lo);                                                \
    if (a->ystep == 1 && a->length > 1)                                                            \
        for (; lo < hi; lo++, weft__walk_step(&a->lines, &p, 1))                                   \
            N(run)(a, p.at[1], (X *)(x) + p.at[0], 0, a->length);                                  \
    for (int64_t n; lo < hi; lo += n, weft__walk_step(&a->lines, &p, n)) {                         \
        n = weft__walk_run(&a->lines, &p, hi - lo < ABREAST ? hi - lo : ABREAST);                  \
        for (int64_t j = 0; j < a->length; j++)                                                    \
            N(run)(a, p.at[1] + j * a->ystep, (X *)(x) + p.at[0], xs, n);                          \
    }

static void N(gather)(const void *args, int64_t lo, int64_t hi)
{
    EACH_RUN(gather_run, const T, a->x)
}

static void N(gather_back)(const void *args, int64_t lo, int64_t hi)
{
    EACH_RUN(gather_back_run, C, a->y)
}
#undef EACH_RUN

#else

#include "core/shape.h"
#include "device/cpu/cpu.h"
#include "device/cpu/walk.h"

#include <math.h>
#include <stdatomic.h>

#define RUN 256     /* indices that are looked at before they are used */
#define FEW 16      /* that are not worth it */
#define ABREAST 256 /* lines whose elements are neighbours: what they read stays near */

struct gather {
    void *y;
    const void *x, *index;
    weft_dtype it;
    weft__walk lines; /* the dimensions but dim: in x, and in y and index */
    int64_t length, xstep, ystep, n;
    atomic_int *bad;
};

/* The indices at..at+n-1, in room where they are not of i64 already; NULL: one is bad. */
CPU_INLINE const int64_t *all_good(int64_t *room, const struct gather *a, int64_t at, int64_t n)
{
    const int64_t *k = a->it == WEFT_I64 ? (const int64_t *)a->index + at : room;
    int bad = 0;
    for (int64_t i = 0; k == room && i < n; i++)
        room[i] = cpu_label(a->index, a->it, at + i);
#pragma omp simd reduction(| : bad)
    for (int64_t i = 0; i < n; i++)
        bad |= (uint64_t)k[i] >= (uint64_t)a->n;
    return bad ? NULL : k;
}

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
