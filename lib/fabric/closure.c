/* A step whose optimizer evaluates the loss by the user's function. */
#include "autograd/tape.h"
#include "fabric/facade.h"
#include "optim/optimizer.h"

#include <weft/autograd.h>

/* Adds to sum: the loss weighted as its gradient is, the weight, and whether this rank failed. */
static weft_status weigh(weft_fabric *f, const weft__tensor *t, double value, double sum[3])
{
    const bool whole = t->rows.batch && t->reduction == WEFT__SUM;
    sum[1] = whole ? 1.0 / f->world : 1;
    if (!whole && (t->rows.batch || t->weight.addr))
        WEFT_TRY(weft__weight_of(f, t, &sum[1]));
    if (sum[1] != 0) /* the mean of nothing is NaN */
        sum[0] = whole ? value : sum[1] * value;
    return WEFT_OK;
}

/* The loss over all ranks. Collective, also for a rank that failed. */
static weft_status combine(weft_fabric *f, weft_tensor *loss, double *out)
{
    double sum[3] = {0, 0, 0};
    if (!loss && !weft__stuck(f))
        weft__stick(f, weft__fail(WEFT_EARG, "weft_step_closure: the closure gave no loss"));
    const double value = weft__stuck(f) ? 0 : weft_item(loss);
    const weft__tensor *t = weft__stuck(f) ? NULL : weft__tensor_at(loss, NULL);
    weft_status s = t ? weigh(f, t, value, sum) : WEFT_OK;
    if (s < 0)
        weft__stick(f, s);
    sum[2] = t && s == WEFT_OK ? 0 : 1;
    s = weft__all_reduce(f->comm, "loss of a closure", sum, 3, WEFT_F64, WEFT_REDUCE_SUM);
    if (s < 0)
        return weft__stick(f, s);
    *out = sum[0] / sum[1];
    return sum[2] != 0 ? weft__agree_on_errors(f) : WEFT_OK;
}

/* Where the first evaluation ended: what later ones make goes when the next begins. */
typedef struct place {
    weft__mark mark;
    size_t nodes;
    bool set;
} place;

static void go_back(weft_fabric *f, place *p)
{
    if (p->set) {
        weft__engine_rewind(f, p->mark);
        weft__tape_cut(f->tape, p->nodes);
        f->engine->edge++; /* gradients of leaves that were made since are not good any more */
    }
}

typedef struct call {
    weft_closure closure;
    void *user;
    place first;
} call;

static weft_tensor *run(weft_fabric *f, weft_closure closure, void *user)
{
    weft__part part = weft__enter(f, WEFT__FORWARD);
    weft_tensor *loss = NULL;
    if (closure) {
        loss = closure(user);
    } else { /* other ranks may have one: this one takes part in their backward */
        weft__stick(f, weft__fail(WEFT_EARG, "weft_step_closure: the closure is NULL"));
        weft_backward(f, NULL);
    }
    weft__enter(f, part);
    return loss;
}

/* What a search can decide by: the gradient of a whole batch, summed over ranks. */
static weft_status whole_batch(const weft_optimizer *o)
{
    const weft__facade *p = o->object.fabric->facade;
    if (!p->differentiated)
        return weft__fail(WEFT_ESTATE, "weft_step_closure: the closure did not call weft_backward");
    return p->micro.size < 2 && !weft__window_has(o)
               ? WEFT_OK
               : weft__fail(
                     WEFT_ESTATE,
                     "weft_step_closure: %s takes whole batches, without weft_accumulate and "
                     "outside weft_no_backward_sync_begin/end",
                     o->ops->name);
}

static weft_status evaluate(const weft_optim_vector *x, double *loss, weft_dev g)
{
    weft_optimizer *o = x->self;
    weft_fabric *f = o->object.fabric;
    weft__facade *p = f->facade;
    call *c = o->evaluation;
    const bool before = p->differentiated;
    go_back(f, &c->first);
    if (weft__optim_flat(o)) /* the search writes it */
        weft__flat_written(weft__optim_flat(o));
    p->differentiated = false;
    weft_tensor *l = run(f, c->closure, c->user);
    weft_status s = weft__stuck(f) ? WEFT_OK : whole_batch(o);
    if (s < 0)
        weft__stick(f, s);
    p->differentiated |= before;
    if (p->agreed)
        return p->agreed;
    s = combine(f, l, loss);
    if (s < 0)
        return s;
    if (!c->first.set)
        c->first = (place){weft__engine_mark(f), f->tape->nodes, true};
    return p->skip ? WEFT_SKIPPED : weft__vector_gradient(o, g);
}

static weft_status search(weft_fabric *f, weft_optimizer *o, weft_closure closure, void *user)
{
    weft__facade *p = f->facade;
    call c = {.closure = closure, .user = user};
    weft_status s = weft__optim_begin(o);
    if (s) /* the others learn of it in their first backward */
        weft__stick(f, s);
    o->evaluation = &c;
    o->vector.evaluate = evaluate;
    s = o->ops->search(o->group[0].self, &o->vector, o->steps + 1, o->group[0].rate);
    o->evaluation = NULL;
    if (weft__optim_flat(o))
        weft__flat_written(weft__optim_flat(o));
    if (p->agreed)
        return p->agreed;
    o->steps += s == WEFT_OK;
    f->step++;
    p->window = false;
    return s < 0 ? weft__stick(f, s) : s;
}

weft_status weft_step_closure(weft_optimizer *o, weft_closure closure, void *user)
{
    if (!o)
        return WEFT_EARG;
    weft_fabric *f = o->object.fabric;
    if (f->facade->agreed)
        return f->facade->agreed;
    if (!o->setup)
        return weft__stick(f,
                           weft__fail(WEFT_ESTATE, "weft_step_closure: the optimizer was not set "
                                                   "up; call weft_setup before the loop"));
    if (!o->ops->search) {
        run(f, closure, user);
        return weft_step(o);
    }
    weft__part part = weft__enter(f, WEFT__OPTIMIZER);
    weft_status s = search(f, o, closure, user);
    weft__enter(f, part == WEFT__FORWARD ? WEFT__OTHER : part);
    return s;
}
