/* A schedule that lowers the rate when a metric stops getting better, as torch.optim's
 * ReduceLROnPlateau. What the metric has done so far is a best value and counts; the rate is a
 * function of the number of reductions, so that every group has its own. */
#include "comm/comm.h"
#include "core/env.h"
#include "optim/optimizer.h"

#include <math.h>

#define LEAST 1e-8 /* a smaller change of the rate is none */

double weft__plateau_rate(const weft__schedule *s, double lr, int64_t u, int group)
{
    (void)u, (void)group;
    for (int64_t i = 0; i < s->plateau.reductions; i++) {
        double less = fmax(lr * s->o.factor, s->o.min_lr);
        if (!(lr - less > LEAST))
            break;
        lr = less;
    }
    return lr;
}

bool weft__plateau_ok(weft__schedule *s)
{
    static const char *const mode[] = {"min", "max"}, *const relation[] = {"rel", "abs"};
    weft_schedule_options *o = &s->o;
    int m = o->mode ? weft__parse_choice("mode", o->mode, mode, 2) : 0;
    int r = o->threshold_mode ? weft__parse_choice("threshold_mode", o->threshold_mode, relation, 2)
                              : 0;
    s->largest = m == 1;
    s->absolute = r == 1;
    o->factor = o->factor == 0 ? 0.1 : o->factor == WEFT_OFF ? 0 : o->factor;
    o->patience = o->patience == 0 ? 10 : o->patience == WEFT_OFF ? 0 : o->patience;
    o->threshold = o->threshold == 0 ? 1e-4 : o->threshold == WEFT_OFF ? 0 : o->threshold;
    return m >= 0 && r >= 0 && o->factor >= 0 && o->factor < 1 && o->patience >= 0 &&
           o->threshold >= 0 && isfinite(o->threshold) && o->cooldown >= 0 && o->min_lr >= 0;
}

/* NaN is not better. */
static bool better(const weft__schedule *s, double value)
{
    const double best = s->plateau.best, by = s->o.threshold;
    if (s->plateau.improvements == 0)
        return !isnan(value);
    if (s->largest)
        return value > (s->absolute ? best + by : best * (1 + by));
    return value < (s->absolute ? best - by : best * (1 - by));
}

void weft__plateau_take(weft__schedule *s, double value)
{
    weft__plateau *p = &s->plateau;
    const bool good = better(s, value);
    if (good) {
        p->best = value;
        p->improvements++;
    }
    p->bad = good ? 0 : p->bad + 1;
    if (p->cooling > 0) {
        p->cooling--;
        p->bad = 0;
    }
    if (p->bad > s->o.patience) {
        p->reductions++;
        p->cooling = s->o.cooldown;
        p->bad = 0;
    }
}

weft_status weft__schedule_state(weft__schedule *s, weft_visitor *v)
{
    weft__plateau *p = &s->plateau;
    WEFT_TRY(weft_state_enter(v, "schedule"));
    WEFT_TRY(weft_state_f64(v, "best", &p->best));
    WEFT_TRY(weft_state_i64(v, "improvements", &p->improvements));
    WEFT_TRY(weft_state_i64(v, "num_bad_epochs", &p->bad));
    WEFT_TRY(weft_state_i64(v, "cooldown_counter", &p->cooling));
    WEFT_TRY(weft_state_i64(v, "reductions", &p->reductions));
    weft_state_leave(v);
    return WEFT_OK;
}

weft_status weft_schedule_metric(weft_optimizer *o, double value)
{
    if (!o)
        return WEFT_EARG;
    weft_fabric *f = o->object.fabric;
    weft_status s = weft__stuck(f);
    if (!s && o->schedule.rate != weft__plateau_rate)
        s = weft__fail(WEFT_ESTATE, "weft_schedule_metric: the schedule of %s is no plateau",
                       o->ops->name);
    s = weft__agree(f->comm, "metric of a schedule", s, weft__stuck(f) ? f->error.text : "");
    if (!s)
        s = weft__all_reduce(f->comm, "metric of a schedule", &value, 1, WEFT_F64, WEFT_REDUCE_SUM);
    if (s < 0)
        return weft__stick(f, s);
    weft__plateau_take(&o->schedule, value / f->world);
    return WEFT_OK;
}
