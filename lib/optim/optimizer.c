/* Optimizers: dispatch, planes of moments, state. */
#include "optim/optimizer.h"

#include "core/alloc.h"
#include "device/device.h"

#include <math.h>
#include <string.h>

static void destroy(weft__object *o)
{
    weft__free(((weft_optimizer *)o)->self);
}

static weft_optimizer *stuck(weft_fabric *f, weft_status code)
{
    weft__stick(f, code);
    return NULL;
}

static bool complete(const weft_optim_ops *ops)
{
    bool named =
        ops->size == sizeof *ops && ops->moments >= 0 && ops->moments <= WEFT_OPTIM_MOMENTS;
    for (int k = 0; named && k < ops->moments; k++)
        named = ops->moment_name[k] != NULL;
    return named && ops->update;
}

weft_optimizer *weft_optimizer_new(weft_module *m, const weft_optim_ops *ops, const void *self,
                                   size_t bytes, double lr)
{
    if (!m)
        return NULL;
    weft_fabric *f = m->object.fabric;
    weft_module *root = weft__module_root(m);
    if (!complete(ops))
        return stuck(f, weft__fail(WEFT_EARG, "the table of optimizer %s is incomplete",
                                   ops->name ? ops->name : "?"));
    if (root != m)
        return stuck(f, weft__fail(WEFT_ENOTSUP,
                                   "%s: the module is part of another; give the whole one and "
                                   "freeze what is not trained",
                                   ops->name));
    if (root->owned_by_optimizer)
        return stuck(f,
                     weft__fail(WEFT_ESTATE, "%s: the module already has an optimizer", ops->name));
    if (!(lr > 0) || !isfinite(lr))
        return stuck(
            f, weft__fail(WEFT_EARG, "%s: the learning rate %g is not above 0", ops->name, lr));
    weft_optimizer *o = weft__object_new(f, WEFT__OPTIM, sizeof *o, destroy);
    if (!o)
        return NULL;
    o->ops = ops;
    o->module = root;
    o->lr = lr;
    if (!(o->self = weft__new(1, bytes ? bytes : 1)))
        return stuck(f, WEFT_ENOMEM); /* freed with the fabric */
    if (bytes)
        memcpy(o->self, self, bytes);
    root->owned_by_optimizer = true;
    return o;
}

weft_status weft__optim_setup(weft_optimizer *o)
{
    for (int i = 0; i < o->module->flats; i++)
        for (int k = 0; k < o->ops->moments && o->module->flat[i]->trainable; k++)
            WEFT_TRY(weft__flat_plane(o->module->flat[i], (weft__plane)(WEFT__MOMENT0 + k)));
    return WEFT_OK;
}

static weft_status run(weft_optimizer *o, weft__flat *flat, int64_t first, int64_t count)
{
    weft_fabric *f = flat->fabric;
    weft_optim_run r = {.p = weft__flat_at(flat, WEFT__PARAM, first),
                        .g = weft__flat_at(flat, WEFT__GRAD, first),
                        .n = count,
                        .dtype = flat->dtype};
    for (int k = 0; k < o->ops->moments; k++)
        r.moment[k] = weft__flat_at(flat, (weft__plane)(WEFT__MOMENT0 + k), first);
    return o->ops->update(f->stream, f->device->ops->kernels, o->self, &r, o->steps + 1,
                          weft_lr(o));
}

/* Elementwise optimizers take what lies between frozen parameters in one run; the padding in it is
 * zero and stays zero. */
static weft_status between(weft_optimizer *o, weft__flat *flat, int64_t first, int64_t end)
{
    for (int i = 0; i < flat->nsegments && first < end; i++) {
        const weft__segment *s = flat->segment[i];
        if (!s->frozen || s->first + s->count <= first || s->first >= end)
            continue;
        if (s->first > first)
            WEFT_TRY(run(o, flat, first, s->first - first));
        first = s->first + s->count;
    }
    return first < end ? run(o, flat, first, end - first) : WEFT_OK;
}

weft_status weft__optim_update(weft_optimizer *o, weft__flat *flat, int64_t first, int64_t count)
{
    if (!o->ops->whole_tensors)
        return between(o, flat, first, first + count);
    for (int i = 0; i < flat->nsegments; i++) {
        const weft__segment *s = flat->segment[i];
        if (!s->frozen && s->first >= first && s->first + s->count <= first + count)
            WEFT_TRY(run(o, flat, s->first, s->count));
    }
    return WEFT_OK;
}

weft_status weft__optim_state(void *optimizer, weft_visitor *v)
{
    weft_optimizer *o = optimizer;
    for (int k = 0; k < o->ops->moments; k++) {
        WEFT_TRY(weft_state_enter(v, o->ops->moment_name[k]));
        WEFT_TRY(weft__module_plane_state(o->module, (weft__plane)(WEFT__MOMENT0 + k), v));
        weft_state_leave(v);
    }
    WEFT_TRY(weft_state_i64(v, "steps", &o->steps));
    return o->ops->state ? o->ops->state(o->self, v) : WEFT_OK;
}

int64_t weft_steps(const weft_optimizer *o)
{
    return o ? o->steps : 0;
}

weft_status weft_set_lr(weft_optimizer *o, double lr)
{
    if (!o)
        return WEFT_EARG;
    if (!(lr >= 0) || !isfinite(lr))
        return weft__note(o->object.fabric,
                          weft__fail(WEFT_EARG,
                                     "weft_set_lr: the learning rate %g is not a number "
                                     "from 0 up",
                                     lr));
    o->lr = lr;
    return WEFT_OK;
}
