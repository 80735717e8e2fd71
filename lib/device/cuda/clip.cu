/* Dot products, norms, bad numbers, and gradients cut to their norm. A sum is formed in f64; its order is
 * a function of n alone: blocks, whose sums are joined in a second pass. */
#include "device/cuda/rows.cuh"

#define BLOCKS 1024

enum kind { PRODUCT, SIZE, POWER, LARGEST, NONFINITE };

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

/* What an element counts for. x - x is 0 for finite x, NaN for all others. */
__device__ static inline double of_element(enum kind kind, double x, double z, double p)
{
    switch (kind) {
    case PRODUCT:
        return x * z;
    case SIZE:
    case LARGEST:
        return fabs(x);
    case POWER:
        return pow(fabs(x), p);
    default:
        return x - x == 0 ? 0 : 1;
    }
}

template <class T>
__global__ static void blocks_of(double *part, enum kind kind, const T *x, const T *z, double p,
                                 int64_t n, bool packs)
{
    constexpr int N = cuda_pack<T>::n;
    double sum = 0;
    for (int64_t i = cuda_first() * N; i < n; i += cuda_step() * N) {
        cuda_c<T> u[N], v[N];
        cuda_read(u, x, i, n, packs);
        if (z)
            cuda_read(v, z, i, n, packs);
        for (int k = 0; k < N; k++)
            if (i + k < n)
                sum = join(kind, sum, of_element(kind, u[k], z ? v[k] : u[k], p));
    }
    sum = of_block(kind, sum);
    if (threadIdx.x == 0)
        part[blockIdx.x] = sum;
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
    const int64_t wanted = (packs + 2 * CUDA_THREADS - 1) / (2 * CUDA_THREADS);
    const int64_t blocks = wanted < BLOCKS ? wanted : BLOCKS;
    void *part;
    if (n <= 0)
        return WEFT_OK;
    WEFT_TRY(weft__cuda_scratch(s, (size_t)blocks * sizeof(double), &part));
    CUDA_RUN(blocks_of<T>, (unsigned)blocks, (double *)part, kind, cuda_at<T>(x), cuda_at<T>(z), p,
             n, cuda_packs(x, z));
    CUDA_RUN(total, 1, cuda_at<double>(y), cuda_at<int64_t>(flag), kind, (const double *)part,
             blocks);
    weft__cuda_unscratch(s, part);
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
    const enum kind kind = p == 2 ? PRODUCT : p == 1 ? SIZE : isinf(p) ? LARGEST : POWER;
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
