/* Finding one's way in a tree of modules, freezing parts of it, and second names of parameters. */
#include "core/env.h"
#include "core/shape.h"
#include "nn/module.h"

#include <string.h>

/* What follows "name." in path, or NULL. */
static const char *behind(const char *path, const char *name)
{
    size_t n = strlen(name);
    return strncmp(path, name, n) == 0 && path[n] == '.' ? path + n + 1 : NULL;
}

weft__param *weft__param_at(weft_module *root, const char *path)
{
    weft__param *p = NULL;
    for (size_t i = 0; i < root->params; i++)
        if (strcmp(root->param[i]->name, path) == 0)
            return root->param[i];
    for (size_t i = 0; i < root->children && !p; i++) {
        const char *rest = behind(path, root->child[i]->name);
        p = rest ? weft__param_at(root->child[i], rest) : NULL;
    }
    return p;
}

weft__param *weft__param_itself(weft__param *p)
{
    while (p->tied)
        p = p->tied;
    return p;
}

/* The child nearest to the word that nobody has is told. */
static weft_module *step(weft_module *m, const char *path, const char **near)
{
    for (size_t i = 0; i < m->children; i++) {
        weft_module *c = m->child[i], *found = NULL;
        const char *rest = behind(path, c->name);
        const char *const both[] = {*near ? *near : c->name, c->name};
        if (strcmp(c->name, path) == 0)
            return c;
        if (rest && (found = step(c, rest, near)))
            return found;
        *near = rest ? *near : weft__nearest(path, both, 2);
    }
    return NULL;
}

weft_module *weft_module_at(weft_module *m, const char *path)
{
    const char *near = NULL;
    if (!m || (path && !*path))
        return m;
    if (!path) {
        weft__note(m->object.fabric, weft__fail(WEFT_EARG, "weft_module_at: the path is NULL"));
        return NULL;
    }
    weft_module *found = step(m, path, &near);
    if (!found)
        weft__note(m->object.fabric,
                   weft__fail(WEFT_ENOENT, "weft_module_at: there is no module \"%.80s\"%s%s%s",
                              path, near ? "; did you mean \"" : "", near ? near : "",
                              near ? "\"?" : ""));
    return found;
}

int64_t weft_children(const weft_module *m)
{
    return m ? (int64_t)m->children : 0;
}

weft_module *weft_child(const weft_module *m, int64_t i)
{
    return m && i >= 0 && i < (int64_t)m->children ? m->child[i] : NULL;
}

const char *weft_module_name(const weft_module *m)
{
    return m && m->name ? m->name : "";
}

const char *weft_module_kind(const weft_module *m)
{
    return m ? m->ops->name : "";
}

static weft_status may_thaw(weft_module *m)
{
    for (size_t i = 0; i < m->params; i++) {
        const weft__segment *s = &weft__param_itself(m->param[i])->segment;
        if (s->flat && !s->flat->trainable)
            return weft__fail(WEFT_ESTATE,
                              "weft_freeze: %s was frozen when it got its memory and has no "
                              "gradient; freeze it after weft_setup to thaw it later",
                              s->name);
    }
    for (size_t i = 0; i < m->children; i++)
        WEFT_TRY(may_thaw(m->child[i]));
    return WEFT_OK;
}

/* All names of a parameter want a gradient, or none. */
static void tell(weft_module *m, const weft__param *itself, bool wants)
{
    for (size_t i = 0; i < m->params; i++)
        if (weft__param_itself(m->param[i]) == itself)
            weft__tensor_at(m->param[i]->segment.tensor, NULL)->wants_grad = wants;
    for (size_t i = 0; i < m->children; i++)
        tell(m->child[i], itself, wants);
}

void weft__param_freeze(weft__param *p, bool frozen)
{
    p = weft__param_itself(p);
    if (p->segment.flat && p->segment.frozen != frozen)
        weft__segment_changed(&p->segment, frozen);
    p->segment.frozen = frozen;
    tell(weft__module_root(p->owner), p, !frozen);
}

static void freeze(weft_module *m, bool frozen)
{
    for (size_t i = 0; i < m->params; i++)
        weft__param_freeze(m->param[i], frozen);
    for (size_t i = 0; i < m->children; i++)
        freeze(m->child[i], frozen);
}

weft_status weft_freeze(weft_module *m, bool frozen)
{
    if (!m)
        return WEFT_EARG;
    weft_status s = frozen ? WEFT_OK : may_thaw(m);
    if (s)
        return weft__stick(m->object.fabric, s);
    freeze(m, frozen);
    return WEFT_OK;
}

static weft_status find(weft_module *root, const char *name, weft__param **out)
{
    *out = weft__param_at(root, name);
    return *out ? WEFT_OK : weft__fail(WEFT_ENOENT, "there is no parameter \"%.80s\"", name);
}

static weft_status tie(weft_module *root, const char *name, const char *other)
{
    weft__param *p, *q;
    char a[WEFT__SHAPE_TEXT], b[WEFT__SHAPE_TEXT];
    if (root->all)
        return weft__fail(WEFT_ESTATE,
                          "weft_tie: %s after the module got its memory; call it "
                          "before weft_setup",
                          name);
    WEFT_TRY(find(root, name, &p));
    WEFT_TRY(find(root, other, &q));
    q = weft__param_itself(q);
    if (p->tied || p == q)
        return weft__fail(WEFT_ESTATE, "weft_tie: %s is another name of a parameter already", name);
    if (!weft__same_shape(p->segment.rank, p->segment.shape, q->segment.rank, q->segment.shape))
        return weft__fail(WEFT_ESHAPE, "weft_tie: %s is %s, %s is %s", name,
                          weft__shape_text(p->segment.rank, p->segment.shape, a), other,
                          weft__shape_text(q->segment.rank, q->segment.shape, b));
    p->tied = q;
    weft__tensor *t = weft__tensor_at(p->segment.tensor, NULL);
    t->segment = &q->segment;
    t->wants_grad = !q->segment.frozen;
    return WEFT_OK;
}

weft_status weft_tie(weft_module *m, const char *name, const char *other)
{
    if (!m)
        return WEFT_EARG;
    weft_status s = name && other ? tie(weft__module_root(m), name, other)
                                  : weft__fail(WEFT_EARG, "weft_tie: a name is NULL");
    return s ? weft__stick(m->object.fabric, s) : WEFT_OK;
}
