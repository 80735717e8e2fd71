/* Products of matrices in f32 by own kernels, for processors with AVX-512; those of bf16 too: its numbers become f32
 * as they are packed, and sums are rounded once.
 *
 * Each number of C is a chain of multiply-adds along k, cut where k, C's type and how A lies say (or, for few rows,
 * such chains in sixteen lanes that are then added in pairs). It depends neither on where the number lies in a
 * tile nor on which thread computes the tile. */
#ifndef DEVICE_CPU_WIDE_H
#define DEVICE_CPU_WIDE_H
#include "device/cpu/cpu.h"
#include "device/cpu/unroll.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define CPU_HAS_WIDE 1
#define WIDE_TARGET __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,fma")))

#define WIDE_LANES 16
#define WIDE_ROWS 14    /* of a tile, at most: 28 sums in registers */
#define WIDE_COLUMNS 32 /* of a tile with so many rows, and of a panel of packed B */
#define WIDE_DEPTH 800  /* of a block of k, at most */
/* Where A's rows are adjacent, and so A is dear to pack, blocks have many columns: of so many steps along k,
 * or of all of k up to WIDE_ONCE, so that C is written once. */
#define WIDE_THIN 200
#define WIDE_ONCE 256
#define WIDE_FLAT 520 /* of a part of k, where such an A stays and B flows by */
#define WIDE_HALF 8   /* numbers of a row that are adjacent in packed A */
#define WIDE_RUN 64 /* numbers of each of two rows of A that a tile packs in eight steps along k */
#define WIDE_STEP                                                                                  \
    1632             /* of packed A, from two rows to the next: none in the same set of the cache */
#define WIDE_GROUP 4 /* panels of A that are packed together, where its rows are adjacent */
#define WIDE_ROOM (WIDE_DEPTH * 256) /* numbers of packed B; of A then two groups follow */
#define WIDE_SUMS (384 * 256)        /* that wait for more of k, where C is bf16 */
/* Where B flows by two panels of it, 22 of A and sums; blocks need less. */
#define WIDE_ALL (2 * WIDE_COLUMNS * WIDE_DEPTH + 11 * WIDE_STEP * WIDE_ROWS + WIDE_SUMS)
#define WIDE_LINES 2048 /* of a list, at most */

/* C = alpha A B + beta C + bias, what is below zero being none with relu; strides in elements, of rows and columns.
 * Of C one of them is 1. */
typedef struct weft__wide {
    int64_t m, n, k;
    const void *a, *b;
    void *c;
    int64_t ra, ca, rb, cb, rc, cc;
    float alpha, beta;
    const void *bias; /* of each of the numbers that are adjacent in C, or NULL */
    bool relu;
    weft_dtype dt, ct; /* of A, B and the bias, and of C */
} weft__wide;

static inline int64_t wide_least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* a / b, rounded up. */
static inline int64_t wide_ceiling(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Number (r, c) of an operand. */
static inline char *wide_at(const void *x, weft_dtype t, int64_t r, int64_t rs, int64_t c,
                            int64_t cs)
{
    return (char *)x + (r * rs + c * cs) * (t == WEFT_F32 ? 4 : 2);
}

/* Steps along k of a part, at most, where B flows by. */
static inline int64_t wide_deepest(const weft__wide *p)
{
    return p->ca == 1 ? WIDE_DEPTH : WIDE_FLAT;
}

/* Addresses of lines that shall come into the second cache. */
typedef struct weft__wide_list {
    int64_t n;
    uintptr_t line[WIDE_LINES];
} weft__wide_list;

/* A tile of C: at most 14 x 32, 6 x 64 or 2 x 128, from packed A and packed or plain B. */
typedef struct weft__wide_tile {
    const float *a;
    const void *b;
    enum { WIDE_NONE, WIDE_B, WIDE_PACKED } low; /* is bf16: b, or what is packed */
    bool past; /* C is nothing but the sums, in whole lines, and too large to stay in a cache */
    float *c;
    int64_t rb, rc, k;
    int64_t n; /* columns; of b there are whole vectors */
    float alpha, beta;
    const uintptr_t *line; /* what is asked for, evenly spread over k */
    uint32_t pace;         /* of a line, with two steps along k: 1/65536 */
    /* What a tile of two vectors packs meanwhile, of rows `step` numbers apart: `moves` rows of B, one with two steps
     * along k, by fours where a line of A has numbers of two rows; or of `lines` rows of A, there, `run` times WIDE_RUN
     * numbers, eight steps along k for so many of two rows; else, of columns of A, `run` numbers, two with two steps. */
    const void *from;
    float *to;
    int64_t step, moves, lines, run;
} weft__wide_tile;

/* `rows` rows of A from k0 on, of two rows eight numbers each in turn: the fewer lines a tile reads in a
 * step, the less it waits where another thread of the core works, too. */
void weft__wide_pack_rows(float *to, const weft__wide *p, int64_t i, int64_t rows, int64_t k0,
                          int64_t depth);
/* Of rows that are adjacent panel x, from row first[x] to first[x + 1], goes to `to` + x size: sixteen numbers of a
 * column side by side. Of three panels or more each has more than five rows. */
void weft__wide_pack_columns(float *to, int64_t size, const weft__wide *p, const int64_t *first,
                             int64_t panels, int64_t k0, int64_t depth);
/* At most 32 columns of B, from k0 on, in a panel of `depth` rows of 32; filled up with zeros. */
void weft__wide_pack_b(float *to, const weft__wide *p, int64_t j, int64_t columns, int64_t k0,
                       int64_t depth);
/* They append to a list: n rows of A; part `part` of `parts` of a block of B; n rows of C. */
void weft__wide_fetch_a(weft__wide_list *l, const weft__wide *p, int64_t i, int64_t n, int64_t k0,
                        int64_t depth);
void weft__wide_fetch_b(weft__wide_list *l, const weft__wide *p, int64_t j, int64_t columns,
                        int64_t k0, int64_t depth, int64_t part, int64_t parts);
void weft__wide_fetch_c(weft__wide_list *l, const weft__wide *p, int64_t i, int64_t rows, int64_t j,
                        int64_t columns);
void weft__wide_multiply(const weft__wide_tile *t, int64_t rows, bool by_depth);
/* The same into a C whose rows are adjacent: number (i, j) goes to c[i + j cc]. */
void weft__wide_multiply_turned(const weft__wide_tile *t, int64_t rows, bool by_depth, int64_t cc);
/* Bias and relu of a part of C whose sums are complete and near. */
void weft__wide_end(const weft__wide *p, int64_t i0, int64_t i1, int64_t j0, int64_t j1);
/* Sums, in rows `step` apart, become such a part of C in bf16, with beta C, bias and relu. Where the numbers of a column
 * are adjacent in C, there are at most 16 rows, and 16 are read. */
void weft__wide_round(const weft__wide *p, const float *sums, int64_t step, int64_t i0, int64_t i1,
                      int64_t j0, int64_t j1);
/* C is the gradient of large weights, which is read again when all others were written: what is written once and in
 * whole lines, up to column j1, need not stay in a cache. */
bool weft__wide_is_far(const weft__wide *p, int64_t j1);
/* The same as weft__wide_rectangle where B had better flow by (wide_flow.c), which does not depend on the rectangle. */
bool weft__wide_flows(const weft__wide *p);
void weft__wide_flow(const weft__wide *p, int64_t i0, int64_t i1, int64_t j0, int64_t j1,
                     float *room);
/* The same where k is short and B's rows are adjacent (wide_short.c). */
bool weft__wide_is_short(const weft__wide *p);
void weft__wide_short(const weft__wide *p, int64_t i0, int64_t i1, int64_t j0, int64_t j1);
/* Rows i0..i1-1 and columns j0..j1-1 of C; room: for WIDE_ALL numbers, or NULL. */
void weft__wide_rectangle(const weft__wide *p, int64_t i0, int64_t i1, int64_t j0, int64_t j1,
                          float *room);
/* The sums of such a part where rows of A and columns of B lie along k, to `to` in rows `step` apart, added to beta
 * times what is there. */
void weft__wide_dots(const weft__wide *p, int64_t i0, int64_t i1, int64_t j0, int64_t j1, float *to,
                     int64_t step, float beta);
/* The same of all columns, bias, relu and rounding with it, where these are few (wide_narrow.c). */
bool weft__wide_is_narrow(const weft__wide *p);
void weft__wide_narrow(const weft__wide *p, int64_t i0, int64_t i1);
#endif

/* False: nothing is done, as dt is neither f32 nor bf16 or this processor has no AVX-512. */
bool weft__cpu_wide(weft_stream *s, weft_dev c, weft_dtype ct, int64_t ldc, double alpha,
                    weft_dev a, int64_t lda, int ta, weft_dev b, int64_t ldb, int tb, double beta,
                    int64_t m, int64_t n, int64_t k, weft_dtype dt);
/* The kernel linear's y = x w^T + b (rows,o), relu of it if it is asked for; b may be absent. */
bool weft__cpu_wide_linear(weft_stream *s, weft_dev y, weft_dev x, weft_dev w, weft_dev b,
                           bool relu, int64_t rows, int64_t c, int64_t o, weft_dtype dt);
/* "avx512" or NULL. */
const char *weft__cpu_wide_name(void);
#endif
