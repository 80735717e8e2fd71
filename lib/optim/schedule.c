/* The learning rate as a function of the optimizer's step. */
#include "core/env.h"
#include "optim/optimizer.h"

#include <math.h>

double weft_lr(const weft_optimizer *o)
{
    const double pi = 3.14159265358979323846;
    if (!o)
        return NAN;
    int64_t t = o->steps, w = o->schedule.warmup, n = o->schedule.total;
    if (!o->schedule.on)
        return o->lr;
    if (t < w)
        return o->lr * (double)(t + 1) / (double)w;
    if (!o->schedule.cosine)
        return o->lr;
    if (t >= n)
        return o->schedule.min_lr;
    double done = (double)(t - w) / (double)(n - w);
    return o->schedule.min_lr + (o->lr - o->schedule.min_lr) * 0.5 * (1 + cos(pi * done));
}

static weft_status checked(weft_optimizer *o, const weft_schedule_options *s)
{
    static const char *const kind[] = {"cosine", "constant"};
    int k = s->kind ? weft__parse_choice("schedule", s->kind, kind, 2) : 0;
    if (k < 0)
        return WEFT_EARG;
    if (s->warmup < 0 || !(s->min_lr >= 0) || (k == 0 && s->total <= s->warmup))
        return weft__fail(WEFT_EARG,
                          "schedule: warmup %lld, total %lld, min_lr %g; a cosine needs total > "
                          "warmup >= 0 and min_lr >= 0",
                          (long long)s->warmup, (long long)s->total, s->min_lr);
    o->schedule.on = true;
    o->schedule.cosine = k == 0;
    o->schedule.warmup = s->warmup;
    o->schedule.total = s->total;
    o->schedule.min_lr = s->min_lr;
    return WEFT_OK;
}

weft_status weft_set_schedule(weft_optimizer *o, const weft_schedule_options *s)
{
    if (!o)
        return WEFT_EARG;
    weft_status code = checked(o, s ? s : WEFT_SCHEDULE(.kind = "constant"));
    return code ? weft__stick(o->object.fabric, code) : WEFT_OK;
}
