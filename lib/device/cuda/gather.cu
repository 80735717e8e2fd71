/* y = x at index along one dimension, and its gradient, whose sums are in the order of the elements
 * along that dimension. */
#include "device/cuda/buckets.cuh"
#include "device/cuda/labels.cuh"

struct places {
    weft__walk w; /* the shape; in x, where the gathered dimension does not move */
    const void *index;
    weft_dtype it;
    int64_t n, step; /* of that dimension in x */
};

template <class T> __global__ static void gather(T *y, int64_t *first, const T *x, places p, T nan)
{
    for (int64_t i = cuda_first(); i < p.w.numel; i += cuda_step()) {
        const int64_t at = cuda_label(p.index, p.it, i);
        int64_t from[1];
        cuda_seek(p.w, i, from);
        if (at >= 0 && at < p.n) {
            y[i] = x[from[0] + at * p.step];
        } else {
            y[i] = nan;
            atomicMin((cuda_number *)first, (cuda_number)i);
        }
    }
}

/* The first bad index goes into flag, unless an earlier call left one there. */
__global__ static void report(int64_t *flag, const int64_t *first, places p)
{
    const cuda_labels l = {p.index, p.it, p.w.numel, p.n, false, 0};
    cuda_report(flag, l, first[0] < 0 ? p.w.numel : first[0]);
}

static places places_of(const int64_t *xstride, weft_dev index, weft_dtype it, int rank,
                        const int64_t *shape, int dim, int64_t n)
{
    int64_t xs[WEFT_MAX_RANK];
    const int64_t *const stride[] = {xs};
    places p = {};
    for (int d = 0; d < rank; d++)
        xs[d] = d == dim ? 0 : xstride[d];
    weft__walk_of(&p.w, 1, rank, shape, stride);
    p.index = cuda_ptr(index);
    p.it = it;
    p.n = n;
    p.step = xstride[dim];
    return p;
}

template <class T>
static void run(weft_stream *s, weft_dev y, void *first, weft_dev x, const places &p, T nan)
{
    CUDA_RUN(gather<T>, cuda_blocks_of(s, p.w.numel, 1), cuda_at<T>(y), (int64_t *)first,
             cuda_at<T>(x), p, nan);
}

weft_status weft__cuda_gather(weft_stream *s, weft_dev y, weft_dev flag, weft_dev x,
                              const int64_t *xstride, weft_dev index, weft_dtype it, int rank,
                              const int64_t *shape, int dim, int64_t n, weft_dtype dt)
{
    void *first;
    if (!cuda_is_label(it))
        return weft__no_kernel(s->device, "gather", it);
    if (dt != WEFT_F32 && dt != WEFT_F64 && dt != WEFT_BF16 && dt != WEFT_F16)
        return weft__no_kernel(s->device, "gather", dt);
    const places p = places_of(xstride, index, it, rank, shape, dim, n);
    if (p.w.numel == 0)
        return WEFT_OK;
    WEFT_TRY(weft__cuda_scratch(s, sizeof(int64_t), &first));
    WEFT_TRY(weft__cuda_status(s->device, "cudaMemsetAsync",
                               cudaMemsetAsync(first, 0xFF, sizeof(int64_t), cuda_on(s))));
    if (dt == WEFT_F32)
        run<uint32_t>(s, y, first, x, p, 0x7FC00000U);
    else if (dt == WEFT_F64)
        run<uint64_t>(s, y, first, x, p, 0x7FF8000000000000U);
    else
        run<uint16_t>(s, y, first, x, p, dt == WEFT_BF16 ? 0x7FC0 : 0x7E00);
    report<<<1, 1, 0, cuda_on(s)>>>(cuda_at<int64_t>(flag), (const int64_t *)first, p);
    weft__cuda_unscratch(s, first);
    return weft__cuda_launched(s, "gather");
}

/* --- the gradient --- */

/* The lines along the dimension, each as long as the index is there. */
struct lines {
    int64_t inner, length, count; /* elements between neighbours of a line */
};

__device__ static inline int64_t element(const lines &l, int64_t line, int64_t j)
{
    return (line / l.inner * l.length + j) * l.inner + line % l.inner;
}

/* One thread a line: where there are many, or short ones. */
template <class T> __global__ static void by_line(cuda_c<T> *gx, const T *gy, places p, lines l)
{
    for (int64_t line = cuda_first(); line < l.count; line += cuda_step()) {
        int64_t to[1];
        cuda_seek(p.w, element(l, line, 0), to);
        for (int64_t j = 0; j < l.length; j++) {
            const int64_t i = element(l, line, j), at = cuda_label(p.index, p.it, i);
            if (at >= 0 && at < p.n)
                gx[to[0] + at * p.step] += cuda_wide(gy[i]);
        }
    }
}

/* Keys: places in gx, line by line. */
__global__ static void keys(weft__cuda_buckets b, places p, lines l)
{
    for (int64_t i = cuda_first(); i < b.n; i += cuda_step()) {
        const int64_t at = cuda_label(p.index, p.it, i);
        const int64_t line = i / (l.inner * l.length) * l.inner + i % l.inner;
        b.key[i] = at >= 0 && at < p.n ? line * p.n + at : -1;
    }
}

template <class T>
__global__ static void by_place(cuda_c<T> *gx, const T *gy, weft__cuda_buckets b, places p, lines l)
{
    for (int64_t k = cuda_first(); k < b.keys; k += cuda_step()) {
        const int64_t *order = b.order + b.at[k], count = (int64_t)b.count[k];
        int64_t to[1];
        if (!count)
            continue;
        cuda_seek(p.w, element(l, k / p.n, 0), to);
        cuda_c<T> *y = gx + to[0] + k % p.n * p.step, sum = *y;
        for (int64_t e = 0; e < count; e++)
            sum += cuda_wide(gy[order[e]]);
        *y = sum;
    }
}

template <class T>
static weft_status run_back(weft_stream *s, weft_dev gx, weft_dev gy, const places &p,
                            const lines &l)
{
    weft__cuda_buckets b;
    if (l.count >= 4096 || l.length <= 64) {
        CUDA_RUN(by_line<T>, cuda_blocks_of(s, l.count, 1), cuda_at<cuda_c<T>>(gx), cuda_at<T>(gy),
                 p, l);
        return WEFT_OK;
    }
    WEFT_TRY(weft__cuda_buckets_new(s, &b, p.w.numel, l.count * p.n));
    CUDA_RUN(keys, cuda_blocks_of(s, b.n, 1), b, p, l);
    weft__cuda_buckets_sort(s, &b);
    CUDA_RUN(by_place<T>, cuda_blocks_of(s, b.keys, 1), cuda_at<cuda_c<T>>(gx), cuda_at<T>(gy), b,
             p, l);
    weft__cuda_buckets_free(s, &b);
    return WEFT_OK;
}

weft_status weft__cuda_gather_back(weft_stream *s, weft_dev gx, const int64_t *gxstride,
                                   weft_dev gy, weft_dev index, weft_dtype it, int rank,
                                   const int64_t *shape, int dim, int64_t n, weft_dtype dt)
{
    if (!cuda_is_label(it))
        return weft__no_kernel(s->device, "gather_back", it);
    const places p = places_of(gxstride, index, it, rank, shape, dim, n);
    lines l = {1, shape[dim], 0};
    for (int d = dim + 1; d < rank; d++)
        l.inner *= shape[d];
    l.count = l.length ? p.w.numel / l.length : 0;
    CUDA_FLOATS(dt, "gather_back", WEFT_TRY(run_back<T>(s, gx, gy, p, l)))
    return weft__cuda_launched(s, "gather_back");
}
