/* The step's edge: where ranks agree, the last step's tensors go, and the next batch comes. */
#include "autograd/tape.h"
#include "data/loader.h"
#include "device/device.h"
#include "fabric/facade.h"

bool weft__opened(weft_fabric *f)
{
    if (f && f->facade && f->facade->whole)
        return true;
    weft__fail(WEFT_ESTATE, "the fabric is not open: weft_open failed, or returned a notice");
    weft__stick(f, WEFT_ESTATE); /* after an error of weft_open, that one stays */
    return false;
}

weft_status weft__agree_on_errors(weft_fabric *f)
{
    weft__facade *p = f->facade;
    weft_status mine = weft__stuck(f);
    weft_status s = weft__agree(f->comm, "errors", mine, mine ? f->error.text : "");
    if (s < 0) {
        weft__sticky_clear(&f->error);
        weft__sticky_set(&f->error, s, weft__why());
    }
    p->agreed = s < 0 ? s : WEFT_OK;
    return p->agreed;
}

/* Errors that no backward has carried are agreed on here: all ranks called backward, or none. last: no
 * step comes. */
static weft_status edge(weft_fabric *f, bool last)
{
    weft__facade *p = f->facade;
    weft_status s = weft__graph_edge(f->device);
    if (s < 0)
        weft__stick(f, s);
    (last ? weft__late_read : weft__late_edge)(f);
    weft__judge_edge(f);
    if (!p->agreed && !p->differentiated)
        weft__agree_on_errors(f);
    s = p->agreed ? WEFT_OK : weft__scale_edge(f);
    if (s < 0)
        weft__stick(f, s);
    if (!p->agreed) {
        weft__metrics_flush(f, false);
        weft__late_save(f);
    }
    weft__metrics_progress(f);
    weft__tape_edge(f);
    s = weft__engine_edge(f);
    if (s)
        weft__stick(f, s);
    weft__window_edge(f);
    weft__graph_step(f->device);
    p->differentiated = false;
    return p->agreed;
}

weft_status weft_step_end(weft_fabric *f)
{
    if (!weft__opened(f))
        return weft__stuck(f);
    weft__part part = weft__enter(f, WEFT__OTHER);
    weft_status s = edge(f, false);
    weft__enter(f, part == WEFT__OTHER ? WEFT__FORWARD : part);
    return s;
}

/* A loader that moves no step: inside an evaluation scope, what the last batch made is freed. */
static bool next_aside(weft_fabric *f, weft_loader *l, weft_batch *b)
{
    const weft_status s = weft__graph_edge(f->device); /* what is the step's ends here */
    if (s < 0)
        weft__stick(f, s);
    weft__late_edge(f);
    if (f->tape->eval)
        weft__engine_rewind(f, f->tape->eval_mark);
    return !weft__stuck(f) && weft__loader_next(l, b);
}

/* Ranks of a stream end at different times, and all learn of the end, or of an error, together. */
static bool next_joined(weft_fabric *f, weft_loader *l, weft_batch *b)
{
    bool more = weft__loader_join(l, b);
    if (!more) { /* no backward comes that could carry an error */
        weft__late_read(f);
        weft__agree_on_errors(f);
    }
    return more;
}

/* A rank that failed, where the others do not know yet, takes part in their step with nothing. */
static bool next_in_step(weft_fabric *f, weft_loader *l, weft_batch *b)
{
    if (weft__stuck(f))
        weft__loader_pass(l); /* after weft_clear all ranks are at the same batch */
    else if (weft__loader_next(l, b))
        return true;
    *b = (weft_batch){0};
    return weft__stuck(f) != WEFT_OK;
}

bool weft_next(weft_loader *l, weft_batch *b)
{
    weft_batch none;
    b = b ? b : &none;
    *b = (weft_batch){0};
    if (!l)
        return false;
    weft_fabric *f = weft__loader_fabric(l);
    weft__facade *p = f->facade;
    bool more = false;
    if (p->loader != l || f->tape->eval)
        return next_aside(f, l, b);
    weft__enter(f, WEFT__OTHER);
    const bool last = weft__loader_at_end(l);
    if (last) /* no backward comes that could carry an error of the last step */
        p->differentiated = false;
    if (edge(f, last) || last)
        return false;
    weft__enter(f, WEFT__DATA);
    more = weft__loader_joins(l) ? next_joined(f, l, b) : next_in_step(f, l, b);
    weft__enter(f, more ? WEFT__FORWARD : WEFT__OTHER);
    return more;
}

bool weft_join(weft_fabric *f, bool more)
{
    if (!weft__opened(f) || weft_step_end(f))
        return false;
    int64_t any = more && !weft__stuck(f);
    weft__part part = weft__enter(f, WEFT__OTHER);
    weft_status s = weft__all_reduce(f->comm, "join", &any, 1, WEFT_I64, WEFT_REDUCE_MAX);
    if (s < 0)
        weft__stick(f, s);
    if (s < 0 || !any) {
        weft__late_read(f);
        weft__agree_on_errors(f);
    }
    weft__enter(f, part);
    return s == WEFT_OK && any && !f->facade->agreed;
}

bool weft_every(weft_fabric *f, int64_t n)
{
    weft__facade *p = f ? f->facade : NULL;
    int slot = 0;
    if (!p || n < 1 || f->step == 0 || f->step % n != 0 || f->step == p->loaded_step)
        return false;
    while (slot < WEFT__EVERY - 1 && p->every[slot].n && p->every[slot].n != n)
        slot++;
    if (p->every[slot].n == n && p->every[slot].step == f->step)
        return false;
    p->every[slot].n = n;
    p->every[slot].step = f->step;
    return true;
}
