/* y = alpha * sum of x over the dimensions in which y does not move; and relu's gradient with the sums of its
 * columns, in one pass.
 *
 * Sums are formed in f64, of columns of 16 bits four by four in f32 first. The order of additions is a function of
 * the shapes: the reduced elements are cut into blocks, a block is added up along its runs, and the blocks in their
 * order. */
#ifdef T

/* Adds to each of `rows` sums a run of n elements with stride s, in the lanes; runs are `step` apart. */
CPU_INLINE void N(add_runs)(double *acc, const T *x, int64_t step, int64_t s, int64_t n, int rows)
{
    double lanes[SIDE][CPU_LANES];
    for (int k = 0; k < rows; k++, x += step) {
        double lane[CPU_LANES] = {0};
        int64_t i = 0;
        for (; s == 1 && i + CPU_LANES <= n; i += CPU_LANES) {
#pragma omp simd
            for (int j = 0; j < CPU_LANES; j++)
                lane[j] += LOAD(x[i + j]);
        }
        if (s == 1 && i < n)
#pragma omp simd
            for (int j = 0; j < CPU_LANES; j++)
                lane[j] += j < n - i ? LOAD(x[i + j]) : 0;
        for (; s != 1 && i < n; i++)
            lane[i % CPU_LANES] += LOAD(x[i * s]);
        memcpy(lanes[k], lane, sizeof lane);
    }
#pragma omp simd
    for (int k = 0; k < rows; k++)
        acc[k] += cpu_fold(lanes[k]);
}

CPU_INLINE void N(add_row)(double *acc, const T *x, int64_t step, int64_t width)
{
#pragma omp simd
    for (int64_t j = 0; j < width; j++)
        acc[j] += LOAD(x[j * step]);
}

/* ROWS of them, s apart, one after the other. */
CPU_INLINE void N(add_rows)(double *acc, const T *x, int64_t s, int64_t width)
{
#pragma omp simd
    for (int64_t j = 0; j < width; j++)
#ifdef LOW /* f32 holds the sum of four, but where one is thousands of times another */
        acc[j] += (LOAD(x[j]) + LOAD(x[s + j])) + (LOAD(x[2 * s + j]) + LOAD(x[3 * s + j]));
#else
        acc[j] =
            (((acc[j] + LOAD(x[j])) + LOAD(x[s + j])) + LOAD(x[2 * s + j])) + LOAD(x[3 * s + j]);
#endif
}

/* acc[0..width) += the reduced elements lo..hi-1 of the outputs whose first is at x, `step` apart. */
static void N(add_block)(const struct sum *a, double *acc, const T *x, int64_t step, int64_t width,
                         int64_t lo, int64_t hi)
{
    const weft__walk *w = &a->reduced;
    const int64_t s = w->stride[0][w->rank - 1];
    weft__place p = weft__walk_seek(w, lo);
    for (int64_t n; lo < hi; lo += n, weft__walk_step(w, &p, n)) {
        const T *from = x + p.at[0];
        n = weft__walk_run(w, &p, hi - lo);
        int64_t i = 0;
        if (a->runs) {
            for (; s == 1 && i + SIDE <= width; i += SIDE)
                N(add_runs)(acc + i, from + i * step, step, 1, n, SIDE);
            for (; s == 1 && i < width; i++)
                N(add_runs)(acc + i, from + i * step, step, 1, n, 1);
            for (; i < width; i++)
                N(add_runs)(acc + i, from + i * step, step, s, n, 1);
            continue;
        }
        for (; step == 1 && i + ROWS <= n; i += ROWS, from += ROWS * s)
            N(add_rows)(acc, from, s, width);
        for (; i < n; i++, from += s)
            if (step == 1)
                N(add_row)(acc, from, 1, width);
            else
                N(add_row)(acc, from, step, width);
    }
}

/* Makes `rows` of x, s apart and n wide, from element `at` on, and adds them one after the other. */
CPU_INLINE void N(mask_rows)(const struct sum *a, double *acc, int64_t at, int64_t s, int64_t n,
                             int rows)
{
    const T *relu = (const T *)a->relu + at, *gy = (const T *)a->gy + at;
    T *x = (T *)a->x + at;
    for (int k = 0; k < rows && x != gy; k++)
        for (int64_t j = 0; j < n; j += 64 / (int64_t)sizeof(T))
            __builtin_prefetch(x + k * s + j, 1);
#pragma omp simd
    for (int64_t j = 0; j < n; j++) {
        double sum = acc[j];
        CPU_UNROLL(4)
        for (int k = 0; k < rows; k++) {
            const T g = gy[k * s + j]; /* whether it counts or not: no branch */
            x[k * s + j] = LOAD(relu[k * s + j]) > 0 ? g : 0;
            sum += LOAD(x[k * s + j]);
        }
        acc[j] = sum;
    }
}

/* What add_block does, of rows lo..hi-1 of a matrix whose columns k..k+n-1 are made here. */
static void N(mask_block)(const struct sum *a, double *acc, int64_t k, int64_t n, int64_t lo,
                          int64_t hi)
{
    const int64_t s = a->reduced.stride[0][0];
    int64_t r = lo;
    for (; r + ROWS <= hi; r += ROWS)
        CPU_CALL(mask_rows, a, acc, r * s + k, s, n, ROWS);
    for (; r < hi; r++)
        CPU_CALL(mask_rows, a, acc, r * s + k, s, n, 1);
    if (a->runs) { /* one, whose order is that of lanes */
        acc[0] = 0;
        CPU_CALL(add_block, a, acc, (const T *)a->x + k, 1, 1, lo, hi);
    }
}

/* Units: tiles of outputs times blocks of reduced elements. */
static void N(sum)(const void *args, int64_t lo, int64_t hi)
{
    const struct sum *a = args;
    const weft__walk *w = &a->kept;
    const int64_t step = w->stride[1][w->rank - 1];
    for (int64_t u = lo; u < hi; u++) {
        const int64_t block = u % a->blocks, r = a->reduced.numel;
        const int64_t first = r * block / a->blocks, last = r * (block + 1) / a->blocks;
        int64_t k = u / a->blocks * a->tile, end = k + a->tile < w->numel ? k + a->tile : w->numel;
        weft__place p = weft__walk_seek(w, k);
        for (int64_t n; k < end; k += n, weft__walk_step(w, &p, n)) {
            double *acc = a->partial + block * w->numel + k, here[WIDEST];
            n = weft__walk_run(w, &p, end - k);
            memset(here, 0, (size_t)n * sizeof *here);
            if (a->gy)
                CPU_CALL(mask_block, a, here, p.at[1], n, first, last);
            else
                CPU_CALL(add_block, a, here, (const T *)a->x + p.at[1], step, n, first, last);
            for (int64_t j = 0; j < n && a->blocks > 1; j++)
                acc[j] = here[j];
            if (a->blocks == 1)
                put(a, p.at[0], w->stride[0][w->rank - 1], here, n);
        }
    }
}

#else

#include "device/cpu/cpu.h"
#include "device/cpu/half.h"
#include "device/cpu/unroll.h"
#include "device/cpu/walk.h"

#include <string.h>

#define SIDE 8       /* runs that are folded at once */
#define TILE 256     /* outputs that are summed side by side, */
#define WIDEST 1024  /* and at most: longer runs of memory are read faster */
#define ROWS 4       /* summands that are added to them at once */
#define PARTIAL 4096 /* partial sums kept at a time */
#define BLOCKS 64
#define BLOCK 32768 /* additions that a block is worth */

struct sum {
    void *y;
    weft_dtype yt;
    void *x;
    const void *relu, *gy; /* x is to be made: gy where relu is above 0; or 0 */
    double alpha;
    weft__walk kept;    /* the outputs: in y and in x */
    weft__walk reduced; /* what is added to each: in x */
    bool runs;          /* along the summands, not side by side */
    int64_t tile, blocks;
    double *partial; /* [blocks][kept.numel] */
};

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* y's elements from `at` on, `step` apart, from n sums. */
static void put(const struct sum *a, int64_t at, int64_t step, const double *sum, int64_t n)
{
    const double alpha = a->alpha;
    float *f32 = (float *)a->y + at;
    double *f64 = (double *)a->y + at;
    uint16_t *low = (uint16_t *)a->y + at;
    if (a->yt == WEFT_F32)
        for (int64_t j = 0; j < n; j++)
            f32[j * step] = (float)(sum[j] * alpha);
    else if (a->yt == WEFT_F64)
        for (int64_t j = 0; j < n; j++)
            f64[j * step] = sum[j] * alpha;
    else
        for (int64_t j = 0; j < n; j++)
            low[j * step] =
                a->yt == WEFT_BF16 ? half_to_bf16(sum[j] * alpha) : half_to_f16(sum[j] * alpha);
}

#define CPU_LOW
#define CPU_FAMILY "device/cpu/sum.c"
#include "device/cpu/typed.h"

/* y from the partial sums, block after block. */
static void join(const struct sum *a)
{
    weft__place p = weft__walk_seek(&a->kept, 0);
    for (int64_t k = 0; k < a->kept.numel; k++, weft__walk_step(&a->kept, &p, 1)) {
        double total = 0;
        for (int64_t b = 0; b < a->blocks; b++)
            total += a->partial[b * a->kept.numel + k];
        put(a, p.at[0], 1, &total, 1);
    }
}

/* Parts the dimensions into those that y keeps and those that it sums. */
static void part(struct sum *a, const int64_t *ystride, const int64_t *xstride, int rank,
                 const int64_t *shape)
{
    int64_t shapes[2][WEFT_MAX_RANK], xs[2][WEFT_MAX_RANK], ys[WEFT_MAX_RANK];
    int n[2] = {0, 0};
    for (int d = 0; d < rank; d++) {
        const int sums = ystride[d] == 0;
        shapes[sums][n[sums]] = shape[d];
        xs[sums][n[sums]] = xstride[d];
        if (!sums)
            ys[n[0]] = ystride[d];
        n[sums]++;
    }
    const int64_t *const kept[] = {ys, xs[0]}, *const reduced[] = {xs[1]};
    weft__walk_of(&a->kept, 2, n[0], shapes[0], kept);
    weft__walk_of(&a->reduced, 1, n[1], shapes[1], reduced);
}

/* Blocks decide about the order of additions, tiles do not. */
static void plan(struct sum *a, int threads)
{
    const weft__walk *k = &a->kept, *r = &a->reduced;
    const int64_t inner = r->numel > 1 ? r->stride[0][r->rank - 1] : INT64_MAX;
    /* Side by side if neighbouring outputs lie closer than neighbouring summands. */
    a->runs = k->numel == 1 || k->stride[1][k->rank - 1] >= inner;
    a->tile = a->runs ? SIDE : TILE;
    a->blocks = least(r->numel * least(k->numel, TILE) / BLOCK, least(PARTIAL / k->numel, BLOCKS));
    a->blocks = a->blocks > 1 ? a->blocks : 1;
    while (a->tile < WIDEST && (threads == 1 || k->numel / a->tile / 2 * a->blocks >= 4 * threads))
        a->tile *= 2;
}

static weft_status add_up(weft_stream *s, const char *kernel, struct sum *a, const int64_t *ystride,
                          const int64_t *xstride, int rank, const int64_t *shape, weft_dtype dt)
{
    double partial[PARTIAL];
    if (!cpu_gives(a->yt, dt))
        return weft__no_kernel(s->device, kernel, dt);
    a->partial = partial;
    part(a, ystride, xstride, rank, shape);
    if (a->kept.numel == 0)
        return WEFT_OK;
    plan(a, s->device->threads);
    const int64_t units = (a->kept.numel + a->tile - 1) / a->tile * a->blocks;
    WEFT_TRY(weft__cpu_each_row(s, CPU_FLOATS(sum), dt, a, units,
                                a->kept.numel * a->reduced.numel / units + 1));
    if (a->blocks > 1)
        join(a);
    return WEFT_OK;
}

weft_status weft__cpu_sum(weft_stream *s, weft_dev y, weft_dtype yt, const int64_t *ystride,
                          double alpha, weft_dev x, const int64_t *xstride, int rank,
                          const int64_t *shape, weft_dtype dt)
{
    struct sum a = {.y = cpu_ptr(y), .yt = yt, .x = cpu_ptr(x), .alpha = alpha};
    return add_up(s, "sum", &a, ystride, xstride, rank, shape, dt);
}

weft_status weft__cpu_linear_relu_back(weft_stream *s, weft_dev g, weft_dev gb, weft_dtype gt,
                                       weft_dev y, weft_dev gy, int64_t rows, int64_t o,
                                       weft_dtype dt)
{
    const int64_t to[2] = {0, 1}, from[2] = {o, 1}, shape[2] = {rows, o};
    struct sum a = {.y = cpu_ptr(gb),
                    .yt = gt,
                    .x = cpu_ptr(g),
                    .relu = cpu_ptr(y),
                    .gy = cpu_ptr(gy),
                    .alpha = 1};
    if (!cpu_is_low(dt))
        return add_up(s, "linear_relu_back", &a, to, from, 2, shape, dt);
    /* To widen them takes longer than to read them again. */
    WEFT_TRY(weft__cpu_relu_back(s, g, y, gy, rows * o, dt));
    return weft__cpu_sum(s, gb, gt, to, 1, g, from, 2, shape, dt);
}
#endif
