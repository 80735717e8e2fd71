/* Gradients by the weights of normalisations: sums over rows. */
#include "device/cuda/norms.cuh"

#define ACROSS 32 /* columns of a block's tile */
#define DOWN 8    /* rows that it adds side by side */

/* part[block][0 or 1][column]: sums of gy x^ and of gy over the block's rows. */
template <class T>
__global__ static void blocks_of(double *part, const T *gy, const T *x, const double *stats,
                                 bool centred, int64_t rows, int64_t c)
{
    __shared__ double w[DOWN][ACROSS], b[DOWN][ACROSS];
    const int64_t j = (int64_t)blockIdx.x * ACROSS + threadIdx.x;
    const int64_t end = rows * (blockIdx.y + 1) / gridDim.y;
    double gw = 0, gb = 0;
    if (j < c) {
#pragma unroll 4
        for (int64_t r = rows * blockIdx.y / gridDim.y + threadIdx.y; r < end; r += DOWN) {
            const double g = (double)cuda_wide(gy[r * c + j]), v = (double)cuda_wide(x[r * c + j]);
            gb += g;
            gw += g * (centred ? (v - stats[2 * r]) * stats[2 * r + 1] : v * stats[r]);
        }
    }
    w[threadIdx.y][threadIdx.x] = gw;
    b[threadIdx.y][threadIdx.x] = gb;
    __syncthreads();
    if (threadIdx.y || j >= c)
        return;
    for (int d = 1; d < DOWN; d++) {
        gw += w[d][threadIdx.x];
        gb += b[d][threadIdx.x];
    }
    part[2 * blockIdx.y * c + j] = gw;
    part[(2 * blockIdx.y + 1) * c + j] = gb;
}

template <class C>
__global__ static void join(C *gw, C *gb, const double *part, int64_t blocks, int64_t c)
{
    for (int64_t j = cuda_first(); j < c; j += cuda_step()) {
        double w = 0, b = 0;
#pragma unroll 8
        for (int64_t k = 0; k < blocks; k++) {
            w += part[2 * k * c + j];
            b += part[(2 * k + 1) * c + j];
        }
        if (gw)
            gw[j] = (C)w;
        if (gb)
            gb[j] = (C)b;
    }
}

template <class T>
static void run(weft_stream *s, double *part, weft_dev gw, weft_dev gb, weft_dev gy, weft_dev x,
                weft_dev stats, bool centred, int64_t rows, int64_t c, int64_t blocks)
{
    const dim3 grid((unsigned)((c + ACROSS - 1) / ACROSS), (unsigned)blocks);
    blocks_of<<<grid, dim3(ACROSS, DOWN), 0, cuda_on(s)>>>(
        part, cuda_at<T>(gy), cuda_at<T>(x), cuda_at<double>(stats), centred, rows, c);
    CUDA_RUN(join<cuda_c<T>>, cuda_blocks_of(s, c, 1), cuda_at<cuda_c<T>>(gw),
             cuda_at<cuda_c<T>>(gb), (const double *)part, blocks, c);
}

weft_status weft__cuda_norm_columns(weft_stream *s, weft_dev gw, weft_dev gb, weft_dev gy,
                                    weft_dev x, weft_dev stats, bool centred, int64_t rows,
                                    int64_t c, weft_dtype dt)
{
    const int64_t wanted = rows / 64, blocks = wanted < 1 ? 1 : wanted < 64 ? wanted : 64;
    void *part;
    if (c == 0)
        return WEFT_OK;
    WEFT_TRY(weft__cuda_scratch(s, (size_t)(2 * blocks * c) * sizeof(double), &part));
    CUDA_FLOATS(dt, "norm_columns",
                run<T>(s, (double *)part, gw, gb, gy, x, stats, centred, rows, c, blocks))
    weft__cuda_unscratch(s, part);
    return WEFT_OK;
}
