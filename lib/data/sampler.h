/* Which rows, in which order, for which rank: pure functions of (seed, epoch). */
#ifndef DATA_SAMPLER_H
#define DATA_SAMPLER_H
#include <weft/status.h>
#include <weft/sys/sampler.h>

typedef enum weft__last { WEFT__UNEVEN, WEFT__DROP, WEFT__PAD } weft__last;

/* Position i of a permutation of 0..n-1 that depends on (seed, epoch) alone. order[0..n) is filled
 * by a Fisher-Yates walk on Philox draws; shuffle false: the identity. */
void weft__sampler_order(int64_t *order, int64_t n, uint64_t seed, int64_t epoch, bool shuffle);
/* Global batches an epoch. */
int64_t weft__sampler_batches(int64_t n, int64_t batch, weft__last last);
/* Rows of global batch number index, padding included. */
int64_t weft__sampler_rows(int64_t n, int64_t batch, weft__last last, int64_t index);
/* Rank's contiguous slice [*first, *first + *count) of `rows` rows: the first rows % world ranks
 * get one more. */
void weft__sampler_slice(int64_t rows, int64_t rank, int64_t world, int64_t *first, int64_t *count);

/* A sampler and its self; free destroys it, NULL: it is the user's. */
typedef struct weft__sampler {
    const weft_sampler_ops *ops; /* NULL: the rows as they are */
    void *self;
    void (*free)(void *self);
    uint64_t digest; /* of weights or lengths, which must be the same on all ranks */
} weft__sampler;

/* The one that the options choose, for `rows` rows in global batches of `batch`. */
weft_status weft__sampler_make(weft__sampler *s, int64_t rows, int64_t batch,
                               const weft_loader_options *o);
void weft__sampler_free(weft__sampler *s);

weft_status weft__sampler_weighted(weft__sampler *s, int64_t rows, const double *weights);
weft_status weft__sampler_bucket(weft__sampler *s, int64_t rows, int64_t batch,
                                 const int64_t *lengths);
#endif
