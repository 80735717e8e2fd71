/* A metric of the user's own: numbers that add up over batches and ranks, and a value made of them.
 *
 *     static weft_status update(weft_metric *m, void *self, weft_tensor *x, weft_tensor *y)
 *     {
 *         weft_tensor *d = weft_add(x, weft_scale(y, -1));
 *         weft_metric_weigh(m, (double)weft_numel(d));
 *         return weft_metric_add(m, 0, weft_sum(weft_mul(d, d), WEFT_ALL), 1);
 *     }
 *     static double value(void *self, const double *number, int64_t n, double weight)
 *     {
 *         return sqrt(number[0] / weight);
 *     }
 *     static const weft_metric_ops rmse = {
 *         .size = sizeof rmse, .name = "rmse", .update = update, .value = value};
 *     weft_metric *m = weft_metric_new(f, &rmse, NULL, 0, 1);
 */
#ifndef WEFT_SYS_METRIC_H
#define WEFT_SYS_METRIC_H
#include <weft/metric.h>
#include <weft/sys/comm.h>
WEFT_BEGIN

typedef struct weft_metric_ops {
    size_t size;
    const char *name;
    /* REQUIRED. A batch: ops on x and y, then weft_metric_add and weft_metric_weigh. */
    weft_status (*update)(weft_metric *m, void *self, weft_tensor *x, weft_tensor *y);
    /* REQUIRED. The value from the numbers and the weight of all ranks; not asked where the weight is
     * 0. On the host. */
    double (*value)(void *self, const double *number, int64_t n, double weight);
    weft_reduce reduce;          /* how numbers combine; the default is the sum */
    void (*destroy)(void *self); /* OPTIONAL. Frees what self points to */
} weft_metric_ops;

/* A metric of n numbers, which start at 0, or at +-infinity where they are least or largest ones;
 * self is copied. @return NULL after an error that sticks: WEFT_EARG, WEFT_ENOMEM. */
WEFT_API weft_metric *weft_metric_new(weft_fabric *f, const weft_metric_ops *ops, const void *self,
                                      size_t bytes, int64_t n);
/* Adds alpha times the elements of t, of any type, to the numbers from `first` on; where numbers are
 * least or largest ones, joins all elements of t with number `first`. Formed in f64, on the device.
 * For use in update. @return WEFT_EARG if there are not so many numbers. */
WEFT_API weft_status weft_metric_add(weft_metric *m, int64_t first, weft_tensor *t, double alpha);
/* Adds to the weight: rows, or whatever the value divides by. */
WEFT_API void weft_metric_weigh(weft_metric *m, double weight);
/* The rows of this rank's batch that t was made from, as losses are; -1 if it is of no batch. */
WEFT_API int64_t weft_metric_rows(weft_tensor *t);

WEFT_END
#endif
