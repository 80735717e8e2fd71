/* For the .cu files: types in memory and in arithmetic, 16 bytes at a time, grids, strided arrays.
 * As on the cpu a kernel computes in C for elements that are stored as T: f32 in f32, f64 in f64,
 * bf16 and f16 in f32, rounded once at its end. */
#ifndef DEVICE_CUDA_TYPED_CUH
#define DEVICE_CUDA_TYPED_CUH
#include "device/cuda/cuda.h"
extern "C" {
#include "device/cpu/walk.h"
}

#define CUDA_THREADS 256

/* The 16-bit formats by their bits: the toolkit's headers for them take long to compile. */
struct cuda_bf16 {
    uint16_t bits;
};
struct cuda_f16 {
    uint16_t bits;
};

template <class T> struct cuda_arithmetic {
    typedef T type;
};
template <> struct cuda_arithmetic<cuda_bf16> {
    typedef float type;
};
template <> struct cuda_arithmetic<cuda_f16> {
    typedef float type;
};
/* What is computed in for elements of T. */
template <class T> using cuda_c = typename cuda_arithmetic<T>::type;

/* An element as a number. */
template <class T> __device__ static inline T cuda_wide(T x)
{
    return x;
}
__device__ static inline float cuda_wide(cuda_bf16 x)
{
    return __uint_as_float((unsigned)x.bits << 16);
}
__device__ static inline float cuda_wide(cuda_f16 x)
{
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
    return y;
}

/* cuda_narrow<T>(v): the element of type T nearest to the number v, to even. */
template <class T> struct cuda_narrow_to {
    template <class V> __device__ static T of(V v)
    {
        return (T)v;
    }
};
template <> struct cuda_narrow_to<cuda_bf16> {
    __device__ static cuda_bf16 of(float v)
    {
        cuda_bf16 y;
        asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(v));
        return y;
    }
    /* By way of an f32 that is rounded to odd, so that the second rounding knows of the first. */
    __device__ static cuda_bf16 of(double v)
    {
        const float toward_zero = __double2float_rz(v);
        const bool exact = (double)toward_zero == v || v != v;
        return of(__uint_as_float(__float_as_uint(toward_zero) | (exact ? 0u : 1u)));
    }
};
template <> struct cuda_narrow_to<cuda_f16> {
    __device__ static cuda_f16 of(float v)
    {
        cuda_f16 y;
        asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(v));
        return y;
    }
    __device__ static cuda_f16 of(double v)
    {
        cuda_f16 y;
        asm("cvt.rn.f16.f64 %0, %1;" : "=h"(y.bits) : "d"(v));
        return y;
    }
};
template <class T, class V> __device__ static inline T cuda_narrow(V v)
{
    return cuda_narrow_to<T>::of(v);
}

/* Elements that are loaded and stored together, 16 bytes. */
template <class T> struct alignas(16) cuda_pack {
    static constexpr int n = 16 / sizeof(T);
    T x[n];
};

/* Whether all of these addresses take packs. */
static inline bool cuda_packs(weft_dev a, weft_dev b = weft_dev{0}, weft_dev c = weft_dev{0},
                              weft_dev d = weft_dev{0}, weft_dev e = weft_dev{0})
{
    return ((a.addr | b.addr | c.addr | d.addr | e.addr) & 15) == 0;
}

/* Blocks of CUDA_THREADS for n items in a loop `for (i = cuda_first(); i < n; i += cuda_step())`: at most
 * what fills the GPU a few times over. At least one. */
static inline unsigned cuda_blocks(const weft_stream *s, int64_t n)
{
    const int64_t want = (n + CUDA_THREADS - 1) / CUDA_THREADS;
    const int64_t most = (int64_t)cuda_of(s->device)->processors * 16;
    return (unsigned)(want < 1 ? 1 : want < most ? want : most);
}
__device__ static inline int64_t cuda_first()
{
    return (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
}
__device__ static inline int64_t cuda_step()
{
    return (int64_t)gridDim.x * blockDim.x;
}

/* Where element i of a walk, made by weft__walk_of and passed by value, lies in its arrays. */
template <int Arrays>
__device__ static inline void cuda_seek(const weft__walk &w, int64_t i, int64_t (&at)[Arrays])
{
#pragma unroll
    for (int a = 0; a < Arrays; a++)
        at[a] = 0;
    if (w.numel <= INT32_MAX) { /* 32-bit divisions take a third of the time */
        uint32_t left = (uint32_t)i;
        for (int d = w.rank - 1; d >= 0; d--) {
            const uint32_t extent = (uint32_t)w.shape[d], q = d ? left / extent : 0;
#pragma unroll
            for (int a = 0; a < Arrays; a++)
                at[a] += (int64_t)(left - q * extent) * w.stride[a][d];
            left = q;
        }
        return;
    }
    for (int d = w.rank - 1; d >= 0; d--) {
        const int64_t q = d ? i / w.shape[d] : 0;
#pragma unroll
        for (int a = 0; a < Arrays; a++)
            at[a] += (i - q * w.shape[d]) * w.stride[a][d];
        i = q;
    }
}

/* Label or index i of type t as a number; what is none is -1 or too large anyhow. */
__device__ static inline int64_t cuda_label(const void *label, weft_dtype t, int64_t i)
{
    if (t == WEFT_I64)
        return ((const int64_t *)label)[i];
    return t == WEFT_I32 ? ((const int32_t *)label)[i] : ((const uint8_t *)label)[i];
}
static inline bool cuda_is_label(weft_dtype t)
{
    return t == WEFT_U8 || t == WEFT_I32 || t == WEFT_I64;
}

/* The statements with T as the type in memory of dt; WEFT_ENOTSUP, naming the kernel, for other types.
 * In a function with a stream s. */
#define CUDA_CASE(value, type, ...)                                                                \
    case value: {                                                                                  \
        typedef type T;                                                                            \
        __VA_ARGS__;                                                                               \
        break;                                                                                     \
    }
#define CUDA_SWITCH(dt, name, ...)                                                                 \
    switch (dt) {                                                                                  \
        __VA_ARGS__                                                                                \
    default:                                                                                       \
        return weft__no_kernel(s->device, name, dt);                                               \
    }
#define CUDA_PAIR(dt, name, ...)                                                                   \
    CUDA_SWITCH(dt, name, CUDA_CASE(WEFT_F32, float, __VA_ARGS__)                                  \
                              CUDA_CASE(WEFT_F64, double, __VA_ARGS__))
#define CUDA_FLOATS(dt, name, ...)                                                                 \
    CUDA_SWITCH(dt, name, CUDA_CASE(WEFT_F32, float, __VA_ARGS__)                                  \
                              CUDA_CASE(WEFT_F64, double, __VA_ARGS__)                             \
                                  CUDA_CASE(WEFT_BF16, cuda_bf16, __VA_ARGS__)                     \
                                      CUDA_CASE(WEFT_F16, cuda_f16, __VA_ARGS__))
#define CUDA_NUMBERS(dt, name, ...)                                                                \
    CUDA_SWITCH(dt, name, CUDA_CASE(WEFT_F32, float, __VA_ARGS__)                                  \
                              CUDA_CASE(WEFT_F64, double, __VA_ARGS__)                             \
                                  CUDA_CASE(WEFT_BF16, cuda_bf16, __VA_ARGS__)                     \
                                      CUDA_CASE(WEFT_F16, cuda_f16, __VA_ARGS__)                   \
                                          CUDA_CASE(WEFT_I64, int64_t, __VA_ARGS__))
#endif
