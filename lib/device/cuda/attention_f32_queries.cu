/* The gradient of queries of f32: a block has a tile of them, which are the rows of its scores, and goes
 * over the keys. */
#include "device/cuda/attention_f32_back.cuh"

template <int D> __global__ __launch_bounds__(F32_THREADS, 2) static void
queries_back(const __grid_constant__ attend a)
{
    constexpr int R = ROWS_BACK, C = SPAN<D> / 8;
    extern __shared__ float4 memory[];
    room<D> &in = *(room<D> *)memory;
    const weft_attention_terms &o = a.o;
    const asking t = asking_of<F32_ROWS(R)>(o);
    const int first = warp_row(R), row = first + lane_a();
    const int64_t mine = seen_below(o, t.i0 + first + 4 * R); /* the warp's rows see keys below */
    const int64_t line = (t.at.b * o.heads + t.at.h) * o.queries + t.i0 + row;
    const float *k = (const float *)a.k + place_of(o.k, t.at.b, t.at.group, 0);
    const float *v = (const float *)a.v + place_of(o.v, t.at.b, t.at.group, 0);
    float lse[R], delta[R], gq[R][D / 8] = {};
#pragma unroll
    for (int r = 0; r < R; r++) {
        const bool inside = row + 4 * r < t.rows;
        lse[r] = inside ? ((const float *)a.lse)[line + 4 * r] * LOG2_OF_E : 0;
        delta[r] = inside ? ((const float *)a.delta)[line + 4 * r] : 0;
    }
    if (t.end > 0) {
        fetch(in.x, (const float *)a.q + place_of(o.q, t.at.b, t.at.h, t.i0), o.q[2], t.rows);
        fetch(in.gx, (const float *)a.gy + place_of(o.y, t.at.b, t.at.h, t.i0), o.y[2], t.rows);
        fetch(in.gz, v, o.v[2], t.end);
    }
    for (int64_t j = 0; j < t.end; j += SPAN<D>) {
        float s[R][C], dp[R][C];
        meet();
        fetch(in.z, k + j * o.k[2], o.k[2], t.end - j);
        if (j < mine) {
            if (o.p > 0)
                draw<R, false>(in.p + first, a, t.at, t.i0 + first, j);
            scores(dp, in.gx + first, in.gz);
        }
        meet();
        if (j + SPAN<D> < t.end)
            fetch(in.gz, v + (j + SPAN<D>) * o.v[2], o.v[2], t.end - j - SPAN<D>);
        if (j >= mine)
            continue;
        scores(s, in.x + first, in.z);
        if (o.p > 0)
            drop(dp, in.p + first);
#pragma unroll
        for (int r = 0; r < R; r++) {
            const int64_t end = seen_below(o, t.i0 + row + 4 * r + 1) - j;
            const int seen = (int)(end < SPAN<D> ? end : SPAN<D>);
#pragma unroll
            for (int c = 0; c < C; c++)
                turn(s[r][c], dp[r][c], lane_b() + 8 * c < seen, (float)o.scale, lse[r], delta[r]);
        }
        keep(in.p + first, dp);
        weigh(gq, in.p + first, in.z);
    }
    write((float *)a.gq + place_of(o.gq, t.at.b, t.at.h, t.i0), o.gq[2], gq, t.rows);
}

template <int D> static bool run(weft_stream *s, const attend *a)
{
    const weft_attention_terms &o = a->o;
    return f32_run<room<D>>(s, queries_back<D>,
                            o.batch * o.heads * tiles_of(o.queries, F32_ROWS(ROWS_BACK)), a);
}

bool weft__cuda_attention_f32_queries(weft_stream *s, const attend *a)
{
    return attend_in_f32(a) && (a->o.size == 64 ? run<64>(s, a) : run<128>(s, a));
}
