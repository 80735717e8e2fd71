/* Kernels on strided arrays: element i of the shape, in row-major order, is at an offset in each array
 * that cuda_seek finds. N elements go together where that is possible: where they lie in one row, and
 * in each array one behind the other or on top of each other. */
#ifndef DEVICE_CUDA_STRIDED_CUH
#define DEVICE_CUDA_STRIDED_CUH
#include "device/cuda/each.cuh"

/* Whether N elements of `size` bytes from a go together in array k of the walk. */
static inline bool cuda_together(const weft__walk *w, int k, int n, weft_dev a, size_t size)
{
    const int last = w->rank - 1;
    if (w->stride[k][last] == 0)
        return last == 0 || w->shape[last] % n == 0;
    if (w->stride[k][last] != 1 || a.addr % (n * size < 16 ? n * size : 16))
        return false;
    for (int d = 0; d < last; d++)
        if (w->stride[k][d] % n)
            return false;
    return last == 0 || w->shape[last] % n == 0;
}

/* The same for an array without gaps in the order of the shape. */
static inline bool cuda_aligned(int n, weft_dev a, size_t size)
{
    return a.addr % (n * size < 16 ? n * size : 16) == 0;
}

/* v = the elements from x + at on, `left` of them at most, stride 0 or 1; any stride where N is 1. */
template <class T, int N>
__device__ static inline void cuda_take(cuda_c<T> (&v)[N], const T *x, int64_t at, int64_t stride,
                                        int64_t left)
{
    if (N > 1 && stride) {
        cuda_read(v, x + at, 0, left, true);
        return;
    }
    const cuda_c<T> same = cuda_wide(x[at]);
#pragma unroll
    for (int k = 0; k < N; k++)
        v[k] = same;
}
#endif
