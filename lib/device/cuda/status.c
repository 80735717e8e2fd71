/* What CUDA says, as codes and messages. */
#include "core/error.h"
#include "device/cuda/cuda.h"

/* An error that is not the GPU's end stays the thread's until it is asked for, and would be the next
 * launch's otherwise. */
weft_status weft__cuda_status(const weft_device *d, const char *what, cudaError_t e)
{
    const weft__cuda *c = cuda_of(d);
    if (e == cudaSuccess)
        return WEFT_OK;
    cudaGetLastError();
    return weft__fail(e == cudaErrorMemoryAllocation ? WEFT_ENOMEM : WEFT_EDEVICE,
                      "device cuda %d (%s): %s: %s (%s)", c->index, c->name, what,
                      cudaGetErrorString(e), cudaGetErrorName(e));
}

weft_status weft__cuda_launched(const weft_stream *s, const char *kernel)
{
    const cudaError_t e = cudaGetLastError();
    return e == cudaSuccess ? WEFT_OK : weft__cuda_status(s->device, kernel, e);
}
