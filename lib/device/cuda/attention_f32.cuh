/* Attention of f32 with tiles in registers, for heads of 64 and of 128 numbers: the formulas of attention.cu
 * and attention_back.cu.
 *
 * A block has F32_WARPS warps. Each has 4 R rows of all products and all of their columns, so that what it
 * makes of scores stays its own. Lane (a, b) of 4 x 8 has the rows a + 4 r; of scores the columns b + 8 c,
 * of results the four from 4 b + 32 e on. It reads 16 bytes at a time, R + C times for 4 R C products. Rows
 * in shared memory are four numbers longer than what they hold: so lanes meet in no bank. Lanes i and i ^ 1
 * have one b, i and i ^ 2 one a: what is read for both halves a read's time. */
#ifndef DEVICE_CUDA_ATTENTION_F32_CUH
#define DEVICE_CUDA_ATTENTION_F32_CUH
#include "device/cuda/attention.cuh"
#include "device/cuda/mma.cuh"

#define LOG2_OF_E 1.44269504088896340736F
#define LOG_OF_2 0.693147180559945309417F
#define F32_WARPS 4
#define F32_THREADS (32 * F32_WARPS)
#define F32_ROWS(R) (4 * R * F32_WARPS)
#define PAD 4
/* Columns of scores at a time. */
template <int D> constexpr int SPAN = 4096 / D;

typedef cuda_pack<float> four;

/* 2^x, within two units in the last place. */
__device__ static inline float power(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

__device__ static inline int lane_a()
{
    return (threadIdx.x & 1) | (threadIdx.x >> 3 & 2);
}
__device__ static inline int lane_b()
{
    return threadIdx.x >> 1 & 7;
}
/* The warp's first row. */
__device__ static inline int warp_row(int r)
{
    return threadIdx.x / 32 * 4 * r;
}

/* Of all lanes that share rows. */
template <class F> __device__ static inline float across(float v, F f)
{
#pragma unroll
    for (int lane = 2; lane <= 8; lane *= 2)
        v = f(v, cuda_from(v, lane));
    return v;
}

/* The tile's rows from x, n of them and then zeros, `step` numbers apart. All threads, which then meet. */
template <int N, int L>
__device__ static inline void fetch(float (&t)[N][L], const float *x, int64_t step, int64_t n)
{
    constexpr int fours = (L - PAD) / 4;
    const int row = threadIdx.x / fours, column = threadIdx.x % fours * 4;
    const int left = (int)(n < N ? n : N) - row;
    x += row * step + column;
#pragma unroll
    for (int r = 0; r < N; r += F32_THREADS / fours)
        mma_copy(&t[row + r][column], x + r * step, r < left);
}
/* All that was fetched is there. */
__device__ static inline void meet()
{
    mma_commit();
    mma_wait<0>();
    __syncthreads();
}

/* s = x z^T, x the warp's rows. */
template <int R, int C, int L>
__device__ static inline void scores(float (&s)[R][C], const float (*x)[L], const float (*z)[L])
{
    const int a = lane_a(), b = lane_b();
#pragma unroll
    for (int r = 0; r < R; r++)
#pragma unroll
        for (int c = 0; c < C; c++)
            s[r][c] = 0;
#pragma unroll(16 / R)
    for (int d = 0; d < L - PAD; d += 4) {
        four u[R];
#pragma unroll
        for (int r = 0; r < R; r++)
            u[r] = *(const four *)&x[a + 4 * r][d];
#pragma unroll
        for (int c = 0; c < C; c++) {
            const four w = *(const four *)&z[b + 8 * c][d];
#pragma unroll
            for (int k = 0; k < 4; k++)
#pragma unroll
                for (int r = 0; r < R; r++)
                    s[r][c] = multiply_add(u[r].x[k], w.x[k], s[r][c]);
        }
    }
}

/* y += p z, p the warp's rows. */
template <int R, int W, int M, int L>
__device__ static inline void weigh(float (&y)[R][W], const float (*p)[M], const float (*z)[L])
{
    const int a = lane_a(), b = lane_b();
#pragma unroll(16 / R)
    for (int j = 0; j < M - PAD; j += 4) {
        four u[R];
#pragma unroll
        for (int r = 0; r < R; r++)
            u[r] = *(const four *)&p[a + 4 * r][j];
#pragma unroll
        for (int k = 0; k < 4; k++)
#pragma unroll
            for (int e = 0; e < W; e += 4) {
                const four w = *(const four *)&z[j + k][4 * b + 8 * e];
#pragma unroll
                for (int r = 0; r < R; r++)
#pragma unroll
                    for (int i = 0; i < 4; i++)
                        y[r][e + i] = multiply_add(u[r].x[k], w.x[i], y[r][e + i]);
            }
    }
}

/* The warp's part of a tile of scores to its rows p, for the warp. */
template <int R, int C, int M>
__device__ static inline void keep(float (*p)[M], const float (&s)[R][C])
{
#pragma unroll
    for (int r = 0; r < R; r++)
#pragma unroll
        for (int c = 0; c < C; c++)
            p[lane_a() + 4 * r][lane_b() + 8 * c] = s[r][c];
    __syncwarp();
}

/* s times what lies in p. */
template <int R, int C, int M>
__device__ static inline void drop(float (&s)[R][C], const float (*p)[M])
{
#pragma unroll
    for (int r = 0; r < R; r++)
#pragma unroll
        for (int c = 0; c < C; c++)
            s[r][c] *= p[lane_a() + 4 * r][lane_b() + 8 * c];
}

/* p = what dropout multiplies the weights of the warp's rows with: queries from i on and, as columns, keys
 * from j on, or, turned, the other way round. The warp. */
template <int R, bool Turned, int M>
__device__ static inline void draw(float (*p)[M], const attend &a, const head &at, int64_t i,
                                   int64_t j)
{
    const float keep = (float)keep_of(a.o);
#pragma unroll 1
    for (int e = threadIdx.x % 32; e < 4 * R * (M - PAD); e += 32) {
        const int r = e / (M - PAD), c = e % (M - PAD);
        p[r][c] = kept(a, at, i + (Turned ? c : r), j + (Turned ? r : c)) ? keep : 0;
    }
    __syncwarp();
}

/* The warp's rows of a result, those below n. */
template <int R, int W>
__device__ static inline void write(float *y, int64_t step, const float (&sum)[R][W], int64_t n)
{
#pragma unroll
    for (int r = 0; r < R; r++) {
        const int row = warp_row(R) + lane_a() + 4 * r;
#pragma unroll
        for (int e = 0; e < W; e += 4)
            if (row < n)
                *(four *)(y + row * step + 4 * lane_b() + 8 * e) =
                    four{sum[r][e], sum[r][e + 1], sum[r][e + 2], sum[r][e + 3]};
    }
}

/* A block's tile of M queries. */
struct asking {
    head at;
    int64_t i0, rows, end; /* end: keys below that they see */
};
template <int M> __device__ static inline asking asking_of(const weft_attention_terms &o)
{
    const int64_t heads = o.batch * o.heads, tiles = tiles_of(o.queries, M);
    const int64_t i0 = (tiles - 1 - blockIdx.x / heads) * M; /* the long ones first */
    const int64_t rows = o.queries - i0 < M ? o.queries - i0 : M;
    return asking{head_of(o, blockIdx.x % heads), i0, rows, seen_below(o, i0 + rows)};
}

static inline bool attend_in_f32(const attend *a)
{
    const weft_attention_terms &o = a->o;
    return (o.size == 64 || o.size == 128) && o.vsize == o.size && attend_packs(a, 4);
}

/* Runs a kernel whose blocks have that room; false: the GPU has less. */
template <class Room>
static inline bool f32_run(weft_stream *s, void (*kernel)(attend), int64_t blocks, const attend *a)
{
    const cudaStream_t on = cuda_on(s);
    if (cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, sizeof(Room))) {
        cudaGetLastError();
        return false;
    }
    if (blocks)
        kernel<<<(unsigned)blocks, F32_THREADS, sizeof(Room), on>>>(*a);
    return true;
}
#endif
