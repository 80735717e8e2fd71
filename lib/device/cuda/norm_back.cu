/* Gradients of rows' normalisations. With h = gy w and z = (x - m) r: gx = r (h - mean(h) - z mean(h z)) + more,
 * gw = sum gy z and gb = sum gy over the rows; of rmsnorm, where m is 0, without the mean of h. Rows that the
 * threads of one block have room for are read once, and summed as in device/cpu/layernorm_back.c: in C, those over
 * rows two at a time, and these in f64. Of longer ones all sums are formed in f64. */
#include "device/cuda/norms.cuh"

#define R 2 /* rows that a block has at a time */

/* part: [block][0 or 1][column], sums of gy z and of gy over the block's rows. It, gx, more and w may be 0. */
template <class T> struct rows_of {
    T *gx;
    const T *gy, *more, *x, *w;
    const double *stats;
    double *part;
    int64_t rows, c;
    bool centred;
};

/* N columns of a row to a thread, all or none of which are there. Nothing waits for what is read before all of it is
 * asked for. */
template <class T, int N>
__global__ static void __launch_bounds__(CUDA_NORM_MOST, 1) short_rows(rows_of<T> a)
{
    typedef cuda_c<T> C;
    __shared__ alignas(16) C room[2][CUDA_NORM_MOST / CUDA_WARP][2 * R];
    const int64_t c = a.c, j = (int64_t)threadIdx.x * N;
    const C part_of_c = (C)(1 / (double)c);
    C w[N];
    double gw[N] = {0}, gb[N] = {0};
    const int rows = (int)a.rows;
    int turn = 0;
    cuda_weights(w, a.w, j, c, true);
    for (int r = (int)blockIdx.x * R; r < rows; r += (int)gridDim.x * R, turn ^= 1) {
        C g[R][N], z[R][N], more[R][N] = {{0}}, rstd[R], sum[2 * R] = {0};
        double m[R], s[R];
        for (int k = 0; k < R; k++) {
            const int64_t row = r + k < rows ? r + k : r;
            s[k] = a.stats[a.centred ? 2 * row + 1 : row];
            m[k] = a.centred ? a.stats[2 * row] : 0;
            const int64_t at = row * c + (j < c ? j : 0);
            cuda_load(g[k], a.gy, at);
            cuda_load(z[k], a.x, at);
            if (a.more)
                cuda_load(more[k], a.more, at);
        }
        for (int k = 0; k < R; k++) {
            const C high = (C)m[k], low = (C)(m[k] - (double)high);
            rstd[k] = (C)s[k];
            for (int i = 0; i < N; i++) {
                g[k][i] = r + k < rows && j < c ? g[k][i] : 0;
                z[k][i] = ((z[k][i] - high) - low) * rstd[k];
                sum[2 * k] += g[k][i] * w[i];
                sum[2 * k + 1] += g[k][i] * w[i] * z[k][i];
            }
        }
        for (int i = 0; i < N && a.part; i++) {
            gw[i] += (double)(g[0][i] * z[0][i] + g[1][i] * z[1][i]);
            gb[i] += (double)(g[0][i] + g[1][i]);
        }
        if (!a.gx)
            continue;
        cuda_totals(sum, room[turn]);
        for (int k = 0; k < R && r + k < rows; k++) {
            const C mh = a.centred ? sum[2 * k] * part_of_c : 0, mz = sum[2 * k + 1] * part_of_c;
            for (int i = 0; i < N; i++)
                g[k][i] = rstd[k] * (g[k][i] * w[i] - mh - z[k][i] * mz) + more[k][i];
            cuda_write(a.gx + (r + k) * c, g[k], j, c, true);
        }
    }
    if (!a.part)
        return;
    double *part = a.part + 2 * blockIdx.x * c;
    cuda_write(part, gw, j, c, true);
    cuda_write(part + c, gb, j, c, true);
}

template <class T> __global__ static void long_rows(rows_of<T> a, bool packs)
{
    constexpr int N = cuda_pack<T>::n, G = CUDA_THREADS;
    const int64_t r = blockIdx.x, c = a.c;
    cuda_c<T> v[N], g[N], u[N];
    const double m = a.centred ? a.stats[2 * r] : 0, rstd = a.stats[a.centred ? 2 * r + 1 : r];
    double h = 0, hn = 0;
    for (int64_t j = cuda_lane<G>() * N; j < c; j += G * N) {
        cuda_read(g, a.gy + r * c, j, c, packs);
        cuda_read(v, a.x + r * c, j, c, packs);
        cuda_weights(u, a.w, j, c, packs);
        for (int k = 0; k < N; k++) { /* g is 0 behind the end */
            h += (double)g[k] * (double)u[k];
            hn += (double)g[k] * (double)u[k] * (((double)v[k] - m) * rstd);
        }
    }
    const double mh = a.centred ? cuda_join<G>(h, cuda_plus()) / (double)c : 0;
    const double mhn = cuda_join<G>(hn, cuda_plus()) / (double)c;
    for (int64_t j = cuda_lane<G>() * N; j < c; j += G * N) {
        cuda_read(g, a.gy + r * c, j, c, packs);
        cuda_read(v, a.x + r * c, j, c, packs);
        cuda_weights(u, a.w, j, c, packs);
        for (int k = 0; k < N; k++) {
            const double at = (double)g[k] * (double)u[k];
            g[k] = (cuda_c<T>)(rstd * (at - mh - ((double)v[k] - m) * rstd * mhn));
        }
        if (a.more) {
            cuda_read(u, a.more + r * c, j, c, packs);
            for (int k = 0; k < N; k++)
                g[k] += u[k];
        }
        cuda_write(a.gx + r * c, g, j, c, packs);
    }
}

template <class T>
static weft_status run_short(weft_stream *s, rows_of<T> a, weft_dev gw, weft_dev gb, int64_t n,
                             unsigned threads, weft_dtype dt)
{
    const unsigned blocks = cuda_norm_blocks(s, a.rows, R, threads);
    void *part = NULL;
    if (gw.addr || gb.addr)
        WEFT_TRY(weft__cuda_scratch(s, 2 * blocks * (size_t)a.c * sizeof(double), &part));
    a.part = (double *)part;
    if (n > 1)
        short_rows<T, cuda_norm_n<T>><<<blocks, threads, 0, cuda_on(s)>>>(a);
    else
        short_rows<T, 1><<<blocks, threads, 0, cuda_on(s)>>>(a);
    if (!part)
        return WEFT_OK;
    weft__cuda_norm_join(s, gw, gb, a.part, blocks, a.c, dt);
    weft__cuda_unscratch(s, part);
    return WEFT_OK;
}

weft_status weft__cuda_norm_back(weft_stream *s, weft_dev gx, weft_dev gw, weft_dev gb, weft_dev gy,
                                 weft_dev more, weft_dev x, weft_dev stats, weft_dev w,
                                 bool centred, int64_t rows, int64_t c, weft_dtype dt)
{
    const bool packs = cuda_packs(gx, gy, more, x, w), sums = gw.addr || gb.addr;
    const int64_t n = cuda_norm_columns(c, packs, dt);
    const unsigned threads = cuda_norm_threads(rows, c, n);
    if (c == 0 || (!gx.addr && !sums))
        return WEFT_OK;
    CUDA_FLOATS(dt, "norm_back",
                const rows_of<T> a = {cuda_at<T>(gx), cuda_at<T>(gy), cuda_at<T>(more),
                                      cuda_at<T>(x), cuda_at<T>(w), cuda_at<double>(stats), NULL,
                                      rows, c, centred};
                if (threads) return run_short<T>(s, a, gw, gb, n, threads, dt);
                if (a.gx) CUDA_RUN(long_rows<T>, (unsigned)rows, a, cuda_row_packs<T>(c, packs)))
    return sums ? weft__cuda_norm_columns(s, gw, gb, gy, x, stats, centred, rows, c, dt) : WEFT_OK;
}
