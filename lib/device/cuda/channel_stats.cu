/* Means and deviations of channels from the parts of ranks. They join as in Chan, Golub, LeVeque, "Updating
 * formulae and a pairwise algorithm for computing sample variances" (1979): the squares about the
 * common mean M are sum_r q_r + n_r (m_r - M)^2. */
#include "device/cuda/each.cuh"

struct stats_of {
    double *stats;
    const double *parts;
    void *mean, *var, *batches;
    weft_dtype rt;
    int64_t ranks, c;
    double momentum, eps;
};

__device__ static inline double get(const void *p, weft_dtype t, int64_t j)
{
    return t == WEFT_F64 ? ((const double *)p)[j] : (double)((const float *)p)[j];
}

__device__ static inline void mix(void *p, weft_dtype t, int64_t j, double q, double v)
{
    v = (1 - q) * get(p, t, j) + q * v;
    if (t == WEFT_F64)
        ((double *)p)[j] = v;
    else
        ((float *)p)[j] = (float)v;
}

/* Mean and squares of channel j over all ranks. */
__device__ static inline void join(const stats_of &a, int64_t j, double count, double *mean,
                                   double *square)
{
    const int64_t step = 1 + 2 * a.c;
    double sum = 0;
    *square = 0;
    for (int64_t r = 0; r < a.ranks; r++)
        sum += a.parts[r * step] * a.parts[r * step + 1 + 2 * j];
    *mean = a.ranks == 1 ? a.parts[1 + 2 * j] : count > 0 ? sum / count : 0;
    for (int64_t r = 0; r < a.ranks; r++) {
        const double *p = a.parts + r * step, d = p[1 + 2 * j] - *mean;
        *square += p[0] > 0 ? p[2 + 2 * j] + p[0] * d * d : 0;
    }
}

__device__ static inline void each(const stats_of &a, int64_t j, double count, double q)
{
    double mean, var, square;
    if (a.ranks) {
        join(a, j, count, &mean, &square);
        var = count > 0 ? square / count : 0;
    } else {
        mean = get(a.mean, a.rt, j);
        var = get(a.var, a.rt, j);
    }
    a.stats[1 + 2 * j] = mean;
    a.stats[2 + 2 * j] = 1 / sqrt(var + a.eps);
    if (!a.ranks || !a.mean || count <= 1)
        return;
    mix(a.mean, a.rt, j, q, mean);
    mix(a.var, a.rt, j, q, square / (count - 1));
}

/* One block. */
__global__ static void channel_stats(stats_of a)
{
    double count = 0, q = a.momentum;
    for (int64_t r = 0; r < a.ranks; r++)
        count += a.parts[r * (1 + 2 * a.c)];
    if (q < 0 && a.batches)
        q = 1 / (get(a.batches, a.rt, 0) + 1);
    __syncthreads(); /* all have read batches */
    for (int64_t j = threadIdx.x; j < a.c; j += CUDA_THREADS)
        each(a, j, count, q);
    if (threadIdx.x)
        return;
    a.stats[0] = count;
    if (a.ranks && a.mean && a.batches && count > 1)
        mix(a.batches, a.rt, 0, 1, get(a.batches, a.rt, 0) + 1);
}

weft_status weft__cuda_channel_stats(weft_stream *s, weft_dev stats, weft_dev mean, weft_dev var,
                                     weft_dev batches, weft_dtype rt, weft_dev parts, int64_t ranks,
                                     int64_t c, double momentum, double eps)
{
    const stats_of a = {cuda_at<double>(stats),
                        cuda_at<double>(parts),
                        cuda_ptr(mean),
                        cuda_ptr(var),
                        cuda_ptr(batches),
                        rt,
                        ranks,
                        c,
                        momentum,
                        eps};
    CUDA_RUN(channel_stats, 1, a);
    return weft__cuda_launched(s, "channel_stats");
}
