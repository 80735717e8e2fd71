/* Peaks and bandwidth, measured where a program runs, with its threads. */
#include "bounds.h"

#include "peak.h"
#include "triad.h"

#define MEMORY ((int64_t)1 << 28) /* bytes */
#define ROUNDS 3

static json_t *peak_of(weft_dtype t, int threads)
{
    const char *isa;
    const double peak = bench_peak(t, threads, &isa);
    return json_pack("{s:f, s:s}", "gflops", 1e-9 * peak, "isa", isa);
}

json_t *bench_bounds(int threads)
{
    return json_pack("{s:i, s:{s:o, s:o, s:o}, s:f}", "threads", threads, "peaks", "f32",
                     peak_of(WEFT_F32, threads), "f64", peak_of(WEFT_F64, threads), "bf16",
                     peak_of(WEFT_BF16, threads), "triad_gb_s",
                     1e-9 * bench_triad(MEMORY, threads, ROUNDS));
}

bench_rates bench_measure(weft_dtype t, int64_t bytes, int threads)
{
    bench_rates r;
    r.peak = bench_peak(t, threads, &r.isa);
    r.bandwidth = bench_triad(bytes, threads, ROUNDS);
    return r;
}

double bench_bound(const bench_rates *r, double flops, double bytes)
{
    const double arithmetic = r->peak > 0 ? flops / r->peak : 0;
    const double memory = r->bandwidth > 0 ? bytes / r->bandwidth : 0;
    return arithmetic > memory ? arithmetic : memory;
}
