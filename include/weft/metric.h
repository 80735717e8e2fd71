/* Metrics of an evaluation. Each rank adds the batches that it has, and the value is that of all rows
 * of all ranks, each counted once: sums and counts are combined, never means of means. A loader with
 * .evaluation gives every row to one rank, so the value does not depend on the number of ranks. NaN
 * among what is added makes sums, means and extremes NaN, on all ranks.
 *
 *     weft_metric *accuracy = weft_metric_accuracy(f, NULL);
 *     weft_eval_begin(f);
 *     for (weft_batch b; weft_next(test, &b);)
 *         weft_metric_update(accuracy, weft_forward(model, b.x), b.y);
 *     weft_eval_end(f);
 *     double a = weft_metric_value(f, accuracy);
 *
 * A metric dies with the fabric; weft_metric_reset begins it anew. It is no part of checkpoints:
 * weft_track_f64 keeps a value. <weft/sys/metric.h> is the door for metrics of one's own. */
#ifndef WEFT_METRIC_H
#define WEFT_METRIC_H
#include <weft/base.h>
#include <weft/status.h>
#include <weft/tensor.h>
WEFT_BEGIN

typedef struct weft_accuracy_options {
    int64_t top_k WEFT_INIT; /* a row counts if its label is among the k largest; default 1 */
    WEFT_PTR(weft_accuracy_options)
} weft_accuracy_options;
#define WEFT_ACCURACY(...) WEFT__ARGS(weft_accuracy_options, __VA_ARGS__)

/* The share of rows that are right. Updated with logits (B,C) and labels (B) of u8, i32 or i64; of
 * equal logits the leftmost counts as largest. A label outside 0..C-1 sticks (WEFT_EDATA). */
WEFT_API weft_metric *weft_metric_accuracy(weft_fabric *f, const weft_accuracy_options *o);
/* How often label i (row) was taken for class j (column): weft_metric_counts gives the
 * (classes, classes) counts, weft_metric_value the share on the diagonal. Updated as accuracy. */
WEFT_API weft_metric *weft_metric_confusion(weft_fabric *f, int64_t classes);
/* The mean. Updated with x and y NULL: x is a mean or a sum over the batch's rows, as losses are, and
 * weighs as its rows do, or as the labels that count and their weights (<weft/loss.h>), or any other tensor, of whose elements it is the mean. */
WEFT_API weft_metric *weft_metric_mean(weft_fabric *f);
/* The sum, the least and the largest of all elements of x; y is NULL. */
WEFT_API weft_metric *weft_metric_sum(weft_fabric *f);
WEFT_API weft_metric *weft_metric_min(weft_fabric *f);
WEFT_API weft_metric *weft_metric_max(weft_fabric *f);

/* Adds this rank's batch. Nothing is recorded for weft_backward. Not collective; does nothing where
 * an error sticks. Errors stick: WEFT_EARG, WEFT_ESHAPE, WEFT_EDTYPE, WEFT_EDATA. */
WEFT_API weft_status weft_metric_update(weft_metric *m, weft_tensor *x, weft_tensor *y);
/* The value over what all ranks have added since the reset, the same on all; more may be added
 * afterwards. Collective. @return NaN if nothing was added, or after an error, which sticks on all
 * ranks alike: WEFT_EARG (m is NULL), WEFT_ECONFIG (ranks give different metrics). */
WEFT_API double weft_metric_value(weft_fabric *f, weft_metric *m);
/* The numbers that the value is made of, over all ranks, as integers: n must be how many there are
 * (confusion: classes * classes, row-major; accuracy: 1, the rows that are right). Collective; out is
 * written on success only. Errors stick as those of weft_metric_value. */
WEFT_API weft_status weft_metric_counts(weft_fabric *f, weft_metric *m, int64_t *out, int64_t n);
/* Forgets what this rank has added; call it on all ranks alike (else weft_metric_value is
 * WEFT_ECONFIG). */
WEFT_API weft_status weft_metric_reset(weft_metric *m);

WEFT_END
#endif
