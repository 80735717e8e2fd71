/* Reverse-mode differentiation: mark what the loss depends on, then walk the tape backwards. A walk
 * leaves the gradients of parameters and of leaves, and tells the strategy; or it looks for that of
 * one tensor, its target, and leaves nothing else. */
#include "autograd/tape.h"
#include "device/device.h"

#include <string.h>

typedef struct walk {
    weft_fabric *f;
    int kind;
    weft__input target; /* of WEFT__OF_GRAD */
    weft_dev grad;      /* the target's, contiguous */
    bool found;         /* something is there */
} walk;

/* True if in is what the walk looks for: the parameter, the result of a node, or the leaf. */
static bool is_target(const walk *w, const weft__input *in)
{
    const weft__input *t = &w->target;
    if (w->kind != WEFT__OF_GRAD || t->segment || in->segment)
        return w->kind == WEFT__OF_GRAD && in->segment == t->segment;
    return in->node == t->node && (in->node >= 0 || in->tensor == t->tensor);
}

/* Whether a gradient is wanted for an input, of a reached node. */
static bool wanted(const walk *w, const weft__input *in)
{
    if (w->kind != WEFT__OF_GRAD || !in->wants_grad)
        return in->wants_grad;
    return is_target(w, in) || (in->node >= 0 && w->f->tape->node[in->node].reached);
}

/* Marks the nodes that lie between the target and `from`. */
static void lead(const walk *w, int64_t from)
{
    for (int64_t i = 0; i <= from; i++) {
        weft__node *n = &w->f->tape->node[i];
        n->reached = false;
        n->grad[w->kind].addr = 0;
        for (int j = 0; n->op && j < n->nin; j++)
            n->reached |= wanted(w, &n->in[j]);
    }
}

/* Marks the nodes that the loss depends on and counts how often each parameter is used by them. */
static void reach(weft__tape *tape, int64_t from)
{
    for (size_t i = 0; i < tape->nodes; i++) {
        tape->node[i].reached = false;
        tape->node[i].grad[WEFT__OF_BACKWARD].addr = 0;
        for (int j = 0; j < tape->node[i].nin && tape->node[i].op; j++)
            if (tape->node[i].in[j].segment)
                tape->node[i].in[j].segment->uses = 0;
    }
    if (from < 0)
        return;
    tape->node[from].reached = true;
    for (int64_t i = from; i >= 0; i--) {
        weft__node *n = &tape->node[i];
        for (int j = 0; n->op && n->reached && j < n->nin; j++) {
            if (n->in[j].wants_grad && n->in[j].node >= 0)
                tape->node[n->in[j].node].reached = true;
            if (n->in[j].wants_grad && n->in[j].segment)
                n->in[j].segment->uses++;
        }
    }
}

/* Where the gradient of an input is collected. */
typedef struct collector {
    weft_dev data;
    weft_dtype type;
    bool fresh; /* nothing is there yet */
} collector;

/* Those of parameters are added up in f32 at least. */
static weft_dtype grad_type(const weft__segment *s, weft_dtype type)
{
    return s && s->flat ? s->flat->type[WEFT__GRAD] : type;
}

static weft_status collect(walk *w, weft__input *in, collector *to)
{
    weft_fabric *f = w->f;
    weft_dev *grad;
    weft__tensor *leaf = NULL;
    to->type = grad_type(in->segment, in->view.dtype);
    if (is_target(w, in)) {
        to->data = w->grad;
        to->fresh = !w->found;
        w->found = true;
        return WEFT_OK;
    }
    if (in->segment) {
        if (!in->segment->flat->plane[WEFT__GRAD].addr)
            return weft__fail(WEFT_ESTATE,
                              "weft_backward: parameter %s was not set up; call weft_setup before "
                              "the loop",
                              in->segment->name);
        return weft__segment_collect(in->segment, &to->data, &to->fresh);
    }
    if (in->node >= 0) {
        grad = &f->tape->node[in->node].grad[w->kind];
        to->fresh = grad->addr == 0;
    } else {
        if (!(leaf = weft__tensor_at(in->tensor, NULL)))
            return WEFT_EHANDLE;
        grad = &leaf->leaf_grad;
        to->fresh = leaf->leaf_edge != f->engine->edge;
    }
    if (to->fresh)
        WEFT_TRY(weft__scratch(f, weft__view_bytes(&in->view), grad));
    if (leaf)
        leaf->leaf_edge = f->engine->edge;
    to->data = *grad;
    return WEFT_OK;
}

/* Gradients go where they are collected, or beside it if something is there or the type differs. */
static weft_status prepare(walk *w, weft__node *n, weft_op_call *c, collector *to)
{
    for (int j = 0; j < n->nin; j++) {
        weft__input *in = &n->in[j];
        c->in[j] = in->segment ? weft__segment_view(in->segment, in->plane) : in->view;
        c->want[j] = wanted(w, in);
        if (!c->want[j])
            continue;
        WEFT_TRY(collect(w, in, &to[j]));
        c->gin[j] = in->view;
        c->gin[j].dtype = n->op->wide ? to[j].type : in->view.dtype;
        c->gin[j].data = to[j].data;
        WEFT_TRY(weft__view_pack(&c->gin[j]));
        if (!to[j].fresh || c->gin[j].dtype != to[j].type)
            WEFT_TRY(weft__scratch(w->f, weft__view_bytes(&c->gin[j]), &c->gin[j].data));
    }
    return WEFT_OK;
}

static weft_status deposit(const weft_op_call *c, const weft_view *g, const collector *to)
{
    weft_view cast = *g;
    if (g->data.addr == to->data.addr)
        return WEFT_OK;
    cast.dtype = to->type;
    cast.data = to->data;
    if (g->dtype != to->type && !to->fresh)
        WEFT_TRY(weft__scratch(c->fabric, weft__view_bytes(&cast), &cast.data));
    if (g->dtype != to->type)
        WEFT_TRY(c->k->copy(c->stream, cast.data, cast.dtype, cast.stride, g->data, g->dtype,
                            g->stride, g->rank, g->shape));
    else
        cast.data = g->data;
    return to->fresh ? WEFT_OK
                     : c->k->axpy(c->stream, to->data, 1.0, cast.data, cast.numel, cast.dtype);
}

static weft_status differentiate(walk *w, weft__node *n)
{
    weft_fabric *f = w->f;
    const bool tell = w->kind == WEFT__OF_BACKWARD;
    collector to[WEFT_OP_INPUTS];
    weft_op_call c = {.op = n->op,
                      .fabric = f,
                      .device = f->device,
                      .stream = f->stream,
                      .k = f->device->ops->kernels,
                      .attr = n->attr,
                      .nin = n->nin,
                      .out = n->out,
                      .gout = n->out,
                      .sample = n->sample};
    memcpy(c.saved, n->saved, sizeof c.saved);
    c.gout.data = n->grad[w->kind];
    f->device->who = n->op->name;
    WEFT_TRY(weft__view_pack(&c.gout));
    WEFT_TRY(prepare(w, n, &c, to));
    WEFT_TRY(n->op->backward(&c));
    for (int j = 0; j < n->nin; j++) {
        weft__segment *s = n->in[j].segment;
        if (c.want[j])
            WEFT_TRY(deposit(&c, &c.gin[j], &to[j]));
        if (c.want[j] && s && tell && --s->uses == 0 && f->tape->hooks.grad_ready)
            WEFT_TRY(f->tape->hooks.grad_ready(f->tape->hooks.self, s));
    }
    return WEFT_OK;
}

static weft_status nodes(walk *w, int64_t from)
{
    weft__tape *t = w->f->tape;
    for (int64_t i = from; i >= 0; i--) {
        weft__node *n = &t->node[i];
        if (!n->op && t->hooks.module && w->kind == WEFT__OF_BACKWARD)
            WEFT_TRY(t->hooks.module(t->hooks.self, n->module, n->enter, true));
        if (n->op && n->reached && n->grad[w->kind].addr)
            WEFT_TRY(differentiate(w, n));
        if (t->hooks.between)
            t->hooks.between(t->hooks.self);
    }
    return WEFT_OK;
}

static weft_status walk_from(walk *w, int64_t from, double seed)
{
    weft__node *n = &w->f->tape->node[from];
    weft_dev *grad = &n->grad[w->kind];
    WEFT_TRY(weft__scratch(w->f, weft_dtype_size(n->out.dtype), grad));
    WEFT_TRY(w->f->device->ops->kernels->fill(w->f->stream, *grad, 1, seed, n->out.dtype));
    weft_status s = nodes(w, from);
    w->f->device->who = NULL;
    return s;
}

/* What both walks ask of the tensor that they begin at. */
static weft_status begins(const char *who, const char *what, const weft__tensor *x)
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

weft_status weft__tape_backward(weft_fabric *f, weft_tensor *loss, double seed)
{
    weft_fabric *home = NULL;
    weft__tensor *x = weft__tensor_for("weft_backward", loss, &home);
    if (!x)
        return loss ? WEFT_EHANDLE : weft__fail(WEFT_EARG, "weft_backward: the loss is NULL");
    if (home != f)
        return weft__fail(WEFT_EHANDLE, "weft_backward: the loss belongs to another fabric");
    WEFT_TRY(begins("weft_backward", "the loss", x));
    if (x->node < 0)
        return weft__fail(WEFT_ESTATE, "weft_backward: the loss does not depend on any trainable "
                                       "parameter, or was made inside weft_eval_begin/end");
    reach(f->tape, x->node);
    if (seed == 0)
        return WEFT_OK;
    return walk_from(&(walk){.f = f, .kind = WEFT__OF_BACKWARD}, x->node, seed);
}

static weft_status look(walk *w, const weft__tensor *y, const weft__tensor *x, weft_view *out)
{
    *out = x->view;
    out->dtype = grad_type(x->segment, x->view.dtype);
    WEFT_TRY(begins("weft_grad", "y", y));
    WEFT_TRY(weft__scratch_view(w->f, out));
    w->grad = out->data;
    if (x == y)
        return w->f->device->ops->kernels->fill(w->f->stream, w->grad, 1, 1, out->dtype);
    lead(w, y->node);
    if (y->node < 0 || !w->f->tape->node[y->node].reached)
        return weft__fail(WEFT_ESTATE,
                          "weft_grad: y does not depend on x. Is x a trainable parameter, or was "
                          "weft_require_grad called before x was used? Was y made inside "
                          "weft_eval_begin/end?");
    weft__mark mark = weft__engine_mark(w->f);
    weft_status s = walk_from(w, y->node, 1);
    weft__engine_rewind(w->f, mark); /* the result was made before */
    return s;
}

weft_tensor *weft_grad(weft_tensor *y, weft_tensor *x)
{
    weft_fabric *f = NULL, *home = NULL;
    const weft__tensor *from = weft__tensor_for("weft_grad", y, &f);
    const weft__tensor *to = weft__tensor_for("weft_grad", x, &home);
    weft__tensor *made;
    weft_view v;
    if (!from || !to || weft__stuck(f))
        return NULL;
    walk w = {.f = f,
              .kind = WEFT__OF_GRAD,
              .target = {.tensor = x, .segment = to->segment, .node = to->node}};
    weft__part part = weft__enter(f, WEFT__BACKWARD);
    weft_status s = home == f ? look(&w, from, to, &v)
                              : weft__fail(WEFT_EHANDLE, "weft_grad: x belongs to another fabric");
    weft__enter(f, part);
    if (s < 0) {
        weft__stick(f, s);
        return NULL;
    }
    weft_tensor *out = weft__tensor_new(f, &v, true, &made);
    if (out) {
        made->derived = true;
        made->rows = to->rows;
    }
    return out;
}

weft_tensor *weft_gradient(weft_tensor *t)
{
    weft_fabric *f = NULL;
    weft__tensor *x = weft__tensor_at(t, &f);
    if (!x)
        return NULL;
    weft_view v = x->view;
    if (x->segment && x->segment->flat)
        v.dtype = x->segment->flat->type[WEFT__GRAD];
    weft_status s = weft__view_pack(&v);
    if (x->segment)
        v.data = !x->segment->flat || x->segment->grad == WEFT__GRAD_EMPTY
                     ? (weft_dev){0}
                     : weft__flat_at(x->segment->flat, WEFT__GRAD, x->segment->first);
    else if (x->node >= 0)
        v.data = f->tape->node[x->node].grad[WEFT__OF_BACKWARD];
    else
        v.data = x->leaf_edge == f->engine->edge ? x->leaf_grad : (weft_dev){0};
    if (!s && x->segment && x->segment->grad && x->segment->flat->cut && f->world > 1)
        s = weft__fail(WEFT_ENOTSUP,
                       "weft_gradient: the strategy cuts gradients in pieces, one a rank, and no "
                       "rank has that of %s; strategy ddp leaves all of them on every rank",
                       x->segment->name);
    else if (!s && !v.data.addr)
        s = weft__fail(WEFT_ESTATE, "weft_gradient: the tensor has no gradient; was weft_backward "
                                    "called, and does the loss depend on it?");
    if (s) {
        weft__note(f, s);
        return NULL;
    }
    return weft__tensor_new(f, &v, true, NULL);
}
