/* Arithmetic of flat ranges. */
#include "checkpoint/slabs.h"

#include "core/shape.h"

int64_t weft__share(int64_t n, int r, int parts)
{
    return (int64_t)((__int128)n * r / parts);
}

void weft__overlap(int64_t a, int64_t n, int64_t b, int64_t m, int64_t *from, int64_t *to)
{
    *from = a > b ? a : b;
    *to = a + n < b + m ? a + n : b + m;
}

weft__box weft__first_box(int rank, const int64_t *shape, int64_t first, int64_t count)
{
    weft__box box = {.count = 0};
    int64_t stride[WEFT_MAX_RANK];
    int d = 0;
    weft__strides(rank, shape, stride);
    /* The outermost dimension in which a whole step fits and the range starts at its edge. */
    while (d < rank - 1 && (first % stride[d] != 0 || count < stride[d]))
        d++;
    for (int k = 0; k < rank; k++) {
        box.start[k] = first / stride[k] % shape[k];
        box.extent[k] = k < d ? 1 : shape[k];
    }
    int64_t room = shape[d] - box.start[d], steps = count / stride[d];
    box.extent[d] = steps < room ? steps : room;
    box.count = box.extent[d] * stride[d];
    return box;
}
