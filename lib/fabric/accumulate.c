/* Gradient accumulation: which backward passes sum over ranks, and the weights that make a window of
 * micro-batches one batch. The mean over the union of rows is
 *     sum_kr w_kr / W mean_kr,   W = sum_kr w_kr
 * where w_kr are the rows of micro-batch k on rank r, or what its loss was divided by. W is not known
 * before the window's end: seeds are divided by a unit that all ranks have alike, size W_1 where the
 * rows say so, and what was summed is multiplied by unit / W if that is not 1. */
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
    return w->taken + 1 < w->size && (f->leaves || !ends_epoch(f->facade->loader));
}

bool weft__window_open(weft_fabric *f)
{
    bool sums = false, open = weft__window_holds(f);
    const weft__strategy *s = f->facade->strategy;
    f->facade->micro.ran = true;
    for (size_t i = 0; i < s->flats; i++) {
        s->flat[i]->hold = open || *s->flat[i]->scopes;
        sums |= !s->flat[i]->hold;
    }
    f->facade->held = !sums && s->flats > 0;
    return !f->facade->held;
}

bool weft__in_window(const weft_fabric *f)
{
    return f->facade->micro.size > 1 || f->leaves;
}

static weft_status other_weight(const weft__window *w, double weight)
{
    return weft__fail(
        WEFT_EARG,
        "weft_backward: a loss that weighs %.17g follows one that weighs %.17g in the "
        "same micro-batch of a window; add them up and call weft_backward once",
        weight, w->weight);
}

static weft_status other_kind(void)
{
    return weft__fail(WEFT_EARG, "weft_backward: a sum over the batch and a mean in one window of "
                                 "weft_accumulate; ranks could not weigh them: use the mean");
}

static weft_status again(const weft_fabric *f)
{
    return weft__fail(WEFT_ENOTSUP,
                      "weft_backward: a second loss in one micro-batch of reproducible=%d; add "
                      "the losses up and call weft_backward once",
                      f->leaves);
}

/* A loss joins the window: mine is what it weighs here, all on all ranks. */
static void join(weft_fabric *f, double mine, double all)
{
    weft__window *w = &f->facade->micro;
    const bool first = !w->begun;
    w->weight = mine;
    w->begun = true;
    if (f->leaves) { /* all is of the whole step there */
        w->mine = weft__leaves_fold(w->folded, w->taken, mine);
        w->total = all;
        w->unit = all > 0 ? all : f->leaves;
        return;
    }
    w->mine += first ? mine : 0;
    w->total += first ? all : 0;
    if (w->unit == 0)
        w->unit = (double)w->size * (all > 0 ? all : 1);
}

static weft_status seed_of(weft_fabric *f, const weft__tensor *t, double *seed)
{
    weft__window *w = &f->facade->micro;
    const weft__reduction kind = t->reduction == WEFT__SUM ? WEFT__SUM : WEFT__MEAN;
    const int summed = weft__strategy_summed(f->facade->strategy);
    const double rows = summed > 1 ? (double)t->rows.global : (double)t->rows.local;
    const double all = t->rows.batch ? (f->leaves ? (double)t->rows.global : rows) : 1;
    double mine = 1.0 / (f->leaves ? f->leaves : summed);
    if (t->rows.batch || t->weight.addr)
        WEFT_TRY(weft__weight_of(f, t, &mine));
    if (w->kind != WEFT__NONE && w->kind != kind)
        return other_kind();
    if (w->begun && kind == WEFT__MEAN && w->weight != mine)
        return other_weight(w, mine);
    if (w->begun && f->leaves)
        return again(f);
    w->kind = kind;
    join(f, mine, all);
    if (kind == WEFT__MEAN)
        *seed = mine / w->unit;
    else
        *seed = t->rows.local ? 1 : 0;
    return WEFT_OK;
}

weft_status weft__window_backward(weft_fabric *f, weft_tensor *loss, const weft__tensor *t,
                                  bool asks)
{
    double seed = 0;
    f->facade->micro.asks |= asks;
    f->facade->strategy->weigh = f->facade->micro.asks;
    WEFT_TRY(seed_of(f, t, &seed));
    return weft__scaled_backward(f, loss, seed);
}

/* What all of the window weighs on all ranks. */
static weft_status weigh(weft_fabric *f, double *all)
{
    const weft__window *w = &f->facade->micro;
    *all = f->weigh || weft__strategy_summed(f->facade->strategy) == 1 ? w->mine : w->total;
    if (f->weigh && f->leaves)
        return weft__all_reduce_tree(f->comm, "weight of the window", all, 1, WEFT_F64);
    return f->weigh ? weft__all_reduce(f->comm, "weight of the window", all, 1, WEFT_F64,
                                       WEFT_REDUCE_SUM)
                    : WEFT_OK;
}

weft_status weft__window_close(weft_fabric *f)
{
    weft__window *w = &f->facade->micro;
    const weft__strategy *s = f->facade->strategy;
    double all = 0;
    if (!weft__in_window(f) || w->kind != WEFT__MEAN)
        return WEFT_OK;
    WEFT_TRY(weigh(f, &all));
    const double factor = all != 0 ? w->unit / all : 1;
    w->unit = all != 0 ? all : w->unit; /* for another backward of the same micro-batch */
    for (size_t i = 0; i < s->flats && factor != 1; i++) {
        const weft__flat *flat = s->flat[i];
        for (int k = 0; k < flat->npieces && !flat->hold; k++) {
            weft_dev g = weft__flat_at(flat, WEFT__GRAD, flat->piece[k].first);
            WEFT_TRY(f->device->ops->kernels->scale(f->stream, g, factor, g, flat->piece[k].count,
                                                    flat->type[WEFT__GRAD]));
        }
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
    const weft__flat *flat = weft__optim_flat(o);
    return flat && flat->hold;
}

bool weft__window_keeps(const weft_optimizer *o)
{
    const weft__window *w = &o->object.fabric->facade->micro;
    return w->size > 1 && (w->taken || w->ran) && !o->used;
}

static weft_status can_begin(const weft_fabric *f, int64_t n)
{
    const weft__window *w = &f->facade->micro;
    if (f->leaves && n != 1)
        return weft__fail(WEFT_ENOTSUP,
                          "weft_accumulate: reproducible=%d cuts a step into micro-batches itself; "
                          "give the loader a larger global_batch instead",
                          f->leaves);
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
    WEFT_TRY(weft__meet(f, can_begin(f, n), "the number given to weft_accumulate", text));
    f->facade->micro.size = f->leaves ? f->own_leaves : n;
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
    if (m->object.fabric->leaves)
        return weft__fail(WEFT_ENOTSUP,
                          "weft_no_backward_sync_begin: reproducible=%d decides "
                          "itself when gradients are summed",
                          m->object.fabric->leaves);
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
