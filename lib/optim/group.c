/* Hyperparameters and groups: which parameters have which. */
#include "core/alloc.h"
#include "core/env.h"
#include "core/hash.h"
#include "optim/optimizer.h"

#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define MEMBER(name)                                                                               \
    {                                                                                              \
#name, offsetof(weft_group_options, name)                                                  \
    }
static const struct {
    const char *name;
    size_t at;
} member[] = {MEMBER(weight_decay), MEMBER(momentum), MEMBER(dampening),
              MEMBER(beta1),        MEMBER(beta2),    MEMBER(eps),
              MEMBER(alpha),        MEMBER(lr_decay), MEMBER(adamw)};
#define MEMBERS (sizeof member / sizeof member[0])

static double *value(const weft_hyper *h, void *self)
{
    return (double *)((char *)self + h->at);
}

static weft_status in_range(const weft_optim_ops *ops, const weft_hyper *h, double v)
{
    if (v >= h->least && v < h->below)
        return WEFT_OK;
    return isinf(h->below) ? weft__fail(WEFT_EARG, "%s: %s is %g; it must be a number from %g up",
                                        ops->name, h->name, v, h->least)
                           : weft__fail(WEFT_EARG, "%s: %s is %g; it must be in [%g, %g)",
                                        ops->name, h->name, v, h->least, h->below);
}

weft_status weft__hypers_complete(const weft_optim_ops *ops, void *self)
{
    for (int i = 0; i < ops->hypers; i++) {
        const weft_hyper *h = &ops->hyper[i];
        double *v = value(h, self);
        *v = *v == 0 ? h->standard : *v == WEFT_OFF && h->standard != 0 ? 0 : *v;
        WEFT_TRY(in_range(ops, h, *v));
    }
    return WEFT_OK;
}

static const weft_hyper *find(const weft_optim_ops *ops, const char *name)
{
    for (int i = 0; i < ops->hypers; i++)
        if (strcmp(ops->hyper[i].name, name) == 0)
            return &ops->hyper[i];
    return NULL;
}

static weft_status override(const weft_optim_ops *ops, void *self, const weft_group_options *g)
{
    for (size_t i = 0; i < MEMBERS; i++) {
        double v = *(const double *)((const char *)g + member[i].at);
        const weft_hyper *h = v == 0 ? NULL : find(ops, member[i].name);
        if (v == 0)
            continue;
        if (!h)
            return weft__fail(WEFT_EARG, "weft_group: %s has no %s", ops->name, member[i].name);
        *value(h, self) = v == WEFT_OFF ? 0 : v;
        WEFT_TRY(in_range(ops, h, *value(h, self)));
    }
    return WEFT_OK;
}

static weft_status rate_of(const weft_optim_ops *ops, double given, double *lr)
{
    *lr = given == WEFT_OFF ? 0 : given == 0 ? -1 : given;
    return given == 0 || (*lr >= 0 && isfinite(*lr))
               ? WEFT_OK
               : weft__fail(WEFT_EARG,
                            "weft_group: the learning rate %g of a group of %s is not above 0",
                            given, ops->name);
}

static void drop(weft__group *g)
{
    weft__free(g->pattern);
    weft__free(g->self);
}

static weft_status add(weft_optimizer *o, const char *pattern, const weft_module *part,
                       const weft_group_options *given)
{
    weft__group g = {.part = part};
    if (o->setup)
        return weft__fail(WEFT_ESTATE, "weft_group: %s was set up before", o->ops->name);
    if (o->ops->search)
        return weft__fail(WEFT_ENOTSUP, "weft_group: %s has no groups", o->ops->name);
    WEFT_TRY(rate_of(o->ops, given->lr, &g.lr));
    WEFT_TRY(weft__grow(&o->group, &o->room, o->groups + 1, sizeof *o->group));
    g.pattern = pattern ? weft__strdup(pattern) : NULL;
    g.self = weft__new(1, o->bytes ? o->bytes : 1);
    weft_status s = g.self && (g.pattern || !pattern) ? WEFT_OK : WEFT_ENOMEM;
    if (!s) {
        if (o->bytes)
            memcpy(g.self, o->group[0].self, o->bytes);
        s = override(o->ops, g.self, given);
    }
    if (!s)
        o->group[o->groups++] = g;
    else
        drop(&g);
    return s;
}

weft_status weft_group(weft_optimizer *o, const char *pattern, const weft_group_options *g)
{
    static const weft_group_options none;
    if (!o)
        return WEFT_EARG;
    weft_status s =
        pattern && *pattern
            ? add(o, pattern, NULL, g ? g : &none)
            : weft__fail(WEFT_EARG, "weft_group: the pattern is empty; \"*\" takes all");
    return s ? weft__stick(o->object.fabric, s) : WEFT_OK;
}

weft_status weft_group_module(weft_optimizer *o, weft_module *part, const weft_group_options *g)
{
    static const weft_group_options none;
    if (!o)
        return WEFT_EARG;
    weft_status s = part ? add(o, NULL, part, g ? g : &none)
                         : weft__fail(WEFT_EARG, "weft_group_module: the module is NULL");
    return s ? weft__stick(o->object.fabric, s) : WEFT_OK;
}

static bool takes(const weft__group *g, const weft__param *p)
{
    return g->pattern ? fnmatch(g->pattern, p->path, 0) == 0
                      : weft__module_below(p->owner, g->part);
}

static weft_status takes_none(const weft_optimizer *o, size_t group)
{
    const weft__group *g = &o->group[group];
    const weft_module *root = weft__module_root(o->module);
    const char *near = NULL;
    for (size_t i = 0; g->pattern && i < root->nall; i++) {
        const char *const both[] = {near ? near : root->all[i]->path, root->all[i]->path};
        if (weft__module_below(root->all[i]->owner, o->module))
            near = weft__nearest(g->pattern, both, 2);
    }
    return weft__fail(WEFT_ENOENT,
                      "weft_setup: group %zu of %s, %s%s%s, takes no parameter of its "
                      "module%s%s%s",
                      group, o->ops->name, g->pattern ? "\"" : "a module",
                      g->pattern ? g->pattern : "", g->pattern ? "\"" : "",
                      near ? "; the nearest is \"" : "", near ? near : "", near ? "\"" : "");
}

weft_status weft__groups_settle(weft_optimizer *o)
{
    const weft_module *root = weft__module_root(o->module);
    for (size_t k = 1; k < o->groups; k++) {
        bool any = false;
        for (size_t i = 0; i < root->nall && !any; i++)
            any = !root->all[i]->tied && weft__module_below(root->all[i]->owner, o->module) &&
                  takes(&o->group[k], root->all[i]);
        if (!any)
            return takes_none(o, k);
    }
    for (size_t i = 0; i < root->nall; i++) {
        weft__segment *s = &root->all[i]->segment;
        if (root->all[i]->tied || !weft__module_below(root->all[i]->owner, o->module))
            continue;
        s->optimizer = o;
        s->group = 0;
        for (size_t k = 1; k < o->groups; k++)
            if (takes(&o->group[k], root->all[i]))
                s->group = (int)k;
    }
    return WEFT_OK;
}

void weft__groups_free(weft_optimizer *o)
{
    for (size_t i = 0; i < o->groups; i++)
        drop(&o->group[i]);
    weft__free(o->group);
}

/* The groups themselves and who is in which (every rank's parameters have the same names), and the
 * schedule. */
void weft__optim_digest(const weft_optimizer *o, char *text, size_t size)
{
    const weft_module *root = weft__module_root(o->module);
    uint64_t h = WEFT__HASH;
    char line[128];
    for (size_t k = 0; k < o->groups; k++) {
        snprintf(line, sizeof line, "%.17g;", o->group[k].lr);
        h = weft__hash_text(h, line);
        for (int i = 0; i < o->ops->hypers; i++) {
            snprintf(line, sizeof line, "%s %.17g;", o->ops->hyper[i].name,
                     *value(&o->ops->hyper[i], o->group[k].self));
            h = weft__hash_text(h, line);
        }
    }
    for (int64_t i = 0; weft__schedule_text(&o->schedule, i, line, sizeof line); i++)
        h = weft__hash_text(h, line);
    for (size_t i = 0; i < root->nall; i++) {
        const weft__segment *s = &root->all[i]->segment;
        snprintf(line, sizeof line, "%d,", s->optimizer == o ? s->group : -1);
        h = weft__hash_text(h, line);
    }
    snprintf(text, size, "%s, lr %g, %zu groups, digest %016llx", o->ops->name, o->group[0].lr,
             o->groups, (unsigned long long)h);
}

int weft_group_count(const weft_optimizer *o)
{
    return o ? (int)o->groups : 0;
}

double weft__optim_rate(const weft_optimizer *o, int group)
{
    const double own = o->group[group].lr;
    return weft__schedule_rate(&o->schedule, own < 0 ? o->group[0].lr : own, o->steps, group);
}

double weft_group_lr(const weft_optimizer *o, int group)
{
    if (!o || group < 0 || (size_t)group >= o->groups)
        return NAN;
    weft_steps(o);
    return weft__optim_rate(o, group);
}

double weft_lr(const weft_optimizer *o)
{
    return weft_group_lr(o, 0);
}

weft_status weft_set_group_lr(weft_optimizer *o, int group, double lr)
{
    if (!o)
        return WEFT_EARG;
    weft_status s = WEFT_OK;
    if (group < 0 || (size_t)group >= o->groups)
        s = weft__fail(WEFT_EARG, "weft_set_group_lr: %s has groups 0 to %zu, not %d", o->ops->name,
                       o->groups - 1, group);
    else if (!(lr >= 0) || !isfinite(lr))
        s = weft__fail(WEFT_EARG, "weft_set_lr: the learning rate %g is not a number from 0 up",
                       lr);
    if (s)
        return weft__note(o->object.fabric, s);
    o->group[group].lr = lr;
    return WEFT_OK;
}

weft_status weft_set_lr(weft_optimizer *o, double lr)
{
    return weft_set_group_lr(o, 0, lr);
}
