/* Loss scaling in a step: weft_backward multiplies its seed by the scale, and what comes first of
 * weft_unscale, weft_clip_gradients and weft_step divides an optimizer's gradients by it and finds
 * out, alike on all ranks, whether they are finite. The scale changes at the step's edge alone, so
 * that all optimizers of a step have the same. */
#include "core/log.h"
#include "device/device.h"
#include "fabric/facade.h"
#include "optim/optimizer.h"

#include <weft/autograd.h>
#include <weft/logger.h>

static const weft__scaler *scaler_of(const weft_fabric *f)
{
    return f && f->facade && f->facade->scaler.on ? &f->facade->scaler : NULL;
}

double weft_loss_scale(const weft_fabric *f)
{
    const weft__scaler *s = scaler_of(f);
    if (s)
        weft__scale_catch_up(f);
    return s ? s->scale : 1;
}

int64_t weft_skipped_count(const weft_fabric *f)
{
    const weft__scaler *s = scaler_of(f);
    if (s)
        weft__scale_catch_up(f);
    return s ? s->skipped + s->found : 0;
}

/* Multiplies gradients. */
typedef struct pass {
    weft_fabric *f;
    weft_dev flag; /* int64: some of them are not finite; none: nobody asks */
    double factor;
} pass;

static weft_status multiply(const void *self, weft_dev g, int64_t n, weft_dtype dtype)
{
    const pass *p = self;
    const weft_kernels *k = p->f->device->ops->kernels;
    if (p->flag.addr)
        WEFT_TRY(k->nonfinite(p->f->stream, p->flag, g, n, dtype));
    return k->scale(p->f->stream, g, p->factor, g, n, dtype);
}

static weft_status divide(weft_fabric *f, const weft_optimizer *o, int64_t *bad)
{
    /* as torch: the reciprocal in f64, then in f32 */
    pass p = {.f = f, .factor = (double)(float)(1 / f->facade->scaler.scale)};
    WEFT_TRY(weft__scratch(f, sizeof *bad, &p.flag));
    WEFT_TRY(f->device->ops->zero(f->stream, p.flag, sizeof *bad));
    WEFT_TRY(weft__each_gradient(o, multiply, &p));
    return f->device->ops->download(f->stream, bad, p.flag, sizeof *bad);
}

/* All ranks say the same of the same sums; where each has a part of them, they tell each other. */
static weft_status judge(weft_fabric *f, const weft_optimizer *o, int64_t *bad)
{
    weft_status s = divide(f, o, bad);
    *bad = *bad || s < 0; /* nobody goes on without this rank */
    if (!weft__strategy_alike(f->facade->strategy))
        WEFT_TRY(weft__all_reduce(f->comm, "overflow", bad, 1, WEFT_I64, WEFT_REDUCE_MAX));
    return s;
}

static weft_status at_end(weft_fabric *f, const weft_optimizer *o, int64_t step)
{
    const weft__scaler *s = &f->facade->scaler;
    weft__fail(WEFT_ENONFINITE,
               "the gradients of %s are not finite at step %lld, and the loss scale, %g, is at its "
               "least: it is not the scale that overflows. Parameters are as before. Lower the "
               "learning rate, look at the data, use bf16-mixed, or open with a smaller min_scale",
               o->ops->name, (long long)step, s->scale);
    f->step = step;
    weft__sticky_set(&f->error, WEFT_ENONFINITE, weft__why());
    return f->facade->agreed = WEFT_ENONFINITE;
}

weft_status weft__scale_skips(const weft_optimizer *o, int64_t step)
{
    weft_fabric *f = o->object.fabric;
    const weft__scaler *s = &f->facade->scaler;
    if (weft__scaler_at_end(s))
        return at_end(f, o, step);
    if (f->rank == 0)
        weft__say(WEFT_LOG_INFO,
                  "step %lld of %s is skipped: gradients are not finite at a loss scale of %g",
                  (long long)step, o->ops->name, s->scale);
    return WEFT_SKIPPED;
}

weft_status weft__unscale(weft_optimizer *o)
{
    weft_fabric *f = o->object.fabric;
    weft__scaler *s = &f->facade->scaler;
    int64_t bad = 0;
    if (!s->on || o->unscaled)
        return o->overflow ? WEFT_SKIPPED : WEFT_OK;
    if (weft__scale_decided(f) == o && !o->late)
        return weft__unscale_late(o);
    WEFT_TRY(weft__scale_take_back(f));
    WEFT_TRY(judge(f, o, &bad));
    o->unscaled = true;
    o->overflow = bad != 0;
    if (!s->tried && weft_logger_count(f))
        weft_log_value(f, "loss_scale", s->scale);
    s->tried = true;
    s->found |= o->overflow;
    return o->overflow ? weft__scale_skips(o, f->step) : WEFT_OK;
}

weft_status weft_unscale(weft_optimizer *o)
{
    if (!o)
        return WEFT_EARG;
    weft_fabric *f = o->object.fabric;
    if (f->facade->agreed)
        return f->facade->agreed;
    if (weft__window_has(o) && weft__window_holds(f))
        return WEFT_POSTPONED;
    weft__part part = weft__enter(f, WEFT__OPTIMIZER);
    weft_status s = weft__gradients_ready(o, "weft_unscale");
    s = s < 0 ? s : weft__unscale(o);
    if (s == WEFT_OK && o->late) { /* who asks gets an answer */
        s = weft__scale_catch_up(f);
        s = s == WEFT_OK && o->overflow ? WEFT_SKIPPED : s;
    }
    weft__enter(f, part);
    if (s < 0 && s != f->facade->agreed) /* this rank's own */
        weft__stick(f, s);
    return s;
}

static bool is_summed(const weft_optimizer *o)
{
    const weft__flat *flat = weft__optim_flat(o);
    for (int i = 0; flat && i < flat->nsegments; i++)
        if (weft__optim_owns(o, flat->segment[i]) && flat->segment[i]->grad == WEFT__GRAD_LOCAL)
            return false;
    return true;
}

/* Multiplies what this rank has of gradients that no step has used. */
static weft_status rescale(const weft_optimizer *o, double factor)
{
    const pass p = {.f = o->object.fabric, .factor = factor};
    const weft__flat *flat = weft__optim_flat(o);
    if (is_summed(o))
        return weft__each_gradient(o, multiply, &p);
    for (int i = 0; i < flat->nsegments; i++) {
        weft__segment *g = flat->segment[i];
        if (weft__optim_owns(o, g) && g->grad == WEFT__GRAD_LOCAL) {
            WEFT_TRY(weft__shrink_now(g));
            WEFT_TRY(multiply(&p, weft__flat_at(flat, WEFT__GRAD, g->first), g->count,
                              flat->type[WEFT__GRAD]));
        }
    }
    return WEFT_OK;
}

weft_status weft__scale_again(weft_fabric *f)
{
    for (weft__object *i = weft__object_first(f, WEFT__OPTIM); i; i = weft__object_after(i)) {
        weft_optimizer *o = (weft_optimizer *)i;
        if (!o->unscaled)
            continue;
        o->unscaled = o->overflow = false;
        if (weft__has_gradients(o))
            WEFT_TRY(rescale(o, weft_loss_scale(f)));
    }
    return WEFT_OK;
}

/* Whether it has gradients at the edge that no step has used, and that are multiplied by the scale. */
static bool waits(const weft_optimizer *o)
{
    return o->setup && !o->unscaled && weft__has_gradients(o);
}

weft_status weft__scale_edge(weft_fabric *f)
{
    weft__scaler *s = &f->facade->scaler;
    const double before = s->scale;
    for (weft__object *i = weft__object_first(f, WEFT__OPTIM); i && s->on;
         i = weft__object_after(i)) {
        weft_optimizer *o = (weft_optimizer *)i;
        const bool late = o->late;
        o->holds &= late || !s->tried;
        if (late)
            WEFT_TRY(weft__scale_late_edge(o));
        if (late && waits(o))
            WEFT_TRY(weft__scale_catch_up(f));
    }
    if (!s->on || (!s->tried && s->scale == before))
        return WEFT_OK;
    weft__scaler_update(s);
    for (weft__object *i = weft__object_first(f, WEFT__OPTIM); i; i = weft__object_after(i))
        if (s->scale != before && waits((const weft_optimizer *)i))
            WEFT_TRY(rescale((const weft_optimizer *)i, s->scale / before));
    return WEFT_OK;
}

void weft__scale_forget(weft_fabric *f)
{
    f->facade->scaler.tried = f->facade->scaler.found = false;
    for (weft__object *i = weft__object_first(f, WEFT__OPTIM); i; i = weft__object_after(i)) {
        weft_optimizer *o = (weft_optimizer *)i;
        o->unscaled = o->overflow = o->late = o->holds = false;
        o->since = o->before = o->unknown = 0;
    }
}

weft_status weft__scale_state(void *fabric, weft_visitor *v)
{
    weft_fabric *f = fabric;
    weft__scaler *s = &f->facade->scaler;
    bool absent = false;
    if (v->mode == WEFT_VISIT_LOAD)
        WEFT_TRY(weft__scale_take_back(f));
    WEFT_TRY(weft__scaler_state(s, v, &absent));
    if (v->mode == WEFT_VISIT_LOAD && s->on && absent && f->rank == 0)
        weft__say(WEFT_LOG_INFO, "the checkpoint has no loss scale: it begins at %g", s->scale);
    return WEFT_OK;
}
