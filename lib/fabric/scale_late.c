/* A loss scale that is the device's, so that the host need not wait for a step: on a device that queues, where all
 * ranks hold the same sums, with one optimizer that is conditional. Whether gradients are finite is a flag there that
 * forbids the update, and the next backward is multiplied by the scale as it is by then. The host learns of a step at
 * the edge of the one after, or when somebody asks, and follows in its own scaler. It asks for each update twice, once
 * as if the step before had been skipped, and the device forbids one of the two. */
#include "autograd/tape.h"
#include "core/log.h"
#include "device/device.h"
#include "fabric/facade.h"
#include "optim/optimizer.h"

#include <weft/logger.h>

#define INVERSE                                                                                    \
    16           /* bytes behind o->norm: what gradients as they are in memory are multiplied by, */
#define STATE 32 /* and a weft_scaler_state */

static weft_dev member(const weft_optimizer *o, size_t at)
{
    return weft__at(o->norm, STATE + (int64_t)at);
}
#define MEMBER(o, name) member(o, offsetof(weft_scaler_state, name))

weft_dev weft__scale_inverse(const weft_optimizer *o)
{
    return weft__at(o->norm, INVERSE);
}

weft_optimizer *weft__scale_decided(const weft_fabric *f)
{
    const weft_device_ops *d = f->device->ops;
    const weft__facade *p = f->facade;
    weft__object *i = weft__object_first((weft_fabric *)f, WEFT__OPTIM);
    if (!p->scaler.on || d->immediate || !d->import || !weft__strategy_alike(p->strategy) ||
        p->optimizers != 1)
        return NULL;
    while (i && !((weft_optimizer *)i)->setup)
        i = weft__object_after(i);
    weft_optimizer *o = (weft_optimizer *)i;
    const weft__flat *flat = o ? weft__optim_flat(o) : NULL;
    return flat && flat->type[WEFT__GRAD] == WEFT_F32 && o->ops->conditional ? o : NULL;
}

static weft_optimizer *doubtful(const weft_fabric *f)
{
    weft__object *i = weft__object_first((weft_fabric *)f, WEFT__OPTIM);
    while (i && !((weft_optimizer *)i)->unknown)
        i = weft__object_after(i);
    return (weft_optimizer *)i;
}

weft_status weft__scale_catch_up(const weft_fabric *f)
{
    return doubtful(f) ? weft__late_read((weft_fabric *)f) : WEFT_OK;
}

/* The device's becomes the host's. */
static weft_status hand_over(weft_optimizer *o)
{
    weft_fabric *f = o->object.fabric;
    const weft__scaler *s = &f->facade->scaler;
    if (o->holds)
        return WEFT_OK;
    WEFT_TRY(weft__scale_catch_up(f));
    WEFT_TRY(weft__measure_room(o));
    const weft_scaler_state now = {
        .scale = s->scale, .inverse = (double)(float)(1 / s->scale), .good = s->good};
    WEFT_TRY(f->device->ops->upload(f->stream, member(o, 0), &now, sizeof now));
    o->holds = true;
    return WEFT_OK;
}

weft_status weft__scale_take_back(weft_fabric *f)
{
    WEFT_TRY(weft__scale_catch_up(f));
    for (weft__object *i = weft__object_first(f, WEFT__OPTIM); i; i = weft__object_after(i))
        ((weft_optimizer *)i)->late = ((weft_optimizer *)i)->holds = false;
    return WEFT_OK;
}

weft_status weft__scaled_backward(weft_fabric *f, weft_tensor *loss, double seed)
{
    const weft_dev none = {0};
    weft_optimizer *o = weft__scale_decided(f);
    if (!o)
        return weft__tape_backward(f, loss, seed * weft_loss_scale(f), none);
    WEFT_TRY(hand_over(o));
    return weft__tape_backward(f, loss, seed, MEMBER(o, scale));
}

static weft_status ask(weft_optimizer *o, bool edge)
{
    weft_fabric *f = o->object.fabric;
    const weft__scaling *s = &f->facade->scaler.o;
    const weft_scaler_rule rule = {.growth = s->growth_factor,
                                   .backoff = s->backoff_factor,
                                   .least = (double)(float)s->min_scale,
                                   .interval = s->growth_interval};
    return f->device->ops->kernels->scaler(f->stream, member(o, 0), weft__late_gate_at(f), edge,
                                           &rule);
}

weft_status weft__scale_doubt(weft_optimizer *o, weft_dev norm)
{
    weft_fabric *f = o->object.fabric;
    WEFT_TRY(
        f->device->ops->kernels->nonfinite(f->stream, weft__late_gate_at(f), norm, 1, WEFT_F64));
    return ask(o, false);
}

static weft_status log_scale(weft_optimizer *o)
{
    weft_fabric *f = o->object.fabric;
    weft_view v = {.dtype = WEFT_F64};
    WEFT_TRY(weft__scratch_view(f, &v));
    WEFT_TRY(f->device->ops->move(f->stream, v.data, MEMBER(o, scale), sizeof(double)));
    weft_tensor *t = weft__tensor_new(f, &v, true, NULL);
    return t ? weft_log(f, "loss_scale", t) : WEFT_ENOMEM;
}

/* The squares of gradients in f32 have a finite sum if these are finite. */
weft_status weft__unscale_late(weft_optimizer *o)
{
    weft_fabric *f = o->object.fabric;
    const weft_device_ops *d = f->device->ops;
    const weft__flat *flat = weft__optim_flat(o);
    weft_dev gate;
    WEFT_TRY(hand_over(o));
    WEFT_TRY(weft__late_gate(f, &gate));
    WEFT_TRY(d->zero(f->stream, gate, 2 * sizeof(int64_t)));
    WEFT_TRY(d->move(f->stream, weft__scale_inverse(o), MEMBER(o, inverse), sizeof(double)));
    WEFT_TRY(weft__measure_squares(o));
    WEFT_TRY(weft__scale_doubt(o, o->norm));
    for (int k = 0; k < flat->nsegments; k++)
        if (weft__optim_owns(o, flat->segment[k]))
            WEFT_TRY(weft__shrink_later(flat->segment[k], weft__scale_inverse(o)));
    o->late = o->unscaled = true;
    o->overflow = false;
    o->unknown++;
    return weft_logger_count(f) ? log_scale(o) : WEFT_OK;
}

static weft_status update(weft_optimizer *o, weft_dev unless)
{
    o->unless = unless;
    WEFT_TRY(weft__optim_begin(o));
    return weft__optim_update(o, weft__optim_flat(o));
}

weft_status weft__update_late(weft_optimizer *o)
{
    const int64_t before = o->before; /* 0 if the host knows of them: both are the same then */
    o->steps -= before;
    o->again = true;
    const weft_status s = update(o, MEMBER(o, off[1]));
    o->steps += before;
    o->again = false;
    return s < 0 ? s : update(o, MEMBER(o, off[2]));
}

weft_status weft__scale_told(weft_fabric *f, bool skipped, int64_t step)
{
    weft_optimizer *o = doubtful(f);
    weft__scaler *s = &f->facade->scaler;
    if (!o)
        return WEFT_OK;
    const bool here = o->late && o->unknown == 1; /* its edge is still to come */
    const int64_t counted = o->before + (o->unknown == 1 ? o->since : 0);
    o->steps -= skipped ? counted : 0;
    o->before = 0;
    o->since = o->unknown == 1 ? 0 : o->since;
    o->unknown--;
    s->tried = true;
    s->found = skipped;
    f->facade->told |= skipped;
    o->overflow = here ? skipped : o->overflow;
    const weft_status end = skipped ? weft__scale_skips(o, step) : WEFT_OK;
    if (!here)
        weft__scaler_update(s);
    return end < 0 ? end : WEFT_OK;
}

weft_status weft__scale_late_edge(weft_optimizer *o)
{
    o->late = false;
    return ask(o, true);
}
