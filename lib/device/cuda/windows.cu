/* Windows over planes as the columns of a matrix, and the sum of such columns back into planes. */
#include "device/cuda/windows.cuh"

/* The element under place (i, j) of window (r, q); an element of y each. */
template <class T> __global__ static void im2col(T *y, const T *x, int64_t n, weft_window o)
{
    const int64_t windows = o.out[0] * o.out[1], places = o.kernel[0] * o.kernel[1];
    for (int64_t e = cuda_first(); e < n * places * windows; e += cuda_step()) {
        const int64_t line = cuda_quotient(e, windows, n * places * windows),
                      w = e - line * windows;
        const int64_t plane = cuda_quotient(line, places, n * places), t = line - plane * places;
        const int64_t r = cuda_quotient(w, o.out[1], windows), q = w - r * o.out[1];
        const int64_t i = cuda_quotient(t, o.kernel[1], places), j = t - i * o.kernel[1];
        const int64_t row = r * o.stride[0] - o.padding[0] + i * o.dilation[0];
        const int64_t column = q * o.stride[1] - o.padding[1] + j * o.dilation[1];
        const bool inside = row >= 0 && row < o.in[0] && column >= 0 && column < o.in[1];
        y[e] = inside ? x[(plane * o.in[0] + row) * o.in[1] + column] : T{0};
    }
}

/* Sums of x, in the order of places; an element of y each. */
template <class T> __global__ static void col2im(T *y, const cuda_c<T> *x, int64_t n, weft_window o)
{
    const int64_t size = o.in[0] * o.in[1], places = o.kernel[0] * o.kernel[1];
    for (int64_t e = cuda_first(); e < n * size; e += cuda_step()) {
        const int64_t plane = cuda_quotient(e, size, n * size), at = e - plane * size;
        const int64_t r = cuda_quotient(at, o.in[1], size), c = at - r * o.in[1];
        const cuda_c<T> *from = x + plane * places * o.out[0] * o.out[1];
        cuda_c<T> sum = 0;
        for (int64_t i = 0; i < o.kernel[0]; i++) {
            const int64_t p = cuda_window_at(o, 0, r, i);
            for (int64_t j = 0; j < o.kernel[1] && p >= 0; j++) {
                const int64_t q = cuda_window_at(o, 1, c, j);
                if (q >= 0)
                    sum += from[((i * o.kernel[1] + j) * o.out[0] + p) * o.out[1] + q];
            }
        }
        y[e] = cuda_narrow<T>(sum);
    }
}

weft_status weft__cuda_im2col(weft_stream *s, weft_dev y, weft_dev x, int64_t n,
                              const weft_window *o, weft_dtype dt)
{
    const int64_t elements = n * o->kernel[0] * o->kernel[1] * o->out[0] * o->out[1];
    CUDA_FLOATS(
        dt, "im2col",
        CUDA_RUN(im2col<T>, cuda_blocks_of(s, elements, 1), cuda_at<T>(y), cuda_at<T>(x), n, *o))
    return weft__cuda_launched(s, "im2col");
}

weft_status weft__cuda_col2im(weft_stream *s, weft_dev y, weft_dev x, int64_t n,
                              const weft_window *o, weft_dtype dt)
{
    CUDA_FLOATS(dt, "col2im",
                CUDA_RUN(col2im<T>, cuda_blocks_of(s, n * o->in[0] * o->in[1], 1), cuda_at<T>(y),
                         cuda_at<cuda_c<T>>(x), n, *o))
    return weft__cuda_launched(s, "col2im");
}
