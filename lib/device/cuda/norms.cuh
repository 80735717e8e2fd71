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
#endif
