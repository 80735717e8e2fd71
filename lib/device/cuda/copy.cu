/* Copies with strides and a cast. Equal types are moved as bits. Others pass through f64 (from floating
 * point, exact) or i64 (from integers, exact) and are rounded once: to nearest even; to an integer
 * towards zero, saturated, NaN to 0; between integers modulo 2^bits. */
#include "device/cuda/strided.cuh"

/* --- the same bits --- */

template <class T, int N> __global__ static void move(T *y, const T *x, weft__walk w)
{
    const int last = w.rank - 1;
    for (int64_t i = cuda_first() * N; i < w.numel; i += cuda_step() * N) {
        T v[N];
        int64_t at[2];
        cuda_seek(w, i, at);
        cuda_take(v, x, at[1], w.stride[1][last], w.numel - i);
        cuda_write(y + at[0], v, 0, w.numel - i, true);
    }
}

/* Dimensions 0, 1, 2 of the walk: y runs along the last one, x along the middle one. Tiles go through
 * shared memory, so that both are read and written in runs. */
#define TILE 32
template <class T>
__global__ static void turn(T *y, const T *x, int64_t rows, int64_t columns, int64_t ys, int64_t xs,
                            int64_t ybatch, int64_t xbatch)
{
    __shared__ T tile[TILE][TILE + 1];
    const int64_t r = (int64_t)blockIdx.y * TILE, c = (int64_t)blockIdx.x * TILE;
    y += blockIdx.z * ybatch;
    x += blockIdx.z * xbatch;
    for (int j = threadIdx.y; j < TILE; j += blockDim.y) /* row r + threadIdx.x, column c + j */
        if (c + j < columns && r + threadIdx.x < rows)
            tile[j][threadIdx.x] = x[(c + j) * xs + r + threadIdx.x];
    __syncthreads();
    for (int j = threadIdx.y; j < TILE; j += blockDim.y)
        if (r + j < rows && c + threadIdx.x < columns)
            y[(r + j) * ys + c + threadIdx.x] = tile[threadIdx.x][j];
}

template <class T> static bool run_turn(weft_stream *s, weft_dev y, weft_dev x, const weft__walk *w)
{
    const int d = w->rank - 2, batched = w->rank == 3;
    if (w->rank < 2 || w->rank > 3 || w->stride[0][d + 1] != 1 || w->stride[1][d] != 1 ||
        w->shape[d] < 16 || w->shape[d + 1] < 16)
        return false;
    const dim3 grid((unsigned)((w->shape[d + 1] + TILE - 1) / TILE),
                    (unsigned)((w->shape[d] + TILE - 1) / TILE),
                    batched ? (unsigned)w->shape[0] : 1);
    if (w->shape[d] > (int64_t)TILE * 65535 || (batched && w->shape[0] > 65535))
        return false;
    turn<<<grid, dim3(TILE, 8), 0, cuda_on(s)>>>(
        cuda_at<T>(y), cuda_at<T>(x), w->shape[d], w->shape[d + 1], w->stride[0][d],
        w->stride[1][d + 1], batched ? w->stride[0][0] : 0, batched ? w->stride[1][0] : 0);
    return true;
}

template <class T> static void run_move(weft_stream *s, weft_dev y, weft_dev x, const weft__walk *w)
{
    constexpr int N = cuda_pack<T>::n;
    if (w->stride[0][w->rank - 1] == 1 && cuda_together(w, 0, N, y, sizeof(T)) &&
        cuda_together(w, 1, N, x, sizeof(T)))
        CUDA_RUN((move<T, N>), cuda_blocks_of(s, w->numel, N), cuda_at<T>(y), cuda_at<T>(x), *w);
    else if (!run_turn<T>(s, y, x, w))
        CUDA_RUN((move<T, 1>), cuda_blocks_of(s, w->numel, 1), cuda_at<T>(y), cuda_at<T>(x), *w);
}

/* --- casts --- */

#define EACH 4  /* elements that go together, 16 bytes of f32, 8 of 16 bits */
#define AHEAD 4 /* times that a thread reads before it writes */

/* Between f32 and 16 bits, one behind the other. A block has a stretch. */
template <class Y, class X> __global__ static void cast(Y *y, const X *x, int64_t n, bool packs)
{
    const int64_t apart = (int64_t)blockDim.x * EACH;
    const int64_t first = blockIdx.x * apart * AHEAD + threadIdx.x * EACH;
    cuda_c<X> v[AHEAD][EACH];
    if (packs && first + (AHEAD - 1) * apart + EACH <= n) {
#pragma unroll
        for (int a = 0; a < AHEAD; a++)
            cuda_load(v[a], x, first + a * apart);
    } else {
#pragma unroll
        for (int a = 0; a < AHEAD; a++)
            cuda_read(v[a], x, first + a * apart, n, false);
    }
#pragma unroll
    for (int a = 0; a < AHEAD; a++)
        cuda_write(y, v[a], first + a * apart, n, packs);
}

__device__ static inline double real(const void *x, weft_dtype t, int64_t i)
{
    switch (t) {
    case WEFT_F32:
        return ((const float *)x)[i];
    case WEFT_F16:
        return cuda_wide(((const cuda_f16 *)x)[i]);
    case WEFT_BF16:
        return cuda_wide(((const cuda_bf16 *)x)[i]);
    default:
        return ((const double *)x)[i];
    }
}

__device__ static inline double clamp(double v, double lo, double hi)
{
    return v != v ? 0 : v < lo ? lo : v > hi ? hi : v;
}

__device__ static inline void put_real(void *y, weft_dtype t, int64_t i, double v)
{
    switch (t) {
    case WEFT_F32:
        ((float *)y)[i] = (float)v;
        break;
    case WEFT_F64:
        ((double *)y)[i] = v;
        break;
    case WEFT_F16:
        ((cuda_f16 *)y)[i] = cuda_narrow<cuda_f16>(v);
        break;
    case WEFT_BF16:
        ((cuda_bf16 *)y)[i] = cuda_narrow<cuda_bf16>(v);
        break;
    case WEFT_I32:
        ((int32_t *)y)[i] = (int32_t)clamp(v, INT32_MIN, INT32_MAX);
        break;
    case WEFT_I64:
        ((int64_t *)y)[i] = v >= 0x1p63 ? INT64_MAX : (int64_t)clamp(v, -0x1p63, 0x1p63);
        break;
    default:
        ((uint8_t *)y)[i] = (uint8_t)(unsigned)clamp(v, 0, UINT8_MAX);
        break;
    }
}

/* v as a double that rounds on as v itself would: bits that do not fit leave a sticky one. */
__device__ static inline double sticky(int64_t v)
{
    uint64_t a = v < 0 ? -(uint64_t)v : (uint64_t)v;
    if (a >> 53)
        a = (a & ~(uint64_t)0x7FF) | (uint64_t)((a & 0x7FF) != 0) << 11;
    return v < 0 ? -(double)a : (double)a;
}

__device__ static inline void put_whole(void *y, weft_dtype t, int64_t i, int64_t v)
{
    if (t == WEFT_I32)
        ((int32_t *)y)[i] = (int32_t)v;
    else if (t == WEFT_I64)
        ((int64_t *)y)[i] = v;
    else if (t == WEFT_U8)
        ((uint8_t *)y)[i] = (uint8_t)v;
    else
        put_real(y, t, i, t == WEFT_F64 ? (double)v : sticky(v));
}

__global__ static void convert(void *y, weft_dtype yt, const void *x, weft_dtype xt, weft__walk w)
{
    for (int64_t i = cuda_first(); i < w.numel; i += cuda_step()) {
        int64_t at[2];
        cuda_seek(w, i, at);
        if (xt == WEFT_U8 || xt == WEFT_I32 || xt == WEFT_I64)
            put_whole(y, yt, at[0], cuda_label(x, xt, at[1]));
        else
            put_real(y, yt, at[0], real(x, xt, at[1]));
    }
}

template <class Y, class X> static void run_cast(weft_stream *s, weft_dev y, weft_dev x, int64_t n)
{
    constexpr int64_t each = CUDA_THREADS * EACH * AHEAD;
    CUDA_RUN((cast<Y, X>), (unsigned)((n + each - 1) / each), cuda_at<Y>(y), cuda_at<X>(x), n,
             cuda_packs(y, x));
}

static void run_convert(weft_stream *s, weft_dev y, weft_dtype yt, weft_dev x, weft_dtype xt,
                        const weft__walk *w)
{
    const bool plain = w->rank == 1 && w->stride[0][0] == 1 && w->stride[1][0] == 1;
    if (plain && xt == WEFT_F32 && yt == WEFT_BF16)
        run_cast<cuda_bf16, float>(s, y, x, w->numel);
    else if (plain && xt == WEFT_F32 && yt == WEFT_F16)
        run_cast<cuda_f16, float>(s, y, x, w->numel);
    else if (plain && xt == WEFT_BF16 && yt == WEFT_F32)
        run_cast<float, cuda_bf16>(s, y, x, w->numel);
    else if (plain && xt == WEFT_F16 && yt == WEFT_F32)
        run_cast<float, cuda_f16>(s, y, x, w->numel);
    else
        CUDA_RUN(convert, cuda_blocks_of(s, w->numel, 1), cuda_ptr(y), yt, cuda_ptr(x), xt, *w);
}

weft_status weft__cuda_copy(weft_stream *s, weft_dev y, weft_dtype yt, const int64_t *ystride,
                            weft_dev x, weft_dtype xt, const int64_t *xstride, int rank,
                            const int64_t *shape)
{
    const int64_t *const stride[] = {ystride, xstride};
    weft__walk w;
    if (!weft_dtype_size(yt) || !weft_dtype_size(xt))
        return weft__no_kernel(s->device, "copy", weft_dtype_size(yt) ? xt : yt);
    weft__walk_of(&w, 2, rank, shape, stride);
    if (w.numel == 0)
        return WEFT_OK;
    if (yt != xt)
        run_convert(s, y, yt, x, xt, &w);
    else if (weft_dtype_size(yt) == 8)
        run_move<uint64_t>(s, y, x, &w);
    else if (weft_dtype_size(yt) == 4)
        run_move<uint32_t>(s, y, x, &w);
    else if (weft_dtype_size(yt) == 2)
        run_move<uint16_t>(s, y, x, &w);
    else
        run_move<uint8_t>(s, y, x, &w);
    return weft__cuda_launched(s, "copy");
}
