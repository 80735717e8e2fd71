/* The value of a metric: the numbers of all ranks, combined, then what they amount to. */
#include "device/device.h"
#include "fabric/facade.h"
#include "metric/metric.h"

#include <math.h>
#include <stdio.h>

/* This rank's numbers, and the weight behind them. */
static weft_status own(weft_fabric *f, const weft_metric *m)
{
    if (!m)
        return weft__fail(WEFT_EARG, "the metric is NULL");
    if (m->object.fabric != f)
        return weft__fail(WEFT_EHANDLE, "the metric belongs to another fabric");
    WEFT_TRY(
        f->device->ops->download(f->stream, m->host, m->number, (size_t)m->n * sizeof *m->host));
    WEFT_TRY(weft__late_read(f));
    m->host[m->n] = m->weight;
    for (int64_t i = 0; i < m->n && m->ops->reduce != WEFT_REDUCE_SUM; i++)
        if (isnan(m->host[i])) /* of which ranks would take the least in any way */
            m->host[m->n] = NAN;
    return WEFT_OK;
}

static weft_status combine(weft_fabric *f, const weft_metric *m)
{
    const bool sums = m->ops->reduce == WEFT_REDUCE_SUM;
    WEFT_TRY(
        weft__all_reduce(f->comm, m->ops->name, m->host, m->n + sums, WEFT_F64, m->ops->reduce));
    return sums ? WEFT_OK
                : weft__all_reduce(f->comm, "weight", m->host + m->n, 1, WEFT_F64, WEFT_REDUCE_SUM);
}

/* m->host gets the numbers of all ranks. Collective. */
static weft_status gathered(weft_fabric *f, const weft_metric *m, weft_status mine)
{
    char text[128] = "";
    if (m)
        snprintf(text, sizeof text, "%.60s of %lld numbers, reset %lld times", m->ops->name,
                 (long long)m->n, (long long)m->resets);
    WEFT_TRY(weft__meet(f, mine < 0 ? mine : own(f, m), "the metric", text));
    weft_status s = combine(f, m);
    return s < 0 ? weft__stick(f, s) : WEFT_OK;
}

double weft_metric_value(weft_fabric *f, weft_metric *m)
{
    if (!weft__opened(f) || gathered(f, m, WEFT_OK) || !(m->host[m->n] > 0))
        return NAN;
    return m->ops->value(m->self, m->host, m->n, m->host[m->n]);
}

weft_status weft_metric_counts(weft_fabric *f, weft_metric *m, int64_t *out, int64_t n)
{
    weft_status fits = WEFT_OK;
    if (!weft__opened(f))
        return weft__stuck(f);
    if (m && (m->n != n || !out))
        fits = weft__fail(WEFT_EARG,
                          "weft_metric_counts: room for %lld numbers%s; the metric has "
                          "%lld",
                          (long long)n, out ? "" : " at NULL", (long long)m->n);
    WEFT_TRY(gathered(f, m, fits));
    for (int64_t i = 0; i < n; i++)
        out[i] = (int64_t)llround(m->host[i]);
    return WEFT_OK;
}
