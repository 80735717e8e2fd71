/* An order of the user's own: which rows an epoch has, and how they follow one another. */
#ifndef WEFT_SYS_SAMPLER_H
#define WEFT_SYS_SAMPLER_H
#include <weft/data.h>
WEFT_BEGIN

typedef struct weft_sampler_ops {
    size_t size;
    const char *name;
    /* REQUIRED. Fills order[0..n) with row numbers of the data set, in 0..rows-1, for an epoch. It
     * must depend on (seed, epoch) alone: every rank calls it for itself, and calls it again after
     * a resume. Called in a worker, by one at a time. On failure fills why (one line). */
    weft_status (*order)(void *self, uint64_t seed, int64_t epoch, int64_t rows, int64_t *order,
                         int64_t n, char *why, size_t why_size);
} weft_sampler_ops;

WEFT_END
#endif
