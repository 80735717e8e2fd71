/* Rotary positions: pair j of position t turns by the angle a = t base^(-2j/n), n the numbers that are
 * turned: (u, v) -> (u cos a - v sin a, u sin a + v cos a). Angles are formed in f64, once for all heads. */
#include "device/cuda/each.cuh"

/* (cosine, sine) of pair j of position t at 2 (t pairs + j). */
__global__ static void angles(double *table, weft_rotary_terms o)
{
    const int64_t pairs = o.turned / 2;
    for (int64_t i = cuda_first(); i < o.positions * pairs; i += cuda_step()) {
        const int64_t t = i / pairs, j = i % pairs;
        const double power = -2.0 * (double)j / (double)o.turned;
        const double angle = (double)(o.first + t) * pow(o.base, power);
        table[2 * i] = cos(angle);
        table[2 * i + 1] = o.back ? -sin(angle) : sin(angle);
    }
}

/* An element each. */
template <class T>
__global__ static void rotary(T *y, const T *x, const double *table, weft_rotary_terms o)
{
    typedef cuda_c<T> C;
    const int64_t pairs = o.turned / 2, n = o.outer * o.positions * o.heads * o.size;
    for (int64_t i = cuda_first(); i < n; i += cuda_step()) {
        const bool small = n <= INT32_MAX; /* 32-bit divisions take a third of the time */
        const int64_t line = small ? (uint32_t)i / (uint32_t)o.size : i / o.size;
        const int64_t k = i - line * o.size;
        const int64_t step = small ? (uint32_t)line / (uint32_t)o.heads : line / o.heads;
        const int64_t h = line - step * o.heads, t = step % o.positions;
        if (h >= o.until || k >= 2 * pairs) {
            y[i] = x[i];
            continue;
        }
        const int64_t j = o.interleaved ? k / 2 : k % pairs, apart = o.interleaved ? 1 : pairs;
        const bool second = o.interleaved ? k % 2 : k >= pairs;
        const double *a = table + 2 * (t * pairs + j);
        const C cosine = (C)a[0], sine = (C)a[1];
        const C u = cuda_wide(x[second ? i - apart : i]), v = cuda_wide(x[second ? i : i + apart]);
        y[i] = cuda_narrow<T>(second ? u * sine + v * cosine : u * cosine - v * sine);
    }
}

weft_status weft__cuda_rotary(weft_stream *s, weft_dev y, weft_dev x, const weft_rotary_terms *o,
                              weft_dtype dt)
{
    const int64_t n = o->outer * o->positions * o->heads * o->size;
    const int64_t angled = o->positions * (o->turned / 2);
    void *table;
    WEFT_TRY(weft__cuda_scratch(s, (size_t)(2 * angled + 1) * sizeof(double), &table));
    CUDA_RUN(angles, n ? cuda_blocks_of(s, angled, 1) : 0, (double *)table, *o);
    CUDA_FLOATS(dt, "rotary",
                CUDA_RUN(rotary<T>, cuda_blocks_of(s, n, 1), cuda_at<T>(y), cuda_at<T>(x),
                         (const double *)table, *o))
    weft__cuda_unscratch(s, table);
    return weft__cuda_launched(s, "rotary");
}
