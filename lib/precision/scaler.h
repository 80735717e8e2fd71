/* The loss scale of a fabric: what gradients are multiplied by so that f16 holds small ones. */
#ifndef PRECISION_SCALER_H
#define PRECISION_SCALER_H
#include "core/error.h"

#include <weft/sys/state.h>

/* torch.cuda.amp.GradScaler's names and defaults; 0 is the default. */
typedef struct weft__scaling {
    double init_scale;     /* 65536 */
    double growth_factor;  /* 2, */
    int growth_interval;   /* after so many good steps: 2000 */
    double backoff_factor; /* 0.5, after an overflow */
    double min_scale;      /* 1: an overflow there is an error */
} weft__scaling;

typedef struct weft__scaler {
    weft__scaling o;
    bool on;
    double scale; /* a value of f32, as torch's */
    int64_t good; /* steps since it changed, or since the last overflow: torch's growth tracker */
    int64_t skipped; /* steps */
    bool tried;      /* since the edge: gradients were divided by it, */
    bool found;      /* and some were not finite */
} weft__scaler;

/* Puts in the defaults. WEFT_EARG, by the option's name, out of range. */
weft_status weft__scaling_complete(weft__scaling *o);
/* On, at the beginning. */
void weft__scaler_start(weft__scaler *s, const weft__scaling *complete);
/* An overflow that it cannot answer by a smaller scale. */
static inline bool weft__scaler_at_end(const weft__scaler *s)
{
    return s->scale <= (double)(float)s->o.min_scale;
}
/* The step's edge. @return the factor by which it has changed. */
double weft__scaler_update(weft__scaler *s);
/* As the coming edge will leave it. A checkpoint without one leaves it at its beginning (*absent, if
 * not NULL); one that is not on saves nothing, and takes what a checkpoint has. */
weft_status weft__scaler_state(weft__scaler *s, weft_visitor *v, bool *absent);
#endif
