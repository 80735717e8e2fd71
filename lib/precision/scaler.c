/* The loss scale, by the rule of torch.cuda.amp.GradScaler:
 *     overflow:   scale *= backoff_factor, good = 0
 *     else:       good += 1; good == growth_interval: scale *= growth_factor if that is finite, good = 0
 * with products in f64, rounded to f32. DeepSpeed's rule ends what torch would go on with for ever: the
 * scale does not fall below a least one, and an overflow there is an error. */
#include "precision/scaler.h"

#include <float.h>
#include <math.h>

static weft_status above(const char *name, double v, double least)
{
    return v > least && v <= (double)FLT_MAX
               ? WEFT_OK
               : weft__fail(WEFT_EARG, "weft_open: %s is %g; it is a number above %g", name, v,
                            least);
}

weft_status weft__scaling_complete(weft__scaling *o)
{
    o->init_scale = o->init_scale != 0 ? o->init_scale : 65536;
    o->growth_factor = o->growth_factor != 0 ? o->growth_factor : 2;
    o->growth_interval = o->growth_interval ? o->growth_interval : 2000;
    o->backoff_factor = o->backoff_factor != 0 ? o->backoff_factor : 0.5;
    o->min_scale = o->min_scale != 0 ? o->min_scale : 1;
    WEFT_TRY(above("init_scale", o->init_scale, 0));
    WEFT_TRY(above("min_scale", o->min_scale, 0));
    WEFT_TRY(above("growth_factor", o->growth_factor, 1));
    WEFT_TRY(above("backoff_factor", o->backoff_factor, 0));
    if (o->backoff_factor >= 1)
        return weft__fail(WEFT_EARG, "weft_open: backoff_factor is %g; it is below 1",
                          o->backoff_factor);
    if (o->init_scale < o->min_scale)
        return weft__fail(WEFT_EARG,
                          "weft_open: init_scale is %g, below min_scale, %g; give a smaller "
                          "min_scale, too",
                          o->init_scale, o->min_scale);
    return WEFT_OK;
}

static void begin(weft__scaler *s)
{
    s->scale = (double)(float)s->o.init_scale;
    s->good = s->skipped = 0;
    s->tried = s->found = false;
}

void weft__scaler_start(weft__scaler *s, const weft__scaling *complete)
{
    s->o = *complete;
    s->on = true;
    begin(s);
}

static void back_off(weft__scaler *s)
{
    const double least = (double)(float)s->o.min_scale;
    s->scale = (double)(float)(s->scale * s->o.backoff_factor);
    s->scale = s->scale > least ? s->scale : least;
    s->good = 0;
    s->skipped++;
}

static void grow(weft__scaler *s)
{
    const double larger = (double)(float)(s->scale * s->o.growth_factor);
    if (++s->good < s->o.growth_interval)
        return;
    s->scale = isfinite(larger) ? larger : s->scale;
    s->good = 0;
}

double weft__scaler_update(weft__scaler *s)
{
    const double before = s->scale;
    if (s->found)
        back_off(s);
    else if (s->tried)
        grow(s);
    s->tried = s->found = false;
    return s->scale / before;
}

static weft_status item(weft_visitor *v, const char *name, weft_state_kind kind, void *value)
{
    const weft_state_item i = {.name = name,
                               .kind = kind,
                               .placement = WEFT_ROOT,
                               .dtype = kind == WEFT_STATE_F64 ? WEFT_F64 : WEFT_I64,
                               .values = value,
                               .count = 1,
                               .scratch = true,
                               .optional = true};
    return v->item(v, &i);
}

weft_status weft__scaler_state(weft__scaler *s, weft_visitor *v, bool *absent)
{
    weft__scaler next = *s;
    const bool save = v->mode == WEFT_VISIT_SAVE;
    if (save && !s->on)
        return WEFT_OK;
    weft__scaler_update(&next);
    if (!save)
        next.scale = 0; /* until one is found */
    WEFT_TRY(item(v, "scale", WEFT_STATE_F64, &next.scale));
    WEFT_TRY(item(v, "growth_tracker", WEFT_STATE_I64, &next.good));
    WEFT_TRY(item(v, "skipped", WEFT_STATE_I64, &next.skipped));
    const bool none = next.scale == 0;
    if (none)
        begin(&next);
    else if (!isfinite(next.scale) || next.scale < 0 || next.good < 0 || next.skipped < 0)
        return weft__fail(WEFT_EFORMAT, "a checkpoint's loss scale is %g after %lld good steps",
                          next.scale, (long long)next.good);
    if (v->mode == WEFT_VISIT_LOAD)
        *s = next;
    if (absent)
        *absent = none;
    return WEFT_OK;
}
