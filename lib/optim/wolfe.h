/* A line search for the strong Wolfe conditions. */
#ifndef OPTIM_WOLFE_H
#define OPTIM_WOLFE_H
#include <stdbool.h>
#include <weft/status.h>

/* A place on the line: step length, function, derivative along the line, and which of the caller's
 * slots keeps the gradient. */
typedef struct weft__point {
    double t, f, slope;
    int slot;
} weft__point;

#define WEFT__WOLFE_SLOTS 4

typedef struct weft__line {
    /* Fills f and slope of p at p->t, and its slot. @return WEFT_OK, else the search ends with it. */
    weft_status (*at)(void *self, weft__point *p);
    void *self;
    double largest;   /* component of the direction, in absolute value */
    double tolerance; /* the interval is too small when nothing in it moves by more */
    int limit;        /* evaluations after the first */
    int evaluations;  /* made */
} weft__line;

/* From start (t = 0, slope < 0), first trying out->t, to a point that fulfils the conditions, or the
 * best one found. */
weft_status weft__strong_wolfe(weft__line *l, const weft__point *start, weft__point *out);
#endif
