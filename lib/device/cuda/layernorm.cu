/* Layer normalisation of rows: y = (x - m) r w + b with m the mean and r = 1/sqrt(variance + eps). Sums are
 * formed in f64. add_layernorm: x is a sum, which is written too. norm_back.cu has the gradients. */
#include "device/cuda/norms.cuh"

/* sum and more may be 0. */
template <class T, int G>
__global__ static void layernorm(T *y, T *sum, double *stats, const T *x, const T *more, const T *w,
                                 const T *b, int64_t rows, int64_t c, double eps, bool packs)
{
    constexpr int N = cuda_pack<T>::n;
    const int64_t r = cuda_row<G>();
    cuda_c<T> v[N], u[N];
    if (r >= rows)
        return;
    double part = 0, square = 0;
    for (int64_t j = cuda_lane<G>() * N; j < c; j += G * N) {
        cuda_read(v, x + r * c, j, c, packs);
        if (more) {
            cuda_read(u, more + r * c, j, c, packs);
            for (int k = 0; k < N; k++)
                v[k] = cuda_wide(cuda_narrow<T>(v[k] + u[k]));
            cuda_write(sum + r * c, v, j, c, packs);
        }
        for (int k = 0; k < N; k++)
            part += (double)v[k];
    }
    x = more ? sum : x; /* each thread reads what it wrote */
    const double m = cuda_join<G>(part, cuda_plus()) / (double)c;
    for (int64_t j = cuda_lane<G>() * N; j < c; j += G * N) {
        cuda_read(v, x + r * c, j, c, packs);
        for (int k = 0; k < N; k++) {
            const double d = j + k < c ? (double)v[k] - m : 0;
            square += d * d;
        }
    }
    square = cuda_join<G>(square, cuda_plus());
    const double rstd = 1 / sqrt(square / (double)c + eps);
    if (cuda_lane<G>() == 0) {
        stats[2 * r] = m;
        stats[2 * r + 1] = rstd;
    }
    for (int64_t j = cuda_lane<G>() * N; j < c; j += G * N) {
        cuda_read(v, x + r * c, j, c, packs);
        cuda_weights(u, w, j, c, packs);
        for (int k = 0; k < N; k++)
            v[k] = (cuda_c<T>)(((double)v[k] - m) * rstd) * u[k];
        if (b) {
            cuda_read(u, b, j, c, packs);
            for (int k = 0; k < N; k++)
                v[k] += u[k];
        }
        cuda_write(y + r * c, v, j, c, packs);
    }
}

weft_status weft__cuda_add_layernorm(weft_stream *s, weft_dev y, weft_dev sum, weft_dev stats,
                                     weft_dev x, weft_dev r, weft_dev w, weft_dev b, int64_t rows,
                                     int64_t c, double eps, weft_dtype dt)
{
    const bool aligned = cuda_packs(y, x, w, b) && cuda_packs(sum, r);
    CUDA_FLOATS(dt, "layernorm",
                CUDA_ROWS(layernorm, rows, c, cuda_at<T>(y), cuda_at<T>(sum),
                          cuda_at<double>(stats), cuda_at<T>(x), cuda_at<T>(r), cuda_at<T>(w),
                          cuda_at<T>(b), rows, c, eps, cuda_row_packs<T>(c, aligned)))
    return weft__cuda_launched(s, "layernorm");
}

weft_status weft__cuda_add_layernorm_back(weft_stream *s, weft_dev gx, weft_dev gw, weft_dev gb,
                                          weft_dev gy, weft_dev gsum, weft_dev sum, weft_dev stats,
                                          weft_dev w, int64_t rows, int64_t c, weft_dtype dt)
{
    WEFT_TRY(weft__cuda_norm_back(s, gx, gw, gb, gy, gsum, sum, stats, w, true, rows, c, dt));
    return weft__cuda_launched(s, "layernorm_back");
}

weft_status weft__cuda_layernorm(weft_stream *s, weft_dev y, weft_dev stats, weft_dev x, weft_dev w,
                                 weft_dev b, int64_t rows, int64_t c, double eps, weft_dtype dt)
{
    const weft_dev none = {0};
    return weft__cuda_add_layernorm(s, y, none, stats, x, none, w, b, rows, c, eps, dt);
}

weft_status weft__cuda_layernorm_back(weft_stream *s, weft_dev gx, weft_dev gw, weft_dev gb,
                                      weft_dev gy, weft_dev x, weft_dev stats, weft_dev w,
                                      int64_t rows, int64_t c, weft_dtype dt)
{
    return weft__cuda_add_layernorm_back(s, gx, gw, gb, gy, weft_dev{0}, x, stats, w, rows, c, dt);
}
