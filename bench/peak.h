/* What the arithmetic of this processor can do at most, measured. */
#ifndef BENCH_PEAK_H
#define BENCH_PEAK_H
#include <weft/base.h>

/* Floating point operations a second of `threads` threads that do nothing but multiply and add in
 * registers, a product and a sum counted as two: f32, f64, or bf16 summed in f32, by what is
 * quickest. *isa names the instructions. 0 and "none" where there are none that we know. */
double bench_peak(weft_dtype t, int threads, const char **isa);
/* The same in a few milliseconds, right beside what it bounds, and while the threads have their cores. */
double bench_peak_now(weft_dtype t, int threads, const char **isa);
/* Processor time of this thread in seconds. */
double bench_own_time(void);
#endif
