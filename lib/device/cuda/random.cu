/* Uniform numbers, and dropout: the same bits as on the cpu. A thread makes the numbers of a block, four
 * of 24 bits or two of 53. */
#include "device/cuda/random.cuh"

struct draws {
    uint64_t seed, stream, step;
    int64_t first, n;
    double lo, span;
};

template <class T> __device__ static inline T number(const draws &d, double u)
{
    return (T)__dadd_rn(d.lo, __dmul_rn(d.span, u));
}

__device__ static inline void numbers(float (&v)[4], const draws &d, const uint32_t (&w)[4])
{
    for (int k = 0; k < 4; k++)
        v[k] = number<float>(d, (double)(w[k] >> 8) * 0x1p-24);
}
__device__ static inline void numbers(double (&v)[2], const draws &d, const uint32_t (&w)[4])
{
    v[0] = number<double>(d, cuda_unit(w[0], w[1]));
    v[1] = number<double>(d, cuda_unit(w[2], w[3]));
}

template <class T> __global__ static void uniform(T *y, draws d)
{
    constexpr int N = cuda_pack<T>::n;
    const int64_t before = d.first % N;
    for (int64_t i = cuda_first() * N - before; i < d.n; i += cuda_step() * N) {
        uint32_t w[4];
        T v[N];
        cuda_draw(d.seed, d.stream, d.step, (uint64_t)(d.first + i) / N, w);
        numbers(v, d, w);
        for (int k = 0; k < N; k++)
            if (i + k >= 0 && i + k < d.n)
                y[i + k] = v[k];
    }
}

weft_status weft__cuda_uniform(weft_stream *s, weft_dev y, uint64_t seed, uint64_t stream,
                               uint64_t step, int64_t first, int64_t n, double lo, double hi,
                               weft_dtype dt)
{
    const draws d = {seed, stream, step, first, n, lo, hi - lo};
    CUDA_PAIR(
        dt, "uniform",
        CUDA_RUN(uniform<T>, n ? cuda_blocks_of(s, n + 3, cuda_pack<T>::n) : 0, cuda_at<T>(y), d))
    return weft__cuda_launched(s, "uniform");
}

/* The number of element (line, 0) of the shape (outer, rows, inner). */
__device__ static inline uint64_t number_of(const weft_dropout_terms &o, int64_t line)
{
    const bool small =
        o.outer * o.rows <= INT32_MAX; /* 32-bit divisions take a third of the time */
    const int64_t outer = small ? (uint32_t)line / (uint32_t)o.rows : line / o.rows;
    const int64_t row = o.base + line - outer * o.rows;
    return (uint64_t)((row * o.outer + outer) * o.inner);
}

/* Four elements a thread, whose numbers are mostly those of one block. */
template <class T>
__global__ static void dropout(T *y, const T *x, weft_dropout_terms o,
                               const weft_dropout_terms *live, uint64_t below, cuda_c<T> keep,
                               bool packs)
{
    if (live) {
        o.seed = live->seed;
        o.stream = live->stream;
        o.step = live->step;
        o.base = live->base;
    }
    const int64_t n = o.outer * o.rows * o.inner;
    for (int64_t i = cuda_first() * 4; i < n; i += cuda_step() * 4) {
        int64_t line = n <= INT32_MAX ? (uint32_t)i / (uint32_t)o.inner : i / o.inner;
        int64_t in = i - line * o.inner;
        uint64_t number = number_of(o, line) + (uint64_t)in, block = ~(uint64_t)0;
        cuda_c<T> v[4];
        uint32_t w[4];
        cuda_read(v, x, i, n, packs);
        for (int k = 0; k < 4; k++, number++, in++) {
            if (in == o.inner) {
                in = 0;
                number = number_of(o, ++line);
            }
            if (block != number / 4)
                cuda_draw(o.seed, o.stream, o.step, block = number / 4, w);
            const int at = (int)(number % 4);
            const uint32_t word = at < 2 ? at ? w[1] : w[0] : at == 2 ? w[2] : w[3];
            v[k] = word < below ? 0 : v[k] * keep;
        }
        cuda_write(y, v, i, n, packs);
    }
}

weft_status weft__cuda_dropout(weft_stream *s, weft_dev y, weft_dev x, const weft_dropout_terms *o,
                               weft_dtype dt)
{
    const int64_t n = o->outer * o->rows * o->inner;
    const uint64_t below = (uint64_t)(o->p * 0x1p32 + 0.5);
    const double keep = 1 / (1 - o->p);
    CUDA_FLOATS(dt, "dropout",
                CUDA_RUN(dropout<T>, cuda_blocks_of(s, n, 4), cuda_at<T>(y), cuda_at<T>(x), *o,
                         cuda_at<weft_dropout_terms>(s->live), below, (cuda_c<T>)keep, cuda_packs(y, x)))
    return weft__cuda_launched(s, "dropout");
}
