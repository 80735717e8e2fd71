/* Sums over the elements of channels, in f64 and in an order that the shape alone decides: blocks of
 * elements, then the blocks of a channel in order. Means come before what differs from them. */
#include "device/cuda/channel.cuh"

#define ACROSS 32 /* channels side by side: where inner is 1 */
#define DOWN 8
#define BLOCKS 64

enum what {
    ELEMENTS, /* x */
    SQUARES,  /* (x - m)^2, m as ELEMENTS left it in out */
    GRADIENTS /* gy, and gy (x - m) r */
};

struct sums_of {
    cuda_channels a;
    enum what what;
    const void *x, *gy;
    double *out, *part; /* part[block][channel][2] */
};

template <class T>
__device__ static inline void add(const sums_of &s, int64_t i, int64_t j, int64_t k, double *sum)
{
    const int64_t e = (i * s.a.c + j) * s.a.inner + k;
    const double x = (double)cuda_wide(((const T *)s.x)[e]);
    if (s.what == ELEMENTS) {
        sum[0] += x;
    } else if (s.what == SQUARES) {
        const double d = x - s.out[1 + 2 * j];
        sum[0] += d * d;
    } else {
        const int64_t at = cuda_channel_at(s.a, i, j);
        const double g = (double)cuda_wide(((const T *)s.gy)[e]);
        sum[0] += g;
        sum[1] += g * ((x - s.a.stats[at]) * s.a.stats[at + 1]);
    }
}

/* One channel a block. */
template <class T> __global__ static void along(sums_of s)
{
    const int64_t j = blockIdx.x, n = s.a.n * s.a.inner;
    const int64_t end = n * (blockIdx.y + 1) / gridDim.y;
    double sum[2] = {0, 0};
    for (int64_t e = n * blockIdx.y / gridDim.y + threadIdx.x; e < end; e += CUDA_THREADS) {
        const int64_t i = n <= INT32_MAX ? (uint32_t)e / (uint32_t)s.a.inner : e / s.a.inner;
        add<T>(s, i, j, e - i * s.a.inner, sum);
    }
    sum[0] = cuda_join<CUDA_THREADS>(sum[0], cuda_plus());
    sum[1] = cuda_join<CUDA_THREADS>(sum[1], cuda_plus());
    for (int k = 0; k < 2 && threadIdx.x == 0; k++)
        s.part[2 * (blockIdx.y * s.a.c + j) + k] = sum[k];
}

/* Channels side by side. */
template <class T> __global__ static void side_by_side(sums_of s)
{
    __shared__ double sums[2][DOWN][ACROSS];
    const int64_t j = (int64_t)blockIdx.x * ACROSS + threadIdx.x;
    const int64_t end = s.a.n * (blockIdx.y + 1) / gridDim.y;
    double sum[2] = {0, 0};
    for (int64_t i = s.a.n * blockIdx.y / gridDim.y + threadIdx.y; i < end && j < s.a.c; i += DOWN)
        add<T>(s, i, j, 0, sum);
    sums[0][threadIdx.y][threadIdx.x] = sum[0];
    sums[1][threadIdx.y][threadIdx.x] = sum[1];
    __syncthreads();
    for (int k = 0; k < 2 && threadIdx.y == 0 && j < s.a.c; k++) {
        for (int d = 1; d < DOWN; d++)
            sum[k] += sums[k][d][threadIdx.x];
        s.part[2 * (blockIdx.y * s.a.c + j) + k] = sum[k];
    }
}

__global__ static void finish(sums_of s, int64_t blocks)
{
    const double count = (double)(s.a.n * s.a.inner);
    for (int64_t j = cuda_first(); j < s.a.c; j += cuda_step()) {
        double u = 0, v = 0;
        for (int64_t b = 0; b < blocks; b++) {
            u += s.part[2 * (b * s.a.c + j)];
            v += s.part[2 * (b * s.a.c + j) + 1];
        }
        if (s.what == GRADIENTS) {
            s.out[2 * j] = u;
            s.out[2 * j + 1] = v;
        } else if (s.what == SQUARES) {
            s.out[2 + 2 * j] = u;
        } else {
            s.out[1 + 2 * j] = count > 0 ? u / count : 0;
        }
        if (s.what != GRADIENTS && j == 0)
            s.out[0] = count;
    }
}

template <class T> static void run(weft_stream *s, const sums_of &a, int64_t blocks)
{
    const cuda_channels &c = a.a;
    const int64_t tiles = (c.c + ACROSS - 1) / ACROSS;
    if (c.inner == 1)
        side_by_side<T>
            <<<dim3((unsigned)tiles, (unsigned)blocks), dim3(ACROSS, DOWN), 0, cuda_on(s)>>>(a);
    else
        along<T><<<dim3((unsigned)c.c, (unsigned)blocks), CUDA_THREADS, 0, cuda_on(s)>>>(a);
    CUDA_RUN(finish, cuda_blocks_of(s, c.c, 1), a, blocks);
}

/* Both of `what` and `then`. */
static weft_status sums(weft_stream *s, sums_of a, enum what then, weft_dtype dt, const char *name)
{
    const int64_t wanted = a.a.inner == 1 ? a.a.n / 256 : a.a.n * a.a.inner / 4096;
    const int64_t blocks = wanted < 1 ? 1 : wanted < BLOCKS ? wanted : BLOCKS;
    void *part;
    if (a.a.c == 0)
        return WEFT_OK;
    WEFT_TRY(weft__cuda_scratch(s, (size_t)(2 * blocks * a.a.c) * sizeof(double), &part));
    a.part = (double *)part;
    CUDA_FLOATS(
        dt, name, run<T>(s, a, blocks); if (then != a.what) {
            a.what = then;
            run<T>(s, a, blocks);
        })
    weft__cuda_unscratch(s, part);
    return weft__cuda_launched(s, name);
}

weft_status weft__cuda_channel_moments(weft_stream *s, weft_dev parts, weft_dev x, int64_t n,
                                       int64_t c, int64_t inner, weft_dtype dt)
{
    sums_of a = {};
    a.a = cuda_channels{n, c, inner, 0, NULL, NULL, NULL, dt};
    a.what = ELEMENTS;
    a.x = cuda_ptr(x);
    a.out = cuda_at<double>(parts);
    return sums(s, a, SQUARES, dt, "channel_moments");
}

weft_status weft__cuda_channel_sums(weft_stream *s, weft_dev sum, weft_dev gy, weft_dev x,
                                    weft_dev stats, int64_t n, int64_t c, int64_t inner,
                                    int64_t groups, weft_dtype dt)
{
    sums_of a = {};
    a.a = cuda_channels{n, c, inner, groups, cuda_at<double>(stats), NULL, NULL, dt};
    a.what = GRADIENTS;
    a.x = cuda_ptr(x);
    a.gy = cuda_ptr(gy);
    a.out = cuda_at<double>(sum);
    return sums(s, a, GRADIENTS, dt, "channel_sums");
}
