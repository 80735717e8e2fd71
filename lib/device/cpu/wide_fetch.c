/* What will be read or written soon, line by line: a tile asks for lines evenly over its steps along k, so
 * that they come from far away while it computes, and leave what it waits for the core's buffers of lines. */
#include "device/cpu/wide.h"

#if CPU_HAS_WIDE
#define LINE 16 /* numbers */

/* n addresses, `step` numbers apart. */
WIDE_TARGET static void run(weft__wide_list *l, const float *from, int64_t step, int64_t n)
{
    const uintptr_t first = (uintptr_t)from, apart = (uintptr_t)step * sizeof *from;
    uintptr_t *to = l->line + l->n;
    n = n < WIDE_LINES - l->n ? n : WIDE_LINES - l->n;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        to[i] = first + (uintptr_t)i * apart;
    l->n += n;
}

/* Rows lo..hi-1 of so many numbers, by rows or line after line of all of them, in as few runs as possible. */
static void rows(weft__wide_list *l, const float *from, int64_t step, int64_t length, int64_t lo,
                 int64_t hi)
{
    const bool aligned = (uintptr_t)from % (LINE * sizeof *from) == 0 && step % LINE == 0;
    const int64_t lines = (length - 1) / LINE + (aligned ? 1 : 2);
    from += lo * step;
    if (lines < hi - lo)
        for (int64_t i = 0; i < lines; i++)
            run(l, from + (i * LINE < length ? i * LINE : length - 1), step, hi - lo);
    else
        for (int64_t r = lo; r < hi && l->n < WIDE_LINES; r++, from += step)
            run(l, from, LINE, lines);
}

void weft__wide_fetch_a(weft__wide_list *l, const weft__wide *p, int64_t i, int64_t n, int64_t k0,
                        int64_t depth)
{
    const float *from = p->a + i * p->ra + k0 * p->ca;
    if (p->ca == 1)
        rows(l, from, p->ra, depth, 0, n);
    else
        rows(l, from, p->ca, n, 0, depth);
}

void weft__wide_fetch_b(weft__wide_list *l, const weft__wide *p, int64_t j, int64_t columns,
                        int64_t k0, int64_t depth, int64_t part, int64_t parts)
{
    const float *from = p->b + k0 * p->rb + j * p->cb;
    const int64_t n = p->cb == 1 ? depth : columns;
    rows(l, from, p->cb == 1 ? p->rb : p->cb, p->cb == 1 ? columns : depth, n * part / parts,
         n * (part + 1) / parts);
}

void weft__wide_fetch_c(weft__wide_list *l, const float *c, int64_t step, int64_t n, int64_t length)
{
    rows(l, c, step, length, 0, n);
}
#endif
