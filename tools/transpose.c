/* Elements are moved as bytes: no value changes. */
#include "transpose.h"

#include "core/alloc.h"
#include "core/error.h"

#include <string.h>

#define TILE 64 /* rows and columns that are moved together */

static void move(char *to, const char *from, int64_t rows, int64_t columns, size_t size)
{
    for (int64_t r0 = 0; r0 < rows; r0 += TILE)
        for (int64_t c = 0; c < columns; c++)
            for (int64_t r = r0; r < rows && r < r0 + TILE; r++)
                memcpy(to + (size_t)(c * rows + r) * size, from + (size_t)(r * columns + c) * size,
                       size);
}

weft_status transpose(const char *name, void *data, weft_state_item *item)
{
    const int64_t rows = item->shape[0], columns = item->shape[1];
    const size_t size = weft_dtype_size(item->dtype);
    if (item->rank != 2)
        return weft__fail(WEFT_ESHAPE, "\"%s\" has %d dimensions: only matrices are transposed",
                          name, item->rank);
    item->shape[0] = columns;
    item->shape[1] = rows;
    if (!data)
        return WEFT_OK;
    const size_t bytes = (size_t)(rows * columns) * size;
    char *copy = weft__new(bytes, 1);
    if (!copy)
        return WEFT_ENOMEM;
    memcpy(copy, data, bytes);
    move(data, copy, rows, columns, size);
    weft__free(copy);
    return WEFT_OK;
}
