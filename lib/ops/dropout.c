/* y = x / (1 - p), or 0 where the element is dropped. Gradient: the same of g. What is dropped is
 * drawn again for it, not kept. */
#include "core/rng.h"
#include "ops/ops.h"

/* Where the batch's rows lie. The rows of a reshape hold whole samples one after the other. */
static void place(const weft_op_call *c, weft_dropout_terms *t)
{
    const weft_view *x = &c->in[0];
    int d = c->batch;
    bool there = c->lead >= 0 && d >= 0 && d < x->rank && x->shape[d] == c->local;
    t->outer = t->rows = 1;
    t->inner = x->numel;
    if (c->lead < 0)
        return;
    t->base = c->base;
    if (there || (c->local > 0 && x->numel % c->local == 0)) {
        for (int k = 0; k < d && there; k++)
            t->outer *= x->shape[k];
        t->rows = c->local;
        t->inner = x->numel ? x->numel / (t->outer * t->rows) : 0;
    }
}

static weft_status forward(weft_op_call *c)
{
    weft_dropout_terms *t = c->attr;
    t->seed = c->fabric->seed;
    t->stream = weft__stream_of("dropout") + c->fabric->tape->draws++;
    t->step = (uint64_t)c->fabric->step;
    place(c, t);
    if (t->p < 1)
        return c->k->dropout(c->stream, c->out.data, c->in[0].data, t, c->out.dtype);
    return c->device->ops->zero(c->stream, c->out.data, weft__view_bytes(&c->out));
}

static weft_status backward(weft_op_call *c)
{
    const weft_dropout_terms *t = c->attr;
    if (t->p < 1)
        return c->k->dropout(c->stream, c->gin[0].data, c->gout.data, t, c->out.dtype);
    return c->device->ops->zero(c->stream, c->gin[0].data, weft__view_bytes(&c->out));
}

static const weft_op op = {.size = sizeof op,
                           .name = "dropout",
                           .cast = WEFT_CAST_PROMOTE,
                           .attr_size = sizeof(weft_dropout_terms),
                           .contiguous = 1,
                           .shape = weft__op_like,
                           .forward = forward,
                           .backward = backward};

weft_tensor *weft_dropout(weft_tensor *x, double p, bool training)
{
    weft_fabric *f = NULL;
    if (!weft__tensor_for(op.name, x, &f))
        return NULL;
    if (!(p >= 0 && p <= 1)) {
        weft__stick(f, weft__fail(WEFT_EARG, "dropout: p %g is not in [0, 1]", p));
        return NULL;
    }
    return training && p > 0 ? weft__apply1(&op, x, &(weft_dropout_terms){.p = p}) : x;
}
