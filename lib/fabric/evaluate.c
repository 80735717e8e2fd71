/* The value of a metric: the numbers of all ranks, combined, then what they amount to. */
#include "core/alloc.h"
#include "device/device.h"
#include "fabric/facade.h"
#include "metric/metric.h"

#include <math.h>
#include <stdio.h>

/* This rank's numbers, and the weight behind them. */
static weft_status own(weft_fabric *f, const weft_metric *m, double **out)
{
    if (!m)
        return weft__fail(WEFT_EARG, "the metric is NULL");
    if (m->object.fabric != f)
        return weft__fail(WEFT_EHANDLE, "the metric belongs to another fabric");
    if (!(*out = weft__new((size_t)m->n + 1, sizeof **out)))
        return WEFT_ENOMEM;
    (*out)[m->n] = m->weight;
    return f->device->ops->download(f->stream, *out, m->number, (size_t)m->n * sizeof **out);
}

static weft_status combine(weft_fabric *f, const weft_metric *m, double *number)
{
    const bool sums = m->ops->reduce == WEFT_REDUCE_SUM;
    WEFT_TRY(
        weft__all_reduce(f->comm, m->ops->name, number, m->n + sums, WEFT_F64, m->ops->reduce));
    return sums ? WEFT_OK
                : weft__all_reduce(f->comm, "weight", number + m->n, 1, WEFT_F64, WEFT_REDUCE_SUM);
}

/* *out, to be freed also after a failure, gets n numbers and the weight. Collective. */
static weft_status gathered(weft_fabric *f, const weft_metric *m, weft_status mine, double **out)
{
    char text[96] = "";
    *out = NULL;
    weft_status s = own(f, m, out);
    if (m)
        snprintf(text, sizeof text, "%.60s of %lld numbers", m->ops->name, (long long)m->n);
    WEFT_TRY(weft__meet(f, mine < 0 ? mine : s, "the metric", text));
    s = combine(f, m, *out);
    return s < 0 ? weft__stick(f, s) : WEFT_OK;
}

double weft_metric_value(weft_fabric *f, weft_metric *m)
{
    double *number, value = NAN;
    if (!weft__opened(f))
        return NAN;
    weft_status s = gathered(f, m, WEFT_OK, &number);
    if (!s && number[m->n] > 0)
        value = m->ops->value(m->self, number, m->n, number[m->n]);
    weft__free(number);
    return value;
}

weft_status weft_metric_counts(weft_fabric *f, weft_metric *m, int64_t *out, int64_t n)
{
    double *number;
    weft_status fits = WEFT_OK;
    if (!weft__opened(f))
        return weft__stuck(f);
    if (m && (m->n != n || !out))
        fits = weft__fail(WEFT_EARG,
                          "weft_metric_counts: room for %lld numbers%s; the metric has "
                          "%lld",
                          (long long)n, out ? "" : " at NULL", (long long)m->n);
    weft_status s = gathered(f, m, fits, &number);
    for (int64_t i = 0; !s && i < n; i++)
        out[i] = (int64_t)llround(number[i]);
    weft__free(number);
    return s;
}
