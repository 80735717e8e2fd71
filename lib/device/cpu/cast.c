/* Casts of numbers one behind the other, by way of C, which holds all numbers of a type: f64 for f64, i64 for
 * i32 and i64, f32 for the others. They are rounded once: to nearest even; to an integer towards zero,
 * saturated, NaN to 0; between integers modulo 2^bits. */
#ifdef T

/* n numbers of type t as C: where they lie, or in room. */
static const C *N(get)(C *room, const void *x, weft_dtype t, int64_t n)
{
#define GET(type)                                                                                  \
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) room[i] = (C)((const type *)x)[i]
    if (t == WEFT_U8)
        GET(uint8_t);
    else if (t == WEFT_I32)
        GET(int32_t);
    else if (t == WEFT_BF16)
        weft__half_best()->wide_bf16((void *)room, x, n);
    else if (t == WEFT_F16)
        weft__half_best()->wide_f16((void *)room, x, n);
    else
        return x;
    return room;
#undef GET
}

/* n, at most PIECE, of C as numbers of type t. */
static void N(put)(void *y, weft_dtype t, const C *x, int64_t n)
{
    float room[PIECE];
    const void *low = x;
#define PUT(type, y, to)                                                                           \
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++)((type *)(y))[i] = to(x[i])
    if (cpu_is_low(t) && KIND(C) != WEFT_F32) {
        PUT(float, room, TO_ODD);
        low = room;
    }
    if (t == WEFT_F32)
        PUT(float, y, (float));
    else if (t == WEFT_F64)
        PUT(double, y, (double));
    else if (t == WEFT_I64)
        PUT(int64_t, y, TO_I64);
    else if (t == WEFT_I32)
        PUT(int32_t, y, TO_I32);
    else if (t == WEFT_U8)
        PUT(uint8_t, y, TO_U8);
    else if (t == WEFT_BF16)
        weft__half_best()->low_bf16(y, low, n);
    else
        weft__half_best()->low_f16(y, low, n);
#undef PUT
}

static void N(cast)(const void *args, int64_t lo, int64_t hi)
{
    const weft__cpu_cast *c = args;
    const int64_t ysize = (int64_t)weft_dtype_size(c->yt), xsize = (int64_t)weft_dtype_size(c->xt);
    C room[PIECE];
    for (; lo < hi; lo += PIECE) {
        const int64_t n = hi - lo < PIECE ? hi - lo : PIECE;
        void *y = (char *)c->y + lo * ysize;
        const C *x = N(get)(c->yt == KIND(C) ? y : room, (const char *)c->x + lo * xsize, c->xt, n);
        if (x != y)
            N(put)(y, c->yt, x, n);
    }
}

#else

#include "device/cpu/cpu.h"
#include "device/cpu/half.h"

#define PIECE 256
#define KIND(C) _Generic((C)0, float : WEFT_F32, double : WEFT_F64, default : WEFT_I64)
#define BY(v, of_integer, of_real) _Generic(v, int64_t : (of_integer), default : (of_real))
#define TO_U8(v) BY(v, (uint8_t)(v), (uint8_t)clamp((double)(v), 0, UINT8_MAX))
#define TO_I32(v) BY(v, (int32_t)(v), (int32_t)clamp((double)(v), INT32_MIN, INT32_MAX))
#define TO_I64(v) BY(v, (int64_t)(v), whole((double)(v)))
#define TO_ODD(v) odd(BY(v, sticky((int64_t)(v)), (double)(v)))

CPU_INLINE double clamp(double v, double lo, double hi)
{
    return isnan(v) ? 0 : v < lo ? lo : v > hi ? hi : v;
}

CPU_INLINE int64_t whole(double v)
{
    return v >= 0x1p63 ? INT64_MAX : (int64_t)clamp(v, -0x1p63, 0x1.fffffffffffffp62);
}

/* v as a double that rounds on as v itself would: bits that do not fit leave a sticky one. */
CPU_INLINE double sticky(int64_t v)
{
    const uint64_t a = v < 0 ? -(uint64_t)v : (uint64_t)v;
    const uint64_t cut = (a & ~UINT64_C(0x7FF)) | (uint64_t)((a & 0x7FF) != 0) << 11;
    const double size = (double)(a >> 53 ? cut : a);
    return v < 0 ? -size : size;
}

/* The same in f32, for 16 bits: the odd one of its neighbours if it is none itself. */
CPU_INLINE float odd(double v)
{
    const float near = (float)v;
    const uint32_t below = half_bits(near) - (fabs((double)near) > fabs(v));
    return half_float(below | (near != v));
}

#define CPU_I64
#define CPU_FAMILY "device/cpu/cast.c"
#include "device/cpu/typed.h"

weft__cpu_body *weft__cpu_caster(const weft_device *d, weft_dtype from)
{
    static const weft__cpu_kernel kernel = {.f32 = CPU_EACH_SET(cast_f32),
                                            .f64 = CPU_EACH_SET(cast_f64),
                                            .i64 = CPU_EACH_SET(cast_i64)};
    const bool whole = from == WEFT_I32 || from == WEFT_I64;
    return weft__cpu_pick(d, &kernel, whole ? WEFT_I64 : from == WEFT_F64 ? from : WEFT_F32);
}
#endif
