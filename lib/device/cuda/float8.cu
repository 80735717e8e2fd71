/* Coding in 8 bits. The largest magnitude is found by its bits, whose order is that of the numbers and in
 * which NaN is above all; so the order of the blocks does not matter. Codes leave in tiles, by rows and
 * turned, for cuBLASLt multiplies rows by rows alone. */
#include "device/cuda/each.cuh"
#include "device/float8.h"

#define SIDE 64  /* of a tile */
#define PACK 16  /* codes at a time */
#define PITCH 80 /* of a tile's rows, so that packs stay aligned */

/* Two numbers as codes, the first in the lower byte. */
__device__ static inline unsigned code_pair(float low, float high, int format)
{
#if __CUDA_ARCH__ >= 890
    unsigned short pair;
    if (format == WEFT_E5M2)
        asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(high), "f"(low));
    else
        asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(high), "f"(low));
    return pair;
#else
    return float8_of(low, format) | (unsigned)float8_of(high, format) << 8;
#endif
}

template <class T> __global__ static void largest(unsigned *most, const T *x, int64_t n, bool packs)
{
    constexpr int N = cuda_pack<T>::n;
    unsigned mine = 0;
    for (int64_t i = cuda_first() * N; i < n; i += cuda_step() * N) {
        cuda_c<T> v[N];
        cuda_read(v, x, i, n, packs);
        for (int k = 0; k < N; k++)
            mine = max(mine, __float_as_uint((float)v[k]) & 0x7FFFFFFF);
    }
    mine = __reduce_max_sync(0xFFFFFFFF, mine);
    if (threadIdx.x % 32 == 0 && mine)
        atomicMax(most, mine);
}

/* Rows and columns are multiples of 16. */
template <class T>
__global__ static void code(uint8_t *q, uint8_t *qt, float *scale, const T *x, int format,
                            int64_t rows, int64_t c, int64_t across, bool packs)
{
    __shared__ alignas(16) uint8_t tile[SIDE][PITCH];
    const int64_t top = blockIdx.x / across * SIDE, left = blockIdx.x % across * SIDE;
    const int line = threadIdx.x / (SIDE / PACK), at = threadIdx.x % (SIDE / PACK) * PACK;
    const float amax = scale[1], factor = float8_factor(amax, format);
    if (blockIdx.x == 0 && threadIdx.x == 0)
        scale[0] = float8_scale(amax, format);
    if (top + line < rows && left + at < c) {
        const int64_t from = (top + line) * c + left + at;
        cuda_c<T> v[PACK];
        union {
            uint4 all;
            unsigned short two[PACK / 2];
        } out;
        cuda_read(v, x, from, rows * c, packs);
#pragma unroll
        for (int k = 0; k < PACK; k += 2)
            out.two[k / 2] =
                (unsigned short)code_pair((float)v[k] * factor, (float)v[k + 1] * factor, format);
        if (q)
            *(uint4 *)(q + from) = out.all;
        *(uint4 *)&tile[line][at] = out.all;
    }
    __syncthreads();
    if (qt && left + line < c && top + at < rows) {
        union {
            uint4 all;
            uint8_t one[PACK];
        } out;
#pragma unroll
        for (int k = 0; k < PACK; k++)
            out.one[k] = tile[at + k][line];
        *(uint4 *)(qt + (left + line) * rows + top + at) = out.all;
    }
}

template <class T>
static weft_status run(weft_stream *s, weft_dev q, weft_dev qt, weft_dev scale, weft_dev x,
                       int format, int64_t rows, int64_t c)
{
    const int64_t n = rows * c, across = (c + SIDE - 1) / SIDE;
    const bool packs = cuda_packs(x);
    unsigned *most = cuda_at<unsigned>(scale) + 1;
    WEFT_TRY(weft__cuda_status(s->device, "clearing a scale",
                               cudaMemsetAsync(most, 0, sizeof *most, cuda_on(s))));
    CUDA_RUN(largest<T>, cuda_blocks_of(s, n, cuda_pack<T>::n), most, cuda_at<T>(x), n, packs);
    CUDA_RUN(code<T>, (unsigned)((rows + SIDE - 1) / SIDE * across), cuda_at<uint8_t>(q),
             cuda_at<uint8_t>(qt), cuda_at<float>(scale), cuda_at<T>(x), format, rows, c, across,
             packs);
    return weft__cuda_launched(s, "code8");
}

weft_status weft__cuda_code8(weft_stream *s, weft_dev q, weft_dev qt, weft_dev scale, weft_dev x,
                             int format, int64_t rows, int64_t c, weft_dtype dt)
{
    switch (dt) {
    case WEFT_F32:
        return run<float>(s, q, qt, scale, x, format, rows, c);
    case WEFT_BF16:
        return run<cuda_bf16>(s, q, qt, scale, x, format, rows, c);
    case WEFT_F16:
        return run<cuda_f16>(s, q, qt, scale, x, format, rows, c);
    default:
        return weft__no_kernel(s->device, "code8", dt);
    }
}
