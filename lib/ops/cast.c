/* The public face of the tape's cast. */
#include "ops/ops.h"

weft_tensor *weft_cast(weft_tensor *x, weft_dtype dtype)
{
    weft_fabric *f = NULL;
    weft__tensor *t = weft__tensor_for("cast", x, &f);
    if (!t)
        return NULL;
    weft_dtype to = dtype == WEFT_DEFAULT ? f->dtype : dtype;
    if (to == t->view.dtype)
        return weft__stuck(f) ? NULL : x;
    if (weft_dtype_size(to) < 2 || to == WEFT_I32 || to == WEFT_I64) {
        weft__stick(f, weft__fail(WEFT_EDTYPE, "weft_cast to %s; it takes a floating point type",
                                  weft_dtype_name(to)));
        return NULL;
    }
    return weft__apply1(&weft__op_cast, x, &to);
}
