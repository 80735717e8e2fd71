/* y = f(x) element by element, and gx = gy f'(x), from x and y. The formulas are those of
 * device/cpu/unary.c. */
#include "device/cuda/each.cuh"
#include "device/cuda/math.cuh"

#define ROOT_HALF 0.70710678118654752440   /* sqrt(1/2) */
#define NORMAL_PEAK 0.39894228040143267794 /* 1/sqrt(2 pi) */
#define TWICE_ROOT 1.59576912160573071176  /* 2 sqrt(2/pi) */
#define CUBIC 0.044715

template <class C> __device__ static inline C sigmoid(C x)
{
    return 1 / (1 + cuda_exp(-x));
}

template <class C> __device__ static inline C silu_slope(C x)
{
    const C s = sigmoid(x);
    return s * (1 + x * (1 - s));
}

template <class C> __device__ static inline C normal(C x)
{
    return (C)0.5 * (1 + cuda_erf(x * (C)ROOT_HALF));
}

template <class C> __device__ static inline C gelu_slope(C x)
{
    return normal(x) + x * (C)NORMAL_PEAK * cuda_exp(x * x * (C)-0.5);
}

template <class C> __device__ static inline C gate(C x)
{
    return sigmoid((C)TWICE_ROOT * (x + (C)CUBIC * x * x * x));
}

template <class C> __device__ static inline C gelu_tanh_slope(C x)
{
    const C s = gate(x);
    return s + x * s * (1 - s) * ((C)TWICE_ROOT * (1 + 3 * (C)CUBIC * x * x));
}

template <class C> __device__ static inline C clamp(C x, C low, C high)
{
    const C raised = x < low ? low : x;
    return raised > high ? high : raised;
}

/* The functions that are small enough to be there once for each element of a pack. */
#define SMALL(F)                                                                                   \
    F(WEFT_NEG, -x, -g)                                                                            \
    F(WEFT_ABS, cuda_abs(x), g *(C)((x > 0) - (x < 0)))                                            \
    F(WEFT_EXP, cuda_exp(x), g *y)                                                                 \
    F(WEFT_SQRT, cuda_sqrt(x), g / (2 * y))                                                        \
    F(WEFT_CLAMP, clamp(x, p, q), x > p && x < q ? g : 0)                                          \
    F(WEFT_SIGMOID, sigmoid(x), g *y *(1 - y))                                                     \
    F(WEFT_TANH, cuda_tanh(x), g *(1 - y * y))                                                     \
    F(WEFT_SILU, x *sigmoid(x), g *silu_slope(x))                                                  \
    F(WEFT_GELU, x *normal(x), g *gelu_slope(x))                                                   \
    F(WEFT_GELU_TANH, x *gate(x), g *gelu_tanh_slope(x))
/* The others. */
#define LARGE(F)                                                                                   \
    F(WEFT_LOG, cuda_log(x), g / x)                                                                \
    F(WEFT_SIN, sin(x), g *cos(x))                                                                 \
    F(WEFT_COS, cos(x), -g *sin(x))                                                                \
    F(WEFT_POWER, cuda_pow(x, p), p == 0 ? 0 : g * (p * cuda_pow(x, p - 1)))
#define VALUE(f, value, gradient)                                                                  \
    case f:                                                                                        \
        for (int k = 0; k < N; k++) {                                                              \
            const C x = xs[k];                                                                     \
            xs[k] = (value);                                                                       \
        }                                                                                          \
        break;
#define GRADIENT(f, value, gradient)                                                               \
    case f:                                                                                        \
        for (int k = 0; k < N; k++) {                                                              \
            const C x = xs[k], y = ys[k], g = gs[k];                                               \
            (void)x, (void)y;                                                                      \
            gs[k] = (gradient);                                                                    \
        }                                                                                          \
        break;

template <class C, int N> __device__ static inline void value(weft_unary f, C (&xs)[N], C p, C q)
{
    if (N > 1) {
        switch (f) {
            SMALL(VALUE)
        default:
            break;
        }
    } else {
        switch (f) {
            LARGE(VALUE)
        default:
            break;
        }
    }
}

template <class C, int N>
__device__ static inline void gradient(weft_unary f, C (&gs)[N], const C (&xs)[N], const C (&ys)[N],
                                       C p, C q)
{
    if (N > 1) {
        switch (f) {
            SMALL(GRADIENT)
        default:
            break;
        }
    } else {
        switch (f) {
            LARGE(GRADIENT)
        default:
            break;
        }
    }
}

template <class T, int N>
__global__ static void unary(weft_unary f, T *y, const T *x, cuda_c<T> p, cuda_c<T> q, int64_t n,
                             bool packs)
{
    for (int64_t i = cuda_first() * N; i < n; i += cuda_step() * N) {
        cuda_c<T> v[N];
        cuda_read(v, x, i, n, packs);
        value(f, v, p, q);
        cuda_write(y, v, i, n, packs);
    }
}

/* x or y may be 0 where the gradient does without. */
template <class T, int N>
__global__ static void unary_back(weft_unary f, T *gx, const T *gy, const T *x, const T *y,
                                  cuda_c<T> p, cuda_c<T> q, int64_t n, bool packs)
{
    for (int64_t i = cuda_first() * N; i < n; i += cuda_step() * N) {
        cuda_c<T> g[N], u[N] = {0}, v[N] = {0};
        cuda_read(g, gy, i, n, packs);
        if (x)
            cuda_read(u, x, i, n, packs);
        if (y)
            cuda_read(v, y, i, n, packs);
        gradient(f, g, u, v, p, q);
        cuda_write(gx, g, i, n, packs);
    }
}

static bool is_large(weft_unary f)
{
    return f == WEFT_LOG || f == WEFT_SIN || f == WEFT_COS || f == WEFT_POWER;
}

/* Whether the gradient comes from y, not from x. */
static bool by_result(weft_unary f)
{
    return f == WEFT_EXP || f == WEFT_SQRT || f == WEFT_SIGMOID || f == WEFT_TANH;
}

template <class T>
static void run(weft_stream *s, weft_unary f, weft_dev y, weft_dev x, const double *p, int64_t n)
{
    constexpr int N = cuda_pack<T>::n;
    const cuda_c<T> a = (cuda_c<T>)p[0], b = (cuda_c<T>)p[1];
    if (is_large(f))
        CUDA_RUN((unary<T, 1>), cuda_blocks_of(s, n, 1), f, cuda_at<T>(y), cuda_at<T>(x), a, b, n,
                 false);
    else
        CUDA_RUN((unary<T, N>), cuda_blocks_of(s, n, N), f, cuda_at<T>(y), cuda_at<T>(x), a, b, n,
                 cuda_packs(y, x));
}

template <class T>
static void run_back(weft_stream *s, weft_unary f, weft_dev gx, weft_dev gy, weft_dev x, weft_dev y,
                     const double *p, int64_t n)
{
    constexpr int N = cuda_pack<T>::n;
    const cuda_c<T> a = (cuda_c<T>)p[0], b = (cuda_c<T>)p[1];
    if (is_large(f))
        CUDA_RUN((unary_back<T, 1>), cuda_blocks_of(s, n, 1), f, cuda_at<T>(gx), cuda_at<T>(gy),
                 cuda_at<T>(x), cuda_at<T>(y), a, b, n, false);
    else
        CUDA_RUN((unary_back<T, N>), cuda_blocks_of(s, n, N), f, cuda_at<T>(gx), cuda_at<T>(gy),
                 cuda_at<T>(x), cuda_at<T>(y), a, b, n, cuda_packs(gx, gy, x, y));
}

weft_status weft__cuda_unary(weft_stream *s, weft_unary f, weft_dev y, weft_dev x, const double *p,
                             int64_t n, weft_dtype dt)
{
    CUDA_FLOATS(dt, "unary", run<T>(s, f, y, x, p, n))
    return weft__cuda_launched(s, "unary");
}

weft_status weft__cuda_unary_back(weft_stream *s, weft_unary f, weft_dev gx, weft_dev gy,
                                  weft_dev x, weft_dev y, const double *p, int64_t n, weft_dtype dt)
{
    (by_result(f) ? x : y).addr = 0;
    CUDA_FLOATS(dt, "unary_back", run_back<T>(s, f, gx, gy, x, y, p, n))
    return weft__cuda_launched(s, "unary_back");
}
