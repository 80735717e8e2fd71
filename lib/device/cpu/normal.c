/* What else is made of random numbers: normal values, by the inverse of their distribution's function,
 * and dropout. */
#ifdef T

#ifndef LOW
static void N(normal)(const void *args, int64_t lo, int64_t hi)
{
    const struct normal *a = args;
    const weft_normal_terms *o = a->o;
    uint32_t room[WORDS_ROOM(WORDS_ONCE)];
    double q[WORDS_ONCE / 2];
    int16_t at[WORDS_ONCE / 2]; /* of the tails: nobody guesses where they come */
    for (int64_t n; lo < hi; lo += n) {
        n = hi - lo < WORDS_ONCE / 2 ? hi - lo : WORDS_ONCE / 2;
        T *y = (T *)a->y + lo;
        const uint32_t *w = weft__cpu_words(room, a->seed, a->stream, 0, 2 * (uint64_t)lo, 2 * n);
#pragma omp simd
        for (int64_t i = 0; i < n; i++) {
            q[i] = o->lo + (o->hi - o->lo) * words_f64(w + 2 * i);
            y[i] = (T)(o->mean + o->std * cpu_near_half(q[i]));
        }
        int64_t far = 0;
        for (int64_t i = 0; i < n; i++) {
            at[far] = (int16_t)i;
            far += !cpu_is_near_half(q[i]);
        }
        for (int64_t i = 0; i < far; i++)
            y[at[i]] = (T)(o->mean + o->std * cpu_quantile(q[at[i]]));
    }
}
#endif

/* Elements are taken in runs of one row. */
static void N(dropout)(const void *args, int64_t lo, int64_t hi)
{
    const struct dropout *a = args;
    const weft_dropout_terms *o = a->o;
    const C keep = (C)(1 / (1 - o->p));
    const T *x = a->x;
    T *y = a->y;
    uint32_t room[WORDS_ROOM(WORDS_ONCE)];
    while (lo < hi) {
        const int64_t line = lo / o->inner, in = lo % o->inner, left = o->inner - in;
        const int64_t end = lo + left < hi ? lo + left : hi;
        const int64_t row = o->base + line % o->rows, outer = line / o->rows;
        uint64_t first = (uint64_t)((row * o->outer + outer) * o->inner + in);
        for (int64_t n; lo < end; lo += n, first += (uint64_t)n) {
            n = end - lo < WORDS_ONCE ? end - lo : WORDS_ONCE;
            const uint32_t *w = weft__cpu_words(room, o->seed, o->stream, o->step, first, n);
#pragma omp simd
            for (int64_t i = 0; i < n; i++)
                y[lo + i] = words_hit(w[i], a->drops) ? 0 : STORE(LOAD(x[lo + i]) * keep);
        }
    }
}

#else

#include "device/cpu/cpu.h"
#include "device/cpu/quantile.h"
#include "device/cpu/words.h"

struct normal {
    void *y;
    uint64_t seed, stream;
    const weft_normal_terms *o;
};

struct dropout {
    void *y;
    const void *x;
    words_chance drops;
    const weft_dropout_terms *o;
};

#define CPU_LOW
#define CPU_FAMILY "device/cpu/normal.c"
#include "device/cpu/typed.h"

weft_status weft__cpu_normal(weft_stream *s, weft_dev y, uint64_t seed, uint64_t stream, int64_t n,
                             const weft_normal_terms *o, weft_dtype dt)
{
    const struct normal a = {cpu_ptr(y), seed, stream, o};
    return weft__cpu_each(s, CPU_PAIR(normal), dt, &a, n, 32);
}

weft_status weft__cpu_dropout(weft_stream *s, weft_dev y, weft_dev x, const weft_dropout_terms *o,
                              weft_dtype dt)
{
    const struct dropout a = {cpu_ptr(y), cpu_ptr(x), words_with(o->p), o};
    return weft__cpu_each(s, CPU_FLOATS(dropout), dt, &a, o->outer * o->rows * o->inner, 8);
}
#endif
