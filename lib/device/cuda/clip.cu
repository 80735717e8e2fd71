/* Dot products, norms, bad numbers, and gradients cut to their norm. A sum is formed in f64; its order is
 * a function of n alone: blocks, whose sums are joined in a second pass. */
#include "device/cuda/rows.cuh"

#define BLOCKS 512 /* that are on a GPU at once, each with AHEAD packs a thread on their way */
#define AHEAD 4

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
blocks_of(double *part, enum kind kind, const T *x, const T *z, double p, int64_t n, bool packs)
{
    constexpr int N = cuda_pack<T>::n, ahead = K == SIZE ? 1 : K == PRODUCT ? AHEAD / 2 : AHEAD;
    const int64_t step = cuda_step() * N;
    int64_t i = cuda_first() * N;
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

template <class T>
static weft_status reduce(weft_stream *s, weft_dev y, weft_dev flag, enum kind kind, weft_dev x,
                          weft_dev z, double p, int64_t n)
{
    const int64_t packs = (n + cuda_pack<T>::n - 1) / cuda_pack<T>::n;
    const int64_t wanted = (packs + CUDA_THREADS - 1) / CUDA_THREADS;
    const unsigned blocks = (unsigned)(wanted < BLOCKS ? wanted : BLOCKS);
    const T *u = cuda_at<T>(x), *v = cuda_at<T>(z);
    void *scratch;
    if (n <= 0)
        return WEFT_OK;
    WEFT_TRY(weft__cuda_scratch(s, (size_t)blocks * sizeof(double), &scratch));
    double *part = (double *)scratch;
    if (kind == SQUARE)
        CUDA_RUN((blocks_of<T, SQUARE>), blocks, part, kind, u, v, p, n, cuda_packs(x));
    else if (kind == PRODUCT)
        CUDA_RUN((blocks_of<T, PRODUCT>), blocks, part, kind, u, v, p, n, cuda_packs(x, z));
    else if (kind == NONFINITE)
        CUDA_RUN((blocks_of<T, NONFINITE>), blocks, part, kind, u, v, p, n, cuda_packs(x));
    else
        CUDA_RUN((blocks_of<T, SIZE>), blocks, part, kind, u, v, p, n, cuda_packs(x));
    CUDA_RUN(total, 1, cuda_at<double>(y), cuda_at<int64_t>(flag), kind, (const double *)part,
             (int64_t)blocks);
    weft__cuda_unscratch(s, scratch);
    return WEFT_OK;
}

weft_status weft__cuda_nonfinite(weft_stream *s, weft_dev flag, weft_dev x, int64_t n,
                                 weft_dtype dt)
{
    CUDA_FLOATS(dt, "nonfinite",
                WEFT_TRY(reduce<T>(s, weft_dev{0}, flag, NONFINITE, x, weft_dev{0}, 0, n)))
    return weft__cuda_launched(s, "nonfinite");
}

weft_status weft__cuda_dot(weft_stream *s, weft_dev y, weft_dev x, weft_dev z, int64_t n,
                           weft_dtype dt)
{
    CUDA_FLOATS(dt, "dot", WEFT_TRY(reduce<T>(s, y, weft_dev{0}, PRODUCT, x, z, 2, n)))
    return weft__cuda_launched(s, "dot");
}

weft_status weft__cuda_norm(weft_stream *s, weft_dev y, weft_dev x, int64_t n, double p,
                            weft_dtype dt)
{
    const enum kind kind = p == 2 ? SQUARE : p == 1 ? SIZE : isinf(p) ? LARGEST : POWER;
    CUDA_FLOATS(dt, "norm", WEFT_TRY(reduce<T>(s, y, weft_dev{0}, kind, x, weft_dev{0}, p, n)))
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
__global__ static void shrink(T *y, double limit, const double *norm, int64_t n, bool packs)
{
    constexpr int N = cuda_pack<T>::n;
    const double factor = limit / (norm[0] + 1e-6);
    const cuda_c<T> by = (cuda_c<T>)factor;
    if (factor >= 1)
        return;
    for (int64_t i = cuda_first() * N; i < n; i += cuda_step() * N) {
        cuda_c<T> v[N];
        cuda_read(v, y, i, n, packs);
        for (int k = 0; k < N; k++)
            v[k] *= by;
        cuda_write(y, v, i, n, packs);
    }
}

weft_status weft__cuda_shrink(weft_stream *s, weft_dev y, double limit, weft_dev norm, int64_t n,
                              weft_dtype dt)
{
    CUDA_FLOATS(dt, "shrink",
                CUDA_RUN(shrink<T>, cuda_blocks_of(s, n, cuda_pack<T>::n), cuda_at<T>(y), limit,
                         cuda_at<double>(norm), n, cuda_packs(y)))
    return weft__cuda_launched(s, "shrink");
}
