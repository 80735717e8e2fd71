/* Conditions: y = a op b as 1 or 0, and y = a where c, b elsewhere. */
#include "device/cuda/strided.cuh"

template <class C> __device__ static inline bool holds(weft_compare op, C u, C v)
{
    switch (op) {
    case WEFT_EQ:
        return u == v;
    case WEFT_NE:
        return u != v;
    case WEFT_LT:
        return u < v;
    case WEFT_LE:
        return u <= v;
    case WEFT_GT:
        return u > v;
    default:
        return u >= v;
    }
}

template <class T, int N>
__global__ static void compare(weft_compare op, uint8_t *y, const T *a, const T *b, weft__walk w)
{
    const int last = w.rank - 1;
    for (int64_t i = cuda_first() * N; i < w.numel; i += cuda_step() * N) {
        cuda_c<T> u[N], v[N];
        uint8_t yes[N];
        int64_t at[2];
        cuda_seek(w, i, at);
        cuda_take(u, a, at[0], w.stride[0][last], w.numel - i);
        cuda_take(v, b, at[1], w.stride[1][last], w.numel - i);
        for (int k = 0; k < N; k++)
            yes[k] = holds(op, u[k], v[k]);
        cuda_write(y, yes, i, w.numel, true);
    }
}

/* Elements are moved as their bits. */
template <class T, int N>
__global__ static void where(T *y, const uint8_t *c, const T *a, const T *b, weft__walk w)
{
    const int last = w.rank - 1;
    for (int64_t i = cuda_first() * N; i < w.numel; i += cuda_step() * N) {
        T u[N], v[N];
        uint8_t yes[N];
        int64_t at[3];
        cuda_seek(w, i, at);
        cuda_take(u, a, at[0], w.stride[0][last], w.numel - i);
        cuda_take(v, b, at[1], w.stride[1][last], w.numel - i);
        cuda_take(yes, c, at[2], w.stride[2][last], w.numel - i);
        for (int k = 0; k < N; k++)
            u[k] = yes[k] ? u[k] : v[k];
        cuda_write(y, u, i, w.numel, true);
    }
}

template <class T>
static void run_compare(weft_stream *s, weft_compare op, weft_dev y, weft_dev a, weft_dev b,
                        const weft__walk *w)
{
    constexpr int N = cuda_pack<T>::n;
    if (cuda_aligned(N, y, 1) && cuda_together(w, 0, N, a, sizeof(T)) &&
        cuda_together(w, 1, N, b, sizeof(T)))
        CUDA_RUN((compare<T, N>), cuda_blocks_of(s, w->numel, N), op, cuda_at<uint8_t>(y),
                 cuda_at<T>(a), cuda_at<T>(b), *w);
    else
        CUDA_RUN((compare<T, 1>), cuda_blocks_of(s, w->numel, 1), op, cuda_at<uint8_t>(y),
                 cuda_at<T>(a), cuda_at<T>(b), *w);
}

template <class T>
static void run_where(weft_stream *s, weft_dev y, weft_dev c, weft_dev a, weft_dev b,
                      const weft__walk *w)
{
    constexpr int N = cuda_pack<T>::n;
    if (cuda_packs(y) && cuda_together(w, 0, N, a, sizeof(T)) &&
        cuda_together(w, 1, N, b, sizeof(T)) && cuda_together(w, 2, N, c, 1))
        CUDA_RUN((where<T, N>), cuda_blocks_of(s, w->numel, N), cuda_at<T>(y), cuda_at<uint8_t>(c),
                 cuda_at<T>(a), cuda_at<T>(b), *w);
    else
        CUDA_RUN((where<T, 1>), cuda_blocks_of(s, w->numel, 1), cuda_at<T>(y), cuda_at<uint8_t>(c),
                 cuda_at<T>(a), cuda_at<T>(b), *w);
}

weft_status weft__cuda_compare(weft_stream *s, weft_compare op, weft_dev y, weft_dev a,
                               const int64_t *astride, weft_dev b, const int64_t *bstride, int rank,
                               const int64_t *shape, weft_dtype dt)
{
    const int64_t *const stride[] = {astride, bstride};
    weft__walk w;
    weft__walk_of(&w, 2, rank, shape, stride);
    CUDA_NUMBERS(dt, "compare", run_compare<T>(s, op, y, a, b, &w))
    return weft__cuda_launched(s, "compare");
}

weft_status weft__cuda_where(weft_stream *s, weft_dev y, weft_dev c, const int64_t *cstride,
                             weft_dev a, const int64_t *astride, weft_dev b, const int64_t *bstride,
                             int rank, const int64_t *shape, weft_dtype dt)
{
    const int64_t *const stride[] = {astride, bstride, cstride};
    weft__walk w;
    weft__walk_of(&w, 3, rank, shape, stride);
    CUDA_SWITCH(dt, "where",
                CUDA_CASE(WEFT_F32, uint32_t, run_where<T>(s, y, c, a, b, &w))
                    CUDA_CASE(WEFT_F64, uint64_t, run_where<T>(s, y, c, a, b, &w))
                        CUDA_CASE(WEFT_I64, uint64_t, run_where<T>(s, y, c, a, b, &w))
                            CUDA_CASE(WEFT_BF16, uint16_t, run_where<T>(s, y, c, a, b, &w))
                                CUDA_CASE(WEFT_F16, uint16_t, run_where<T>(s, y, c, a, b, &w)))
    return weft__cuda_launched(s, "where");
}
