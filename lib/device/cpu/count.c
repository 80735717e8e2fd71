/* Counting rows of logits by label. */
#ifdef T

static void N(topk)(const void *args, int64_t lo, int64_t hi)
{
    const struct rows *a = args;
    int64_t hits = 0;
    for (int64_t r = lo; r < hi; r++) {
        const T *x = (const T *)a->x + r * a->c;
        const int64_t label = cpu_label(a->label, a->lt, r);
        if (label < 0 || label >= a->c || x[label] != x[label])
            continue;
        int64_t before = 0;
        for (int64_t j = 0; j < a->c; j++)
            before += !(x[j] <= x[label]) || (x[j] == x[label] && j < label);
        hits += before < a->k;
    }
    __atomic_fetch_add(a->y, hits, __ATOMIC_RELAXED);
}

static void N(confusion)(const void *args, int64_t lo, int64_t hi)
{
    const struct rows *a = args;
    for (int64_t r = lo; r < hi; r++) {
        const T *x = (const T *)a->x + r * a->c;
        const int64_t label = cpu_label(a->label, a->lt, r);
        int64_t best = 0;
        for (int64_t j = 1; j < a->c; j++) /* NaN is largest, as in PyTorch */
            best = x[best] == x[best] && !(x[j] <= x[best]) ? j : best;
        if (label >= 0 && label < a->c)
            __atomic_fetch_add(a->y + label * a->c + best, 1, __ATOMIC_RELAXED);
    }
}

#else

#include "device/cpu/cpu.h"

#include <string.h>

struct rows {
    int64_t *y;
    const void *x, *label;
    weft_dtype lt;
    int64_t c, k;
};

#define CPU_FAMILY "device/cpu/count.c"
#include "device/cpu/typed.h"

weft_status weft__cpu_topk(weft_stream *s, weft_dev y, weft_dev flag, weft_dev x, weft_dev label,
                           weft_dtype lt, int64_t rows, int64_t c, int64_t k, weft_dtype dt)
{
    int64_t hits = 0;
    const struct rows a = {
        .y = &hits, .x = cpu_ptr(x), .label = cpu_ptr(label), .lt = lt, .c = c, .k = k};
    if (!cpu_is_label(lt))
        return weft__no_kernel(s->device, "topk", lt);
    WEFT_TRY(weft__cpu_each_row(s, CPU_PAIR(topk), dt, &a, rows, c));
    cpu_report(cpu_ptr(flag), a.label, lt, rows, c);
    *(double *)cpu_ptr(y) = (double)hits;
    return WEFT_OK;
}

weft_status weft__cpu_confusion(weft_stream *s, weft_dev y, weft_dev flag, weft_dev x,
                                weft_dev label, weft_dtype lt, int64_t rows, int64_t c,
                                weft_dtype dt)
{
    const struct rows a = {
        .y = cpu_ptr(y), .x = cpu_ptr(x), .label = cpu_ptr(label), .lt = lt, .c = c};
    if (!cpu_is_label(lt))
        return weft__no_kernel(s->device, "confusion", lt);
    memset(a.y, 0, (size_t)(c * c) * sizeof *a.y);
    WEFT_TRY(weft__cpu_each_row(s, CPU_PAIR(confusion), dt, &a, rows, c));
    cpu_report(cpu_ptr(flag), a.label, lt, rows, c);
    return WEFT_OK;
}
#endif
