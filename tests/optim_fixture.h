/* What the tests of optimizers share: a fabric, a module that is one vector, numbers in and out. */
#ifndef TESTS_OPTIM_FIXTURE_H
#define TESTS_OPTIM_FIXTURE_H
#include "golden.h"

#include <math.h>
#include <weft.h>
#include <weft/sys/module.h>
#include <weft/sys/optimizer.h>

static weft_fabric *f;

static inline void start_in(const char *precision)
{
    ck_assert_int_eq(weft_open(&f, NULL, NULL, WEFT_OPEN(.precision = precision, .threads = 1)), 0);
}

static inline void start(void)
{
    start_in("64-true");
}

static inline void stop(void)
{
    if (!f)
        return;
    weft_clear(f);
    ck_assert_int_eq(weft_close(&f), 0);
}

/* --- a module that is one vector of parameters --- */

static inline weft_tensor *vector_forward(weft_module *m, void *self, weft_tensor *x)
{
    (void)self;
    return weft_sum(weft_mul(weft_module_own(m, "p"), x), WEFT_ALL);
}

static const weft_module_ops vector_ops = {
    .size = sizeof vector_ops, .name = "vector", .forward = vector_forward};

static inline weft_module *vector(int64_t n)
{
    weft_module *m = weft_module_new(f, &vector_ops, NULL, 0);
    weft_module_param(m, "p", 1, &n, WEFT_CONSTANT(0.5));
    return m;
}

/* Host values in the fabric's type. */
static inline weft_tensor *numbers(const double *v, int rank, const int64_t *shape)
{
    weft_tensor *x = weft_full(f, 0, rank, shape, WEFT_DEFAULT);
    int64_t n = weft_numel(x);
    float *single = calloc((size_t)n + 1, sizeof *single);
    for (int64_t i = 0; i < n; i++)
        single[i] = (float)v[i];
    bool wide = weft_dtype_of(x) == WEFT_F64;
    ck_assert_int_eq(weft_copy_in(x, wide ? (const void *)v : single, (size_t)n * (wide ? 8 : 4)),
                     0);
    free(single);
    return x;
}

static inline void set(weft_tensor *p, const double *v)
{
    const int64_t n = weft_numel(p);
    size_t bytes = (size_t)n * weft_dtype_size(weft_dtype_of(p));
    void *host = malloc(bytes + 1);
    ck_assert_int_eq(weft_copy_out(numbers(v, 1, &n), host, bytes), 0);
    ck_assert_int_eq(weft_copy_in(p, host, bytes), 0);
    free(host);
}

static inline void get(weft_tensor *p, double *v)
{
    const int64_t n = weft_numel(p);
    weft_tensor *wide = weft_cast(weft_detach(p), WEFT_F64);
    ck_assert_int_eq(weft_copy_out(wide, v, (size_t)n * sizeof *v), 0);
}

/* One step with gradient g. */
static inline weft_status step_with(weft_module *m, weft_optimizer *o, const double *g, int64_t n)
{
    weft_zero_grad(o);
    weft_backward(f, weft_forward(m, numbers(g, 1, &n)));
    weft_status s = weft_step(o);
    weft_step_end(f);
    return s;
}

static inline double number(hid_t file, const char *group, const char *name)
{
    return golden_attribute(file, group, name);
}

static inline golden part(hid_t file, const char *group, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", group, name);
    return golden_read(file, path);
}

/* A tree of three vectors of n, "a.p", "b.p" and "c.p", that are used one by one. */
static inline weft_tensor *tree_forward(weft_module *m, void *self, weft_tensor *x)
{
    (void)m, (void)self;
    return x;
}

static const weft_module_ops tree_ops = {
    .size = sizeof tree_ops, .name = "tree", .forward = tree_forward};

static inline weft_module *tree(weft_module *leaf[3], int64_t n)
{
    static const char *const name[] = {"a", "b", "c"};
    weft_module *m = weft_module_new(f, &tree_ops, NULL, 0);
    for (int i = 0; i < 3; i++)
        leaf[i] = weft_module_child(m, name[i], vector(n));
    return m;
}

/* backward with gradients g[3][n]. */
static inline weft_status tree_backward(weft_module *const leaf[3], const double *g, int64_t n)
{
    weft_tensor *part[3];
    for (int i = 0; i < 3; i++)
        part[i] = weft_forward(leaf[i], numbers(g + i * n, 1, &n));
    return weft_backward(f, weft_add(weft_add(part[0], part[1]), part[2]));
}
#endif
