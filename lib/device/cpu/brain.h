/* Products of matrices in bf16 by own kernels: tiles of AMX where the processor has them and Linux gives
 * them; else, of AVX-512, pairs of products (AVX512_BF16) where they are quicker, or those of f32 (wide.h).
 *
 * By tiles and pairs, rows of A and columns of B are packed in panels of 32, which are cut along k into steps of 32 numbers.
 * A step of a panel is two tiles of 1 KiB: of A sixteen rows of 32 numbers, of B sixteen rows of sixteen
 * pairs, a pair being two numbers of a column that follow each other. What is beyond an edge is zero.
 *
 * Each number of C is the sum over steps, in their order, of what the step gives, kept in f32. It depends
 * neither on where the number lies in a tile nor on how blocks are cut nor on which thread has it. */
#ifndef DEVICE_CPU_BRAIN_H
#define DEVICE_CPU_BRAIN_H
#include "device/cpu/cpu.h"

typedef enum weft__brain_kind {
    BRAIN_NONE,
    BRAIN_WIDE,
    BRAIN_PAIRS,
    BRAIN_AMX,
    BRAIN_KINDS
} weft__brain_kind;

#if defined(__x86_64__) && defined(__GNUC__)
#define CPU_HAS_BRAIN 1
#define BRAIN_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))

#define BRAIN_SIDE 32
#define BRAIN_STEP 32
#define BRAIN_TILE 512   /* numbers of a tile */
#define BRAIN_SUMS 1024  /* of a block of 32 x 32, in four tiles of 16 x 16 */
#define BRAIN_STEPS 32   /* whose sums stay in registers, at most */
#define BRAIN_PANEL 2048 /* bytes of a step of a panel */

/* Rows of A or columns of B: `lines` of k numbers each. */
typedef struct weft__brain_side {
    const uint16_t *x;
    int64_t lines, k, ld;
    bool along; /* the numbers of a line are adjacent, and lines `ld` apart; else the reverse */
    bool turn;  /* what is read has to be turned to become a tile */
} weft__brain_side;

/* C = alpha A B + beta C + bias, what is below zero being none with relu. */
typedef struct weft__brain {
    int64_t m, n, k;
    weft__brain_side a, b;
    void *c;
    int64_t rc, cc;       /* from row to row, from column to column: one of them is 1 */
    const uint16_t *bias; /* of each of the numbers that are adjacent in C, or NULL */
    float alpha, beta;
    bool relu;
    bool past; /* C is too large to stay in a cache: stores go past it, of whole aligned lines */
    weft_dtype ct;
    weft__brain_kind kind;
} weft__brain;

/* A block of sums that become numbers of C, some rows in each step of the next block. */
typedef struct weft__brain_aside {
    const weft__brain *p; /* whose C */
    const float *sums;
    int64_t i, j;
    int row;                 /* done: of 32 */
    const char *fetch, *end; /* what is multiplied next: it comes to the second cache, */
    int lines;               /* so many lines of it a step */
} weft__brain_aside;

/* A panel of A times one of B. Sums of tile y of A and x of B are the tile 2 y + x. */
typedef struct weft__brain_block {
    const uint16_t *a, *b;
    const float *before; /* what is added to */
    float *sums;
    const float *later; /* what the next block adds to */
    int64_t steps;
    int atiles, btiles; /* 1 or 2 */
    bool add;           /* sums are added to */
    bool b_stays;       /* B's panel is used again, else A's */
    weft__brain_aside *aside;
} weft__brain_block;

/* False: nothing is done, there is no memory to pack in. */
bool weft__brain_multiply(weft_stream *s, const weft__brain *p);
/* Panels p0..p1-1 of a side, of numbers k0..k1-1 of each line. */
void weft__brain_pack(uint16_t *to, const weft__brain_side *s, int64_t p0, int64_t p1, int64_t k0,
                      int64_t k1);
void weft__brain_step(weft__brain_aside *o);
/* All that is left. */
void weft__brain_finish(weft__brain_aside *o);
void weft__brain_past(void);

void weft__brain_by_tiles(const weft__brain_block *o);
void weft__brain_by_pairs(const weft__brain_block *o);
#endif

bool weft__brain_has(weft__brain_kind kind);
/* The quickest there is. */
weft__brain_kind weft__brain_best(void);
/* False: nothing is done. The processor has `kind`. */
bool weft__cpu_brain(weft_stream *s, weft__brain_kind kind, weft_dev c, weft_dtype ct, int64_t ldc,
                     double alpha, weft_dev a, int64_t lda, int ta, weft_dev b, int64_t ldb, int tb,
                     double beta, int64_t m, int64_t n, int64_t k);
/* The kernel linear's y = x w^T + b (rows,o), relu of it if it is asked for; b may be absent. */
bool weft__cpu_brain_linear(weft_stream *s, weft__brain_kind kind, weft_dev y, weft_dev x,
                            weft_dev w, weft_dev b, bool relu, int64_t rows, int64_t c, int64_t o);
/* "amx", "avx512_bf16", "avx512 by f32" or NULL. */
const char *weft__cpu_brain_name(void);
#endif
