/* What attention and its gradient share: tiles of scores, of QUERIES<C> queries and KEYS keys, in a block
 * of CUDA_THREADS. Thread (ty, tx) of 16 x 16 has the queries ty + 16 r and the keys tx + 16 c. */
#ifndef DEVICE_CUDA_ATTENTION_CUH
#define DEVICE_CUDA_ATTENTION_CUH
#include "device/cuda/math.cuh"
#include "device/cuda/random.cuh"
#include "device/cuda/rows.cuh"

#define KEYS 32
#define WIDTH 64 /* columns of results at a time */
#define DEPTH 32 /* numbers of q and k at a time */
#define SIDE 16
template <class C> constexpr int QUERIES = sizeof(C) == 4 ? 64 : 32;
template <class C> constexpr int ROWS = QUERIES<C> / SIDE;
#define COLUMNS (KEYS / SIDE)
#define SPREAD (WIDTH / SIDE)

typedef struct attend {
    weft_attention_terms o;
    const weft_attention_terms *live; /* what is drawn from in its place; NULL: nothing */
    void *y, *lse, *gq, *gk, *gv, *delta;
    const void *q, *k, *v, *gy;
} attend;

extern "C" {
/* Whether tensor cores can do it: attention_mma.cu says for what. */
bool weft__cuda_attention_fits(const attend *a, weft_dtype dt);
void weft__cuda_attention_mma(weft_stream *s, const attend *a, weft_dtype dt);
/* delta is there. */
void weft__cuda_attention_mma_back(weft_stream *s, const attend *a, weft_dtype dt);
/* Of f32, with tiles in registers: attention, the gradient of queries, and that of keys and values; false:
 * not these shapes, and nothing done. */
bool weft__cuda_attention_f32(weft_stream *s, const attend *a);
bool weft__cuda_attention_f32_queries(weft_stream *s, const attend *a);
bool weft__cuda_attention_f32_keys(weft_stream *s, const attend *a);
}

/* Whether all rows lie at 16 bytes, n numbers. */
static inline bool attend_packs(const attend *a, int64_t n)
{
    const weft_attention_terms &o = a->o;
    const uintptr_t all = (uintptr_t)a->q | (uintptr_t)a->k | (uintptr_t)a->v | (uintptr_t)a->y |
                          (uintptr_t)a->gy | (uintptr_t)a->gq | (uintptr_t)a->gk | (uintptr_t)a->gv;
    bool fits = all % 16 == 0;
    for (int d = 0; d < 3; d++)
        fits = fits && o.q[d] % n == 0 && o.k[d] % n == 0 && o.v[d] % n == 0 && o.y[d] % n == 0 &&
               (!a->gq || o.gq[d] % n == 0) && (!a->gk || (o.gk[d] % n == 0 && o.gv[d] % n == 0));
    return fits;
}

/* Which head of which row of the batch; group: the head of k and v. */
struct head {
    int64_t b, h, group;
};

/* Keys that queries up to number i, exclusive, see. */
__device__ static inline int64_t seen_below(const weft_attention_terms &o, int64_t i)
{
    const int64_t n = i + o.offset > 0 ? i + o.offset : 0;
    return o.causal && n < o.keys ? n : o.keys;
}

__device__ static inline int64_t place_of(const int64_t (&stride)[3], int64_t b, int64_t h,
                                          int64_t t)
{
    return b * stride[0] + h * stride[1] + t * stride[2];
}

__host__ __device__ static inline int64_t tiles_of(int64_t n, int64_t tile)
{
    return (n + tile - 1) / tile;
}

/* Head number n of all rows of the batch. */
__device__ static inline head head_of(const weft_attention_terms &o, int64_t n)
{
    const int64_t h = n % o.heads;
    return head{n / o.heads, h, h / (o.heads / o.kv_heads)};
}

/* Blocks for tiles of the queries of so many heads. */
template <class T> static inline unsigned attend_blocks(int64_t heads, int64_t queries)
{
    return (unsigned)(heads * tiles_of(queries, QUERIES<cuda_c<T>>));
}

__device__ static inline float multiply_add(float a, float b, float c)
{
    return __fmaf_rn(a, b, c);
}
__device__ static inline double multiply_add(double a, double b, double c)
{
    return __fma_rn(a, b, c);
}

/* Whether dropout lets the number through that is `inside` behind the batch's first. By itself, and with
 * what the kernel got where that lies, so that it takes no registers of those who ask. */
__device__ __noinline__ static bool passes(const attend *a, uint64_t inside)
{
    const weft_attention_terms &o = a->o, &live = a->live ? *a->live : o;
    const uint64_t number = (uint64_t)(live.base * o.heads * o.queries * o.keys) + inside;
    uint32_t w[4];
    cuda_draw(live.seed, live.stream, live.step, number / 4, w);
    const int k = (int)(number % 4);
    return (k < 2 ? k ? w[1] : w[0] : k == 2 ? w[2] : w[3]) >= (uint64_t)(o.p * 0x1p32 + 0.5);
}

/* Whether it keeps the weight of key j for query i, and what it multiplies that with. */
__device__ static inline bool kept(const attend &a, const head &at, int64_t i, int64_t j)
{
    const int64_t row = (at.b * a.o.heads + at.h) * a.o.queries + i;
    return passes(&a, (uint64_t)(row * a.o.keys + j));
}
__device__ static inline double keep_of(const weft_attention_terms &o)
{
    return o.p < 1 ? 1 / (1 - o.p) : 0;
}

/* Memory of a block. */
template <class C> union attend_room {
    struct {
        C x[QUERIES<C>][DEPTH + 1], z[KEYS][DEPTH + 1];
    } in;
    C rows[QUERIES<C>][WIDTH]; /* of v, k, q or gy */
};

/* rows[r][c] of the room = x[r][d + c], zero outside of n rows and `columns` columns. All threads. */
template <class C, class T>
__device__ static inline void fetch(attend_room<C> &room, const T *x, int64_t step, int64_t n,
                                    int most, int64_t d, int64_t columns)
{
    for (int e = threadIdx.x; e < most * WIDTH; e += CUDA_THREADS) {
        const int r = e / WIDTH, c = e % WIDTH;
        room.rows[r][c] = r < n && d + c < columns ? cuda_wide(x[r * step + d + c]) : (C)0;
    }
}

/* s = x z^T, x m rows and z n rows of k numbers. All threads. */
template <class C, class T>
__device__ static inline void scores(attend_room<C> &room, C (&s)[ROWS<C>][COLUMNS], const T *x,
                                     int64_t xs, int64_t m, const T *z, int64_t zs, int64_t n,
                                     int64_t k)
{
    const int tx = threadIdx.x % SIDE, ty = threadIdx.x / SIDE;
#pragma unroll
    for (int r = 0; r < ROWS<C>; r++)
#pragma unroll
        for (int c = 0; c < COLUMNS; c++)
            s[r][c] = 0;
    for (int64_t d = 0; d < k; d += DEPTH) {
        __syncthreads();
        for (int e = threadIdx.x; e < QUERIES<C> * DEPTH; e += CUDA_THREADS) {
            const int r = e / DEPTH, c = e % DEPTH;
            room.in.x[r][c] = r < m && d + c < k ? cuda_wide(x[r * xs + d + c]) : (C)0;
        }
        for (int e = threadIdx.x; e < KEYS * DEPTH; e += CUDA_THREADS) {
            const int r = e / DEPTH, c = e % DEPTH;
            room.in.z[r][c] = r < n && d + c < k ? cuda_wide(z[r * zs + d + c]) : (C)0;
        }
        __syncthreads();
#pragma unroll 8
        for (int c = 0; c < DEPTH; c++)
#pragma unroll
            for (int i = 0; i < ROWS<C>; i++)
#pragma unroll
                for (int j = 0; j < COLUMNS; j++)
                    s[i][j] = multiply_add(room.in.x[ty + SIDE * i][c], room.in.z[tx + SIDE * j][c],
                                           s[i][j]);
    }
}
#endif
