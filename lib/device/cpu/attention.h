/* What attention and its gradient share: tiles of scores, and the products they are made of. Read in both
 * passes of a family; the first time it defines what does not depend on the type.
 *
 * All of a thread's room is on its stack, up to 1 MiB of it. */
#ifndef DEVICE_CPU_ATTENTION_H
#define DEVICE_CPU_ATTENTION_H
#include "device/cpu/cpu.h"
#include "device/cpu/tile.h"
#include "device/cpu/words.h"

#include <math.h>

#define WIDTH 128 /* columns that are summed up at a time */
/* Rows that a tile is cut into, as those on the diagonal are half empty. */
#define STEP 12
/* Multiply-adds that count as one element operation. */
#define MULTIPLY_ADDS 16

struct attend {
    const weft_attention_terms *o;
    const weft__tile_set *set;
    void *y, *lse, *gq, *gk, *gv, *delta;
    const void *q, *k, *v, *gy;
};

/* Attention of bf16 by AMX; false: not this machine, or not these shapes, and nothing done. */
bool weft__cpu_attention_amx(weft_stream *s, const struct attend *t);
bool weft__cpu_attention_amx_back(weft_stream *s, const struct attend *t);

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

/* x, but within 0..n. */
CPU_INLINE int64_t within(int64_t x, int64_t n)
{
    return x < 0 ? 0 : least(x, n);
}

/* Which columns of a tile count for its rows r..r+m-1: those from r + lower on, before r + m + upper. */
typedef struct band {
    int64_t lower, upper;
} band;

/* The keys of the tile at (i0, j0), n of them, that its queries see. */
CPU_INLINE band keys_seen(const weft_attention_terms *o, int64_t i0, int64_t j0, int64_t n)
{
    const int64_t ahead = i0 + o->offset - j0;
    return (band){-TILE, !o->causal || n <= ahead + 1 ? TILE : ahead};
}

/* The queries that see its keys. */
CPU_INLINE band queries_seeing(const weft_attention_terms *o, int64_t i0, int64_t j0, int64_t n)
{
    return (band){-keys_seen(o, i0, j0, n).upper, TILE};
}

/* An index: which head of which row of the batch, and the head of its keys. */
typedef struct head {
    int64_t b, h, group;
} head;

CPU_INLINE int64_t place_of(const int64_t stride[3], int64_t b, int64_t h, int64_t t)
{
    return b * stride[0] + h * stride[1] + t * stride[2];
}

/* Rows that are wanted soon: products ask for some before each of their steps, as memory has nothing else
 * to do then, and where heads lie apart no processor guesses them. */
typedef struct ahead {
    const char *at[8];
    int64_t stride[8], bytes[8];
    int64_t n, rows, each; /* matrices, rows that are left, and that are asked for at a time */
} ahead;
#define AHEAD 512 /* rows: more would not stay in the caches */

/* Rows of a head of x, too, columns of so many bytes. */
CPU_INLINE void want(ahead *a, const void *x, const int64_t stride[3], int64_t b, int64_t h,
                     int64_t columns, int64_t size)
{
    a->at[a->n] = (const char *)x + place_of(stride, b, h, 0) * size;
    a->stride[a->n] = stride[2] * size;
    a->bytes[a->n++] = columns * size;
}

CPU_INLINE void fetch(ahead *a)
{
    for (int64_t r = 0; r < a->each && a->rows > 0; r++, a->rows--)
        for (int64_t i = 0; i < a->n; i++) {
            for (int64_t b = 0; b < a->bytes[i]; b += 64)
                __builtin_prefetch(a->at[i] + b, 0, 2);
            a->at[i] += a->stride[i];
        }
}

/* What attention reads and writes of a head, rows of which are asked for `times` times. */
CPU_INLINE void want_forward(ahead *a, const struct attend *t, int64_t e, int64_t size,
                             int64_t times)
{
    const weft_attention_terms *o = t->o;
    const int64_t b = e / o->heads, h = e % o->heads, g = h / (o->heads / o->kv_heads);
    *a = (ahead){.rows = 0};
    if (b >= o->batch || o->queries != o->keys || o->queries > AHEAD)
        return;
    a->rows = o->queries;
    a->each = 1 + o->queries / times;
    want(a, t->q, o->q, b, h, o->size, size);
    want(a, t->k, o->k, b, g, o->size, size);
    want(a, t->v, o->v, b, g, o->vsize, size);
    want(a, t->y, o->y, b, h, o->vsize, size);
}

/* Its gradient, too. */
CPU_INLINE void want_back(ahead *a, const struct attend *t, int64_t e, int64_t size, int64_t times)
{
    const weft_attention_terms *o = t->o;
    const int64_t b = e / o->heads, h = e % o->heads, g = h / (o->heads / o->kv_heads);
    want_forward(a, t, e, size, times);
    if (a->rows == 0)
        return;
    want(a, t->gy, o->y, b, h, o->vsize, size);
    want(a, t->gq, o->gq, b, h, o->size, size);
    want(a, t->gk, o->gk, b, g, o->size, size);
    want(a, t->gv, o->gv, b, g, o->vsize, size);
}

/* What dropout multiplies weights with that it keeps. */
CPU_INLINE double keep_of(const weft_attention_terms *o)
{
    return o->p < 1 ? 1 / (1 - o->p) : 0;
}

/* Four rows of four become columns. */
#define TURN_FOUR(name, T)                                                                         \
    CPU_INLINE void name(T *to, int64_t ts, const T *x, int64_t xs)                                \
    {                                                                                              \
        typedef T four                                                                             \
            __attribute__((vector_size(4 * sizeof(T)), aligned(__alignof__(T)), may_alias));       \
        const four a = *(const four *)x, b = *(const four *)(x + xs);                              \
        const four c = *(const four *)(x + 2 * xs), d = *(const four *)(x + 3 * xs);               \
        const four p = __builtin_shufflevector(a, b, 0, 4, 1, 5);                                  \
        const four q = __builtin_shufflevector(a, b, 2, 6, 3, 7);                                  \
        const four r = __builtin_shufflevector(c, d, 0, 4, 1, 5);                                  \
        const four s = __builtin_shufflevector(c, d, 2, 6, 3, 7);                                  \
        *(four *)to = __builtin_shufflevector(p, r, 0, 1, 4, 5);                                   \
        *(four *)(to + ts) = __builtin_shufflevector(p, r, 2, 3, 6, 7);                            \
        *(four *)(to + 2 * ts) = __builtin_shufflevector(q, s, 0, 1, 4, 5);                        \
        *(four *)(to + 3 * ts) = __builtin_shufflevector(q, s, 2, 3, 6, 7);                        \
    }
TURN_FOUR(turn_four_f32, float)
TURN_FOUR(turn_four_f64, double)

/* Which weights of a tile dropout keeps, 1 or 0: that of query i0 + i and key j0 + j goes to keep[i ld + j], or, turned, to
 * keep[j ld + i]. */
static void kept(const weft_attention_terms *o, const head *at, int64_t i0, int64_t rows,
                 int64_t j0, int64_t n, float *keep, int64_t ld, bool turned)
{
    const words_chance drops = words_with(o->p);
    const int64_t line = ((o->base + at->b) * o->heads + at->h) * o->queries + i0;
    uint32_t room[WORDS_ROOM(TILE)];
    float four[4 * TILE];
    for (int64_t i = 0; i < rows; i++) {
        const uint64_t first = (uint64_t)(line + i) * (uint64_t)o->keys + (uint64_t)j0;
        const uint32_t *w = weft__cpu_words(room, o->seed, o->stream, o->step, first, n);
        float *to = turned ? four + i % 4 * TILE : keep + i * ld;
#pragma omp simd
        for (int64_t j = 0; j < n; j++)
            to[j] = words_hit(w[j], drops) ? 0 : 1;
        if (!turned || (i % 4 != 3 && i + 1 < rows))
            continue;
        const int64_t whole = i % 4 == 3 ? n / 4 * 4 : 0;
        for (int64_t j = 0; j < whole; j += 4)
            turn_four_f32(keep + j * ld + i - 3, ld, four + j, TILE);
        for (int64_t j = whole; j < n; j++)
            for (int64_t e = i / 4 * 4; e <= i; e++)
                keep[j * ld + e] = four[e % 4 * TILE + j];
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

/* to (columns, TILE) = x turned, x rows of so many columns; the last line is filled with 0. */
static void M(turn)(C *to, const C *x, int64_t xs, int64_t rows, int64_t columns)
{
    const int64_t whole = columns / 4 * 4;
    int64_t r = 0;
    for (int64_t j = 0; j < columns; j++)
        for (int64_t e = rows; e < M(lines)(rows); e++)
            to[j * TILE + e] = 0;
    for (; r + 4 <= rows; r += 4) {
        for (int64_t j = 0; j < whole; j += 4)
            OF(turn_four)(to + j * TILE + r, TILE, x + r * xs + j, xs);
        for (int64_t j = whole; j < columns; j++)
            for (int64_t e = r; e < r + 4; e++)
                to[j * TILE + e] = x[e * xs + j];
    }
    for (; r < rows; r++)
        for (int64_t j = 0; j < columns; j++)
            to[j * TILE + r] = x[r * xs + j];
}

/* s (m, TILE) = a zt, or more: the scores in the band of m rows and n columns, k numbers each; the others of
 * a line's are any. */
static void M(scores_of)(const weft__tile_set *set, ahead *next, band at, C *s, const C *a,
                         int64_t ld, const C *zt, int64_t m, int64_t n, int64_t k, bool add)
{
    for (int64_t r = 0, rows; r < m; r += rows) {
        rows = least(STEP, m - r);
        if (next)
            fetch(next);
        const int64_t from = within(r + at.lower, n) / LINE(C) * LINE(C);
        const int64_t to = M(lines)(within(r + rows + at.upper, n));
        if (from < to)
            set->OF(product)(s + r * TILE + from, TILE, a + r * ld, ld, 1, zt + from, TILE, rows,
                             to - from, k, add);
    }
}

/* sum (m, columns) = p x, or more: p (m, k) the weights in the band, of strides ps and pk; sum and x lie in
 * whole lines. */
static void M(weigh_of)(const weft__tile_set *set, ahead *next, band at, C *sum, const C *p,
                        int64_t ps, int64_t pk, const C *x, int64_t m, int64_t columns, int64_t k,
                        bool add)
{
    const int64_t w = M(lines)(columns);
    for (int64_t r = 0, rows; r < m; r += rows) {
        rows = least(STEP, m - r);
        if (next)
            fetch(next);
        const int64_t from = within(r + at.lower, k), to = within(r + rows + at.upper, k);
        set->OF(product)(sum + r * w, w, p + r * ps + from * pk, ps, pk, x + from * w, w, rows, w,
                         to > from ? to - from : 0, add);
    }
}
#endif

/* x, rows of so many columns, as C: copied to where they lie one behind the other, in whole lines that end
 * with 0. Where they come from rows may lie apart by what makes a cache keep few of them. */
static void N(read)(C *to, const T *x, int64_t xs, int64_t rows, int64_t columns)
{
    const int64_t w = M(lines)(columns);
    for (int64_t r = 0; r < rows; r++) {
#pragma omp simd
        for (int64_t j = 0; j < columns; j++)
            to[r * w + j] = (C)LOAD(x[r * xs + j]);
        for (int64_t j = columns; j < w; j++)
            to[r * w + j] = 0;
    }
}

/* to = x turned, by way of room. */
static void N(turned)(C *room, C *to, const T *x, int64_t xs, int64_t rows, int64_t columns)
{
    N(read)(room, x, xs, rows, columns);
    M(turn)(to, room, M(lines)(columns), rows, columns);
}

/* The scores of x (m rows) and z (n rows) of k numbers in their band. zt is z turned, if k is within WIDTH,
 * else room for parts of that. x as it was read is left in room, its last part. */
static void N(scores)(const weft__tile_set *set, C *room, band at, C *s, const T *x, int64_t xs,
                      int64_t m, C *zt, const T *z, int64_t zs, int64_t n, int64_t k)
{
    int64_t begin = 0;
    do {
        const int64_t c = part(k - begin);
        if (k > WIDTH)
            N(turned)(room, zt, z + begin, zs, n, c);
        N(read)(room, x + begin, xs, m, c);
        M(scores_of)(set, NULL, at, s, room, M(lines)(c), zt, m, n, c, begin > 0);
        begin += c;
    } while (begin < k);
}

/* sum (m, columns) = p^T x, or more, p (k, TILE) the weights in the band, x k rows. */
static void N(weigh)(const weft__tile_set *set, C *room, band at, C *sum, const C *p, const T *x,
                     int64_t xs, int64_t m, int64_t columns, int64_t k, bool add)
{
    N(read)(room, x, xs, k, columns);
    M(weigh_of)(set, NULL, at, sum, p, 1, TILE, room, m, columns, k, add);
}

/* y = sum, each row times its factor if there are any, rounded once; 0 without a sum. */
static void N(write)(T *y, int64_t ys, const C *sum, const C *factor, int64_t rows, int64_t columns)
{
    const int64_t w = M(lines)(columns);
    for (int64_t r = 0; r < rows && sum; r++) {
        const C f = factor ? factor[r] : 1;
#pragma omp simd
        for (int64_t j = 0; j < columns; j++)
            y[r * ys + j] = STORE(sum[r * w + j] * f);
    }
    for (int64_t r = 0; r < rows && !sum; r++)
        for (int64_t j = 0; j < columns; j++)
            y[r * ys + j] = 0;
}
#endif
