/* One pass of each optimizer: the formulas and roundings of device/cpu/optim.c. In 16 bits there are
 * the parameters alone: gradients and moments are of type C. */
#include "device/cuda/each.cuh"
#include "device/cuda/math.cuh"
#include "device/cuda/random.cuh"
#include "device/cuda/runs.cuh"

#define N 4 /* elements a thread */

/* Chunks that fill the GPU a few times over. */
static int64_t chunk_of(const weft_stream *s, const int64_t *run, int64_t runs)
{
    const int64_t most = (int64_t)cuda_of(s->device)->processors * 16, each = CUDA_THREADS * N;
    return (cuda_total(run, runs) / most / each + 1) * each;
}

/* In a function with a stream s and runs: launches over as many of them as arguments have room for. */
#define EACH_RUN(dt, name, kernel, aligned, ...)                                                   \
    struct cuda_runs r_;                                                                           \
    const int64_t chunk_ = chunk_of(s, run, runs);                                                 \
    for (int64_t at_ = 0; at_ < runs; at_ += CUDA_RUNS) {                                          \
        const unsigned blocks_of_ = cuda_take(&r_, run + 2 * at_, runs - at_, chunk_);             \
        const bool packs_ = (aligned) && r_.packs;                                                 \
        CUDA_FLOATS(dt, name, CUDA_RUN(kernel<T>, blocks_of_, r_, packs_, __VA_ARGS__))            \
    }                                                                                              \
    return weft__cuda_launched(s, name);

/* Moments of what gets no gradient any more end as zero, as on the cpu. */
__device__ static inline float dry(float v)
{
    return fabsf(v) < 0x1p-126F ? 0 : v;
}
__device__ static inline double dry(double v)
{
    return fabs(v) < 0x1p-1022 ? 0 : v;
}

/* Which no compiler may join with a sum: the step as of the host, bit for bit. */
__host__ __device__ static inline double product(double a, double b)
{
#ifdef __CUDA_ARCH__
    return __dmul_rn(a, b);
#else
    return a * b;
#endif
}

/* --- SGD --- */

template <class C> struct sgd_step {
    C lr, decay, mu, sign, keep, fresh;
    bool momentum, nesterov;
};

template <class T> __host__ __device__ static sgd_step<cuda_c<T>> rounded(const weft_sgd_step *o)
{
    typedef cuda_c<T> C;
    const C mu = (C)o->momentum;
    return {(C)o->lr,
            (C)o->weight_decay,
            mu,
            (C)(o->maximize ? -1 : 1),
            o->first ? (C)0 : mu,
            o->first ? (C)1 : (C)(1 - o->dampening),
            o->momentum != 0,
            o->momentum != 0 && o->nesterov};
}

template <class T>
__global__ static void sgd(const __grid_constant__ struct cuda_runs r, bool packs, T *p,
                           cuda_c<T> *v, const cuda_c<T> *g, const double *factor,
                           sgd_step<cuda_c<T>> o, const weft_sgd_step *live, const int64_t *unless)
{
    if (unless && *unless)
        return;
    if (live)
        o = rounded<T>(live);
    typedef cuda_c<T> C;
    const C by = factor ? (C)factor[0] : (C)1;
    int64_t i, n;
    cuda_stretch(r, &i, &n);
    for (i += (int64_t)threadIdx.x * N; i < n; i += CUDA_THREADS * N) {
        C at[N], d[N], m[N] = {0};
        cuda_read(at, p, i, n, packs);
        cuda_read(d, g, i, n, packs);
        if (o.momentum)
            cuda_read(m, v, i, n, packs);
        for (int k = 0; k < N; k++) {
            d[k] = o.sign * (d[k] * by) + o.decay * at[k];
            m[k] = o.momentum ? dry(m[k] * o.keep + o.fresh * d[k]) : d[k];
            at[k] = at[k] - o.lr * (o.nesterov ? d[k] + o.mu * m[k] : m[k]);
        }
        if (o.momentum)
            cuda_write(v, m, i, n, packs);
        cuda_write(p, at, i, n, packs);
    }
}

weft_status weft__cuda_sgd(weft_stream *s, weft_dev p, weft_dev v, weft_dev g, weft_dev by,
                           weft_dev unless, const int64_t *run, int64_t runs,
                           const weft_sgd_step *o, weft_dtype dt)
{
    EACH_RUN(dt, "sgd", sgd, cuda_packs(p, v, g), cuda_at<T>(p), cuda_at<cuda_c<T>>(v),
             cuda_at<cuda_c<T>>(g), cuda_at<double>(by), rounded<T>(o),
             cuda_at<weft_sgd_step>(s->live), cuda_at<int64_t>(unless))
}

/* --- Adam --- */

template <class C> struct adam_step {
    C eps, rate, sign, decay, keep, beta2, w2, root2, w;
    bool near; /* the first moment is formed from this end */
    bool chance;
    uint64_t seed, stream, t;
    int64_t number;
};

/* As cpu/half.h: to the number below, or the one above. */
template <class T> struct by_chance {
    static constexpr bool is = false;
    template <class V> __device__ static T of(V v, uint32_t)
    {
        return cuda_narrow<T>(v);
    }
};
template <> struct by_chance<cuda_bf16> {
    static constexpr bool is = true;
    __device__ static cuda_bf16 of(float v, uint32_t half)
    {
        const uint32_t u = __float_as_uint(v);
        if ((u & 0x7FFFFFFF) >= 0x7F800000)
            return cuda_narrow<cuda_bf16>(v);
        return cuda_bf16{(uint16_t)((u + (0xFFFF - half)) >> 16)};
    }
};
template <> struct by_chance<cuda_f16> {
    static constexpr bool is = true;
    __device__ static cuda_f16 of(float v, uint32_t half)
    {
        const uint32_t exponent = __float_as_uint(v) >> 23 & 255;
        const uint32_t e = exponent < 113 ? 113 : exponent;
        if (e >= 143)
            return cuda_narrow<cuda_f16>(v);
        const float at = fabsf(v) * __uint_as_float((264 - e) << 23), below = truncf(at);
        const float up = (at - below) * 65536 > (float)half;
        return cuda_narrow<cuda_f16>(copysignf((below + up) * __uint_as_float((e - 10) << 23), v));
    }
};

template <class T>
__device__ static inline void write_by_chance(T *p, const cuda_c<T> (&at)[N], int64_t i, int64_t n,
                                              const adam_step<cuda_c<T>> &o)
{
    const uint64_t number = (uint64_t)(o.number + i); /* a multiple of N */
    uint32_t word[4];
    cuda_draw(o.seed, o.stream, o.t, number / 8, word);
    const uint32_t two[2] = {number & N ? word[2] : word[0], number & N ? word[3] : word[1]};
#pragma unroll
    for (int k = 0; k < N; k++)
        if (i + k < n)
            p[i + k] = by_chance<T>::of(at[k], two[k / 2] >> 16 * (k % 2) & 0xFFFF);
}

template <class T> __host__ __device__ static adam_step<cuda_c<T>> rounded(const weft_adam_step *o)
{
    typedef cuda_c<T> C;
    const bool near = 1 - o->beta1 < 0.5;
    return {(C)o->eps,
            (C)(o->lr / o->correct1),
            (C)(o->maximize ? -1 : 1),
            o->decoupled ? (C)0 : (C)o->weight_decay,
            o->decoupled ? (C)(1 - product(o->lr, o->weight_decay)) : (C)1,
            (C)o->beta2,
            (C)(1 - o->beta2),
            (C)sqrt(o->correct2),
            near ? (C)(1 - o->beta1) : -(C)o->beta1,
            near,
            o->chance != 0,
            o->seed,
            o->stream,
            o->t,
            o->number};
}

template <class T>
__global__ static void adam(const __grid_constant__ struct cuda_runs r, bool packs, T *p,
                            cuda_c<T> *m, cuda_c<T> *v, cuda_c<T> *top, const cuda_c<T> *g,
                            const double *factor, adam_step<cuda_c<T>> o,
                            const weft_adam_step *live, const int64_t *unless)
{
    if (unless && *unless)
        return;
    if (live)
        o = rounded<T>(live);
    typedef cuda_c<T> C;
    const C by = factor ? (C)factor[0] : (C)1;
    int64_t i, n;
    cuda_stretch(r, &i, &n);
    for (i += (int64_t)threadIdx.x * N; i < n; i += CUDA_THREADS * N) {
        C at[N], d[N], mi[N], vi[N], most[N];
        cuda_read(at, p, i, n, packs);
        cuda_read(d, g, i, n, packs);
        cuda_read(mi, m, i, n, packs);
        cuda_read(vi, v, i, n, packs);
        if (top)
            cuda_read(most, top, i, n, packs);
        for (int k = 0; k < N; k++) {
            d[k] = o.sign * (d[k] * by) + o.decay * at[k];
            mi[k] = dry((o.near ? mi[k] : d[k]) + o.w * (d[k] - mi[k]));
            vi[k] = dry(vi[k] * o.beta2 + o.w2 * d[k] * d[k]);
            most[k] = !top || vi[k] >= most[k] || vi[k] != vi[k] ? vi[k] : most[k];
            at[k] = at[k] * o.keep - o.rate * mi[k] / (cuda_sqrt(most[k]) / o.root2 + o.eps);
        }
        cuda_write(m, mi, i, n, packs);
        cuda_write(v, vi, i, n, packs);
        if (top)
            cuda_write(top, most, i, n, packs);
        if (by_chance<T>::is && o.chance)
            write_by_chance(p, at, i, n, o);
        else
            cuda_write(p, at, i, n, packs);
    }
}

weft_status weft__cuda_adam(weft_stream *s, weft_dev p, weft_dev m, weft_dev v, weft_dev top,
                            weft_dev g, weft_dev by, weft_dev unless, const int64_t *run,
                            int64_t runs, const weft_adam_step *o, weft_dtype dt)
{
    EACH_RUN(dt, "adam", adam, cuda_packs(p, m, v, top, g), cuda_at<T>(p), cuda_at<cuda_c<T>>(m),
             cuda_at<cuda_c<T>>(v), cuda_at<cuda_c<T>>(top), cuda_at<cuda_c<T>>(g),
             cuda_at<double>(by), rounded<T>(o), cuda_at<weft_adam_step>(s->live),
             cuda_at<int64_t>(unless))
}

/* --- RMSprop --- */

template <class C> struct rmsprop_step {
    C lr, eps, decay, mu, sign, alpha, fresh, w;
    bool near, momentum;
};

template <class T>
__host__ __device__ static rmsprop_step<cuda_c<T>> rounded(const weft_rmsprop_step *o)
{
    typedef cuda_c<T> C;
    const bool near = 1 - o->alpha < 0.5;
    const C fresh = (C)(1 - o->alpha), alpha = (C)o->alpha;
    return {(C)o->lr, (C)o->eps, (C)o->weight_decay,    (C)o->momentum, (C)(o->maximize ? -1 : 1),
            alpha,    fresh,     near ? fresh : -alpha, near,           o->momentum > 0};
}

template <class T>
__global__ static void rmsprop(const __grid_constant__ struct cuda_runs r, bool packs, T *p,
                               cuda_c<T> *v, cuda_c<T> *b, cuda_c<T> *mean, const cuda_c<T> *g,
                               const double *factor, rmsprop_step<cuda_c<T>> o,
                               const weft_rmsprop_step *live, const int64_t *unless)
{
    if (unless && *unless)
        return;
    if (live)
        o = rounded<T>(live);
    typedef cuda_c<T> C;
    const C by = factor ? (C)factor[0] : (C)1;
    int64_t i, n;
    cuda_stretch(r, &i, &n);
    for (i += (int64_t)threadIdx.x * N; i < n; i += CUDA_THREADS * N) {
        C at[N], d[N], vi[N], bi[N], mi[N];
        cuda_read(at, p, i, n, packs);
        cuda_read(d, g, i, n, packs);
        cuda_read(vi, v, i, n, packs);
        if (o.momentum)
            cuda_read(bi, b, i, n, packs);
        if (mean)
            cuda_read(mi, mean, i, n, packs);
        for (int k = 0; k < N; k++) {
            d[k] = o.sign * (d[k] * by) + o.decay * at[k];
            vi[k] = dry(vi[k] * o.alpha + o.fresh * d[k] * d[k]);
            if (mean)
                mi[k] = dry((o.near ? mi[k] : d[k]) + o.w * (d[k] - mi[k]));
            const C size = cuda_sqrt(mean ? vi[k] - mi[k] * mi[k] : vi[k]) + o.eps;
            if (o.momentum)
                bi[k] = dry(bi[k] * o.mu + d[k] / size);
            at[k] = at[k] - (o.momentum ? o.lr * bi[k] : o.lr * d[k] / size);
        }
        cuda_write(v, vi, i, n, packs);
        if (o.momentum)
            cuda_write(b, bi, i, n, packs);
        if (mean)
            cuda_write(mean, mi, i, n, packs);
        cuda_write(p, at, i, n, packs);
    }
}

weft_status weft__cuda_rmsprop(weft_stream *s, weft_dev p, weft_dev v, weft_dev b, weft_dev mean,
                               weft_dev g, weft_dev by, weft_dev unless, const int64_t *run,
                               int64_t runs, const weft_rmsprop_step *o, weft_dtype dt)
{
    EACH_RUN(dt, "rmsprop", rmsprop, cuda_packs(p, v, b, mean, g), cuda_at<T>(p),
             cuda_at<cuda_c<T>>(v), cuda_at<cuda_c<T>>(b), cuda_at<cuda_c<T>>(mean),
             cuda_at<cuda_c<T>>(g), cuda_at<double>(by), rounded<T>(o),
             cuda_at<weft_rmsprop_step>(s->live), cuda_at<int64_t>(unless))
}

/* --- Adagrad --- */

template <class C> struct adagrad_step {
    C lr, eps, decay, sign;
};

template <class T>
__host__ __device__ static adagrad_step<cuda_c<T>> rounded(const weft_adagrad_step *o)
{
    typedef cuda_c<T> C;
    return {(C)o->lr, (C)o->eps, (C)o->weight_decay, (C)(o->maximize ? -1 : 1)};
}

template <class T>
__global__ static void adagrad(const __grid_constant__ struct cuda_runs r, bool packs, T *p,
                               cuda_c<T> *v, const cuda_c<T> *g, const double *factor,
                               adagrad_step<cuda_c<T>> o, const weft_adagrad_step *live,
                               const int64_t *unless)
{
    if (unless && *unless)
        return;
    if (live)
        o = rounded<T>(live);
    typedef cuda_c<T> C;
    const C by = factor ? (C)factor[0] : (C)1;
    int64_t i, n;
    cuda_stretch(r, &i, &n);
    for (i += (int64_t)threadIdx.x * N; i < n; i += CUDA_THREADS * N) {
        C at[N], d[N], vi[N];
        cuda_read(at, p, i, n, packs);
        cuda_read(d, g, i, n, packs);
        cuda_read(vi, v, i, n, packs);
        for (int k = 0; k < N; k++) {
            d[k] = o.sign * (d[k] * by) + o.decay * at[k];
            vi[k] = dry(vi[k] + d[k] * d[k]);
            at[k] = at[k] - o.lr * d[k] / (cuda_sqrt(vi[k]) + o.eps);
        }
        cuda_write(v, vi, i, n, packs);
        cuda_write(p, at, i, n, packs);
    }
}

weft_status weft__cuda_adagrad(weft_stream *s, weft_dev p, weft_dev v, weft_dev g, weft_dev by,
                               weft_dev unless, const int64_t *run, int64_t runs,
                               const weft_adagrad_step *o, weft_dtype dt)
{
    EACH_RUN(dt, "adagrad", adagrad, cuda_packs(p, v, g), cuda_at<T>(p), cuda_at<cuda_c<T>>(v),
             cuda_at<cuda_c<T>>(g), cuda_at<double>(by), rounded<T>(o),
             cuda_at<weft_adagrad_step>(s->live), cuda_at<int64_t>(unless))
}
