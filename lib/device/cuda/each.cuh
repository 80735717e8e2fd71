/* Loops over contiguous arrays, several elements a thread:
 *
 *   for (int64_t i = cuda_first() * N; i < n; i += cuda_step() * N) {
 *       cuda_c<T> v[N];
 *       cuda_read(v, x, i, n, packs);
 *       ...
 *       cuda_write(y, v, i, n, packs);
 *   }
 *
 * packs: all addresses are multiples of what is read and written at once. */
#ifndef DEVICE_CUDA_EACH_CUH
#define DEVICE_CUDA_EACH_CUH
#include "core/try.h"
#include "device/cuda/typed.cuh"

/* Elements that go together: N of them, or as many as have 16 bytes. */
template <class T, int N> struct cuda_chunk {
    static constexpr int n = N * sizeof(T) < 16 ? N : 16 / sizeof(T);
    struct alignas(n * sizeof(T)) type {
        T x[n];
    };
};

/* v[k] = x[i + k]: all are there, at an address for packs. */
template <class T, int N>
__device__ static inline void cuda_load(cuda_c<T> (&v)[N], const T *x, int64_t i)
{
    typedef cuda_chunk<T, N> chunk;
#pragma unroll
    for (int k = 0; k < N; k += chunk::n) {
        const typename chunk::type c = *(const typename chunk::type *)(x + i + k);
#pragma unroll
        for (int j = 0; j < chunk::n; j++)
            v[k + j] = cuda_wide(c.x[j]);
    }
}

/* v[k] = x[i + k], zero from n on. */
template <class T, int N>
__device__ static inline void cuda_read(cuda_c<T> (&v)[N], const T *x, int64_t i, int64_t n,
                                        bool packs)
{
    if (packs && i + N <= n) {
        cuda_load(v, x, i);
        return;
    }
#pragma unroll
    for (int k = 0; k < N; k++)
        v[k] = i + k < n ? cuda_wide(x[i + k]) : (cuda_c<T>)0;
}

/* y[i + k] = v[k], up to n. */
template <class T, class V, int N>
__device__ static inline void cuda_write(T *y, const V (&v)[N], int64_t i, int64_t n, bool packs)
{
    typedef cuda_chunk<T, N> chunk;
    if (packs && i + N <= n) {
#pragma unroll
        for (int k = 0; k < N; k += chunk::n) {
            typename chunk::type c;
#pragma unroll
            for (int j = 0; j < chunk::n; j++)
                c.x[j] = cuda_narrow<T>(v[k + j]);
            *(typename chunk::type *)(y + i + k) = c;
        }
        return;
    }
#pragma unroll
    for (int k = 0; k < N; k++)
        if (i + k < n)
            y[i + k] = cuda_narrow<T>(v[k]);
}

/* Blocks for n elements, N a thread; 0 for none: then nothing is launched. */
static inline unsigned cuda_blocks_of(const weft_stream *s, int64_t n, int each)
{
    return n <= 0 ? 0 : cuda_blocks(s, (n + each - 1) / each);
}

/* In a function with a stream s: runs a kernel on so many blocks, if any. */
#define CUDA_RUN(kernel, blocks, ...)                                                              \
    do {                                                                                           \
        const unsigned blocks_ = (blocks);                                                         \
        if (blocks_)                                                                               \
            kernel<<<blocks_, CUDA_THREADS, 0, cuda_on(s)>>>(__VA_ARGS__);                         \
    } while (0)

/* Whether results of type yt come from dt: the same, or f32 of 16 bits. */
static inline bool cuda_gives(weft_dtype yt, weft_dtype dt)
{
    const bool low = dt == WEFT_BF16 || dt == WEFT_F16;
    return (low || dt == WEFT_F32 || dt == WEFT_F64) && (yt == dt || (low && yt == WEFT_F32));
}

template <class T> static inline T *cuda_at(weft_dev p)
{
    return (T *)cuda_ptr(p);
}
#endif
