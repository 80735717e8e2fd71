/* Applying and recording an op: cast, make contiguous, check, compute, note down. */
#include "autograd/tape.h"

#include "core/alloc.h"
#include "device/device.h"

#include <string.h>

weft_status weft__tape_open(weft_fabric *f)
{
    f->tape = weft__new(1, sizeof *f->tape);
    return f->tape ? WEFT_OK : WEFT_ENOMEM;
}

void weft__tape_close(weft_fabric *f)
{
    if (!f->tape)
        return;
    weft__free(f->tape->node);
    weft__free(f->tape->now.n);
    weft__free(f->tape->before.n);
    weft__free(f->tape->use);
    weft__free(f->tape->lent);
    weft__free(f->tape);
    f->tape = NULL;
}

void weft__tape_edge(weft_fabric *f)
{
    weft__tape_cut(f->tape, 0);
    f->tape->draws = 0;
    weft__tape_schedule_edge(f->tape, !weft__stuck(f));
}

void weft_eval_begin(weft_fabric *f)
{
    if (!f || f->shut)
        return;
    if (f->tape->eval++ == 0)
        f->tape->eval_mark = weft__engine_mark(f);
}

void weft_eval_end(weft_fabric *f)
{
    if (!f || f->shut)
        return;
    if (f->tape->eval == 0)
        weft__stick(f, weft__fail(WEFT_ESTATE, "weft_eval_end without weft_eval_begin"));
    else
        f->tape->eval--;
}

weft_status weft__tape_append(weft__tape *t, weft__node **out)
{
    WEFT_TRY(weft__grow(&t->node, &t->room, t->nodes + 1, sizeof *t->node));
    *out = &t->node[t->nodes++];
    (*out)->uses = t->uses;
    (*out)->kept = 0;
    return WEFT_OK;
}

void weft__tape_cut(weft__tape *t, size_t nodes)
{
    t->nodes = nodes;
    t->uses = nodes ? t->node[nodes - 1].uses : 0;
}

weft_status weft__tape_note_module(weft_fabric *f, weft_module *m, bool enter)
{
    const weft__hooks *h = &f->tape->hooks;
    weft__node *n;
    WEFT_TRY(h->module(h->self, m, enter, false));
    if (f->tape->eval)
        return WEFT_OK;
    WEFT_TRY(weft__tape_append(f->tape, &n));
    n->op = NULL;
    n->module = m;
    n->enter = enter;
    n->reached = false;
    n->nin = 0;
    memset(n->grad, 0, sizeof n->grad);
    return WEFT_OK;
}

/* What an input of a call is seen as. */
typedef struct source {
    weft_tensor *tensor;
    weft__plane plane; /* of the parameter that it is */
} source;

/* An input as `to`: the parameter's copy of that type, or what is cast here. */
static weft_status cast(weft_fabric *f, weft_dtype to, source *in, weft__tensor **x, weft_view *v)
{
    const weft__segment *s = (*x)->segment;
    if (s && s->flat->plane[WEFT__COMPUTE].addr && s->flat->type[WEFT__COMPUTE] == to) {
        WEFT_TRY(weft__flat_refresh(s->flat));
        in->plane = WEFT__COMPUTE;
        weft__segment_see(s, WEFT__COMPUTE, v);
        return WEFT_OK;
    }
    in->tensor = weft_apply(f, &weft__op_cast, 1, &in->tensor, &to);
    if (!(*x = weft__tensor_at(in->tensor, NULL)))
        return weft__stuck(f) ? weft__stuck(f) : WEFT_ENOMEM;
    weft__view_copy(v, &(*x)->view);
    return WEFT_OK;
}

static weft_status not_here(const weft_op *op, weft_tensor *t, int i)
{
    if (weft__tensor_for(op->name, t, NULL))
        weft__fail(WEFT_EHANDLE, "%s: input %d belongs to another fabric", op->name, i);
    return WEFT_EHANDLE;
}

/* Resolves the inputs: NULL inputs stay NULL only where they are optional (trailing). */
static weft_status resolve(weft_fabric *f, weft_op_call *c, weft_tensor *const *given, source *in,
                           weft__tensor **x)
{
    const weft_op *op = c->op;
    const int n = c->nin;
    weft_dtype widest = WEFT_DEFAULT;
    for (int i = 0; i < n; i++) {
        if (!(x[i] = weft__tensor_here(f, given[i])))
            return not_here(op, given[i], i);
        if (x[i]->segment && !x[i]->view.data.addr)
            return weft__fail(WEFT_ESTATE,
                              "%s: parameter %s has no memory before weft_setup or the first "
                              "weft_forward",
                              op->name, x[i]->segment->name);
        weft__view_copy(&c->in[i], &x[i]->view);
        in[i].tensor = given[i];
        in[i].plane = WEFT__PARAM;
        const weft_dtype t = x[i]->view.dtype;
        if (t != widest && weft__is_float(t))
            widest = widest ? weft__wider(widest, t) : t;
    }
    const weft_dtype to = weft__computes_in(f, op, widest);
    for (int i = 0; i < n; i++) {
        if (x[i]->view.dtype != to && to != WEFT_DEFAULT && weft__is_float(x[i]->view.dtype))
            WEFT_TRY(cast(f, to, &in[i], &x[i], &c->in[i]));
        if (op->contiguous)
            WEFT_TRY(weft__view_packed(f, &c->in[i], &c->in[i]));
    }
    return WEFT_OK;
}

static weft_status compute(weft_fabric *f, const weft_op *op, weft_op_call *c)
{
    WEFT_TRY(op->shape(c));
    if (op->view)
        return WEFT_OK;
    WEFT_TRY(weft__scratch_view(f, &c->out));
    for (int i = 0; i < WEFT_OP_SAVED; i++)
        if (c->saved[i].dtype != WEFT_DEFAULT)
            WEFT_TRY(weft__scratch_view(f, &c->saved[i]));
    return weft__op_run(c, op->forward);
}

static void note_input(weft__node *n, int i, const weft_view *v, const source *in,
                       const weft__tensor *x)
{
    n->from[i] = (weft__origin){.tensor = in->tensor,
                                .segment = x->segment,
                                .node = x->node,
                                .result = x->result,
                                .wants_grad = x->wants_grad};
    n->in[i].plane = in->plane;
    if (x->segment) /* which has the rest */
        n->in[i].view.dtype = v->dtype;
    else
        weft__view_copy(&n->in[i].view, v);
}

static weft_status record(weft_fabric *f, const weft_op_call *c, const source *in,
                          weft__tensor *const *x, weft__tensor *const *result)
{
    weft__node *n;
    WEFT_TRY(weft__tape_append(f->tape, &n));
    n->op = c->op;
    n->module = NULL;
    n->reached = false;
    n->nin = c->nin;
    weft__view_copy(&n->out, &c->out);
    memset(n->grad[WEFT__OF_BACKWARD], 0, sizeof *n->grad);
    n->sample = c->sample;
    weft__saved_copy(n->saved, c->saved);
    memcpy(n->attr, c->attr, c->op->attr_size);
    for (int i = 0; i < c->nin; i++)
        note_input(n, i, &c->in[i], &in[i], x[i]);
    for (int r = 0; r <= c->op->results; r++) {
        result[r]->node = (int64_t)f->tape->nodes - 1;
        result[r]->result = r;
        result[r]->wants_grad = weft__is_float(result[r]->view.dtype);
    }
    return WEFT_OK;
}

static weft_status complete(const weft_op *op, int n, weft_tensor *const *inputs, const void *attr)
{
    if (!op || op->size != sizeof *op || !op->name || !op->shape || (!op->forward && !op->view) ||
        op->attr_size > WEFT__ATTR || op->results < 0 || op->results > WEFT_OP_SAVED ||
        (op->view && op->results))
        return weft__fail(WEFT_EARG, "weft_apply: the table of op %s is incomplete or too large",
                          op && op->name ? op->name : "?");
    if (n < 1 || n > WEFT_OP_INPUTS || !inputs || (op->attr_size && !attr))
        return weft__fail(WEFT_EARG, "%s: %d inputs%s%s; an op takes 1 to %d%s", op->name, n,
                          inputs ? "" : " at NULL", attr || !op->attr_size ? "" : ", no attributes",
                          WEFT_OP_INPUTS, op->attr_size ? " and attributes" : "");
    return WEFT_OK;
}

/* The results as tensors: out, and what op->results says of the saved arrays. */
static weft_status give(weft_fabric *f, const weft_op_call *c, const source *in,
                        weft__tensor *const *x, weft_tensor **out)
{
    weft__tensor *result[WEFT__RESULTS];
    bool wants = false, derived = false;
    bool plain = c->rows == WEFT_ROWS_KEEP && !c->weight.addr; /* what there is most of */
    for (int i = 0; i < c->nin; i++) {
        wants |= x[i]->wants_grad;
        derived |= x[i]->derived;
        plain &= x[i]->reduction == WEFT__NONE && !x[i]->weight.addr;
    }
    for (int r = 0; r <= c->op->results; r++) {
        const weft_view *v = r ? &c->saved[r - 1] : &c->out;
        if (v->dtype == WEFT_DEFAULT)
            return weft_op_fail(c, WEFT_EARG, "its shape function left result %d without a type",
                                r);
        if (!(out[r] = weft__tensor_new(f, v, true, &result[r])))
            return WEFT_ENOMEM;
        result[r]->derived = derived && c->op->backward;
        weft__inherit_rows(c, result[r], x);
        if (!plain)
            WEFT_TRY(weft__inherit_reduction(c, result[r], c->nin, x));
    }
    return wants && c->op->backward && !f->tape->eval ? record(f, c, in, x, result) : WEFT_OK;
}

static weft_status apply(weft_fabric *f, const weft_op *op, int n, weft_tensor *const *inputs,
                         const void *attr, weft_tensor **out)
{
    _Alignas(16) unsigned char copy[WEFT__ATTR];
    source in[WEFT_OP_INPUTS];
    weft__tensor *x[WEFT_OP_INPUTS] = {NULL};
    weft_op_call c;
    weft__call_begin(&c, f, op, n, copy);
    c.rows = op->rows;
    weft__view_none(&c.out);
    for (int i = 0; i < WEFT_OP_SAVED; i++)
        weft__view_none(&c.saved[i]);
    if (attr)
        memcpy(copy, attr, op->attr_size);
    WEFT_TRY(resolve(f, &c, inputs, in, x));
    weft__find_batch(&c, n, x);
    WEFT_TRY(compute(f, op, &c));
    return give(f, &c, in, x, out);
}

weft_tensor *weft_apply_results(weft_fabric *f, const weft_op *op, int n,
                                weft_tensor *const *inputs, const void *attr, weft_tensor **more)
{
    weft_tensor *out[WEFT__RESULTS] = {NULL};
    for (int i = 0; more && op && i < op->results && i < WEFT_OP_SAVED; i++)
        more[i] = NULL;
    for (int i = 0; i < n && inputs; i++)
        if (!inputs[i])
            return NULL;
    if (weft__stuck(f) || f->shut)
        return NULL;
    weft_status s = complete(op, n, inputs, attr);
    if (!s && op->results && !more)
        s = weft__fail(WEFT_EARG, "%s: it has %d more results, and no place for them was given",
                       op->name, op->results);
    if (!s) {
        f->device->who = op->name;
        s = apply(f, op, n, inputs, attr, out);
        f->device->who = NULL;
    }
    if (s < 0) {
        if (!weft__stuck(f))
            weft__stick(f, s);
        return NULL;
    }
    for (int i = 0; i < op->results; i++)
        more[i] = out[1 + i];
    return out[0];
}

weft_tensor *weft_apply(weft_fabric *f, const weft_op *op, int n, weft_tensor *const *inputs,
                        const void *attr)
{
    weft_tensor *more[WEFT_OP_SAVED];
    return weft_apply_results(f, op, n, inputs, attr, more);
}
