/* Reverse-mode differentiation: mark what the loss depends on, then walk the tape backwards. */
#include "autograd/walk.h"

#include "device/device.h"

#include <string.h>

bool weft__walk_is_target(const weft__walk *w, const weft__origin *from)
{
    const weft__origin *t = &w->target;
    if (t->segment || from->segment)
        return from->segment == t->segment;
    return from->node == t->node && from->result == t->result &&
           (from->node >= 0 || from->tensor == t->tensor);
}

static void forget(const weft__walk *w, int64_t from, int64_t first)
{
    weft__tape *t = w->f->tape;
    const bool counts = first == 0 && w->kind == WEFT__OF_BACKWARD;
    for (int64_t i = first; i <= from; i++) {
        weft__node *n = &t->node[i];
        const weft__origin *s;
        const int64_t sources = counts ? weft__sources(t, n, &s) : 0;
        n->reached = false;
        memset(n->grad[w->kind], 0, sizeof n->grad[w->kind]);
        for (int64_t j = 0; j < sources; j++)
            if (s[j].segment)
                s[j].segment->uses = 0;
    }
}

/* A node's sources are reached, too. */
static void reach_from(const weft__tape *t, const weft__node *n)
{
    const weft__origin *s;
    const int64_t sources = weft__sources(t, n, &s);
    for (int64_t j = 0; j < sources; j++) {
        if (!s[j].wants_grad)
            continue;
        if (s[j].node >= 0)
            t->node[s[j].node].reached = true;
        if (s[j].segment)
            s[j].segment->uses++;
    }
}

void weft__walk_reach(const weft__walk *w, int64_t from, int64_t first)
{
    weft__tape *t = w->f->tape;
    const weft__origin *s;
    forget(w, (int64_t)t->nodes - 1, first);
    if (w->kind == WEFT__OF_GRAD) { /* from what is looked for upwards */
        for (int64_t i = first; i <= from; i++)
            for (int64_t j = weft__sources(t, &t->node[i], &s); j > 0; j--, s++)
                t->node[i].reached |= s->wants_grad && weft__walk_leads_on(w, s);
        return;
    }
    if (from >= first)
        t->node[from].reached = true;
    if (first == 0) {
        t->meets = 0;
        t->unmet = from;
    }
    for (int64_t i = from; i >= first; i--) {
        const weft__node *n = &t->node[i];
        if (!n->reached)
            continue;
        t->meets += n->op && n->op->drain;
        reach_from(t, n);
    }
}

/* The gradient of result r was asked for. */
static bool stays(const weft__walk *w, const weft__node *n, int r)
{
    return w->kind == WEFT__OF_BACKWARD && n->kept >> r & 1;
}

/* The gradients of the results; that of out is zeros where there is none. */
static weft_status of_results(const weft__walk *w, const weft__node *n, weft_op_call *c)
{
    weft__view_copy(&c->gout, &n->out);
    c->gout.data = weft__grad_of(n, w->kind, 0);
    c->spare = !stays(w, n, 0) && weft__block_alone(w->f, n->grad[w->kind][0].block);
    if (n->op->view) /* else it is contiguous already */
        WEFT_TRY(weft__view_pack(&c->gout));
    for (int i = n->op->results; i < WEFT_OP_SAVED; i++)
        weft__view_none(&c->gsaved[i]);
    for (int r = 1; r <= n->op->results; r++) {
        weft__view_copy(&c->gsaved[r - 1], &n->saved[r - 1]);
        c->gsaved[r - 1].data = weft__grad_of(n, w->kind, r);
        WEFT_TRY(weft__view_pack(&c->gsaved[r - 1]));
    }
    if (c->gout.data.addr)
        return WEFT_OK;
    WEFT_TRY(weft__scratch_view(w->f, &c->gout));
    return c->device->ops->zero(c->stream, c->gout.data, weft__view_bytes(&c->gout));
}

static bool took(const weft_fabric *f, weft__mark before)
{
    const weft__mark now = weft__engine_mark(f);
    return now.chunk != before.chunk || now.used != before.used;
}

static weft_status differentiate(weft__walk *w, weft__node *n)
{
    weft_fabric *f = w->f;
    const bool tell = w->kind == WEFT__OF_BACKWARD;
    weft__collector to[WEFT_OP_INPUTS];
    weft_op_call c;
    weft__call_begin(&c, f, n->op, n->nin, n->attr);
    weft__view_copy(&c.out, &n->out);
    c.sample = n->sample;
    weft__saved_copy(c.saved, n->saved);
    f->device->who = n->op->name;
    WEFT_TRY(of_results(w, n, &c));
    WEFT_TRY(weft__collect_begin(w, n, &c, to));
    const weft__mark mark = weft__engine_mark(f);
    const weft_status done = weft__op_run(&c, n->op->backward);
    if (n->op->drain)
        weft__tape_past(f->tape, n);
    WEFT_TRY(done);
    if (took(f, mark) && weft__collect_knows(w, n, &c, to))
        weft__engine_rewind(f, mark); /* all else was the op's own */
    WEFT_TRY(weft__collect_end(w, n, &c, to));
    for (int j = 0; tell && j < n->nin; j++) {
        weft__segment *s = n->from[j].segment;
        if (s && c.want[j] && --s->uses == 0 && f->tape->hooks.grad_ready)
            WEFT_TRY(f->tape->hooks.grad_ready(f->tape->hooks.self, s));
    }
    return WEFT_OK;
}

/* Nobody asks for the gradients of a node's results any more, but for those that are to be kept. */
static void let_go(const weft__walk *w, weft__node *n)
{
    for (int r = 0; n->op && r <= n->op->results; r++) {
        weft__grad *g = &n->grad[w->kind][r];
        if (stays(w, n, r))
            continue;
        weft__block_drop(w->f, g->block);
        *g = (weft__grad){.data = {0}};
    }
}

/* Whether something was made from a node that the walk has come through, or all ranks meet there. */
static bool has_gradient(const weft__walk *w, const weft__node *n)
{
    bool any = n->op && n->reached && n->op->drain;
    for (int r = 0; n->op && n->reached && r <= n->op->results; r++)
        any |= weft__grad_of(n, w->kind, r).addr != 0;
    return any;
}

weft_status weft__walk_nodes(weft__walk *w, int64_t from, int64_t first)
{
    weft__tape *t = w->f->tape;
    for (int64_t i = from; i >= first; i--) {
        weft__node *n = &t->node[i];
        if (!n->op && t->hooks.module && w->kind == WEFT__OF_BACKWARD)
            WEFT_TRY(t->hooks.module(t->hooks.self, n->module, n->enter, true));
        if (has_gradient(w, n)) {
            WEFT_TRY(n->op == &weft__op_recompute ? weft__replay(w, i) : differentiate(w, n));
            let_go(w, &t->node[i]); /* the tape may have moved */
        }
        if (t->hooks.between)
            t->hooks.between(t->hooks.self);
    }
    return WEFT_OK;
}

weft_status weft__walk_from(weft__walk *w, int64_t from, int r, double seed)
{
    weft__node *n = &w->f->tape->node[from];
    weft_dev *grad = &n->grad[w->kind][r].data;
    const weft_dtype t = weft__node_result(n, r)->dtype;
    if (seed != 0) {
        WEFT_TRY(weft__scratch(w->f, weft_dtype_size(t), grad));
        WEFT_TRY(w->f->device->ops->kernels->fill(w->f->stream, *grad, 1, seed, t));
        if (w->by.addr)
            WEFT_TRY(w->f->device->ops->kernels->shrink(w->f->stream, *grad, w->by, 1, t));
    }
    weft_status s = weft__walk_nodes(w, from, 0);
    w->f->device->who = NULL;
    return s;
}

/* What both walks ask of the tensor that they begin at. */
weft_status weft__walk_begins(const char *who, const char *what, const weft__tensor *x)
{
    if (x->view.numel != 1)
        return weft__fail(WEFT_ESHAPE,
                          "%s: %s has %lld elements; it must have one: take weft_mean or weft_sum",
                          who, what, (long long)x->view.numel);
    if (x->derived)
        return weft__fail(
            WEFT_ENOTSUP,
            "%s: second order: %s comes from a result of weft_grad, whose own gradient "
            "is not recorded; weft_detach makes that a constant",
            who, what);
    return WEFT_OK;
}

static weft_status can(const weft_fabric *f, weft_tensor *loss, weft__tensor **out)
{
    weft_fabric *home = NULL;
    weft__tensor *x = *out = weft__tensor_for("weft_backward", loss, &home);
    if (!x)
        return loss ? WEFT_EHANDLE : weft__fail(WEFT_EARG, "weft_backward: the loss is NULL");
    if (home != f)
        return weft__fail(WEFT_EHANDLE, "weft_backward: the loss belongs to another fabric");
    WEFT_TRY(weft__walk_begins("weft_backward", "the loss", x));
    if (x->node < 0)
        return weft__fail(WEFT_ESTATE, "weft_backward: the loss does not depend on any trainable "
                                       "parameter, or was made inside weft_eval_begin/end");
    return WEFT_OK;
}

weft_status weft__tape_can(weft_fabric *f, weft_tensor *loss)
{
    weft__tensor *x;
    return can(f, loss, &x);
}

void weft__tape_plan(weft_fabric *f, weft_tensor *loss)
{
    weft_fabric *home = NULL;
    const weft__tensor *x = loss ? weft__tensor_at(loss, &home) : NULL;
    weft__walk_reach(&(weft__walk){.f = f, .kind = WEFT__OF_BACKWARD},
                     x && home == f ? x->node : -1, 0);
}

weft_status weft__tape_backward(weft_fabric *f, weft_tensor *loss, double seed, weft_dev by)
{
    weft__walk w = {.f = f, .kind = WEFT__OF_BACKWARD, .by = by};
    weft__tensor *x;
    WEFT_TRY(can(f, loss, &x));
    const int64_t from = x->node;
    weft__walk_reach(&w, from, 0);
    if (seed == 0 && !f->tape->meets)
        return WEFT_OK;
    return weft__walk_from(&w, from, x->result, seed);
}
