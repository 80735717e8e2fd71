/* The confusion matrix: rows by label and by the class they were taken for. */
#include "core/shape.h"
#include "metric/metric.h"

static weft_status update(weft_metric *m, void *self, weft_tensor *x, weft_tensor *y)
{
    const int64_t classes = *(int64_t *)self;
    if (!y)
        return weft__fail(WEFT_EARG, "confusion: the labels are NULL");
    if (weft_rank_of(x) == 2 && weft_dim(x, 1) != classes)
        return weft__fail(WEFT_ESHAPE, "confusion: logits of %lld classes; the metric has %lld",
                          (long long)weft_dim(x, 1), (long long)classes);
    WEFT_TRY(weft_metric_add(m, 0, weft__count_pairs(x, y), 1));
    weft_metric_weigh(m, (double)weft_dim(x, 0));
    return WEFT_OK;
}

static double value(void *self, const double *number, int64_t n, double weight)
{
    double right = 0;
    for (int64_t i = 0; i < n; i += *(int64_t *)self + 1)
        right += number[i];
    return right / weight;
}

static const weft_metric_ops ops = {
    .size = sizeof ops, .name = "confusion", .update = update, .value = value};

weft_metric *weft_metric_confusion(weft_fabric *f, int64_t classes)
{
    int64_t n;
    if (classes >= 1 && !__builtin_mul_overflow(classes, classes, &n))
        return weft_metric_new(f, &ops, &classes, sizeof classes, n);
    weft__stick(f,
                weft__fail(WEFT_EARG, "weft_metric_confusion: %lld classes", (long long)classes));
    return NULL;
}
