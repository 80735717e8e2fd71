/* y = a op b, a and b strided (0 broadcasts), y contiguous; and the gradients by a and by b. */
#include "device/cuda/math.cuh"
#include "device/cuda/strided.cuh"

/* NaN is handed on. */
template <class C> __device__ static inline C larger(C u, C v)
{
    return u > v || u != u ? u : v;
}

template <class C> __device__ static inline C smaller(C u, C v)
{
    return u < v || u != u ? u : v;
}

/* g to the larger of u and v, if that is u; equal ones share it. */
template <class C> __device__ static inline C share(C g, C u, C v)
{
    return u < v ? 0 : u == v ? g / 2 : g;
}

/* v u^(v-1), where u^0 is constant. */
template <class C> __device__ static inline C power_by_base(C u, C v)
{
    return v == 0 ? 0 : v * cuda_pow(u, v - 1);
}

/* u^v log u, where 0^v is constant. */
template <class C> __device__ static inline C power_by_exponent(C u, C v)
{
    return u == 0 && v >= 0 ? 0 : cuda_pow(u, v) * cuda_log(u);
}

/* An operator of u and v, and its gradients by u and by v from that of the result, g. */
#define BINARIES(F)                                                                                \
    F(WEFT_ADD, u + v, g, g)                                                                       \
    F(WEFT_MUL, u *v, g *v, g *u)                                                                  \
    F(WEFT_SUB, u - v, g, -g)                                                                      \
    F(WEFT_DIV, u / v, g / v, -g * (u / v / v))                                                    \
    F(WEFT_MAXIMUM, larger(u, v), share(g, u, v), share(g, v, u))                                  \
    F(WEFT_MINIMUM, smaller(u, v), share(g, v, u), share(g, u, v))
#define EACH(op, result)                                                                           \
    case op:                                                                                       \
        for (int k = 0; k < N; k++) {                                                              \
            const C u = us[k], v = vs[k], g = gs[k];                                               \
            (void)g;                                                                               \
            gs[k] = (result);                                                                      \
        }                                                                                          \
        break;
#define VALUE(op, value, by_u, by_v) EACH(op, value)
#define BY_U(op, value, by_u, by_v) EACH(op, by_u)
#define BY_V(op, value, by_u, by_v) EACH(op, by_v)

/* gs = the value (input < 0), or the gradient by an input from that of the value in gs. Powers are
 * taken one by one. */
template <class C, int N>
__device__ static inline void apply(weft_binary op, int input, C (&gs)[N], const C (&us)[N],
                                    const C (&vs)[N])
{
    if (N == 1 && op == WEFT_POW)
        gs[0] = input < 0    ? cuda_pow(us[0], vs[0])
                : input == 0 ? gs[0] * power_by_base(us[0], vs[0])
                             : gs[0] * power_by_exponent(us[0], vs[0]);
    else if (input < 0)
        switch (op) {
            BINARIES(VALUE)
        default:
            break;
        }
    else if (input == 0)
        switch (op) {
            BINARIES(BY_U)
        default:
            break;
        }
    else
        switch (op) {
            BINARIES(BY_V)
        default:
            break;
        }
}

template <class T, int N>
__global__ static void binary(weft_binary op, int input, T *y, const T *gy, const T *a, const T *b,
                              weft__walk w)
{
    const int last = w.rank - 1;
    for (int64_t i = cuda_first() * N; i < w.numel; i += cuda_step() * N) {
        cuda_c<T> g[N] = {0}, u[N], v[N];
        int64_t at[2];
        cuda_seek(w, i, at);
        if (gy)
            cuda_read(g, gy, i, w.numel, true);
        cuda_take(u, a, at[0], w.stride[0][last], w.numel - i);
        cuda_take(v, b, at[1], w.stride[1][last], w.numel - i);
        apply(op, input, g, u, v);
        cuda_write(y, g, i, w.numel, true);
    }
}

template <class T>
static void run(weft_stream *s, weft_binary op, int input, weft_dev y, weft_dev gy, weft_dev a,
                weft_dev b, const weft__walk *w)
{
    constexpr int N = cuda_pack<T>::n;
    if (op != WEFT_POW && cuda_packs(y, gy) && cuda_together(w, 0, N, a, sizeof(T)) &&
        cuda_together(w, 1, N, b, sizeof(T)))
        CUDA_RUN((binary<T, N>), cuda_blocks_of(s, w->numel, N), op, input, cuda_at<T>(y),
                 cuda_at<T>(gy), cuda_at<T>(a), cuda_at<T>(b), *w);
    else
        CUDA_RUN((binary<T, 1>), cuda_blocks_of(s, w->numel, 1), op, input, cuda_at<T>(y),
                 cuda_at<T>(gy), cuda_at<T>(a), cuda_at<T>(b), *w);
}

weft_status weft__cuda_binary(weft_stream *s, weft_binary op, weft_dev y, weft_dev a,
                              const int64_t *astride, weft_dev b, const int64_t *bstride, int rank,
                              const int64_t *shape, weft_dtype dt)
{
    const int64_t *const stride[] = {astride, bstride};
    weft__walk w;
    weft__walk_of(&w, 2, rank, shape, stride);
    CUDA_FLOATS(dt, "binary", run<T>(s, op, -1, y, weft_dev{0}, a, b, &w))
    return weft__cuda_launched(s, "binary");
}

weft_status weft__cuda_binary_back(weft_stream *s, weft_binary op, int input, weft_dev gx,
                                   weft_dev gy, weft_dev a, const int64_t *astride, weft_dev b,
                                   const int64_t *bstride, int rank, const int64_t *shape,
                                   weft_dtype dt)
{
    const int64_t *const stride[] = {astride, bstride};
    weft__walk w;
    weft__walk_of(&w, 2, rank, shape, stride);
    CUDA_FLOATS(dt, "binary_back", run<T>(s, op, input == 0 ? 0 : 1, gx, gy, a, b, &w))
    return weft__cuda_launched(s, "binary_back");
}
