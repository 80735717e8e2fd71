/* exp, tanh and erf as the cpu computes them where it has FMA, to the same bits where other products and
 * sums are not contracted (-fmad=false). */
#ifndef DEVICE_CUDA_MATH_CUH
#define DEVICE_CUDA_MATH_CUH
#define CPU_INLINE static __device__ __forceinline__
#define FUSES
#define T float
#define N(name) name##_f32
#define OF(name) name##_f32
#include "device/cpu/math.h"
#undef T
#undef N
#undef OF
#define T double
#define N(name) name##_f64
#define OF(name) name##_f64
#include "device/cpu/math.h"
#undef T
#undef N
#undef OF

/* One name for both types. */
#define CUDA_BOTH(name, of_float, of_double)                                                       \
    CPU_INLINE float name(float x)                                                                 \
    {                                                                                              \
        return of_float(x);                                                                        \
    }                                                                                              \
    CPU_INLINE double name(double x)                                                               \
    {                                                                                              \
        return of_double(x);                                                                       \
    }
CUDA_BOTH(cuda_exp, cpu_exp_f32, cpu_exp_f64)
CUDA_BOTH(cuda_tanh, cpu_tanh_f32, cpu_tanh_f64)
CUDA_BOTH(cuda_erf, cpu_erf_f32, cpu_erf_f64)
CUDA_BOTH(cuda_sqrt, sqrtf, sqrt)
CUDA_BOTH(cuda_abs, fabsf, fabs)
CUDA_BOTH(cuda_log, logf, log)
#undef CUDA_BOTH

/* 2^x and 1/x by the GPU's own instructions, one each, within two units of the last place; what has no full
 * precision is 0. For what is rounded to 16 bits or summed. */
CPU_INLINE float cuda_near_power(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
CPU_INLINE float cuda_near_inverse(float x)
{
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

CPU_INLINE float cuda_pow(float x, float y)
{
    return powf(x, y);
}
CPU_INLINE double cuda_pow(double x, double y)
{
    return pow(x, y);
}
#endif
