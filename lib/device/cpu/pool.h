/* Windows over planes, of pooling. */
#ifndef DEVICE_CPU_POOL_H
#define DEVICE_CPU_POOL_H
#include "device/cpu/wide.h"

struct pool {
    void *y;
    int32_t *at;
    const void *x;
    weft_average how;
    weft_window o;
};

/* The body of maxpool over rows of windows that is quicker for these windows here; NULL: none. */
weft__cpu_body *weft__pool_wide(const weft_window *o, weft_dtype t);
#endif
