/* The gradient of attention by tiles, as in attention.cu, from lse alone. With P = exp(s - lse), Z what
 * dropout multiplies it with, and delta = the sum of gy y in a row:
 *   gv = (P Z)^T gy,  G = P (Z gy v^T - delta) scale,  gq = G k,  gk = G^T q
 * A block has a tile of queries for gq, one of keys for gk and gv, over the heads that share it: so that
 * sums have one order. */
#include "device/cuda/attention.cuh"

/* Rows of (batch, heads, queries), a warp each. */
template <class T> __global__ static void deltas(attend a)
{
    const weft_attention_terms &o = a.o;
    const int64_t r = cuda_row<CUDA_WARP>();
    if (r >= o.batch * o.heads * o.queries)
        return;
    const head at = head_of(o, r / o.queries);
    const int64_t from = place_of(o.y, at.b, at.h, r % o.queries);
    const T *y = (const T *)a.y + from, *gy = (const T *)a.gy + from;
    double sum = 0;
    for (int64_t j = cuda_lane<CUDA_WARP>(); j < o.vsize; j += CUDA_WARP)
        sum += (double)cuda_wide(y[j]) * (double)cuda_wide(gy[j]);
    sum = cuda_join<CUDA_WARP>(sum, cuda_plus());
    if (cuda_lane<CUDA_WARP>() == 0)
        ((cuda_c<T> *)a.delta)[r] = (cuda_c<T>)sum;
}

/* p = P Z (0: it is not wanted) and g = G of the tile of queries i0.. (m) and keys j0.. (n). All
 * threads. */
template <class T>
__device__ static inline void turn(const attend &a, const head &at, attend_room<cuda_c<T>> &room,
                                   cuda_c<T> (*p)[KEYS + 1], cuda_c<T> (*g)[KEYS + 1], int64_t i0,
                                   int64_t m, int64_t j0, int64_t n)
{
    typedef cuda_c<T> C;
    const weft_attention_terms &o = a.o;
    const int tx = threadIdx.x % SIDE, ty = threadIdx.x / SIDE;
    C s[ROWS<C>][COLUMNS], dp[ROWS<C>][COLUMNS];
    scores(room, s, (const T *)a.q + place_of(o.q, at.b, at.h, i0), o.q[2], m,
           (const T *)a.k + place_of(o.k, at.b, at.group, j0), o.k[2], n, o.size);
    scores(room, dp, (const T *)a.gy + place_of(o.y, at.b, at.h, i0), o.y[2], m,
           (const T *)a.v + place_of(o.v, at.b, at.group, j0), o.v[2], n, o.vsize);
#pragma unroll
    for (int r = 0; r < ROWS<C>; r++) {
        const int64_t i = i0 + ty + SIDE * r, line = (at.b * o.heads + at.h) * o.queries + i;
        const bool inside = i < i0 + m;
        const int64_t end = seen_below(o, i + 1) - j0;
        const int seen = inside ? (int)(end < n ? end : n) : 0; /* of the tile's keys */
        const C lse = inside ? ((const C *)a.lse)[line] : 0;
        const C delta = inside ? ((const C *)a.delta)[line] : 0;
#pragma unroll
        for (int c = 0; c < COLUMNS; c++) {
            const int j = tx + SIDE * c;
            const C w = j < seen ? cuda_exp(s[r][c] * (C)o.scale - lse) : 0;
            const C z = j >= seen || o.p == 0 ? 1 : kept(a, at, i, j0 + j) ? (C)keep_of(o) : 0;
            if (p)
                p[ty + SIDE * r][j] = w * z;
            g[ty + SIDE * r][j] = j < seen ? w * (z * dp[r][c] - delta) * (C)o.scale : (C)0;
        }
    }
}

template <class T> __global__ __launch_bounds__(CUDA_THREADS, 2) static void
queries_back(const __grid_constant__ attend a)
{
    typedef cuda_c<T> C;
    __shared__ attend_room<C> room;
    __shared__ C g[QUERIES<C>][KEYS + 1];
    const weft_attention_terms &o = a.o;
    const int tx = threadIdx.x % SIDE, ty = threadIdx.x / SIDE;
    const int64_t tiles = tiles_of(o.queries, QUERIES<C>), i0 = blockIdx.x % tiles * QUERIES<C>;
    const head at = head_of(o, blockIdx.x / tiles);
    const int64_t rows = o.queries - i0 < QUERIES<C> ? o.queries - i0 : QUERIES<C>;
    const int64_t end = seen_below(o, i0 + rows);
    const T *k = (const T *)a.k + place_of(o.k, at.b, at.group, 0);
    T *gq = (T *)a.gq + place_of(o.gq, at.b, at.h, i0);
    for (int64_t d = 0; d < o.size; d += WIDTH) {
        C sum[ROWS<C>][SPREAD] = {};
        for (int64_t j = 0; j < end; j += KEYS) {
            const int64_t n = end - j < KEYS ? end - j : KEYS;
            turn<T>(a, at, room, NULL, g, i0, rows, j, n);
            __syncthreads();
            fetch(room, k + j * o.k[2], o.k[2], n, KEYS, d, o.size);
            __syncthreads();
#pragma unroll 4
            for (int e = 0; e < KEYS; e++)
#pragma unroll
                for (int r = 0; r < ROWS<C>; r++)
#pragma unroll
                    for (int c = 0; c < SPREAD; c++)
                        sum[r][c] = multiply_add(g[ty + SIDE * r][e], room.rows[e][tx + SIDE * c],
                                                 sum[r][c]);
        }
#pragma unroll
        for (int r = 0; r < ROWS<C>; r++)
#pragma unroll
            for (int c = 0; c < SPREAD; c++)
                if (ty + SIDE * r < rows && d + tx + SIDE * c < o.size)
                    gq[(ty + SIDE * r) * o.gq[2] + d + tx + SIDE * c] = cuda_narrow<T>(sum[r][c]);
    }
}

/* sum += w^T x for the tile's keys ty + 16 r and columns tx + 16 c; x the rows in the room. */
template <class C>
__device__ static inline void gather(C (&sum)[COLUMNS][SPREAD], C (*w)[KEYS + 1],
                                     const attend_room<C> &room)
{
    const int tx = threadIdx.x % SIDE, ty = threadIdx.x / SIDE;
#pragma unroll 2
    for (int i = 0; i < QUERIES<C>; i++)
#pragma unroll
        for (int r = 0; r < COLUMNS; r++)
#pragma unroll
            for (int c = 0; c < SPREAD; c++)
                sum[r][c] =
                    multiply_add(w[i][ty + SIDE * r], room.rows[i][tx + SIDE * c], sum[r][c]);
}

/* Columns from d on of rows j0.. of y. */
template <class T>
__device__ static inline void write(T *y, int64_t step, const cuda_c<T> (&sum)[COLUMNS][SPREAD],
                                    int64_t n, int64_t d, int64_t columns)
{
    const int tx = threadIdx.x % SIDE, ty = threadIdx.x / SIDE;
#pragma unroll
    for (int r = 0; r < COLUMNS; r++)
#pragma unroll
        for (int c = 0; c < SPREAD; c++)
            if (ty + SIDE * r < n && d + tx + SIDE * c < columns)
                y[(ty + SIDE * r) * step + d + tx + SIDE * c] = cuda_narrow<T>(sum[r][c]);
}

template <class T> __global__ __launch_bounds__(CUDA_THREADS, 2) static void
keys_back(const __grid_constant__ attend a)
{
    typedef cuda_c<T> C;
    __shared__ attend_room<C> room;
    __shared__ C p[QUERIES<C>][KEYS + 1], g[QUERIES<C>][KEYS + 1];
    const weft_attention_terms &o = a.o;
    const int64_t tiles = tiles_of(o.keys, KEYS), j0 = blockIdx.x % tiles * KEYS;
    const int64_t n = o.keys - j0 < KEYS ? o.keys - j0 : KEYS, many = o.heads / o.kv_heads;
    const int64_t group = blockIdx.x / tiles % o.kv_heads, b = blockIdx.x / tiles / o.kv_heads;
    const int64_t most = o.size > o.vsize ? o.size : o.vsize;
    /* The first tile of queries that sees one of these keys. */
    const int64_t first = o.causal && j0 > o.offset ? (j0 - o.offset) / QUERIES<C> * QUERIES<C> : 0;
    for (int64_t d = 0; d < most; d += WIDTH) {
        C gk[COLUMNS][SPREAD] = {}, gv[COLUMNS][SPREAD] = {};
        for (int64_t h = group * many; h < (group + 1) * many; h++)
            for (int64_t i = first; i < o.queries; i += QUERIES<C>) {
                const head at = {b, h, group};
                const int64_t m = o.queries - i < QUERIES<C> ? o.queries - i : QUERIES<C>;
                turn<T>(a, at, room, p, g, i, m, j0, n);
                __syncthreads();
                fetch(room, (const T *)a.gy + place_of(o.y, b, h, i), o.y[2], m, QUERIES<C>, d,
                      o.vsize);
                __syncthreads();
                gather(gv, p, room);
                __syncthreads();
                fetch(room, (const T *)a.q + place_of(o.q, b, h, i), o.q[2], m, QUERIES<C>, d,
                      o.size);
                __syncthreads();
                gather(gk, g, room);
            }
        write<T>((T *)a.gk + place_of(o.gk, b, group, j0), o.gk[2], gk, n, d, o.size);
        write<T>((T *)a.gv + place_of(o.gv, b, group, j0), o.gv[2], gv, n, d, o.vsize);
    }
}

template <class T> static void run(weft_stream *s, const attend &a, weft_dtype dt)
{
    const weft_attention_terms &o = a.o;
    const int64_t heads = o.batch * o.heads, queries = o.queries;
    CUDA_RUN(deltas<T>, cuda_row_blocks(heads * queries, CUDA_WARP), a);
    if (weft__cuda_attention_fits(&a, dt)) {
        weft__cuda_attention_mma_back(s, &a, dt);
        return;
    }
    const bool f32 = dt == WEFT_F32;
    if (a.gq && !(f32 && weft__cuda_attention_f32_queries(s, &a)))
        CUDA_RUN(queries_back<T>, attend_blocks<T>(heads, queries), a);
    if (a.gk && !(f32 && weft__cuda_attention_f32_keys(s, &a)))
        CUDA_RUN(keys_back<T>, (unsigned)(o.batch * o.kv_heads * tiles_of(o.keys, KEYS)), a);
}

weft_status weft__cuda_attention_back(weft_stream *s, weft_dev gq, weft_dev gk, weft_dev gv,
                                      weft_dev delta, weft_dev gy, weft_dev q, weft_dev k,
                                      weft_dev v, weft_dev y, weft_dev lse,
                                      const weft_attention_terms *o, weft_dtype dt)
{
    if (weft__cuda_fused_back(s, o, dt, gq, gk, gv, delta, gy, q, k, v, y, lse))
        return WEFT_OK;
    attend a = {};
    a.o = *o;
    a.live = (const weft_attention_terms *)cuda_ptr(s->live);
    a.gq = cuda_ptr(gq);
    a.gk = cuda_ptr(gk);
    a.gv = cuda_ptr(gv);
    a.delta = cuda_ptr(delta);
    a.gy = cuda_ptr(gy);
    a.q = cuda_ptr(q);
    a.k = cuda_ptr(k);
    a.v = cuda_ptr(v);
    a.y = cuda_ptr(y);
    a.lse = cuda_ptr(lse);
    CUDA_FLOATS(dt, "attention_back", run<T>(s, a, dt))
    return weft__cuda_launched(s, "attention_back");
}
