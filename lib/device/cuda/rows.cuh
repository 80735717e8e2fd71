/* Kernels on rows: G threads, a warp or a block, have one row each. What they find is brought together
 * in an order that G alone decides, and all of them get it. */
#ifndef DEVICE_CUDA_ROWS_CUH
#define DEVICE_CUDA_ROWS_CUH
#include "device/cuda/each.cuh"

#define CUDA_WARP 32

template <int G> __device__ static inline int64_t cuda_row()
{
    return (int64_t)blockIdx.x * (blockDim.x / G) + threadIdx.x / G;
}
/* Which of its row's threads this one is. */
template <int G> __device__ static inline int cuda_lane()
{
    return threadIdx.x % G;
}

/* An element and its place. */
template <class C> struct cuda_found {
    C v;
    int64_t at;
};

template <class V> __device__ static inline V cuda_from(V v, int lane)
{
    return __shfl_xor_sync(0xFFFFFFFFU, v, lane);
}
template <class C> __device__ static inline cuda_found<C> cuda_from(cuda_found<C> f, int lane)
{
    return cuda_found<C>{cuda_from(f.v, lane), cuda_from(f.at, lane)};
}

/* f(f(a, b), ...) of all v; f does not mind which comes first. All G threads call it. */
template <int G, class V, class F> __device__ static inline V cuda_join(V v, F f)
{
#pragma unroll
    for (int lane = CUDA_WARP / 2; lane; lane /= 2)
        v = f(v, cuda_from(v, lane));
    if (G > CUDA_WARP) {
        __shared__ V part[G / CUDA_WARP];
        __syncthreads();
        if (threadIdx.x % CUDA_WARP == 0)
            part[threadIdx.x / CUDA_WARP] = v;
        __syncthreads();
        v = part[0];
#pragma unroll
        for (int w = 1; w < G / CUDA_WARP; w++)
            v = f(v, part[w]);
    }
    return v;
}

struct cuda_plus {
    template <class V> __device__ V operator()(V a, V b) const
    {
        return a + b;
    }
};
/* Of numbers; NaN is handed on as b, or stays as a. */
struct cuda_more {
    template <class V> __device__ V operator()(V a, V b) const
    {
        return b > a || b != b ? b : a;
    }
};
struct cuda_less {
    template <class V> __device__ V operator()(V a, V b) const
    {
        return b < a ? b : a;
    }
};

/* The largest or smallest and the first place of it; NaN beats all but another. */
template <class C> __device__ static inline bool cuda_beats(C v, C best, bool largest)
{
    return v != v ? best == best : largest ? v > best : v < best;
}
#define CUDA_NOWHERE INT64_MAX /* the place of nothing */
struct cuda_first_of {
    bool largest;
    template <class C> __device__ cuda_found<C> operator()(cuda_found<C> a, cuda_found<C> b) const
    {
        if (a.at == CUDA_NOWHERE || b.at == CUDA_NOWHERE)
            return a.at == CUDA_NOWHERE ? b : a;
        if (cuda_beats(a.v, b.v, largest) || cuda_beats(b.v, a.v, largest))
            return cuda_beats(a.v, b.v, largest) ? a : b;
        return a.at < b.at ? a : b;
    }
};

/* The same among n elements `step` apart, all G threads together. */
template <int G, class T>
__device__ static inline cuda_found<cuda_c<T>> cuda_best(const T *x, int64_t n, int64_t step,
                                                         bool largest)
{
    typedef cuda_c<T> C;
    cuda_found<C> best = {0, CUDA_NOWHERE};
    for (int64_t j = cuda_lane<G>(); j < n; j += G) {
        const C v = cuda_wide(x[j * step]);
        if (best.at == CUDA_NOWHERE || cuda_beats(v, best.v, largest))
            best = cuda_found<C>{v, j};
    }
    return cuda_join<G>(best, cuda_first_of{largest});
}

/* Blocks of CUDA_THREADS with G threads a row. */
static inline unsigned cuda_row_blocks(int64_t rows, int g)
{
    const int64_t each = CUDA_THREADS / g;
    return (unsigned)((rows + each - 1) / each);
}

/* In a function with a stream s: runs kernel<T, G> on rows of c, G a warp or a block. */
#define CUDA_ROWS(kernel, rows, c, ...)                                                            \
    do {                                                                                           \
        if ((c) <= 1024)                                                                           \
            CUDA_RUN((kernel<T, CUDA_WARP>), cuda_row_blocks(rows, CUDA_WARP), __VA_ARGS__);       \
        else                                                                                       \
            CUDA_RUN((kernel<T, CUDA_THREADS>), cuda_row_blocks(rows, CUDA_THREADS), __VA_ARGS__); \
    } while (0)
#endif
