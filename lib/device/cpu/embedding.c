/* Rows of a table by index, and the sums of their gradients. */
#ifdef T

static void N(embedding)(const void *args, int64_t lo, int64_t hi)
{
    const struct table *a = args;
    for (int64_t i = lo; i < hi; i++) {
        const int64_t at = cpu_label(a->index, a->it, i);
        T *y = (T *)a->y + i * a->c;
        if (at >= 0 && at < a->rows)
            memcpy(y, (const T *)a->x + at * a->c, (size_t)a->c * sizeof(T));
        for (int64_t j = 0; j < a->c && (at < 0 || at >= a->rows); j++)
            y[j] = STORE((C)NAN);
    }
}

/* Each thread has rows of the table and looks through all indices, so that a row's sum is in their
 * order. */
static void N(embedding_back)(const void *args, int64_t lo, int64_t hi)
{
    const struct table *a = args;
    if (!a->beta)
        memset((C *)a->y + lo * a->c, 0, (size_t)((hi - lo) * a->c) * sizeof(C));
    for (int64_t i = 0; i < a->n; i++) {
        const int64_t at = cpu_label(a->index, a->it, i);
        const T *g = (const T *)a->x + i * a->c;
        C *y = (C *)a->y + at * a->c;
        if (at < lo || at >= hi || at == a->skip)
            continue;
#pragma omp simd
        for (int64_t j = 0; j < a->c; j++)
            y[j] += LOAD(g[j]);
    }
}

#else

#include "device/cpu/cpu.h"

#include <math.h>
#include <string.h>

struct table {
    void *y;
    const void *x, *index;
    weft_dtype it;
    int64_t n, rows, c, skip;
    int beta;
};

#define CPU_LOW
#define CPU_FAMILY "device/cpu/embedding.c"
#include "device/cpu/typed.h"

weft_status weft__cpu_embedding(weft_stream *s, weft_dev y, weft_dev flag, weft_dev w,
                                weft_dev index, weft_dtype it, int64_t n, int64_t rows, int64_t c,
                                weft_dtype dt)
{
    const struct table a = {.y = cpu_ptr(y),
                            .x = cpu_ptr(w),
                            .index = cpu_ptr(index),
                            .it = it,
                            .n = n,
                            .rows = rows,
                            .c = c};
    if (!cpu_is_label(it))
        return weft__no_kernel(s->device, "embedding", it);
    cpu_report(cpu_ptr(flag), a.index, it, n, rows);
    return weft__cpu_each_row(s, CPU_FLOATS(embedding), dt, &a, n, c + 1);
}

weft_status weft__cpu_embedding_back(weft_stream *s, weft_dev gw, weft_dev gy, weft_dev index,
                                     weft_dtype it, int64_t n, int64_t rows, int64_t c,
                                     int64_t skip, int beta, weft_dtype dt)
{
    const struct table a = {.y = cpu_ptr(gw),
                            .x = cpu_ptr(gy),
                            .index = cpu_ptr(index),
                            .it = it,
                            .n = n,
                            .rows = rows,
                            .c = c,
                            .skip = skip,
                            .beta = beta};
    if (!cpu_is_label(it))
        return weft__no_kernel(s->device, "embedding_back", it);
    return weft__cpu_each_row(s, CPU_FLOATS(embedding_back), dt, &a, rows,
                              c + n * c / (rows ? rows : 1));
}
#endif
