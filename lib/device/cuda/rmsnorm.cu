/* Root mean square normalisation of rows: y = x r w with r = 1/sqrt(mean(x^2) + eps). With h = gy w and
 * n = x r: gx = r (h - n mean(h n)), gw = sum gy n over the rows. Sums are formed in f64. */
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

template <class T, int G>
__global__ static void rows_back(T *gx, const T *gy, const T *x, const double *stats, const T *w,
                                 int64_t rows, int64_t c, bool packs)
{
    constexpr int N = cuda_pack<T>::n;
    const int64_t r = cuda_row<G>();
    cuda_c<T> v[N], g[N], u[N];
    double hn = 0;
    if (r >= rows)
        return;
    const double rms = stats[r];
    for (int64_t j = cuda_lane<G>() * N; j < c; j += G * N) {
        cuda_read(g, gy + r * c, j, c, packs);
        cuda_read(v, x + r * c, j, c, packs);
        cuda_weights(u, w, j, c, packs);
        for (int k = 0; k < N; k++)
            hn += (double)g[k] * (double)u[k] * ((double)v[k] * rms);
    }
    const double mean = cuda_join<G>(hn, cuda_plus()) / (double)c;
    for (int64_t j = cuda_lane<G>() * N; j < c; j += G * N) {
        cuda_read(g, gy + r * c, j, c, packs);
        cuda_read(v, x + r * c, j, c, packs);
        cuda_weights(u, w, j, c, packs);
        for (int k = 0; k < N; k++) {
            const double h = (double)g[k] * (double)u[k];
            g[k] = (cuda_c<T>)(rms * (h - (double)v[k] * rms * mean));
        }
        cuda_write(gx + r * c, g, j, c, packs);
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
    if (gx.addr)
        CUDA_FLOATS(dt, "rmsnorm_back",
                    CUDA_ROWS(rows_back, rows, c, cuda_at<T>(gx), cuda_at<T>(gy), cuda_at<T>(x),
                              cuda_at<double>(stats), cuda_at<T>(w), rows, c,
                              cuda_row_packs<T>(c, cuda_packs(gx, gy, x, w))))
    if (gw.addr)
        WEFT_TRY(weft__cuda_norm_columns(s, gw, weft_dev{0}, gy, x, stats, false, rows, c, dt));
    return weft__cuda_launched(s, "rmsnorm_back");
}
