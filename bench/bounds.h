/* What this machine can do at most, as every program prints it. */
#ifndef BENCH_BOUNDS_H
#define BENCH_BOUNDS_H
#include <jansson.h>
#include <weft/base.h>

/* On `threads` threads: "peaks", multiply-adds in registers of f32, f64 and bf16 in GF/s with the instructions that
 * do them, and "triad_gb_s", the bandwidth of the memory, over 256 MB. */
json_t *bench_bounds(int threads);

/* Bytes a second of a[i] = b[i] + s c[i] over so many bytes, and flops a second of a type, measured now. */
typedef struct bench_rates {
    double peak, bandwidth;
    const char *isa;
} bench_rates;
bench_rates bench_measure(weft_dtype t, int64_t bytes, int threads);

/* The least seconds for such work: the larger of flops / peak and bytes / bandwidth. */
double bench_bound(const bench_rates *r, double flops, double bytes);
#endif
