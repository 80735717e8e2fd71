/* What ops exchange with other ranks in the middle of a step. All ranks go through the same of them in the
 * same order: in a backward pass those of the nodes that the loss depends on, last ones first. A rank
 * that fails on its way takes part in the rest with zeros. */
#include "autograd/tape.h"

#include "device/device.h"

#include <string.h>

weft_status weft__tape_gather(weft_fabric *f, int64_t n)
{
    f->tape->met++;
    return f->tape->hooks.gather(f->tape->hooks.self, n);
}

weft_status weft__tape_sum(weft_fabric *f, int64_t n)
{
    f->tape->met++;
    return f->tape->hooks.sum(f->tape->hooks.self, n);
}

void weft__tape_past(weft__tape *t, const weft__node *n)
{
    t->meets--;
    t->unmet = n - t->node - 1;
}

static weft_status drain(weft_fabric *f, const weft__node *n)
{
    weft_op_call c = {.op = n->op,
                      .fabric = f,
                      .device = f->device,
                      .stream = f->stream,
                      .k = f->device->ops->kernels,
                      .attr = (void *)n->attr,
                      .nin = n->nin,
                      .out = n->out};
    for (int i = 0; i < n->nin; i++)
        c.in[i] = n->in[i].view;
    memcpy(c.saved, n->saved, sizeof c.saved);
    return n->op->drain(&c);
}

void weft__tape_drain(weft_fabric *f)
{
    weft__tape *t = f->tape;
    for (int64_t i = t->unmet; i >= 0 && t->meets > 0; i--) {
        const weft__node *n = &t->node[i];
        if (!n->op || !n->op->drain || !n->reached)
            continue;
        const weft_status s = drain(f, n);
        weft__tape_past(t, n);
        if (s < 0 && !weft__stuck(f))
            weft__stick(f, s);
    }
}
