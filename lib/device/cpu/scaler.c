/* The loss scale by lib/precision/scaler.c's rule, for devices that decide about a step themselves. */
#include "device/cpu/cpu.h"

#include <math.h>

static void decide(weft_scaler_state *a, int64_t *found, double least)
{
    a->stopped |= *found && a->scale <= least;
    a->off[0] = *found = *found || a->stopped;
    a->off[1] = *found || !a->before;
    a->off[2] = *found || a->before;
}

static void change(weft_scaler_state *a, bool found, const weft_scaler_rule *o)
{
    const double larger = (double)(float)(a->scale * o->growth);
    const double smaller = (double)(float)(a->scale * o->backoff);
    const bool full = !found && a->good + 1 >= o->interval;
    a->good = found || full ? 0 : a->good + 1;
    if (found)
        a->scale = smaller > o->least ? smaller : o->least;
    else if (full && isfinite(larger))
        a->scale = larger;
    a->inverse = (double)(float)(1 / a->scale);
    a->before = found;
}

weft_status weft__cpu_scaler(weft_stream *s, weft_dev state, weft_dev found, int edge,
                             const weft_scaler_rule *o)
{
    int64_t *bad = cpu_ptr(found);
    (void)s;
    if (edge)
        change(cpu_ptr(state), *bad != 0, o);
    else
        decide(cpu_ptr(state), bad, o->least);
    return WEFT_OK;
}
