/* Cross entropy of rows of logits with labels, and its gradient. <weft/sys/kernels.h> has the formulas;
 * they are taken as in device/cpu/xent.c. */
#include "device/cuda/labels.cuh"
#include "device/cuda/softmax.cuh"

template <class T> struct xent_of {
    T *y, *loss; /* p and the loss; in xent_back gx and the incoming gradient */
    const T *x, *weight;
    cuda_labels l;
    double alpha, smoothing;
    const double *divisor, *all; /* 0: 1, and c */
    bool log_probs, each;
};

template <class T> struct xent_row {
    int64_t label;
    bool counts, good;
    double divisor, spread, all; /* all: the sum of the classes' weights */
};

template <class T> __device__ static inline double weight_of(const xent_of<T> &a, int64_t j)
{
    return a.weight ? (double)a.weight[j] : 1;
}

template <class T> __device__ static inline xent_row<T> row_of(const xent_of<T> &a, int64_t r)
{
    xent_row<T> w;
    w.label = cuda_label(a.l.label, a.l.lt, r);
    w.counts = !a.l.ignores || w.label != a.l.ignore;
    w.good = w.label >= 0 && w.label < a.l.c;
    w.divisor = a.divisor ? *a.divisor : 1;
    w.spread = a.smoothing / (double)a.l.c;
    w.all = a.all ? *a.all : (double)a.l.c;
    return w;
}

template <class T, int G> __global__ static void xent(xent_of<T> a)
{
    const int64_t r = cuda_row<G>(), c = a.l.c;
    if (r >= a.l.rows)
        return;
    const xent_row<T> w = row_of(a, r);
    const T *x = a.x + r * c;
    T *p = a.y + r * c, m = 0;
    const double u = w.good ? (1 - a.smoothing) * weight_of(a, w.label) : 0;
    const T at = w.good ? x[w.label] : (T)NAN; /* read before p, which may lie on x */
    double mean = 0, sum = 1, smooth = 0;
    if (w.spread > 0 && w.counts) {
        for (int64_t j = cuda_lane<G>(); j < c; j += G)
            mean += weight_of(a, j) * (double)x[j];
        mean = cuda_join<G>(mean, cuda_plus());
    }
    if (!a.log_probs)
        sum = cuda_powers<G>(x, c, &m);
    if (w.spread > 0)
        smooth = w.spread * (w.all * (log(sum) + (double)m) - mean);
    const double hit = w.good && u == 0 ? 0 : log(sum) + ((double)m - (double)at);
    const double whole = w.counts ? (w.good ? u * hit : hit) + smooth : 0;
    if (cuda_lane<G>() == 0)
        a.loss[r] = (T)(whole / w.divisor); /* NaN where nothing counts */
    for (int64_t j = cuda_lane<G>(); j < c && !a.log_probs; j += G)
        p[j] = cuda_power(x[j] - m) / (T)sum;
}

/* gx = s ((u + e/c sum w) p - e/c w), and -s u more at the label. */
template <class T, int G> __global__ static void xent_back(xent_of<T> a)
{
    const int64_t r = cuda_row<G>(), c = a.l.c;
    if (r >= a.l.rows)
        return;
    const xent_row<T> w = row_of(a, r);
    const T *p = a.x + r * c;
    T *gx = a.y + r * c;
    const double s = (double)a.loss[a.each ? r : 0] * a.alpha / w.divisor;
    const double u = w.good ? (1 - a.smoothing) * weight_of(a, w.label) : (double)NAN;
    const double all = !w.counts ? 0 : a.log_probs ? 0 * u : u + w.spread * w.all;
    const T of_row = w.counts ? (T)(s * all) : 0, each = w.counts ? (T)(s * w.spread) : 0;
    const bool plain = a.log_probs || !w.counts;
#pragma unroll 4
    for (int64_t j = cuda_lane<G>(); j < c; j += G) {
        const T here = plain ? 0 : p[j];
        T v = plain ? of_row : of_row * here;
        if (w.spread > 0)
            v -= each * (T)weight_of(a, j);
        if (j == w.label && w.counts)
            v = (T)(s * ((a.log_probs ? 0 : all * (double)here) - u - w.spread * weight_of(a, j)));
        gx[j] = v;
    }
}

template <class T>
static xent_of<T> terms(const weft_xent_terms *o, weft_dev y, weft_dev loss, weft_dev x,
                        weft_dev label, weft_dtype lt, int64_t rows, int64_t c)
{
    static const weft_xent_terms none = {};
    o = o ? o : &none;
    xent_of<T> a = {};
    a.y = cuda_at<T>(y);
    a.loss = cuda_at<T>(loss);
    a.x = cuda_at<T>(x);
    a.weight = cuda_at<T>(o->weight);
    a.l = cuda_labels{cuda_ptr(label), lt, rows, c, o->ignores != 0, o->ignore};
    a.smoothing = o->smoothing;
    a.divisor = cuda_at<double>(o->divisor);
    a.log_probs = o->log_probs != 0;
    a.each = o->each != 0;
    return a;
}

/* Looks at labels and weights where that is asked for. *all: scratch memory, or 0. */
template <class T>
static weft_status survey(weft_stream *s, xent_of<T> *a, weft_dev flag, void **all)
{
    double *divisor = flag.addr ? (double *)a->divisor : NULL;
    *all = NULL;
    if (a->weight && a->smoothing > 0)
        WEFT_TRY(weft__cuda_scratch(s, sizeof(double), all));
    a->all = (const double *)*all;
    return flag.addr || *all ? cuda_look<T>(s, a->l, flag, a->weight, divisor, (double *)*all)
                             : WEFT_OK;
}

template <class T> static weft_status run(weft_stream *s, xent_of<T> a, weft_dev flag, bool back)
{
    void *all;
    WEFT_TRY(survey<T>(s, &a, flag, &all));
    if (back)
        CUDA_ROWS(xent_back, a.l.rows, a.l.c, a);
    else
        CUDA_ROWS(xent, a.l.rows, a.l.c, a);
    if (all)
        weft__cuda_unscratch(s, all);
    return weft__cuda_launched(s, back ? "xent_back" : "xent");
}

weft_status weft__cuda_xent(weft_stream *s, weft_dev loss, weft_dev p, weft_dev flag, weft_dev x,
                            weft_dev label, weft_dtype lt, int64_t rows, int64_t c,
                            const weft_xent_terms *o, weft_dtype dt)
{
    if (!cuda_is_label(lt))
        return weft__no_kernel(s->device, "xent", lt);
    CUDA_PAIR(dt, "xent",
              return run<T>(s, terms<T>(o, p, loss, x, label, lt, rows, c), flag, false))
}

weft_status weft__cuda_xent_back(weft_stream *s, weft_dev gx, weft_dev g, double alpha, weft_dev p,
                                 weft_dev label, weft_dtype lt, int64_t rows, int64_t c,
                                 const weft_xent_terms *o, weft_dtype dt)
{
    if (!cuda_is_label(lt))
        return weft__no_kernel(s->device, "xent_back", lt);
    CUDA_PAIR(dt, "xent_back", xent_of<T> a = terms<T>(o, gx, g, p, label, lt, rows, c);
              a.alpha = alpha; return run<T>(s, a, weft_dev{0}, true))
}
