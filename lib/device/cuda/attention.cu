/* Attention by tiles, as Dao, "FlashAttention-2: faster attention with better parallelism and work
 * partitioning" (2023): with the largest score m and the sum l = sum_j exp(s_j - m) of the keys so far,
 * a further tile with a larger m' makes
 *   l = exp(m - m') l + sum_j exp(s_j - m'),  y = exp(m - m') y + sum_j exp(s_j - m') v_j
 * and at the end y = y / l, lse = m + log l. A block has a tile of queries, and WIDTH columns of v at a
 * time. */
#include "device/cuda/attention.cuh"

/* Of all that the SIDE threads of a row have. */
template <class V, class F> __device__ static inline V across(V v, F f)
{
#pragma unroll
    for (int lane = SIDE / 2; lane; lane /= 2)
        v = f(v, cuda_from(v, lane));
    return v;
}

/* The running maximum, sum and result of a thread's rows. */
template <class C> struct running {
    C m[ROWS<C>], l[ROWS<C>], y[ROWS<C>][SPREAD];
};

/* Scores of a tile become weights, in p; what there was is rescaled. */
template <class C>
__device__ static inline void soften(const attend &a, const head &at, running<C> &run,
                                     C (&s)[ROWS<C>][COLUMNS], C (*p)[KEYS + 1], int64_t i0,
                                     int64_t j0)
{
    const weft_attention_terms &o = a.o;
    const int tx = threadIdx.x % SIDE, ty = threadIdx.x / SIDE;
#pragma unroll
    for (int r = 0; r < ROWS<C>; r++) {
        const int64_t i = i0 + ty + SIDE * r, end = seen_below(o, i + 1);
        C top = run.m[r], sum = 0;
#pragma unroll
        for (int c = 0; c < COLUMNS; c++) {
            s[r][c] *= (C)o.scale;
            top = j0 + tx + SIDE * c < end && s[r][c] > top ? s[r][c] : top;
        }
        top = across(top, cuda_more());
        const C before = run.l[r] > 0 ? cuda_exp(run.m[r] - top) : 0;
#pragma unroll
        for (int c = 0; c < COLUMNS; c++) {
            const int64_t j = j0 + tx + SIDE * c;
            C w = j < end ? cuda_exp(s[r][c] - top) : 0;
            sum += w;
            if (o.p > 0 && j < end && i < o.queries)
                w *= kept(a, at, i, j) ? (C)keep_of(o) : 0;
            p[ty + SIDE * r][tx + SIDE * c] = w;
        }
        run.l[r] = run.l[r] * before + across(sum, cuda_plus());
        run.m[r] = top;
#pragma unroll
        for (int c = 0; c < SPREAD; c++)
            run.y[r][c] *= before;
    }
}

/* y += p v */
template <class C>
__device__ static inline void weigh(running<C> &run, C (*p)[KEYS + 1], const attend_room<C> &room)
{
    const int tx = threadIdx.x % SIDE, ty = threadIdx.x / SIDE;
#pragma unroll 4
    for (int j = 0; j < KEYS; j++)
#pragma unroll
        for (int r = 0; r < ROWS<C>; r++)
#pragma unroll
            for (int c = 0; c < SPREAD; c++)
                run.y[r][c] =
                    multiply_add(p[ty + SIDE * r][j], room.rows[j][tx + SIDE * c], run.y[r][c]);
}

/* Columns from d on of the result, and lse. */
template <class T>
__device__ static inline void finish(const attend &a, const head &at, const running<cuda_c<T>> &run,
                                     int64_t i0, int64_t d)
{
    typedef cuda_c<T> C;
    const weft_attention_terms &o = a.o;
    const int tx = threadIdx.x % SIDE, ty = threadIdx.x / SIDE;
#pragma unroll
    for (int r = 0; r < ROWS<C>; r++) {
        const int64_t i = i0 + ty + SIDE * r;
        if (i >= o.queries)
            continue;
        T *y = (T *)a.y + place_of(o.y, at.b, at.h, i) + d;
        const C by = run.l[r] == 0 ? 0 : 1 / run.l[r];
#pragma unroll
        for (int c = 0; c < SPREAD; c++)
            if (d + tx + SIDE * c < o.vsize)
                y[tx + SIDE * c] = cuda_narrow<T>(run.l[r] == 0 ? 0 : run.y[r][c] * by);
        if (tx == 0 && d == 0)
            ((C *)a.lse)[(at.b * o.heads + at.h) * o.queries + i] =
                run.l[r] == 0 ? -(C)INFINITY : run.m[r] + cuda_log(run.l[r]);
    }
}

template <class T> __global__ __launch_bounds__(CUDA_THREADS, 2) static void
attention(const __grid_constant__ attend a)
{
    typedef cuda_c<T> C;
    __shared__ attend_room<C> room;
    __shared__ C p[QUERIES<C>][KEYS + 1];
    const weft_attention_terms &o = a.o;
    const int64_t tiles = tiles_of(o.queries, QUERIES<C>), i0 = blockIdx.x % tiles * QUERIES<C>;
    const head at = head_of(o, blockIdx.x / tiles);
    const int64_t rows = o.queries - i0 < QUERIES<C> ? o.queries - i0 : QUERIES<C>;
    const int64_t end = seen_below(o, i0 + rows);
    const T *q = (const T *)a.q + place_of(o.q, at.b, at.h, i0);
    const T *k = (const T *)a.k + place_of(o.k, at.b, at.group, 0);
    const T *v = (const T *)a.v + place_of(o.v, at.b, at.group, 0);
    for (int64_t d = 0; d < o.vsize || d == 0; d += WIDTH) {
        running<C> run;
#pragma unroll
        for (int r = 0; r < ROWS<C>; r++) {
            run.m[r] = -(C)INFINITY;
            run.l[r] = 0;
#pragma unroll
            for (int c = 0; c < SPREAD; c++)
                run.y[r][c] = 0;
        }
        for (int64_t j = 0; j < end; j += KEYS) {
            const int64_t n = end - j < KEYS ? end - j : KEYS;
            C s[ROWS<C>][COLUMNS];
            scores(room, s, q, o.q[2], rows, k + j * o.k[2], o.k[2], n, o.size);
            soften(a, at, run, s, p, i0, j);
            __syncthreads();
            fetch(room, v + j * o.v[2], o.v[2], n, KEYS, d, o.vsize);
            __syncthreads();
            weigh(run, p, room);
        }
        finish<T>(a, at, run, i0, d);
    }
}

weft_status weft__cuda_attention(weft_stream *s, weft_dev y, weft_dev lse, weft_dev q, weft_dev k,
                                 weft_dev v, const weft_attention_terms *o, weft_dtype dt)
{
    if (weft__cuda_fused(s, o, dt, y, lse, q, k, v))
        return WEFT_OK;
    attend a = {};
    a.o = *o;
    a.live = (const weft_attention_terms *)cuda_ptr(s->live);
    a.y = cuda_ptr(y);
    a.lse = cuda_ptr(lse);
    a.q = cuda_ptr(q);
    a.k = cuda_ptr(k);
    a.v = cuda_ptr(v);
    if (weft__cuda_attention_fits(&a, dt)) {
        weft__cuda_attention_mma(s, &a, dt);
        return weft__cuda_launched(s, "attention");
    }
    if (dt == WEFT_F32 && weft__cuda_attention_f32(s, &a))
        return weft__cuda_launched(s, "attention");
    CUDA_FLOATS(dt, "attention",
                CUDA_RUN(attention<T>, attend_blocks<T>(o->batch * o->heads, o->queries), a))
    return weft__cuda_launched(s, "attention");
}
