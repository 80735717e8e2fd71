/* The largest or smallest along the middle of (outer, n, inner), and where it is first. */
#include "device/cuda/rows.cuh"

/* G threads for each output. */
template <class T, int G>
__global__ static void together(T *y, int64_t *at, const T *x, bool largest, int64_t outputs,
                                int64_t n, int64_t inner)
{
    const int64_t k = cuda_row<G>();
    if (k >= outputs)
        return;
    const cuda_found<cuda_c<T>> best =
        cuda_best<G>(x + k / inner * n * inner + k % inner, n, inner, largest);
    if (cuda_lane<G>())
        return;
    if (y)
        y[k] = cuda_narrow<T>(best.v);
    if (at)
        at[k] = best.at;
}

/* One thread for each output: where neighbours lie side by side. */
template <class T>
__global__ static void side_by_side(T *y, int64_t *at, const T *x, bool largest, int64_t outputs,
                                    int64_t n, int64_t inner)
{
    for (int64_t k = cuda_first(); k < outputs; k += cuda_step()) {
        const T *from = x + k / inner * n * inner + k % inner;
        cuda_found<cuda_c<T>> best = {cuda_wide(from[0]), 0};
#pragma unroll 4
        for (int64_t j = 1; j < n; j++) {
            const cuda_c<T> v = cuda_wide(from[j * inner]);
            if (cuda_beats(v, best.v, largest))
                best = cuda_found<cuda_c<T>>{v, j};
        }
        if (y)
            y[k] = cuda_narrow<T>(best.v);
        if (at)
            at[k] = best.at;
    }
}

template <class T>
static void run(weft_stream *s, weft_dev y, weft_dev at, weft_dev x, bool largest, int64_t outputs,
                int64_t n, int64_t inner)
{
    if (inner >= CUDA_WARP || n < 8)
        CUDA_RUN(side_by_side<T>, cuda_blocks_of(s, outputs, 1), cuda_at<T>(y),
                 cuda_at<int64_t>(at), cuda_at<T>(x), largest, outputs, n, inner);
    else
        CUDA_ROWS(together, outputs, n, cuda_at<T>(y), cuda_at<int64_t>(at), cuda_at<T>(x), largest,
                  outputs, n, inner);
}

weft_status weft__cuda_extremum(weft_stream *s, weft_dev y, weft_dev at, weft_dev x, int largest,
                                int64_t outer, int64_t n, int64_t inner, weft_dtype dt)
{
    CUDA_NUMBERS(dt, "extremum", run<T>(s, y, at, x, largest != 0, outer * inner, n, inner))
    return weft__cuda_launched(s, "extremum");
}
