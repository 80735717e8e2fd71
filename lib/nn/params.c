/* The parameters of a tree: memory, names, state. */
#include "core/alloc.h"
#include "core/env.h"
#include "core/hash.h"
#include "nn/module.h"

#include <stdio.h>
#include <string.h>

/* How many parameters, each once or under each of its names. */
static size_t count(const weft_module *m, bool names)
{
    size_t n = 0;
    for (size_t i = 0; i < m->params; i++)
        n += names || !m->param[i]->tied;
    for (size_t i = 0; i < m->children; i++)
        n += count(m->child[i], names);
    return n;
}

weft_status weft__module_path(char path[WEFT__PATH], const char *prefix, const char *name,
                              const char *behind)
{
    if (snprintf(path, WEFT__PATH, "%s%s%s", prefix, name, behind) < WEFT__PATH)
        return WEFT_OK;
    return weft__fail(WEFT_EARG, "the name %s... has %d bytes or more", path, WEFT__PATH);
}

/* Own parameters first, then the children's, depth first: the order of registration. */
static weft_status collect(weft_module *root, weft_module *m, const char *prefix)
{
    char path[WEFT__PATH];
    for (size_t i = 0; i < m->params; i++) {
        weft__param *p = m->param[i];
        WEFT_TRY(weft__module_path(path, prefix, p->name, ""));
        if (!(p->path = weft__strdup(path)))
            return WEFT_ENOMEM;
        p->segment.name = p->path;
        root->all[root->nall++] = p;
    }
    for (size_t i = 0; i < m->children; i++) {
        WEFT_TRY(weft__module_path(path, prefix, m->child[i]->name, "."));
        WEFT_TRY(collect(root, m->child[i], path));
    }
    return WEFT_OK;
}

static weft_status lay_out(weft_module *root, bool frozen)
{
    weft_fabric *f = root->object.fabric;
    weft__segment **segment = weft__new(root->nall, sizeof *segment);
    weft_status s = segment ? WEFT_OK : WEFT_ENOMEM;
    int n = 0;
    for (size_t i = root->nall; !s && i-- > 0;)
        if (!root->all[i]->tied && root->all[i]->segment.frozen == frozen)
            segment[n++] = &root->all[i]->segment;
    if (!s && n) {
        s = weft__flat_new(f, segment, n, f->dtype, !frozen, f->bucket_bytes,
                           &root->flat[root->flats]);
        root->flats += s == WEFT_OK;
        if (!s && f->tape->low != WEFT_DEFAULT && f->tape->low != f->dtype)
            s = weft__flat_compute(root->flat[root->flats - 1], f->tape->low);
    }
    weft__free(segment);
    return s;
}

/* As before: a later try starts afresh. */
static void undo(weft_module *root)
{
    weft__buffers_undo(root);
    for (size_t i = 0; i < root->nall; i++) {
        weft__param *p = root->all[i];
        weft__tensor *t = weft__tensor_at(p->segment.tensor, NULL);
        if (t) {
            t->view.data.addr = 0;
            t->changed = NULL;
        }
        p->segment.flat = NULL;
        p->segment.name = p->name;
        weft__free(p->path);
        p->path = NULL;
    }
    while (root->flats > 0)
        weft__flat_free(root->flat[--root->flats]);
    weft__free(root->all);
    root->all = NULL;
    root->nall = 0;
}

/* Second names see the memory of the first. */
static void share(const weft_module *root)
{
    for (size_t i = 0; i < root->nall; i++) {
        const weft__param *p = root->all[i];
        if (p->tied)
            weft__segment_show(&weft__param_itself(root->all[i])->segment,
                               weft__tensor_at(p->segment.tensor, NULL));
    }
}

weft_status weft__module_materialise(weft_module *root)
{
    if (root->all)
        return WEFT_OK;
    if (!(root->all = weft__new(count(root, true) + 1, sizeof *root->all)))
        return WEFT_ENOMEM;
    weft_status s = collect(root, root, "");
    if (!s)
        s = lay_out(root, false);
    if (!s)
        s = lay_out(root, true);
    if (!s)
        s = weft__buffers_materialise(root);
    if (s)
        undo(root);
    else
        share(root);
    return s;
}

weft_status weft__module_digest(weft_module *root, char *text, size_t size)
{
    uint64_t h = WEFT__HASH;
    char line[2 * WEFT__PATH + 128];
    WEFT_TRY(weft__module_materialise(root));
    for (size_t i = 0; i < root->nall + root->nheld; i++) {
        weft__param *p = i < root->nall ? root->all[i] : root->held[i - root->nall];
        const weft__segment *s = &weft__param_itself(p)->segment;
        int n = snprintf(line, sizeof line, "%s %s %d %lld %d %lld;", p->path, s->name,
                         (int)s->flat->type[WEFT__PARAM], (long long)s->count, s->frozen,
                         (long long)(i < root->nall ? 0 : p->owner->meets));
        for (int d = 0; d < s->rank && n < (int)sizeof line; d++)
            n += snprintf(line + n, sizeof line - (size_t)n, "%lld,", (long long)s->shape[d]);
        h = weft__hash_text(h, line);
    }
    int n = snprintf(text, size, "%zu parameters, ", root->nall);
    if (root->nheld && n < (int)size)
        n += snprintf(text + n, size - (size_t)n, "%zu buffers, ", root->nheld);
    if (n < (int)size)
        snprintf(text + n, size - (size_t)n, "digest %016llx", (unsigned long long)h);
    return WEFT_OK;
}

weft_status weft__module_plane_state(weft_module *m, weft__plane plane, weft_visitor *v)
{
    const weft_module *root = weft__module_root(m);
    for (size_t i = 0; i < root->nall; i++) {
        const weft__segment *s = &root->all[i]->segment;
        if (root->all[i]->tied || !s->flat->plane[plane].addr ||
            !weft__module_below(root->all[i]->owner, m))
            continue;
        const bool sharded = s->flat->sharded[plane];
        if (plane == WEFT__PARAM && v->mode == WEFT_VISIT_LOAD)
            weft__flat_written(s->flat);
        weft__range own = {.first = s->first, .count = s->count};
        if (sharded) {
            own.count = 0;
            weft__flat_own(s->flat, s->first, s->count, &own);
        }
        weft_slab slab = {.first = own.first - s->first,
                          .count = own.count,
                          .data = weft__flat_at(s->flat, plane, own.first)};
        weft_state_item item = {.name = s->name,
                                .kind = WEFT_STATE_TENSOR,
                                .placement = sharded ? WEFT_SHARDED : WEFT_REPLICATED,
                                .dtype = s->flat->type[plane],
                                .rank = s->rank,
                                .nslabs = own.count > 0 || !sharded,
                                .slabs = &slab};
        memcpy(item.shape, s->shape, sizeof item.shape);
        WEFT_TRY(v->item(v, &item));
    }
    return WEFT_OK;
}

static weft_status own_state(weft_module *m, weft_visitor *v)
{
    if (m->ops->state)
        WEFT_TRY(m->ops->state(m->self, v));
    for (size_t i = 0; i < m->children; i++) {
        WEFT_TRY(weft_state_enter(v, m->child[i]->name));
        WEFT_TRY(own_state(m->child[i], v));
        weft_state_leave(v);
    }
    return WEFT_OK;
}

weft_status weft__module_state(void *root, weft_visitor *v)
{
    WEFT_TRY(weft__module_plane_state(root, WEFT__PARAM, v));
    WEFT_TRY(weft__buffers_state(root, v));
    return own_state(root, v);
}

static weft__param *nth(weft_module *m, int64_t i, bool names)
{
    weft_module *root = weft__module_root(m);
    weft_status s = weft__module_materialise(root);
    if (s) {
        weft__stick(m->object.fabric, s);
        return NULL;
    }
    for (size_t k = 0; k < root->nall; k++)
        if (weft__module_below(root->all[k]->owner, m) && (names || !root->all[k]->tied) &&
            i-- == 0)
            return root->all[k];
    return NULL;
}

int64_t weft_param_count(weft_module *m)
{
    return m ? (int64_t)count(m, false) : 0;
}

int64_t weft_param_elements(weft_module *m)
{
    int64_t n = 0;
    for (size_t i = 0; m && i < m->params; i++)
        n += m->param[i]->tied ? 0 : m->param[i]->segment.count;
    for (size_t i = 0; m && i < m->children; i++)
        n += weft_param_elements(m->child[i]);
    return n;
}

const char *weft_param_name(weft_module *m, int64_t i)
{
    weft__param *p = m ? nth(m, i, false) : NULL;
    return p ? p->path : NULL;
}

weft_tensor *weft_param(weft_module *m, const char *name)
{
    weft__param *p;
    const char *near = NULL;
    if (!m)
        return NULL;
    if (!name) {
        weft__note(m->object.fabric, weft__fail(WEFT_EARG, "weft_param: the name is NULL"));
        return NULL;
    }
    for (int64_t i = 0; (p = nth(m, i, true)); i++) {
        if (strcmp(p->path, name) == 0)
            return p->segment.tensor;
        const char *const both[] = {near ? near : p->path, p->path};
        near = weft__nearest(name, both, 2);
    }
    weft__note(m->object.fabric,
               weft__fail(WEFT_ENOENT, "weft_param: there is no parameter \"%.80s\"%s%s%s", name,
                          near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : ""));
    return NULL;
}

weft_tensor *weft_module_own(weft_module *m, const char *name)
{
    for (size_t i = 0; m && name && i < m->params; i++)
        if (strcmp(m->param[i]->name, name) == 0)
            return m->param[i]->segment.tensor;
    return NULL;
}
