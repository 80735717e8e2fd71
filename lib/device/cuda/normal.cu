/* Normal numbers, from uniform ones as on the cpu. */
#include "device/cuda/math.cuh"
#include "device/cuda/random.cuh"

#include "device/cpu/quantile.h"

template <class T>
__global__ static void normal(T *y, uint64_t seed, uint64_t stream, int64_t n, weft_normal_terms o)
{
    for (int64_t i = cuda_first() * 2; i < n; i += cuda_step() * 2) {
        uint32_t w[4];
        cuda_draw(seed, stream, 0, (uint64_t)i / 2, w);
        for (int k = 0; k < 2 && i + k < n; k++) {
            const double u = k ? cuda_unit(w[2], w[3]) : cuda_unit(w[0], w[1]);
            const double q = o.lo + (o.hi - o.lo) * u;
            y[i + k] = (T)(o.mean + o.std * cpu_quantile(q));
        }
    }
}

weft_status weft__cuda_normal(weft_stream *s, weft_dev y, uint64_t seed, uint64_t stream, int64_t n,
                              const weft_normal_terms *o, weft_dtype dt)
{
    CUDA_PAIR(dt, "normal",
              CUDA_RUN(normal<T>, cuda_blocks_of(s, n, 2), cuda_at<T>(y), seed, stream, n, *o))
    return weft__cuda_launched(s, "normal");
}
