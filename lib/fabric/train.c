/* Backward and the optimizer's step: the collective half of a training step. */
#include "autograd/tape.h"
#include "device/device.h"
#include "fabric/facade.h"
#include "optim/optimizer.h"

#include <math.h>
#include <stdio.h>

/* Whether the loss is a sum or a mean over all ranks. */
static weft_status combines(const weft_fabric *f, const weft__tensor *loss)
{
    if (f->world > 1 && loss->reduction == WEFT__LOCAL)
        return weft__fail(
            WEFT_ENOTSUP,
            "weft_backward: the loss comes from what one rank's rows of a batch alone decide (a "
            "maximum or minimum over them, or their sum as a factor of rows), which over %d ranks "
            "is neither a sum nor a mean; weft_detach what needs no gradient",
            f->world);
    if (f->world > 1 && loss->rows.chosen && loss->reduction != WEFT__SUM)
        return weft__fail(
            WEFT_ENOTSUP,
            "weft_backward: the loss is a mean over some rows of a batch, and how many "
            "these are over %d ranks is not known; say it with weft_batch_of, or "
            "take a sum",
            f->world);
    return WEFT_OK;
}

/* This rank's share of the gradient: gradients are sums over ranks. */
static weft_status seed_of(weft_fabric *f, weft_tensor *loss, double global, double *seed)
{
    weft_fabric *home = NULL;
    const weft__tensor *t = weft__tensor_at(loss, &home);
    if (!t || home != f)
        return t ? weft__fail(WEFT_EHANDLE, "weft_backward: the loss belongs to another fabric")
                 : WEFT_EHANDLE;
    WEFT_TRY(combines(f, t));
    if (!t->rows.batch)
        *seed = 1.0 / f->world;
    else if (t->reduction == WEFT__SUM)
        *seed = t->rows.local ? 1 : 0;
    else if (t->rows.global > 0 || global > 0)
        *seed = (double)t->rows.local / (t->rows.global > 0 ? (double)t->rows.global : global);
    else
        *seed = 0;
    return WEFT_OK;
}

/* Rows of all ranks, where a batch did not say. */
static weft_status weigh(weft_fabric *f, weft_tensor *loss, double *global)
{
    const weft__tensor *t = weft__stuck(f) ? NULL : weft__tensor_at(loss, NULL);
    *global = t && t->rows.batch ? (double)t->rows.local : 0;
    return weft__all_reduce(f->comm, "rows of the batch", global, 1, WEFT_F64, WEFT_REDUCE_SUM);
}

static weft_status differentiate(weft_fabric *f, weft_tensor *loss)
{
    weft__facade *p = f->facade;
    double global = 0, seed = 0;
    /* First, on every rank: also one that fails below takes part in the schedule from its start. */
    WEFT_TRY(p->strategy->ops->begin(p->strategy));
    if (f->weigh)
        WEFT_TRY(weigh(f, loss, &global));
    if (!loss && !weft__stuck(f))
        return weft__fail(WEFT_EARG, "weft_backward: the loss is NULL and no error has stuck");
    if (weft__stuck(f))
        return WEFT_OK;
    WEFT_TRY(seed_of(f, loss, global, &seed));
    return weft__tape_backward(f, loss, seed);
}

static weft_status count_nonfinite(weft_fabric *f, int64_t *count)
{
    const weft__strategy *s = f->facade->strategy;
    weft_dev flag;
    WEFT_TRY(weft__scratch(f, sizeof *count, &flag));
    WEFT_TRY(f->device->ops->zero(f->stream, flag, sizeof *count));
    for (size_t i = 0; i < s->flats; i++)
        WEFT_TRY(f->device->ops->kernels->nonfinite(f->stream, flag, s->flat[i]->plane[WEFT__GRAD],
                                                    s->flat[i]->elements, s->flat[i]->dtype));
    return f->device->ops->download(f->stream, count, flag, sizeof *count);
}

/* All ranks hold the same sums and come to the same decision; who caused it is found together. */
static weft_status judge_values(weft_fabric *f, weft_tensor *loss)
{
    weft__facade *p = f->facade;
    int64_t bad = 0;
    p->skip = false;
    if (p->nonfinite == WEFT__FINITE_OR_GO)
        return WEFT_OK;
    WEFT_TRY(count_nonfinite(f, &bad));
    if (!bad)
        return WEFT_OK;
    double value = weft_item(loss);
    if (p->nonfinite == WEFT__FINITE_OR_SKIP) {
        p->skip = true;
        return WEFT_OK;
    }
    const weft__tensor *t = weft__tensor_at(loss, NULL);
    bool empty = t && t->rows.batch && !t->rows.local; /* the mean of no rows is NaN */
    weft_status mine = isfinite(value) || empty ? WEFT_OK : WEFT_ENONFINITE;
    char text[WEFT__TEXT];
    snprintf(text, sizeof text,
             "rank %d on %s: the loss is %g at step %lld; parameters are as before. Lower the "
             "learning rate, look at the data, or open with nonfinite=skip",
             f->rank, f->host, value, (long long)f->step);
    WEFT_TRY(weft__agree(f->comm, "non-finite", mine, text));
    return weft__fail(WEFT_ENONFINITE,
                      "a gradient is not finite at step %lld although the loss is; parameters are "
                      "as before. Lower the learning rate, or open with nonfinite=skip",
                      (long long)f->step);
}

static weft_status backward(weft_fabric *f, weft_tensor *loss)
{
    weft__facade *p = f->facade;
    bool failed = false;
    weft_status s = differentiate(f, loss);
    if (s < 0 && !weft__stuck(f))
        weft__stick(f, s);
    s = p->strategy->ops->end(p->strategy, weft__stuck(f), &failed);
    if (s < 0 && !weft__stuck(f))
        weft__stick(f, s);
    p->differentiated = p->window = true;
    if (f->comm->lost)
        return p->agreed = weft__stuck(f) ? weft__stuck(f) : WEFT_EPEER;
    if (failed)
        return weft__agree_on_errors(f);
    s = judge_values(f, loss);
    if (s < 0)
        weft__sticky_set(&f->error, s, weft__why());
    if (s == WEFT_ENONFINITE || f->comm->lost) /* else this rank's own: it counts at the edge */
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
    o->object.fabric->facade->window = false;
    for (int i = 0; i < o->module->flats; i++)
        for (int k = 0; k < o->module->flat[i]->nsegments; k++)
            o->module->flat[i]->segment[k]->grad = WEFT__GRAD_EMPTY;
    return WEFT_OK;
}

static weft_status update(weft_fabric *f, weft_optimizer *o)
{
    weft__strategy *s = f->facade->strategy;
    for (int i = 0; i < o->module->flats; i++) {
        weft__flat *flat = o->module->flat[i];
        int64_t first = 0, count = flat->elements;
        if (!flat->trainable)
            continue;
        if (s->ops->range)
            s->ops->range(s, flat, &first, &count);
        WEFT_TRY(weft__optim_update(o, flat, first, count));
        if (s->ops->stepped)
            WEFT_TRY(s->ops->stepped(s, flat));
    }
    o->steps++;
    return WEFT_OK;
}

/* Whether a backward has reached the optimizer's parameters since weft_zero_grad. */
static bool has_gradients(const weft_optimizer *o)
{
    bool any = false, trainable = false;
    for (int i = 0; i < o->module->flats; i++) {
        const weft__flat *flat = o->module->flat[i];
        trainable |= flat->trainable;
        for (int k = 0; k < flat->nsegments && flat->trainable; k++)
            any |= flat->segment[k]->grad != WEFT__GRAD_EMPTY;
    }
    return any || !trainable;
}

static weft_status step(weft_fabric *f, weft_optimizer *o)
{
    weft__facade *p = f->facade;
    if (p->agreed)
        return p->agreed;
    if (!o->setup)
        return weft__stick(f, weft__fail(WEFT_ESTATE, "weft_step: the optimizer was not set up; "
                                                      "call weft_setup before the loop"));
    if (!has_gradients(o))
        return weft__stick(f, weft__fail(WEFT_ESTATE, "weft_step without weft_backward since "
                                                      "weft_zero_grad"));
    weft_status s = p->skip ? WEFT_SKIPPED : update(f, o);
    f->step++; /* also on a rank where it failed: ranks count alike */
    p->window = false;
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
