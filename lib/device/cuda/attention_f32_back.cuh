/* What the gradient of attention of f32 by tiles in registers shares between a tile of queries and one of
 * keys. What one product needs is fetched while another is made. */
#ifndef DEVICE_CUDA_ATTENTION_F32_BACK_CUH
#define DEVICE_CUDA_ATTENTION_F32_BACK_CUH
#include "device/cuda/attention_f32.cuh"

#define ROWS_BACK 4 /* of a lane */

/* Rows that stay and rows that pass: queries and gy with keys and values, or the other way round. */
template <int D> struct room {
    float x[F32_ROWS(ROWS_BACK)][D + PAD], gx[F32_ROWS(ROWS_BACK)][D + PAD];
    float z[SPAN<D>][D + PAD], gz[SPAN<D>][D + PAD];
    float p[F32_ROWS(ROWS_BACK)][SPAN<D> + PAD];
    float of[2][SPAN<D>]; /* lse, in units of log 2, and delta of queries that pass */
};

/* A score s becomes its weight, and what reaches that, dp, becomes G. lse: in units of log 2. */
__device__ static inline void turn(float &s, float &dp, bool seen, float scale, float lse,
                                   float delta)
{
    s = seen ? power(multiply_add(s, scale * LOG2_OF_E, -lse)) : 0;
    dp = seen ? s * (dp - delta) * scale : 0;
}

/* Scores of keys from j on become weights, and what reaches them G: those of the warp's rows and of queries
 * from i on, whose lse and delta are given. */
template <int C, int N>
__device__ static inline void turn_keys(const weft_attention_terms &o, float (&s)[ROWS_BACK][C],
                                        float (&dp)[ROWS_BACK][C], const float (&of)[2][N],
                                        int64_t i, int64_t j)
{
    const int64_t left = o.queries - i, ahead = i + o.offset - j;
    const int gap = o.causal && ahead < N ? (int)ahead : N;
#pragma unroll
    for (int c = 0; c < C; c++) {
        const int column = lane_b() + 8 * c, last = column < left ? column + gap : -1;
        const float lse = of[0][column], delta = of[1][column];
#pragma unroll
        for (int r = 0; r < ROWS_BACK; r++)
            turn(s[r][c], dp[r][c], lane_a() + 4 * r <= last, (float)o.scale, lse, delta);
    }
}
#endif
