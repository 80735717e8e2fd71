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
    weft__free(f->tape);
    f->tape = NULL;
}

void weft__tape_edge(weft_fabric *f)
{
    f->tape->nodes = 0;
    f->tape->draws = 0;
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

static weft_status append(weft__tape *t, weft__node **out)
{
    WEFT_TRY(weft__grow(&t->node, &t->room, t->nodes + 1, sizeof *t->node));
    *out = &t->node[t->nodes++];
    return WEFT_OK;
}

weft_status weft__tape_mark(weft_fabric *f, weft_module *m, bool enter)
{
    const weft__hooks *h = &f->tape->hooks;
    weft__node *n;
    if (h->module)
        WEFT_TRY(h->module(h->self, m, enter, false));
    if (f->tape->eval)
        return WEFT_OK;
    WEFT_TRY(append(f->tape, &n));
    *n = (weft__node){.module = m, .enter = enter};
    return WEFT_OK;
}

/* Input number i as `to`: the parameter's copy of that type, or what is cast here. */
static weft_status cast(weft_fabric *f, weft_dtype to, weft__input *in, weft__tensor **x)
{
    const weft__segment *s = (*x)->segment;
    if (s && s->flat->plane[WEFT__COMPUTE].addr && s->flat->type[WEFT__COMPUTE] == to) {
        WEFT_TRY(weft__flat_refresh(s->flat));
        in->plane = WEFT__COMPUTE;
        in->view = weft__segment_view(s, WEFT__COMPUTE);
        return WEFT_OK;
    }
    in->tensor = weft_apply(f, &weft__op_cast, 1, &in->tensor, &to);
    if (!(*x = weft__tensor_at(in->tensor, NULL)))
        return weft__stuck(f) ? weft__stuck(f) : WEFT_ENOMEM;
    in->view = (*x)->view;
    return WEFT_OK;
}

/* Resolves the inputs: NULL inputs stay NULL only where they are optional (trailing). */
static weft_status resolve(weft_fabric *f, const weft_op *op, int n, weft_tensor *const *given,
                           weft__input *in, weft__tensor **x)
{
    for (int i = 0; i < n; i++) {
        weft_fabric *home = NULL;
        if (!(x[i] = weft__tensor_for(op->name, given[i], &home)))
            return WEFT_EHANDLE;
        if (home != f)
            return weft__fail(WEFT_EHANDLE, "%s: input %d belongs to another fabric", op->name, i);
        if (x[i]->segment && !x[i]->view.data.addr)
            return weft__fail(WEFT_ESTATE,
                              "%s: parameter %s has no memory before weft_setup or the first "
                              "weft_forward",
                              op->name, x[i]->segment->name);
        in[i] = (weft__input){.view = x[i]->view, .tensor = given[i]};
    }
    weft_dtype to = weft__computes_in(f, op, n, x);
    for (int i = 0; i < n && to != WEFT_DEFAULT; i++)
        if (weft__is_float(x[i]->view.dtype) && x[i]->view.dtype != to)
            WEFT_TRY(cast(f, to, &in[i], &x[i]));
    return WEFT_OK;
}

static void inherit_rows(const weft_op_call *c, weft__tensor *out, weft__tensor *const *x)
{
    if (c->lead < 0)
        return;
    out->rows = x[c->lead]->rows;
    out->rows.dim = c->rows == WEFT_ROWS_KEEP || c->rows == WEFT_ROWS_CHOSEN ? c->batch : -1;
    if (c->rows != WEFT_ROWS_CHOSEN)
        return;
    out->rows.local = out->view.shape[c->batch];
    out->rows.global = 0;
    out->rows.base = c->base;
    out->rows.ids = NULL;
}

static weft__reduction reduction_of(const weft_op_call *c, bool wants_grad)
{
    static const weft__reduction of[] = {[WEFT_ROWS_KEEP] = WEFT__NONE,
                                         [WEFT_ROWS_MEAN] = WEFT__MEAN,
                                         [WEFT_ROWS_SUM] = WEFT__SUM,
                                         [WEFT_ROWS_CHOSEN] = WEFT__NONE,
                                         [WEFT_ROWS_OTHER] = WEFT__LOCAL};
    return c->rows == WEFT_ROWS_OTHER && !wants_grad ? WEFT__NONE : of[c->rows];
}

static bool any_rows(int n, weft__tensor *const *x)
{
    for (int i = 0; i < n; i++)
        if (x[i]->rows.batch && x[i]->rows.dim >= 0 && x[i]->reduction == WEFT__NONE)
            return true;
    return false;
}

/* A sum over the batch that meets rows again is a factor of each: a constant, or what this rank's rows
 * alone decide. */
static weft__reduction seen_as(const weft__tensor *x, bool rows)
{
    if (x->reduction != WEFT__SUM || !rows)
        return x->reduction;
    return x->wants_grad ? WEFT__LOCAL : WEFT__NONE;
}

/* Whether two means are over different numbers of rows. */
static bool uneven(int n, weft__tensor *const *x)
{
    const weft__tensor *first = NULL;
    for (int i = 0; i < n; i++) {
        if (x[i]->reduction != WEFT__MEAN || x[i]->weight.addr)
            continue;
        first = first ? first : x[i];
        if (x[i]->rows.local != first->rows.local || x[i]->rows.global != first->rows.global)
            return true;
    }
    return false;
}

/* Gradients are sums: a loss must be one kind of reduction of the batch throughout. */
static weft_status inherit_reduction(const weft_op_call *c, weft__tensor *out, int n,
                                     weft__tensor *const *x)
{
    weft__reduction r = WEFT__NONE;
    bool sum = false, other = false, wants = false;
    const bool rows = any_rows(n, x);
    for (int i = 0; i < n; i++) {
        wants |= x[i]->wants_grad;
        if (seen_as(x[i], rows) > r)
            r = seen_as(x[i], rows);
        sum |= x[i]->reduction == WEFT__SUM;
        other |=
            x[i]->reduction == WEFT__MEAN ||
            (n > 1 && x[i]->view.numel == 1 && x[i]->reduction == WEFT__NONE && x[i]->wants_grad);
    }
    if (sum && other)
        return weft_op_fail(c, WEFT_EARG,
                            "a sum over the batch is combined with a mean or with a term that does "
                            "not come from the batch; ranks could not weigh it: use the mean");
    if (r == WEFT__NONE && out->rows.batch)
        r = reduction_of(c, wants);
    out->reduction = uneven(n, x) ? WEFT__LOCAL : r;
    return WEFT_OK;
}

/* A mean that is weighed by its own denominator stays alone: one number weighs a loss. */
static weft_status inherit_weight(const weft_op_call *c, weft__tensor *out, int n,
                                  weft__tensor *const *x)
{
    bool rows = false, other = false;
    out->weight = c->weight;
    for (int i = 0; i < n; i++) {
        weft_dev w = x[i]->weight;
        rows |= !w.addr && x[i]->reduction == WEFT__MEAN;
        other |= w.addr && out->weight.addr && w.addr != out->weight.addr;
        out->weight = w.addr ? w : out->weight;
    }
    if (out->weight.addr && (rows || other))
        return weft_op_fail(c, WEFT_EARG,
                            "two means with different denominators are combined; ranks could not "
                            "weigh them: call weft_backward for each, gradients add up");
    return WEFT_OK;
}

static weft_status compute(weft_fabric *f, const weft_op *op, weft_op_call *c)
{
    for (int i = 0; i < c->nin && op->contiguous; i++)
        WEFT_TRY(weft__view_packed(f, &c->in[i], &c->in[i]));
    WEFT_TRY(op->shape(c));
    if (op->view)
        return WEFT_OK;
    WEFT_TRY(weft__scratch_view(f, &c->out));
    for (int i = 0; i < WEFT_OP_SAVED; i++)
        if (c->saved[i].dtype != WEFT_DEFAULT)
            WEFT_TRY(weft__scratch_view(f, &c->saved[i]));
    return op->forward(c);
}

static weft_status record(weft_fabric *f, const weft_op_call *c, const weft__input *in,
                          weft__tensor *const *x, weft__tensor *out)
{
    weft__node *n;
    bool wants = false;
    for (int i = 0; i < c->nin; i++)
        wants |= x[i]->wants_grad;
    if (!wants || !c->op->backward || f->tape->eval)
        return WEFT_OK;
    WEFT_TRY(append(f->tape, &n));
    n->op = c->op;
    n->module = NULL;
    n->nin = c->nin;
    n->out = c->out;
    memset(n->grad, 0, sizeof n->grad);
    n->sample = c->sample;
    memcpy(n->saved, c->saved, sizeof n->saved);
    memcpy(n->attr, c->attr, c->op->attr_size);
    for (int i = 0; i < c->nin; i++)
        n->in[i] = (weft__input){.view = c->in[i],
                                 .tensor = in[i].tensor,
                                 .segment = x[i]->segment,
                                 .plane = in[i].plane,
                                 .node = x[i]->node,
                                 .wants_grad = x[i]->wants_grad};
    out->node = (int64_t)f->tape->nodes - 1;
    out->wants_grad = true;
    return WEFT_OK;
}

/* Whether dimension 0 is the batch's rows still, and not those of a reshape. */
static bool has_rows(const weft__tensor *x)
{
    return x->rows.dim == 0 && x->view.rank > 0 && x->view.shape[0] == x->rows.local;
}

/* Whether x has rows where a has them, of as many over all ranks: alike on all ranks. */
static bool alike(const weft__tensor *x, const weft__tensor *a)
{
    return x->rows.batch && x->rows.dim == a->rows.dim && x->rows.global == a->rows.global;
}

/* Whether x leads rather than the later input that does so far: rows that are still there go before
 * reduced ones, those of a known number over all ranks before others, and more before fewer, which
 * stretch. */
static bool leads(const weft__tensor *x, const weft__tensor *so_far)
{
    const weft__rows *r = &x->rows;
    if (!r->batch || !so_far)
        return r->batch;
    if ((r->dim >= 0) != (so_far->rows.dim >= 0))
        return r->dim >= 0;
    if ((r->global > 0) != (so_far->rows.global > 0))
        return r->global > 0;
    return r->local >= so_far->rows.local;
}

static void find_batch(weft_op_call *c, int n, weft__tensor *const *x)
{
    c->lead = -1;
    for (int i = n - 1; i >= 0; i--)
        if (leads(x[i], c->lead < 0 ? NULL : x[c->lead])) {
            c->lead = i;
            c->batch = x[i]->rows.dim;
            c->base = x[i]->rows.base;
            c->local = x[i]->rows.local;
            c->sample = has_rows(x[i]) ? x[i]->rows.ids : c->sample;
        }
    for (int i = 0; i < n && c->lead >= 0; i++)
        c->alike[i] = alike(x[i], x[c->lead]);
}

static weft_status complete(const weft_op *op, int n, weft_tensor *const *inputs, const void *attr)
{
    if (!op || op->size != sizeof *op || !op->name || !op->shape || (!op->forward && !op->view) ||
        op->attr_size > WEFT__ATTR)
        return weft__fail(WEFT_EARG, "weft_apply: the table of op %s is incomplete or too large",
                          op && op->name ? op->name : "?");
    if (n < 1 || n > WEFT_OP_INPUTS || !inputs || (op->attr_size && !attr))
        return weft__fail(WEFT_EARG, "%s: %d inputs%s%s; an op takes 1 to %d%s", op->name, n,
                          inputs ? "" : " at NULL", attr || !op->attr_size ? "" : ", no attributes",
                          WEFT_OP_INPUTS, op->attr_size ? " and attributes" : "");
    return WEFT_OK;
}

static weft_status apply(weft_fabric *f, const weft_op *op, int n, weft_tensor *const *inputs,
                         const void *attr, weft_tensor **out)
{
    _Alignas(16) unsigned char copy[WEFT__ATTR];
    weft__input in[WEFT_OP_INPUTS];
    weft__tensor *x[WEFT_OP_INPUTS] = {NULL}, *y;
    weft_op_call c = {.op = op,
                      .fabric = f,
                      .device = f->device,
                      .stream = f->stream,
                      .k = f->device->ops->kernels,
                      .attr = copy,
                      .nin = n,
                      .rows = op->rows};
    if (attr)
        memcpy(copy, attr, op->attr_size);
    WEFT_TRY(resolve(f, op, n, inputs, in, x));
    for (int i = 0; i < n; i++)
        c.in[i] = in[i].view;
    find_batch(&c, n, x);
    WEFT_TRY(compute(f, op, &c));
    if (!(*out = weft__tensor_new(f, &c.out, true, &y)))
        return WEFT_ENOMEM;
    inherit_rows(&c, y, x);
    for (int i = 0; i < n && op->backward; i++)
        y->derived |= x[i]->derived;
    WEFT_TRY(inherit_reduction(&c, y, n, x));
    WEFT_TRY(inherit_weight(&c, y, n, x));
    return record(f, &c, in, x, y);
}

weft_tensor *weft_apply(weft_fabric *f, const weft_op *op, int n, weft_tensor *const *inputs,
                        const void *attr)
{
    weft_tensor *out = NULL;
    for (int i = 0; i < n && inputs; i++)
        if (!inputs[i])
            return NULL;
    if (weft__stuck(f) || f->shut)
        return NULL;
    weft_status s = complete(op, n, inputs, attr);
    if (!s) {
        f->device->who = op->name;
        s = apply(f, op, n, inputs, attr, &out);
        f->device->who = NULL;
    }
    if (s < 0) {
        if (!weft__stuck(f))
            weft__stick(f, s);
        return NULL;
    }
    return out;
}
