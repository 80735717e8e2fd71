/* Buffers: state of modules that is no parameter, as running statistics. All of a tree lie in one space, in
 * f32, or f64 where parameters are. */
#include "core/alloc.h"
#include "core/env.h"
#include "nn/module.h"

#include <string.h>

static weft_status add(weft_module *m, const char *name, int rank, const int64_t *shape,
                       weft_init init, weft_tensor **out)
{
    const weft_dtype dtype = m->object.fabric->dtype == WEFT_F64 ? WEFT_F64 : WEFT_F32;
    weft__param *p;
    WEFT_TRY(weft__grow(&m->buffer, &m->buffer_room, m->buffers + 1, sizeof *m->buffer));
    WEFT_TRY(weft__param_make("weft_module_buffer", m, name, rank, shape, init, dtype, &p));
    p->segment.frozen = true;
    m->buffer[m->buffers++] = p;
    *out = p->segment.tensor;
    return WEFT_OK;
}

weft_tensor *weft_module_buffer(weft_module *m, const char *name, int rank, const int64_t *shape,
                                weft_init init)
{
    weft_tensor *out = NULL;
    if (!m)
        return NULL;
    weft_status s = add(m, name, rank, shape, init, &out);
    if (s)
        weft__stick(m->object.fabric, s);
    return s ? NULL : out;
}

static size_t count(const weft_module *m)
{
    size_t n = m->buffers;
    for (size_t i = 0; i < m->children; i++)
        n += count(m->child[i]);
    return n;
}

/* Own ones first, then the children's, depth first: the order of registration. */
static weft_status collect(weft_module *root, weft_module *m, const char *prefix)
{
    char path[WEFT__PATH];
    for (size_t i = 0; i < m->buffers; i++) {
        weft__param *p = m->buffer[i];
        WEFT_TRY(weft__module_path(path, prefix, p->name, ""));
        if (!(p->path = weft__strdup(path)))
            return WEFT_ENOMEM;
        p->segment.name = p->path;
        root->held[root->nheld++] = p;
    }
    for (size_t i = 0; i < m->children; i++) {
        WEFT_TRY(weft__module_path(path, prefix, m->child[i]->name, "."));
        WEFT_TRY(collect(root, m->child[i], path));
    }
    return WEFT_OK;
}

weft_status weft__buffers_materialise(weft_module *root)
{
    const size_t n = count(root);
    if (!n)
        return WEFT_OK;
    if (!(root->held = weft__new(n, sizeof *root->held)))
        return WEFT_ENOMEM;
    WEFT_TRY(collect(root, root, ""));
    weft__segment **segment = weft__new(n, sizeof *segment);
    for (size_t i = 0; i < n && segment; i++)
        segment[i] = &root->held[i]->segment;
    weft_status s = segment ? WEFT_OK : WEFT_ENOMEM;
    if (!s)
        s = weft__flat_state(root->object.fabric, segment, (int)n,
                             root->object.fabric->dtype == WEFT_F64 ? WEFT_F64 : WEFT_F32,
                             &root->space);
    weft__free(segment);
    return s;
}

void weft__buffers_undo(weft_module *root)
{
    for (size_t i = 0; i < root->nheld; i++) {
        weft__param *p = root->held[i];
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
    weft__flat_free(root->space);
    root->space = NULL;
    weft__free(root->held);
    root->held = NULL;
    root->nheld = 0;
}

weft_status weft__buffers_state(const weft_module *root, weft_visitor *v)
{
    for (size_t i = 0; i < root->nheld; i++) {
        const weft__segment *s = &root->held[i]->segment;
        const weft_slab slab = {.count = s->count,
                                .data = weft__flat_at(s->flat, WEFT__PARAM, s->first)};
        weft_state_item item = {.name = s->name,
                                .kind = WEFT_STATE_TENSOR,
                                .placement = WEFT_REPLICATED,
                                .dtype = s->flat->type[WEFT__PARAM],
                                .rank = s->rank,
                                .nslabs = 1,
                                .slabs = &slab};
        memcpy(item.shape, s->shape, sizeof item.shape);
        WEFT_TRY(v->item(v, &item));
    }
    return WEFT_OK;
}

int64_t weft__module_meets(const weft_module *m)
{
    int64_t most = m->meets;
    for (size_t i = 0; i < m->children; i++) {
        const int64_t below = weft__module_meets(m->child[i]);
        most = below > most ? below : most;
    }
    return most;
}

static weft__param *nth(weft_module *m, int64_t i)
{
    const weft_module *root = weft__module_root(m);
    const weft_status s = weft__module_materialise(weft__module_root(m));
    if (s) {
        weft__stick(m->object.fabric, s);
        return NULL;
    }
    for (size_t k = 0; k < root->nheld; k++)
        if (weft__module_below(root->held[k]->owner, m) && i-- == 0)
            return root->held[k];
    return NULL;
}

int64_t weft_buffer_count(weft_module *m)
{
    return m ? (int64_t)count(m) : 0;
}

const char *weft_buffer_name(weft_module *m, int64_t i)
{
    const weft__param *p = m ? nth(m, i) : NULL;
    return p ? p->path : NULL;
}

weft_tensor *weft_buffer(weft_module *m, const char *name)
{
    const weft__param *p;
    const char *near = NULL;
    if (!m)
        return NULL;
    if (!name) {
        weft__note(m->object.fabric, weft__fail(WEFT_EARG, "weft_buffer: the name is NULL"));
        return NULL;
    }
    for (int64_t i = 0; (p = nth(m, i)); i++) {
        if (strcmp(p->path, name) == 0)
            return p->segment.tensor;
        const char *const both[] = {near ? near : p->path, p->path};
        near = weft__nearest(name, both, 2);
    }
    weft__note(m->object.fabric,
               weft__fail(WEFT_ENOENT, "weft_buffer: there is no buffer \"%.80s\"%s%s%s", name,
                          near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : ""));
    return NULL;
}
