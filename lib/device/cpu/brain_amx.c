/* A block of 32 x 32 sums by AMX: four of the eight tiles are sums, so that two tiles of A and two of B
 * that are loaded give four products, of 16 cycles each while a load takes 8. What streams from the second
 * cache is loaded past the first, whose room is for what is used again. */
#include "device/cpu/brain.h"

#if CPU_HAS_BRAIN
#include <immintrin.h>

#define TILES __attribute__((target("amx-tile,amx-bf16")))
#define NEAR 16 /* steps of a panel that stay in the first cache: 32 KiB */
#define ROW 64  /* bytes of a row of a tile */

#define STEP(A, B)                                                                                 \
    do {                                                                                           \
        A(4, a, ROW);                                                                              \
        B(6, b, ROW);                                                                              \
        if (two_b)                                                                                 \
            B(7, b + BRAIN_TILE, ROW);                                                             \
        if (two_a)                                                                                 \
            A(5, a + BRAIN_TILE, ROW);                                                             \
        _tile_dpbf16ps(0, 4, 6);                                                                   \
        if (two_b)                                                                                 \
            _tile_dpbf16ps(1, 4, 7);                                                               \
        if (two_a)                                                                                 \
            _tile_dpbf16ps(2, 5, 6);                                                               \
        if (two_a && two_b)                                                                        \
            _tile_dpbf16ps(3, 5, 7);                                                               \
        weft__brain_step(o->aside);                                                                \
        if (o->add)                                                                                \
            for (int i = 0; i < 4; i++, later += 16)                                               \
                _mm_prefetch(later, _MM_HINT_T0);                                                  \
    } while (0)

TILES CPU_INLINE void begin(const weft__brain_block *o)
{
    const float *sums = o->before;
    if (!o->add) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        return;
    }
    _tile_loadd(0, sums, ROW);
    _tile_loadd(1, sums + 256, ROW);
    _tile_loadd(2, sums + 512, ROW);
    _tile_loadd(3, sums + 768, ROW);
}

TILES CPU_INLINE void multiply(const weft__brain_block *o, const bool two_a, const bool two_b)
{
    const int64_t near = o->steps < NEAR ? o->steps : NEAR;
    const uint16_t *a = o->a, *b = o->b;
    const float *later = o->later;
    __asm__ volatile("" ::: "memory"); /* tiles are loaded from what was stored before */
    begin(o);
    for (int64_t i = 0; i < near && !o->b_stays; i++, a += 2 * BRAIN_TILE, b += 2 * BRAIN_TILE)
        STEP(_tile_loadd, _tile_stream_loadd);
    for (int64_t i = 0; i < near && o->b_stays; i++, a += 2 * BRAIN_TILE, b += 2 * BRAIN_TILE)
        STEP(_tile_stream_loadd, _tile_loadd);
    for (int64_t i = near; i < o->steps; i++, a += 2 * BRAIN_TILE, b += 2 * BRAIN_TILE)
        STEP(_tile_stream_loadd, _tile_stream_loadd);
    _tile_stored(0, o->sums, ROW);
    if (two_b)
        _tile_stored(1, o->sums + 256, ROW);
    if (two_a)
        _tile_stored(2, o->sums + 512, ROW);
    if (two_a && two_b)
        _tile_stored(3, o->sums + 768, ROW);
    __asm__ volatile("" ::: "memory");
}

#define KERNEL(name, two_a, two_b)                                                                 \
    TILES static void name(const weft__brain_block *o)                                             \
    {                                                                                              \
        multiply(o, two_a, two_b);                                                                 \
    }
KERNEL(tiles_11, false, false)
KERNEL(tiles_12, false, true)
KERNEL(tiles_21, true, false)
KERNEL(tiles_22, true, true)

void weft__brain_by_tiles(const weft__brain_block *o)
{
    typedef void kernel(const weft__brain_block *o);
    static kernel *const all[2][2] = {{tiles_11, tiles_12}, {tiles_21, tiles_22}};
    all[o->atiles - 1][o->btiles - 1](o);
}
#endif
