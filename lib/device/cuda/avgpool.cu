/* Averages of windows over planes, and what flows back from them: gathered for each element from the
 * windows that have it, in their order. */
#include "device/cuda/windows.cuh"

struct average {
    weft_average how;
    weft_window o;
};

/* The places of window q along dimension d that are in the plane. */
__device__ static inline cuda_range within(const average &a, int d, int64_t q)
{
    const int64_t in = a.o.in[d], out = a.o.out[d];
    const int64_t first = q * a.o.stride[d] - a.o.padding[d];
    if (a.how == WEFT_AVERAGE_ADAPTIVE)
        return cuda_range{q * in / out, ((q + 1) * in + out - 1) / out};
    return cuda_range{cuda_clamp(first, in), cuda_clamp(first + a.o.kernel[d], in)};
}

/* The windows along dimension d that may have row or column r. */
__device__ static inline cuda_range having(const average &a, int d, int64_t r)
{
    const int64_t in = a.o.in[d], out = a.o.out[d];
    if (a.how == WEFT_AVERAGE_ADAPTIVE)
        return cuda_range{r * out / in, ((r + 1) * out + in - 1) / in};
    return cuda_covering(a.o, d, r);
}

__device__ static inline double divisor(const average &a, cuda_range rows, cuda_range columns)
{
    const int64_t n = a.how == WEFT_AVERAGE_PADDED
                          ? a.o.kernel[0] * a.o.kernel[1]
                          : (rows.end - rows.first) * (columns.end - columns.first);
    return (double)n;
}

template <class T> __global__ static void avgpool(T *y, const T *x, int64_t n, average a)
{
    const weft_window &o = a.o;
    const int64_t windows = o.out[0] * o.out[1];
    for (int64_t e = cuda_first(); e < n * windows; e += cuda_step()) {
        const int64_t plane = cuda_quotient(e, windows, n * windows), w = e - plane * windows;
        const int64_t r = cuda_quotient(w, o.out[1], windows), q = w - r * o.out[1];
        const cuda_range rows = within(a, 0, r), columns = within(a, 1, q);
        const T *from = x + plane * o.in[0] * o.in[1];
        double sum = 0;
        for (int64_t i = rows.first; i < rows.end; i++)
            for (int64_t j = columns.first; j < columns.end; j++)
                sum += (double)cuda_wide(from[i * o.in[1] + j]);
        y[e] = cuda_narrow<T>((cuda_c<T>)(sum / divisor(a, rows, columns)));
    }
}

template <class T> __global__ static void avgpool_back(T *gx, const T *gy, int64_t n, average a)
{
    typedef cuda_c<T> C;
    const weft_window &o = a.o;
    const int64_t size = o.in[0] * o.in[1];
    for (int64_t e = cuda_first(); e < n * size; e += cuda_step()) {
        const int64_t plane = cuda_quotient(e, size, n * size), here = e - plane * size;
        const int64_t r = cuda_quotient(here, o.in[1], size), c = here - r * o.in[1];
        const cuda_range down = having(a, 0, r), across = having(a, 1, c);
        const T *from = gy + plane * o.out[0] * o.out[1];
        C sum = 0;
        for (int64_t p = down.first; p < down.end; p++)
            for (int64_t q = across.first; q < across.end; q++) {
                const cuda_range rows = within(a, 0, p), columns = within(a, 1, q);
                if (r >= rows.first && r < rows.end && c >= columns.first && c < columns.end)
                    sum += cuda_wide(from[p * o.out[1] + q]) / (C)divisor(a, rows, columns);
            }
        gx[e] = cuda_narrow<T>(sum);
    }
}

weft_status weft__cuda_avgpool(weft_stream *s, weft_dev y, weft_dev x, weft_average how, int64_t n,
                               const weft_window *o, weft_dtype dt)
{
    const average a = {how, *o};
    CUDA_FLOATS(dt, "avgpool",
                CUDA_RUN(avgpool<T>, cuda_blocks_of(s, n * o->out[0] * o->out[1], 1), cuda_at<T>(y),
                         cuda_at<T>(x), n, a))
    return weft__cuda_launched(s, "avgpool");
}

weft_status weft__cuda_avgpool_back(weft_stream *s, weft_dev gx, weft_dev gy, weft_average how,
                                    int64_t n, const weft_window *o, weft_dtype dt)
{
    const average a = {how, *o};
    CUDA_FLOATS(dt, "avgpool_back",
                CUDA_RUN(avgpool_back<T>, cuda_blocks_of(s, n * o->in[0] * o->in[1], 1),
                         cuda_at<T>(gx), cuda_at<T>(gy), n, a))
    return weft__cuda_launched(s, "avgpool_back");
}
