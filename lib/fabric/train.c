/* Backward and the optimizer's step: the collective half of a training step. */
#include "autograd/tape.h"
#include "device/device.h"
#include "fabric/facade.h"
#include "optim/optimizer.h"

#include <math.h>
#include <stdio.h>
#include <weft/autograd.h>

/* Whether the loss is a sum or a mean over all ranks. */
static weft_status combines(const weft_fabric *f, const weft__tensor *loss)
{
    if (weft__strategy_summed(f->facade->strategy) > 1 && loss->reduction == WEFT__LOCAL)
        return weft__fail(
            WEFT_ENOTSUP,
            "weft_backward: the loss comes from what one rank's rows of a batch alone decide (a "
            "maximum or minimum over them, their sum as a factor of rows, means over different "
            "numbers of them), which over %d ranks is neither a sum nor a mean; weft_detach what "
            "needs no gradient, call weft_backward for each mean",
            f->world);
    return WEFT_OK;
}

/* Whether only the ranks together know what their losses weigh. */
static bool unweighed(const weft__tensor *t)
{
    return t && t->reduction != WEFT__SUM &&
           (t->weight.addr || (t->rows.batch && t->rows.global == 0));
}

/* This rank's share of the gradient: gradients are sums over ranks, or over one. all: what their losses
 * weigh, if they have summed it. */
static weft_status seed_of(weft_fabric *f, const weft__tensor *t, double all, double *seed)
{
    const int summed = weft__strategy_summed(f->facade->strategy);
    double mine;
    WEFT_TRY(weft__weight_of(f, t, &mine));
    if (summed == 1)
        all = mine;
    else if (!unweighed(t))
        all = (double)t->rows.global;
    if (isnan(all))
        return weft__fail(WEFT_EDATA, "weft_backward: the weights of the loss add up to NaN");
    *seed = all != 0 ? mine / all : 0;
    if (t->reduction == WEFT__SUM)
        *seed = t->rows.local ? 1 : 0;
    else if (!t->rows.batch && !t->weight.addr)
        *seed = 1.0 / summed;
    return WEFT_OK;
}

/* The sum of the weights over ranks. */
static weft_status weigh(weft_fabric *f, weft_tensor *loss, double *all)
{
    const weft__tensor *t = weft__stuck(f) ? NULL : weft__tensor_at(loss, NULL);
    weft_status s = unweighed(t) ? weft__weight_of(f, t, all) : WEFT_OK;
    WEFT_TRY(weft__all_reduce(f->comm, "weight of the loss", all, 1, WEFT_F64, WEFT_REDUCE_SUM));
    return s;
}

static weft_status check(const weft_fabric *f, weft_tensor *loss, const weft__tensor **t)
{
    weft_fabric *home = NULL;
    if (!loss)
        return weft__fail(WEFT_EARG, "weft_backward: the loss is NULL and no error has stuck");
    if (!(*t = weft__tensor_at(loss, &home)))
        return WEFT_EHANDLE;
    return home == f
               ? combines(f, *t)
               : weft__fail(WEFT_EHANDLE, "weft_backward: the loss belongs to another fabric");
}

static weft_status untold(void)
{
    return weft__fail(
        WEFT_ESTATE, "weft_backward: what this loss weighs is summed over ranks, which they do not "
                     "know yet where they do not communicate; use weft_accumulate, or call "
                     "weft_backward once outside weft_no_backward_sync_begin/end");
}

/* *due: this rank's part is still to be added; false is left where it was. */
static weft_status differentiate(weft_fabric *f, weft_tensor *loss, bool *due)
{
    weft__facade *p = f->facade;
    const weft__tensor *t = NULL;
    double all = 0, seed = 0;
    /* First, on every rank: also one that fails below takes part in the schedule from its start. */
    WEFT_TRY(weft__strategy_begin(p->strategy));
    if (f->weigh && !weft__in_window(f))
        WEFT_TRY(weigh(f, loss, &all));
    if (weft__stuck(f))
        return WEFT_OK;
    WEFT_TRY(check(f, loss, &t));
    /* The others may not know that weights must be summed: the verdict tells them. */
    const bool asks = weft__strategy_summed(p->strategy) > 1 && !f->weigh && unweighed(t);
    if (weft__in_window(f))
        return weft__window_backward(f, loss, t, asks);
    if (asks && p->held)
        return untold();
    WEFT_TRY(seed_of(f, t, all, &seed));
    seed = *due && !asks ? seed : 0;
    *due = p->strategy->weigh = asks;
    return weft__scaled_backward(f, loss, seed);
}

/* Ops of all ranks meet in this pass: all go through it, or none does. */
static weft_status all_can(weft_fabric *f, weft_tensor *loss)
{
    const weft__tensor *t;
    weft_status s = weft__stuck(f);
    if (!s) {
        s = check(f, loss, &t);
        s = s < 0 ? s : weft__tape_can(f, loss);
    }
    if (s < 0 && !weft__stuck(f))
        weft__stick(f, s);
    weft__tape_catch_up(f);
    double failed = s < 0;
    s = weft__all_reduce(f->comm, "backward", &failed, 1, WEFT_F64, WEFT_REDUCE_SUM);
    if (s < 0)
        return weft__stick(f, s);
    return failed > 0 ? weft__agree_on_errors(f) : WEFT_OK;
}

/* Once through the schedule of the step's collectives. */
static void pass(weft_fabric *f, weft_tensor *loss, bool *due, bool *failed)
{
    weft__strategy *strategy = f->facade->strategy;
    strategy->weigh = false;
    strategy->token = f->world > 1 ? weft__alike_token(f, loss) : 0;
    weft_status s = weft__leaves_begin(f);
    if (strategy->shared.addr)
        weft__tape_plan(f, loss);
    s = s < 0 ? s : differentiate(f, loss, due);
    if (s < 0 && !weft__stuck(f))
        weft__stick(f, s);
    weft__tape_drain(f);
    s = weft__leaves_end(f);
    if (s < 0 && !weft__stuck(f))
        weft__stick(f, s);
    s = weft__strategy_end(strategy, weft__stuck(f), failed);
    if (s < 0 && !weft__stuck(f))
        weft__stick(f, s);
}

/* What earlier passes have left is as clips want it before this one adds to it. */
static weft_status settle(weft_fabric *f)
{
    const weft__strategy *p = f->facade->strategy;
    for (weft__object *i = weft__object_first(f, WEFT__OPTIM); i; i = weft__object_after(i))
        ((weft_optimizer *)i)->measured = false;
    for (size_t i = 0; i < p->flats; i++)
        for (int k = 0; k < p->flat[i]->nsegments; k++)
            WEFT_TRY(weft__shrink_now(p->flat[i]->segment[k]));
    return WEFT_OK;
}

static weft_status backward(weft_fabric *f, weft_tensor *loss)
{
    weft__facade *p = f->facade;
    bool failed = false, due = true, sums = weft__window_open(f);
    weft_status s = settle(f);
    s = s < 0 ? s : weft__scale_again(f);
    if (s < 0)
        weft__stick(f, s);
    if (p->strategy->shared.addr && (s = all_can(f, loss)) < 0) {
        p->differentiated = p->window = true;
        if (f->comm->lost)
            p->agreed = s;
        return s;
    }
    pass(f, loss, &due, &failed);
    if (sums && p->strategy->weigh && !f->comm->lost) { /* for the first time: now all know */
        f->weigh = true;
        if (!failed && !weft__in_window(f))
            pass(f, loss, &due, &failed);
    }
    p->differentiated = p->window = true;
    if (f->comm->lost)
        return p->agreed = weft__stuck(f) ? weft__stuck(f) : WEFT_EPEER;
    if (!sums && !p->strategy->agreed) /* this rank's own: the next backward that sums carries it */
        return weft__stuck(f);
    if (failed)
        return weft__agree_on_errors(f);
    if (p->strategy->agreed && p->strategy->differ)
        return weft__alike_differ(f, loss);
    if (!sums)
        return WEFT_OK;
    s = weft__buffers_spread(f, NULL);
    s = s < 0 ? s : weft__window_close(f);
    s = s < 0 ? s : weft__judge_values(f, loss);
    if (s < 0)
        weft__sticky_set(&f->error, s, weft__why());
    if (s == WEFT_ENONFINITE || s == WEFT_EDATA ||
        f->comm->lost) /* else this rank's own: it counts at the edge */
        p->agreed = s;
    return s;
}

weft_status weft_backward(weft_fabric *f, weft_tensor *loss)
{
    if (!weft__opened(f))
        return weft__stuck(f);
    if (f->facade->agreed)
        return f->facade->agreed;
    weft__part part = weft__enter(f, WEFT__BACKWARD);
    weft_status s = backward(f, loss);
    weft__enter(f, part);
    return s;
}

weft_status weft_zero_grad(weft_optimizer *o)
{
    if (!o)
        return WEFT_EARG;
    weft__facade *p = o->object.fabric->facade;
    if (weft__window_keeps(o))
        return WEFT_POSTPONED;
    weft__alike_did(o->object.fabric, &o->number, sizeof o->number);
    p->window = o->used = o->unscaled = o->overflow = false;
    weft__flat *flat = weft__optim_flat(o);
    for (int k = 0; flat && k < flat->nsegments; k++)
        if (weft__optim_owns(o, flat->segment[k])) {
            flat->segment[k]->grad = WEFT__GRAD_EMPTY;
            weft__shrink_forget(flat->segment[k]);
        }
    return WEFT_OK;
}

/* s: whether this rank can; the others go on without. */
static weft_status update(weft_fabric *f, weft_optimizer *o, weft_status s)
{
    weft__flat *flat = weft__optim_flat(o);
    const weft_dev none = {0};
    o->unless = f->facade->scaler.on ? none : weft__late_gate_at(f);
    if (s >= 0)
        s = o->late ? weft__update_late(o) : weft__optim_begin(o);
    if (s >= 0 && flat && !o->late)
        s = weft__optim_update(o, flat);
    if (s < 0)
        weft__stick(f, s);
    const weft_status together = weft__strategy_stepped(f->facade->strategy, o);
    s = s < 0 ? s : together;
    o->steps += s >= 0;
    o->since += s >= 0 && (o->late ? o->unknown > 0 : o->unless.addr != 0);
    return s;
}

bool weft__has_gradients(const weft_optimizer *o)
{
    const weft__flat *flat = weft__optim_flat(o);
    bool any = false, trainable = false;
    for (int k = 0; flat && k < flat->nsegments; k++) {
        const bool mine = weft__optim_owns(o, flat->segment[k]);
        trainable |= mine;
        any |= mine && flat->segment[k]->grad != WEFT__GRAD_EMPTY;
    }
    return any || !trainable;
}

static weft_status not_summed(void)
{
    return weft__fail(WEFT_ESTATE, "weft_step: the gradients are not summed over ranks yet; call "
                                   "weft_backward for the last micro-batch outside "
                                   "weft_no_backward_sync_begin/end");
}

static weft_status step(weft_fabric *f, weft_optimizer *o)
{
    weft__facade *p = f->facade;
    if (p->agreed)
        return p->agreed;
    if (!o->setup)
        return weft__stick(f, weft__fail(WEFT_ESTATE, "weft_step: the optimizer was not set up; "
                                                      "call weft_setup before the loop"));
    if (o->ops->search)
        return weft__stick(f, weft__fail(WEFT_ESTATE,
                                         "weft_step: %s evaluates the loss itself; call "
                                         "weft_step_closure",
                                         o->ops->name));
    if (weft__window_has(o))
        return weft__window_holds(f) ? WEFT_POSTPONED : weft__stick(f, not_summed());
    const bool ready = weft__has_gradients(o);
    weft_status s = p->skip ? WEFT_SKIPPED : weft__unscale(o);
    if (p->agreed)
        return p->agreed;
    const bool skips = s == WEFT_SKIPPED;
    if (!ready)
        s = weft__fail(WEFT_ESTATE, "weft_step without weft_backward since weft_zero_grad");
    if (!skips)
        s = update(f, o, s);
    p->astray |= s < 0;
    if (!ready)
        return weft__stick(f, s);
    o->used = true;
    f->step++; /* also on a rank where it failed: ranks count alike */
    p->window = false;
    s = s == WEFT_OK && p->told ? WEFT_SKIPPED : s;
    p->told = false;
    return s < 0 ? weft__stick(f, s) : s;
}

weft_status weft_step(weft_optimizer *o)
{
    if (!o)
        return WEFT_EARG;
    weft_fabric *f = o->object.fabric;
    weft__part part = weft__enter(f, WEFT__OPTIMIZER);
    weft_status s = step(f, o);
    weft__enter(f, part == WEFT__FORWARD ? WEFT__OTHER : part);
    return s;
}
