/* Cross entropy of rows of logits that stay as they are: the formulas of device/cpu/xent_lse.c. Rows are
 * read 16 bytes at a time, once in each direction. */
#include "device/cuda/labels.cuh"
#include "device/cuda/softmax.cuh"

#include <float.h>

template <class T> struct lse_of {
    T *gx;
    cuda_c<T> *loss; /* in xent_lse_back the incoming gradient */
    double *lse;
    const T *x;
    cuda_labels l;
    double alpha;
    const double *divisor; /* 0: 1 */
    bool each, packs;
};

#define AHEAD 4 /* packs that a thread asks for before it adds the first */

/* What a thread has of a row: the sum of exp(x - top). */
struct powers {
    float top, sum;
};

__device__ static inline float power(float x)
{
    return cuda_near_power(x * 1.44269504F);
}

/* NaN is passed over in the maximum. */
template <int N> __device__ static inline void add(powers &p, const float (&v)[N])
{
    float most = p.top, sum = 0;
#pragma unroll
    for (int k = 0; k < N; k++)
        most = fmaxf(v[k], most);
    if (most > p.top) {
        p.sum *= power(p.top - most);
        p.top = most;
    }
#pragma unroll
    for (int k = 0; k < N; k++)
        sum += power(v[k] - most);
    p.sum += sum;
}

template <int G, class T> __device__ static inline double lse_row(const T *x, int64_t c, bool packs)
{
    constexpr int n = cuda_pack<T>::n, apart = G * n;
    powers p = {-FLT_MAX, 0};
    if (packs)
        for (int64_t j = cuda_lane<G>() * n; j < c; j += AHEAD * apart) {
            float v[AHEAD][n];
#pragma unroll
            for (int a = 0; a < AHEAD; a++)
                cuda_load(v[a], x, j + a * apart < c ? j + a * apart : j);
#pragma unroll
            for (int a = 0; a < AHEAD; a++)
                if (j + a * apart < c)
                    add(p, v[a]);
        }
    else
        for (int64_t j = cuda_lane<G>(); j < c; j += G) {
            const float v[1] = {cuda_wide(x[j])};
            add(p, v);
        }
    const float most = cuda_join<G>(p.top, cuda_higher());
    if (p.top != most)
        p.sum *= power(p.top - most);
    const double sum = cuda_join<G>((double)p.sum, cuda_plus());
    return sum > 0 ? (double)most + log(sum) : (double)NAN;
}

template <class T, int G> __global__ static void xent_lse(lse_of<T> a)
{
    const int64_t r = cuda_row<G>(), c = a.l.c;
    if (r >= a.l.rows)
        return;
    const T *x = a.x + r * c;
    const double lse = lse_row<G>(x, c, a.packs);
    if (cuda_lane<G>())
        return;
    const int64_t label = cuda_label(a.l.label, a.l.lt, r);
    double loss = (double)NAN;
    if (a.l.ignores && label == a.l.ignore)
        loss = 0;
    else if (label >= 0 && label < c)
        loss = lse - (double)cuda_wide(x[label]);
    a.lse[r] = lse;
    a.loss[r] = (cuda_c<T>)(loss / (a.divisor ? *a.divisor : 1)); /* NaN where nothing counts */
}

template <class T, int G> __global__ static void xent_lse_back(lse_of<T> a)
{
    typedef cuda_c<T> C;
    constexpr int n = cuda_pack<T>::n;
    const int64_t r = cuda_row<G>(), c = a.l.c;
    if (r >= a.l.rows)
        return;
    const T *x = a.x + r * c;
    T *gx = a.gx + r * c;
    const int64_t label = cuda_label(a.l.label, a.l.lt, r);
    const bool counts = !a.l.ignores || label != a.l.ignore;
    const C lse = (C)a.lse[r];
    const double s = (double)a.loss[a.each ? r : 0] * a.alpha / (a.divisor ? *a.divisor : 1);
    const C times = label >= 0 && label < c ? (C)s : (C)NAN;
    const auto of = [&](T at, int64_t j) {
        const C power = cuda_power(cuda_wide(at) - lse);
        const C v = j == label ? (C)(s * ((double)power - 1)) : times * power;
        return cuda_narrow<T>(counts ? v : (C)0);
    };
    if (a.packs)
        for (int64_t j = cuda_lane<G>() * n; j < c; j += G * n) {
            cuda_pack<T> at = *(const cuda_pack<T> *)(x + j);
#pragma unroll
            for (int k = 0; k < n; k++)
                at.x[k] = of(at.x[k], j + k);
            *(cuda_pack<T> *)(gx + j) = at;
        }
    else
        for (int64_t j = cuda_lane<G>(); j < c; j += G)
            gx[j] = of(x[j], j);
}

template <class T>
static lse_of<T> terms(const weft_xent_terms *o, weft_dev gx, weft_dev loss, weft_dev lse,
                       weft_dev x, weft_dev label, weft_dtype lt, int64_t rows, int64_t c)
{
    static const weft_xent_terms none = {};
    o = o ? o : &none;
    lse_of<T> a = {};
    a.gx = cuda_at<T>(gx);
    a.loss = cuda_at<cuda_c<T>>(loss);
    a.lse = cuda_at<double>(lse);
    a.x = cuda_at<T>(x);
    a.l = cuda_labels{cuda_ptr(label), lt, rows, c, o->ignores != 0, o->ignore};
    a.divisor = cuda_at<double>(o->divisor);
    a.each = o->each != 0;
    a.packs = c % cuda_pack<T>::n == 0 && cuda_packs(gx, x);
    return a;
}

template <class T> static weft_status run(weft_stream *s, const lse_of<T> &a, weft_dev flag)
{
    if (flag.addr)
        WEFT_TRY(cuda_look<float>(s, a.l, flag, NULL, (double *)a.divisor, NULL));
    CUDA_ROWS(xent_lse, a.l.rows, a.l.c, a);
    return weft__cuda_launched(s, "xent_lse");
}

template <class T> static weft_status run_back(weft_stream *s, const lse_of<T> &a)
{
    CUDA_ROWS(xent_lse_back, a.l.rows, a.l.c, a);
    return weft__cuda_launched(s, "xent_lse_back");
}

#define LOW(dt, name, ...)                                                                         \
    CUDA_SWITCH(dt, name,                                                                          \
                CUDA_CASE(WEFT_BF16, cuda_bf16, __VA_ARGS__)                                       \
                    CUDA_CASE(WEFT_F16, cuda_f16, __VA_ARGS__))

weft_status weft__cuda_xent_lse(weft_stream *s, weft_dev loss, weft_dev lse, weft_dev flag,
                                weft_dev x, weft_dev label, weft_dtype lt, int64_t rows, int64_t c,
                                const weft_xent_terms *o, weft_dtype dt)
{
    const weft_dev none = {0};
    if (!cuda_is_label(lt))
        return weft__no_kernel(s->device, "xent_lse", lt);
    LOW(dt, "xent_lse", return run<T>(s, terms<T>(o, none, loss, lse, x, label, lt, rows, c), flag))
}

weft_status weft__cuda_xent_lse_back(weft_stream *s, weft_dev gx, weft_dev g, double alpha,
                                     weft_dev x, weft_dev lse, weft_dev label, weft_dtype lt,
                                     int64_t rows, int64_t c, const weft_xent_terms *o,
                                     weft_dtype dt)
{
    if (!cuda_is_label(lt))
        return weft__no_kernel(s->device, "xent_lse_back", lt);
    LOW(dt, "xent_lse_back", lse_of<T> a = terms<T>(o, gx, g, lse, x, label, lt, rows, c);
        a.alpha = alpha; return run_back<T>(s, a))
}
