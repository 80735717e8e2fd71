/* Reverse-mode differentiation: mark what the loss depends on, then walk the tape backwards. */
#include "autograd/tape.h"
#include "device/device.h"

#include <string.h>

/* Marks the nodes that the loss depends on and counts how often each parameter is used by them. */
static void reach(weft__tape *tape, int64_t from)
{
    for (size_t i = 0; i < tape->nodes; i++) {
        tape->node[i].reached = false;
        tape->node[i].grad.addr = 0;
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

/* Where the gradient of an input is collected; *fresh: nothing is there yet. */
static weft_status collector(weft_fabric *f, weft__input *in, weft_dev *out, bool *fresh)
{
    weft_dev *grad;
    weft__tensor *leaf = NULL;
    if (in->segment) {
        if (!in->segment->flat->plane[WEFT__GRAD].addr)
            return weft__fail(WEFT_ESTATE,
                              "weft_backward: parameter %s was not set up; call weft_setup before "
                              "the loop",
                              in->segment->name);
        *out = weft__flat_at(in->segment->flat, WEFT__GRAD, in->segment->first);
        *fresh = in->segment->grad == WEFT__GRAD_EMPTY;
        in->segment->grad = WEFT__GRAD_LOCAL;
        return WEFT_OK;
    }
    if (in->node >= 0) {
        grad = &f->tape->node[in->node].grad;
        *fresh = grad->addr == 0;
    } else {
        if (!(leaf = weft__tensor_at(in->tensor, NULL)))
            return WEFT_EHANDLE;
        grad = &leaf->leaf_grad;
        *fresh = leaf->leaf_edge != f->engine->edge;
    }
    if (*fresh)
        WEFT_TRY(weft__scratch(f, weft__view_bytes(&in->view), grad));
    if (leaf)
        leaf->leaf_edge = f->engine->edge;
    *out = *grad;
    return WEFT_OK;
}

static weft_status prepare(weft_fabric *f, weft__node *n, weft_op_call *c, weft_dev *sum)
{
    for (int j = 0; j < n->nin; j++) {
        bool fresh = true;
        c->in[j] =
            n->in[j].segment ? weft__segment_view(n->in[j].segment, WEFT__PARAM) : n->in[j].view;
        sum[j].addr = 0;
        c->want[j] = n->in[j].wants_grad;
        if (!c->want[j])
            continue;
        c->gin[j] = n->in[j].view;
        WEFT_TRY(weft__view_pack(&c->gin[j]));
        WEFT_TRY(collector(f, &n->in[j], &c->gin[j].data, &fresh));
        if (!fresh) {
            sum[j] = c->gin[j].data;
            WEFT_TRY(weft__scratch(f, weft__view_bytes(&c->gin[j]), &c->gin[j].data));
        }
    }
    return WEFT_OK;
}

static weft_status differentiate(weft_fabric *f, weft__node *n)
{
    weft_dev sum[WEFT_OP_INPUTS];
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
    c.gout.data = n->grad;
    WEFT_TRY(weft__view_pack(&c.gout));
    WEFT_TRY(prepare(f, n, &c, sum));
    WEFT_TRY(n->op->backward(&c));
    for (int j = 0; j < n->nin; j++) {
        weft__segment *s = n->in[j].segment;
        if (sum[j].addr)
            WEFT_TRY(
                c.k->axpy(f->stream, sum[j], 1.0, c.gin[j].data, c.gin[j].numel, c.gin[j].dtype));
        if (c.want[j] && s && --s->uses == 0 && f->tape->hooks.grad_ready)
            WEFT_TRY(f->tape->hooks.grad_ready(f->tape->hooks.self, s));
    }
    return WEFT_OK;
}

static weft_status walk(weft_fabric *f, int64_t from)
{
    weft__tape *t = f->tape;
    for (int64_t i = from; i >= 0; i--) {
        weft__node *n = &t->node[i];
        if (!n->op && t->hooks.module)
            WEFT_TRY(t->hooks.module(t->hooks.self, n->module, n->enter));
        if (n->op && n->reached && n->grad.addr)
            WEFT_TRY(differentiate(f, n));
    }
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
    if (x->view.numel != 1)
        return weft__fail(WEFT_ESHAPE,
                          "weft_backward: the loss has %lld elements; it must have one: take "
                          "weft_mean or weft_sum",
                          (long long)x->view.numel);
    if (x->node < 0)
        return weft__fail(WEFT_ESTATE, "weft_backward: the loss does not depend on any trainable "
                                       "parameter, or was made inside weft_eval_begin/end");
    int64_t from = x->node;
    weft__node *n = &f->tape->node[from];
    reach(f->tape, from);
    if (seed == 0)
        return WEFT_OK;
    WEFT_TRY(weft__scratch(f, weft_dtype_size(n->out.dtype), &n->grad));
    WEFT_TRY(f->device->ops->kernels->fill(f->stream, n->grad, 1, seed, n->out.dtype));
    return walk(f, from);
}

weft_tensor *weft_gradient(weft_tensor *t)
{
    weft_fabric *f = NULL;
    weft__tensor *x = weft__tensor_at(t, &f);
    if (!x)
        return NULL;
    weft_view v = x->view;
    weft_status s = weft__view_pack(&v);
    if (x->segment)
        v.data = !x->segment->flat || x->segment->grad == WEFT__GRAD_EMPTY
                     ? (weft_dev){0}
                     : weft__flat_at(x->segment->flat, WEFT__GRAD, x->segment->first);
    else if (x->node >= 0)
        v.data = f->tape->node[x->node].grad;
    else
        v.data = x->leaf_edge == f->engine->edge ? x->leaf_grad : (weft_dev){0};
    if (!s && !v.data.addr)
        s = weft__fail(WEFT_ESTATE, "weft_gradient: the tensor has no gradient; was weft_backward "
                                    "called, and does the loss depend on it?");
    if (s) {
        weft__note(f, s);
        return NULL;
    }
    return weft__tensor_new(f, &v, true, NULL);
}
