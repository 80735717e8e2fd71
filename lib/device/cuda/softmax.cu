/* Softmax of rows, its logarithm, and their gradients. Sums are formed in f64. */
#include "device/cuda/math.cuh"
#include "device/cuda/softmax.cuh"

template <class T, int G>
__global__ static void softmax(T *y, const T *x, int64_t rows, int64_t c, bool logarithm)
{
    const int64_t r = cuda_row<G>();
    if (r >= rows)
        return;
    x += r * c;
    y += r * c;
    T m;
    const double sum = cuda_powers<G>(x, c, &m);
    const T by = (T)(logarithm ? log(sum) : sum);
    for (int64_t j = cuda_lane<G>(); j < c; j += G)
        y[j] = logarithm ? (x[j] - m) - by : cuda_power(x[j] - m) / by;
}

template <class T, int G>
__global__ static void softmax_back(T *gx, const T *y, const T *gy, int64_t rows, int64_t c)
{
    const int64_t r = cuda_row<G>();
    if (r >= rows)
        return;
    gx += r * c;
    y += r * c;
    gy += r * c;
    double part = 0;
#pragma unroll 4
    for (int64_t j = cuda_lane<G>(); j < c; j += G)
        part += (double)gy[j] * (double)y[j];
    const T sum = (T)cuda_join<G>(part, cuda_plus());
    for (int64_t j = cuda_lane<G>(); j < c; j += G)
        gx[j] = (gy[j] - sum) * y[j];
}

template <class T, int G>
__global__ static void log_softmax_back(T *gx, const T *y, const T *gy, int64_t rows, int64_t c)
{
    const int64_t r = cuda_row<G>();
    if (r >= rows)
        return;
    gx += r * c;
    y += r * c;
    gy += r * c;
    double part = 0;
#pragma unroll 4
    for (int64_t j = cuda_lane<G>(); j < c; j += G)
        part += (double)gy[j];
    const T sum = (T)cuda_join<G>(part, cuda_plus());
    for (int64_t j = cuda_lane<G>(); j < c; j += G)
        gx[j] = gy[j] - cuda_power(y[j]) * sum;
}

weft_status weft__cuda_softmax(weft_stream *s, weft_dev y, weft_dev x, int64_t rows, int64_t c,
                               weft_dtype dt)
{
    CUDA_PAIR(dt, "softmax",
              CUDA_ROWS(softmax, rows, c, cuda_at<T>(y), cuda_at<T>(x), rows, c, false))
    return weft__cuda_launched(s, "softmax");
}

weft_status weft__cuda_softmax_back(weft_stream *s, weft_dev gx, weft_dev y, weft_dev gy,
                                    int64_t rows, int64_t c, weft_dtype dt)
{
    CUDA_PAIR(
        dt, "softmax_back",
        CUDA_ROWS(softmax_back, rows, c, cuda_at<T>(gx), cuda_at<T>(y), cuda_at<T>(gy), rows, c))
    return weft__cuda_launched(s, "softmax_back");
}

weft_status weft__cuda_log_softmax(weft_stream *s, weft_dev y, weft_dev x, int64_t rows, int64_t c,
                                   weft_dtype dt)
{
    CUDA_PAIR(dt, "log_softmax",
              CUDA_ROWS(softmax, rows, c, cuda_at<T>(y), cuda_at<T>(x), rows, c, true))
    return weft__cuda_launched(s, "log_softmax");
}

weft_status weft__cuda_log_softmax_back(weft_stream *s, weft_dev gx, weft_dev y, weft_dev gy,
                                        int64_t rows, int64_t c, weft_dtype dt)
{
    CUDA_PAIR(dt, "log_softmax_back",
              CUDA_ROWS(log_softmax_back, rows, c, cuda_at<T>(gx), cuda_at<T>(y), cuda_at<T>(gy),
                        rows, c))
    return weft__cuda_launched(s, "log_softmax_back");
}
