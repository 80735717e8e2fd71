/* The least and the largest of all elements. */
#include "metric/metric.h"

static weft_status update(weft_metric *m, void *self, weft_tensor *x, weft_tensor *y)
{
    (void)self;
    if (y)
        return weft__fail(WEFT_EARG, "%s takes one tensor; give NULL for the second", m->ops->name);
    WEFT_TRY(weft_metric_add(m, 0, x, 1));
    weft_metric_weigh(m, (double)weft_numel(x));
    return WEFT_OK;
}

static double value(void *self, const double *number, int64_t n, double weight)
{
    (void)self, (void)n, (void)weight;
    return number[0];
}

static const weft_metric_ops least = {.size = sizeof least,
                                      .name = "min",
                                      .update = update,
                                      .value = value,
                                      .reduce = WEFT_REDUCE_MIN};
static const weft_metric_ops largest = {.size = sizeof largest,
                                        .name = "max",
                                        .update = update,
                                        .value = value,
                                        .reduce = WEFT_REDUCE_MAX};

weft_metric *weft_metric_min(weft_fabric *f)
{
    return weft_metric_new(f, &least, NULL, 0, 1);
}

weft_metric *weft_metric_max(weft_fabric *f)
{
    return weft_metric_new(f, &largest, NULL, 0, 1);
}
