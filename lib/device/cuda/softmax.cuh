/* The sum of exp(x - max x) over a row of c, by G threads; NaN is passed over in the maximum. */
#ifndef DEVICE_CUDA_SOFTMAX_CUH
#define DEVICE_CUDA_SOFTMAX_CUH
#include "device/cuda/math.cuh"
#include "device/cuda/rows.cuh"

struct cuda_higher {
    template <class V> __device__ V operator()(V a, V b) const
    {
        return b > a ? b : a;
    }
};

template <int G, class T> __device__ static inline double cuda_powers(const T *x, int64_t c, T *max)
{
    T top = -(T)INFINITY;
#pragma unroll 4
    for (int64_t j = cuda_lane<G>(); j < c; j += G)
        top = x[j] > top ? x[j] : top;
    top = cuda_join<G>(top, cuda_higher());
    double part = 0;
#pragma unroll 4
    for (int64_t j = cuda_lane<G>(); j < c; j += G)
        part += (double)cuda_exp(x[j] - top);
    *max = top;
    return cuda_join<G>(part, cuda_plus());
}
#endif
