/* Strided arrays of one shape, walked together in row-major order. */
#include "device/cpu/walk.h"

/* True if dimension d of the caller's lies right inside dimension e of w, in all arrays. */
static bool joins(const weft__walk *w, int e, int64_t extent, int d, const int64_t *const *stride)
{
    for (int a = 0; a < w->arrays; a++)
        if (w->stride[a][e] != stride[a][d] * extent)
            return false;
    return true;
}

void weft__walk_of(weft__walk *w, int arrays, int rank, const int64_t *shape,
                   const int64_t *const *stride)
{
    int e = -1;
    w->rank = 1;
    w->arrays = arrays;
    w->numel = w->shape[0] = 1;
    for (int a = 0; a < arrays; a++)
        w->stride[a][0] = 0;
    for (int d = 0; d < rank; d++) {
        w->numel *= shape[d];
        if (shape[d] == 1)
            continue;
        if (e >= 0 && joins(w, e, shape[d], d, stride))
            w->shape[e] *= shape[d];
        else
            w->shape[++e] = shape[d];
        for (int a = 0; a < arrays; a++)
            w->stride[a][e] = stride[a][d];
    }
    if (e >= 0)
        w->rank = e + 1;
}

weft__place weft__walk_seek(const weft__walk *w, int64_t element)
{
    weft__place p = {.index = {0}};
    for (int d = w->rank - 1; element > 0; d--) {
        p.index[d] = element % w->shape[d];
        element /= w->shape[d];
        for (int a = 0; a < w->arrays; a++)
            p.at[a] += p.index[d] * w->stride[a][d];
    }
    return p;
}

int64_t weft__walk_run(const weft__walk *w, const weft__place *p, int64_t left)
{
    int64_t n = w->shape[w->rank - 1] - p->index[w->rank - 1];
    return n < left ? n : left;
}

void weft__walk_step(const weft__walk *w, weft__place *p, int64_t n)
{
    int d = w->rank - 1;
    p->index[d] += n;
    for (int a = 0; a < w->arrays; a++)
        p->at[a] += n * w->stride[a][d];
    for (; d > 0 && p->index[d] == w->shape[d]; d--) {
        p->index[d] = 0;
        p->index[d - 1]++;
        for (int a = 0; a < w->arrays; a++)
            p->at[a] += w->stride[a][d - 1] - w->shape[d] * w->stride[a][d];
    }
}
