/* u^v within a unit in the last place, without branches; zeros, infinities, NaN and negative u give what C gives. All in
 * f64; that of f64 goes by logarithms of two numbers each or, where there is no FMA, is the C library's. After log.h.
 *
 *   u^v = 2^(v log2 u),  log2 u = k + log2(1 + f),  u = 2^k (1 + f),  f from sqrt(1/2) - 1 to sqrt(2) - 1
 *   for f32 and 16 bits log2(1 + f) = f p(f), and 2^r = 1 + r p(r) for r from -1/2 to 1/2
 *   for f64 log2(1 + f) = 2 / log 2 (s + s z (1/3 + z p(z))),  s = f / (2 + f),  z = s^2 */
#ifndef DEVICE_CPU_POWER_H
#define DEVICE_CPU_POWER_H
#define THIRD 0x1.5555555555555p-2
#define THIRD_REST 0x1.5555555555555p-56
#define LOG2_E_TWICE 0x1.71547652b82fep+1
#define LOG2_E_TWICE_REST 0x1.777d0ffda0d24p-55
#define LOG_2 0x1.62e42fefa39efp-1
#define LOG_2_REST 0x1.abc9e3b39803fp-56
#define EVEN_LEAST 0x1p52 /* from there on all numbers are whole */

/* clang-format off */
#define log2_terms(ONE, MORE)                                                                      \
    ONE(-6.80628759039059609e-2) MORE(0.131137437536866836) MORE(-0.134789287383660427)            \
    MORE(0.13062890256021096) MORE(-0.14252340755410016) MORE(0.160182261302960264)                \
    MORE(-0.180432685210201169) MORE(0.20610869528306625) MORE(-0.240446626777273036)              \
    MORE(0.28853876232996746) MORE(-0.360673789771006957) MORE(0.480898349072796079)               \
    MORE(-0.721347520343086323) MORE(1.44269504088620331)
#define exp2_terms(ONE, MORE)                                                                      \
    ONE(1.32508055175022494e-6) MORE(1.53037007113656939e-5) MORE(1.54034751865307858e-4)          \
    MORE(1.33334784736854153e-3) MORE(9.61812913523613974e-3) MORE(5.55041090632586661e-2)         \
    MORE(0.240226506958885021) MORE(0.693147180556832414)
#define artanh_terms(ONE, MORE)                                                                    \
    ONE(5.86158931193825865e-2) MORE(5.85311816974560328e-2) MORE(6.66740234692365515e-2)          \
    MORE(7.69229748125921576e-2) MORE(9.09090916769640081e-2) MORE(0.111111111108279429)           \
    MORE(0.142857142857146831) MORE(0.199999999999999999)
/* clang-format on */
#define WIDE(c) double p = c;
#define WIDER(c) p = N(fused_wide)(p, z, c);
#define WIDE_SERIES(name)                                                                          \
    CPU_INLINE double N(name)(double z)                                                            \
    {                                                                                              \
        name##_terms(WIDE, WIDER) return p;                                                        \
    }

#define power_f32 N(power_near)
#define power_f64 N(power_full)
#endif

#ifdef T
WIDE_SERIES(log2)
WIDE_SERIES(exp2)
WIDE_SERIES(artanh)
#define power_exp_terms exp_series_terms_f64
WIDE_SERIES(power_exp)
#undef power_exp_terms

/* a = 2^k (1 + f) for normal a > 0. @return f */
CPU_INLINE double N(power_split)(double a, double *k)
{
    uint64_t u, e;
    double m;
    memcpy(&u, &a, sizeof u);
    u += (UINT64_C(1023) << 52) - root_f64;
    e = u >> 52 | UINT64_C(1075) << 52;
    u = (u & ((UINT64_C(1) << 52) - 1)) + root_f64;
    memcpy(&m, &u, sizeof m);
    memcpy(k, &e, sizeof *k);
    *k -= 0x1p52 + 1023;
    return m - 1;
}

/* 2^k of a whole number k, where that is a normal number, from k + shift. */
CPU_INLINE double N(power_of_two)(double shifted)
{
    uint64_t u;
    double y;
    memcpy(&u, &shifted, sizeof u);
    u = (u + 1023) << 52;
    memcpy(&y, &u, sizeof y);
    return y;
}

/* What the logarithm is where it is no sum of k and another. */
CPU_INLINE double N(power_log)(double a, double log2)
{
    const double high = a < INFINITY ? log2 : a;
    return a == 0 ? -INFINITY : high;
}

/* a^v of a >= 0, to f32's last place. */
CPU_INLINE double N(power_near)(double a, double v)
{
    double k;
    const double f = N(power_split)(a, &k);
    const double w = v * N(power_log)(a, N(fused_wide)(f, N(log2)(f), k));
    const double shifted = w + shift_f64, r = w - (shifted - shift_f64);
    const double scale = N(power_of_two)(shifted), y = N(fused_wide)(scale, r * N(exp2)(r), scale);
    const double floored = w < -1000 ? 0 : y;
    return w > 1000 ? INFINITY : floored;
}

#ifdef FUSES
/* log2 a and, in *rest, what it lacks, for a > 0. */
CPU_INLINE double N(power_log_full)(double a, double *rest)
{
    const bool small = a < 0x1p-1022;
    double k;
    const double f = N(power_split)(a * (small ? 0x1p54 : 1), &k), whole = k - (small ? 54 : 0);
    const double d = 2 + f, inverse = 1 / d, s = f * inverse;
    const double s_rest = (fma(-s, d, f) - s * (f - (d - 2))) * inverse;
    const double z = s * s, z_rest = fma(s, s, -z) + 2 * s * s_rest;
    const double p = z * N(artanh)(z), q = THIRD + p, q_rest = THIRD - q + p + THIRD_REST;
    const double zq = z * q, zq_rest = fma(z, q, -zq) + (z * q_rest + z_rest * q);
    const double g = s * zq, g_rest = fma(s, zq, -g) + (s * zq_rest + s_rest * zq);
    const double h = s + g, h_rest = s - h + g + (s_rest + g_rest);
    const double l = h * LOG2_E_TWICE;
    const double l_rest =
        fma(h, LOG2_E_TWICE, -l) + (h * LOG2_E_TWICE_REST + h_rest * LOG2_E_TWICE);
    const double sum = whole + l;
    *rest = whole - sum + l + l_rest;
    return sum;
}

CPU_INLINE double N(power_full)(double a, double v)
{
    double rest;
    const double log2 = N(power_log)(a, N(power_log_full)(a, &rest)), w = v * log2;
    const double least = fma(v, log2, -w) + v * rest, w_rest = fabs(w) < 2000 ? least : 0;
    const double k = w + shift_f64 - shift_f64, part = w - k, high = part * LOG_2;
    const double low = fma(part, LOG_2, -high) + fma(part, LOG_2_REST, w_rest * LOG_2);
    const double r = high + low, r_rest = high - r + low, top = 1 + r;
    const double bend = fma(r * r, N(power_exp)(r), 1 - top + r + r_rest);
    const double shifted = fma(k, 0.5, shift_f64), half = shifted - shift_f64;
    const double scaled =
        (top + bend) * N(power_of_two)(shifted) * N(power_of_two)(k - half + shift_f64);
    const double floored = w < -1080 ? 0 : scaled;
    return w >= 1025 ? INFINITY : floored;
}
#else
CPU_INLINE double N(power_full)(double a, double v)
{
    return pow(a, v);
}
#endif

/* a^v of a >= 0 */
CPU_INLINE double N(cpu_pow_of_size)(double a, double v)
{
    const bool one = (a == 1) | (v == 0);
    const double y = OF(power)(a, v);
    return one ? 1 : y;
}

CPU_INLINE bool N(power_whole)(double a)
{
    return (a >= EVEN_LEAST) | (a + EVEN_LEAST - EVEN_LEAST == a);
}

/* What depends on the exponent alone is a factor and a bit, for which the compiler makes no branch. */
CPU_INLINE T N(cpu_pow)(T base, T exponent)
{
    const double u = (double)base, v = (double)exponent, size = fabs(v);
    const bool whole = N(power_whole)(size), below = (u < 0) & (u > -INFINITY);
    const double y = N(cpu_pow_of_size)(fabs(u), v), factor = whole ? 1 : NAN;
    const double real = below ? y * factor : y;
    const uint64_t odd = (uint64_t)(whole & !N(power_whole)(size / 2)) << 63;
    uint64_t sign, bits;
    double turned;
    memcpy(&sign, &u, sizeof sign);
    memcpy(&bits, &real, sizeof bits);
    bits |= sign & odd;
    memcpy(&turned, &bits, sizeof turned);
    return (T)turned;
}
#endif
