/* Layer normalisation of rows: y = (x - m) r w + b with m the mean and r = 1/sqrt(variance + eps).
 * add_layernorm: x is a sum, which is written too. Rows that the threads of a block have room for are read once and
 * summed in C, longer ones in f64. norm_back.cu has the gradients. */
#include "device/cuda/math.cuh"
#include "device/cuda/norms.cuh"

/* Rows that a block has at a time. */
template <class T> constexpr int at_once = sizeof(T) == 8 ? 1 : 2;

template <class T> struct norm_of { /* sum, more, w and b may be 0 */
    T *y, *sum;
    double *stats;
    const T *x, *more, *w, *b;
    int64_t rows, c;
    double eps;
};

/* As on the cpu: the mean is taken twice, the second time of what differs from the first. N columns of a row to a
 * thread, all or none of which are there. */
template <class T, int N>
__global__ static void __launch_bounds__(CUDA_NORM_MOST, 1) short_rows(norm_of<T> a)
{
    typedef cuda_c<T> C;
    constexpr int R = at_once<T>;
    __shared__ alignas(16) C first[CUDA_NORM_MOST / CUDA_WARP][R];
    __shared__ alignas(16) C second[CUDA_NORM_MOST / CUDA_WARP][2 * R];
    const int64_t c = a.c, j = (int64_t)threadIdx.x * N;
    const C part_of_c = (C)(1 / (double)c);
    const int rows = (int)a.rows;
    C w[N], b[N] = {0};
    cuda_weights(w, a.w, j, c, true);
    if (a.b)
        cuda_read(b, a.b, j, c, true);
    for (int r = (int)blockIdx.x * R; r < rows; r += (int)gridDim.x * R) {
        C v[R][N], u[R][N], mean[R] = {0}, off[2 * R] = {0};
        for (int k = 0; k < R; k++) {
            const int64_t at = (int64_t)(r + k < rows ? r + k : r) * c + (j < c ? j : 0);
            cuda_load(v[k], a.x, at);
            if (a.more)
                cuda_load(u[k], a.more, at);
        }
        for (int k = 0; k < R && a.more; k++) {
            for (int i = 0; i < N; i++)
                v[k][i] = cuda_wide(cuda_narrow<T>(v[k][i] + u[k][i]));
            if (r + k < rows)
                cuda_write(a.sum + (r + k) * c, v[k], j, c, true);
        }
        for (int k = 0; k < R; k++)
            for (int i = 0; i < N && j < c; i++)
                mean[k] += v[k][i];
        cuda_totals(mean, first);
        for (int k = 0; k < R; k++) {
            mean[k] *= part_of_c;
            for (int i = 0; i < N && j < c; i++) {
                v[k][i] -= mean[k];
                off[2 * k] += v[k][i];
                off[2 * k + 1] += v[k][i] * v[k][i];
            }
        }
        cuda_totals(off, second);
        for (int k = 0; k < R && r + k < rows; k++) {
            const C m = off[2 * k] * part_of_c, square = off[2 * k + 1] * part_of_c - m * m;
            const C variance = square < 0 ? 0 : square, rstd = 1 / cuda_sqrt(variance + (C)a.eps);
            if (threadIdx.x == 0) {
                a.stats[2 * (r + k)] = (double)mean[k] + (double)m;
                a.stats[2 * (r + k) + 1] = 1 / sqrt((double)variance + a.eps);
            }
            for (int i = 0; i < N; i++)
                v[k][i] = (v[k][i] - m) * rstd * w[i] + b[i];
            cuda_write(a.y + (r + k) * c, v[k], j, c, true);
        }
    }
}

template <class T> __global__ static void long_rows(norm_of<T> a, bool packs)
{
    constexpr int N = cuda_pack<T>::n, G = CUDA_THREADS;
    const int64_t r = blockIdx.x, c = a.c;
    const T *x = a.x;
    cuda_c<T> v[N], u[N];
    double part = 0, square = 0;
    for (int64_t j = cuda_lane<G>() * N; j < c; j += G * N) {
        cuda_read(v, x + r * c, j, c, packs);
        if (a.more) {
            cuda_read(u, a.more + r * c, j, c, packs);
            for (int k = 0; k < N; k++)
                v[k] = cuda_wide(cuda_narrow<T>(v[k] + u[k]));
            cuda_write(a.sum + r * c, v, j, c, packs);
        }
        for (int k = 0; k < N; k++)
            part += (double)v[k];
    }
    x = a.more ? a.sum : x; /* each thread reads what it wrote */
    const double m = cuda_join<G>(part, cuda_plus()) / (double)c;
    for (int64_t j = cuda_lane<G>() * N; j < c; j += G * N) {
        cuda_read(v, x + r * c, j, c, packs);
        for (int k = 0; k < N; k++) {
            const double d = j + k < c ? (double)v[k] - m : 0;
            square += d * d;
        }
    }
    square = cuda_join<G>(square, cuda_plus());
    const double rstd = 1 / sqrt(square / (double)c + a.eps);
    if (cuda_lane<G>() == 0) {
        a.stats[2 * r] = m;
        a.stats[2 * r + 1] = rstd;
    }
    for (int64_t j = cuda_lane<G>() * N; j < c; j += G * N) {
        cuda_read(v, x + r * c, j, c, packs);
        cuda_weights(u, a.w, j, c, packs);
        for (int k = 0; k < N; k++)
            v[k] = (cuda_c<T>)(((double)v[k] - m) * rstd) * u[k];
        if (a.b) {
            cuda_read(u, a.b, j, c, packs);
            for (int k = 0; k < N; k++)
                v[k] += u[k];
        }
        cuda_write(a.y + r * c, v, j, c, packs);
    }
}

template <class T> static void run(weft_stream *s, const norm_of<T> &a, bool aligned, weft_dtype dt)
{
    const int64_t n = cuda_norm_columns(a.c, aligned, dt);
    const unsigned threads = cuda_norm_threads(a.rows, a.c, n);
    const unsigned blocks = threads ? cuda_norm_blocks(s, a.rows, at_once<T>, threads) : 0;
    if (!threads)
        CUDA_RUN(long_rows<T>, (unsigned)a.rows, a, cuda_row_packs<T>(a.c, aligned));
    else if (n > 1)
        short_rows<T, cuda_norm_n<T>><<<blocks, threads, 0, cuda_on(s)>>>(a);
    else
        short_rows<T, 1><<<blocks, threads, 0, cuda_on(s)>>>(a);
}

weft_status weft__cuda_add_layernorm(weft_stream *s, weft_dev y, weft_dev sum, weft_dev stats,
                                     weft_dev x, weft_dev r, weft_dev w, weft_dev b, int64_t rows,
                                     int64_t c, double eps, weft_dtype dt)
{
    const bool aligned = cuda_packs(y, x, w, b) && cuda_packs(sum, r);
    CUDA_FLOATS(dt, "layernorm",
                const norm_of<T> a = {cuda_at<T>(y), cuda_at<T>(sum), cuda_at<double>(stats),
                                      cuda_at<T>(x), cuda_at<T>(r), cuda_at<T>(w), cuda_at<T>(b),
                                      rows, c, eps};
                run<T>(s, a, aligned, dt))
    return weft__cuda_launched(s, "layernorm");
}

weft_status weft__cuda_add_layernorm_back(weft_stream *s, weft_dev gx, weft_dev gw, weft_dev gb,
                                          weft_dev gy, weft_dev gsum, weft_dev sum, weft_dev stats,
                                          weft_dev w, int64_t rows, int64_t c, weft_dtype dt)
{
    WEFT_TRY(weft__cuda_norm_back(s, gx, gw, gb, gy, gsum, sum, stats, w, true, rows, c, dt));
    return weft__cuda_launched(s, "layernorm_back");
}

weft_status weft__cuda_layernorm(weft_stream *s, weft_dev y, weft_dev stats, weft_dev x, weft_dev w,
                                 weft_dev b, int64_t rows, int64_t c, double eps, weft_dtype dt)
{
    const weft_dev none = {0};
    return weft__cuda_add_layernorm(s, y, none, stats, x, none, w, b, rows, c, eps, dt);
}

weft_status weft__cuda_layernorm_back(weft_stream *s, weft_dev gx, weft_dev gw, weft_dev gb,
                                      weft_dev gy, weft_dev x, weft_dev stats, weft_dev w,
                                      int64_t rows, int64_t c, weft_dtype dt)
{
    return weft__cuda_add_layernorm_back(s, gx, gw, gb, gy, weft_dev{0}, x, stats, w, rows, c, dt);
}
