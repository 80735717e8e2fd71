/* What logged values are kept in. */
#ifndef FABRIC_METRICS_H
#define FABRIC_METRICS_H
#include "fabric/facade.h"

#define WEFT__NAMES 64 /* distinct metrics */
#define WEFT__NAME 64  /* bytes of a name */

/* The values of one step on this rank; in reproducible mode of each of its micro-batches. */
typedef struct weft__logged {
    int64_t step, epoch;
    double wall;
    bool given[WEFT__NAMES], sum[WEFT__NAMES];
    double weight[WEFT__NAMES];
    bool plain[WEFT__NAMES]; /* value is here, else on the device */
    double value[WEFT__NAMES];
} weft__logged;

struct weft__metrics {
    char name[WEFT__NAMES][WEFT__NAME];
    int names;
    int limit;         /* rows before a flush */
    int parts;         /* rows a step */
    int rows;          /* steps */
    bool open;         /* the last row is not complete */
    int edges;         /* since the last flush: alike on all ranks, where rows may not be */
    weft__logged *row; /* limit x parts */
    weft_dev ring;     /* limit x parts x WEFT__NAMES doubles */
    double *fetched, *sums;
    double timing_at[WEFT__PARTS];
    int64_t timing_step;
    bool complained;
};

/* The first of a step's rows. */
static inline weft__logged *weft__logged_at(const weft__metrics *m, int step)
{
    return &m->row[(size_t)step * (size_t)m->parts];
}

/* Notes a failure that does not stick, the first time. @return s. */
weft_status weft__metrics_complain(weft_fabric *f, weft_status s);
#endif
