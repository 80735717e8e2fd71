/* Normalisation over channels: x (n, c, inner), whose elements of channel j of row i share a mean and a
 * deviation. */
#ifndef DEVICE_CUDA_CHANNEL_CUH
#define DEVICE_CUDA_CHANNEL_CUH
#include "device/cuda/rows.cuh"

struct cuda_channels {
    int64_t n, c, inner, groups;
    const double *stats; /* count, then a mean and 1/deviation each */
    const void *w, *b;
    weft_dtype wt;
};

/* Of the mean of channel j of row i in stats; the deviation stands behind it. */
__device__ static inline int64_t cuda_channel_at(const cuda_channels &a, int64_t i, int64_t j)
{
    return 1 + 2 * (a.groups ? i * a.groups + j / (a.c / a.groups) : j);
}

/* Number j of w, which is of type wt: T, or f32. */
template <class T>
__device__ static inline double cuda_weight_of(const void *w, weft_dtype wt, int64_t j)
{
    return wt == WEFT_F32 ? (double)((const float *)w)[j] : (double)cuda_wide(((const T *)w)[j]);
}
#endif
