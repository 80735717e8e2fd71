/* log x within a unit in the last place, and log(1 + x) of x from 0 to 1, made as math.h's functions are; 0, infinities,
 * NaN and negative numbers give what C gives. After math.h.
 *
 *   log x = k log 2 + log(1 + f),  x = 2^k (1 + f),  f from sqrt(1/2) - 1 to sqrt(2) - 1
 *   log(1 + f) = f - s (f - z p(z)),  s = f / (2 + f),  z = s^2, from log(1 + f) = 2 artanh s */
#ifndef DEVICE_CPU_LOG_H
#define DEVICE_CPU_LOG_H
/* The bits of sqrt(1/2). */
#define root_f32 0x3F3504F3U
#define root_f64 UINT64_C(0x3FE6A09E667F3BCD)
#define normal_least_f32 0x1p-126F
#define normal_least_f64 0x1p-1022
/* What makes numbers below that normal ones: 2 to the power of so many. */
#define lift_f32 25
#define lift_f64 54
#define lifted_f32 0x1p25F
#define lifted_f64 0x1p54

/* clang-format off */
#define log_series_terms_f32(ONE, MORE)                                                            \
    ONE(0.29580053F) MORE(0.399887783F) MORE(0.66666685F)
#define log_series_terms_f64(ONE, MORE)                                                            \
    ONE(0.14616585424888622) MORE(0.153317106182107716) MORE(0.18182889455674946)                  \
    MORE(0.22222211130259877) MORE(0.285714286260032687) MORE(0.399999999998994432)                \
    MORE(0.666666666666666969)
/* clang-format on */
#endif

#ifdef T
SERIES(log_series)

/* x = 2^k (1 + f) for normal x > 0. The exponent becomes a number as the last bits of one. @return f */
CPU_INLINE T N(log_split)(T x, T *k)
{
    const OF(bits) one = (OF(bits))OF(bias) << OF(mantissa),
                   rest = ((OF(bits))1 << OF(mantissa)) - 1;
    OF(bits) u, e;
    T m;
    memcpy(&u, &x, sizeof u);
    u += one - OF(root);
    e = u >> OF(mantissa) | (OF(bits))(OF(bias) + OF(mantissa)) << OF(mantissa);
    u = (u & rest) + OF(root);
    memcpy(&m, &u, sizeof m);
    memcpy(k, &e, sizeof *k);
    *k -= (T)rest + 1 + (T)OF(bias);
    return m - 1;
}

/* k log 2 + log(1 + f), with what the sum of k log 2 and f rounds away. */
CPU_INLINE T N(log_join)(T f, T k)
{
    const T top = k * OF(log2_high), sum = top + f, lost = f - (sum - top);
    const T s = f / (2 + f), z = s * s, bent = N(fused)(-z, N(log_series)(z), f);
    return sum + N(fused)(-s, bent, N(fused)(k, OF(log2_low), lost));
}

CPU_INLINE T N(cpu_log)(T x)
{
    const bool small = x < OF(normal_least);
    T k;
    const T f = N(log_split)(x * (small ? OF(lifted) : 1), &k);
    const T y = N(log_join)(f, k - (small ? OF(lift) : 0));
    const T high = x < (T)INFINITY ? y : x, low = x == 0 ? (T)-INFINITY : (T)NAN;
    return x <= 0 ? low : high;
}

/* log(1 + x) of x from 0 to 1: 1 + x is not rounded. */
CPU_INLINE T N(cpu_log_above)(T x)
{
    const bool far = x > (T)0.414;
    const T halved = (x - 1) / 2; /* 1 + x = 2 (1 + halved) */
    return N(log_join)(far ? halved : x, far ? 1 : 0);
}
#endif
