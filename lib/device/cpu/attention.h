/* What attention and its gradient share: tiles of scores. Read in both passes of a family; the first
 * time it defines what does not depend on the type.
 *
 * Tiles are products of matrices, with the strides that q, k and v have; numbers of 16 bits are cast
 * to f32 first, WIDTH columns at a time. All of a thread's room is on its stack. */
#ifndef DEVICE_CPU_ATTENTION_H
#define DEVICE_CPU_ATTENTION_H
#include "core/rng.h"
#include "device/cpu/cpu.h"

#include <math.h>

#define TILE 64   /* queries and keys of a tile */
#define WIDTH 128 /* columns that are cast at a time */
/* Multiply-adds that count as one element operation. */
#define MULTIPLY_ADDS 16

struct attend {
    weft_stream *stream;
    const weft_attention_terms *o;
    void *y, *lse, *gq, *gk, *gv, *delta;
    const void *q, *k, *v, *gy;
};

CPU_INLINE int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

CPU_INLINE int64_t tiles_of(int64_t n)
{
    return (n + TILE - 1) / TILE;
}

/* Keys that queries up to number i, exclusive, see. */
CPU_INLINE int64_t seen_below(const weft_attention_terms *o, int64_t i)
{
    const int64_t n = i + o->offset > 0 ? i + o->offset : 0;
    return o->causal && n < o->keys ? n : o->keys;
}

/* An index: which head of which row of the batch, and the place of its first number. */
typedef struct head {
    int64_t b, h, group;
} head;

CPU_INLINE int64_t place_of(const int64_t stride[3], int64_t b, int64_t h, int64_t t)
{
    return b * stride[0] + h * stride[1] + t * stride[2];
}

/* What dropout multiplies weights with that it keeps. */
CPU_INLINE double keep_of(const weft_attention_terms *o)
{
    return o->p < 1 ? 1 / (1 - o->p) : 0;
}

/* Which of n weights from key j0 on it keeps: 1 or 0. */
static void kept(const weft_attention_terms *o, const head *at, int64_t i, int64_t j0, int64_t n,
                 float *keep)
{
    const uint64_t row = (uint64_t)(((o->base + at->b) * o->heads + at->h) * o->queries + i);
    const uint64_t below = (uint64_t)(o->p * 0x1p32 + 0.5), first = row * (uint64_t)o->keys;
    uint32_t w[4];
    for (int64_t j = 0; j < n; j++) {
        const uint64_t number = first + (uint64_t)(j0 + j);
        if (j == 0 || number % 4 == 0)
            weft__draw(o->seed, o->stream, o->step, number / 4, w);
        keep[j] = w[number % 4] < below ? 0 : 1;
    }
}
#endif

#ifdef T
#ifndef LOW
/* c (m,n) = alpha op(a) op(b) + beta c, k numbers a sum. */
static void M(multiply)(const struct attend *t, C *c, int64_t ldc, double alpha, const C *a,
                        int64_t lda, int ta, const C *b, int64_t ldb, int tb, double beta,
                        int64_t m, int64_t n, int64_t k)
{
    const weft_dtype type = sizeof(C) == sizeof(float) ? WEFT_F32 : WEFT_F64;
    weft__cpu_gemm(t->stream, (weft_dev){(uintptr_t)c}, type, ldc, alpha, (weft_dev){(uintptr_t)a},
                   lda, ta, (weft_dev){(uintptr_t)b}, ldb, tb, beta, m, n, k, type);
}
#endif

/* How many of n columns are taken at a time. */
CPU_INLINE int64_t N(part)(int64_t n)
{
    return sizeof(T) == sizeof(C) || n < WIDTH ? n : WIDTH;
}

/* x, rows of `columns` numbers that lie *ld apart, as C: x itself, or a copy in room. */
CPU_WIDE static const C *N(read_as)(C *room, const T *x, int64_t *ld, int64_t rows, int64_t columns)
{
    if (sizeof(T) == sizeof(C))
        return (const C *)(const void *)x;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < columns; j++)
            room[r * columns + j] = (C)LOAD(x[r * *ld + j]);
    *ld = columns;
    return room;
}

/* Room for casts. */
typedef struct N(casts) {
#ifdef LOW
    C a[TILE * WIDTH], b[TILE * WIDTH];
#else
    C a[1], b[1];
#endif
} N(casts);

/* s (m,n) = alpha x z^T, x m rows and z n rows of k numbers. */
static void N(scores)(const struct attend *t, N(casts) * room, C *s, double alpha, const T *x,
                      int64_t xs, int64_t m, const T *z, int64_t zs, int64_t n, int64_t k)
{
    int64_t at = 0;
    do {
        const int64_t c = N(part)(k - at);
        int64_t lda = xs, ldb = zs;
        const C *a = N(read_as)(room->a, x + at, &lda, m, c);
        const C *b = N(read_as)(room->b, z + at, &ldb, n, c);
        M(multiply)(t, s, TILE, alpha, a, lda, 0, b, ldb, 1, at ? 1 : 0, m, n, c);
        at += c;
    } while (at < k);
}

/* sum (m, columns) = op(p) x + beta sum, p the tile of weights, x its rows. */
static void N(weigh)(const struct attend *t, N(casts) * room, C *sum, int64_t ld, double beta,
                     const C *p, int turned, const T *x, int64_t xs, int64_t m, int64_t columns,
                     int64_t k)
{
    int64_t ldb = xs;
    const C *b = N(read_as)(room->b, x, &ldb, k, columns);
    M(multiply)(t, sum, ld, 1, p, TILE, turned, b, ldb, 0, beta, m, columns, k);
}

/* Where sums of 16-bit numbers are formed, WIDTH columns a time; others where the result is. */
typedef struct N(sums) {
#ifdef LOW
    C at[TILE * WIDTH];
#else
    C at[1];
#endif
} N(sums);

CPU_INLINE C *N(sum_in)(N(sums) * room, T *y, int64_t *ld, int64_t columns)
{
    if (sizeof(T) == sizeof(C))
        return (C *)(void *)y;
    *ld = columns;
    return room->at;
}

/* y = sum times a factor for each row, if there are any; rounded once. */
CPU_WIDE static void N(write)(T *y, int64_t ys, const C *sum, int64_t ld, const double *factor,
                              int64_t rows, int64_t columns)
{
    for (int64_t r = 0; r < rows && (factor || sizeof(T) != sizeof(C)); r++) {
        const C f = factor ? (C)factor[r] : 1;
        for (int64_t j = 0; j < columns; j++)
            y[r * ys + j] = STORE(sum[r * ld + j] * f);
    }
}

CPU_INLINE void N(blank)(T *y, int64_t ys, int64_t rows, int64_t columns)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < columns; j++)
            y[r * ys + j] = 0;
}
#endif
