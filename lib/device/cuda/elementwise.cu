/* Kernels on contiguous arrays, element by element: axpy, scale, relu, bias. */
#include "device/cuda/each.cuh"

template <class T>
__global__ static void axpy(T *y, cuda_c<T> alpha, const T *x, int64_t n, bool packs)
{
    constexpr int N = cuda_pack<T>::n;
    for (int64_t i = cuda_first() * N; i < n; i += cuda_step() * N) {
        cuda_c<T> u[N], v[N];
        cuda_read(u, y, i, n, packs);
        cuda_read(v, x, i, n, packs);
        for (int k = 0; k < N; k++)
            u[k] += alpha * v[k];
        cuda_write(y, u, i, n, packs);
    }
}

template <class T>
__global__ static void scale(T *y, cuda_c<T> alpha, const T *x, int64_t n, bool packs)
{
    constexpr int N = cuda_pack<T>::n;
    for (int64_t i = cuda_first() * N; i < n; i += cuda_step() * N) {
        cuda_c<T> v[N];
        cuda_read(v, x, i, n, packs);
        for (int k = 0; k < N; k++)
            v[k] *= alpha;
        cuda_write(y, v, i, n, packs);
    }
}

/* NaN stays NaN. */
template <class T> __global__ static void relu(T *y, const T *x, int64_t n, bool packs)
{
    constexpr int N = cuda_pack<T>::n;
    for (int64_t i = cuda_first() * N; i < n; i += cuda_step() * N) {
        cuda_c<T> v[N];
        cuda_read(v, x, i, n, packs);
        for (int k = 0; k < N; k++)
            v[k] = v[k] <= 0 ? 0 : v[k];
        cuda_write(y, v, i, n, packs);
    }
}

template <class T>
__global__ static void relu_back(T *gx, const T *y, const T *gy, int64_t n, bool packs)
{
    constexpr int N = cuda_pack<T>::n;
    for (int64_t i = cuda_first() * N; i < n; i += cuda_step() * N) {
        cuda_c<T> u[N], v[N];
        cuda_read(u, y, i, n, packs);
        cuda_read(v, gy, i, n, packs);
        for (int k = 0; k < N; k++)
            v[k] = u[k] > 0 ? v[k] : 0;
        cuda_write(gx, v, i, n, packs);
    }
}

/* N: 1, or a divisor of c. */
template <class T, int N>
__global__ static void bias(T *y, const T *b, bool act, int64_t n, int64_t c)
{
    for (int64_t i = cuda_first() * N; i < n; i += cuda_step() * N) {
        const int64_t j = n <= INT32_MAX ? (int64_t)((uint32_t)i % (uint32_t)c) : i % c;
        cuda_c<T> v[N], w[N];
        cuda_read(v, y, i, n, true);
        if (b) {
            cuda_read(w, b, j, c, true);
            for (int k = 0; k < N; k++)
                v[k] = cuda_wide(cuda_narrow<T>(v[k] + w[k]));
        }
        for (int k = 0; k < N && act; k++)
            v[k] = v[k] <= 0 ? 0 : v[k];
        cuda_write(y, v, i, n, true);
    }
}

weft_status weft__cuda_axpy(weft_stream *s, weft_dev y, double alpha, weft_dev x, int64_t n,
                            weft_dtype dt)
{
    CUDA_FLOATS(dt, "axpy",
                CUDA_RUN(axpy<T>, cuda_blocks_of(s, n, cuda_pack<T>::n), cuda_at<T>(y),
                         (cuda_c<T>)alpha, cuda_at<T>(x), n, cuda_packs(y, x)))
    return weft__cuda_launched(s, "axpy");
}

weft_status weft__cuda_scale(weft_stream *s, weft_dev y, double alpha, weft_dev x, int64_t n,
                             weft_dtype dt)
{
    CUDA_FLOATS(dt, "scale",
                CUDA_RUN(scale<T>, cuda_blocks_of(s, n, cuda_pack<T>::n), cuda_at<T>(y),
                         (cuda_c<T>)alpha, cuda_at<T>(x), n, cuda_packs(y, x)))
    return weft__cuda_launched(s, "scale");
}

weft_status weft__cuda_relu(weft_stream *s, weft_dev y, weft_dev x, int64_t n, weft_dtype dt)
{
    CUDA_FLOATS(dt, "relu",
                CUDA_RUN(relu<T>, cuda_blocks_of(s, n, cuda_pack<T>::n), cuda_at<T>(y),
                         cuda_at<T>(x), n, cuda_packs(y, x)))
    return weft__cuda_launched(s, "relu");
}

weft_status weft__cuda_relu_back(weft_stream *s, weft_dev gx, weft_dev y, weft_dev gy, int64_t n,
                                 weft_dtype dt)
{
    CUDA_FLOATS(dt, "relu_back",
                CUDA_RUN(relu_back<T>, cuda_blocks_of(s, n, cuda_pack<T>::n), cuda_at<T>(gx),
                         cuda_at<T>(y), cuda_at<T>(gy), n, cuda_packs(gx, y, gy)))
    return weft__cuda_launched(s, "relu_back");
}

template <class T>
static void run_bias(weft_stream *s, weft_dev y, weft_dev b, int act, int64_t n, int64_t c)
{
    constexpr int N = cuda_pack<T>::n;
    if (c % N == 0 && cuda_packs(y, b))
        CUDA_RUN((bias<T, N>), cuda_blocks_of(s, n, N), cuda_at<T>(y), cuda_at<T>(b), act == 1, n,
                 c);
    else
        CUDA_RUN((bias<T, 1>), cuda_blocks_of(s, n, 1), cuda_at<T>(y), cuda_at<T>(b), act == 1, n,
                 c);
}

weft_status weft__cuda_bias(weft_stream *s, weft_dev y, weft_dev b, int act, int64_t rows,
                            int64_t c, weft_dtype dt)
{
    CUDA_FLOATS(dt, "bias", run_bias<T>(s, y, b, act, rows * c, c))
    return weft__cuda_launched(s, "bias");
}
