/* Random words in bulk: those of core/rng.h, some blocks in each vector of the processor's widest. */
#ifndef DEVICE_CPU_WORDS_H
#define DEVICE_CPU_WORDS_H
#include "core/rng.h"
#include "device/cpu/cpu.h"

#define WORDS_ONCE 1024 /* words that kernels take at a time */
/* Words of room for n: they begin anywhere in a block, and come sixteen blocks at a time. */
#define WORDS_ROOM(n) (((n) + 3 + 63) / 64 * 64)

/* Words first..first+n-1 of a draw, four to a block. @return where in the room they begin */
const uint32_t *weft__cpu_words(uint32_t *room, uint64_t seed, uint64_t stream, uint64_t step,
                                uint64_t first, int64_t n);

/* A word as a number in [0, 1): weft__uniform_f32's. */
CPU_INLINE double words_f32(const uint32_t w[1])
{
    return (double)(w[0] >> 8) * 0x1p-24;
}

/* Two words as a number in [0, 1): weft__uniform_f64's, of 53 bits, which none of this rounds. */
CPU_INLINE double words_f64(const uint32_t w[2])
{
    return ((double)w[0] * 0x1p21 + (double)(w[1] >> 11)) * 0x1p-53;
}

/* What has probability p: words up to this one, if any. */
typedef struct words_chance {
    uint32_t last;
    bool any;
} words_chance;

static inline words_chance words_with(double p)
{
    const uint64_t n = (uint64_t)(p * 0x1p32 + 0.5);
    return (words_chance){(uint32_t)(n - 1), n > 0};
}

CPU_INLINE bool words_hit(uint32_t w, words_chance c)
{
    return c.any & (w <= c.last);
}

/* The ways to form blocks first.., in multiples of sixteen; the best comes first. */
typedef struct weft__words_set {
    const char *name;
    bool (*usable)(void);
    void (*blocks)(uint32_t *to, const uint32_t key[2], uint64_t step, uint64_t first, int64_t n);
} weft__words_set;
#if defined(__x86_64__) && defined(__GNUC__)
#define WORDS_SETS 4
#else
#define WORDS_SETS 1
#endif
extern const weft__words_set weft__words_sets[WORDS_SETS];
#endif
