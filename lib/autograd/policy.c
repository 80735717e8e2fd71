/* The cast policy: what type an op computes in, by its row and the precision. */
#include "autograd/tape.h"

weft_dtype weft__wider(weft_dtype a, weft_dtype b)
{
    if (weft_dtype_size(a) == weft_dtype_size(b))
        return WEFT_F32; /* f16 with bf16 */
    return weft_dtype_size(a) > weft_dtype_size(b) ? a : b;
}

/* What ops of the policy low compute in here: parameters that have the type give it everywhere. */
static weft_dtype low_type(const weft_fabric *f)
{
    const weft__tape *t = f->tape;
    return t->forwards || t->autocast || f->dtype == t->low ? t->low : WEFT_DEFAULT;
}

weft_dtype weft__computes_in(const weft_fabric *f, const weft_op *op, weft_dtype widest)
{
    if (op->cast == WEFT_CAST_NONE)
        return WEFT_DEFAULT;
    if (op->cast == WEFT_CAST_LOW && low_type(f) != WEFT_DEFAULT && widest != WEFT_F64)
        return low_type(f);
    if (op->cast == WEFT_CAST_F32 && widest != WEFT_F64 && widest != WEFT_DEFAULT)
        return WEFT_F32;
    return widest;
}
