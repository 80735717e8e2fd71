/* Optimizers: dispatch, planes of moments, state. */
#include "optim/optimizer.h"

#include "core/alloc.h"
#include "device/device.h"

#include <math.h>
#include <string.h>

static void destroy(weft__object *object)
{
    weft_optimizer *o = (weft_optimizer *)object;
    weft__vector_close(o);
    if (o->scratch_bytes)
        weft_device_free(object->fabric->device, o->scratch, o->scratch_bytes, WEFT_MEMORY_OTHER);
    if (o->norm.addr)
        weft_device_free(object->fabric->device, o->norm, WEFT__NUMBERS, WEFT_MEMORY_OTHER);
    weft__groups_free(o);
    weft__free(o->run);
    weft__free((void *)o->schedule.o.milestones);
}

static weft_optimizer *stuck(weft_fabric *f, weft_status code)
{
    weft__stick(f, code);
    return NULL;
}

static weft_status complete(const weft_optim_ops *ops, size_t bytes)
{
    bool good = ops && ops->size == sizeof *ops && ops->name && ops->moments >= 0 &&
                ops->moments <= WEFT_OPTIM_MOMENTS && (ops->update || ops->search) &&
                ops->hypers >= 0 && !(ops->hypers && !ops->hyper);
    for (int i = 0; good && i < ops->hypers; i++) /* each is a double of self */
        good = bytes >= sizeof(double) && ops->hyper[i].at <= bytes - sizeof(double);
    for (int k = 0; good && k < ops->moments; k++)
        good = ops->moment_name[k] != NULL;
    return good ? WEFT_OK
                : weft__fail(WEFT_EARG, "the table of optimizer %s is incomplete",
                             ops && ops->name ? ops->name : "?");
}

static weft_status fill(weft_optimizer *o, const void *self, double lr)
{
    WEFT_TRY(weft__grow(&o->group, &o->room, 1, sizeof *o->group));
    o->group[0] = (weft__group){.lr = lr};
    if (!(o->group[0].self = weft__new(1, o->bytes ? o->bytes : 1)))
        return WEFT_ENOMEM;
    o->groups = 1;
    if (o->bytes)
        memcpy(o->group[0].self, self, o->bytes);
    return weft__hypers_complete(o->ops, o->group[0].self);
}

weft_optimizer *weft_optimizer_new(weft_module *m, const weft_optim_ops *ops, const void *self,
                                   size_t bytes, double lr)
{
    if (!m)
        return NULL;
    weft_fabric *f = m->object.fabric;
    weft_status s = complete(ops, bytes);
    if (!s)
        s = weft__optim_free_of_others(ops, NULL, m);
    if (!s && bytes && !self)
        s = weft__fail(WEFT_EARG, "%s has %zu bytes at NULL", ops->name, bytes);
    if (!s && (!(lr > 0) || !isfinite(lr)))
        s = weft__fail(WEFT_EARG, "%s: the learning rate %g is not above 0", ops->name, lr);
    if (s)
        return stuck(f, s);
    weft_optimizer *o = weft__object_new(f, WEFT__OPTIM, sizeof *o, destroy);
    if (!o)
        return NULL;
    o->ops = ops;
    o->bytes = bytes;
    s = fill(o, self, lr);
    if (s) {
        weft__object_free(&o->object);
        return stuck(f, s);
    }
    o->module = m;
    return o;
}

weft__flat *weft__optim_flat(const weft_optimizer *o)
{
    const weft_module *root = weft__module_root(o->module);
    for (int i = 0; i < root->flats; i++)
        if (root->flat[i]->trainable)
            return root->flat[i];
    return NULL;
}

weft_status weft__optim_free_of_others(const weft_optim_ops *ops, const weft_optimizer *mine,
                                       weft_module *m)
{
    for (weft__object *i = weft__object_first(m->object.fabric, WEFT__OPTIM); i;
         i = weft__object_after(i)) {
        const weft_optimizer *o = (const weft_optimizer *)i;
        if (o == mine || !o->module)
            continue;
        if (o->module == m)
            return weft__fail(WEFT_ESTATE, "%s: the module already has an optimizer, %s", ops->name,
                              o->ops->name);
        const bool part = weft__module_below(m, o->module);
        if (part || weft__module_below(o->module, m))
            return weft__fail(WEFT_ESTATE,
                              "%s: %s \"%s\" already has an optimizer, %s; parameters have one",
                              ops->name, part ? "the module is part of what" : "its part",
                              (part ? m : o->module)->name, o->ops->name);
    }
    return WEFT_OK;
}

/* A plane for each moment that some group uses; other optimizers of the tree may share it. */
static weft_status moments(weft_optimizer *o, weft__flat *flat)
{
    for (int k = 0; k < o->ops->moments; k++)
        if (o->uses & 1u << k && !flat->plane[WEFT__MOMENT0 + k].addr)
            WEFT_TRY(weft__flat_plane(flat, (weft__plane)(WEFT__MOMENT0 + k)));
    return WEFT_OK;
}

static weft_status start(const weft_optimizer *o, const weft__segment *s)
{
    const weft_fabric *f = s->flat->fabric;
    for (int k = 0; k < o->ops->moments && o->ops->start; k++) {
        const weft__plane p = (weft__plane)(WEFT__MOMENT0 + k);
        const double at = o->uses & 1u << k ? o->ops->start(o->group[s->group].self, k) : 0;
        weft__range own = {0};
        while (at != 0 && weft__flat_own(s->flat, s->first, s->count, &own))
            WEFT_TRY(f->device->ops->kernels->fill(f->stream, weft__flat_at(s->flat, p, own.first),
                                                   own.count, at, s->flat->type[p]));
    }
    return WEFT_OK;
}

/* Memory for the update of the largest tensor that this rank has; a step asks for none. */
static weft_status make_room(weft_optimizer *o, const weft__flat *flat)
{
    size_t most = 0;
    for (int i = 0; i < flat->nsegments && o->ops->scratch; i++) {
        const weft__segment *s = flat->segment[i];
        weft__range own = {0};
        if (!weft__optim_owns(o, s) || !weft__flat_own(flat, s->first, s->count, &own))
            continue;
        const size_t bytes =
            o->ops->scratch(o->group[s->group].self, s->rank, s->shape, flat->type[WEFT__PARAM]);
        most = bytes > most ? bytes : most;
    }
    if (most)
        WEFT_TRY(weft_device_alloc(o->object.fabric->device, most, WEFT_MEMORY_OTHER, &o->scratch));
    o->scratch_bytes = most;
    return WEFT_OK;
}

weft_status weft__optim_setup(weft_optimizer *o)
{
    weft__flat *flat = weft__optim_flat(o);
    WEFT_TRY(weft__optim_free_of_others(o->ops, o, o->module));
    WEFT_TRY(weft__groups_settle(o));
    for (size_t i = 0; i < o->groups; i++)
        o->uses |= o->ops->uses ? o->ops->uses(o->group[i].self) : ~0u;
    if (flat && flat->cut && o->ops->whole_tensors)
        WEFT_TRY(weft__flat_cut_whole(flat, o->ops->name));
    if (flat)
        WEFT_TRY(moments(o, flat));
    if (flat)
        WEFT_TRY(make_room(o, flat));
    for (int i = 0; flat && i < flat->nsegments; i++)
        if (weft__optim_owns(o, flat->segment[i]))
            WEFT_TRY(start(o, flat->segment[i]));
    return o->ops->search ? weft__vector_open(o) : WEFT_OK;
}

weft_status weft__optim_begin(weft_optimizer *o)
{
    for (size_t i = 0; i < o->groups; i++) {
        double rate = o->group[i].rate = weft__optim_rate(o, (int)i);
        if (!(rate >= 0) || !isfinite(rate))
            return weft__fail(WEFT_EUSER,
                              "%s: the schedule gives %g as the learning rate of group %zu at step "
                              "%lld; it must be a number from 0 up",
                              o->ops->name, rate, i, (long long)o->steps);
    }
    return WEFT_OK;
}

weft_status weft__optim_state(void *optimizer, weft_visitor *v)
{
    weft_optimizer *o = optimizer;
    for (int k = 0; k < o->ops->moments; k++) {
        if (!(o->uses & 1u << k))
            continue;
        WEFT_TRY(weft_state_enter(v, o->ops->moment_name[k]));
        WEFT_TRY(weft__module_plane_state(o->module, (weft__plane)(WEFT__MOMENT0 + k), v));
        weft_state_leave(v);
    }
    WEFT_TRY(weft_state_i64(v, "steps", &o->steps));
    WEFT_TRY(weft__schedule_state(&o->schedule, v));
    if (o->ops->vectors)
        WEFT_TRY(o->ops->vectors(o->group[0].self, &o->vector, v));
    return o->ops->state ? o->ops->state(o->group[0].self, v) : WEFT_OK;
}

int64_t weft_steps(const weft_optimizer *o)
{
    if (o && o->unknown)
        weft__late_read(o->object.fabric);
    return o ? o->steps : 0;
}
