/* Blocks of 16 x 16 numbers, turned. */
#ifndef DEVICE_CPU_WIDE_TURN_H
#define DEVICE_CPU_WIDE_TURN_H
#include "device/cpu/wide.h"

#if CPU_HAS_WIDE
#include <immintrin.h>

/* v[i]: number i of each of the rows. Rows four apart come together as they are read; then four by four
 * are turned in each quarter of the vectors. */
WIDE_TARGET CPU_INLINE void weft__wide_turn(__m512 v[16], const float *from, int64_t step)
{
#define PS(f, x, y) _mm512_castps_pd(f(x, y))
#define PD(f, x, y) _mm512_castpd_ps(f(x, y))
#pragma GCC unroll 4
    for (int q = 0; q < 4; q++) {
        __m512 z[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            const float *row = from + i * step + 4 * q;
            z[i] = _mm512_castps128_ps512(_mm_loadu_ps(row));
            z[i] = _mm512_insertf32x4(z[i], _mm_loadu_ps(row + 4 * step), 1);
            z[i] = _mm512_insertf32x4(z[i], _mm_loadu_ps(row + 8 * step), 2);
            z[i] = _mm512_insertf32x4(z[i], _mm_loadu_ps(row + 12 * step), 3);
        }
        const __m512d a = PS(_mm512_unpacklo_ps, z[0], z[1]),
                      b = PS(_mm512_unpackhi_ps, z[0], z[1]);
        const __m512d c = PS(_mm512_unpacklo_ps, z[2], z[3]),
                      d = PS(_mm512_unpackhi_ps, z[2], z[3]);
        v[4 * q] = PD(_mm512_unpacklo_pd, a, c);
        v[4 * q + 1] = PD(_mm512_unpackhi_pd, a, c);
        v[4 * q + 2] = PD(_mm512_unpacklo_pd, b, d);
        v[4 * q + 3] = PD(_mm512_unpackhi_pd, b, d);
    }
#undef PS
#undef PD
}
#endif
#endif
