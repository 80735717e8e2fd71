/* Activation checkpointing (Chen, Xu, Zhang and Guestrin, "Training deep nets with sublinear memory cost",
 * 2016): of a module's forward only its input and its result stay. Its nodes go from the tape, and one
 * of the op recompute takes their place; where a walk meets that, the forward runs again, is recorded
 * behind the end of the tape, differentiated, and dropped. Random numbers repeat: the count of draws,
 * which is the stream they come from, is that of the first time. */
#include "autograd/walk.h"

#include "core/alloc.h"
#include "core/shape.h"

#include <string.h>

/* The attributes of such a node. */
typedef struct replay {
    weft_module *module;
    weft_tensor *(*forward)(weft_module *m, weft_tensor *x);
    weft_tensor *x;
    uint64_t draws;
    int forwards, autocast;
    size_t first, uses; /* of the tape's: what was used from outside */
} replay;
_Static_assert(sizeof(replay) <= WEFT__ATTR, "a replay is kept as attributes");

const weft_op weft__op_recompute = {.size = sizeof(weft_op), .name = "recompute"};

int64_t weft__replay_uses(const weft__tape *t, const weft__node *n, const weft__origin **first)
{
    const replay *r = (const void *)n->attr;
    *first = r->uses ? &t->use[r->first] : NULL;
    return (int64_t)r->uses;
}

/* The input under a handle of its own, as the program may release its one. Leaves and parameters keep
 * theirs, where gradients are looked for. */
static weft_status hold(weft_fabric *f, weft_tensor *x, weft_tensor **out)
{
    const weft__tensor *from = weft__tensor_at(x, NULL);
    weft__tensor *to;
    *out = x;
    if (!from)
        return WEFT_EHANDLE;
    if (from->segment || (from->wants_grad && from->node < 0))
        return WEFT_OK;
    if (!(*out = weft__tensor_new(f, &from->view, true, &to)))
        return WEFT_ENOMEM;
    to->wants_grad = from->wants_grad;
    to->derived = from->derived;
    to->rows = from->rows;
    to->reduction = from->reduction;
    to->weight = from->weight;
    to->node = from->node;
    to->result = from->result;
    return WEFT_OK;
}

static bool same(const weft__origin *a, const weft__origin *b)
{
    if (a->segment || b->segment)
        return a->segment == b->segment;
    return a->node == b->node && a->result == b->result && (a->node >= 0 || a->tensor == b->tensor);
}

static weft_status note(weft__tape *t, size_t first, const weft__origin *one)
{
    const weft__origin s = *one; /* may be of the array that grows */
    for (size_t i = first; i < t->uses; i++)
        if (same(&t->use[i], &s))
            return WEFT_OK;
    WEFT_TRY(weft__grow(&t->use, &t->use_room, t->uses + 1, sizeof *t->use));
    t->use[t->uses++] = s;
    return WEFT_OK;
}

/* Notes what the nodes from number `first` on use from before them for the result of `from`. */
static weft_status note_uses(weft__tape *t, int64_t from, int64_t first)
{
    const size_t noted = t->uses;
    for (int64_t i = first; i < from; i++)
        t->node[i].reached = false;
    t->node[from].reached = true;
    for (int64_t i = from; i >= first; i--) {
        const weft__node *n = &t->node[i];
        const weft__origin *s;
        for (int64_t j = 0; n->reached && j < weft__sources(t, n, &s); j++) {
            if (s[j].node >= first && s[j].wants_grad)
                t->node[s[j].node].reached = true;
            else if (s[j].wants_grad)
                WEFT_TRY(note(t, noted, &s[j]));
        }
    }
    return WEFT_OK;
}

/* Puts one node in the place of those from number `first` on. */
static weft_status put(weft__tape *t, size_t first, replay *r, const weft_view *out)
{
    const size_t noted = r->first, n = t->uses - noted;
    weft__node *node;
    weft__tape_cut(t, first);
    r->first = t->uses;
    r->uses = n;
    if (n)
        memmove(&t->use[r->first], &t->use[noted], n * sizeof *t->use);
    t->uses += n;
    WEFT_TRY(weft__tape_append(t, &node));
    node->op = &weft__op_recompute;
    node->module = NULL;
    node->nin = 0;
    node->out = *out;
    memset(node->grad, 0, sizeof node->grad);
    memcpy(node->attr, r, sizeof *r);
    return WEFT_OK;
}

/* What the forward leaves: the result, in a handle of its own where its memory moves. A loss that is
 * weighed by what lies among the activations stays where it is, and so do they. */
static weft_status fold(weft_fabric *f, weft__mark mark, size_t first, replay *r, weft_tensor **y)
{
    weft__tensor *t = weft__tensor_at(*y, NULL);
    if (!t)
        return WEFT_EHANDLE;
    if (t->node < (int64_t)first)
        return WEFT_OK;
    const weft__tensor was = *t;
    weft_view v = was.view;
    r->first = f->tape->uses;
    WEFT_TRY(note_uses(f->tape, was.node, (int64_t)first));
    if (!was.weight.addr) {
        WEFT_TRY(weft__engine_keep(f, mark, &v));
        if (!(*y = weft__tensor_new(f, &v, true, &t)))
            return WEFT_ENOMEM;
        t->rows = was.rows;
        t->reduction = was.reduction;
        t->derived = was.derived;
        t->wants_grad = was.wants_grad;
    }
    t->node = (int64_t)first;
    t->result = 0;
    return put(f->tape, first, r, &v);
}

weft_tensor *weft__tape_recompute(weft_fabric *f, weft_module *m, weft_tensor *x,
                                  weft_tensor *(*forward)(weft_module *m, weft_tensor *x))
{
    weft__tape *t = f->tape;
    replay r = {.module = m,
                .forward = forward,
                .draws = t->draws,
                .forwards = t->forwards,
                .autocast = t->autocast};
    if (!x || t->eval)
        return forward(m, x);
    weft_status s = hold(f, x, &r.x);
    const weft__mark mark = weft__engine_mark(f);
    const size_t first = t->nodes;
    t->folds++;
    weft_tensor *y = s ? NULL : forward(m, x);
    t->folds--;
    if (y && !weft__stuck(f))
        s = fold(f, mark, first, &r, &y);
    if (s && !weft__stuck(f))
        weft__stick(f, s);
    return s ? NULL : y;
}

/* Room for the gradients of what was made before, in memory that stays when the replay is over. */
static weft_status make_room(const weft__walk *w, const weft__origin *s)
{
    weft_fabric *f = w->f;
    if (s->segment || weft__walk_seeks(w, s))
        return WEFT_OK;
    if (s->node >= 0) {
        weft__node *n = &f->tape->node[s->node];
        weft__grad *g = &n->grad[w->kind][s->result];
        const weft_view *like = weft__node_result(n, s->result);
        if (!n->reached || g->data.addr)
            return n->reached ? weft__grad_part(f, g, like) : WEFT_OK;
        g->blank = true;
        return weft__block_take(f, weft__view_bytes(like), &g->block, &g->data);
    }
    weft__tensor *leaf = weft__tensor_at(s->tensor, NULL);
    if (!leaf)
        return WEFT_EHANDLE;
    if (w->kind == WEFT__OF_GRAD || leaf->leaf_edge == f->engine->edge)
        return WEFT_OK;
    leaf->leaf_edge = f->engine->edge;
    leaf->leaf_blank = true;
    return weft__scratch(f, weft__view_bytes(&leaf->view), &leaf->leaf_grad);
}

/* The forward as it ran the first time: its random numbers, its types, recorded. */
static weft_tensor *again(weft_fabric *f, const replay *r)
{
    weft__tape *t = f->tape;
    const uint64_t draws = t->draws;
    const int forwards = t->forwards, autocast = t->autocast, eval = t->eval;
    t->draws = r->draws;
    t->forwards = r->forwards;
    t->autocast = r->autocast;
    t->eval = 0;
    t->replays++;
    weft_tensor *y = r->forward(r->module, r->x);
    t->replays--;
    t->draws = draws;
    t->forwards = forwards;
    t->autocast = autocast;
    t->eval = eval;
    return y;
}

static weft_status alike(const weft_view *before, int64_t first, const weft__tensor *y)
{
    char a[WEFT__SHAPE_TEXT], b[WEFT__SHAPE_TEXT];
    if (y->node >= first && y->view.dtype == before->dtype &&
        weft__same_shape(y->view.rank, y->view.shape, before->rank, before->shape))
        return WEFT_OK;
    return weft__fail(
        WEFT_ESTATE,
        "weft_recompute: forward gave %s %s first and now %s %s; a module that is "
        "recomputed must do the same when it runs again",
        weft_dtype_name(before->dtype), weft__shape_text(before->rank, before->shape, a),
        weft_dtype_name(y->view.dtype), weft__shape_text(y->view.rank, y->view.shape, b));
}

/* Differentiates what ran again, from the gradient that its result has. */
static weft_status go_through(weft__walk *w, weft_tensor *y, const weft__node *outer,
                              const replay *r, int64_t first)
{
    weft__tape *t = w->f->tape;
    const weft__tensor *made = weft__tensor_at(y, NULL);
    if (!made)
        return weft__stuck(w->f) ? weft__stuck(w->f)
                                 : weft__fail(WEFT_ESTATE, "weft_recompute: forward gave nothing");
    WEFT_TRY(alike(&outer->out, first, made));
    for (size_t i = r->first; i < r->first + r->uses && w->kind == WEFT__OF_BACKWARD; i++)
        if (t->use[i].segment)
            t->use[i].segment->uses--; /* it is counted by its uses here now */
    weft__walk_reach(w, made->node, first);
    t->node[made->node].grad[w->kind][made->result].data = weft__grad_of(outer, w->kind, 0);
    return weft__walk_nodes(w, (int64_t)t->nodes - 1, first); /* from the last mark on */
}

weft_status weft__replay(weft__walk *w, int64_t at)
{
    weft_fabric *f = w->f;
    weft__tape *t = f->tape;
    const weft__node outer = t->node[at]; /* the tape may move */
    const size_t first = t->nodes;
    replay r;
    memcpy(&r, outer.attr, sizeof r);
    for (size_t i = 0; i < r.uses; i++)
        WEFT_TRY(make_room(w, &t->use[r.first + i]));
    const weft__mark mark = weft__engine_mark(f);
    weft_tensor *y = again(f, &r);
    weft_status s = go_through(w, y, &outer, &r, (int64_t)first);
    weft__tape_cut(t, first);
    weft__engine_rewind(f, mark);
    return s;
}
