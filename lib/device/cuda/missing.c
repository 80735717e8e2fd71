/* Kernels that no other file has yet: weak, and last of the device's files, so that those of the others
 * win. */
#include "core/error.h"
#include "device/cuda/cuda.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"

#define MISSING(name)                                                                              \
    __attribute__((weak)) weft_status weft__cuda_##name(WEFT_KERNEL_ARGS(name))                    \
    {                                                                                              \
        return weft__fail(WEFT_ENOTSUP, "device cuda has no kernel %s in this version", #name);    \
    }
WEFT_KERNEL_LIST(MISSING)
