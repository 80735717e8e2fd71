/* A block of 32 x 32 sums by AMX: four of the eight tiles are sums, so that two tiles of A and two of B
 * that are loaded give four products, of 16 cycles each while a load takes 8. What streams from the second
 * cache is loaded past the first, whose room is for what is used again. */
#include "device/cpu/brain.h"

#if CPU_HAS_BRAIN
#include <immintrin.h>

#define TILES __attribute__((target("amx-tile,amx-bf16")))
#define NEAR 16 /* steps of s that stay in the first cache: 32 KiB */
#define ROW 64  /* bytes of a row of a tile */

TILES void weft__brain_tiles_on(void)
{
    static const struct {
        uint8_t palette, start, zero[14];
        uint16_t bytes[16]; /* of a row of each tile, */
        uint8_t rows[16];
    } shape = {.palette = 1,
               .bytes = {ROW, ROW, ROW, ROW, ROW, ROW, ROW, ROW},
               .rows = {16, 16, 16, 16, 16, 16, 16, 16}};
    _tile_loadconfig(&shape);
}

TILES void weft__brain_tiles_off(void)
{
    _tile_release();
}

/* Sums of tile x of r and y of s are tile 2 x + y. */
#define MULTIPLY(sum, r, s)                                                                        \
    do {                                                                                           \
        if (r_is_b)                                                                                \
            _tile_dpbf16ps(sum, s, r);                                                             \
        else                                                                                       \
            _tile_dpbf16ps(sum, r, s);                                                             \
    } while (0)
#define STEP(LOAD)                                                                                 \
    do {                                                                                           \
        _tile_stream_loadd(4, r, ROW);                                                             \
        LOAD(6, s, ROW);                                                                           \
        MULTIPLY(0, 4, 6);                                                                         \
        if (two_s) {                                                                               \
            LOAD(7, s + BRAIN_TILE, ROW);                                                          \
            MULTIPLY(1, 4, 7);                                                                     \
        }                                                                                          \
        if (two_r) {                                                                               \
            _tile_stream_loadd(5, r + BRAIN_TILE, ROW);                                            \
            MULTIPLY(2, 5, 6);                                                                     \
        }                                                                                          \
        if (two_r && two_s)                                                                        \
            MULTIPLY(3, 5, 7);                                                                     \
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

TILES CPU_INLINE void multiply(const weft__brain_block *o, const bool r_is_b, const bool two_r,
                               const bool two_s)
{
    const int64_t near = o->steps < NEAR ? o->steps : NEAR;
    const uint16_t *r = o->r, *s = o->s;
    const float *later = o->later;
    __asm__ volatile("" ::: "memory"); /* tiles are loaded from what was stored before */
    begin(o);
    for (int64_t i = 0; i < near; i++, r += 2 * BRAIN_TILE, s += 2 * BRAIN_TILE)
        STEP(_tile_loadd);
    for (int64_t i = near; i < o->steps; i++, r += 2 * BRAIN_TILE, s += 2 * BRAIN_TILE)
        STEP(_tile_stream_loadd);
    _tile_stored(0, o->sums, ROW);
    if (two_s)
        _tile_stored(1, o->sums + 256, ROW);
    if (two_r)
        _tile_stored(2, o->sums + 512, ROW);
    if (two_r && two_s)
        _tile_stored(3, o->sums + 768, ROW);
    __asm__ volatile("" ::: "memory");
}

#define KERNEL(name, r_is_b, two_r, two_s)                                                         \
    TILES static void name(const weft__brain_block *o)                                             \
    {                                                                                              \
        multiply(o, r_is_b, two_r, two_s);                                                         \
    }
KERNEL(a11, false, false, false)
KERNEL(a12, false, false, true)
KERNEL(a21, false, true, false)
KERNEL(a22, false, true, true)
KERNEL(b11, true, false, false)
KERNEL(b12, true, false, true)
KERNEL(b21, true, true, false)
KERNEL(b22, true, true, true)

void weft__brain_by_tiles(const weft__brain_block *o)
{
    typedef void kernel(const weft__brain_block *o);
    static kernel *const all[2][2][2] = {{{a11, a12}, {a21, a22}}, {{b11, b12}, {b21, b22}}};
    all[o->r_is_b][o->rtiles - 1][o->stiles - 1](o);
}
#endif
