/* Nocedal and Wright 2006, algorithms 3.5 (bracket) and 3.6 (zoom), with cubic interpolation (3.59)
 * and minFunc's safeguards:
 *   f(t) <= f(0) + C1 t f'(0)  and  |f'(t)| <= C2 |f'(0)| */
#include "optim/wolfe.h"

#include <math.h>

#define C1 1e-4
#define C2 0.9
#define MARGIN 0.1 /* of the interval: closer to its ends is too close */

/* The minimum of the cubic through both points, within [lo, hi]; its middle if there is none. */
static double cubic(const weft__point *p, const weft__point *q, double lo, double hi)
{
    const weft__point *a = p->t <= q->t ? p : q, *b = p->t <= q->t ? q : p;
    double d1 = p->slope + q->slope - 3 * (p->f - q->f) / (p->t - q->t);
    double square = d1 * d1 - p->slope * q->slope;
    if (!(square >= 0))
        return (lo + hi) / 2;
    double d2 = sqrt(square);
    double t = b->t - (b->t - a->t) * ((b->slope + d2 - d1) / (b->slope - a->slope + 2 * d2));
    t = t < lo ? lo : t;
    return t > hi ? hi : t;
}

static int free_slot(const weft__point *a, const weft__point *b, const weft__point *c)
{
    int slot = 0;
    while (slot == a->slot || slot == b->slot || slot == c->slot)
        slot++;
    return slot;
}

static weft_status evaluate(weft__line *l, weft__point *p)
{
    l->evaluations++;
    return l->at(l->self, p);
}

static bool too_high(const weft__point *p, const weft__point *start)
{
    return p->f > start->f + C1 * p->t * start->slope;
}

static bool flat(const weft__point *p, const weft__point *start)
{
    return fabs(p->slope) <= -C2 * start->slope;
}

/* Keeps away from the ends of [lo, hi], at the second time or if t is one of them. */
static double keep_off(double t, double lo, double hi, bool *close)
{
    const double margin = MARGIN * (hi - lo);
    if (!(fmin(hi - t, t - lo) < margin)) {
        *close = false;
        return t;
    }
    if (!*close && t < hi && t > lo) {
        *close = true;
        return t;
    }
    *close = false;
    return fabs(t - hi) < fabs(t - lo) ? hi - margin : lo + margin;
}

/* A point that fulfils the conditions lies between b[0] and b[1]. */
static weft_status zoom(weft__line *l, const weft__point *start, weft__point b[2], weft__point *out)
{
    int low = b[0].f <= b[1].f ? 0 : 1;
    bool close = false;
    while (l->evaluations <= l->limit && !(fabs(b[1].t - b[0].t) * l->largest < l->tolerance)) {
        const double lo = fmin(b[0].t, b[1].t), hi = fmax(b[0].t, b[1].t);
        weft__point new = {.t = keep_off(cubic(&b[0], &b[1], lo, hi), lo, hi, &close),
                           .slot = free_slot(start, &b[0], &b[1])};
        weft_status s = evaluate(l, &new);
        if (s)
            return s;
        if (too_high(&new, start) || new.f >= b[low].f) {
            b[!low] = new;
            low = b[0].f <= b[1].f ? 0 : 1;
            continue;
        }
        if (!flat(&new, start) && new.slope *(b[!low].t - b[low].t) >= 0)
            b[!low] = b[low];
        b[low] = new;
        if (flat(&new, start))
            break;
    }
    *out = b[low];
    return WEFT_OK;
}

weft_status weft__strong_wolfe(weft__line *l, const weft__point *start, weft__point *out)
{
    weft__point b[2] = {*start, {.t = out->t, .slot = free_slot(start, start, start)}};
    weft_status s = evaluate(l, &b[1]);
    int rounds = 0;
    for (; !s && rounds < l->limit; rounds++) {
        if (too_high(&b[1], start) || (rounds > 1 && b[1].f >= b[0].f))
            break;
        if (flat(&b[1], start)) {
            *out = b[1];
            return WEFT_OK;
        }
        if (b[1].slope >= 0)
            break;
        weft__point next = {.t =
                                cubic(&b[0], &b[1], b[1].t + 0.01 * (b[1].t - b[0].t), 10 * b[1].t),
                            .slot = free_slot(start, &b[0], &b[1])};
        b[0] = b[1];
        b[1] = next;
        s = evaluate(l, &b[1]);
    }
    if (rounds == l->limit)
        b[0] = *start;
    return s ? s : zoom(l, start, b, out);
}
