/* Clipping of gradients: by value, or by the norm of all of an optimizer's gradients together,
 *     norm = (sum |g|^p)^(1/p),   g *= min(1, max_norm / (norm + 1e-6))
 * as torch.nn.utils does it. The sum goes over parameters in their order, so that it does not depend
 * on how their space is padded. */
#include "device/device.h"
#include "fabric/facade.h"
#include "optim/optimizer.h"

#include <math.h>

typedef struct clip {
    weft_fabric *f;
    weft_optimizer *o;
    double value, limit, p;
    bool must_be_finite;
    bool scaled; /* gradients as they are in memory are multiples of those that it is the norm of */
    bool met;    /* the other ranks, over what they have measured */
    weft_dev norm; /* f64, on the device */
} clip;

static weft_status read_options(clip *c, const weft_clip_options *o)
{
    static const weft_clip_options none;
    o = o ? o : &none;
    if (o->clip_val != 0 && o->max_norm != 0)
        return weft__fail(WEFT_EARG,
                          "weft_clip_gradients: clip_val %g and max_norm %g; give one "
                          "of them",
                          o->clip_val, o->max_norm);
    if (o->clip_val == 0 && o->max_norm == 0)
        return weft__fail(WEFT_EARG, "weft_clip_gradients: give clip_val or max_norm");
    c->value = o->clip_val;
    c->limit = o->max_norm;
    c->p = o->norm_type != 0 ? o->norm_type : 2;
    c->must_be_finite = o->error_if_nonfinite != WEFT_OFF;
    if ((c->value > 0 || c->limit > 0) && c->p > 0)
        return WEFT_OK;
    return weft__fail(WEFT_EARG,
                      "weft_clip_gradients: clip_val %g, max_norm %g, norm_type %g; they are above "
                      "0",
                      c->value, c->limit, c->p);
}

weft_status weft__gradients_ready(const weft_optimizer *o, const char *call)
{
    if (!o->setup)
        return weft__fail(
            WEFT_ESTATE, "%s: the optimizer was not set up; call weft_setup before the loop", call);
    if (weft__window_has(o))
        return weft__fail(WEFT_ESTATE,
                          "%s: the gradients are not summed over ranks yet; call it after the "
                          "backward that is outside weft_no_backward_sync_begin/end",
                          call);
    if (!weft__has_gradients(o))
        return weft__fail(WEFT_ESTATE, "%s without weft_backward since weft_zero_grad", call);
    return WEFT_OK;
}

weft_status weft__each_gradient(const weft_optimizer *o, weft__visit_gradient *visit, const void *c)
{
    const weft__flat *flat = weft__optim_flat(o);
    for (int k = 0; flat && k < flat->nsegments; k++) {
        weft__segment *g = flat->segment[k];
        weft__range own = {0};
        if (weft__optim_owns(o, g))
            WEFT_TRY(weft__shrink_now(g));
        while (weft__optim_owns(o, g) && weft__flat_own(flat, g->first, g->count, &own))
            WEFT_TRY(visit(c, weft__flat_at(flat, WEFT__GRAD, own.first), own.count,
                           flat->type[WEFT__GRAD]));
    }
    return WEFT_OK;
}

/* What this rank has of them, parameter by parameter, as runs of their plane. */
static weft_status find_runs(weft_optimizer *o, const weft__flat *flat)
{
    const uintptr_t plane = flat->plane[WEFT__GRAD].addr;
    const size_t bytes = weft_dtype_size(flat->type[WEFT__GRAD]);
    o->runs = 0;
    for (int k = 0; k < flat->nsegments; k++) {
        const weft__segment *g = flat->segment[k];
        weft__range own = {0};
        while (weft__optim_owns(o, g) && weft__flat_own(flat, g->first, g->count, &own)) {
            const uintptr_t at = weft__flat_at(flat, WEFT__GRAD, own.first).addr;
            WEFT_TRY(weft__optim_run(o, (int64_t)((at - plane) / bytes), own.count));
        }
    }
    return WEFT_OK;
}

/* c->norm: to the power of p. */
static weft_status measure(const clip *c)
{
    const weft__flat *flat = weft__optim_flat(c->o);
    const weft_kernels *k = c->f->device->ops->kernels;
    WEFT_TRY(k->fill(c->f->stream, c->norm, 1, 0, WEFT_F64));
    if (!flat)
        return WEFT_OK;
    for (int i = 0; i < flat->nsegments; i++)
        if (weft__optim_owns(c->o, flat->segment[i]))
            WEFT_TRY(weft__shrink_now(flat->segment[i]));
    WEFT_TRY(find_runs(c->o, flat));
    return c->o->runs ? k->norm(c->f->stream, c->norm, flat->plane[WEFT__GRAD], c->o->run,
                                (int64_t)c->o->runs, c->p, flat->type[WEFT__GRAD])
                      : WEFT_OK;
}

weft_status weft__measure_room(weft_optimizer *o)
{
    return o->norm.addr ? WEFT_OK
                        : weft_device_alloc(o->object.fabric->device, WEFT__NUMBERS,
                                            WEFT_MEMORY_OTHER, &o->norm);
}

weft_status weft__measure_squares(weft_optimizer *o)
{
    const clip c = {.f = o->object.fabric, .o = o, .p = 2, .norm = o->norm};
    WEFT_TRY(measure(&c));
    o->measured = true;
    return WEFT_OK;
}

/* The norm to the power of p of this rank's pieces; the look after the backward has found it, where a clip
 * like this one was expected. */
static weft_status find(clip *c)
{
    const weft_device_ops *d = c->f->device->ops;
    const weft__flat *flat = weft__optim_flat(c->o);
    c->o->clips = c->p == 2.0 && flat;
    WEFT_TRY(weft__measure_room(c->o));
    c->scaled = c->o->clips && c->o->measured && !flat->seen && c->o->late;
    if (c->o->clips && c->o->measured && !flat->seen)
        return d->move(c->f->stream, c->norm, c->o->norm, sizeof(double));
    return measure(c);
}

/* Whoever reads them next multiplies. */
static weft_status shrink(const clip *c)
{
    const weft_kernels *k = c->f->device->ops->kernels;
    const weft__flat *flat = weft__optim_flat(c->o);
    const weft_dev by = weft__at(c->o->norm, sizeof(double));
    WEFT_TRY(k->cut(c->f->stream, by, c->norm, c->limit));
    if (c->scaled)
        WEFT_TRY(k->shrink(c->f->stream, by, weft__scale_inverse(c->o), 1, WEFT_F64));
    for (int i = 0; flat && i < flat->nsegments; i++)
        if (weft__optim_owns(c->o, flat->segment[i]))
            WEFT_TRY(weft__shrink_later(flat->segment[i], by));
    return WEFT_OK;
}

static weft_status clamp(const void *clipping, weft_dev g, int64_t n, weft_dtype dtype)
{
    const clip *c = clipping;
    const double bound[] = {-c->value, c->value};
    return c->f->device->ops->kernels->unary(c->f->stream, WEFT_CLAMP, g, g, bound, n, dtype);
}

/* Where ranks do not have the same gradients, they meet once over a norm, whatever becomes of it on one of
 * them: v is the norm to the power of p of all their pieces, or the largest of their norms. */
static weft_status meet(clip *c, double *v)
{
    const bool sum = weft__optim_flat(c->o) && weft__optim_flat(c->o)->cut && !isinf(c->p);
    c->met = true;
    *v = isnan(*v) ? (double)INFINITY : *v; /* which is no maximum */
    return weft__all_reduce(c->f->comm, "norm of gradients", v, 1, WEFT_F64,
                            sum ? WEFT_REDUCE_SUM : WEFT_REDUCE_MAX);
}

/* Each rank has measured its pieces. */
static weft_status combine(clip *c)
{
    const weft__flat *flat = weft__optim_flat(c->o);
    double norm = 0;
    if (c->f->world == 1 || !flat || !flat->cut)
        return WEFT_OK;
    WEFT_TRY(c->f->device->ops->download(c->f->stream, &norm, c->norm, sizeof norm));
    WEFT_TRY(meet(c, &norm));
    return c->f->device->ops->upload(c->f->stream, c->norm, &norm, sizeof norm);
}

/* All ranks come to the same verdict. */
static weft_status judge(clip *c)
{
    double norm = 0;
    const weft_dev gate = weft__late_gate_at(c->f);
    if (!c->must_be_finite || c->f->facade->skip || c->o->overflow)
        return WEFT_OK;
    if (c->o->late)
        return c->p == 2.0 ? WEFT_OK : weft__scale_doubt(c->o, c->norm);
    if (gate.addr && !c->f->facade->scaler.on)
        return c->f->device->ops->kernels->nonfinite(c->f->stream, gate, c->norm, 1, WEFT_F64);
    WEFT_TRY(c->f->device->ops->download(c->f->stream, &norm, c->norm, sizeof norm));
    if (!c->met && !weft__strategy_alike(c->f->facade->strategy))
        WEFT_TRY(meet(c, &norm));
    if (isfinite(norm))
        return WEFT_OK;
    weft__fail(
        WEFT_ENONFINITE,
        "weft_clip_gradients: the norm of the gradients is %g at step %lld; parameters are as "
        "before. Lower the learning rate, or give error_if_nonfinite = WEFT_OFF",
        norm, (long long)c->f->step);
    weft__sticky_set(&c->f->error, WEFT_ENONFINITE, weft__why());
    return c->f->facade->agreed = WEFT_ENONFINITE;
}

static weft_status unscaled(weft_optimizer *o)
{
    weft_status s = weft__gradients_ready(o, "weft_clip_gradients");
    s = s < 0 ? s : weft__unscale(o);
    return s < 0 ? s : WEFT_OK; /* also where they are not finite: weft_step says so */
}

static weft_status by_norm(clip *c, weft_tensor **out)
{
    const weft_kernels *k = c->f->device->ops->kernels;
    weft_view v = {.dtype = WEFT_F64};
    WEFT_TRY(weft__scratch_view(c->f, &v));
    c->norm = v.data;
    WEFT_TRY(find(c));
    WEFT_TRY(combine(c));
    WEFT_TRY(k->root(c->f->stream, c->norm, c->norm, c->p));
    if (c->scaled)
        WEFT_TRY(k->shrink(c->f->stream, c->norm, weft__scale_inverse(c->o), 1, WEFT_F64));
    WEFT_TRY(judge(c));
    if (!isinf(c->limit))
        WEFT_TRY(shrink(c));
    *out = weft__tensor_new(c->f, &v, true, NULL);
    return *out ? WEFT_OK : WEFT_ENOMEM;
}

/* s: whether this rank can; it takes part all the same. */
static weft_status clip_now(clip *c, weft_status s, weft_tensor **norm)
{
    const weft_status ready = unscaled(c->o);
    double none = 0;
    s = s < 0 ? s : ready;
    weft__alike_did(c->f, (const double[]){c->value, c->limit, c->p}, sizeof(double[3]));
    if (!s)
        s = c->value > 0 ? weft__each_gradient(c->o, clamp, c) : by_norm(c, norm);
    c->o->measured = false;
    if (c->met || c->value != 0 || !c->o->setup || weft__strategy_alike(c->f->facade->strategy))
        return s;
    if (s < 0)
        weft__stick(c->f, s);
    const weft_status rest = meet(c, &none);
    return s < 0 ? s : rest;
}

weft_tensor *weft_clip_gradients(weft_optimizer *o, const weft_clip_options *options)
{
    weft_tensor *norm = NULL;
    if (!o || o->object.fabric->facade->agreed)
        return NULL;
    clip c = {.f = o->object.fabric, .o = o};
    weft__part part = weft__enter(c.f, WEFT__OPTIMIZER);
    weft_status s = read_options(&c, options);
    if (s < 0)
        weft__stick(c.f, s);
    if (!(weft__window_has(o) && weft__window_holds(c.f)))
        s = clip_now(&c, s, &norm);
    weft__enter(c.f, part);
    if (s < 0 && s != c.f->facade->agreed) { /* the others clip */
        c.f->facade->astray = true;
        weft__stick(c.f, s);
    }
    return norm;
}
