/* Gradients against central differences: (f(x + h) - f(x - h)) / 2h, in f64. */
#include "autograd/tape.h"
#include "core/alloc.h"

#include <math.h>

typedef struct check {
    weft_fabric *f;
    weft_scalar_fn fn;
    void *user;
    int n;
    double **value; /* of each input, in host memory */
    weft_view *view;
    double worst;
    uint64_t draws;
    int input;
    int64_t element;
} check;

/* The function at the host values; the tensors it was called with go to x. */
static weft_tensor *call(const check *c, weft_tensor **x, bool differentiable)
{
    for (int i = 0; i < c->n; i++) {
        x[i] = weft_tensor_of(c->f, c->value[i], c->view[i].rank, c->view[i].shape, WEFT_F64);
        if (differentiable && x[i])
            weft_require_grad(x[i]);
    }
    return c->fn(c->user, x);
}

static double at(const check *c, int i, int64_t k, double value)
{
    weft_tensor *x[WEFT_OP_INPUTS];
    weft__mark mark = weft__engine_mark(c->f);
    size_t nodes = c->f->tape->nodes;
    c->f->tape->draws = c->draws; /* the same random numbers */
    double kept = c->value[i][k], y;
    c->value[i][k] = value;
    y = weft_item(call(c, x, false));
    c->value[i][k] = kept;
    weft__tape_cut(c->f->tape, nodes);
    weft__engine_rewind(c->f, mark);
    return y;
}

static weft_status compare(check *c, int i, const double *gradient, double eps)
{
    for (int64_t k = 0; k < c->view[i].numel; k++) {
        double x = c->value[i][k];
        double numeric = (at(c, i, k, x + eps) - at(c, i, k, x - eps)) / (2 * eps);
        double size = fabs(numeric) > 1 ? fabs(numeric) : 1;
        double off = fabs(gradient[k] - numeric) / size;
        WEFT_TRY(weft__stuck(c->f));
        if (off > c->worst || isnan(off)) {
            c->worst = isnan(off) ? INFINITY : off;
            c->input = i;
            c->element = k;
        }
    }
    return WEFT_OK;
}

static weft_status run(check *c, double eps)
{
    weft_tensor *x[WEFT_OP_INPUTS], *y = call(c, x, true);
    WEFT_TRY(weft__stuck(c->f));
    WEFT_TRY(weft__tape_backward(c->f, y, 1, (weft_dev){0}));
    for (int i = 0; i < c->n; i++) {
        double *gradient = weft__new((size_t)c->view[i].numel, sizeof *gradient);
        weft_tensor *g = weft_gradient(x[i]);
        weft_status s = gradient ? WEFT_OK : WEFT_ENOMEM;
        if (!s && g)
            s = weft_copy_out(g, gradient, (size_t)c->view[i].numel * sizeof *gradient);
        if (!s)
            s = compare(c, i, gradient, eps);
        weft__free(gradient);
        WEFT_TRY(s);
    }
    return WEFT_OK;
}

static weft_status read(check *c, weft_tensor *const *x)
{
    for (int i = 0; i < c->n; i++) {
        const weft__tensor *t = weft__tensor_at(x[i], NULL);
        if (!t)
            return WEFT_EHANDLE;
        if (t->view.dtype != WEFT_F64)
            return weft__fail(WEFT_EDTYPE, "weft_gradcheck: input %d is %s; it takes f64", i,
                              weft_dtype_name(t->view.dtype));
        c->view[i] = t->view;
        if (!(c->value[i] = weft__new((size_t)t->view.numel, sizeof(double))))
            return WEFT_ENOMEM;
        WEFT_TRY(weft_copy_out(x[i], c->value[i], weft__view_bytes(&t->view)));
    }
    return WEFT_OK;
}

weft_status weft_gradcheck(weft_fabric *f, weft_scalar_fn fn, void *user, int n,
                           weft_tensor *const *x, double eps, double tolerance, double *worst)
{
    double *value[WEFT_OP_INPUTS] = {NULL};
    weft_view view[WEFT_OP_INPUTS];
    check c = {.f = f, .fn = fn, .user = user, .n = n, .value = value, .view = view};
    if (weft__stuck(f) || f->shut)
        return weft__stuck(f);
    c.draws = f->tape->draws;
    tolerance = tolerance > 0 ? tolerance : 1e-7;
    weft_status s =
        fn && x && n >= 1 && n <= WEFT_OP_INPUTS
            ? read(&c, x)
            : weft__fail(WEFT_EARG, "weft_gradcheck: %d inputs%s; it takes a function and 1 to %d",
                         n,
                         !fn  ? ", no function"
                         : !x ? " at NULL"
                              : "",
                         WEFT_OP_INPUTS);
    if (!s)
        s = run(&c, eps > 0 ? eps : 1e-6);
    for (int i = 0; i < WEFT_OP_INPUTS; i++)
        weft__free(value[i]);
    if (s)
        return weft__stick(f, s);
    if (worst)
        *worst = c.worst;
    if (c.worst <= tolerance)
        return WEFT_OK;
    return weft__note(f, weft__fail(WEFT_EDATA,
                                    "weft_gradcheck: input %d, element %lld is off by %.3g; %.3g "
                                    "is allowed",
                                    c.input, (long long)c.element, c.worst, tolerance));
}
