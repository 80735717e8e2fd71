/* Strided arrays of one shape, brought together: block by block, as lines of numbers one behind the other. What
 * lies otherwise (turned, repeated, in short rows) is copied into room in the nearest cache first. */
#ifndef DEVICE_CPU_BLOCKS_H
#define DEVICE_CPU_BLOCKS_H
#include "device/cpu/walk.h"

#define BLOCK_ROOM 2048 /* numbers of a block */
#define BLOCK_ROW 64    /* numbers of a short row, at most */

/* An array of a shape; strides and bytes of its elements. No strides: those of the shape. */
typedef struct weft__strided {
    const void *p;
    const int64_t *stride;
    size_t size;
} weft__strided;

/* Ways are in bytes. Blocks are cut from planes of the two innermost dimensions, or, if rows are short, from rows that lie
 * behind each other. */
typedef struct weft__blocks {
    weft__walk grid;                /* of blocks */
    int64_t rows, cols, high, wide; /* of a plane and of a block */
    bool turned, joined;            /* an array lies along rows; rows are short */
    char *base[WALK_ARRAYS];
    int64_t size[WALK_ARRAYS], down[WALK_ARRAYS], across[WALK_ARRAYS];
    bool brought[WALK_ARRAYS];
    int64_t in_row[WALK_ARRAYS][BLOCK_ROW];
} weft__blocks;

/* A block: `rows` lines of n numbers, of array a from at[a] on, down[a] bytes apart. */
typedef struct weft__block {
    int64_t rows, n;
    char *at[WALK_ARRAYS];
    int64_t down[WALK_ARRAYS];
    weft__place place;
    const char *from[WALK_ARRAYS]; /* of what is in the room, */
    int64_t held[WALK_ARRAYS];     /* and how much */
    _Alignas(64) char room[WALK_ARRAYS - 1][BLOCK_ROOM * 8];
} weft__block;

/* Array 0 is written: its lines are where it lies, across[0] from number to number, which is one element if its
 * strides are those of the shape. The blocks are grid.numel, of BLOCK_ROOM numbers at most. */
void weft__blocks_of(weft__blocks *b, int arrays, const weft__strided *array, int rank,
                     const int64_t *shape);
/* Block number i; and the one after it, if there is one. */
void weft__block_seek(const weft__blocks *b, weft__block *k, int64_t i);
void weft__block_step(const weft__blocks *b, weft__block *k);
/* Rows of n numbers of array a, from x on, one behind the other. */
void weft__block_bring(const weft__blocks *b, int a, char *to, const char *x, int64_t rows,
                       int64_t n);

static inline void *weft__block_line(const weft__block *k, int a, int64_t row)
{
    return k->at[a] + row * k->down[a];
}
#endif
