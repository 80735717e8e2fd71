/* y = alpha x */
#include "device/cuda/typed.cuh"

template <class T>
__global__ static void scale(T *y, cuda_c<T> alpha, const T *x, int64_t n)
{
    for (int64_t i = cuda_first(); i < n; i += cuda_step())
        y[i] = cuda_narrow<T>(alpha * cuda_wide(x[i]));
}

weft_status weft__cuda_scale(weft_stream *s, weft_dev y, double alpha, weft_dev x, int64_t n,
                             weft_dtype dt)
{
    cudaStream_t stream = cuda_on(s);
    if (n == 0)
        return WEFT_OK;
    CUDA_FLOATS(dt, "scale",
                scale<T><<<cuda_blocks(s, n), CUDA_THREADS, 0, stream>>>(
                    (T *)cuda_ptr(y), (cuda_c<T>)alpha, (const T *)cuda_ptr(x), n))
    return weft__cuda_launched(s, "scale");
}
