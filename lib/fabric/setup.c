/* Putting modules, optimizers and loaders under the strategy. */
#include "data/loader.h"
#include "fabric/facade.h"
#include "optim/optimizer.h"

/* Setup is collective: what fails on one rank fails on all. */
static weft_status together(weft_fabric *f, weft_status mine)
{
    if (mine < 0)
        weft__stick(f, mine);
    return weft__agree_on_errors(f);
}

static weft_status same_home(const weft_fabric *f, const weft_fabric *home, const char *what)
{
    return f == home
               ? WEFT_OK
               : weft__fail(WEFT_EHANDLE, "weft_setup: the %s belongs to another fabric", what);
}

static weft_status prepare(weft_fabric *f, weft_module *m)
{
    if (!m)
        return weft__fail(WEFT_EARG, "weft_setup: the module is NULL");
    WEFT_TRY(same_home(f, m->object.fabric, "module"));
    if (m->parent)
        return weft__fail(WEFT_EARG, "weft_setup: the module is part of another; set up the whole");
    if (m->setup)
        return weft__fail(WEFT_ESTATE, "weft_setup: the module was set up before; once is enough");
    if (f->leaves && weft__module_meets(m))
        return weft__fail(
            WEFT_ENOTSUP,
            "weft_setup: reproducible=%d computes a step's micro-batches one by one, and "
            "synchronised batchnorm takes all ranks' together; use batchnorm without "
            ".sync, or groupnorm",
            f->leaves);
    return weft__module_materialise(m);
}

static weft_status spread(weft_fabric *f, weft_module *m)
{
    for (int i = 0; i < m->flats; i++) {
        m->flat[i]->scopes = &m->scopes;
        WEFT_TRY(weft__comm_enlist(f->comm, m->flat[i]->plane[WEFT__PARAM]));
        WEFT_TRY(weft__strategy_setup(f->facade->strategy, m->flat[i]));
        weft__flat_written(m->flat[i]);
        m->flat[i]->changed = 0; /* rank 0's parameters are everyone's now */
        WEFT_TRY(weft__agree(f->comm, "memory of the tree", weft__leaves_setup(f, m->flat[i]), ""));
    }
    if (m->space) {
        WEFT_TRY(weft__comm_enlist(f->comm, m->space->plane[WEFT__PARAM]));
        weft__flat_written(m->space);
    }
    WEFT_TRY(weft__strategy_meet(f->facade->strategy, weft__module_meets(m)));
    m->setup = true;
    WEFT_TRY(weft__buffers_spread(f, m));
    m->number = f->facade->modules++;
    return WEFT_OK;
}

weft_status weft_setup_module(weft_fabric *f, weft_module *m)
{
    if (!weft__opened(f))
        return weft__stuck(f);
    char digest[64] = "";
    weft_status s = weft__stuck(f) ? weft__stuck(f) : prepare(f, m);
    if (!s)
        s = weft__module_digest(m, digest, sizeof digest);
    WEFT_TRY(together(f, s));
    s = weft__agree_text(f->comm, "module", "the module given to weft_setup", digest);
    if (!s)
        s = spread(f, m);
    return together(f, s);
}

static weft_status moments(weft_fabric *f, weft_optimizer *o)
{
    if (!o)
        return weft__fail(WEFT_EARG, "weft_setup_optimizer: the optimizer is NULL");
    WEFT_TRY(same_home(f, o->object.fabric, "optimizer"));
    if (o->setup)
        return weft__fail(WEFT_ESTATE, "weft_setup: the optimizer was set up before; once is "
                                       "enough");
    if (!weft__module_root(o->module)->setup)
        return weft__fail(WEFT_ESTATE, "weft_setup: set up the optimizer's module first");
    const weft__flat *flat = weft__optim_flat(o);
    if (o->ops->search && flat && flat->cut)
        return weft__fail(WEFT_ENOTSUP,
                          "weft_setup: %s needs all parameters on every rank, and "
                          "strategy %s shards them",
                          o->ops->name, f->facade->strategy->ops->name);
    if (o->ops->search && f->facade->scaler.on)
        return weft__fail(WEFT_ENOTSUP,
                          "weft_setup: %s evaluates the loss several times a step, which a loss "
                          "scale cannot follow; use bf16-mixed or 32-true, or init_scale=off",
                          o->ops->name);
    f->device->who = o->ops->name;
    weft_status s = weft__optim_setup(o);
    f->device->who = NULL;
    return s;
}

weft_status weft_setup_optimizer(weft_fabric *f, weft_optimizer *o)
{
    if (!weft__opened(f))
        return weft__stuck(f);
    char digest[128] = "";
    weft_status s = weft__stuck(f) ? weft__stuck(f) : moments(f, o);
    WEFT_TRY(together(f, s));
    weft__optim_digest(o, digest, sizeof digest);
    s = weft__agree_text(f->comm, "optimizer", "the optimizer given to weft_setup", digest);
    WEFT_TRY(together(f, s));
    o->setup = true;
    o->number = f->facade->optimizers++;
    return WEFT_OK;
}

weft_status weft_setup(weft_fabric *f, weft_module *m, weft_optimizer *o)
{
    WEFT_TRY(weft_setup_module(f, m));
    WEFT_TRY(weft__meet(f, WEFT_OK, "the optimizer given to weft_setup", o ? "one" : "NULL"));
    return o ? weft_setup_optimizer(f, o) : WEFT_OK;
}

weft_status weft_setup_loader(weft_fabric *f, weft_loader *l)
{
    if (!weft__opened(f))
        return weft__stuck(f);
    char text[256] = "";
    weft_status s = weft__stuck(f);
    if (!s && !l)
        s = weft__fail(WEFT_EARG, "weft_setup_loader: the loader is NULL");
    if (!s)
        s = same_home(f, weft__loader_fabric(l), "loader");
    if (!s)
        s = weft__loader_setup(l);
    WEFT_TRY(together(f, s));
    weft__loader_text(l, text, sizeof text);
    s = weft__agree_text(f->comm, "loader", "the loader given to weft_setup_loader", text);
    WEFT_TRY(together(f, s));
    if (!f->facade->loader && !weft__loader_is_evaluation(l))
        f->facade->loader = l;
    return WEFT_OK;
}
