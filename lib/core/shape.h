/* Arithmetic of shapes. */
#ifndef CORE_SHAPE_H
#define CORE_SHAPE_H
#include <weft/base.h>
#include <weft/status.h>

/* Product of the extents, 1 for rank 0; -1 if an extent is negative or the product overflows. */
int64_t weft__numel(int rank, const int64_t *shape);
/* Row-major strides. */
void weft__strides(int rank, const int64_t *shape, int64_t *stride);
bool weft__same_shape(int ra, const int64_t *a, int rb, const int64_t *b);
/* NumPy's rule. @return the rank of the result, or -1. */
int weft__broadcast(int ra, const int64_t *a, int rb, const int64_t *b, int64_t *out);
/* "(2, 3)" into text, which is returned. */
#define WEFT__SHAPE_TEXT 128
char *weft__shape_text(int rank, const int64_t *shape, char text[WEFT__SHAPE_TEXT]);
/* True if strides are row-major for the shape; extents of 1 may have any stride. */
static inline bool weft__is_contiguous(int rank, const int64_t *shape, const int64_t *stride)
{
    int64_t n = 1;
    for (int d = rank - 1; d >= 0; n *= shape[d--])
        if (stride[d] != n && shape[d] != 1)
            return weft__numel(rank, shape) == 0;
    return true;
}
/* weft_dtype_size, where it is asked for often. */
static inline size_t weft__size_of(weft_dtype t)
{
    static const unsigned char size[] = {
        [WEFT_F32] = 4, [WEFT_F64] = 8, [WEFT_F16] = 2, [WEFT_BF16] = 2,
        [WEFT_I32] = 4, [WEFT_I64] = 8, [WEFT_U8] = 1};
    return (unsigned)t < sizeof size ? size[t] : 0;
}
#endif
