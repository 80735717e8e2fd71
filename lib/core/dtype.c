/* Element types. */
#include <weft/base.h>

static const struct {
    const char *name;
    size_t size;
} type[] = {{"?", 0},    {"f32", 4}, {"f64", 8}, {"f16", 2},
            {"bf16", 2}, {"i32", 4}, {"i64", 8}, {"u8", 1}};

#define KNOWN(t) ((unsigned)(t) < sizeof type / sizeof type[0] ? (unsigned)(t) : 0u)

size_t weft_dtype_size(weft_dtype t)
{
    return type[KNOWN(t)].size;
}

const char *weft_dtype_name(weft_dtype t)
{
    return type[KNOWN(t)].name;
}
