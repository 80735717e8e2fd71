/* Metrics: numbers on the device, a weight on the host. */
#ifndef METRIC_METRIC_H
#define METRIC_METRIC_H
#include "tensor/tensor.h"

#include <weft/sys/metric.h>

struct weft_metric {
    weft__object object; /* kind WEFT__METRIC */
    const weft_metric_ops *ops;
    void *self;
    weft_dev number; /* f64 */
    int64_t n;
    double *host; /* room for the numbers and the weight of all ranks */
    double weight;
    int64_t resets; /* alike on all ranks */
};

/* Rows of logits (B,C) whose label (B) is among the k largest, as an f64 of rank 0. */
weft_tensor *weft__count_top(weft_tensor *logits, weft_tensor *labels, int64_t k);
/* The (C,C) i64 counts of (label, largest). */
weft_tensor *weft__count_pairs(weft_tensor *logits, weft_tensor *labels);
#endif
