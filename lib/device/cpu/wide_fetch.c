/* What will be read or written soon, line by line: a tile asks for lines evenly over its steps along k, so
 * that they come from far away while it computes, and leave what it waits for the core's buffers of lines. */
#include "device/cpu/wide.h"

#if CPU_HAS_WIDE
#define LINE 64 /* bytes */

/* n addresses, `step` bytes apart. */
WIDE_TARGET static void run(weft__wide_list *l, const char *from, int64_t step, int64_t n)
{
    const uintptr_t first = (uintptr_t)from, apart = (uintptr_t)step;
    uintptr_t *to = l->line + l->n;
    n = n < WIDE_LINES - l->n ? n : WIDE_LINES - l->n;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        to[i] = first + (uintptr_t)i * apart;
    l->n += n;
}

/* n rows of so many bytes, by rows or line after line of all of them, in as few runs as possible. */
static void rows(weft__wide_list *l, const char *from, int64_t step, int64_t length, int64_t n)
{
    const bool aligned = (uintptr_t)from % LINE == 0 && step % LINE == 0;
    const int64_t lines = (length - 1) / LINE + (aligned ? 1 : 2);
    if (lines < n)
        for (int64_t i = 0; i < lines; i++)
            run(l, from + (i * LINE < length ? i * LINE : length - 1), step, n);
    else
        for (int64_t r = 0; r < n && l->n < WIDE_LINES; r++, from += step)
            run(l, from, LINE, lines);
}

/* Numbers of a matrix, `high` from row to row and `wide` from column to column, one of which is 1. */
static void matrix(weft__wide_list *l, const char *from, weft_dtype t, int64_t high, int64_t wide,
                   int64_t m, int64_t n)
{
    const int64_t size = t == WEFT_F32 ? 4 : 2;
    if (wide == 1)
        rows(l, from, high * size, n * size, m);
    else
        rows(l, from, wide * size, m * size, n);
}

void weft__wide_fetch_a(weft__wide_list *l, const weft__wide *p, int64_t i, int64_t n, int64_t k0,
                        int64_t depth)
{
    matrix(l, wide_at(p->a, p->dt, i, p->ra, k0, p->ca), p->dt, p->ra, p->ca, n, depth);
}

void weft__wide_fetch_b(weft__wide_list *l, const weft__wide *p, int64_t j, int64_t columns,
                        int64_t k0, int64_t depth, int64_t part, int64_t parts)
{
    const int64_t n = p->cb == 1 ? depth : columns;
    const int64_t lo = n * part / parts, some = n * (part + 1) / parts - lo;
    if (p->cb == 1)
        matrix(l, wide_at(p->b, p->dt, k0 + lo, p->rb, j, 1), p->dt, p->rb, 1, some, columns);
    else
        matrix(l, wide_at(p->b, p->dt, k0, p->rb, j + lo, p->cb), p->dt, p->rb, p->cb, depth, some);
}

void weft__wide_fetch_c(weft__wide_list *l, const weft__wide *p, int64_t i, int64_t rows, int64_t j,
                        int64_t columns)
{
    matrix(l, wide_at(p->c, p->ct, i, p->rc, j, p->cc), p->ct, p->rc, p->cc, rows, columns);
}
#endif
