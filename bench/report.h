/* What the programs report alike: the machine, and values with their spread. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H
#include <jansson.h>
#include <stdint.h>

/* "p25", "median" and "p75" of n values, which are sorted by it. */
json_t *bench_quartiles(double *value, int64_t n);
/* The middle one of n values, which are sorted by it. */
double bench_median(double *value, int64_t n);
/* The processor and its cores, the cores that this process may run on, Weft, BLIS and MPI, and those
 * variables of the environment that choose kernels, threads or their places. */
json_t *bench_machine(void);
/* One line of JSON on stdout; out is released. */
void bench_print(json_t *out);
#endif
