/* One module after the other. Where a child can do its own work and the next one's at once, it
 * does; both still count as modules. */
#include "nn/module.h"

#include <stdio.h>

static weft_tensor *both(weft_module *m, weft_module *next, weft_tensor *x)
{
    weft_fabric *f = m->object.fabric;
    weft_tensor *y;
    size_t nodes = f->tape->nodes;
    if (!m->ops->fused || !next || m->recompute || next->recompute || weft__tape_mark(f, m, true))
        return NULL;
    y = m->ops->fused(m, m->self, x, next);
    if (!y) { /* it cannot: as if nobody had asked */
        weft__tape_cut(f->tape, nodes);
        return NULL;
    }
    if (weft__tape_mark(f, m, false) || weft__tape_mark(f, next, true) ||
        weft__tape_mark(f, next, false))
        return NULL;
    return y;
}

static weft_tensor *forward(weft_module *m, void *self, weft_tensor *x)
{
    (void)self;
    for (size_t i = 0; i < m->children; i++) {
        weft_module *next = i + 1 < m->children ? m->child[i + 1] : NULL;
        weft_tensor *y = x ? both(m->child[i], next, x) : NULL;
        if (y)
            i++;
        x = y ? y : weft_forward(m->child[i], x);
    }
    return x;
}

static const weft_module_ops ops = {.size = sizeof ops, .name = "sequential", .forward = forward};

weft_module *weft_nn_sequential_n(weft_fabric *f, size_t n, weft_module *const *modules)
{
    if (n && !modules) {
        weft_fail(f, WEFT_EARG, "weft_nn_sequential: %zu modules at NULL", n);
        return NULL;
    }
    weft_module *m = weft_module_new(f, &ops, NULL, 0);
    for (size_t i = 0; m && i < n; i++) {
        char name[24];
        snprintf(name, sizeof name, "%zu", i);
        if (!weft_module_child(m, name, modules[i]))
            return NULL;
    }
    return m;
}
