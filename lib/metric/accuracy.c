/* Accuracy: rows whose label is among the k largest, over rows. */
#include "metric/metric.h"

static weft_status update(weft_metric *m, void *self, weft_tensor *x, weft_tensor *y)
{
    if (!y)
        return weft__fail(WEFT_EARG, "accuracy: the labels are NULL");
    WEFT_TRY(weft_metric_add(m, 0, weft__count_top(x, y, *(int64_t *)self), 1));
    weft_metric_weigh(m, (double)weft_dim(x, 0));
    return WEFT_OK;
}

static double value(void *self, const double *number, int64_t n, double weight)
{
    (void)self, (void)n;
    return number[0] / weight;
}

static const weft_metric_ops ops = {
    .size = sizeof ops, .name = "accuracy", .update = update, .value = value};

weft_metric *weft_metric_accuracy(weft_fabric *f, const weft_accuracy_options *o)
{
    int64_t k = o && o->top_k ? o->top_k : 1;
    if (k < 1) {
        weft__stick(
            f, weft__fail(WEFT_EARG, "weft_metric_accuracy: top_k %lld is below 1", (long long)k));
        return NULL;
    }
    return weft_metric_new(f, &ops, &k, sizeof k, 1);
}
