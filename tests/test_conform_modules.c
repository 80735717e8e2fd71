/* Each module of the table in every precision beside f64: results, and the gradients of its parameters and
 * of its input. */
#include "conform_modules.h"

#include "device/cpu/half.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST 256 /* numbers of an input, a result or a parameter */
#define KEPT 12  /* arrays: of the result, in evaluation too, of the input, of the parameters */

/* Of the largest magnitude of an array: a few roundings of inputs, results and weights. */
static const struct {
    const char *name;
    weft_dtype type; /* of what goes in and comes out */
    double tol;
} precision[] = {{"32-true", WEFT_F32, 1e-5},
                 {"bf16-mixed", WEFT_F32, 4e-2},
                 {"16-mixed", WEFT_F32, 5e-3},
                 {"bf16-true", WEFT_F32, 4e-2},
                 {"16-true", WEFT_F32, 5e-3}};
#define PRECISIONS ((int)(sizeof precision / sizeof *precision))

typedef struct array {
    double v[MOST];
    int64_t n;
} array;

typedef struct outcome {
    array kept[KEPT];
    int n;
} outcome;

/* Numbers that all types hold, none of them twice. */
static weft_tensor *input(weft_fabric *f, const conform_module *m, weft_dtype t)
{
    double x64[MOST];
    float x32[MOST];
    int32_t index[MOST];
    int64_t n = 1;
    for (int d = 0; d < m->rank; d++)
        n *= m->shape[d];
    ck_assert_int_le(n, 127);
    for (int64_t i = 0; i < n; i++) {
        const int64_t k = 37 * i % 127; /* a permutation */
        x32[i] = (float)(x64[i] = (double)(k - 63) / 32);
        index[i] = (int32_t)(m->below ? k % m->below : 0);
    }
    return m->below ? weft_tensor_of(f, index, m->rank, m->shape, WEFT_I32)
                    : weft_tensor_of(f, t == WEFT_F64 ? (void *)x64 : x32, m->rank, m->shape, t);
}

static void keep(weft_fabric *f, outcome *o, weft_tensor *t)
{
    float x32[MOST];
    array *a = &o->kept[o->n++];
    ck_assert_int_le(o->n, KEPT);
    ck_assert_msg(t != NULL, "%s", weft_message(f));
    a->n = weft_numel(t);
    ck_assert_int_le(a->n, MOST);
    if (weft_dtype_of(t) == WEFT_F64) {
        ck_assert_int_eq(weft_copy_out(t, a->v, (size_t)a->n * sizeof(double)), 0);
        return;
    }
    ck_assert_int_eq(weft_dtype_of(t), WEFT_F32);
    ck_assert_int_eq(weft_copy_out(t, x32, (size_t)a->n * sizeof(float)), 0);
    for (int64_t i = 0; i < a->n; i++)
        a->v[i] = (double)x32[i];
}

/* The mean of the result times fixed numbers. */
static weft_tensor *loss_of(weft_fabric *f, weft_tensor *y)
{
    double w64[MOST];
    float w32[MOST];
    const int64_t n = weft_numel(y);
    for (int64_t i = 0; i < n; i++)
        w32[i] = (float)(w64[i] = (double)(i % 7 - 2) / 2);
    const bool wide = weft_dtype_of(y) == WEFT_F64;
    weft_tensor *w = weft_tensor_of(f, wide ? (void *)w64 : w32, 1, &n, weft_dtype_of(y));
    return weft_mean(weft_mul(weft_reshape(y, 1, &n), w), WEFT_ALL);
}

/* Parameters as they start, but rounded to bf16, which all precisions hold: the first call, in f64, keeps
 * them, the others get them. */
static void set(weft_fabric *f, weft_module *m, bool first)
{
    static double start[KEPT][MOST];
    for (int64_t i = 0; i < weft_param_count(m); i++) {
        union {
            double f64[MOST];
            float f32[MOST];
            uint16_t low[MOST];
        } v;
        weft_tensor *p = weft_param(m, weft_param_name(m, i));
        const weft_dtype t = weft_dtype_of(p);
        const int64_t n = weft_numel(p);
        ck_assert(i < KEPT && n <= MOST);
        if (first)
            ck_assert_int_eq(weft_copy_out(p, start[i], (size_t)n * sizeof(double)), 0);
        for (int64_t k = 0; k < n; k++) {
            const double x = start[i][k] = half_wide_bf16(half_to_bf16(start[i][k]));
            if (t == WEFT_F64)
                v.f64[k] = x;
            else if (t == WEFT_F32)
                v.f32[k] = (float)x;
            else
                v.low[k] = t == WEFT_BF16 ? half_to_bf16(x) : half_to_f16(x);
        }
        ck_assert_msg(weft_copy_in(p, &v, (size_t)n * weft_dtype_size(t)) == 0, "%s",
                      weft_message(f));
    }
}

static void run(const conform_module *row, const char *name, weft_dtype t, outcome *o)
{
    weft_fabric *f;
    o->n = 0;
    weft_open_options open = {.precision = name, .seed = 5};
    if (strcmp(name, "16-mixed") == 0)
        open.init_scale = 1;
    ck_assert_msg(weft_open(&f, NULL, NULL, &open) == 0, "%s", weft_message(f));
    weft_module *m = row->make(f);
    ck_assert_msg(m && weft_setup_module(f, m) == 0, "%s: %s", row->name, weft_message(f));
    set(f, m, t == WEFT_F64);
    weft_tensor *x = input(f, row, t);
    if (!row->below)
        weft_require_grad(x);
    weft_tensor *y = weft_forward(m, x);
    keep(f, o, y);
    ck_assert_msg(weft_backward(f, loss_of(f, y)) == 0, "%s: %s", row->name, weft_message(f));
    if (!row->below)
        keep(f, o, weft_gradient(x));
    for (int64_t i = 0; i < weft_param_count(m); i++)
        keep(f, o, weft_gradient(weft_param(m, weft_param_name(m, i))));
    weft_train(m, false);
    keep(f, o, weft_forward(m, x));
    ck_assert_int_eq(weft_close(&f), 0);
}

static double furthest(const array *a, const array *b)
{
    double most = 0, apart = 0;
    ck_assert_int_eq(a->n, b->n);
    for (int64_t i = 0; i < a->n; i++) {
        most = fmax(most, fabs(b->v[i]));
        apart = isfinite(a->v[i]) ? fmax(apart, fabs(a->v[i] - b->v[i])) : INFINITY;
    }
    return most > 0 ? apart / most : apart;
}

START_TEST(every_precision)
{
    static outcome wide, narrow;
    const conform_module *row = &conform_modules[_i];
    run(row, "64-true", WEFT_F64, &wide);
    ck_assert_int_eq(wide.kept[0].n, row->numbers);
    const bool differs = furthest(&wide.kept[0], &wide.kept[wide.n - 1]) > 1e-3;
    ck_assert_msg(differs == row->varies, "%s: evaluation %s", row->name,
                  differs ? "differs from training" : "is as training");
    for (int p = 0; p < PRECISIONS; p++) {
        run(row, precision[p].name, precision[p].type, &narrow);
        ck_assert_int_eq(narrow.n, wide.n);
        for (int k = 0; k < wide.n; k++) {
            const double apart = furthest(&narrow.kept[k], &wide.kept[k]);
            if (!(apart <= precision[p].tol))
                ck_abort_msg("%s in %s: array %d is %g apart", row->name, precision[p].name, k,
                             apart);
        }
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("modules of the table");
    TCase *t = tcase_create("modules");
    suite_add_tcase(s, t);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, every_precision, 0, CONFORM_MODULES);
    SRunner *r = srunner_create(s);
    srunner_set_fork_status(r, CK_NOFORK);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
