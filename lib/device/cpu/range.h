/* Ranges of windows along one dimension. */
#ifndef DEVICE_CPU_RANGE_H
#define DEVICE_CPU_RANGE_H
#include <stdint.h>

typedef struct range {
    int64_t first, end;
} range;

/* The windows 0..n-1 whose place q step + off is in 0..extent-1. */
static inline range cpu_inside(int64_t off, int64_t step, int64_t extent, int64_t n)
{
    const int64_t end = off < extent ? (extent - 1 - off) / step + 1 : 0;
    range in = {off < 0 ? (step - 1 - off) / step : 0, end < n ? end : n};
    in.first = in.first < in.end ? in.first : in.end;
    return in;
}
#endif
