/* Batches of data made in place. */
#include "autograd/tape.h"

#include <weft/data.h>

weft_batch weft_batch_of(weft_fabric *f, weft_tensor *x, weft_tensor *y, int64_t base,
                         int64_t global_rows)
{
    weft_batch none = {0};
    if (!f || f->shut)
        return none;
    if (!x)
        return none;
    int64_t n = weft_rank_of(x) > 0 ? weft_dim(x, 0) : -1;
    if (n < 0 || (y && (weft_rank_of(y) < 1 || weft_dim(y, 0) != n))) {
        weft__stick(f,
                    weft__fail(WEFT_ESHAPE, "weft_batch_of: x and y need the same number of rows "
                                            "in dimension 0"));
        return none;
    }
    if (base < 0 || global_rows < 0 || (global_rows > 0 && global_rows < n)) {
        weft__stick(f, weft__fail(WEFT_EARG,
                                  "weft_batch_of: base %lld and global_rows %lld for %lld rows of "
                                  "this rank; base is at least 0, global_rows the sum over ranks",
                                  (long long)base, (long long)global_rows, (long long)n));
        return none;
    }
    const weft__rows rows = {.base = base, .local = n, .global = global_rows, .batch = true};
    weft__set_rows(x, &rows);
    if (y)
        weft__set_rows(y, &rows);
    return (weft_batch){.x = x,
                        .y = y,
                        .rows = n,
                        .global_rows = global_rows,
                        .base = base,
                        .fields = y ? 2 : 1,
                        .field = {x, y}};
}
