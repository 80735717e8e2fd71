/* y = f(x) element by element, and gx = gy f'(x), from x and y. The formulas are those of
 * device/cpu/unary.c. */
#include "device/cuda/each.cuh"
#include "device/cuda/math.cuh"

#define ROOT_HALF 0.70710678118654752440   /* sqrt(1/2) */
#define NORMAL_PEAK 0.39894228040143267794 /* 1/sqrt(2 pi) */
#define TWICE_ROOT 1.59576912160573071176  /* 2 sqrt(2/pi) */
#define CUBIC 0.044715

/* As f32 and f64 have it on the cpu; of 16 bits within a few units of f32's last place. */
template <class T> __device__ static inline cuda_c<T> sigmoid(cuda_c<T> x)
{
    if constexpr (sizeof(T) == 2)
        return cuda_near_inverse(1 + cuda_near_power(x * -1.44269504F));
    else
        return 1 / (1 + cuda_exp(-x));
}

template <class T> __device__ static inline cuda_c<T> silu_slope(cuda_c<T> x)
{
    const cuda_c<T> s = sigmoid<T>(x);
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

template <class T> __device__ static inline cuda_c<T> gate(cuda_c<T> x)
{
    typedef cuda_c<T> C;
    return sigmoid<T>((C)TWICE_ROOT * (x + (C)CUBIC * x * x * x));
}

template <class T> __device__ static inline cuda_c<T> gelu_tanh_slope(cuda_c<T> x)
{
    typedef cuda_c<T> C;
    const C s = gate<T>(x);
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
    F(WEFT_SIGMOID, sigmoid<T>(x), g *y *(1 - y))                                                  \
    F(WEFT_TANH, cuda_tanh(x), g *(1 - y * y))                                                     \
    F(WEFT_SILU, x *sigmoid<T>(x), g *silu_slope<T>(x))                                            \
    F(WEFT_GELU, x *normal(x), g *gelu_slope(x))                                                   \
    F(WEFT_GELU_TANH, x *gate<T>(x), g *gelu_tanh_slope<T>(x))
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
/* x and y are one array, of which the function's gradient needs. */
#define GRADIENT(f, value, gradient)                                                               \
    case f:                                                                                        \
        for (int k = 0; k < N; k++) {                                                              \
            const C x = xs[k], y = x, g = gs[k];                                                   \
            (void)y;                                                                               \
            gs[k] = (gradient);                                                                    \
        }                                                                                          \
        break;

template <class T, int N>
__device__ static inline void value(weft_unary f, cuda_c<T> (&xs)[N], cuda_c<T> p, cuda_c<T> q)
{
    typedef cuda_c<T> C;
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

template <class T, int N>
__device__ static inline void gradient(weft_unary f, cuda_c<T> (&gs)[N], const cuda_c<T> (&xs)[N],
                                       cuda_c<T> p, cuda_c<T> q)
{
    typedef cuda_c<T> C;
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
        value<T>(f, v, p, q);
        cuda_write(y, v, i, n, packs);
    }
}

/* x is y where the gradient comes from that. Both arrays are asked for before either is waited for. */
template <class T, int N>
__global__ static void unary_back(weft_unary f, T *gx, const T *gy, const T *x, cuda_c<T> p,
                                  cuda_c<T> q, int64_t n, bool packs)
{
    for (int64_t i = cuda_first() * N; i < n; i += cuda_step() * N) {
        cuda_c<T> g[N], v[N];
        if (packs && i + N <= n) {
            cuda_load(g, gy, i);
            cuda_load(v, x, i);
        } else {
            cuda_read(g, gy, i, n, false);
            cuda_read(v, x, i, n, false);
        }
        gradient<T>(f, g, v, p, q);
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
static void run_back(weft_stream *s, weft_unary f, weft_dev gx, weft_dev gy, weft_dev x,
                     const double *p, int64_t n)
{
    constexpr int N = cuda_pack<T>::n;
    const cuda_c<T> a = (cuda_c<T>)p[0], b = (cuda_c<T>)p[1];
    if (is_large(f))
        CUDA_RUN((unary_back<T, 1>), cuda_blocks_of(s, n, 1), f, cuda_at<T>(gx), cuda_at<T>(gy),
                 cuda_at<T>(x), a, b, n, false);
    else
        CUDA_RUN((unary_back<T, N>), cuda_blocks_of(s, n, N), f, cuda_at<T>(gx), cuda_at<T>(gy),
                 cuda_at<T>(x), a, b, n, cuda_packs(gx, gy, x));
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
    const weft_dev from = by_result(f) ? y : x;
    CUDA_FLOATS(dt, "unary_back", run_back<T>(s, f, gx, gy, from, p, n))
    return weft__cuda_launched(s, "unary_back");
}
