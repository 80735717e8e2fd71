/* Philox4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers: as easy as
 * 1, 2, 3", SC 2011. A draw is a function of its key and counter alone. */
#ifndef CORE_RNG_H
#define CORE_RNG_H
#include <stdint.h>

void weft__philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* Weft's keys and counters: key is a digest of (seed, stream), counter (block, step); a block gives
 * four 32-bit words, or two 64-bit ones. */
void weft__draw_key(uint64_t seed, uint64_t stream, uint32_t key[2]);
void weft__draw(uint64_t seed, uint64_t stream, uint64_t step, uint64_t block, uint32_t out[4]);
/* Number i of a stream, uniform in [0, 1): 24 bits of one word, or 53 of two. */
float weft__uniform_f32(uint64_t seed, uint64_t stream, uint64_t step, uint64_t i);
double weft__uniform_f64(uint64_t seed, uint64_t stream, uint64_t step, uint64_t i);
/* Number i of a stream, uniform in 0..n-1 without bias worth naming (n <= 2^32: below 2^-31). */
uint64_t weft__uniform_below(uint64_t seed, uint64_t stream, uint64_t step, uint64_t i, uint64_t n);
/* A stream's number from its name. */
uint64_t weft__stream_of(const char *name);
#endif
