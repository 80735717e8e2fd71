/* Element types. */
#include "core/shape.h"

static const char *const name[] = {"?", "f32", "f64", "f16", "bf16", "i32", "i64", "u8"};
#define NAMES (sizeof name / sizeof name[0])

size_t weft_dtype_size(weft_dtype t)
{
    return weft__size_of(t);
}

const char *weft_dtype_name(weft_dtype t)
{
    return name[(unsigned)t < NAMES ? (unsigned)t : 0];
}
