/* Where gradients of an op's inputs are collected: parameters' in their planes, leaves' in the arena, results' in
 * blocks of it, which they share where one is handed on, and give back. */
#include "autograd/walk.h"

#include "device/device.h"

#define BESIDES (-1)

/* Somebody else has the memory, too, or it is of no block: it stays as it is. */
static bool is_shared(const weft_fabric *f, const weft__grad *g)
{
    return g->data.addr && !weft__block_alone(f, g->block);
}

/* Memory of its own, with nothing in it; *was: where it has been. */
static weft_status leave(weft_fabric *f, weft__grad *g, size_t bytes, weft_dev *was)
{
    weft__grad own = {.data = {0}};
    WEFT_TRY(weft__block_take(f, bytes, &own.block, &own.data));
    *was = g->data;
    weft__block_drop(f, g->block);
    *g = own;
    return WEFT_OK;
}

weft_status weft__grad_part(weft_fabric *f, weft__grad *g, const weft_view *like)
{
    const size_t bytes = weft__view_bytes(like);
    weft_dev was;
    if (!is_shared(f, g))
        return WEFT_OK;
    WEFT_TRY(leave(f, g, bytes, &was));
    return f->device->ops->move(f->stream, g->data, was, bytes);
}

weft_dtype weft__grad_type(const weft__segment *s, weft_dtype t)
{
    return s && s->flat ? s->flat->type[WEFT__GRAD] : t;
}

/* Of a result or a leaf. */
static weft_status collect_here(const weft__walk *w, const weft__origin *from,
                                const weft_view *like, weft__collector *to)
{
    weft_fabric *f = w->f;
    if (from->node >= 0) {
        weft__grad *g = &f->tape->node[from->node].grad[w->kind][from->result];
        to->fresh = !g->data.addr || g->blank;
        to->slot = g->blank ? NULL : g;
        g->blank = false;
        if (!g->data.addr)
            WEFT_TRY(weft__block_take(f, weft__view_bytes(like), &g->block, &g->data));
        to->data = g->data;
        to->block = g->block;
        return WEFT_OK;
    }
    weft__tensor *leaf = weft__tensor_at(from->tensor, NULL);
    if (!leaf)
        return WEFT_EHANDLE;
    const bool room = leaf->leaf_edge == f->engine->edge;
    to->fresh = !room || leaf->leaf_blank;
    leaf->leaf_blank = false;
    leaf->leaf_edge = f->engine->edge;
    if (!room)
        WEFT_TRY(weft__scratch(f, weft__view_bytes(like), &leaf->leaf_grad));
    to->data = leaf->leaf_grad;
    return WEFT_OK;
}

static weft_status collect(weft__walk *w, const weft__origin *from, const weft_view *like,
                           weft__collector *to)
{
    weft__segment *s = from->segment;
    *to = (weft__collector){.type = weft__grad_type(s, like->dtype)};
    if (weft__walk_seeks(w, from)) {
        to->data = w->grad;
        to->fresh = !w->found;
        w->found = true;
        return WEFT_OK;
    }
    if (!s)
        return collect_here(w, from, like, to);
    if (!s->flat->plane[WEFT__GRAD].addr)
        return weft__fail(WEFT_ESTATE,
                          "weft_backward: parameter %s was not set up; call weft_setup before "
                          "the loop",
                          s->name);
    return weft__segment_collect(s, &to->data, &to->fresh);
}

/* An op adds to what is there already, and where that stays as it is, elsewhere. */
static weft_status add_to(weft_fabric *f, weft_op_call *c, int j, weft__collector *to)
{
    c->more[j] = to->data;
    if (!to->slot || !is_shared(f, to->slot))
        return WEFT_OK;
    WEFT_TRY(leave(f, to->slot, weft__view_bytes(&c->gin[j]), &c->more[j]));
    c->gin[j].data = to->data = to->slot->data;
    to->block = to->slot->block;
    return WEFT_OK;
}

weft_status weft__collect_begin(weft__walk *w, weft__node *n, weft_op_call *c, weft__collector *to)
{
    for (int j = 0; j < n->nin; j++) {
        const weft__origin *from = &n->from[j];
        const weft__input *in = &n->in[j];
        if (from->segment)
            weft__segment_see(from->segment, in->plane, &c->in[j]);
        else
            weft__view_copy(&c->in[j], &in->view);
        c->want[j] = from->wants_grad && weft__walk_leads_on(w, from);
        if (!c->want[j]) {
            weft__view_none(&c->gin[j]);
            continue;
        }
        WEFT_TRY(collect(w, from, &in->view, &to[j]));
        weft__view_copy(&c->gin[j], &c->in[j]);
        c->gin[j].dtype = n->op->wide ? to[j].type : in->view.dtype;
        c->gin[j].data = to[j].data;
        if (!n->op->contiguous)
            weft__strides(c->gin[j].rank, c->gin[j].shape, c->gin[j].stride);
        const bool same = c->gin[j].dtype == to[j].type;
        if (to[j].fresh && same)
            continue;
        if ((n->op->adds >> j & 1) && same && weft_dtype_size(to[j].type) > 2) {
            WEFT_TRY(add_to(w->f, c, j, &to[j]));
            continue;
        }
        WEFT_TRY(weft__block_take(w->f, weft__view_bytes(&c->gin[j]), &to[j].beside, &to[j].room));
        c->gin[j].data = to[j].room;
    }
    return WEFT_OK;
}

/* Whose gradient the address is, of those that the call reads or writes: the number of its block, 0 if that is of
 * no blocks, or BESIDES: a parameter's, a leaf's or one that is looked for. @return whether it is any. */
static bool find(const weft__walk *w, const weft__node *n, const weft_op_call *c,
                 const weft__collector *to, weft_dev p, int *block)
{
    for (int r = 0; r <= n->op->results; r++)
        if (n->grad[w->kind][r].data.addr == p.addr) {
            *block = n->grad[w->kind][r].block;
            return true;
        }
    for (int k = 0; k < n->nin; k++)
        if (c->want[k] && (to[k].data.addr == p.addr || to[k].room.addr == p.addr)) {
            *block = to[k].room.addr == p.addr ? to[k].beside : to[k].block ? to[k].block : BESIDES;
            return true;
        }
    return false;
}

bool weft__collect_knows(const weft__walk *w, const weft__node *n, const weft_op_call *c,
                         const weft__collector *to)
{
    int block;
    for (int j = 0; j < n->nin; j++)
        if (c->want[j] && c->gin[j].data.addr != to[j].data.addr &&
            !find(w, n, c, to, c->gin[j].data, &block))
            return false;
    return true;
}

/* A gradient that lies somewhere already is found there from now on; what is no result's is copied. */
static weft_status hand_on(const weft__walk *w, const weft__node *n, const weft_op_call *c, int j,
                           const weft__collector *to)
{
    const weft_view *g = &c->gin[j];
    weft__grad *slot = to[j].slot;
    int block = 0;
    find(w, n, c, to, g->data, &block);
    if (!slot || block == BESIDES)
        return c->device->ops->move(c->stream, to[j].data, g->data, weft__view_bytes(g));
    weft__block_share(c->fabric, block);
    weft__block_drop(c->fabric, slot->block);
    *slot = (weft__grad){.data = g->data, .block = block};
    return WEFT_OK;
}

static weft_status add(const weft_op_call *c, const weft_view *g, const weft__collector *to)
{
    const int64_t one = 1;
    weft__grad *slot = to->slot;
    weft_dev was;
    if (!slot || !is_shared(c->fabric, slot))
        return c->k->axpy(c->stream, slot ? slot->data : to->data, 1.0, g->data, g->numel,
                          g->dtype);
    WEFT_TRY(leave(c->fabric, slot, weft__view_bytes(g), &was));
    return c->k->binary(c->stream, WEFT_ADD, slot->data, was, &one, g->data, &one, 1, &g->numel,
                        g->dtype);
}

/* It is there in another type. */
static weft_status cast(const weft_op_call *c, const weft_view *g, const weft__collector *to)
{
    weft_view cast = *g;
    int block = 0;
    cast.dtype = to->type;
    cast.data = to->data;
    if (!to->fresh)
        WEFT_TRY(weft__block_take(c->fabric, weft__view_bytes(&cast), &block, &cast.data));
    WEFT_TRY(c->k->copy(c->stream, cast.data, cast.dtype, cast.stride, g->data, g->dtype, g->stride,
                        g->rank, g->shape));
    if (!to->fresh)
        WEFT_TRY(add(c, &cast, to));
    weft__block_drop(c->fabric, block);
    return WEFT_OK;
}

static weft_status deposit(const weft__walk *w, const weft__node *n, const weft_op_call *c, int j,
                           const weft__collector *to)
{
    const weft_view *g = &c->gin[j];
    return g->dtype != to[j].type ? cast(c, g, &to[j])
           : to[j].fresh          ? hand_on(w, n, c, j, to)
                                  : add(c, g, &to[j]);
}

weft_status weft__collect_end(const weft__walk *w, const weft__node *n, const weft_op_call *c,
                              const weft__collector *to)
{
    bool beside = false;
    for (int j = 0; j < n->nin; j++) {
        if (!c->want[j])
            continue;
        beside |= to[j].beside != 0;
        if (c->gin[j].data.addr != to[j].data.addr)
            WEFT_TRY(deposit(w, n, c, j, to));
    }
    for (int j = 0; beside && j < n->nin; j++)
        if (c->want[j] && to[j].beside)
            weft__block_drop(c->fabric, to[j].beside);
    return WEFT_OK;
}
