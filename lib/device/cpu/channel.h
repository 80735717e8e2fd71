/* Normalisation over channels: x (n, c, inner), whose elements of channel j of row i share a mean and a
 * deviation. */
#ifndef DEVICE_CPU_CHANNEL_H
#define DEVICE_CPU_CHANNEL_H
#include "device/cpu/cpu.h"
#include "device/cpu/lanes.h"

#define TILE 256 /* channels at a time where they lie side by side: inner is 1 */

struct channels {
    void *y;
    const void *x, *w, *b, *gy;
    double *out;         /* parts, or sums */
    const double *stats; /* count, then a mean and 1/deviation each */
    const double *sums;
    weft_dtype wt;
    int64_t n, c, inner, groups;
};

/* Of the mean of channel j of row i in stats; the deviation stands behind it. */
static inline int64_t channel_at(const struct channels *a, int64_t i, int64_t j)
{
    return 1 + 2 * (a->groups ? i * a->groups + j / (a->c / a->groups) : j);
}

/* Numbers that lie one behind the other from number `at` of row r on, at most RUN; goes on behind them. */
static inline int64_t channel_run(const struct channels *a, int64_t *r, int64_t *at)
{
    const int64_t left = a->inner - *at, n = left < RUN ? left : RUN;
    *at += n;
    if (*at == a->inner) {
        *at = 0;
        ++*r;
    }
    return n;
}

/* Channels or tiles of them. */
static inline int64_t channel_items(const struct channels *a)
{
    return a->inner == 1 ? (a->c + TILE - 1) / TILE : a->c;
}
#endif

#ifdef T
/* Channels first..first+n-1 of row i of p. Rows of 16 bits are short: what comes next is asked for. */
CPU_INLINE const C *N(row)(C *room, const void *p, const struct channels *a, int64_t i,
                           int64_t first, int64_t n)
{
    const T *x = (const T *)p + i * a->c + first;
    if (sizeof(T) < sizeof(C) && i + 2 < a->n)
        fetch_ahead(x + 2 * a->c, n * (int64_t)sizeof(T));
    return N(read)(room, x, n);
}
#endif
