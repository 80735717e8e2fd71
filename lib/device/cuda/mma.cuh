/* Products of tiles by tensor cores: mma.sync of m16n8k16 with sums in f32, for the 16-bit types.
 *
 * A tile is 64 x 64 numbers in shared memory, in chunks of eight; chunk c of row r lies at c ^ (r % 8), so
 * that eight rows are read without meeting in a bank. Of a 16 x 8 result lane 4 g + t has (g, 2t),
 * (g, 2t+1), (g+8, 2t) and (g+8, 2t+1). */
#ifndef DEVICE_CUDA_MMA_CUH
#define DEVICE_CUDA_MMA_CUH
#include "device/cuda/rows.cuh"

#define MMA_TILE 64
#define MMA_STEPS 4 /* of 16 in a tile */
#define MMA_WARPS 4 /* of a block, with 16 rows each */
#define MMA_THREADS 128

struct alignas(16) mma_tile {
    uint16_t x[MMA_TILE * MMA_TILE];
};
/* 16 rows x 64 columns as the left factor; results of that size. */
typedef uint32_t mma_rows[MMA_STEPS][4];
typedef float mma_sums[2 * MMA_STEPS][4];

__device__ static inline const uint16_t *mma_at(const mma_tile &t, int row, int chunk)
{
    return t.x + row * MMA_TILE + ((chunk ^ (row & 7)) << 3);
}

/* Four 8 x 8 matrices, whose rows lie where the lanes say; turned: their transposes. */
__device__ static inline void mma_load(uint32_t (&r)[4], const uint16_t *row)
{
    const unsigned at = (unsigned)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
}
__device__ static inline void mma_load_turned(uint32_t (&r)[4], const uint16_t *row)
{
    const unsigned at = (unsigned)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
}

/* c += a b */
__device__ static inline void mma_add(cuda_bf16, float (&c)[4], const uint32_t (&a)[4], uint32_t b0,
                                      uint32_t b1)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
        "{%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ static inline void mma_add(cuda_f16, float (&c)[4], const uint32_t (&a)[4], uint32_t b0,
                                      uint32_t b1)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
        "{%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/* 16 bytes to shared memory, zeros where there are none; done once mma_wait<0> returns and all
 * threads met. */
__device__ static inline void mma_copy(void *to, const void *from, bool any)
{
    const unsigned at = (unsigned)__cvta_generic_to_shared(to);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from),
                 "r"(any ? 16 : 0)
                 : "memory");
}
__device__ static inline void mma_commit()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}
/* All but the last Left groups are there. */
template <int Left> __device__ static inline void mma_wait()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(Left) : "memory");
}

/* Two numbers as 16 bits each, the first in the lower ones. */
template <class T> __device__ static inline uint32_t mma_pair(float a, float b)
{
    return (uint32_t)cuda_narrow<T>(b).bits << 16 | cuda_narrow<T>(a).bits;
}

/* A tile's rows from x, n of them, `step` numbers apart. All threads. */
template <class T>
__device__ static inline void mma_fetch(mma_tile &t, const T *x, int64_t step, int64_t n)
{
#pragma unroll
    for (int e = threadIdx.x; e < MMA_TILE * 8; e += MMA_THREADS) {
        const int r = e / 8, c = e % 8;
        mma_copy((void *)mma_at(t, r, c), x + (r < n ? r : 0) * step + 8 * c, r < n);
    }
}

/* The warp's 16 rows of a tile. */
__device__ static inline void mma_take(mma_rows &a, const mma_tile &t)
{
    const int lane = threadIdx.x % 32, row = threadIdx.x / 32 * 16 + lane % 16;
#pragma unroll
    for (int k = 0; k < MMA_STEPS; k++)
        mma_load(a[k], mma_at(t, row, 2 * k + lane / 16));
}

/* sum += a t^T */
template <class T>
__device__ static inline void mma_turned(mma_sums &sum, const mma_rows &a, const mma_tile &t)
{
    const int lane = threadIdx.x % 32, row = (lane & 7) + (lane >> 4 << 3), half = lane >> 3 & 1;
#pragma unroll
    for (int k = 0; k < MMA_STEPS; k++)
#pragma unroll
        for (int n = 0; n < MMA_STEPS; n++) {
            uint32_t b[4];
            mma_load(b, mma_at(t, 16 * n + row, 2 * k + half));
            mma_add(T(), sum[2 * n], a[k], b[0], b[1]);
            mma_add(T(), sum[2 * n + 1], a[k], b[2], b[3]);
        }
}

/* sum += p t, p results that become a left factor, rounded. */
template <class T>
__device__ static inline void mma_straight(mma_sums &sum, const mma_sums &p, const mma_tile &t)
{
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int k = 0; k < MMA_STEPS; k++) {
        const float(&u)[4] = p[2 * k], (&v)[4] = p[2 * k + 1];
        const uint32_t a[4] = {mma_pair<T>(u[0], u[1]), mma_pair<T>(u[2], u[3]),
                               mma_pair<T>(v[0], v[1]), mma_pair<T>(v[2], v[3])};
#pragma unroll
        for (int n = 0; n < MMA_STEPS; n++) {
            uint32_t b[4];
            mma_load_turned(b, mma_at(t, 16 * k + lane % 16, 2 * n + lane / 16));
            mma_add(T(), sum[2 * n], a, b[0], b[1]);
            mma_add(T(), sum[2 * n + 1], a, b[2], b[3]);
        }
    }
}

/* The warp's rows of the result, below n, times a factor for each half. */
template <class T>
__device__ static inline void mma_write(T *y, int64_t step, const mma_sums &sum, int64_t n,
                                        float first, float second)
{
    const int lane = threadIdx.x % 32, row = threadIdx.x / 32 * 16 + lane / 4;
#pragma unroll
    for (int c = 0; c < 2 * MMA_STEPS; c++) {
        const int64_t column = 8 * c + lane % 4 * 2;
        if (row < n)
            *(uint32_t *)(y + row * step + column) =
                mma_pair<T>(sum[c][0] * first, sum[c][1] * first);
        if (row + 8 < n)
            *(uint32_t *)(y + (row + 8) * step + column) =
                mma_pair<T>(sum[c][2] * second, sum[c][3] * second);
    }
}
#endif
