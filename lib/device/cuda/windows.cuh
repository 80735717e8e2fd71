/* Windows over planes: where they are, and which have an element. */
#ifndef DEVICE_CUDA_WINDOWS_CUH
#define DEVICE_CUDA_WINDOWS_CUH
#include "device/cuda/each.cuh"

/* a / b, both below `most`: 32-bit divisions take a third of the time. */
__device__ static inline int64_t cuda_quotient(int64_t a, int64_t b, int64_t most)
{
    return most <= INT32_MAX ? (int64_t)((uint32_t)a / (uint32_t)b) : a / b;
}

/* The window along dimension d whose place i lies in row or column r; -1: none. */
__device__ static inline int64_t cuda_window_at(const weft_window &o, int d, int64_t r, int64_t i)
{
    const int64_t from = r + o.padding[d] - i * o.dilation[d];
    if (from < 0)
        return -1;
    const int64_t q = cuda_quotient(from, o.stride[d], from);
    return q * o.stride[d] == from && q < o.out[d] ? q : -1;
}

/* From first to before end. */
struct cuda_range {
    int64_t first, end;
};

__device__ static inline int64_t cuda_clamp(int64_t v, int64_t most)
{
    return v < 0 ? 0 : v < most ? v : most;
}

/* The windows along dimension d that may have a place in row or column r. */
__device__ static inline cuda_range cuda_covering(const weft_window &o, int d, int64_t r)
{
    const int64_t reach = (o.kernel[d] - 1) * o.dilation[d];
    const int64_t first = r + o.padding[d] - reach, last = r + o.padding[d];
    return cuda_range{first < 0 ? 0 : (first + o.stride[d] - 1) / o.stride[d],
                      cuda_clamp(last / o.stride[d] + 1, o.out[d])};
}
#endif
