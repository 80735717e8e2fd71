/* Tensors of a checkpoint in another type than the program's: one saved in one precision loads in any
 * other. By way of f64, which holds all values, and rounded once. */
#include "checkpoint/load.h"
#include "device/cpu/half.h"
#include "tensor/tensor.h"

bool weft__converts(weft_dtype from, weft_dtype to)
{
    return weft__is_float(from) && weft__is_float(to);
}

static double read(const char *x, weft_dtype t)
{
    union {
        uint16_t half;
        float single;
        double wide;
    } v;
    memcpy(&v, x, weft_dtype_size(t));
    if (t == WEFT_F64)
        return v.wide;
    if (t == WEFT_F32)
        return v.single;
    return t == WEFT_BF16 ? half_wide_bf16(v.half) : half_wide_f16(v.half);
}

void weft__convert(void *y, weft_dtype to, const void *x, weft_dtype from, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const double v = read((const char *)x + i * (int64_t)weft_dtype_size(from), from);
        if (to == WEFT_F64)
            ((double *)y)[i] = v;
        else if (to == WEFT_F32)
            ((float *)y)[i] = (float)v;
        else
            ((uint16_t *)y)[i] = to == WEFT_BF16 ? half_to_bf16(v) : half_to_f16(v);
    }
}
