/* Losses of elements with their targets, and their derivatives; <weft/loss.h> has the formulas. */
#include "device/cuda/each.cuh"

struct loss_of {
    weft_loss_kind kind;
    double parameter;
    const void *weight;
    int64_t c;
    bool each, to_target;
};

/* log(1 + exp(-x)) */
__device__ static inline double softplus_of_minus(double x)
{
    return log1p(exp(-fabs(x))) + (x < 0 ? -x : 0);
}

/* 1 / (1 + exp(x)) */
__device__ static inline double logistic_of_minus(double x)
{
    const double e = exp(-fabs(x));
    return (x >= 0 ? e : 1) / (1 + e);
}

/* Of d = x - t, z = |d|. */
template <class T> __device__ static inline T distance(const loss_of &o, T d, T z)
{
    const T b = (T)o.parameter;
    if (o.kind == WEFT_LOSS_MSE)
        return d * d;
    if (o.kind == WEFT_LOSS_HUBER)
        return z <= b ? d * d / 2 : b * (z - b / 2);
    return z < b ? d * d / (2 * b) : z - b / 2;
}

template <class T> __device__ static inline T slope(const loss_of &o, T d, T z)
{
    const T b = (T)o.parameter;
    if (o.kind == WEFT_LOSS_MSE)
        return 2 * d;
    if (o.kind == WEFT_LOSS_HUBER)
        return z <= b ? d : d > 0 ? b : d < 0 ? -b : d;
    return z < b ? d / b : (T)((d > 0) - (d < 0)) + (d - d);
}

__device__ static inline double bce(double x, double t, double w)
{
    return (1 - t) * x + (1 + (w - 1) * t) * softplus_of_minus(x);
}

__device__ static inline double bce_slope(double x, double t, double w, bool to_target)
{
    return to_target ? (w - 1) * softplus_of_minus(x) - x
                     : 1 - t - (1 + (w - 1) * t) * logistic_of_minus(x);
}

__device__ static inline double kl(double x, double t, bool log_target)
{
    return log_target ? exp(t) * (t - x) : t == 0 ? 0 : t * (log(t) - x);
}

__device__ static inline double kl_slope(double x, double t, bool log_target, bool to_target)
{
    if (log_target)
        return to_target ? exp(t) * (t + 1 - x) : -exp(t);
    return !to_target ? -t : t == 0 ? 0 : log(t) + 1 - x;
}

template <class T> __global__ static void loss(T *y, const T *x, const T *t, int64_t n, loss_of o)
{
    for (int64_t i = cuda_first(); i < n; i += cuda_step()) {
        const T d = x[i] - t[i], z = d < 0 ? -d : d;
        const double w = o.weight ? (double)((const T *)o.weight)[i % o.c] : 1;
        if (o.kind <= WEFT_LOSS_SMOOTH_L1)
            y[i] = distance(o, d, z);
        else if (o.kind == WEFT_LOSS_BCE)
            y[i] = (T)bce((double)x[i], (double)t[i], w);
        else
            y[i] = (T)kl((double)x[i], (double)t[i], o.kind == WEFT_LOSS_KL_LOG);
    }
}

template <class T>
__global__ static void loss_back(T *gx, const T *g, double factor, const T *x, const T *t,
                                 int64_t n, loss_of o)
{
    const T alpha = (T)(o.kind <= WEFT_LOSS_SMOOTH_L1 && o.to_target ? -factor : factor);
    for (int64_t i = cuda_first(); i < n; i += cuda_step()) {
        const T d = x[i] - t[i], z = d < 0 ? -d : d;
        const double w = o.weight ? (double)((const T *)o.weight)[i % o.c] : 1;
        T v;
        if (o.kind <= WEFT_LOSS_SMOOTH_L1)
            v = slope(o, d, z);
        else if (o.kind == WEFT_LOSS_BCE)
            v = (T)bce_slope((double)x[i], (double)t[i], w, o.to_target);
        else
            v = (T)kl_slope((double)x[i], (double)t[i], o.kind == WEFT_LOSS_KL_LOG, o.to_target);
        gx[i] = v * (alpha * g[o.each ? i : 0]);
    }
}

static loss_of terms(const weft_loss_terms *o)
{
    return {o->kind, o->parameter, cuda_ptr(o->weight), o->c, o->each != 0, o->to_target != 0};
}

weft_status weft__cuda_loss(weft_stream *s, weft_dev y, weft_dev x, weft_dev t, int64_t n,
                            const weft_loss_terms *o, weft_dtype dt)
{
    CUDA_PAIR(dt, "loss",
              CUDA_RUN(loss<T>, cuda_blocks_of(s, n, 1), cuda_at<T>(y), cuda_at<T>(x),
                       cuda_at<T>(t), n, terms(o)))
    return weft__cuda_launched(s, "loss");
}

weft_status weft__cuda_loss_back(weft_stream *s, weft_dev gx, weft_dev g, double alpha, weft_dev x,
                                 weft_dev t, int64_t n, const weft_loss_terms *o, weft_dtype dt)
{
    CUDA_PAIR(dt, "loss_back",
              CUDA_RUN(loss_back<T>, cuda_blocks_of(s, n, 1), cuda_at<T>(gx), cuda_at<T>(g), alpha,
                       cuda_at<T>(x), cuda_at<T>(t), n, terms(o)))
    return weft__cuda_launched(s, "loss_back");
}
