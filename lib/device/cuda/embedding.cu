/* Rows of a table by index, and the sums of their gradients in the order of the indices. */
#include "device/cuda/buckets.cuh"
#include "device/cuda/labels.cuh"

/* Rows are moved as their bits; N divides c. */
template <class T, int N>
__global__ static void embedding(T *y, const T *w, const void *index, weft_dtype it, int64_t n,
                                 int64_t rows, int64_t c, T nan)
{
    const int64_t packs = c / N;
    for (int64_t k = cuda_first(); k < n * packs; k += cuda_step()) {
        const int64_t i = n * packs <= INT32_MAX ? (uint32_t)k / (uint32_t)packs : k / packs;
        const int64_t j = (k - i * packs) * N, at = cuda_label(index, it, i);
        T v[N];
        if (at >= 0 && at < rows)
            cuda_read(v, w + at * c, j, c, true);
        else
            for (int e = 0; e < N; e++)
                v[e] = nan;
        cuda_write(y + i * c, v, j, c, true);
    }
}

template <class T>
static void run(weft_stream *s, weft_dev y, weft_dev w, weft_dev index, weft_dtype it, int64_t n,
                int64_t rows, int64_t c, T nan)
{
    constexpr int N = cuda_pack<T>::n;
    if (c % N == 0 && cuda_packs(y, w))
        CUDA_RUN((embedding<T, N>), cuda_blocks_of(s, n * c, N), cuda_at<T>(y), cuda_at<T>(w),
                 cuda_ptr(index), it, n, rows, c, nan);
    else
        CUDA_RUN((embedding<T, 1>), cuda_blocks_of(s, n * c, 1), cuda_at<T>(y), cuda_at<T>(w),
                 cuda_ptr(index), it, n, rows, c, nan);
}

weft_status weft__cuda_embedding(weft_stream *s, weft_dev y, weft_dev flag, weft_dev w,
                                 weft_dev index, weft_dtype it, int64_t n, int64_t rows, int64_t c,
                                 weft_dtype dt)
{
    if (!cuda_is_label(it))
        return weft__no_kernel(s->device, "embedding", it);
    switch (dt) {
    case WEFT_F32:
        run<uint32_t>(s, y, w, index, it, n, rows, c, 0x7FC00000U);
        break;
    case WEFT_F64:
        run<uint64_t>(s, y, w, index, it, n, rows, c, 0x7FF8000000000000U);
        break;
    case WEFT_BF16:
        run<uint16_t>(s, y, w, index, it, n, rows, c, 0x7FC0);
        break;
    case WEFT_F16:
        run<uint16_t>(s, y, w, index, it, n, rows, c, 0x7E00);
        break;
    default:
        return weft__no_kernel(s->device, "embedding", dt);
    }
    const cuda_labels l = {cuda_ptr(index), it, n, rows, false, 0};
    WEFT_TRY(cuda_look<float>(s, l, flag, NULL, NULL, NULL));
    return weft__cuda_launched(s, "embedding");
}

__global__ static void keys(weft__cuda_buckets b, const void *index, weft_dtype it, int64_t skip)
{
    for (int64_t i = cuda_first(); i < b.n; i += cuda_step()) {
        const int64_t at = cuda_label(index, it, i);
        b.key[i] = at >= 0 && at < b.keys && at != skip ? at : -1;
    }
}

/* A block has rows of the table, its threads N columns each. add: to what is there. */
template <class T, int N>
__global__ static void sums(cuda_c<T> *gw, const T *gy, weft__cuda_buckets b, int64_t c,
                            bool add)
{
    for (int64_t r = blockIdx.x; r < b.keys; r += gridDim.x) {
        const int64_t *order = b.order + b.at[r], count = (int64_t)b.count[r];
        for (int64_t j = (int64_t)threadIdx.x * N; j < c; j += (int64_t)blockDim.x * N) {
            cuda_c<T> sum[N] = {0}, g[N];
            if (add && count == 0)
                break;
            if (add)
                cuda_read(sum, gw + r * c, j, c, true);
#pragma unroll 4
            for (int64_t k = 0; k < count; k++) {
                cuda_read(g, gy + order[k] * c, j, c, true);
                for (int e = 0; e < N; e++)
                    sum[e] += g[e];
            }
            cuda_write(gw + r * c, sum, j, c, true);
        }
    }
}

template <class T>
static void run_back(weft_stream *s, weft_dev gw, weft_dev gy, const weft__cuda_buckets *b,
                     int64_t c, bool add)
{
    constexpr int N = 4;
    const int64_t most = (int64_t)cuda_of(s->device)->processors * 64;
    const unsigned blocks = c ? (unsigned)(b->keys < most ? b->keys : most) : 0;
    if (c % N == 0 && cuda_packs(gw, gy))
        CUDA_RUN((sums<T, N>), blocks, cuda_at<cuda_c<T>>(gw), cuda_at<T>(gy), *b, c, add);
    else
        CUDA_RUN((sums<T, 1>), blocks, cuda_at<cuda_c<T>>(gw), cuda_at<T>(gy), *b, c, add);
}

weft_status weft__cuda_embedding_back(weft_stream *s, weft_dev gw, weft_dev gy, weft_dev index,
                                      weft_dtype it, int64_t n, int64_t rows, int64_t c,
                                      int64_t skip, int beta, weft_dtype dt)
{
    weft__cuda_buckets b;
    if (!cuda_is_label(it))
        return weft__no_kernel(s->device, "embedding_back", it);
    WEFT_TRY(weft__cuda_buckets_new(s, &b, n, rows));
    CUDA_RUN(keys, cuda_blocks_of(s, n, 1), b, cuda_ptr(index), it, skip);
    weft__cuda_buckets_sort(s, &b);
    CUDA_FLOATS(dt, "embedding_back", run_back<T>(s, gw, gy, &b, c, beta != 0))
    weft__cuda_buckets_free(s, &b);
    return weft__cuda_launched(s, "embedding_back");
}
