/* Layer normalisation of rows: y = (x - m) r w + b with m the mean and r = 1/sqrt(variance + eps).
 * With h = gy w and n = (x - m) r: gx = r (h - mean(h) - n mean(h n)), gw = sum gy n, gb = sum gy
 * over the rows. Sums are formed in f64: over columns blocks of rows, then the blocks in order. */
#include "device/cuda/rows.cuh"

template <class T, int G>
__global__ static void layernorm(T *y, double *stats, const T *x, const T *w, const T *b,
                                 int64_t rows, int64_t c, double eps)
{
    const int64_t r = cuda_row<G>();
    if (r >= rows)
        return;
    x += r * c;
    y += r * c;
    double part = 0, square = 0;
#pragma unroll 4
    for (int64_t j = cuda_lane<G>(); j < c; j += G)
        part += (double)x[j];
    const double m = cuda_join<G>(part, cuda_plus()) / (double)c;
#pragma unroll 4
    for (int64_t j = cuda_lane<G>(); j < c; j += G) {
        const double d = (double)x[j] - m;
        square += d * d;
    }
    square = cuda_join<G>(square, cuda_plus());
    const double rstd = 1 / sqrt(square / (double)c + eps);
    if (cuda_lane<G>() == 0) {
        stats[2 * r] = m;
        stats[2 * r + 1] = rstd;
    }
#pragma unroll 4
    for (int64_t j = cuda_lane<G>(); j < c; j += G) {
        T v = (T)(((double)x[j] - m) * rstd);
        v *= w ? w[j] : 1;
        y[j] = b ? v + b[j] : v;
    }
}

template <class T, int G>
__global__ static void rows_back(T *gx, const T *gy, const T *x, const double *stats, const T *w,
                                 int64_t rows, int64_t c)
{
    const int64_t r = cuda_row<G>();
    if (r >= rows)
        return;
    gx += r * c;
    gy += r * c;
    x += r * c;
    const double m = stats[2 * r], rstd = stats[2 * r + 1];
    double h = 0, hn = 0;
#pragma unroll 4
    for (int64_t j = cuda_lane<G>(); j < c; j += G) {
        const double g = w ? (double)gy[j] * (double)w[j] : (double)gy[j];
        h += g;
        hn += g * (((double)x[j] - m) * rstd);
    }
    const double mh = cuda_join<G>(h, cuda_plus()) / (double)c;
    const double mhn = cuda_join<G>(hn, cuda_plus()) / (double)c;
#pragma unroll 4
    for (int64_t j = cuda_lane<G>(); j < c; j += G) {
        const double g = w ? (double)gy[j] * (double)w[j] : (double)gy[j];
        gx[j] = (T)(rstd * (g - mh - ((double)x[j] - m) * rstd * mhn));
    }
}

#define ACROSS 32 /* columns of a block's tile */
#define DOWN 8    /* rows that it adds side by side */

/* part[block][0 or 1][column]: sums of gy n and of gy over the block's rows. */
template <class T>
__global__ static void columns_back(double *part, const T *gy, const T *x, const double *stats,
                                    int64_t rows, int64_t c)
{
    __shared__ double w[DOWN][ACROSS], b[DOWN][ACROSS];
    const int64_t j = (int64_t)blockIdx.x * ACROSS + threadIdx.x;
    const int64_t end = rows * (blockIdx.y + 1) / gridDim.y;
    double gw = 0, gb = 0;
    if (j < c) {
#pragma unroll 4
        for (int64_t r = rows * blockIdx.y / gridDim.y + threadIdx.y; r < end; r += DOWN) {
            const double g = (double)gy[r * c + j];
            gb += g;
            gw += g * (((double)x[r * c + j] - stats[2 * r]) * stats[2 * r + 1]);
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

template <class T>
__global__ static void columns_join(T *gw, T *gb, const double *part, int64_t blocks, int64_t c)
{
    for (int64_t j = cuda_first(); j < c; j += cuda_step()) {
        double w = 0, b = 0;
#pragma unroll 4
        for (int64_t k = 0; k < blocks; k++) {
            w += part[2 * k * c + j];
            b += part[(2 * k + 1) * c + j];
        }
        if (gw)
            gw[j] = (T)w;
        if (gb)
            gb[j] = (T)b;
    }
}

template <class T>
static weft_status run_columns(weft_stream *s, weft_dev gw, weft_dev gb, weft_dev gy, weft_dev x,
                               weft_dev stats, int64_t rows, int64_t c)
{
    const int64_t tiles = (c + ACROSS - 1) / ACROSS, wanted = rows / 64;
    const int64_t blocks = wanted < 1 ? 1 : wanted < 64 ? wanted : 64;
    void *part;
    if (c == 0)
        return WEFT_OK;
    WEFT_TRY(weft__cuda_scratch(s, (size_t)(2 * blocks * c) * sizeof(double), &part));
    columns_back<<<dim3((unsigned)tiles, (unsigned)blocks), dim3(ACROSS, DOWN), 0, cuda_on(s)>>>(
        (double *)part, cuda_at<T>(gy), cuda_at<T>(x), cuda_at<double>(stats), rows, c);
    CUDA_RUN(columns_join<T>, cuda_blocks_of(s, c, 1), cuda_at<T>(gw), cuda_at<T>(gb),
             (const double *)part, blocks, c);
    weft__cuda_unscratch(s, part);
    return WEFT_OK;
}

weft_status weft__cuda_layernorm(weft_stream *s, weft_dev y, weft_dev stats, weft_dev x, weft_dev w,
                                 weft_dev b, int64_t rows, int64_t c, double eps, weft_dtype dt)
{
    CUDA_PAIR(dt, "layernorm",
              CUDA_ROWS(layernorm, rows, c, cuda_at<T>(y), cuda_at<double>(stats), cuda_at<T>(x),
                        cuda_at<T>(w), cuda_at<T>(b), rows, c, eps))
    return weft__cuda_launched(s, "layernorm");
}

weft_status weft__cuda_layernorm_back(weft_stream *s, weft_dev gx, weft_dev gw, weft_dev gb,
                                      weft_dev gy, weft_dev x, weft_dev stats, weft_dev w,
                                      int64_t rows, int64_t c, weft_dtype dt)
{
    if (gx.addr)
        CUDA_PAIR(dt, "layernorm_back",
                  CUDA_ROWS(rows_back, rows, c, cuda_at<T>(gx), cuda_at<T>(gy), cuda_at<T>(x),
                            cuda_at<double>(stats), cuda_at<T>(w), rows, c))
    if (gw.addr || gb.addr)
        CUDA_PAIR(dt, "layernorm_back", WEFT_TRY(run_columns<T>(s, gw, gb, gy, x, stats, rows, c)))
    return weft__cuda_launched(s, "layernorm_back");
}
