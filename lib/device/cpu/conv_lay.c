/* How images are laid out, and results put back. */
#include "device/cpu/conv.h"
#include "device/cpu/range.h"
#include "device/cpu/sixteen.h"
#include "device/cpu/turn.h"

#if CPU_HAS_WIDE
/* --- planes --- */

/* Numbers 0, 2, ... of 2 n - 1. */
WIDE_TARGET CPU_INLINE __m512 every_second(const char *from, int64_t n, const weft_dtype dt)
{
    const __m512i even =
        _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    const __m512 a = load(from, 2 * n - 1, dt);
    if (n <= 8)
        return _mm512_permutexvar_ps(even, a);
    return _mm512_permutex2var_ps(a, even, load(from + (dt == WEFT_F32 ? 64 : 32), 2 * n - 17, dt));
}

/* A row of a phase: q from first on, each at x = q step + off of the source. */
WIDE_TARGET CPU_INLINE void row(float *to, int64_t wide, const char *from, int64_t extent,
                                int64_t step, int64_t off, const weft_dtype dt)
{
    const int64_t size = dt == WEFT_F32 ? 4 : 2;
    const range in = cpu_inside(off, step, extent, wide);
    for (int64_t q = in.first; q < in.end && step == 1; q += 16)
        store((char *)(to + q), in.end - q, load(from + (q + off) * size, in.end - q, dt),
              WEFT_F32);
    for (int64_t q = in.first; q < in.end && step == 2; q += 16)
        store((char *)(to + q), in.end - q,
              every_second(from + (2 * q + off) * size, in.end - q, dt), WEFT_F32);
    for (int64_t q = in.first; q < in.end && step > 2; q++)
        to[q] = _mm512_cvtss_f32(load(from + (q * step + off) * size, 1, dt));
}

WIDE_TARGET CPU_INLINE void planes(float *to, const conv_map *m, const char *from,
                                   const weft_dtype dt)
{
    const int64_t size = dt == WEFT_F32 ? 4 : 2, phases = m->phases[0] * m->phases[1];
    for (int64_t c = 0; c < m->source; c++, from += m->in[0] * m->in[1] * size)
        for (int64_t p = 0; p < phases; p++)
            for (int64_t r = 0; r < m->high; r++, to += m->wide) {
                const int64_t y = r * m->phases[0] + p / m->phases[1] - m->before[0];
                if (y >= 0 && y < m->in[0])
                    row(to, m->wide, from + y * m->in[1] * size, m->in[1], m->phases[1],
                        p % m->phases[1] - m->before[1], dt);
            }
}

WIDE_TARGET static void planes_f32(float *to, const conv_map *m, const void *from)
{
    planes(to, m, from, WEFT_F32);
}

WIDE_TARGET static void planes_bf16(float *to, const conv_map *m, const void *from)
{
    planes(to, m, from, WEFT_BF16);
}

WIDE_TARGET static void planes_f16(float *to, const conv_map *m, const void *from)
{
    planes(to, m, from, WEFT_F16);
}

void weft__conv_planes(float *to, const conv_map *m, const void *from, weft_dtype dt)
{
    (dt == WEFT_F32 ? planes_f32 : dt == WEFT_BF16 ? planes_bf16 : planes_f16)(to, m, from);
}

/* --- numbers of channels side by side --- */

typedef struct turned {
    char *to;
    const char *from;
    int64_t step, plane, n, channels;
    const float *bias;
} turned;

WIDE_TARGET CPU_INLINE void turn(const turned *t, const weft_dtype dt)
{
    const int64_t size = dt == WEFT_F32 ? 4 : 2;
    for (int64_t i = 0; i < t->n; i += 16)
        for (int64_t c = 0; c < t->channels; c += 16) {
            const int64_t left = t->channels - c, some = t->step < 16 ? t->step : 16;
            const char *from = t->from + (c * t->plane + i) * size;
            float *to = (float *)t->to + i * t->step + c;
            __m512 v[16];
#pragma GCC unroll 16
            for (int e = 0; e < 16; e++)
                v[e] =
                    e < left ? load(from + e * t->plane * size, t->n - i, dt) : _mm512_setzero_ps();
            cpu_turn_f32(v);
#pragma GCC unroll 16
            for (int e = 0; e < 16; e++)
                if (i + e < t->n)
                    store((char *)(to + e * t->step), some, v[e], WEFT_F32);
        }
}

WIDE_TARGET CPU_INLINE void turn_back(const turned *t, const weft_dtype dt)
{
    const int64_t size = dt == WEFT_F32 ? 4 : 2;
    for (int64_t c = 0; c < t->channels; c += 16)
        for (int64_t i = 0; i < t->n; i += 16) {
            const float *from = (const float *)t->from + i * t->step + c;
            char *to = t->to + (c * t->plane + i) * size;
            __m512 v[16];
#pragma GCC unroll 16
            for (int e = 0; e < 16; e++)
                v[e] = i + e < t->n ? _mm512_loadu_ps(from + e * t->step) : _mm512_setzero_ps();
            cpu_turn_f32(v);
#pragma GCC unroll 16
            for (int e = 0; e < 16; e++)
                if (c + e < t->channels) {
                    if (t->bias)
                        v[e] = _mm512_add_ps(v[e], _mm512_set1_ps(t->bias[c + e]));
                    store(to + e * t->plane * size, t->n - i, v[e], dt);
                }
        }
}

#define OF(type, dt)                                                                               \
    WIDE_TARGET static void turn_##type(const turned *t)                                           \
    {                                                                                              \
        turn(t, dt);                                                                               \
    }                                                                                              \
    WIDE_TARGET static void back_##type(const turned *t)                                           \
    {                                                                                              \
        turn_back(t, dt);                                                                          \
    }
OF(f32, WEFT_F32)
OF(bf16, WEFT_BF16)
OF(f16, WEFT_F16)

void weft__conv_turn(float *to, int64_t step, const void *from, int64_t plane, int64_t n,
                     int64_t channels, weft_dtype dt)
{
    const turned t = {(char *)to, from, step, plane, n, channels, NULL};
    (dt == WEFT_F32 ? turn_f32 : dt == WEFT_BF16 ? turn_bf16 : turn_f16)(&t);
}

void weft__conv_turn_back(void *to, int64_t plane, const float *from, int64_t step, int64_t n,
                          int64_t channels, const float *bias, weft_dtype dt)
{
    const turned t = {to, (const char *)from, step, plane, n, channels, bias};
    (dt == WEFT_F32 ? back_f32 : dt == WEFT_BF16 ? back_bf16 : back_f16)(&t);
}
#endif
