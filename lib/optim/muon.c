/* Muon; <weft/optim.h> has the formula. The iteration runs on X with no more rows than columns, in f32
 * or f64 (torch: bf16): a product of rows gives the smaller matrix. All of it is kernels on the stream:
 * the norm by which X is divided never comes to the host. */
#include "core/env.h"
#include "core/error.h"
#include "nn/module.h"

#include <math.h>
#include <weft/sys/optimizer.h>

typedef struct muon {
    double momentum, weight_decay, nesterov, ns_steps, eps, a, b, c;
    double adjust;                         /* of the rate: the word's number */
    double adamw, beta1, beta2, adamw_eps; /* adamw: for matrices too */
} muon;

/* Scratch memory: matrices x and y of p's size, two of rows x rows, and a number in f64 and in dt. */
typedef struct work {
    weft_stream *s;
    const weft_kernels *k;
    weft_dtype dt;
    int64_t rows, columns; /* of x */
    bool tall;             /* x is p's transpose */
    weft_dev x, y, gram, square, norm, factor;
} work;

static weft_dtype type_of(weft_dtype t)
{
    return t == WEFT_F64 ? t : WEFT_F32;
}

static size_t padded(int64_t elements, weft_dtype t)
{
    return ((size_t)elements * weft_dtype_size(t) + 63) / 64 * 64;
}

static bool is_matrix(const muon *m, int rank)
{
    return rank == 2 && m->adamw == 0;
}

static size_t scratch(const void *self, int rank, const int64_t *shape, weft_dtype t)
{
    if (!is_matrix(self, rank))
        return 0;
    const int64_t few = shape[0] < shape[1] ? shape[0] : shape[1];
    return 2 * padded(shape[0] * shape[1], type_of(t)) + 2 * padded(few * few, type_of(t)) + 128;
}

static weft_dev cut(weft_dev *rest, size_t bytes)
{
    const weft_dev p = *rest;
    rest->addr += bytes;
    return p;
}

static work lay_out(weft_stream *s, const weft_kernels *k, const weft_optim_run *r)
{
    weft_dev rest = r->scratch;
    const bool tall = r->shape[0] > r->shape[1];
    work w = {.s = s,
              .k = k,
              .dt = type_of(r->dtype),
              .rows = r->shape[tall],
              .columns = r->shape[!tall],
              .tall = tall};
    w.x = cut(&rest, padded(r->n, w.dt));
    w.y = cut(&rest, padded(r->n, w.dt));
    w.gram = cut(&rest, padded(w.rows * w.rows, w.dt));
    w.square = cut(&rest, padded(w.rows * w.rows, w.dt));
    w.norm = cut(&rest, 64);
    w.factor = rest;
    return w;
}

/* y = the transpose of x, which has so many rows. */
static weft_status transpose(work *w, int64_t rows, int64_t columns)
{
    const int64_t shape[] = {columns, rows}, to[] = {rows, 1}, from[] = {1, columns};
    const weft_dev y = w->y;
    WEFT_TRY(w->k->copy(w->s, y, w->dt, to, w->x, w->dt, from, 2, shape));
    w->y = w->x;
    w->x = y;
    return WEFT_OK;
}

/* x /= max(eps, |x|) */
static weft_status normalise(const work *w, double eps)
{
    const int64_t shape[] = {w->rows * w->columns}, one[] = {1}, none[] = {0};
    const weft_kernels *k = w->k;
    WEFT_TRY(k->fill(w->s, w->norm, 1, 0, WEFT_F64));
    WEFT_TRY(k->norm(w->s, w->norm, w->x, (int64_t[]){0, shape[0]}, 1, 2, w->dt));
    WEFT_TRY(k->root(w->s, w->norm, w->norm, 2));
    WEFT_TRY(k->unary(w->s, WEFT_CLAMP, w->norm, w->norm, (double[]){eps, INFINITY}, 1, WEFT_F64));
    WEFT_TRY(k->copy(w->s, w->factor, w->dt, one, w->norm, WEFT_F64, one, 1, one));
    return k->binary(w->s, WEFT_DIV, w->x, w->x, one, w->factor, none, 1, shape, w->dt);
}

/* x = a x + (b G + c G^2) x,  G = x x^T */
static weft_status iterate(work *w, const muon *m)
{
    const int64_t n = w->rows, c = w->columns;
    const weft_kernels *k = w->k;
    const weft_dev x = w->x;
    WEFT_TRY(k->gemm(w->s, w->gram, w->dt, n, 1, x, c, 0, x, c, 1, 0, n, n, c, w->dt));
    WEFT_TRY(k->scale(w->s, w->square, 1, w->gram, n * n, w->dt));
    WEFT_TRY(k->gemm(w->s, w->square, w->dt, n, m->c, w->gram, n, 0, w->gram, n, 0, m->b, n, n, n,
                     w->dt));
    WEFT_TRY(k->scale(w->s, w->y, 1, x, n * c, w->dt));
    WEFT_TRY(k->gemm(w->s, w->y, w->dt, c, 1, w->square, n, 0, x, c, 0, m->a, n, c, n, w->dt));
    w->x = w->y;
    w->y = x;
    return WEFT_OK;
}

static double rate_of(const muon *m, const weft_optim_run *r, double lr)
{
    const double rows = (double)r->shape[0], columns = (double)r->shape[1];
    if (m->adjust == 1)
        return lr * 0.2 * sqrt(fmax(rows, columns));
    return lr * sqrt(m->adjust == 2 ? rows / columns : fmax(1, rows / columns));
}

/* p = (1 - decay) p - rate x, in f32 where p has 16 bits */
static weft_status move(const work *w, const weft_optim_run *r, double decay, double rate)
{
    const int64_t one[] = {1}, shape[] = {r->n};
    const weft_dev p = r->dtype == w->dt ? r->p : w->y;
    if (r->dtype != w->dt)
        WEFT_TRY(w->k->copy(w->s, p, w->dt, one, r->p, r->dtype, one, 1, shape));
    if (decay != 0)
        WEFT_TRY(w->k->scale(w->s, p, 1 - decay, p, r->n, w->dt));
    WEFT_TRY(w->k->axpy(w->s, p, -rate, w->x, r->n, w->dt));
    if (r->dtype != w->dt)
        WEFT_TRY(w->k->copy(w->s, r->p, r->dtype, one, p, w->dt, one, 1, shape));
    return WEFT_OK;
}

static weft_status orthogonal(weft_stream *s, const weft_kernels *k, const muon *m,
                              const weft_optim_run *r, double lr)
{
    work w = lay_out(s, k, r);
    const weft_dev v = r->moment[0];
    WEFT_TRY(k->scale(s, v, m->momentum, v, r->n, w.dt));
    WEFT_TRY(k->axpy(s, v, 1 - m->momentum, r->g, r->n, w.dt));
    WEFT_TRY(k->scale(s, w.x, m->nesterov != 0 ? m->momentum : 1, v, r->n, w.dt));
    if (m->nesterov != 0)
        WEFT_TRY(k->axpy(s, w.x, 1 - m->momentum, r->g, r->n, w.dt));
    if (w.tall)
        WEFT_TRY(transpose(&w, w.columns, w.rows));
    WEFT_TRY(normalise(&w, m->eps));
    for (int i = 0; i < (int)m->ns_steps; i++)
        WEFT_TRY(iterate(&w, m));
    if (w.tall)
        WEFT_TRY(transpose(&w, w.rows, w.columns));
    return move(&w, r, lr * m->weight_decay, rate_of(m, r, lr));
}

static weft_status update(weft_stream *s, const weft_kernels *k, void *self,
                          const weft_optim_run *r, int64_t t, double lr)
{
    const muon *m = self;
    if (is_matrix(m, r->rank))
        return orthogonal(s, k, m, r, lr);
    const weft_adam_step step = {.lr = lr,
                                 .beta1 = m->beta1,
                                 .beta2 = m->beta2,
                                 .eps = m->adamw_eps,
                                 .weight_decay = m->weight_decay,
                                 .correct1 = 1 - pow(m->beta1, (double)t),
                                 .correct2 = 1 - pow(m->beta2, (double)t),
                                 .decoupled = 1};
    return k->adam(s, r->p, r->moment[0], r->moment[1], (weft_dev){0}, r->g, r->by, r->unless,
                   r->run, r->runs, &step, r->dtype);
}

static const weft_hyper hyper[] = {{"momentum", offsetof(muon, momentum), 0.95, 0, 1},
                                   {"weight_decay", offsetof(muon, weight_decay), 0.1, 0, INFINITY},
                                   {"nesterov", offsetof(muon, nesterov), 1, 0, 2},
                                   {"ns_steps", offsetof(muon, ns_steps), 5, 0, 100},
                                   {"eps", offsetof(muon, eps), 1e-7, 0, INFINITY},
                                   {"ns_coefficients a", offsetof(muon, a), 0, -INFINITY, INFINITY},
                                   {"ns_coefficients b", offsetof(muon, b), 0, -INFINITY, INFINITY},
                                   {"ns_coefficients c", offsetof(muon, c), 0, -INFINITY, INFINITY},
                                   {"adjust_lr_fn", offsetof(muon, adjust), 0, 0, 3},
                                   {"adamw", offsetof(muon, adamw), 0, 0, 2},
                                   {"beta1", offsetof(muon, beta1), 0.9, 0, 1},
                                   {"beta2", offsetof(muon, beta2), 0.999, 0, 1},
                                   {"adamw_eps", offsetof(muon, adamw_eps), 1e-8, 0, INFINITY}};

static const weft_optim_ops ops = {.size = sizeof ops,
                                   .name = "muon",
                                   .moments = 2,
                                   .moment_name = {"momentum_buffer", "exp_avg_sq"},
                                   .whole_tensors = true,
                                   .hyper = hyper,
                                   .hypers = sizeof hyper / sizeof hyper[0],
                                   .scratch = scratch,
                                   .update = update};

weft_optimizer *weft_muon(weft_module *m, const weft_muon_options *o)
{
    static const weft_muon_options none;
    static const char *const word[] = {"original", "match_rms_adamw", "spectral_unclamped"};
    o = o ? o : &none;
    const double *c = o->ns_coefficients;
    const bool given = c[0] != 0 || c[1] != 0 || c[2] != 0;
    const int adjust =
        o->adjust_lr_fn ? weft__parse_choice("adjust_lr_fn", o->adjust_lr_fn, word, 3) : 0;
    const muon self = {.momentum = o->momentum,
                       .weight_decay = o->weight_decay,
                       .nesterov = o->nesterov,
                       .ns_steps = o->ns_steps,
                       .eps = o->eps,
                       .a = given ? c[0] : 3.4445,
                       .b = given ? c[1] : -4.7750,
                       .c = given ? c[2] : 2.0315,
                       .adjust = adjust,
                       .beta1 = o->beta1,
                       .beta2 = o->beta2,
                       .adamw_eps = o->adamw_eps};
    if (m && adjust < 0)
        return weft__stick(m->object.fabric, WEFT_EARG), NULL;
    return weft_optimizer_new(m, &ops, &self, sizeof self, o->lr ? o->lr : 1e-3);
}
