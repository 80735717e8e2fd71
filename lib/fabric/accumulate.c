/* Gradient accumulation: which backward passes sum over ranks, and the weights that make a window of
 * micro-batches one batch. The mean over the union of rows is
 *     sum_k W_k / W mean_k,   W = sum_k W_k
 * where W_k is the rows that loss k is a mean over. W is not known before the window's end: seeds
 * are divided by size W_1, and what was summed is multiplied by size W_1 / W if that is not 1. */
#include "device/device.h"
#include "fabric/facade.h"
#include "optim/optimizer.h"

#include <stdio.h>
#include <weft/autograd.h>

#define SCOPES 64

static bool ends_epoch(const weft_loader *l)
{
    int64_t batches = l ? weft_loader_batches(l) : 0, at = l ? weft_loader_position(l) : 0;
    return batches && at && at % batches == 0;
}

bool weft__window_holds(const weft_fabric *f)
{
    const weft__window *w = &f->facade->micro;
    return w->taken + 1 < w->size && !ends_epoch(f->facade->loader);
}

bool weft__window_open(weft_fabric *f)
{
    bool sums = false, open = weft__window_holds(f);
    f->facade->micro.ran = true;
    for (weft__object *o = weft__object_first(f, WEFT__MODULE); o; o = weft__object_after(o)) {
        const weft_module *m = (const weft_module *)o;
        for (int i = 0; i < m->flats && m->setup; i++) {
            m->flat[i]->hold = open || m->scopes;
            sums |= m->flat[i]->trainable && !m->flat[i]->hold;
        }
    }
    f->facade->held = !sums && f->facade->strategy->flats > 0;
    return !f->facade->held;
}

static weft_status other_rows(const weft__window *w, double weight)
{
    return weft__fail(WEFT_EARG,
                      "weft_backward: a loss over %.0f rows follows one over %.0f in the same "
                      "micro-batch of a window; add them up and call weft_backward once",
                      weight, w->weight);
}

static weft_status other_kind(void)
{
    return weft__fail(WEFT_EARG, "weft_backward: a sum over the batch and a mean in one window of "
                                 "weft_accumulate; ranks could not weigh them: use the mean");
}

weft_status weft__window_seed(weft_fabric *f, weft_tensor *loss, double global, double *seed)
{
    weft__window *w = &f->facade->micro;
    const weft__tensor *t = weft__tensor_at(loss, NULL);
    weft__reduction kind = t && t->reduction == WEFT__SUM ? WEFT__SUM : WEFT__MEAN;
    double weight = !t || !t->rows.batch ? 1 : t->rows.global > 0 ? (double)t->rows.global : global;
    if (w->size < 2)
        return WEFT_OK;
    if (w->kind != WEFT__NONE && w->kind != kind)
        return other_kind();
    if (w->begun && kind == WEFT__MEAN && w->weight != weight)
        return other_rows(w, weight);
    w->total += w->begun ? 0 : weight;
    w->kind = kind;
    w->weight = weight;
    w->begun = true;
    if (w->unit == 0)
        w->unit = (double)w->size * weight;
    if (kind == WEFT__MEAN && weight > 0)
        *seed *= weight / w->unit;
    return WEFT_OK;
}

weft_status weft__window_close(weft_fabric *f)
{
    weft__window *w = &f->facade->micro;
    const weft__strategy *s = f->facade->strategy;
    double factor = w->total > 0 ? w->unit / w->total : 1;
    w->unit = w->total; /* for another backward of the same micro-batch */
    if (w->size < 2 || w->kind != WEFT__MEAN || factor == 1)
        return WEFT_OK;
    for (size_t i = 0; i < s->flats; i++) {
        weft_dev g = s->flat[i]->plane[WEFT__GRAD];
        if (!s->flat[i]->hold)
            WEFT_TRY(f->device->ops->kernels->scale(f->stream, g, factor, g, s->flat[i]->elements,
                                                    s->flat[i]->dtype));
    }
    return WEFT_OK;
}

void weft__window_forget(weft_fabric *f)
{
    f->facade->micro = (weft__window){.size = f->facade->micro.size};
    f->facade->held = false;
}

void weft__window_edge(weft_fabric *f)
{
    weft__window *w = &f->facade->micro;
    if (!w->ran)
        return;
    if (!f->facade->held) {
        weft__window_forget(f);
        return;
    }
    w->taken += w->size > 1;
    w->unused++;
    w->ran = w->begun = false;
    w->weight = 0;
}

int64_t weft__window_unused(const weft_fabric *f)
{
    const weft__window *w = &f->facade->micro;
    return f->facade->held ? w->unused + w->ran : 0;
}

bool weft__window_has(const weft_optimizer *o)
{
    bool any = false;
    for (int i = 0; i < o->module->flats; i++)
        any |= o->module->flat[i]->trainable && o->module->flat[i]->hold;
    return any;
}

bool weft__window_keeps(const weft_optimizer *o)
{
    const weft__window *w = &o->object.fabric->facade->micro;
    return w->size > 1 && (w->taken || w->ran) && !o->used;
}

static weft_status can_begin(const weft__window *w, int64_t n)
{
    if (n < 1)
        return weft__fail(WEFT_EARG,
                          "weft_accumulate: %lld micro-batches a step; there is at least "
                          "one",
                          (long long)n);
    if (w->taken)
        return weft__fail(WEFT_ESTATE,
                          "weft_accumulate inside a window, of which %lld micro-batches are over; "
                          "call it before the loop or after weft_step",
                          (long long)w->taken);
    return WEFT_OK;
}

weft_status weft_accumulate(weft_fabric *f, int64_t n)
{
    char text[32];
    if (!weft__opened(f))
        return weft__stuck(f);
    snprintf(text, sizeof text, "%lld", (long long)n);
    WEFT_TRY(weft__meet(f, can_begin(&f->facade->micro, n), "the number given to weft_accumulate",
                        text));
    f->facade->micro.size = n;
    return WEFT_OK;
}

bool weft_is_accumulating(const weft_fabric *f)
{
    return f && f->facade && f->facade->whole && weft__window_holds(f);
}

/* A module whose gradients the strategy sums. */
static weft_status is_set_up(const weft_module *m)
{
    if (m->parent)
        return weft__fail(WEFT_EARG, "weft_no_backward_sync_begin: the module is part of another; "
                                     "give the whole one");
    if (!m->setup)
        return weft__fail(WEFT_ESTATE, "weft_no_backward_sync_begin: the module was not set up; "
                                       "call weft_setup before");
    if (m->depth == SCOPES)
        return weft__fail(WEFT_ESTATE,
                          "weft_no_backward_sync_begin: %d scopes are open; is one "
                          "left without weft_no_backward_sync_end?",
                          SCOPES);
    return WEFT_OK;
}

weft_status weft_no_backward_sync_begin(weft_module *m, bool enabled)
{
    if (!m)
        return WEFT_EARG;
    weft_status s = is_set_up(m);
    if (s)
        return weft__stick(m->object.fabric, s);
    m->scopes = m->scopes << 1 | enabled;
    m->depth++;
    return WEFT_OK;
}

weft_status weft_no_backward_sync_end(weft_module *m)
{
    if (!m)
        return WEFT_EARG;
    if (m->depth == 0)
        return weft__stick(m->object.fabric,
                           weft__fail(WEFT_ESTATE, "weft_no_backward_sync_end without "
                                                   "weft_no_backward_sync_begin"));
    m->scopes >>= 1;
    m->depth--;
    return WEFT_OK;
}
