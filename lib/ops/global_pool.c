/* The mean of each channel, whatever follows it. */
#include "ops/ops.h"

#include <weft/conv.h>

weft_tensor *weft_global_avg_pool(weft_tensor *x)
{
    weft_fabric *f = NULL;
    const weft__tensor *t = weft__tensor_for("global_avg_pool", x, &f);
    int64_t shape[3] = {0, 0, 1};
    if (!t)
        return NULL;
    for (int d = 0; d < t->view.rank; d++)
        shape[d < 2 ? d : 2] = d < 2 ? t->view.shape[d] : shape[2] * t->view.shape[d];
    const bool good = weft__is_float(t->view.dtype);
    if (good && t->view.rank >= 3)
        return weft_mean(weft_reshape(x, 3, shape), 2);
    weft__stick(f, weft__fail(good ? WEFT_ESHAPE : WEFT_EDTYPE,
                              "global_avg_pool: %s of %d dimensions; it takes floating point, "
                              "(N,C,...)",
                              weft_dtype_name(t->view.dtype), t->view.rank));
    return NULL;
}
