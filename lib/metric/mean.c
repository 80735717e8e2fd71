/* The mean and the sum of what is added. A mean over a batch counts as its rows, or as what it was
 * divided by; a sum over a batch is that of its rows. */
#include "metric/metric.h"

#include <weft/ops.h>

static weft_status no_labels(const weft_tensor *y, const char *name)
{
    return y ? weft__fail(WEFT_EARG, "%s takes one tensor; give NULL for the second", name)
             : WEFT_OK;
}

static weft_tensor *total(weft_tensor *x)
{
    return weft_sum(weft_cast(x, WEFT_F64), WEFT_ALL);
}

static weft_status update_mean(weft_metric *m, void *self, weft_tensor *x, weft_tensor *y)
{
    (void)self;
    WEFT_TRY(no_labels(y, "mean"));
    const weft__tensor *t = weft__tensor_at(x, NULL);
    const bool weighed = t->weight.addr != 0;
    const bool of_rows = weighed || (t->rows.batch && t->reduction != WEFT__NONE);
    double rows = (double)t->view.numel;
    if (of_rows)
        WEFT_TRY(weft__weight_of(m->object.fabric, t, &rows));
    if (rows == 0) /* the mean of nothing is NaN, and weighs nothing */
        return WEFT_OK;
    const bool mean = weighed || (of_rows && t->reduction == WEFT__MEAN);
    if (mean && t->view.numel != 1)
        return weft__fail(WEFT_ESHAPE, "mean: a mean over the batch of %lld elements, not one",
                          (long long)t->view.numel);
    WEFT_TRY(weft_metric_add(m, 0, mean ? x : total(x), mean ? rows : 1));
    weft_metric_weigh(m, rows);
    return WEFT_OK;
}

static double divide(void *self, const double *number, int64_t n, double weight)
{
    (void)self, (void)n;
    return number[0] / weight;
}

static weft_status update_sum(weft_metric *m, void *self, weft_tensor *x, weft_tensor *y)
{
    (void)self;
    WEFT_TRY(no_labels(y, "sum"));
    WEFT_TRY(weft_metric_add(m, 0, total(x), 1));
    weft_metric_weigh(m, (double)weft_numel(x));
    return WEFT_OK;
}

static double first(void *self, const double *number, int64_t n, double weight)
{
    (void)self, (void)n, (void)weight;
    return number[0];
}

static const weft_metric_ops mean_ops = {
    .size = sizeof mean_ops, .name = "mean", .update = update_mean, .value = divide};
static const weft_metric_ops sum_ops = {
    .size = sizeof sum_ops, .name = "sum", .update = update_sum, .value = first};

weft_metric *weft_metric_mean(weft_fabric *f)
{
    return weft_metric_new(f, &mean_ops, NULL, 0, 1);
}

weft_metric *weft_metric_sum(weft_fabric *f)
{
    return weft_metric_new(f, &sum_ops, NULL, 0, 1);
}
