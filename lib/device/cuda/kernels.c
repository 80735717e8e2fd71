/* The kernels of the CUDA device. */
#include "device/cuda/cuda.h"

const weft_kernels weft__cuda_kernels = {
#define ENTRY(name) .name = weft__cuda_##name,
    WEFT_KERNEL_COMMON(ENTRY)
#undef ENTRY
};
