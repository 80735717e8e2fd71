/* Philox4x32-10 and its keys, as in core/rng.c. */
#ifndef DEVICE_CUDA_RANDOM_CUH
#define DEVICE_CUDA_RANDOM_CUH
#include "device/cuda/each.cuh"

/* The finaliser of MurmurHash3. */
__device__ static inline uint64_t cuda_mix(uint64_t x)
{
    x = (x ^ x >> 33) * 0xFF51AFD7ED558CCDULL;
    x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53ULL;
    return x ^ x >> 33;
}

/* Four words of the block of a stream. */
__device__ static inline void cuda_draw(uint64_t seed, uint64_t stream, uint64_t step,
                                        uint64_t block, uint32_t (&out)[4])
{
    const uint64_t k =
        cuda_mix(seed + 0x9E3779B97F4A7C15ULL) ^ cuda_mix(stream ^ 0xD1B54A32D192ED03ULL);
    uint32_t k0 = (uint32_t)k, k1 = (uint32_t)(k >> 32);
    uint32_t c0 = (uint32_t)block, c1 = (uint32_t)(block >> 32);
    uint32_t c2 = (uint32_t)step, c3 = (uint32_t)(step >> 32);
#pragma unroll
    for (int round = 0; round < 10; round++) {
        const uint64_t a = (uint64_t)0xD2511F53U * c0, b = (uint64_t)0xCD9E8D57U * c2;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)b;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)a;
        k0 += 0x9E3779B9U;
        k1 += 0xBB67AE85U;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* Two words as a number in [0, 1). */
__device__ static inline double cuda_unit(uint32_t high, uint32_t low)
{
    return (double)(((uint64_t)high << 32 | low) >> 11) * 0x1p-53;
}
#endif
