/* The normalised elements of channels, y = (x - m) r w + b, and the gradient. With h = gy w and
 * z = (x - m) r: gx = r (h - mean(h) - z mean(h z)), the means over what shares m and r. */
#include "device/cuda/channel.cuh"

/* Element e's channel and, in stats, its mean. */
struct channel_of {
    int64_t j, at;
};

__device__ static inline channel_of find(const cuda_channels &a, int64_t e)
{
    const bool small = a.n * a.c * a.inner <= INT32_MAX;
    const int64_t line = small ? (uint32_t)e / (uint32_t)a.inner : e / a.inner;
    const int64_t i = small ? (uint32_t)line / (uint32_t)a.c : line / a.c, j = line - i * a.c;
    return channel_of{j, cuda_channel_at(a, i, j)};
}

/* N elements together are in one channel. */
template <class T, int N> __global__ static void channel_norm(T *y, const T *x, cuda_channels a)
{
    const int64_t n = a.n * a.c * a.inner;
    for (int64_t e = cuda_first() * N; e < n; e += cuda_step() * N) {
        const channel_of f = find(a, e);
        const double m = a.stats[f.at], r = a.stats[f.at + 1];
        const double w = a.w ? cuda_weight_of<T>(a.w, a.wt, f.j) : 1;
        const double b = a.b ? cuda_weight_of<T>(a.b, a.wt, f.j) : 0;
        cuda_c<T> v[N];
        cuda_read(v, x, e, n, true);
        for (int k = 0; k < N; k++)
            v[k] = (cuda_c<T>)(((double)v[k] - m) * r * w + b);
        cuda_write(y, v, e, n, true);
    }
}

template <class T, int N>
__global__ static void channel_back(T *gx, const T *gy, const T *x, const double *sums,
                                    cuda_channels a)
{
    const int64_t n = a.n * a.c * a.inner;
    for (int64_t e = cuda_first() * N; e < n; e += cuda_step() * N) {
        const channel_of f = find(a, e);
        const double m = a.stats[f.at], r = a.stats[f.at + 1];
        const double w = a.w ? cuda_weight_of<T>(a.w, a.wt, f.j) : 1;
        const double mh = sums ? w * sums[2 * f.j] / a.stats[0] : 0;
        const double mz = sums ? w * sums[2 * f.j + 1] / a.stats[0] : 0;
        cuda_c<T> g[N], v[N];
        cuda_read(g, gy, e, n, true);
        cuda_read(v, x, e, n, true);
        for (int k = 0; k < N; k++)
            g[k] = (cuda_c<T>)(r * ((double)g[k] * w - mh - ((double)v[k] - m) * r * mz));
        cuda_write(gx, g, e, n, true);
    }
}

/* A block has a group of a row, whose elements lie one behind the other. */
template <class T>
__global__ static void group_back(T *gx, const T *gy, const T *x, cuda_channels a)
{
    const int64_t size = a.c / a.groups, n = size * a.inner, first = blockIdx.x * n;
    const int64_t channel = blockIdx.x % a.groups * size, at = 1 + 2 * (int64_t)blockIdx.x;
    const double m = a.stats[at], r = a.stats[at + 1];
    double mh = 0, mz = 0;
    for (int64_t e = threadIdx.x; e < n; e += CUDA_THREADS) {
        const double w = a.w ? cuda_weight_of<T>(a.w, a.wt, channel + e / a.inner) : 1;
        const double h = (double)cuda_wide(gy[first + e]) * w;
        mh += h;
        mz += h * (((double)cuda_wide(x[first + e]) - m) * r);
    }
    mh = cuda_join<CUDA_THREADS>(mh, cuda_plus()) / (double)n;
    mz = cuda_join<CUDA_THREADS>(mz, cuda_plus()) / (double)n;
    for (int64_t e = threadIdx.x; e < n; e += CUDA_THREADS) {
        const double w = a.w ? cuda_weight_of<T>(a.w, a.wt, channel + e / a.inner) : 1;
        const double h = (double)cuda_wide(gy[first + e]) * w;
        gx[first + e] = cuda_narrow<T>(
            (cuda_c<T>)(r * (h - mh - ((double)cuda_wide(x[first + e]) - m) * r * mz)));
    }
}

template <class T> static void run(weft_stream *s, weft_dev y, weft_dev x, const cuda_channels &a)
{
    constexpr int N = cuda_pack<T>::n;
    const int64_t n = a.n * a.c * a.inner;
    if (a.inner % N == 0 && cuda_packs(y, x))
        CUDA_RUN((channel_norm<T, N>), cuda_blocks_of(s, n, N), cuda_at<T>(y), cuda_at<T>(x), a);
    else
        CUDA_RUN((channel_norm<T, 1>), cuda_blocks_of(s, n, 1), cuda_at<T>(y), cuda_at<T>(x), a);
}

template <class T>
static void run_back(weft_stream *s, weft_dev gx, weft_dev gy, weft_dev x, weft_dev sums,
                     const cuda_channels &a)
{
    constexpr int N = cuda_pack<T>::n;
    const int64_t n = a.n * a.c * a.inner;
    if (a.groups)
        CUDA_RUN(group_back<T>, n ? (unsigned)(a.n * a.groups) : 0, cuda_at<T>(gx), cuda_at<T>(gy),
                 cuda_at<T>(x), a);
    else if (a.inner % N == 0 && cuda_packs(gx, gy, x))
        CUDA_RUN((channel_back<T, N>), cuda_blocks_of(s, n, N), cuda_at<T>(gx), cuda_at<T>(gy),
                 cuda_at<T>(x), cuda_at<double>(sums), a);
    else
        CUDA_RUN((channel_back<T, 1>), cuda_blocks_of(s, n, 1), cuda_at<T>(gx), cuda_at<T>(gy),
                 cuda_at<T>(x), cuda_at<double>(sums), a);
}

weft_status weft__cuda_channel_norm(weft_stream *s, weft_dev y, weft_dev x, weft_dev stats,
                                    weft_dev w, weft_dev b, weft_dtype wt, int64_t n, int64_t c,
                                    int64_t inner, int64_t groups, weft_dtype dt)
{
    const cuda_channels a = {n,           c,           inner, groups, cuda_at<double>(stats),
                             cuda_ptr(w), cuda_ptr(b), wt};
    CUDA_FLOATS(dt, "channel_norm", run<T>(s, y, x, a))
    return weft__cuda_launched(s, "channel_norm");
}

weft_status weft__cuda_channel_norm_back(weft_stream *s, weft_dev gx, weft_dev gy, weft_dev x,
                                         weft_dev stats, weft_dev sums, weft_dev w, weft_dtype wt,
                                         int64_t n, int64_t c, int64_t inner, int64_t groups,
                                         weft_dtype dt)
{
    const cuda_channels a = {n, c, inner, groups, cuda_at<double>(stats), cuda_ptr(w), NULL, wt};
    CUDA_FLOATS(dt, "channel_norm_back", run_back<T>(s, gx, gy, x, sums, a))
    return weft__cuda_launched(s, "channel_norm_back");
}
