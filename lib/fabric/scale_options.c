/* The options of the loss scale. */
#include "core/log.h"
#include "fabric/facade.h"
#include "precision/precision.h"

#include <string.h>

/* Options that belong to the scaler: only a precision that has one may be given them. */
static weft_status check_given(const weft__settings *s)
{
    static const char *const name[] = {"init_scale", "growth_factor", "growth_interval",
                                       "backoff_factor", "min_scale"};
    for (int i = 0; i < 5; i++)
        if (s->from[weft__option_find(name[i], strlen(name[i]))])
            return weft__fail(WEFT_EARG,
                              "weft_open: %s is of the loss scale, which precision 16-mixed alone "
                              "has, and the precision is %s; leave one of them out",
                              name[i], s->o.precision ? s->o.precision : "32-true");
    return WEFT_OK;
}

weft_status weft__scale_read(weft__facade *p)
{
    weft_open_options *o = &p->settings.o;
    const bool has = weft__precision_scales(o->precision), on = has && o->init_scale != WEFT_OFF;
    weft__scaling all = {.init_scale = o->init_scale == WEFT_OFF ? 0 : o->init_scale,
                         .growth_factor = o->growth_factor,
                         .growth_interval = o->growth_interval,
                         .backoff_factor = o->backoff_factor,
                         .min_scale = o->min_scale};
    if (!has)
        WEFT_TRY(check_given(&p->settings));
    WEFT_TRY(weft__scaling_complete(&all));
    if (on)
        weft__scaler_start(&p->scaler, &all);
    if (on && o->nonfinite && !p->settings.quiet)
        weft__say(
            WEFT_LOG_WARNING,
            "nonfinite=%s does nothing with a loss scale, where steps whose gradients are not "
            "finite are skipped",
            o->nonfinite);
    o->init_scale = on ? all.init_scale : WEFT_OFF;
    o->growth_factor = all.growth_factor;
    o->growth_interval = all.growth_interval;
    o->backoff_factor = all.backoff_factor;
    o->min_scale = all.min_scale;
    return WEFT_OK;
}
