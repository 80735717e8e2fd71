/* Strided arrays of one shape, walked together in row-major order. */
#ifndef DEVICE_CPU_WALK_H
#define DEVICE_CPU_WALK_H
#include <weft/base.h>

#define WALK_ARRAYS 4

typedef struct weft__walk {
    int rank, arrays; /* rank >= 1 */
    int64_t numel;
    int64_t shape[WEFT_MAX_RANK];
    int64_t stride[WALK_ARRAYS][WEFT_MAX_RANK];
} weft__walk;

/* A place in a walk: the index, and the element offset in each array. */
typedef struct weft__place {
    int64_t index[WEFT_MAX_RANK];
    int64_t at[WALK_ARRAYS];
} weft__place;

/* Fills w, leaving out extents of 1 and joining dimensions that lie behind each other in all
 * arrays. */
void weft__walk_of(weft__walk *w, int arrays, int rank, const int64_t *shape,
                   const int64_t *const *stride);
/* The place of element number `element`. */
weft__place weft__walk_seek(const weft__walk *w, int64_t element);
/* Elements from the place to the end of its innermost run, at most `left`. */
int64_t weft__walk_run(const weft__walk *w, const weft__place *p, int64_t left);
/* Goes n elements on, n from weft__walk_run. */
void weft__walk_step(const weft__walk *w, weft__place *p, int64_t n);
#endif
