/* sin x and cos x within two units in the last place, in f64 within one and a half. What is no number, infinite or so
 * large that its multiple of pi / 2 asks for more digits is C's. After math.h.
 *
 *   x = k pi / 2 + r,  k the whole number next to x / (pi / 2)
 *   sin x = sin r, cos r, -sin r, -cos r for k = 0, 1, 2, 3 modulo 4, cos x that of k + 1
 *   sin r = r + r^3 p(r^2),  cos r = 1 - r^2 / 2 + r^4 q(r^2)
 *
 * r is formed in f64, by parts of pi / 2 of which k times each but the last is exact. */
#ifndef DEVICE_CPU_SINES_H
#define DEVICE_CPU_SINES_H
#define sine_most_f32 0x1p18F
#define sine_most_f64 0x1p20
#define TURNS 0.636619772367581343076 /* 2 / pi */
#define QUARTER_1 0x1.921fb544p+0
#define QUARTER_2 0x1.0b4611a4p-34
#define QUARTER_3 0x1.13198a2cp-65
#define QUARTER_4 0x1.01b839a25204ap-96
#define QUARTER_REST 0x1.0b4611a626331p-34 /* the last three at once */

#define sin_f32 sinf
#define sin_f64 sin
#define cos_f32 cosf
#define cos_f64 cos

/* clang-format off */
#define sine_series_terms_f32(ONE, MORE)                                                           \
    ONE(-1.95725632e-4F) MORE(8.33267516e-3F) MORE(-0.166666643F)
#define sine_series_terms_f64(ONE, MORE)                                                           \
    ONE(1.59181012302741203e-10) MORE(-2.50511314554279474e-8) MORE(2.75573161006830291e-6)        \
    MORE(-1.984126983675497e-4) MORE(8.3333333333309461e-3) MORE(-0.166666666666666646)
#define cosine_series_terms_f32(ONE, MORE)                                                         \
    ONE(2.45325811e-5F) MORE(-1.38882298e-3F) MORE(4.16666643e-2F)
#define cosine_series_terms_f64(ONE, MORE)                                                         \
    ONE(-1.13826148685563246e-11) MORE(2.08761460246897466e-9) MORE(-2.75573172705603241e-7)       \
    MORE(2.48015872987634332e-5) MORE(-1.38888888888873957e-3) MORE(4.16666666666666654e-2)
/* clang-format on */
#endif

#ifdef T
SERIES(sine_series)
SERIES(cosine_series)

/* x - k pi / 2, rounded, and in f64 what is rounded away. */
CPU_INLINE T N(sine_rest)(double x, double k, T *lost)
{
    const double near = N(fused_wide)(k, -QUARTER_1, x);
    if (sizeof(T) == 4)
        return (T)N(fused_wide)(k, -QUARTER_REST, near);
    const double r = N(fused_wide)(k, -QUARTER_2, near);
    const double third = N(fused_wide)(k, -QUARTER_3, N(fused_wide)(k, -QUARTER_2, near - r));
    const double rest = N(fused_wide)(k, -QUARTER_4, third), sum = r + rest;
    *lost = (T)(r - sum + rest);
    return (T)sum;
}

/* sin(x + more pi / 2) of x that is not too large. Zeros keep their sign. */
CPU_INLINE T N(sine)(T x, const unsigned more)
{
    const bool wide = sizeof(T) == 8;
    const T shifted = N(fused)(x, (T)TURNS, OF(shift));
    T lost = 0;
    const T r = N(sine_rest)((double)x, (double)(shifted - OF(shift)), &lost), z = r * r;
    const T cubic = r * z, p = N(sine_series)(z), q = N(cosine_series)(z);
    const T odd = wide ? r + N(fused)(cubic, p, lost) : N(fused)(cubic, p, r);
    const T most = N(fused)(z, (T)-0.5, 1);
    const T rest = N(fused)(-r, lost, N(fused)(z, (T)-0.5, 1 - most));
    const T cosine = wide ? most + N(fused)(z * z, q, rest) : N(fused)(z * z, q, most);
    const T sine = x == 0 ? x : odd;
    OF(bits) k, u;
    T y;
    memcpy(&k, &shifted, sizeof k);
    k += more;
    y = k & 1 ? cosine : sine;
    memcpy(&u, &y, sizeof u);
    u ^= k >> 1 << (8 * sizeof u - 1);
    memcpy(&y, &u, sizeof y);
    return y;
}

/* @return whether one was too large, or no number */
CPU_INLINE bool N(sines)(T *y, const T *x, int64_t n, const unsigned more)
{
    OF(bits) far = 0;
#pragma omp simd reduction(| : far)
    for (int64_t i = 0; i < n; i++) {
        const T v = x[i];
        y[i] = N(sine)(v, more);
        far |= !(OF(absolute)(v) <= OF(sine_most));
    }
    return far != 0;
}

/* y = sin x or cos x, n of them; y is not x. */
static void N(cpu_sines)(T *y, const T *x, int64_t n, bool cosine)
{
    if (cosine ? N(sines)(y, x, n, 1) : N(sines)(y, x, n, 0))
        for (int64_t i = 0; i < n; i++)
            if (!(OF(absolute)(x[i]) <= OF(sine_most)))
                y[i] = cosine ? OF(cos)(x[i]) : OF(sin)(x[i]);
}
#endif
