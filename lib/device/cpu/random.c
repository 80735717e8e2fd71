/* Uniform numbers: y[i] = lo + (hi - lo) u(first + i), formed in f64. */
#include "core/rng.h"
#include "device/cpu/cpu.h"

struct draws {
    void *y;
    uint64_t seed, stream, step;
    int64_t first;
    double lo, span;
};

static void uniform_f32(const void *args, int64_t lo, int64_t hi)
{
    const struct draws *a = args;
    float *y = a->y;
    uint32_t w[4] = {0};
    for (int64_t i = lo; i < hi; i++) {
        uint64_t n = (uint64_t)(a->first + i);
        if (i == lo || n % 4 == 0) /* four elements a block */
            weft__draw(a->seed, a->stream, a->step, n / 4, w);
        y[i] = (float)(a->lo + a->span * ((double)(w[n % 4] >> 8) * 0x1p-24));
    }
}

static void uniform_f64(const void *args, int64_t lo, int64_t hi)
{
    const struct draws *a = args;
    double *y = a->y;
    for (int64_t i = lo; i < hi; i++)
        y[i] = a->lo +
               a->span * weft__uniform_f64(a->seed, a->stream, a->step, (uint64_t)(a->first + i));
}

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
