/* Gradients of rows' normalisations. With h = gy w and z = (x - m) r: gx = r (h - mean(h) - z mean(h z)) + more,
 * gw = sum gy z and gb = sum gy over the rows; of rmsnorm, where m is 0, without the mean of h. Rows that the
 * threads of one block have room for are read once, and summed as in device/cpu/layernorm_back.c: in C, those over
 * rows two at a time, and these in f64. Of longer ones all sums are formed in f64. */
#include "device/cuda/norms.cuh"

#define MOST 1024 /* threads of a block, and on a processor: each has all of 64 registers */
#define R 2       /* rows that a block has at a time */

/* part: [block][0 or 1][column], sums of gy z and of gy over the block's rows. It, gx, more and w may be 0. */
template <class T> struct rows_of {
    T *gx;
    const T *gy, *more, *x, *w;
    const double *stats;
    double *part;
    int64_t rows, c;
    bool centred;
};

/* The sums of v over the block; room is not that of the call before. */
template <class C, int V> __device__ static inline void total(C (&v)[V], C (*room)[V])
{
    C u[V];
    for (int i = 0; i < V; i++)
        v[i] = cuda_join<CUDA_WARP>(v[i], cuda_plus());
    if (threadIdx.x % CUDA_WARP == 0)
        cuda_write(room[threadIdx.x / CUDA_WARP], v, 0, V, true);
    __syncthreads();
    cuda_load(v, room[0], 0);
    for (int w = 1; w < blockDim.x / CUDA_WARP; w++) {
        cuda_load(u, room[w], 0);
        for (int i = 0; i < V; i++)
            v[i] += u[i];
    }
}

/* N columns of a row to a thread, all or none of which are there. Nothing waits for what is read before all of it is
 * asked for. */
template <class T, int N> __global__ static void __launch_bounds__(MOST) short_rows(rows_of<T> a)
{
    typedef cuda_c<T> C;
    __shared__ alignas(16) C room[2][MOST / CUDA_WARP][2 * R];
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
        total(sum, room[turn]);
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

/* n columns to a thread, `threads` to a block. */
template <class T>
static weft_status run_short(weft_stream *s, rows_of<T> a, weft_dev gw, weft_dev gb, int64_t n,
                             unsigned threads, weft_dtype dt)
{
    constexpr int N = sizeof(T) == 8 ? 2 : 4;
    const int64_t most = (int64_t)cuda_of(s->device)->processors * (MOST / threads);
    const int64_t want = (a.rows + R - 1) / R, blocks = want < 1 ? 1 : want < most ? want : most;
    void *part = NULL;
    if (gw.addr || gb.addr)
        WEFT_TRY(weft__cuda_scratch(s, (size_t)(2 * blocks * a.c) * sizeof(double), &part));
    a.part = (double *)part;
    if (n == N)
        short_rows<T, N><<<(unsigned)blocks, threads, 0, cuda_on(s)>>>(a);
    else
        short_rows<T, 1><<<(unsigned)blocks, threads, 0, cuda_on(s)>>>(a);
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
    const int64_t together = dt == WEFT_F64 ? 2 : 4, n = packs && c % together == 0 ? together : 1;
    const int64_t threads = (c + n * CUDA_WARP - 1) / (n * CUDA_WARP) * CUDA_WARP;
    const bool fits = threads <= MOST && rows <= INT32_MAX / 2;
    if (c == 0 || (!gx.addr && !sums))
        return WEFT_OK;
    CUDA_FLOATS(dt, "norm_back",
                const rows_of<T> a = {cuda_at<T>(gx), cuda_at<T>(gy), cuda_at<T>(more),
                                      cuda_at<T>(x), cuda_at<T>(w), cuda_at<double>(stats), NULL,
                                      rows, c, centred};
                if (fits) return run_short<T>(s, a, gw, gb, n, (unsigned)threads, dt);
                if (a.gx) CUDA_RUN(long_rows<T>, (unsigned)rows, a, cuda_row_packs<T>(c, packs)))
    return sums ? weft__cuda_norm_columns(s, gw, gb, gy, x, stats, centred, rows, c, dt) : WEFT_OK;
}
