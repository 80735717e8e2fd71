/* Arithmetic of flat ranges: shares, overlaps, and the boxes that a range of a tensor is. */
#ifndef CHECKPOINT_SLABS_H
#define CHECKPOINT_SLABS_H
#include <stdint.h>
#include <weft/base.h>

/* Where part r of `parts` of n things begins; r = parts gives n. */
int64_t weft__share(int64_t n, int r, int parts);
/* The elements [*from, *to) that [a, a + n) and [b, b + m) share; *from >= *to if none. */
void weft__overlap(int64_t a, int64_t n, int64_t b, int64_t m, int64_t *from, int64_t *to);

typedef struct weft__box {
    int64_t start[WEFT_MAX_RANK], extent[WEFT_MAX_RANK];
    int64_t count;
} weft__box;

/* A flat range of a tensor of rank N >= 1 is at most 2N - 1 boxes. Takes the first one off
 * [first, first + count), which is not empty. */
weft__box weft__first_box(int rank, const int64_t *shape, int64_t first, int64_t count);
#endif
