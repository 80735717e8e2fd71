/* L-BFGS as torch.optim's: the two-loop recursion over the last changes of parameters s and of
 * gradients y, with r = 1 / (y s),
 *   q = -g;  newest to oldest: a = r (s q), q -= a y;  q *= (s y) / (y y) of the newest;
 *   oldest to newest: q += s (a - r (y q));  d = q
 * then a step along d: of length lr, or one that fulfils the strong Wolfe conditions. */
#include "core/alloc.h"
#include "core/env.h"
#include "device/device.h"
#include "optim/optimizer.h"
#include "optim/wolfe.h"

#include <math.h>
#include <string.h>

#define LEAST 1e-10 /* y s of a change that is kept */

enum { D, LAST, START, BASE, SLOT, VECTORS = SLOT + WEFT__WOLFE_SLOTS };

typedef struct lbfgs {
    double tolerance_grad, tolerance_change, max_iter, max_eval, history_size, wolfe;
    int64_t history;                                /* history_size */
    weft_dev memory, number;                        /* VECTORS + 2 history vectors; one double */
    double *r, *a;                                  /* of the changes, by row */
    int64_t iterations, evaluations, changes, next; /* next: row of the next change */
    double t, scale;                                /* step length, (s y) / (y y) */
} lbfgs;

/* A step that runs. The first failure ends it; what is called after it does nothing. */
typedef struct work {
    lbfgs *l;
    const weft_optim_vector *x;
    weft_status status;
    weft__point now; /* where the parameters stand; its slot has the gradient */
} work;

static size_t bytes_of(const weft_optim_vector *x, int64_t vectors)
{
    return (size_t)(vectors * x->n) * weft_dtype_size(x->dtype);
}

static weft_dev vector(const work *w, int64_t i)
{
    return weft__at(w->l->memory, (int64_t)bytes_of(w->x, i));
}

static weft_dev change_of_p(const work *w, int64_t row)
{
    return vector(w, VECTORS + row);
}

static weft_dev change_of_g(const work *w, int64_t row)
{
    return vector(w, VECTORS + w->l->history + row);
}

static weft_dev gradient(const work *w)
{
    return vector(w, SLOT + w->now.slot);
}

static void copy(work *w, weft_dev to, weft_dev from)
{
    if (!w->status)
        w->status = w->x->device->ops->move(w->x->stream, to, from, bytes_of(w->x, 1));
}

static void add(work *w, weft_dev y, double alpha, weft_dev x)
{
    if (!w->status)
        w->status = w->x->k->axpy(w->x->stream, y, alpha, x, w->x->n, w->x->dtype);
}

static void scale(work *w, weft_dev y, double alpha, weft_dev x)
{
    if (!w->status)
        w->status = w->x->k->scale(w->x->stream, y, alpha, x, w->x->n, w->x->dtype);
}

static void clear(work *w)
{
    if (!w->status)
        w->status = w->x->device->ops->zero(w->x->stream, w->l->number, sizeof(double));
}

static double read(work *w)
{
    double v = 0;
    if (!w->status)
        w->status = w->x->device->ops->download(w->x->stream, &v, w->l->number, sizeof v);
    return v;
}

static double dot(work *w, weft_dev x, weft_dev z)
{
    clear(w);
    if (!w->status)
        w->status = w->x->k->dot(w->x->stream, w->l->number, x, z, w->x->n, w->x->dtype);
    return read(w);
}

/* Of p = 1 and infinity, which need no root. */
static double norm(work *w, weft_dev x, double p)
{
    clear(w);
    if (!w->status)
        w->status = w->x->k->norm(w->x->stream, w->l->number, x, (int64_t[]){0, w->x->n}, 1, p,
                                  w->x->dtype);
    return read(w);
}

static double largest(work *w, weft_dev x)
{
    return norm(w, x, INFINITY);
}

static void evaluate(work *w, weft__point *p)
{
    if (w->status)
        return;
    w->status = w->x->evaluate(w->x, &p->f, vector(w, SLOT + p->slot));
    w->l->evaluations++;
}

/* p = base + t d */
static void move_to(work *w, double t)
{
    copy(w, w->x->p, vector(w, BASE));
    add(w, w->x->p, t, vector(w, D));
}

static weft_status along(void *self, weft__point *p)
{
    work *w = self;
    move_to(w, p->t);
    evaluate(w, p);
    p->slope = dot(w, vector(w, SLOT + p->slot), vector(w, D));
    return w->status;
}

/* Keeps s = t d and y = g - last g, if they curve upwards; slots that are not in use take them. */
static void remember(work *w)
{
    lbfgs *l = w->l;
    weft_dev s = vector(w, SLOT + (w->now.slot + 1) % WEFT__WOLFE_SLOTS);
    weft_dev y = vector(w, SLOT + (w->now.slot + 2) % WEFT__WOLFE_SLOTS);
    copy(w, y, gradient(w));
    add(w, y, -1, vector(w, LAST));
    scale(w, s, l->t, vector(w, D));
    double curve = dot(w, y, s);
    if (!(curve > LEAST))
        return;
    copy(w, change_of_p(w, l->next), s);
    copy(w, change_of_g(w, l->next), y);
    l->r[l->next] = 1 / curve;
    l->scale = curve / dot(w, y, y);
    l->next = (l->next + 1) % l->history;
    l->changes += l->changes < l->history;
}

static void find_direction(work *w)
{
    lbfgs *l = w->l;
    weft_dev d = vector(w, D);
    if (l->iterations > 1)
        remember(w);
    scale(w, d, -1, gradient(w));
    if (l->iterations == 1)
        return;
    const int64_t oldest = l->next + l->history - l->changes;
    for (int64_t i = l->changes; i-- > 0;) {
        const int64_t row = (oldest + i) % l->history;
        l->a[row] = dot(w, change_of_p(w, row), d) * l->r[row];
        add(w, d, -l->a[row], change_of_g(w, row));
    }
    scale(w, d, l->scale, d);
    for (int64_t i = 0; i < l->changes; i++) {
        const int64_t row = (oldest + i) % l->history;
        double b = dot(w, change_of_g(w, row), d) * l->r[row];
        add(w, d, l->a[row] - b, change_of_p(w, row));
    }
}

/* Along d, whose derivative is slope; evaluates unless nobody will look at it. @return evaluations. */
static int go(work *w, double slope, int left, bool last)
{
    weft__point start = w->now;
    copy(w, vector(w, BASE), w->x->p);
    if (w->l->wolfe == 0) {
        move_to(w, w->l->t);
        if (!last)
            evaluate(w, &w->now);
        return !last;
    }
    weft__line line = {.at = along,
                       .self = w,
                       .largest = largest(w, vector(w, D)),
                       .tolerance = w->l->tolerance_change,
                       .limit = left};
    start.t = 0;
    start.slope = slope;
    w->now.t = w->l->t;
    if (!w->status)
        w->status = weft__strong_wolfe(&line, &start, &w->now);
    w->l->t = w->now.t;
    move_to(w, w->l->t);
    return line.evaluations;
}

/* One iteration. @return whether another one is worth it. */
static bool iterate(work *w, double lr, int done, int *evaluations)
{
    lbfgs *l = w->l;
    const double before = w->now.f;
    l->iterations++;
    find_direction(w);
    copy(w, vector(w, LAST), gradient(w));
    l->t = lr;
    if (l->iterations == 1)
        l->t *= fmin(1, 1 / norm(w, gradient(w), 1));
    double slope = dot(w, gradient(w), vector(w, D));
    if (w->status || slope > -l->tolerance_change)
        return false;
    const bool last = done + 1 == l->max_iter;
    *evaluations += go(w, slope, (int)l->max_eval - *evaluations, last);
    return !w->status && !last && *evaluations < l->max_eval &&
           !(largest(w, gradient(w)) <= l->tolerance_grad) &&
           !(fabs(l->t) * largest(w, vector(w, D)) <= l->tolerance_change) &&
           !(fabs(w->now.f - before) < l->tolerance_change);
}

static weft_status search(void *self, const weft_optim_vector *x, int64_t step, double lr)
{
    lbfgs *l = self;
    work w = {.l = l, .x = x};
    int evaluations = 1;
    (void)step;
    copy(&w, vector(&w, START), x->p);
    evaluate(&w, &w.now);
    bool more = !(largest(&w, gradient(&w)) <= l->tolerance_grad);
    for (int i = 0; more && !w.status; i++)
        more = iterate(&w, lr, i, &evaluations);
    if (!w.status)
        return WEFT_OK;
    weft_status s = w.status;
    w.status = WEFT_OK;
    copy(&w, x->p, vector(&w, START));
    l->iterations = l->changes = l->next = 0; /* what it knew may be from the step that failed */
    return s;
}

static void close_memory(void *self, const weft_optim_vector *x)
{
    lbfgs *l = self;
    if (l->memory.addr)
        weft_device_free(x->device, l->memory, bytes_of(x, VECTORS + 2 * l->history),
                         WEFT_MEMORY_MOMENTS);
    if (l->number.addr)
        weft_device_free(x->device, l->number, sizeof(double), WEFT_MEMORY_OTHER);
    weft__free(l->r);
    weft__free(l->a);
    l->memory.addr = l->number.addr = 0;
    l->r = l->a = NULL;
}

static weft_status open_memory(void *self, const weft_optim_vector *x)
{
    lbfgs *l = self;
    l->history = (int64_t)l->history_size;
    const size_t bytes = bytes_of(x, VECTORS + 2 * l->history);
    l->r = weft__new((size_t)l->history, sizeof *l->r);
    l->a = weft__new((size_t)l->history, sizeof *l->a);
    if (!l->r || !l->a)
        return WEFT_ENOMEM;
    WEFT_TRY(weft_device_alloc(x->device, sizeof(double), WEFT_MEMORY_OTHER, &l->number));
    WEFT_TRY(weft_device_alloc(x->device, bytes, WEFT_MEMORY_MOMENTS, &l->memory));
    return x->device->ops->zero(x->stream, l->memory, bytes);
}

static weft_status vectors(void *self, const weft_optim_vector *x, weft_visitor *v)
{
    lbfgs *l = self;
    const work w = {.l = l, .x = x};
    const weft_state_item r = {.name = "ro",
                               .kind = WEFT_STATE_F64,
                               .placement = WEFT_ROOT,
                               .dtype = WEFT_F64,
                               .values = l->r,
                               .count = l->history};
    WEFT_TRY(x->state(x, v, "d", vector(&w, D), 1));
    WEFT_TRY(x->state(x, v, "prev_flat_grad", vector(&w, LAST), 1));
    WEFT_TRY(x->state(x, v, "old_stps", change_of_p(&w, 0), l->history));
    WEFT_TRY(x->state(x, v, "old_dirs", change_of_g(&w, 0), l->history));
    WEFT_TRY(v->item(v, &r));
    WEFT_TRY(weft_state_i64(v, "n_iter", &l->iterations));
    WEFT_TRY(weft_state_i64(v, "func_evals", &l->evaluations));
    WEFT_TRY(weft_state_i64(v, "num_old", &l->changes));
    WEFT_TRY(weft_state_i64(v, "next_old", &l->next));
    WEFT_TRY(weft_state_f64(v, "t", &l->t));
    return weft_state_f64(v, "H_diag", &l->scale);
}

#define MOST 1e9 /* iterations, evaluations, changes that are kept */

static const weft_hyper hyper[] = {
    {"tolerance_grad", offsetof(lbfgs, tolerance_grad), 1e-7, 0, INFINITY},
    {"tolerance_change", offsetof(lbfgs, tolerance_change), 1e-9, 0, INFINITY},
    {"max_iter", offsetof(lbfgs, max_iter), 20, 1, MOST},
    {"max_eval", offsetof(lbfgs, max_eval), 25, 1, MOST},
    {"history_size", offsetof(lbfgs, history_size), 100, 1, MOST},
    {"line_search", offsetof(lbfgs, wolfe), 0, 0, 2}};

static const weft_optim_ops ops = {.size = sizeof ops,
                                   .name = "lbfgs",
                                   .whole_tensors = true,
                                   .hyper = hyper,
                                   .hypers = 6,
                                   .search = search,
                                   .open = open_memory,
                                   .vectors = vectors,
                                   .close = close_memory};

weft_optimizer *weft_lbfgs(weft_module *m, const weft_lbfgs_options *o)
{
    static const weft_lbfgs_options none;
    static const char *const word[] = {"none", "strong_wolfe"};
    o = o ? o : &none;
    const int line =
        o->line_search ? weft__parse_choice("line_search", o->line_search, word, 2) : 0;
    const lbfgs self = {.tolerance_grad = o->tolerance_grad,
                        .tolerance_change = o->tolerance_change,
                        .max_iter = o->max_iter,
                        .max_eval = o->max_eval ? o->max_eval : floor(o->max_iter * 1.25),
                        .history_size = o->history_size,
                        .wolfe = line};
    if (m && line < 0)
        return weft__stick(m->object.fabric, WEFT_EARG), NULL;
    return weft_optimizer_new(m, &ops, &self, sizeof self, o->lr ? o->lr : 1);
}
