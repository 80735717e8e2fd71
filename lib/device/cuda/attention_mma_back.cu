/* The gradient of attention of 16-bit numbers by tensor cores, for heads of 64 numbers: the formulas of
 * attention_back.cu. A block has a tile of queries, whose scores have queries as rows, or one of keys,
 * whose scores have keys as rows: so what multiplies the other tiles is there as it is needed. P and G
 * are rounded to 16 bits. */
#include "device/cuda/attention.cuh"
#include "device/cuda/mma.cuh"

#define LOG2_OF_E 1.44269504088896340736F

/* Of a score: its weight, and G from what reaches it. */
struct slopes {
    float scale, scale2; /* the latter with log2 e */
};
__device__ static inline void turn(const slopes &o, float &s, float &dp, bool seen, float lse,
                                   float delta)
{
    const float p = seen ? exp2f(__fmaf_rn(s, o.scale2, -lse * LOG2_OF_E)) : 0;
    s = p;
    dp = seen ? p * (dp - delta) * o.scale : 0;
}

template <class T> __global__ __launch_bounds__(MMA_THREADS) static void queries_back(attend a)
{
    __shared__ mma_tile k[2], v[2];
    const weft_attention_terms &o = a.o;
    const int64_t heads = o.batch * o.heads, tiles = tiles_of(o.queries, MMA_TILE);
    const int64_t i0 = (tiles - 1 - blockIdx.x / heads) * MMA_TILE; /* the long ones first */
    const head at = head_of(o, blockIdx.x % heads);
    const int64_t rows = o.queries - i0 < MMA_TILE ? o.queries - i0 : MMA_TILE;
    const int64_t end = seen_below(o, i0 + rows);
    const T *ks = (const T *)a.k + place_of(o.k, at.b, at.group, 0);
    const T *vs = (const T *)a.v + place_of(o.v, at.b, at.group, 0);
    const slopes scale = {(float)o.scale, (float)o.scale * LOG2_OF_E};
    const int lane = threadIdx.x % 32, row = threadIdx.x / 32 * 16 + lane / 4;
    float lse[2], delta[2];
    int64_t seen[2];
    mma_rows q, g;
    mma_sums sum = {};
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int64_t i = i0 + row + 8 * half, line = (at.b * o.heads + at.h) * o.queries + i;
        const bool inside = row + 8 * half < rows;
        lse[half] = inside ? ((const float *)a.lse)[line] : 0;
        delta[half] = inside ? ((const float *)a.delta)[line] : 0;
        seen[half] = inside ? seen_below(o, i + 1) : 0;
    }
    mma_fetch(k[1], (const T *)a.q + place_of(o.q, at.b, at.h, i0), o.q[2], rows);
    mma_fetch(v[1], (const T *)a.gy + place_of(o.y, at.b, at.h, i0), o.y[2], rows);
    mma_fetch(k[0], ks, o.k[2], end);
    mma_fetch(v[0], vs, o.v[2], end);
    mma_commit();
    mma_wait<0>();
    __syncthreads();
    mma_take(q, k[1]);
    mma_take(g, v[1]);
    __syncthreads();
    for (int64_t j = 0; j < end; j += MMA_TILE) {
        const int now = j / MMA_TILE % 2, next = !now;
        const int64_t from = j + MMA_TILE;
        if (from < end) {
            mma_fetch(k[next], ks + from * o.k[2], o.k[2], end - from);
            mma_fetch(v[next], vs + from * o.v[2], o.v[2], end - from);
        }
        mma_commit();
        mma_sums s = {}, dp = {};
        mma_turned<T>(s, q, k[now]);
        mma_turned<T>(dp, g, v[now]);
#pragma unroll
        for (int c = 0; c < 2 * MMA_STEPS; c++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                turn(scale, s[c][e], dp[c][e], j + 8 * c + lane % 4 * 2 + e % 2 < seen[e / 2],
                     lse[e / 2], delta[e / 2]);
        mma_straight<T>(sum, dp, k[now]);
        mma_wait<0>();
        __syncthreads();
    }
    mma_write((T *)a.gq + place_of(o.gq, at.b, at.h, i0), o.gq[2], sum, rows, 1, 1);
}

/* A tile of queries with what belongs to them. */
struct asking {
    mma_tile q, g;
    float lse[MMA_TILE], delta[MMA_TILE];
};

template <class T>
__device__ static inline void fetch(asking &t, const attend &a, int64_t b, int64_t h, int64_t i)
{
    const weft_attention_terms &o = a.o;
    const int64_t n = o.queries - i, line = (b * o.heads + h) * o.queries + i;
    mma_fetch(t.q, (const T *)a.q + place_of(o.q, b, h, i), o.q[2], n);
    mma_fetch(t.g, (const T *)a.gy + place_of(o.y, b, h, i), o.y[2], n);
    for (int r = threadIdx.x; r < MMA_TILE; r += MMA_THREADS) {
        t.lse[r] = r < n ? ((const float *)a.lse)[line + r] : 0;
        t.delta[r] = r < n ? ((const float *)a.delta)[line + r] : 0;
    }
}

template <class T> __global__ __launch_bounds__(MMA_THREADS) static void keys_back(attend a)
{
    __shared__ asking ask[2];
    const weft_attention_terms &o = a.o;
    const int64_t groups = o.batch * o.kv_heads, many = o.heads / o.kv_heads;
    const int64_t j0 = blockIdx.x / groups * MMA_TILE; /* those that most queries see first */
    const int64_t group = blockIdx.x % groups % o.kv_heads, b = blockIdx.x % groups / o.kv_heads;
    const int64_t n = o.keys - j0 < MMA_TILE ? o.keys - j0 : MMA_TILE;
    const int64_t first = o.causal && j0 > o.offset ? (j0 - o.offset) / MMA_TILE * MMA_TILE : 0;
    const int64_t tiles = first < o.queries ? tiles_of(o.queries - first, MMA_TILE) : 0;
    const slopes scale = {(float)o.scale, (float)o.scale * LOG2_OF_E};
    const int lane = threadIdx.x % 32, row = threadIdx.x / 32 * 16 + lane / 4;
    mma_rows k, v;
    mma_sums gk = {}, gv = {};
    mma_fetch(ask[1].q, (const T *)a.k + place_of(o.k, b, group, j0), o.k[2], n);
    mma_fetch(ask[1].g, (const T *)a.v + place_of(o.v, b, group, j0), o.v[2], n);
    if (tiles)
        fetch<T>(ask[0], a, b, group * many, first);
    mma_commit();
    mma_wait<0>();
    __syncthreads();
    mma_take(k, ask[1].q);
    mma_take(v, ask[1].g);
    __syncthreads();
    for (int64_t e = 0; e < tiles * many; e++) {
        const asking &now = ask[e % 2];
        const int64_t i0 = first + e % tiles * MMA_TILE;
        if (e + 1 < tiles * many)
            fetch<T>(ask[(e + 1) % 2], a, b, group * many + (e + 1) / tiles,
                     first + (e + 1) % tiles * MMA_TILE);
        mma_commit();
        mma_sums s = {}, dp = {};
        mma_turned<T>(s, k, now.q);
        mma_turned<T>(dp, v, now.g);
#pragma unroll
        for (int c = 0; c < 2 * MMA_STEPS; c++)
#pragma unroll
            for (int x = 0; x < 4; x++) {
                const int i = 8 * c + lane % 4 * 2 + x % 2;
                const bool seen =
                    i0 + i < o.queries && (!o.causal || j0 + row + x / 2 * 8 <= i0 + i + o.offset);
                turn(scale, s[c][x], dp[c][x], seen, now.lse[i], now.delta[i]);
            }
        mma_straight<T>(gv, s, now.g);
        mma_straight<T>(gk, dp, now.q);
        mma_wait<0>();
        __syncthreads();
    }
    mma_write((T *)a.gk + place_of(o.gk, b, group, j0), o.gk[2], gk, n, 1, 1);
    mma_write((T *)a.gv + place_of(o.gv, b, group, j0), o.gv[2], gv, n, 1, 1);
}

template <class T> static void run(weft_stream *s, const attend *a)
{
    const weft_attention_terms &o = a->o;
    const int64_t queries = o.batch * o.heads * tiles_of(o.queries, MMA_TILE);
    const int64_t keys = o.batch * o.kv_heads * tiles_of(o.keys, MMA_TILE);
    if (a->gq && queries)
        queries_back<T><<<(unsigned)queries, MMA_THREADS, 0, cuda_on(s)>>>(*a);
    if (a->gk && keys)
        keys_back<T><<<(unsigned)keys, MMA_THREADS, 0, cuda_on(s)>>>(*a);
}

void weft__cuda_attention_mma_back(weft_stream *s, const attend *a, weft_dtype dt)
{
    if (dt == WEFT_BF16)
        run<cuda_bf16>(s, a);
    else
        run<cuda_f16>(s, a);
}
