/* Uniform numbers: y[i] = lo + (hi - lo) u(first + i), formed in f64. */
#include "device/cpu/words.h"

struct draws {
    void *y;
    uint64_t seed, stream, step;
    int64_t first;
    double lo, span;
};

/* With so many words for a number. */
#define UNIFORM(name, T, words, unit)                                                              \
    static void name(const void *args, int64_t lo, int64_t hi)                                     \
    {                                                                                              \
        const struct draws *a = args;                                                              \
        uint32_t room[WORDS_ROOM(WORDS_ONCE)];                                                     \
        for (int64_t n; lo < hi; lo += n) {                                                        \
            n = hi - lo < WORDS_ONCE / (words) ? hi - lo : WORDS_ONCE / (words);                   \
            T *y = (T *)a->y + lo;                                                                 \
            const uint32_t *w = weft__cpu_words(room, a->seed, a->stream, a->step,                 \
                                                (words) * (uint64_t)(a->first + lo), (words)*n);   \
            _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] =                             \
                (T)(a->lo + a->span * unit(w + i * (words)));                                      \
        }                                                                                          \
    }
UNIFORM(uniform_f32, float, 1, words_f32)
UNIFORM(uniform_f64, double, 2, words_f64)

weft_status weft__cpu_uniform(weft_stream *s, weft_dev y, uint64_t seed, uint64_t stream,
                              uint64_t step, int64_t first, int64_t n, double lo, double hi,
                              weft_dtype dt)
{
    const struct draws a = {cpu_ptr(y), seed, stream, step, first, lo, hi - lo};
    if (dt != WEFT_F32 && dt != WEFT_F64)
        return weft__no_kernel(s->device, "uniform", dt);
    weft__cpu_elements(s->device, dt == WEFT_F32 ? uniform_f32 : uniform_f64, &a, n, 8);
    return WEFT_OK;
}
