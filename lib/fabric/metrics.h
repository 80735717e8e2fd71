/* What was logged and waits for the loggers. */
#ifndef FABRIC_METRICS_H
#define FABRIC_METRICS_H
#include "fabric/facade.h"
#include "tensor/tensor.h"

#define WEFT__METRICS 64       /* distinct metrics */
#define WEFT__METRIC_NAME 64   /* bytes of a name */
#define WEFT__METRIC_ROWS 1024 /* steps that wait at most */

/* The values of one step on this rank. */
typedef struct weft__row {
    int64_t step, epoch;
    double wall;
    bool given[WEFT__METRICS], sum[WEFT__METRICS];
    double weight[WEFT__METRICS];
    bool plain[WEFT__METRICS];   /* value is here, else on the device */
    bool weighed[WEFT__METRICS]; /* its weight is there too */
    double value[WEFT__METRICS];
} weft__row;

struct weft__metrics {
    char name[WEFT__METRICS][WEFT__METRIC_NAME];
    int names;
    int limit; /* rows before a flush */
    int rows;
    bool open; /* the last row is not complete */
    int edges; /* since the last flush: alike on all ranks, where rows may not be */
    weft__row *row;
    weft_dev ring; /* limit x WEFT__METRICS x (value, weight) */
    double *fetched, *sums;
    double timing_at[WEFT__PARTS];
    int64_t timing_step;
    bool complained;
};

/* Notes down the value of metric c in a row. What is logged again before the step is over joins: sums
 * add up, means weigh by rows, or by what they were divided by. */
weft_status weft__metrics_keep(weft_fabric *f, int c, const weft__tensor *t, weft__row *r);
#endif
