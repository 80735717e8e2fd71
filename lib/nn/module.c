/* Making, joining and running modules. */
#include "nn/module.h"

#include "core/alloc.h"

#include <math.h>
#include <string.h>

static void destroy(weft__object *o)
{
    weft_module *m = (weft_module *)o;
    if (m->ops->destroy)
        m->ops->destroy(m->self);
    for (int i = 0; i < m->flats; i++)
        weft__flat_free(m->flat[i]);
    weft__flat_free(m->space);
    for (size_t i = 0; i < m->params; i++)
        weft__param_free(m->param[i]);
    for (size_t i = 0; i < m->buffers; i++)
        weft__param_free(m->buffer[i]);
    weft__free(m->param);
    weft__free(m->buffer);
    weft__free(m->held);
    weft__free(m->child);
    weft__free(m->all);
    weft__free(m->name);
    weft__free(m->self);
}

static weft_module *stuck(weft_fabric *f, weft_status code)
{
    weft__stick(f, code);
    return NULL;
}

weft_module *weft_module_new(weft_fabric *f, const weft_module_ops *ops, const void *self,
                             size_t bytes)
{
    if (!ops || ops->size != sizeof *ops || !ops->name || !ops->forward)
        return stuck(f, weft__fail(WEFT_EARG,
                                   "the table of module %s is incomplete: name and forward are "
                                   "required",
                                   ops && ops->name ? ops->name : "?"));
    if (bytes && !self)
        return stuck(f, weft__fail(WEFT_EARG, "module %s has %zu bytes at NULL", ops->name, bytes));
    weft_module *m = weft__object_new(f, WEFT__MODULE, sizeof *m, destroy);
    if (!m)
        return NULL;
    m->ops = ops;
    m->training = true;
    if (!(m->self = weft__new(1, bytes ? bytes : 1)))
        return stuck(f, WEFT_ENOMEM); /* freed with the fabric */
    if (bytes)
        memcpy(m->self, self, bytes);
    return m;
}

weft_module *weft__module_root(weft_module *m)
{
    while (m->parent)
        m = m->parent;
    return m;
}

bool weft__module_below(const weft_module *m, const weft_module *top)
{
    while (m && m != top)
        m = m->parent;
    return m == top;
}

/* Names are joined by dots, and by slashes in checkpoints. */
static weft_status fit_name(const char *what, const char *name)
{
    if (name && *name && !strpbrk(name, "./"))
        return WEFT_OK;
    return weft__fail(WEFT_EARG, "%s: the name %s%.80s%s is unfit; give one without dot or slash",
                      what, name ? "\"" : "", name ? name : "NULL", name ? "\"" : "");
}

static weft_status fit_start(const char *name, const weft_init *i)
{
    if (isfinite(i->lo) && isfinite(i->hi) && isfinite(i->mean) && isfinite(i->std) &&
        i->lo <= i->hi && i->std >= 0 && i->zero_first >= 0 && i->zero_count >= 0)
        return WEFT_OK;
    return weft__fail(WEFT_EARG,
                      "parameter %s starts with lo %g, hi %g, mean %g, std %g; they are finite, lo "
                      "is not above hi and std not below 0",
                      name, i->lo, i->hi, i->mean, i->std);
}

void weft__param_free(weft__param *p)
{
    weft__free(p->name);
    weft__free(p->path);
    weft__free(p);
}

static weft_status is_new(const weft_module *m, const char *name)
{
    for (size_t i = 0; i < m->params + m->buffers; i++) {
        const bool param = i < m->params;
        if (strcmp((param ? m->param[i] : m->buffer[i - m->params])->name, name) == 0)
            return weft__fail(WEFT_EARG, "module %s has a %s %s already", m->ops->name,
                              param ? "parameter" : "buffer", name);
    }
    return WEFT_OK;
}

weft_status weft__param_make(const char *who, weft_module *m, const char *name, int rank,
                             const int64_t *shape, weft_init init, weft_dtype dtype,
                             weft__param **out)
{
    weft_view v = {.dtype = dtype, .rank = rank};
    weft__param *p;
    weft__tensor *t;
    WEFT_TRY(fit_name(who, name));
    WEFT_TRY(fit_start(name, &init));
    if (rank > 0 && !shape)
        return weft__fail(WEFT_EARG, "parameter %s: its shape is NULL", name);
    if (weft__module_root(m)->all)
        return weft__fail(WEFT_ESTATE, "parameter %s comes after the module got its memory", name);
    WEFT_TRY(is_new(m, name));
    if (rank > 0 && rank <= WEFT_MAX_RANK) /* of another, weft__view_pack tells */
        memcpy(v.shape, shape, (size_t)rank * sizeof *shape);
    WEFT_TRY(weft__view_pack(&v));
    if (!(p = weft__new(1, sizeof *p)))
        return WEFT_ENOMEM;
    p->owner = m;
    p->name = weft__strdup(name);
    p->segment = (weft__segment){.name = p->name, .init = init, .count = v.numel, .rank = rank};
    memcpy(p->segment.shape, v.shape, sizeof v.shape);
    if (!p->name || !(p->segment.tensor = weft__tensor_new(m->object.fabric, &v, false, &t))) {
        weft__param_free(p);
        return WEFT_ENOMEM;
    }
    t->segment = &p->segment;
    *out = p;
    return WEFT_OK;
}

static weft_status add_param(weft_module *m, const char *name, int rank, const int64_t *shape,
                             weft_init init, weft_tensor **out)
{
    weft__param *p;
    WEFT_TRY(weft__grow(&m->param, &m->param_room, m->params + 1, sizeof *m->param));
    WEFT_TRY(weft__param_make("weft_module_param", m, name, rank, shape, init,
                              m->object.fabric->dtype, &p));
    m->param[m->params++] = p;
    weft__tensor_at(p->segment.tensor, NULL)->wants_grad = true;
    *out = p->segment.tensor;
    return WEFT_OK;
}

weft_tensor *weft_module_param(weft_module *m, const char *name, int rank, const int64_t *shape,
                               weft_init init)
{
    weft_tensor *out = NULL;
    if (!m)
        return NULL;
    weft_status s = add_param(m, name, rank, shape, init, &out);
    if (s)
        weft__stick(m->object.fabric, s);
    return s ? NULL : out;
}

static weft_status adopt(weft_module *m, const char *name, weft_module *child)
{
    WEFT_TRY(fit_name("weft_module_child", name));
    if (child->object.fabric != m->object.fabric)
        return weft__fail(WEFT_EHANDLE, "module %s (%s) belongs to another fabric", name,
                          child->ops->name);
    if (child->parent)
        return weft__fail(WEFT_ESTATE, "module %s (%s) already has a parent", name,
                          child->ops->name);
    if (child == weft__module_root(m))
        return weft__fail(WEFT_ESTATE, "module %s (%s) would be part of itself", name,
                          child->ops->name);
    for (size_t i = 0; i < m->children; i++)
        if (strcmp(m->child[i]->name, name) == 0)
            return weft__fail(WEFT_EARG, "module %s has a child %s already", m->ops->name, name);
    if (weft__module_root(m)->all || child->nall)
        return weft__fail(WEFT_ESTATE, "module %s joins after one of the two got its memory", name);
    WEFT_TRY(weft__grow(&m->child, &m->child_room, m->children + 1, sizeof(weft_module *)));
    if (!(child->name = weft__strdup(name)))
        return WEFT_ENOMEM;
    m->child[m->children++] = child;
    child->parent = m;
    return WEFT_OK;
}

weft_module *weft_module_child(weft_module *m, const char *name, weft_module *child)
{
    if (!m || !child)
        return NULL;
    weft_status s = adopt(m, name, child);
    if (s)
        weft__stick(m->object.fabric, s);
    return s ? NULL : child;
}

/* At the door of the outermost module: x in the type that it is to have, if it has another one of
 * floating point. */
static weft_tensor *at_door(weft_fabric *f, weft_tensor *x, weft_dtype to)
{
    const weft__tensor *t = weft__tensor_at(x, &f);
    if (!t || !weft__is_float(t->view.dtype) || t->view.dtype == to)
        return x;
    return weft_apply(f, &weft__op_cast, 1, &x, &to);
}

static weft_status enter(weft_module *m)
{
    WEFT_TRY(weft__module_materialise(weft__module_root(m)));
    return weft__tape_mark(m->object.fabric, m, true);
}

static weft_tensor *call(weft_module *m, weft_tensor *x)
{
    return m->ops->forward(m, m->self, x);
}

/* Mixed precision leaves the inputs to the ops; 16 bits do not leave the module. */
static weft_tensor *run(weft_module *m, weft_tensor *x)
{
    weft_fabric *f = m->object.fabric;
    weft__tape *tape = f->tape;
    const bool outer = tape->forwards == 0, low = tape->low != WEFT_DEFAULT;
    const bool mixed = low && tape->low != f->dtype;
    weft_status s = enter(m);
    if (s && !weft__stuck(f))
        weft__stick(f, s);
    weft_tensor *y = s ? NULL : outer && !mixed ? at_door(f, x, f->dtype) : x;
    tape->forwards++;
    if (s)
        y = call(m, NULL); /* what is below may meet other ranks */
    else
        y = m->recompute ? weft__tape_recompute(f, m, y, call) : call(m, y);
    tape->forwards--;
    if (!s)
        s = weft__tape_mark(f, m, false);
    if (s && !weft__stuck(f))
        weft__stick(f, s);
    return s ? NULL : outer && low ? at_door(f, y, WEFT_F32) : y;
}

weft_tensor *weft_forward(weft_module *m, weft_tensor *x)
{
    return m ? run(m, x) : NULL;
}

void weft_train(weft_module *m, bool training)
{
    if (!m)
        return;
    m->training = training;
    for (size_t i = 0; i < m->children; i++)
        weft_train(m->child[i], training);
}

bool weft_is_training(const weft_module *m)
{
    return m && m->training && !m->object.fabric->tape->eval;
}

void weft_recompute(weft_module *m, bool on)
{
    if (m)
        m->recompute = on;
}

bool weft_is_recomputing(const weft_module *m)
{
    return m && m->object.fabric->tape->replays > 0;
}

const weft_module_ops *weft_module_table(const weft_module *m)
{
    return m ? m->ops : NULL;
}

void *weft_module_self(weft_module *m)
{
    return m ? m->self : NULL;
}

weft_fabric *weft_module_fabric(const weft_module *m)
{
    return m ? m->object.fabric : NULL;
}
