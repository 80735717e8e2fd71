/* Attention of f32 with tiles in registers: attention_f32.cuh says how. The values of a tile's keys are
 * fetched while scores are made, the next keys while values are weighed. */
#include "device/cuda/attention_f32.cuh"

template <int D, int R> struct room {
    float q[F32_ROWS(R)][D + PAD], k[SPAN<D>][D + PAD], v[SPAN<D>][D + PAD];
    float p[F32_ROWS(R)][SPAN<D> + PAD];
};

/* The running maximum, in units of log 2, the lane's part of the sum, and the result. */
template <int R, int W> struct running {
    float m[R], l[R], y[R][W];
};

/* Scores of keys from j on become weights in units of the largest so far; what there was is rescaled.
 * i: the warp's first query. scale: with log2 e. */
template <int R, int W, int C>
__device__ static inline void soften(const weft_attention_terms &o, running<R, W> &run,
                                     float (&s)[R][C], int64_t i, int64_t j, float scale)
{
    const int a = lane_a(), b = lane_b();
#pragma unroll
    for (int r = 0; r < R; r++) {
        const int64_t end = seen_below(o, i + a + 4 * r + 1) - j;
        const int seen = (int)(end < 8 * C ? end : 8 * C);
        float top = run.m[r], sum = 0;
#pragma unroll
        for (int c = 0; c < C; c++) {
            s[r][c] = b + 8 * c < seen ? s[r][c] * scale : -INFINITY;
            top = fmaxf(top, s[r][c]);
        }
        top = across(top, cuda_more());
        const float base = top == -INFINITY ? 0 : top, before = power(run.m[r] - base);
#pragma unroll
        for (int c = 0; c < C; c++) {
            s[r][c] = power(s[r][c] - base);
            sum += s[r][c];
        }
        run.l[r] = multiply_add(run.l[r], before, sum);
        run.m[r] = top;
#pragma unroll
        for (int c = 0; c < W; c++)
            run.y[r][c] *= before;
    }
}

/* The result, and lse: in units of 1, of the whole sum. */
template <int R, int W>
__device__ static inline void finish(const attend &a, const asking &t, running<R, W> &run)
{
    const weft_attention_terms &o = a.o;
    float *lse = (float *)a.lse + (t.at.b * o.heads + t.at.h) * o.queries + t.i0;
#pragma unroll
    for (int r = 0; r < R; r++) {
        const int row = warp_row(R) + lane_a() + 4 * r;
        const float l = across(run.l[r], cuda_plus()), by = 1 / l;
#pragma unroll
        for (int c = 0; c < W; c++)
            run.y[r][c] = l == 0 ? 0 : run.y[r][c] * by;
        if (lane_b() == 0 && row < t.rows)
            lse[row] = l == 0 ? -INFINITY : run.m[r] * LOG_OF_2 + logf(l);
    }
    write((float *)a.y + place_of(o.y, t.at.b, t.at.h, t.i0), o.y[2], run.y, t.rows);
}

template <int D, int R> __global__ __launch_bounds__(F32_THREADS, 2) static void
attention(const __grid_constant__ attend a)
{
    extern __shared__ float4 memory[];
    room<D, R> &in = *(room<D, R> *)memory;
    const weft_attention_terms &o = a.o;
    const asking t = asking_of<F32_ROWS(R)>(o);
    const int first = warp_row(R);
    const int64_t mine = seen_below(o, t.i0 + first + 4 * R); /* the warp's rows see keys below */
    const float *k = (const float *)a.k + place_of(o.k, t.at.b, t.at.group, 0);
    const float *v = (const float *)a.v + place_of(o.v, t.at.b, t.at.group, 0);
    running<R, D / 8> run = {};
#pragma unroll
    for (int r = 0; r < R; r++)
        run.m[r] = -INFINITY;
    if (t.end > 0) {
        fetch(in.q, (const float *)a.q + place_of(o.q, t.at.b, t.at.h, t.i0), o.q[2], t.rows);
        fetch(in.k, k, o.k[2], t.end);
    }
    for (int64_t j = 0; j < t.end; j += SPAN<D>) {
        meet();
        fetch(in.v, v + j * o.v[2], o.v[2], t.end - j);
        if (j < mine) {
            float s[R][SPAN<D> / 8];
            if (o.p > 0)
                draw<R, false>(in.p + first, a, t.at, t.i0 + first, j);
            scores(s, in.q + first, in.k);
            soften(o, run, s, t.i0 + first, j, (float)o.scale * LOG2_OF_E);
            if (o.p > 0)
                drop(s, in.p + first);
            keep(in.p + first, s);
        }
        meet();
        if (j + SPAN<D> < t.end)
            fetch(in.k, k + (j + SPAN<D>) * o.k[2], o.k[2], t.end - j - SPAN<D>);
        if (j < mine)
            weigh(run.y, in.p + first, in.v);
    }
    finish(a, t, run);
}

template <int D, int R> static bool run(weft_stream *s, const attend *a)
{
    const weft_attention_terms &o = a->o;
    return f32_run<room<D, R>>(s, attention<D, R>,
                               o.batch * o.heads * tiles_of(o.queries, F32_ROWS(R)), a);
}

bool weft__cuda_attention_f32(weft_stream *s, const attend *a)
{
    return attend_in_f32(a) && (a->o.size == 64 ? run<64, 8>(s, a) : run<128, 4>(s, a));
}
