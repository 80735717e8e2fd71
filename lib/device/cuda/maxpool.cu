/* The largest elements of windows over planes, and what flows back to them: gathered for each element
 * from the windows that have it, in their order. */
#include "device/cuda/windows.cuh"

template <class T>
__global__ static void maxpool(T *y, int32_t *at, const T *x, int64_t n, weft_window o)
{
    typedef cuda_c<T> C;
    const int64_t windows = o.out[0] * o.out[1];
    for (int64_t e = cuda_first(); e < n * windows; e += cuda_step()) {
        const int64_t plane = cuda_quotient(e, windows, n * windows), w = e - plane * windows;
        const int64_t r = cuda_quotient(w, o.out[1], windows), q = w - r * o.out[1];
        const T *from = x + plane * o.in[0] * o.in[1];
        C best = -(C)INFINITY;
        int32_t where = -1;
        for (int64_t i = 0; i < o.kernel[0]; i++) {
            const int64_t row = r * o.stride[0] - o.padding[0] + i * o.dilation[0];
            for (int64_t j = 0; j < o.kernel[1]; j++) {
                const int64_t column = q * o.stride[1] - o.padding[1] + j * o.dilation[1];
                if (row < 0 || row >= o.in[0] || column < 0 || column >= o.in[1])
                    continue;
                const C v = cuda_wide(from[row * o.in[1] + column]);
                if (where < 0 || v > best || (v != v && best == best)) {
                    best = v;
                    where = (int32_t)(row * o.in[1] + column);
                }
            }
        }
        y[e] = cuda_narrow<T>(best);
        at[e] = where;
    }
}

template <class T>
__global__ static void maxpool_back(T *gx, const T *gy, const int32_t *at, int64_t n, weft_window o)
{
    const int64_t size = o.in[0] * o.in[1];
    for (int64_t e = cuda_first(); e < n * size; e += cuda_step()) {
        const int64_t plane = cuda_quotient(e, size, n * size), here = e - plane * size;
        const int64_t r = cuda_quotient(here, o.in[1], size), c = here - r * o.in[1];
        const cuda_range rows = cuda_covering(o, 0, r), columns = cuda_covering(o, 1, c);
        const int64_t first = plane * o.out[0] * o.out[1];
        cuda_c<T> sum = 0;
        for (int64_t p = rows.first; p < rows.end; p++)
            for (int64_t q = columns.first; q < columns.end; q++)
                if (at[first + p * o.out[1] + q] == here)
                    sum += cuda_wide(gy[first + p * o.out[1] + q]);
        gx[e] = cuda_narrow<T>(sum);
    }
}

weft_status weft__cuda_maxpool(weft_stream *s, weft_dev y, weft_dev at, weft_dev x, int64_t n,
                               const weft_window *o, weft_dtype dt)
{
    CUDA_FLOATS(dt, "maxpool",
                CUDA_RUN(maxpool<T>, cuda_blocks_of(s, n * o->out[0] * o->out[1], 1), cuda_at<T>(y),
                         cuda_at<int32_t>(at), cuda_at<T>(x), n, *o))
    return weft__cuda_launched(s, "maxpool");
}

weft_status weft__cuda_maxpool_back(weft_stream *s, weft_dev gx, weft_dev gy, weft_dev at,
                                    int64_t n, const weft_window *o, weft_dtype dt)
{
    CUDA_FLOATS(dt, "maxpool_back",
                CUDA_RUN(maxpool_back<T>, cuda_blocks_of(s, n * o->in[0] * o->in[1], 1),
                         cuda_at<T>(gx), cuda_at<T>(gy), cuda_at<int32_t>(at), n, *o))
    return weft__cuda_launched(s, "maxpool_back");
}
