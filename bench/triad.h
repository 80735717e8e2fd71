/* What the memory of this machine can move, measured. */
#ifndef BENCH_TRIAD_H
#define BENCH_TRIAD_H
#include <stdint.h>

/* Bytes a second of a[i] = b[i] + s c[i] in f32 over three arrays of `bytes` bytes together, on
 * `threads` threads that each have their own part of all three: the best of `rounds` rounds of a
 * millisecond or more of processor time. Counted are two reads and a write. 0 if there is no memory. */
double bench_triad(int64_t bytes, int threads, int rounds);
#endif
