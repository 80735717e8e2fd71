/* y = silu(a) b, silu(a) = a s(a), s(a) = 1 / (1 + exp(-a)); gb = gy silu(a),
 * ga = gy b s(a) (1 + a (1 - s(a))). */
#include "device/cuda/each.cuh"
#include "device/cuda/math.cuh"

template <class C> __device__ static inline C gate(C a)
{
    return 1 / (1 + cuda_exp(-a));
}

template <class T>
__global__ static void swiglu(T *y, const T *a, const T *b, int64_t n, bool packs)
{
    constexpr int N = cuda_pack<T>::n;
    for (int64_t i = cuda_first() * N; i < n; i += cuda_step() * N) {
        cuda_c<T> u[N], v[N];
        cuda_read(u, a, i, n, packs);
        cuda_read(v, b, i, n, packs);
        for (int k = 0; k < N; k++)
            v[k] = u[k] * gate(u[k]) * v[k];
        cuda_write(y, v, i, n, packs);
    }
}

template <class T>
__global__ static void swiglu_back(T *ga, T *gb, const T *gy, const T *a, const T *b, int64_t n,
                                   bool packs)
{
    constexpr int N = cuda_pack<T>::n;
    for (int64_t i = cuda_first() * N; i < n; i += cuda_step() * N) {
        cuda_c<T> g[N], u[N], v[N];
        cuda_read(g, gy, i, n, packs);
        cuda_read(u, a, i, n, packs);
        cuda_read(v, b, i, n, packs);
        for (int k = 0; k < N; k++) {
            const cuda_c<T> s = gate(u[k]);
            v[k] = g[k] * v[k] * (s * (1 + u[k] * (1 - s)));
            g[k] = g[k] * (u[k] * s);
        }
        if (ga)
            cuda_write(ga, v, i, n, packs);
        if (gb)
            cuda_write(gb, g, i, n, packs);
    }
}

weft_status weft__cuda_swiglu(weft_stream *s, weft_dev y, weft_dev a, weft_dev b, int64_t n,
                              weft_dtype dt)
{
    CUDA_FLOATS(dt, "swiglu",
                CUDA_RUN(swiglu<T>, cuda_blocks_of(s, n, cuda_pack<T>::n), cuda_at<T>(y),
                         cuda_at<T>(a), cuda_at<T>(b), n, cuda_packs(y, a, b)))
    return weft__cuda_launched(s, "swiglu");
}

weft_status weft__cuda_swiglu_back(weft_stream *s, weft_dev ga, weft_dev gb, weft_dev gy,
                                   weft_dev a, weft_dev b, int64_t n, weft_dtype dt)
{
    CUDA_FLOATS(dt, "swiglu_back",
                CUDA_RUN(swiglu_back<T>, cuda_blocks_of(s, n, cuda_pack<T>::n), cuda_at<T>(ga),
                         cuda_at<T>(gb), cuda_at<T>(gy), cuda_at<T>(a), cuda_at<T>(b), n,
                         cuda_packs(ga, gb, gy, a, b)))
    return weft__cuda_launched(s, "swiglu_back");
}
