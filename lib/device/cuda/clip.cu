/* Dot products, norms, bad numbers, and gradients cut to their norm. A sum is formed in f64; its order is
 * a function of the lengths of runs alone: they are cut in chunks, one a block, whose sums are joined in a second
 * launch. */
#include "device/cuda/rows.cuh"
#include "device/cuda/runs.cuh"

#define BLOCKS 1024 /* that all runs together are worth; each has AHEAD packs a thread on their way */
#define AHEAD 4
#define GRAIN 4096 /* elements that chunks are multiples of */

enum kind { SQUARE, PRODUCT, NONFINITE, SIZE, POWER, LARGEST };

/* NaN wins. */
__device__ static inline double join(enum kind kind, double a, double b)
{
    return kind == LARGEST ? cuda_more()(a, b) : a + b;
}

__device__ static inline double of_block(enum kind kind, double v)
{
    return kind == LARGEST ? cuda_join<CUDA_THREADS>(v, cuda_more())
                           : cuda_join<CUDA_THREADS>(v, cuda_plus());
}

/* Adds an element. x - x is 0 for finite x, NaN for all others. */
template <enum kind K, class C>
__device__ static inline void add(enum kind kind, double &sum, C x, C z, double p)
{
    if (K == SQUARE)
        sum = __fma_rn((double)x, (double)x, sum);
    else if (K == PRODUCT)
        sum = __fma_rn((double)x, (double)z, sum);
    else if (K == NONFINITE)
        sum = x - x == 0 ? sum : 1;
    else if (kind == POWER)
        sum += pow(fabs((double)x), p);
    else
        sum = join(kind, sum, fabs((double)x));
}

/* K: the kind, or SIZE for all that are not worth a kernel of their own. Each thread has a sum for each
 * place in its packs. */
template <class T, enum kind K>
__global__ __launch_bounds__(CUDA_THREADS, K == SIZE ? 2 : 4) static void
blocks_of(double *part, enum kind kind, const T *x, const T *z, double p,
          const __grid_constant__ struct cuda_runs r, bool packs)
{
    constexpr int N = cuda_pack<T>::n, ahead = K == SIZE ? 1 : K == PRODUCT ? AHEAD / 2 : AHEAD;
    const int64_t step = CUDA_THREADS * N;
    int64_t i, n;
    cuda_stretch(r, &i, &n);
    i += (int64_t)threadIdx.x * N;
    double sum[N] = {0};
    for (; packs && i + (ahead - 1) * step + N <= n; i += ahead * step) {
        cuda_c<T> u[ahead][N], v[ahead][N];
#pragma unroll
        for (int a = 0; a < ahead; a++) {
            cuda_load(u[a], x, i + a * step);
            if (K == PRODUCT)
                cuda_load(v[a], z, i + a * step);
        }
#pragma unroll
        for (int a = 0; a < ahead; a++)
#pragma unroll
            for (int k = 0; k < N; k++)
                add<K>(kind, sum[k], u[a][k], v[a][k], p);
    }
    for (; i < n; i += step)
#pragma unroll
        for (int k = 0; k < N; k++)
            if (i + k < n)
                add<K>(kind, sum[k], cuda_wide(x[i + k]), cuda_wide((K == PRODUCT ? z : x)[i + k]),
                       p);
#pragma unroll
    for (int k = 1; k < N; k++)
        sum[0] = join(kind, sum[0], sum[k]);
    sum[0] = of_block(kind, sum[0]);
    if (threadIdx.x == 0)
        part[blockIdx.x] = sum[0];
}

/* One block: y += the sum, or flag += 1 if there is any. */
__global__ static void total(double *y, int64_t *flag, enum kind kind, const double *part,
                             int64_t blocks)
{
    double sum = 0;
    for (int64_t b = threadIdx.x; b < blocks; b += CUDA_THREADS)
        sum = join(kind, sum, part[b]);
    sum = of_block(kind, sum);
    if (threadIdx.x)
        return;
    if (flag)
        flag[0] += sum > 0;
    else
        y[0] = join(kind, y[0], sum);
}

/* One launch over CUDA_RUNS runs, and one that adds what it found. */
template <class T>
static weft_status launch(weft_stream *s, weft_dev y, weft_dev flag, enum kind kind, const T *x,
                          const T *z, double p, const struct cuda_runs *r, unsigned blocks,
                          bool packs)
{
    void *scratch;
    if (!blocks)
        return WEFT_OK;
    WEFT_TRY(weft__cuda_scratch(s, (size_t)blocks * sizeof(double), &scratch));
    double *part = (double *)scratch;
    if (kind == SQUARE)
        CUDA_RUN((blocks_of<T, SQUARE>), blocks, part, kind, x, z, p, *r, packs);
    else if (kind == PRODUCT)
        CUDA_RUN((blocks_of<T, PRODUCT>), blocks, part, kind, x, z, p, *r, packs);
    else if (kind == NONFINITE)
        CUDA_RUN((blocks_of<T, NONFINITE>), blocks, part, kind, x, z, p, *r, packs);
    else
        CUDA_RUN((blocks_of<T, SIZE>), blocks, part, kind, x, z, p, *r, packs);
    CUDA_RUN(total, 1, cuda_at<double>(y), cuda_at<int64_t>(flag), kind, (const double *)part,
             (int64_t)blocks);
    weft__cuda_unscratch(s, scratch);
    return WEFT_OK;
}

template <class T>
static weft_status reduce(weft_stream *s, weft_dev y, weft_dev flag, enum kind kind, weft_dev x,
                          weft_dev z, double p, const int64_t *run, int64_t n)
{
    struct cuda_runs r;
    const int64_t chunk = (cuda_total(run, n) / BLOCKS / GRAIN + 1) * GRAIN;
    for (int64_t at = 0; at < n; at += CUDA_RUNS) {
        const unsigned blocks = cuda_take(&r, run + 2 * at, n - at, chunk);
        WEFT_TRY(launch<T>(s, y, flag, kind, cuda_at<T>(x), cuda_at<T>(z), p, &r, blocks,
                           cuda_packs(x, z) && r.packs));
    }
    return WEFT_OK;
}

weft_status weft__cuda_nonfinite(weft_stream *s, weft_dev flag, weft_dev x, int64_t n,
                                 weft_dtype dt)
{
    const int64_t all[2] = {0, n};
    CUDA_FLOATS(dt, "nonfinite",
                WEFT_TRY(reduce<T>(s, weft_dev{0}, flag, NONFINITE, x, weft_dev{0}, 0, all, 1)))
    return weft__cuda_launched(s, "nonfinite");
}

weft_status weft__cuda_dot(weft_stream *s, weft_dev y, weft_dev x, weft_dev z, int64_t n,
                           weft_dtype dt)
{
    const int64_t all[2] = {0, n};
    CUDA_FLOATS(dt, "dot", WEFT_TRY(reduce<T>(s, y, weft_dev{0}, PRODUCT, x, z, 2, all, 1)))
    return weft__cuda_launched(s, "dot");
}

weft_status weft__cuda_norm(weft_stream *s, weft_dev y, weft_dev x, const int64_t *run, int64_t n,
                            double p, weft_dtype dt)
{
    const enum kind kind = p == 2 ? SQUARE : p == 1 ? SIZE : isinf(p) ? LARGEST : POWER;
    CUDA_FLOATS(dt, "norm", WEFT_TRY(reduce<T>(s, y, weft_dev{0}, kind, x, weft_dev{0}, p, run, n)))
    return weft__cuda_launched(s, "norm");
}

__global__ static void root(double *y, const double *x, double p)
{
    y[0] = p == 2 ? sqrt(x[0]) : isinf(p) ? x[0] : pow(x[0], 1 / p);
}

weft_status weft__cuda_root(weft_stream *s, weft_dev y, weft_dev x, double p)
{
    root<<<1, 1, 0, cuda_on(s)>>>(cuda_at<double>(y), cuda_at<double>(x), p);
    return weft__cuda_launched(s, "root");
}

template <class T>
__global__ static void shrink(T *y, const double *factor, int64_t n, bool packs)
{
    constexpr int N = cuda_pack<T>::n;
    const cuda_c<T> by = (cuda_c<T>)factor[0];
    if (factor[0] == 1)
        return;
    for (int64_t i = cuda_first() * N; i < n; i += cuda_step() * N) {
        cuda_c<T> v[N];
        cuda_read(v, y, i, n, packs);
        for (int k = 0; k < N; k++)
            v[k] *= by;
        cuda_write(y, v, i, n, packs);
    }
}

weft_status weft__cuda_shrink(weft_stream *s, weft_dev y, weft_dev by, int64_t n, weft_dtype dt)
{
    CUDA_FLOATS(dt, "shrink",
                CUDA_RUN(shrink<T>, cuda_blocks_of(s, n, cuda_pack<T>::n), cuda_at<T>(y),
                         cuda_at<double>(by), n, cuda_packs(y)))
    return weft__cuda_launched(s, "shrink");
}

__global__ static void cut(double *by, const double *norm, double limit)
{
    const double factor = limit / (norm[0] + 1e-6);
    by[0] = factor > 1 ? 1 : factor;
}

weft_status weft__cuda_cut(weft_stream *s, weft_dev by, weft_dev norm, double limit)
{
    cut<<<1, 1, 0, cuda_on(s)>>>(cuda_at<double>(by), cuda_at<double>(norm), limit);
    return weft__cuda_launched(s, "cut");
}
