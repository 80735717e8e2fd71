/* Gradients that are not finite. On a device that is done when it returns, and where ranks must agree, the
 * host looks after each backward. On one that queues it would wait there for the whole step: on one rank, if
 * all optimizers are conditional, the flag stays on the device, where it forbids every later update, and the
 * host reads it at the edge of the step after. Then steps are counted back to the one that it was found in. */
#include "autograd/tape.h"
#include "device/device.h"
#include "fabric/facade.h"
#include "optim/optimizer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static bool has(const weft_optimizer *o, const weft__flat *flat)
{
    return o->setup && weft__optim_flat(o) == flat;
}

/* Whether a clip by their norm is expected for all of a space's gradients. In f64 the sum of finite squares may be
 * infinite. */
static bool is_clipped(const weft_fabric *f, const weft__flat *flat)
{
    int n = 0;
    if (flat->hold || flat->seen || flat->type[WEFT__GRAD] != WEFT_F32)
        return false;
    for (weft__object *i = weft__object_first((weft_fabric *)f, WEFT__OPTIM); i;
         i = weft__object_after(i)) {
        const weft_optimizer *o = (const weft_optimizer *)i;
        for (int k = 0; k < flat->nsegments && o->clips && has(o, flat); k++)
            n += weft__optim_owns(o, flat->segment[k]);
    }
    return n == flat->nsegments;
}

/* The sum of the squares tells it too, and need not be taken again. */
static weft_status look_by_norm(weft_fabric *f, const weft__flat *flat, weft_dev flag)
{
    for (weft__object *i = weft__object_first(f, WEFT__OPTIM); i; i = weft__object_after(i)) {
        weft_optimizer *o = (weft_optimizer *)i;
        if (!has(o, flat))
            continue;
        WEFT_TRY(weft__measure_squares(o));
        WEFT_TRY(f->device->ops->kernels->nonfinite(f->stream, flag, o->norm, 1, WEFT_F64));
    }
    return WEFT_OK;
}

/* flag: an int64 that is set where a gradient is not finite. */
static weft_status look(weft_fabric *f, weft_dev flag)
{
    const weft__strategy *s = f->facade->strategy;
    for (size_t i = 0; i < s->flats; i++) {
        const weft__flat *flat = s->flat[i];
        const bool clipped = is_clipped(f, flat);
        if (clipped)
            WEFT_TRY(look_by_norm(f, flat, flag));
        for (int k = 0; k < flat->npieces && !flat->hold && !clipped; k++)
            WEFT_TRY(f->device->ops->kernels->nonfinite(
                f->stream, flag, weft__flat_at(flat, WEFT__GRAD, flat->piece[k].first),
                flat->piece[k].count, flat->type[WEFT__GRAD]));
    }
    return WEFT_OK;
}

static weft_status count_nonfinite(weft_fabric *f, int64_t *count)
{
    weft_dev flag;
    WEFT_TRY(weft__scratch(f, sizeof *count, &flag));
    WEFT_TRY(f->device->ops->zero(f->stream, flag, sizeof *count));
    WEFT_TRY(look(f, flag));
    WEFT_TRY(f->device->ops->download(f->stream, count, flag, sizeof *count));
    return weft__strategy_alike(f->facade->strategy)
               ? WEFT_OK
               : weft__all_reduce(f->comm, "non-finite gradients", count, 1, WEFT_I64,
                                  WEFT_REDUCE_SUM);
}

/* Whether the host need not wait for it. */
static bool can_be_late(const weft_fabric *f)
{
    const weft_device_ops *d = f->device->ops;
    if (d->immediate || !d->import || f->world > 1)
        return false;
    for (weft__object *i = weft__object_first((weft_fabric *)f, WEFT__OPTIM); i;
         i = weft__object_after(i))
        if (((weft_optimizer *)i)->setup && !((weft_optimizer *)i)->ops->conditional)
            return false;
    return true;
}

/* The loss goes with it, for the message. */
static weft_status look_late(weft_fabric *f, weft_tensor *loss)
{
    const weft__tensor *t = weft__tensor_at(loss, NULL);
    const int64_t one = 1;
    weft_dev gate;
    WEFT_TRY(weft__late_gate(f, &gate));
    WEFT_TRY(look(f, gate));
    if (!t)
        return WEFT_OK;
    return f->device->ops->kernels->copy(f->stream, weft__at(gate, sizeof(int64_t)), WEFT_F64, &one,
                                         t->view.data, t->view.dtype, &one, 1, &one);
}

static weft_status loss_is(const weft_fabric *f, double loss, int64_t step)
{
    return weft__fail(WEFT_ENONFINITE,
                      "rank %d on %s: the loss is %g at step %lld; parameters are as before. Lower "
                      "the learning rate, look at the data, or open with nonfinite=skip",
                      f->rank, f->host, loss, (long long)step);
}

static weft_status gradient_is(int64_t step)
{
    return weft__fail(WEFT_ENONFINITE,
                      "a gradient is not finite at step %lld although the loss is; parameters are "
                      "as before. Lower the learning rate, or open with nonfinite=skip",
                      (long long)step);
}

weft_status weft__judge_late(weft_fabric *f, const int64_t word[2], int64_t step, bool sent)
{
    double loss;
    const bool bad = word[0] != 0;
    if (f->facade->scaler.on)
        return weft__scale_told(f, bad, step);
    memcpy(&loss, &word[1], sizeof loss);
    for (weft__object *i = weft__object_first(f, WEFT__OPTIM); i; i = weft__object_after(i)) {
        weft_optimizer *o = (weft_optimizer *)i;
        o->steps -= bad ? o->before + o->since : 0;
        o->before = 0;
        o->since = sent && !bad ? o->since : 0;
    }
    if (!bad)
        return WEFT_OK;
    f->step = step;
    return isfinite(loss) ? gradient_is(step) : loss_is(f, loss, step);
}

void weft__judge_edge(weft_fabric *f)
{
    for (weft__object *i = weft__object_first(f, WEFT__OPTIM); i; i = weft__object_after(i)) {
        weft_optimizer *o = (weft_optimizer *)i;
        o->before = o->since;
        o->since = 0;
    }
}

/* All ranks hold the same sums and come to the same decision; who caused it is found together. */
weft_status weft__judge_values(weft_fabric *f, weft_tensor *loss)
{
    weft__facade *p = f->facade;
    int64_t bad = 0;
    p->skip = false;
    if (p->nonfinite == WEFT__FINITE_OR_GO || p->scaler.on)
        return WEFT_OK;
    if (p->nonfinite == WEFT__FINITE_OR_ERROR && can_be_late(f))
        return look_late(f, loss);
    WEFT_TRY(count_nonfinite(f, &bad));
    if (!bad)
        return WEFT_OK;
    double value = weft_item(loss);
    if (p->nonfinite == WEFT__FINITE_OR_SKIP) {
        p->skip = true;
        return WEFT_OK;
    }
    const weft__tensor *t = weft__tensor_at(loss, NULL);
    double weight = 1;
    if (t && (t->rows.batch || t->weight.addr))
        WEFT_TRY(weft__weight_of(f, t, &weight)); /* the mean of nothing is NaN */
    weft_status mine = weft__stuck(f);            /* bad numbers that the device found late */
    char text[WEFT__TEXT];
    snprintf(text, sizeof text, "%s", weft_message(f));
    if (!mine && !isfinite(value) && weight != 0) {
        mine = loss_is(f, value, f->step);
        snprintf(text, sizeof text, "%s", weft__why());
    }
    WEFT_TRY(weft__agree(f->comm, "non-finite", mine, text));
    return gradient_is(f->step);
}
