/* A device whose kernels do nothing: what is left of a step's time is the library's own. */
#ifndef BENCH_EMPTY_H
#define BENCH_EMPTY_H
#include <weft/base.h>

#include <stdint.h>

/* Puts it in the place of f's own device, the CPU, until _end: memory stays, and holds zeros where kernels
 * would have written. late: as a GPU it queues what it gets; graph: what a step asks for is compared with
 * the steps before, and launched as graphs of it. False: no memory. */
bool bench_empty_begin(weft_fabric *f, bool late, bool graph);
void bench_empty_end(weft_fabric *f);
/* The step that begins is noted as the first of a device with graphs. */
void bench_empty_forget(weft_fabric *f);
/* Kernels and copies that it was asked for so far. */
int64_t bench_empty_calls(void);
#endif
