/* Attention of 16-bit numbers by tensor cores, for heads of 64 numbers: the tiles and formulas of
 * attention.cu, with weights rounded to 16 bits before they meet v. A warp has 16 queries; the next keys
 * are fetched while these are worked on. */
#include "device/cuda/attention.cuh"
#include "device/cuda/mma.cuh"

#define LOG2_OF_E 1.44269504088896340736F

/* Weights of the tile's keys from the scores in s, in units of the largest one so far, m; what there was
 * is rescaled. scale: with log2 e. */
__device__ static inline void soften(mma_sums &s, mma_sums &y, float (&m)[2], float (&l)[2],
                                     float scale)
{
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float top = m[half], sum = 0;
#pragma unroll
        for (int c = 0; c < 2 * MMA_STEPS; c++)
            top = fmaxf(top, fmaxf(s[c][2 * half], s[c][2 * half + 1]));
        top = fmaxf(top, cuda_from(top, 1));
        top = fmaxf(top, cuda_from(top, 2));
        const float base = top == -INFINITY ? 0 : top * scale;
        const float before = exp2f(__fmaf_rn(m[half], scale, -base));
#pragma unroll
        for (int c = 0; c < 2 * MMA_STEPS; c++)
#pragma unroll
            for (int k = 2 * half; k < 2 * half + 2; k++) {
                s[c][k] = exp2f(__fmaf_rn(s[c][k], scale, -base));
                sum += s[c][k];
                y[c][k] *= before;
            }
        l[half] = l[half] * before + sum;
        m[half] = top;
    }
}

/* Scores of keys that a query does not see become -inf. */
__device__ static inline void blind(mma_sums &s, const weft_attention_terms &o, int64_t i0,
                                    int64_t j0)
{
    const int lane = threadIdx.x % 32, row = threadIdx.x / 32 * 16 + lane / 4;
#pragma unroll
    for (int k = 0; k < 4; k++) {
        const int64_t end = seen_below(o, i0 + row + k / 2 * 8 + 1) - j0;
#pragma unroll
        for (int c = 0; c < 2 * MMA_STEPS; c++)
            s[c][k] = 8 * c + lane % 4 * 2 + k % 2 < end ? s[c][k] : -INFINITY;
    }
}

template <class T> __global__ __launch_bounds__(MMA_THREADS) static void attention(attend a)
{
    __shared__ mma_tile k[2], v[2];
    const weft_attention_terms &o = a.o;
    const int64_t heads = o.batch * o.heads, tiles = tiles_of(o.queries, MMA_TILE);
    const int64_t i0 = (tiles - 1 - blockIdx.x / heads) * MMA_TILE; /* the long ones first */
    const head at = head_of(o, blockIdx.x % heads);
    const int64_t rows = o.queries - i0 < MMA_TILE ? o.queries - i0 : MMA_TILE;
    const int64_t end = seen_below(o, i0 + rows), sure = seen_below(o, i0 + 1);
    const T *ks = (const T *)a.k + place_of(o.k, at.b, at.group, 0);
    const T *vs = (const T *)a.v + place_of(o.v, at.b, at.group, 0);
    const float scale = (float)o.scale * LOG2_OF_E;
    float m[2] = {-INFINITY, -INFINITY}, l[2] = {0, 0};
    mma_rows q;
    mma_sums y = {};
    mma_fetch(k[1], (const T *)a.q + place_of(o.q, at.b, at.h, i0), o.q[2], rows);
    mma_fetch(k[0], ks, o.k[2], end);
    mma_fetch(v[0], vs, o.v[2], end);
    mma_commit();
    mma_wait<0>();
    __syncthreads();
    mma_take(q, k[1]);
    __syncthreads();
    for (int64_t j = 0; j < end; j += MMA_TILE) {
        const int now = j / MMA_TILE % 2, next = !now;
        const int64_t from = j + MMA_TILE;
        if (from < end) {
            mma_fetch(k[next], ks + from * o.k[2], o.k[2], end - from);
            mma_fetch(v[next], vs + from * o.v[2], o.v[2], end - from);
        }
        mma_commit();
        mma_sums s = {};
        mma_turned<T>(s, q, k[now]);
        if (from > sure)
            blind(s, o, i0, j);
        soften(s, y, m, l, scale);
        mma_straight<T>(y, s, v[now]);
        mma_wait<0>();
        __syncthreads();
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
        l[half] += cuda_from(l[half], 1);
        l[half] += cuda_from(l[half], 2);
    }
    mma_write((T *)a.y + place_of(o.y, at.b, at.h, i0), o.y[2], y, rows, l[0] > 0 ? 1 / l[0] : 0,
              l[1] > 0 ? 1 / l[1] : 0);
    const int row = threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4;
    float *lse = (float *)a.lse + (at.b * o.heads + at.h) * o.queries + i0;
#pragma unroll
    for (int half = 0; half < 2; half++)
        if (threadIdx.x % 4 == 0 && row + 8 * half < rows)
            lse[row + 8 * half] =
                l[half] > 0 ? m[half] * (float)o.scale + logf(l[half]) : -INFINITY;
}

bool weft__cuda_attention_fits(const attend *a, weft_dtype dt)
{
    const weft_attention_terms &o = a->o;
    return (dt == WEFT_BF16 || dt == WEFT_F16) && o.size == MMA_TILE && o.vsize == MMA_TILE &&
           o.p == 0 && o.scale > 0 && attend_packs(a, 8);
}

void weft__cuda_attention_mma(weft_stream *s, const attend *a, weft_dtype dt)
{
    const weft_attention_terms &o = a->o;
    const int64_t blocks = o.batch * o.heads * tiles_of(o.queries, MMA_TILE);
    if (blocks == 0)
        return;
    if (dt == WEFT_BF16)
        attention<cuda_bf16><<<(unsigned)blocks, MMA_THREADS, 0, cuda_on(s)>>>(*a);
    else
        attention<cuda_f16><<<(unsigned)blocks, MMA_THREADS, 0, cuda_on(s)>>>(*a);
}
