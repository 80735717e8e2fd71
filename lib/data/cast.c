/* out = scale * in + shift, in double precision, rounded once. */
#include "data/cast.h"

#include "core/error.h"
#include "device/cpu/half.h"

#define EACH_PAIR(E)                                                                               \
    E(WEFT_U8, uint8_t, WEFT_F32, float)                                                           \
    E(WEFT_I32, int32_t, WEFT_F32, float)                                                          \
    E(WEFT_I64, int64_t, WEFT_F32, float)                                                          \
    E(WEFT_F32, float, WEFT_F32, float)                                                            \
    E(WEFT_F64, double, WEFT_F32, float)                                                           \
    E(WEFT_U8, uint8_t, WEFT_F64, double)                                                          \
    E(WEFT_I32, int32_t, WEFT_F64, double)                                                         \
    E(WEFT_I64, int64_t, WEFT_F64, double)                                                         \
    E(WEFT_F32, float, WEFT_F64, double)                                                           \
    E(WEFT_F64, double, WEFT_F64, double)

weft_status weft__cast_make(weft__cast *c, weft_dtype from, weft_dtype real, double scale,
                            double shift)
{
    bool integer = from == WEFT_U8 || from == WEFT_I32 || from == WEFT_I64;
    if (!integer && from != WEFT_F16 && from != WEFT_F32 && from != WEFT_F64)
        return weft__fail(WEFT_EDTYPE,
                          "loader: a field of %s; fields are u8, i32, i64, f16, f32 or f64",
                          weft_dtype_name(from));
    *c = (weft__cast){.from = from, .scale = 1, .shift = -0.0}; /* x + -0.0 is x, also for -0.0 */
    if (scale != 0) {
        c->scale = scale;
        c->shift = shift;
    }
    c->to = integer && scale == 0 ? from : real;
    c->plain = c->to == from && c->scale == 1 && c->shift == 0;
    return WEFT_OK;
}

/* The worker may share its core with the step, so the loops must be vectors: 2x on bytes. */
void weft__cast_run(const weft__cast *c, void *out, const void *in, int64_t n)
{
    double scale = c->scale, shift = c->shift;
#define RUN(F, FROM, T, TO)                                                                        \
    if (c->from == F && c->to == T) {                                                              \
        const FROM *x = in;                                                                        \
        TO *y = out;                                                                               \
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] =                                 \
            (TO)(scale * (double)x[i] + shift);                                                    \
    }
    EACH_PAIR(RUN)
#undef RUN
    const uint16_t *half = in;
    for (int64_t i = 0; i < n && c->from == WEFT_F16; i++) {
        double v = scale * (double)half_wide_f16(half[i]) + shift;
        if (c->to == WEFT_F32)
            ((float *)out)[i] = (float)v;
        else
            ((double *)out)[i] = v;
    }
}
