/* What attention and its gradient share: tiles of scores, and the products they are made of. Read in both
 * passes of a family; the first time it defines what does not depend on the type.
 *
 * Products are of a tile's size, too small for gemm: lines of 64 bytes are summed up in the order of k, so
 * that bits are the same with vectors of any length. All of a thread's room is on its stack, up to 450 KiB
 * of it. */
#ifndef DEVICE_CPU_ATTENTION_H
#define DEVICE_CPU_ATTENTION_H
#include "core/rng.h"
#include "device/cpu/cpu.h"

#include <math.h>

#define TILE 64   /* queries and keys of a tile */
#define WIDTH 128 /* columns that are summed up at a time */
/* Multiply-adds that count as one element operation. */
#define MULTIPLY_ADDS 16

/* Vectors of 64 bytes, too; as everywhere without FMA. */
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__)
#define WIDEST __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define WIDEST
#endif

struct attend {
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

/* The first place of piece number e of so many: tiles from both ends in turn, so that neighbours have the
 * same work together where later queries see more. */
CPU_INLINE int64_t begin_of(int64_t e, int64_t tiles)
{
    const int64_t x = e % tiles;
    return (x % 2 ? tiles - 1 - x / 2 : x / 2) * TILE;
}

/* How many of n columns are taken at a time. */
CPU_INLINE int64_t part(int64_t n)
{
    return least(n, WIDTH);
}

/* Keys that queries up to number i, exclusive, see. */
CPU_INLINE int64_t seen_below(const weft_attention_terms *o, int64_t i)
{
    const int64_t n = i + o->offset > 0 ? i + o->offset : 0;
    return o->causal && n < o->keys ? n : o->keys;
}

/* An index: which head of which row of the batch, and the head of its keys. */
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

/* Which weights of a tile dropout keeps, 1 or 0: that of query i0 + i and key j0 + j goes to
 * keep[i si + j sj]. */
static void kept(const weft_attention_terms *o, const head *at, int64_t i0, int64_t rows,
                 int64_t j0, int64_t n, float *keep, int64_t si, int64_t sj)
{
    const uint64_t below = (uint64_t)(o->p * 0x1p32 + 0.5);
    const int64_t line = ((o->base + at->b) * o->heads + at->h) * o->queries + i0;
    uint32_t w[TILE + 8]; /* four to a block, and blocks begin anywhere in a row */
    for (int64_t i = 0; i < rows; i++) {
        const uint64_t first = (uint64_t)(line + i) * (uint64_t)o->keys + (uint64_t)j0;
        const int64_t lead = (int64_t)(first % 4);
        for (int64_t e = 0; e < lead + n; e += 4)
            weft__draw(o->seed, o->stream, o->step, (first + (uint64_t)e) / 4, w + e);
        for (int64_t j = 0; j < n; j++)
            keep[i * si + j * sj] = w[lead + j] < below ? 0 : 1;
    }
}
#endif

#ifdef T
#ifndef LOW
typedef C M(line) __attribute__((vector_size(64), aligned(__alignof__(C)), may_alias));
#define LINE(x) ((int64_t)(64 / sizeof(x)))

/* n numbers, in whole lines. */
CPU_INLINE int64_t M(lines)(int64_t n)
{
    return (n + LINE(C) - 1) / LINE(C) * LINE(C);
}

/* Four rows of a line: c[r] = (add ? c[r] : 0) + sum over x of a[r as + x ak] b[x bs]. */
CPU_INLINE void M(four_rows)(C *c, int64_t cs, const C *a, int64_t as, int64_t ak, const C *b,
                             int64_t bs, int64_t k, bool add)
{
    M(line) *const to[4] = {(M(line) *)c, (M(line) *)(c + cs), (M(line) *)(c + 2 * cs),
                            (M(line) *)(c + 3 * cs)};
    M(line) s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
    if (add) {
        s0 = *to[0];
        s1 = *to[1];
        s2 = *to[2];
        s3 = *to[3];
    }
    for (int64_t x = 0; x < k; x++) {
        const M(line) v = *(const M(line) *)(b + x * bs);
        const C *at = a + x * ak;
        s0 += at[0] * v;
        s1 += at[as] * v;
        s2 += at[2 * as] * v;
        s3 += at[3 * as] * v;
    }
    *to[0] = s0;
    *to[1] = s1;
    *to[2] = s2;
    *to[3] = s3;
}

CPU_INLINE void M(one_row)(C *c, const C *a, int64_t ak, const C *b, int64_t bs, int64_t k,
                           bool add)
{
    M(line) s = {0};
    if (add)
        s = *(M(line) *)c;
    for (int64_t x = 0; x < k; x++)
        s += a[x * ak] * *(const M(line) *)(b + x * bs);
    *(M(line) *)c = s;
}

/* c (m, n) = a b, or more; n in whole lines; a's strides are as and ak. */
WIDEST static void M(multiply)(C *c, int64_t cs, const C *a, int64_t as, int64_t ak, const C *b,
                               int64_t bs, int64_t m, int64_t n, int64_t k, bool add)
{
    for (int64_t j = 0; j < n; j += LINE(C)) {
        int64_t i = 0;
        for (; i + 4 <= m; i += 4)
            M(four_rows)(c + i * cs + j, cs, a + i * as, as, ak, b + j, bs, k, add);
        for (; i < m; i++)
            M(one_row)(c + i * cs + j, a + i * as, ak, b + j, bs, k, add);
    }
}
#endif

/* Room for what is read otherwise than it lies there. */
typedef struct N(room) {
#ifdef LOW
    C a[TILE * WIDTH];
#else
    C a[1];
#endif
    C b[TILE * WIDTH];
} N(room);

/* to (columns, TILE) = x turned, x rows of so many columns; the last line is filled with 0. */
CPU_WIDE static void N(turned)(C *to, const T *x, int64_t xs, int64_t rows, int64_t columns)
{
    for (int64_t j = 0; j < columns; j++)
        for (int64_t r = rows; r < M(lines)(rows); r++)
            to[j * TILE + r] = 0;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < columns; j++)
            to[j * TILE + r] = (C)LOAD(x[r * xs + j]);
}

/* Rows of x as C: x itself or a copy, with 0 up to the end of the last line if `whole`. */
CPU_WIDE static const C *N(read_as)(C *room, const T *x, int64_t *ld, int64_t rows, int64_t columns,
                                    bool whole)
{
    if (sizeof(T) == sizeof(C) && (!whole || columns % LINE(C) == 0))
        return (const C *)(const void *)x;
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t j = 0; j < columns; j++)
            room[r * WIDTH + j] = (C)LOAD(x[r * *ld + j]);
        for (int64_t j = columns; j < M(lines)(columns) && whole; j++)
            room[r * WIDTH + j] = 0;
    }
    *ld = WIDTH;
    return room;
}

/* s (m, TILE) = x z^T, x m rows and z n rows of k numbers. zt is z turned, if k is within WIDTH, else room
 * for parts of that. */
static void N(scores)(N(room) * room, C *s, const T *x, int64_t xs, int64_t m, C *zt, const T *z,
                      int64_t zs, int64_t n, int64_t k)
{
    int64_t at = 0;
    do {
        const int64_t c = part(k - at);
        int64_t ld = xs;
        const C *a = N(read_as)(room->a, x + at, &ld, m, c, false);
        if (k > WIDTH)
            N(turned)(zt, z + at, zs, n, c);
        M(multiply)(s, TILE, a, ld, 1, zt, TILE, m, M(lines)(n), c, at > 0);
        at += c;
    } while (at < k);
}

/* sum (m, columns) = p^T x, or more, p (k, TILE) the weights, x k rows. */
static void N(weigh)(N(room) * room, C *sum, const C *p, const T *x, int64_t xs, int64_t m,
                     int64_t columns, int64_t k, bool add)
{
    int64_t ld = xs;
    const C *b = N(read_as)(room->b, x, &ld, k, columns, true);
    M(multiply)(sum, WIDTH, p, 1, TILE, b, ld, m, M(lines)(columns), k, add);
}

/* y = sum, each row times its factor if there are any, rounded once; 0 without a sum. */
CPU_WIDE static void N(write)(T *y, int64_t ys, const C *sum, const C *factor, int64_t rows,
                              int64_t columns)
{
    for (int64_t r = 0; r < rows; r++) {
        const C f = factor ? factor[r] : 1;
        for (int64_t j = 0; j < columns && sum; j++)
            y[r * ys + j] = STORE(sum[r * WIDTH + j] * f);
        for (int64_t j = 0; j < columns && !sum; j++)
            y[r * ys + j] = 0;
    }
}
#endif
