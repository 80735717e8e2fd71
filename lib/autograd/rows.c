/* How results stand to the rows of the batch: whose rows they have, and of which kind of reduction
 * they are. Gradients are sums over ranks: each must know how to weigh its own. */
#include "autograd/tape.h"

/* Whether dimension 0 is the batch's rows still, and not those of a reshape. */
static bool has_rows(const weft__tensor *x)
{
    return x->rows.dim == 0 && x->view.rank > 0 && x->view.shape[0] == x->rows.local;
}

/* Whether there are rows where a has them, of as many over all ranks: alike on all ranks. */
static bool alike(const weft__rows *r, const weft__rows *a)
{
    return r->batch && r->dim == a->dim && r->global == a->global;
}

/* Whether x leads rather than the later input that does so far: rows that are still there go before
 * reduced ones, those of a known number over all ranks before others, and more before fewer, which
 * stretch. */
static bool leads(const weft__tensor *x, const weft__tensor *so_far)
{
    const weft__rows *r = &x->rows;
    if (!so_far)
        return true;
    if ((r->dim >= 0) != (so_far->rows.dim >= 0))
        return r->dim >= 0;
    if ((r->global > 0) != (so_far->rows.global > 0))
        return r->global > 0;
    return r->local >= so_far->rows.local;
}

void weft__find_batch(weft_op_call *c, int n, weft__tensor *const *x)
{
    const weft__tensor *lead = NULL;
    c->lead = -1;
    for (int i = n - 1; i >= 0; i--)
        if (x[i]->rows.batch && leads(x[i], lead)) {
            lead = x[c->lead = i];
            c->sample = has_rows(lead) ? lead->rows.ids : c->sample;
        }
    if (!lead)
        return;
    c->batch = lead->rows.dim;
    c->base = lead->rows.base;
    c->local = lead->rows.local;
    for (int i = 0; i < n; i++)
        c->alike[i] = alike(&x[i]->rows, &lead->rows);
}

void weft__inherit_rows(const weft_op_call *c, weft__tensor *out, weft__tensor *const *x)
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
static weft_status reduction(const weft_op_call *c, weft__tensor *out, int n,
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
static weft_status weight(const weft_op_call *c, weft__tensor *out, int n, weft__tensor *const *x)
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

weft_status weft__inherit_reduction(const weft_op_call *c, weft__tensor *out, int n,
                                    weft__tensor *const *x)
{
    WEFT_TRY(reduction(c, out, n, x));
    return weight(c, out, n, x);
}
