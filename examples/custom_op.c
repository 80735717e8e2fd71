/* An op and a module of your own: heat in a rod, fitted to measurements.
 *
 * The op solves (I + k L) u = b for the temperatures u, where b is the heating, k the conductivity
 * and L the second difference with cold ends. Its gradient needs no record of the solver's inner
 * steps, only one more solution, of the adjoint system (I + k L) z = du:
 *
 *     db = z        dk = - z . L u
 *
 * weft_gradcheck compares that with differences. The module has k as its parameter, and training
 * finds the k of the measurements. The exit status is 0 if it does. */
#include <math.h>
#include <stdio.h>
#include <weft.h>
#include <weft/sys/module.h>
#include <weft/sys/op.h>

#define POINTS 32
#define TRUTH 5.0

/* --- the op --- */

/* Twice the value less its neighbours. */
static double difference(const double *u, int64_t i, int64_t n)
{
    return 2 * u[i] - (i > 0 ? u[i - 1] : 0) - (i < n - 1 ? u[i + 1] : 0);
}

/* u = (I + k L)^-1 b by elimination from the left; work holds what the way back needs. */
static void solve(double k, const double *b, double *u, double *work, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        double pivot = 1 + 2 * k + (i > 0 ? k * work[i - 1] : 0);
        work[i] = -k / pivot;
        u[i] = (b[i] + (i > 0 ? k * u[i - 1] : 0)) / pivot;
    }
    for (int64_t i = n - 2; i >= 0; i--)
        u[i] -= work[i] * u[i + 1];
}

enum { K, B };          /* inputs */
enum { WORK, ADJOINT }; /* arrays that live from forward to backward */

static weft_status shape(weft_op_call *c)
{
    if (c->in[K].dtype != WEFT_F64 || c->in[B].dtype != WEFT_F64)
        return weft_op_fail(c, WEFT_EDTYPE, "it computes in f64");
    if (c->in[K].numel != 1 || c->in[B].rank != 1)
        return weft_op_fail(c, WEFT_ESHAPE, "it takes one number and a vector");
    c->out = c->saved[WORK] = c->saved[ADJOINT] = c->in[B];
    return WEFT_OK;
}

static weft_status forward(weft_op_call *c)
{
    const double *k = weft_op_host(c, &c->in[K]), *b = weft_op_host(c, &c->in[B]);
    double *u = weft_op_host(c, &c->out), *work = weft_op_host(c, &c->saved[WORK]);
    if (!k)
        return weft_op_fail(c, WEFT_ENOTSUP, "it needs a device in host memory");
    if (!(*k > 0))
        return weft_op_fail(c, WEFT_EDATA, "the conductivity %g is not above 0", *k);
    solve(*k, b, u, work, c->out.numel);
    return WEFT_OK;
}

static weft_status backward(weft_op_call *c)
{
    const int64_t n = c->out.numel;
    const double *k = weft_op_host(c, &c->in[K]), *u = weft_op_host(c, &c->out);
    double *z = weft_op_host(c, &c->saved[ADJOINT]);
    solve(*k, weft_op_host(c, &c->gout), z, weft_op_host(c, &c->saved[WORK]), n);
    if (c->want[B]) {
        double *db = weft_op_host(c, &c->gin[B]);
        for (int64_t i = 0; i < n; i++)
            db[i] = z[i];
    }
    if (c->want[K]) {
        double *dk = weft_op_host(c, &c->gin[K]);
        *dk = 0;
        for (int64_t i = 0; i < n; i++)
            *dk -= z[i] * difference(u, i, n);
    }
    return WEFT_OK;
}

static const weft_op heat_op = {.size = sizeof heat_op,
                                .name = "heat",
                                .contiguous = 1,
                                .shape = shape,
                                .forward = forward,
                                .backward = backward};

static weft_tensor *heat(weft_fabric *f, weft_tensor *k, weft_tensor *b)
{
    weft_tensor *const in[] = {k, b};
    return weft_apply(f, &heat_op, 2, in, NULL);
}

/* --- the module --- */

static weft_tensor *rod_forward(weft_module *m, void *self, weft_tensor *b)
{
    (void)self;
    return heat(weft_module_fabric(m), weft_module_own(m, "k"), b);
}

static const weft_module_ops rod_ops = {
    .size = sizeof rod_ops, .name = "rod", .forward = rod_forward};

static weft_module *rod(weft_fabric *f)
{
    weft_module *m = weft_module_new(f, &rod_ops, NULL, 0);
    return weft_module_param(m, "k", 0, NULL, WEFT_CONSTANT(1)) ? m : NULL;
}

/* --- the program --- */

/* The sum of squares, as a function of k and b. */
static weft_tensor *squares(void *f, weft_tensor *const *x)
{
    weft_tensor *u = heat(f, x[K], x[B]);
    return weft_sum(weft_mul(u, u), WEFT_ALL);
}

static weft_tensor *misfit(weft_tensor *u, weft_tensor *measured)
{
    weft_tensor *off = weft_add(u, weft_scale(measured, -1));
    return weft_mean(weft_mul(off, off), WEFT_ALL);
}

int main(int argc, char **argv)
{
    const int64_t points[] = {POINTS};
    double worst = NAN, k;
    weft_fabric *f;
    if (weft_open(&f, &argc, &argv, WEFT_OPEN(.precision = "64-true")))
        return weft_close(&f);

    weft_tensor *truth = weft_full(f, TRUTH, 0, NULL, WEFT_F64);
    weft_tensor *b = weft_retain(weft_full(f, 1, 1, points, WEFT_F64));
    weft_tensor *measured = weft_retain(heat(f, truth, b));
    weft_tensor *const both[] = {truth, b};
    weft_status checked = weft_gradcheck(f, squares, f, 2, both, 0, 0, &worst);

    weft_module *model = rod(f);
    weft_optimizer *adam = weft_adam(model, WEFT_ADAM(.lr = 0.3));
    weft_set_schedule(adam, WEFT_SCHEDULE(.total = 400));
    weft_setup(f, model, adam);
    for (int i = 0; i < 400 && !weft_step_end(f); i++) {
        weft_tensor *loss = misfit(weft_forward(model, b), measured);
        weft_zero_grad(adam);
        weft_backward(f, loss);
        weft_step(adam);
    }
    k = weft_item(weft_param(model, "k"));
    if (!weft_error(f) && weft_is_global_zero(f))
        printf("gradient off by %.1e, conductivity %.4f\n", worst, k);
    int status = weft_close(&f);
    return status ? status : checked || !(fabs(k - TRUTH) < 1e-3);
}
