/* The checking visitor: does what the checkpoint holds fit the program? */
#include "checkpoint/load.h"
#include "checkpoint/slabs.h"
#include "core/alloc.h"
#include "core/env.h"
#include "core/error.h"
#include "core/shape.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LISTED 4 /* the most contradictions named */

struct fit {
    weft_visitor v;
    const weft__checkpoint *c;
    weft__reader *r;
    unsigned char *mark, *seen; /* of blocks, of entries */
    const char **names;
    int problems;
    char text[WEFT__TEXT];
};

static void problem(struct fit *f, const char *format, ...) WEFT_PRINTF(2, 3);

static void problem(struct fit *f, const char *format, ...)
{
    size_t used = strlen(f->text);
    va_list args;
    if (f->problems++ >= LISTED)
        return;
    used += (size_t)snprintf(f->text + used, sizeof f->text - used, "%s", used ? "; " : "");
    va_start(args, format);
    if (used < sizeof f->text)
        vsnprintf(f->text + used, sizeof f->text - used, format, args);
    va_end(args);
}

static void fit_shape(struct fit *f, const weft__entry *e, const weft_state_item *item)
{
    char a[WEFT__SHAPE_TEXT], b[WEFT__SHAPE_TEXT];
    const bool fits = e->dtype == item->dtype || weft__converts(e->dtype, item->dtype);
    if (fits && weft__same_shape(e->rank, e->shape, item->rank, item->shape))
        return;
    problem(f, "\"%s\" is %s %s in it, %s %s in the program", e->name, weft_dtype_name(e->dtype),
            weft__shape_text(e->rank, e->shape, a), weft_dtype_name(item->dtype),
            weft__shape_text(item->rank, item->shape, b));
}

/* Marks the blocks that hold elements of a slab. */
static void mark_slab(struct fit *f, const weft__entry *e, const weft_slab *s)
{
    int64_t size = (int64_t)weft_dtype_size(e->dtype), a, b;
    for (size_t i = 0; i < e->npieces; i++) {
        const weft__piece *p = &e->piece[i];
        if (e->placement == WEFT_PER_RANK && p->shard != f->c->comm->rank)
            continue;
        weft__overlap(p->first, p->count, s->first, s->count, &a, &b);
        if (a >= b)
            continue;
        int64_t from = (a - p->first) * size / WEFT__BLOCK;
        int64_t to = ((b - p->first) * size - 1) / WEFT__BLOCK;
        memset(f->mark + p->block + from, 1, (size_t)(to - from + 1));
    }
}

static void fit_tensor(struct fit *f, const weft__entry *e, const weft_state_item *item)
{
    int had = f->problems;
    fit_shape(f, e, item);
    for (int i = 0; i < item->nslabs && f->problems == had; i++) {
        const weft_slab *s = &item->slabs[i];
        if (s->first < 0 || s->count < 0 || s->first > e->numel || s->count > e->numel - s->first)
            problem(f, "slab %d of the program's \"%s\" is out of range", i, e->name);
        else if (s->count)
            mark_slab(f, e, s);
    }
}

static void fit_values(struct fit *f, const weft__entry *e, const weft_state_item *item)
{
    if (e->kind != WEFT_STATE_TEXT && e->count != item->count)
        problem(f, "\"%s\" has %lld values in it, %lld in the program", e->name,
                (long long)e->count, (long long)item->count);
    for (int k = 0; e->kind == WEFT_STATE_TEXT && k < e->owners; k++)
        if (strlen(e->text[k]) >= item->capacity) {
            problem(f, "\"%s\" has %zu bytes in it, room for %zu in the program", e->name,
                    strlen(e->text[k]) + 1, item->capacity);
            break;
        }
}

static void fit_entry(struct fit *f, const weft__entry *e, const weft_state_item *item)
{
    bool own = e->placement == WEFT_PER_RANK;
    int had = f->problems;
    if (e->kind != item->kind)
        problem(f, "\"%s\" is of kind %s in it, %s in the program", e->name,
                weft__kind_word[e->kind], weft__kind_word[item->kind]);
    else if (own != (item->placement == WEFT_PER_RANK))
        problem(f, "\"%s\" is %s in it, %s in the program", e->name,
                weft__placement_word[e->placement], weft__placement_word[item->placement]);
    else if (own && f->r->m.world != f->c->comm->world)
        problem(f, "\"%s\" is each rank's own, saved on %d ranks, and there are %d", e->name,
                f->r->m.world, f->c->comm->world);
    else if (e->kind == WEFT_STATE_TENSOR)
        fit_tensor(f, e, item);
    else
        fit_values(f, e, item);
    if (item->scratch && e->kind != WEFT_STATE_TENSOR && f->problems == had)
        weft__fill(f->c, e, item);
}

static weft_status fit_item(weft_visitor *v, const weft_state_item *item)
{
    struct fit *f = (struct fit *)v;
    char name[1024];
    snprintf(name, sizeof name, "%s%s", v->scope, item->name);
    const weft__entry *e = weft__manifest_find(&f->r->m, name);
    if (e) {
        f->seen[e - f->r->m.entry] = 1;
        fit_entry(f, e, item);
        return WEFT_OK;
    }
    if (item->optional || f->c->lenient)
        return WEFT_OK;
    const char *near = weft__nearest(name, f->names, (int)f->r->m.n);
    problem(f, "the program's \"%s\" is not in it%s%s%s", name, near ? " (nearest: \"" : "",
            near ? near : "", near ? "\")" : "");
    return WEFT_OK;
}

/* Is it a contradiction that the program has nothing of that name? */
static bool asked_for(const weft__checkpoint *c, const char *name)
{
    return !c->lenient && (!c->only || strncmp(name, c->only, strlen(c->only)) == 0);
}

static weft_status fit_all(struct fit *f)
{
    const weft__manifest *m = &f->r->m;
    for (size_t i = 0; i < m->n; i++)
        f->names[i] = m->entry[i].name;
    weft_status s = f->c->state(f->c->self, &f->v);
    if (s < 0 && f->problems == 0)
        return s;
    for (size_t i = 0; i < m->n && s >= 0; i++)
        if (!f->seen[i] && asked_for(f->c, m->entry[i].name))
            problem(f, "its \"%s\" is not in the program", m->entry[i].name);
    if (!f->problems)
        return WEFT_OK;
    char more[32] = "";
    if (f->problems > LISTED)
        snprintf(more, sizeof more, "; and %d more", f->problems - LISTED);
    return weft__fail(WEFT_ECONFIG, "%s does not fit the program: %.360s%s", f->r->where, f->text,
                      more);
}

weft_status weft__fit(const weft__checkpoint *c, weft__reader *r, unsigned char *mark)
{
    struct fit f = {
        .v = {.mode = WEFT_VISIT_CHECK, .item = fit_item}, .c = c, .r = r, .mark = mark};
    f.seen = weft__new(r->m.n, 1);
    f.names = weft__new(r->m.n, sizeof *f.names);
    weft_status s = f.seen && f.names ? fit_all(&f) : WEFT_ENOMEM;
    weft__free(f.seen);
    weft__free(f.names);
    return s;
}
