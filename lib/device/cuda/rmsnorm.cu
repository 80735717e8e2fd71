/* Root mean square normalisation of rows: y = x r w with r = 1/sqrt(mean(x^2) + eps). Sums are formed in f64.
 * norm_back.cu has the gradients. */
#include "device/cuda/norms.cuh"

template <class T, int G>
__global__ static void rmsnorm(T *y, double *stats, const T *x, const T *w, int64_t rows, int64_t c,
                               double eps, bool packs)
{
    constexpr int N = cuda_pack<T>::n;
    const int64_t r = cuda_row<G>();
    cuda_c<T> v[N], u[N];
    double square = 0;
    if (r >= rows)
        return;
    for (int64_t j = cuda_lane<G>() * N; j < c; j += G * N) {
        cuda_read(v, x + r * c, j, c, packs);
        for (int k = 0; k < N; k++)
            square += (double)v[k] * (double)v[k];
    }
    const double rms = 1 / sqrt(cuda_join<G>(square, cuda_plus()) / (double)c + eps);
    if (cuda_lane<G>() == 0)
        stats[r] = rms;
    for (int64_t j = cuda_lane<G>() * N; j < c; j += G * N) {
        cuda_read(v, x + r * c, j, c, packs);
        cuda_weights(u, w, j, c, packs);
        for (int k = 0; k < N; k++)
            v[k] = (cuda_c<T>)((double)v[k] * rms) * u[k];
        cuda_write(y + r * c, v, j, c, packs);
    }
}

weft_status weft__cuda_rmsnorm(weft_stream *s, weft_dev y, weft_dev stats, weft_dev x, weft_dev w,
                               int64_t rows, int64_t c, double eps, weft_dtype dt)
{
    CUDA_FLOATS(dt, "rmsnorm",
                CUDA_ROWS(rmsnorm, rows, c, cuda_at<T>(y), cuda_at<double>(stats), cuda_at<T>(x),
                          cuda_at<T>(w), rows, c, eps, cuda_row_packs<T>(c, cuda_packs(y, x, w))))
    return weft__cuda_launched(s, "rmsnorm");
}

weft_status weft__cuda_rmsnorm_back(weft_stream *s, weft_dev gx, weft_dev gw, weft_dev gy,
                                    weft_dev x, weft_dev stats, weft_dev w, int64_t rows, int64_t c,
                                    weft_dtype dt)
{
    const weft_dev none = {0};
    WEFT_TRY(weft__cuda_norm_back(s, gx, gw, none, gy, none, x, stats, w, false, rows, c, dt));
    return weft__cuda_launched(s, "rmsnorm_back");
}
