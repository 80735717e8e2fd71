/* What the normalisations of rows share: x^ = (x - m) r, with stats (m, r) of each row, or (r) alone where
 * m is 0. */
#ifndef DEVICE_CUDA_NORMS_CUH
#define DEVICE_CUDA_NORMS_CUH
#include "device/cuda/rows.cuh"

extern "C" {
/* What is wanted of gx, gw and gb, the others are 0, as of add_layernorm_back; more and w may be 0. */
weft_status weft__cuda_norm_back(weft_stream *s, weft_dev gx, weft_dev gw, weft_dev gb, weft_dev gy,
                                 weft_dev more, weft_dev x, weft_dev stats, weft_dev w,
                                 bool centred, int64_t rows, int64_t c, weft_dtype dt);
/* Of any rows gw = sum gy x^ and gb = sum gy, of type C of dt; what is not wanted is 0. Sums are formed in
 * f64 over blocks of rows, then over the blocks. */
weft_status weft__cuda_norm_columns(weft_stream *s, weft_dev gw, weft_dev gb, weft_dev gy,
                                    weft_dev x, weft_dev stats, bool centred, int64_t rows,
                                    int64_t c, weft_dtype dt);
/* gw and gb from part[block][0 or 1][column], in an order that the number of blocks decides. */
void weft__cuda_norm_join(weft_stream *s, weft_dev gw, weft_dev gb, const double *part,
                          int64_t blocks, int64_t c, weft_dtype dt);
}

/* Whether rows of c elements can be read in packs of T's. */
template <class T> static inline bool cuda_row_packs(int64_t c, bool aligned)
{
    return aligned && c * (int64_t)sizeof(T) % 16 == 0;
}

/* A weight, 1 where there are none. */
template <int N, class T>
__device__ static inline void cuda_weights(cuda_c<T> (&v)[N], const T *w, int64_t j, int64_t c,
                                           bool packs)
{
    if (w) {
        cuda_read(v, w, j, c, packs);
        return;
    }
#pragma unroll
    for (int k = 0; k < N; k++)
        v[k] = 1;
}

/* --- rows that the threads of a block have room for: each has so many columns of a few rows, read once --- */

#define CUDA_NORM_MOST                                                                             \
    1024 /* threads of a block, and on a processor: each has all of 64 registers */

/* Where packs fit; else 1. */
template <class T> constexpr int cuda_norm_n = sizeof(T) == 8 ? 2 : 4;
static inline int64_t cuda_norm_columns(int64_t c, bool aligned, weft_dtype dt)
{
    const int64_t n = dt == WEFT_F64 ? 2 : 4;
    return aligned && c % n == 0 ? n : 1;
}

/* Threads of a block, n columns to each. 0: rows are longer, or too many to count so. */
static inline unsigned cuda_norm_threads(int64_t rows, int64_t c, int64_t n)
{
    const int64_t each = n * CUDA_WARP, threads = (c + each - 1) / each * CUDA_WARP;
    return threads <= CUDA_NORM_MOST && rows <= INT32_MAX / 2 ? (unsigned)threads : 0;
}

/* As many as go side by side, each with so many rows at a time; one at least. */
static inline unsigned cuda_norm_blocks(const weft_stream *s, int64_t rows, int64_t each,
                                        unsigned threads)
{
    const int64_t most = (int64_t)cuda_of(s->device)->processors * (CUDA_NORM_MOST / threads);
    const int64_t want = (rows + each - 1) / each;
    return (unsigned)(want < 1 ? 1 : want < most ? want : most);
}

/* The sums of v over the block; room is not that of the call before. */
template <class C, int V> __device__ static inline void cuda_totals(C (&v)[V], C (*room)[V])
{
    C u[V];
    for (int i = 0; i < V; i++)
        v[i] = cuda_join<CUDA_WARP>(v[i], cuda_plus());
    if (threadIdx.x % CUDA_WARP == 0)
        cuda_write(room[threadIdx.x / CUDA_WARP], v, 0, V, true);
    __syncthreads();
    cuda_load(v, room[0], 0);
    for (int w = 1; w < blockDim.x / CUDA_WARP; w++) {
        cuda_load(u, room[w], 0);
        for (int i = 0; i < V; i++)
            v[i] += u[i];
    }
}
#endif
