/* How often this process has asked for heap memory. */
#ifndef BENCH_HEAP_H
#define BENCH_HEAP_H
#include <stdint.h>

/* Calls of malloc, calloc, realloc, aligned_alloc, posix_memalign and memalign so far, by all
 * threads and all libraries; -1 where they cannot be counted. */
int64_t bench_heap_calls(void);
#endif
