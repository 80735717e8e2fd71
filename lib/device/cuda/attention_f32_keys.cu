/* The gradient of keys and values of f32: a block has a tile of them, which are the rows of its scores, and
 * goes over the queries of all heads that share it, in one order. */
#include "device/cuda/attention_f32_back.cuh"

/* A block's tile of keys, and the tiles of queries that see any, head after head. */
struct asked {
    int64_t b, group, j0, n, from, tiles;
};
template <int M, int N> __device__ static inline asked asked_of(const weft_attention_terms &o)
{
    const int64_t groups = o.batch * o.kv_heads, at = blockIdx.x % groups;
    const int64_t j0 = blockIdx.x / groups * M; /* those that most queries see first */
    const int64_t from = o.causal && j0 > o.offset ? (j0 - o.offset) / N * N : 0;
    return asked{at / o.kv_heads,
                 at % o.kv_heads,
                 j0,
                 o.keys - j0 < M ? o.keys - j0 : M,
                 from,
                 from < o.queries ? tiles_of(o.queries - from, N) : 0};
}

/* Number e of these tiles of queries. */
struct passing {
    head at;
    int64_t i;
};
template <int N>
__device__ static inline passing passing_of(const weft_attention_terms &o, const asked &t,
                                            int64_t e)
{
    const int64_t h = t.group * (o.heads / o.kv_heads) + e / t.tiles;
    return passing{head{t.b, h, t.group}, t.from + e % t.tiles * N};
}

template <int D>
__device__ static inline void fetch_gy(room<D> &in, const attend &a, const passing &by)
{
    fetch(in.gz, (const float *)a.gy + place_of(a.o.y, by.at.b, by.at.h, by.i), a.o.y[2],
          a.o.queries - by.i);
}

template <int D> __global__ __launch_bounds__(F32_THREADS, 2) static void
keys_back(const __grid_constant__ attend a)
{
    constexpr int R = ROWS_BACK, C = SPAN<D> / 8, N = SPAN<D>;
    extern __shared__ float4 memory[];
    room<D> &in = *(room<D> *)memory;
    const weft_attention_terms &o = a.o;
    const asked t = asked_of<F32_ROWS(R), N>(o);
    const int64_t passes = t.tiles * (o.heads / o.kv_heads);
    const int first = warp_row(R), which = threadIdx.x / N, column = threadIdx.x % N;
    float gk[R][D / 8] = {}, gv[R][D / 8] = {};
    if (passes > 0) {
        fetch(in.x, (const float *)a.k + place_of(o.k, t.b, t.group, t.j0), o.k[2], t.n);
        fetch(in.gx, (const float *)a.v + place_of(o.v, t.b, t.group, t.j0), o.v[2], t.n);
        fetch_gy(in, a, passing_of<N>(o, t, 0));
    }
    for (int64_t e = 0; e < passes; e++) {
        const passing by = passing_of<N>(o, t, e);
        const int64_t line = (by.at.b * o.heads + by.at.h) * o.queries + by.i;
        const bool any = !o.causal || t.j0 + first < by.i + N + o.offset;
        float s[R][C], dp[R][C], of = 0;
        meet();
        fetch(in.z, (const float *)a.q + place_of(o.q, t.b, by.at.h, by.i), o.q[2],
              o.queries - by.i);
        if (which < 2 && by.i + column < o.queries)
            of = which ? ((const float *)a.delta)[line + column]
                       : ((const float *)a.lse)[line + column] * LOG2_OF_E;
        if (any && o.p > 0)
            draw<R, true>(in.p + first, a, by.at, by.i, t.j0 + first);
        if (any)
            scores(dp, in.gx + first, in.gz);
        if (which < 2)
            in.of[which][column] = of;
        meet();
        if (any) {
            scores(s, in.x + first, in.z);
            if (o.p > 0)
                drop(dp, in.p + first);
            turn_keys(o, s, dp, in.of, by.i, t.j0 + first);
            if (o.p > 0)
                drop(s, in.p + first);
            keep(in.p + first, s);
            weigh(gv, in.p + first, in.gz);
        }
        meet();
        if (e + 1 < passes)
            fetch_gy(in, a, passing_of<N>(o, t, e + 1));
        if (any) {
            keep(in.p + first, dp);
            weigh(gk, in.p + first, in.z);
        }
    }
    write((float *)a.gk + place_of(o.gk, t.b, t.group, t.j0), o.gk[2], gk, t.n);
    write((float *)a.gv + place_of(o.gv, t.b, t.group, t.j0), o.gv[2], gv, t.n);
}

template <int D> static bool run(weft_stream *s, const attend *a)
{
    const weft_attention_terms &o = a->o;
    return f32_run<room<D>>(s, keys_back<D>,
                            o.batch * o.kv_heads * tiles_of(o.keys, F32_ROWS(ROWS_BACK)), a);
}

bool weft__cuda_attention_f32_keys(weft_stream *s, const attend *a)
{
    return attend_in_f32(a) && (a->o.size == 64 ? run<64>(s, a) : run<128>(s, a));
}
