/* The loss scale: device/cpu/scaler.c. */
#include "device/cuda/each.cuh"

__global__ static void decide(weft_scaler_state *a, int64_t *found, double least)
{
    a->stopped |= *found && a->scale <= least;
    a->off[0] = *found = *found || a->stopped;
    a->off[1] = *found || !a->before;
    a->off[2] = *found || a->before;
}

__global__ static void change(weft_scaler_state *a, const int64_t *found, weft_scaler_rule o)
{
    const bool bad = *found != 0, full = !bad && a->good + 1 >= o.interval;
    const double larger = (double)(float)(a->scale * o.growth);
    const double smaller = (double)(float)(a->scale * o.backoff);
    a->good = bad || full ? 0 : a->good + 1;
    if (bad)
        a->scale = smaller > o.least ? smaller : o.least;
    else if (full && isfinite(larger))
        a->scale = larger;
    a->inverse = (double)(float)(1 / a->scale);
    a->before = bad;
}

weft_status weft__cuda_scaler(weft_stream *s, weft_dev state, weft_dev found, int edge,
                              const weft_scaler_rule *o)
{
    weft_scaler_state *a = cuda_at<weft_scaler_state>(state);
    int64_t *bad = cuda_at<int64_t>(found);
    if (edge)
        change<<<1, 1, 0, cuda_on(s)>>>(a, bad, *o);
    else
        decide<<<1, 1, 0, cuda_on(s)>>>(a, bad, o->least);
    return weft__cuda_launched(s, "scaler");
}
