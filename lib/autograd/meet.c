/* What ops exchange with other ranks in the middle of a step. All ranks go through the same of them in the
 * same order: in a backward pass those of the nodes that the loss depends on, last ones first. A rank
 * that fails on its way takes part in the rest with zeros. */
#include "autograd/tape.h"

#include "core/alloc.h"
#include "device/device.h"

#include <string.h>

/* Without memory for it the schedule ends early, and a rank that fails must go through its forward itself. */
static void note(weft__gathers *s, int64_t n)
{
    if (!weft__grow(&s->n, &s->room, s->count + 1, sizeof *s->n))
        s->n[s->count++] = n;
}

weft_status weft__tape_gather(weft_fabric *f, int64_t n)
{
    f->tape->met++;
    note(&f->tape->now, n);
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
        c.in[i] = n->from[i].segment ? weft__segment_view(n->from[i].segment, n->in[i].plane)
                                     : n->in[i].view;
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

/* Where the pass number `passes` of a step begins in its schedule. */
static size_t begin_of(const weft__gathers *s, size_t passes)
{
    size_t i = 0;
    for (; i < s->count && passes > 0; i++)
        passes -= s->n[i] == 0;
    return i;
}

weft_status weft__tape_gather_nothing(weft_fabric *f, int64_t n)
{
    const weft__hooks *h = &f->tape->hooks;
    const int64_t size = n * (int64_t)sizeof(double);
    const weft_status s =
        f->device->ops->zero(f->stream, weft__at(h->room(h->self), f->rank * size), (size_t)size);
    const weft_status together = weft__tape_gather(f, n);
    return s < 0 ? s : together;
}

void weft__tape_catch_up(weft_fabric *f)
{
    weft__tape *t = f->tape;
    size_t passes = 0, done = 0;
    for (size_t i = 0; i < t->now.count; i++) {
        done = t->now.n[i] ? done + 1 : 0;
        passes += t->now.n[i] == 0;
    }
    for (size_t i = begin_of(&t->before, passes) + done;
         weft__stuck(f) && i < t->before.count && t->before.n[i]; i++)
        if (weft__tape_gather_nothing(f, t->before.n[i]) < 0)
            break;
    note(&t->now, 0);
}

void weft__tape_schedule_edge(weft__tape *t, bool good)
{
    const weft__gathers was = t->before;
    if (good && t->now.count) {
        t->before = t->now;
        t->now = was;
    }
    t->now.count = 0;
}
