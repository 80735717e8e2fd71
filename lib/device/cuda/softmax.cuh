/* The sum of exp(x - max x) over a row of c, by G threads; NaN is passed over in the maximum. In one
 * pass: a thread's sum is rescaled when it meets a larger element. */
#ifndef DEVICE_CUDA_SOFTMAX_CUH
#define DEVICE_CUDA_SOFTMAX_CUH
#include "device/cuda/math.cuh"
#include "device/cuda/rows.cuh"

/* In f32 by the GPU's own function, which takes a third of the time, within a unit in the last place. */
__device__ static inline float cuda_power(float x)
{
    return expf(x);
}
__device__ static inline double cuda_power(double x)
{
    return cuda_exp(x);
}

struct cuda_higher {
    template <class V> __device__ V operator()(V a, V b) const
    {
        return b > a ? b : a;
    }
};

template <int G, class T> __device__ static inline double cuda_powers(const T *x, int64_t c, T *max)
{
    const T none = -(T)INFINITY;
    T top = none;
    double part = 0;
#pragma unroll 4
    for (int64_t j = cuda_lane<G>(); j < c; j += G) {
        const T v = x[j];
        if (v > top) {
            part *= (double)cuda_power(top - v);
            top = v;
        }
        part += v == none ? 0 : (double)cuda_power(v - top);
    }
    const T most = cuda_join<G>(top, cuda_higher());
    if (top != most)
        part *= (double)cuda_power(top - most);
    *max = most;
    part = cuda_join<G>(part, cuda_plus());
    return most == none ? (double)NAN : part;
}
#endif
