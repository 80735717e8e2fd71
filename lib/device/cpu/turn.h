/* Blocks of 16 x 16 numbers of 32 bits turned, or summed by rows, in registers. */
#ifndef DEVICE_CPU_TURN_H
#define DEVICE_CPU_TURN_H
#include "device/cpu/unroll.h"
#include "device/cpu/wide.h"

#if CPU_HAS_WIDE
#include <immintrin.h>

#define TURN_TARGET __attribute__((target("avx512f")))

/* By pairs, fours, halves, wholes. */
TURN_TARGET CPU_INLINE void cpu_turn(__m512i v[16])
{
    __m512i t[16];
    CPU_UNROLL(8)
    for (int i = 0; i < 8; i++) {
        t[2 * i] = _mm512_unpacklo_epi32(v[2 * i], v[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_epi32(v[2 * i], v[2 * i + 1]);
    }
    CPU_UNROLL(4)
    for (int i = 0; i < 16; i += 4) {
        v[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        v[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        v[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        v[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    CPU_UNROLL(4)
    for (int i = 0; i < 4; i++) { /* v[i + 4 g]: numbers i, i + 4, ... of rows 4 g..4 g + 3 */
        t[i] = _mm512_shuffle_i32x4(v[i], v[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(v[i], v[i + 4], 0xDD);
        t[i + 8] = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0xDD);
    }
    CPU_UNROLL(4)
    for (int i = 0; i < 4; i++) {
        v[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        v[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
        v[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xDD);
        v[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xDD);
    }
}

TURN_TARGET CPU_INLINE void cpu_turn_f32(__m512 v[16])
{
    __m512i t[16];
    CPU_UNROLL(16)
    for (int i = 0; i < 16; i++)
        t[i] = _mm512_castps_si512(v[i]);
    cpu_turn(t);
    CPU_UNROLL(16)
    for (int i = 0; i < 16; i++)
        v[i] = _mm512_castsi512_ps(t[i]);
}

/* v[i]: number i of each of the rows, `step` bytes apart. Rows four apart come together as they are read; then four by four
 * are turned in each quarter of the vectors. */
TURN_TARGET CPU_INLINE void cpu_turn_rows(__m512 v[16], const void *from, int64_t step)
{
#define LOAD(x) _mm_castsi128_ps(_mm_loadu_si128((const __m128i *)(x)))
#define PS(f, x, y) _mm512_castps_pd(f(x, y))
#define PD(f, x, y) _mm512_castpd_ps(f(x, y))
    CPU_UNROLL(4)
    for (int q = 0; q < 4; q++) {
        __m512 z[4];
        CPU_UNROLL(4)
        for (int i = 0; i < 4; i++) {
            const char *row = (const char *)from + i * step + 16 * q;
            z[i] = _mm512_castps128_ps512(LOAD(row));
            z[i] = _mm512_insertf32x4(z[i], LOAD(row + 4 * step), 1);
            z[i] = _mm512_insertf32x4(z[i], LOAD(row + 8 * step), 2);
            z[i] = _mm512_insertf32x4(z[i], LOAD(row + 12 * step), 3);
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
#undef LOAD
#undef PS
#undef PD
}

/* Element i is the sum over the lanes of s[i], of n, added in the same order for all of them. A blend runs where a shuffle
 * cannot, beside it. */
TURN_TARGET CPU_INLINE __m512 cpu_sums(__m512 *s, const int n)
{
#define PAIR(of) const __m512 a = s[2 * i], b = s[2 * i + 1 < (of) ? 2 * i + 1 : 2 * i]
    CPU_UNROLL(8)
    for (int i = 0; 2 * i < n; i++) {
        PAIR(n);
        s[i] = _mm512_add_ps(_mm512_mask_mov_ps(a, 0xCCCC, b), _mm512_shuffle_ps(a, b, 0x4E));
    }
    CPU_UNROLL(4)
    for (int i = 0; 4 * i < n; i++) {
        PAIR((n + 1) / 2);
        s[i] = _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x88), _mm512_shuffle_ps(a, b, 0xDD));
    }
    CPU_UNROLL(2)
    for (int i = 0; 8 * i < n; i++) {
        PAIR((n + 3) / 4);
        s[i] = _mm512_add_ps(_mm512_mask_mov_ps(a, 0xFF00, b), _mm512_shuffle_f32x4(a, b, 0x4E));
    }
#undef PAIR
    const __m512 a = s[0], b = s[n > 8];
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xDD));
}
#endif
#endif
