/* Counting rows of logits by label: hits (correct, topk) and a matrix (confusion). Numbers of rows are
 * added up as f64 or int64, exactly, and so in any order. */
#include "device/cuda/labels.cuh"

/* The first maximum as comparisons with > find it: NaN in the first place stays, others are passed
 * over. */
template <class T, int G>
__global__ static void correct(double *y, const T *x, const void *label, weft_dtype lt,
                               int64_t rows, int64_t c)
{
    const int64_t r = cuda_row<G>();
    if (r >= rows || c == 0)
        return;
    x += r * c;
    cuda_found<T> best = {0, CUDA_NOWHERE};
    for (int64_t j = cuda_lane<G>(); j < c; j += G) {
        const T v = j == 0 && x[0] != x[0] ? (T)INFINITY : x[j];
        if (v == v && (best.at == CUDA_NOWHERE || v > best.v))
            best = cuda_found<T>{v, j};
    }
    best = cuda_join<G>(best, cuda_first_of{true});
    if (cuda_lane<G>() == 0 && best.at == cuda_label(label, lt, r))
        atomicAdd(y, 1.0);
}

template <class T, int G>
__global__ static void topk(double *y, const T *x, const void *label, weft_dtype lt, int64_t rows,
                            int64_t c, int64_t k)
{
    const int64_t r = cuda_row<G>();
    if (r >= rows)
        return;
    x += r * c;
    const int64_t at = cuda_label(label, lt, r);
    if (at < 0 || at >= c || x[at] != x[at])
        return;
    int64_t before = 0;
    for (int64_t j = cuda_lane<G>(); j < c; j += G)
        before += !(x[j] <= x[at]) || (x[j] == x[at] && j < at);
    before = cuda_join<G>(before, cuda_plus());
    if (cuda_lane<G>() == 0 && before < k)
        atomicAdd(y, 1.0);
}

template <class T, int G>
__global__ static void confusion(unsigned long long *y, const T *x, const void *label,
                                 weft_dtype lt, int64_t rows, int64_t c)
{
    const int64_t r = cuda_row<G>();
    if (r >= rows)
        return;
    const cuda_found<T> best = cuda_best<G>(x + r * c, c, 1, true); /* NaN is largest */
    const int64_t at = cuda_label(label, lt, r);
    if (cuda_lane<G>() == 0 && at >= 0 && at < c)
        atomicAdd(y + at * c + best.at, 1ULL);
}

static weft_status report(weft_stream *s, weft_dev flag, weft_dev label, weft_dtype lt,
                          int64_t rows, int64_t c)
{
    const cuda_labels l = {cuda_ptr(label), lt, rows, c, false, 0};
    return cuda_look<float>(s, l, flag, NULL, NULL, NULL);
}

static weft_status none(weft_stream *s, weft_dev y, int64_t n)
{
    return weft__cuda_status(s->device, "cudaMemsetAsync",
                             cudaMemsetAsync(cuda_ptr(y), 0, (size_t)n * 8, cuda_on(s)));
}

weft_status weft__cuda_correct(weft_stream *s, weft_dev y, weft_dev x, weft_dev label,
                               weft_dtype lt, int64_t rows, int64_t c, weft_dtype dt)
{
    if (!cuda_is_label(lt))
        return weft__no_kernel(s->device, "correct", lt);
    WEFT_TRY(none(s, y, 1));
    CUDA_PAIR(dt, "correct",
              CUDA_ROWS(correct, rows, c, cuda_at<double>(y), cuda_at<T>(x), cuda_ptr(label), lt,
                        rows, c))
    return weft__cuda_launched(s, "correct");
}

weft_status weft__cuda_topk(weft_stream *s, weft_dev y, weft_dev flag, weft_dev x, weft_dev label,
                            weft_dtype lt, int64_t rows, int64_t c, int64_t k, weft_dtype dt)
{
    if (!cuda_is_label(lt))
        return weft__no_kernel(s->device, "topk", lt);
    WEFT_TRY(none(s, y, 1));
    CUDA_PAIR(dt, "topk",
              CUDA_ROWS(topk, rows, c, cuda_at<double>(y), cuda_at<T>(x), cuda_ptr(label), lt, rows,
                        c, k))
    WEFT_TRY(report(s, flag, label, lt, rows, c));
    return weft__cuda_launched(s, "topk");
}

weft_status weft__cuda_confusion(weft_stream *s, weft_dev y, weft_dev flag, weft_dev x,
                                 weft_dev label, weft_dtype lt, int64_t rows, int64_t c,
                                 weft_dtype dt)
{
    if (!cuda_is_label(lt))
        return weft__no_kernel(s->device, "confusion", lt);
    WEFT_TRY(none(s, y, c * c));
    CUDA_PAIR(dt, "confusion",
              CUDA_ROWS(confusion, rows, c, cuda_at<unsigned long long>(y), cuda_at<T>(x),
                        cuda_ptr(label), lt, rows, c))
    WEFT_TRY(report(s, flag, label, lt, rows, c));
    return weft__cuda_launched(s, "confusion");
}
