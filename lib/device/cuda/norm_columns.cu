/* Gradients by the weights of normalisations: sums over rows. */
#include "device/cuda/norms.cuh"

#define ACROSS 32 /* columns of a block's tile */
#define DOWN 8    /* rows that it adds side by side */
#define LINE 16   /* columns of a block that joins, 128 bytes of them */
#define DEEP 64   /* parts that it adds side by side */

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

/* Columns of gw, behind them those of gb, either of which may be 0. */
template <class C>
__global__ static void join(C *gw, C *gb, const double *part, int64_t blocks, int64_t c)
{
    __shared__ double sums[DEEP][LINE];
    const int64_t j = (int64_t)blockIdx.x * LINE + threadIdx.x;
    C *const to = j < c ? (gw ? gw + j : NULL) : gb && j < 2 * c ? gb + (j - c) : NULL;
    double sum = 0;
#pragma unroll 4
    for (int64_t k = threadIdx.y; k < blocks && to; k += DEEP)
        sum += part[2 * k * c + j];
    sums[threadIdx.y][threadIdx.x] = sum;
    for (int half = DEEP / 2; half; half /= 2) {
        __syncthreads();
        if (threadIdx.y < half)
            sums[threadIdx.y][threadIdx.x] += sums[threadIdx.y + half][threadIdx.x];
    }
    if (threadIdx.y == 0 && to)
        *to = (C)sums[0][threadIdx.x];
}

void weft__cuda_norm_join(weft_stream *s, weft_dev gw, weft_dev gb, const double *part,
                          int64_t blocks, int64_t c, weft_dtype dt)
{
    const dim3 block(LINE, DEEP);
    const unsigned n = (unsigned)((2 * c + LINE - 1) / LINE);
    if (dt == WEFT_F64)
        join<<<n, block, 0, cuda_on(s)>>>(cuda_at<double>(gw), cuda_at<double>(gb), part, blocks,
                                          c);
    else
        join<<<n, block, 0, cuda_on(s)>>>(cuda_at<float>(gw), cuda_at<float>(gb), part, blocks, c);
}

weft_status weft__cuda_norm_columns(weft_stream *s, weft_dev gw, weft_dev gb, weft_dev gy,
                                    weft_dev x, weft_dev stats, bool centred, int64_t rows,
                                    int64_t c, weft_dtype dt)
{
    const int64_t wanted = rows / 64, blocks = wanted < 1 ? 1 : wanted < 64 ? wanted : 64;
    const dim3 grid((unsigned)((c + ACROSS - 1) / ACROSS), (unsigned)blocks);
    void *room;
    WEFT_TRY(weft__cuda_scratch(s, (size_t)(2 * blocks * c) * sizeof(double), &room));
    double *part = (double *)room;
    CUDA_FLOATS(dt, "norm_columns",
                blocks_of<<<grid, dim3(ACROSS, DOWN), 0, cuda_on(s)>>>(
                    part, cuda_at<T>(gy), cuda_at<T>(x), cuda_at<double>(stats), centred, rows, c))
    weft__cuda_norm_join(s, gw, gb, part, blocks, c, dt);
    weft__cuda_unscratch(s, room);
    return WEFT_OK;
}
