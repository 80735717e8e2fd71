/* Arithmetic of shapes. */
#include "core/shape.h"

#include <stdio.h>

int64_t weft__numel(int rank, const int64_t *shape)
{
    int64_t n = 1;
    for (int d = 0; d < rank; d++)
        if (shape[d] < 0 || __builtin_mul_overflow(n, shape[d], &n))
            return -1;
    return n;
}

void weft__strides(int rank, const int64_t *shape, int64_t *stride)
{
    int64_t n = 1;
    for (int d = rank - 1; d >= 0; d--) {
        stride[d] = n;
        n *= shape[d] ? shape[d] : 1;
    }
}

bool weft__same_shape(int ra, const int64_t *a, int rb, const int64_t *b)
{
    if (ra != rb)
        return false;
    for (int d = 0; d < ra; d++)
        if (a[d] != b[d])
            return false;
    return true;
}

int weft__broadcast(int ra, const int64_t *a, int rb, const int64_t *b, int64_t *out)
{
    int r = ra > rb ? ra : rb;
    for (int d = 0; d < r; d++) {
        int64_t x = d < r - ra ? 1 : a[d - (r - ra)], y = d < r - rb ? 1 : b[d - (r - rb)];
        if (x != y && x != 1 && y != 1)
            return -1;
        out[d] = x == 1 ? y : x;
    }
    return r;
}

char *weft__shape_text(int rank, const int64_t *shape, char text[WEFT__SHAPE_TEXT])
{
    int n = snprintf(text, WEFT__SHAPE_TEXT, "(");
    for (int d = 0; d < rank && n < WEFT__SHAPE_TEXT; d++)
        n += snprintf(text + n, (size_t)(WEFT__SHAPE_TEXT - n), "%s%lld", d ? ", " : "",
                      (long long)shape[d]);
    if (n < WEFT__SHAPE_TEXT)
        snprintf(text + n, (size_t)(WEFT__SHAPE_TEXT - n), ")");
    return text;
}
