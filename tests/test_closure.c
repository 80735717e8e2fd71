/* Steps by closure: L-BFGS against PyTorch's traces, its state, and what goes wrong in a closure. */
#include "core/context.h"
#include "optim_fixture.h"

#include <unistd.h>

/* --- Rosenbrock's function of (n, 1) values --- */

static weft_tensor *values_forward(weft_module *m, void *self, weft_tensor *x)
{
    (void)self, (void)x;
    return weft_module_own(m, "p");
}

static const weft_module_ops values_ops = {
    .size = sizeof values_ops, .name = "values", .forward = values_forward};

/* A constant (n - 1, n) that picks all but the last, or all but the first. */
static weft_tensor *picker(int64_t n, int64_t from)
{
    double v[64] = {0};
    for (int64_t i = 0; i + 1 < n; i++)
        v[i * n + i + from] = 1;
    return numbers(v, 2, (const int64_t[]){n - 1, n});
}

static weft_tensor *minus(weft_tensor *a, weft_tensor *b)
{
    return weft_add(a, weft_scale(b, -1));
}

static weft_tensor *square(weft_tensor *a)
{
    return weft_mul(a, a);
}

/* What a closure sees. */
typedef struct problem {
    weft_module *m;
    weft_optimizer *o;
    weft_tensor *first, *second; /* constants: picker's, or x and y */
    weft_tensor *loss;           /* of the first evaluation of the step */
    int calls, fail_at;
} problem;

static weft_tensor *finish(problem *p, weft_tensor *loss)
{
    if (++p->calls == p->fail_at)
        weft_fail(f, WEFT_EUSER, "the closure gave up");
    weft_zero_grad(p->o);
    weft_backward(f, weft_error(f) ? NULL : loss);
    p->loss = p->loss ? p->loss : loss;
    return loss;
}

static weft_tensor *valley(void *user)
{
    problem *p = user;
    weft_tensor *v = weft_forward(p->m, p->first);
    weft_tensor *u = weft_matmul(p->first, v), *w = weft_matmul(p->second, v);
    weft_tensor *one = weft_full(f, 1, 2, (int64_t[]){weft_numel(u), 1}, WEFT_DEFAULT);
    weft_tensor *away = weft_sum(square(minus(w, square(u))), WEFT_ALL);
    weft_tensor *short_of = weft_sum(square(minus(one, u)), WEFT_ALL);
    return finish(p, weft_add(weft_scale(away, 100), short_of));
}

static weft_tensor *regression(void *user)
{
    problem *p = user;
    weft_tensor *w = weft_forward(p->m, p->first);
    weft_tensor *z = weft_matmul(p->first, weft_transpose(w, 0, 1));
    weft_tensor *loss = weft_cross_entropy(z, p->second);
    return finish(p, weft_add(loss, weft_scale(weft_sum(square(w), WEFT_ALL), 0.01)));
}

static weft_tensor *labels(hid_t file)
{
    int32_t v[64];
    golden y = golden_read(file, "search/y");
    for (int64_t i = 0; i < y.n; i++)
        v[i] = (int32_t)y.v[i];
    weft_tensor *t = weft_retain(weft_tensor_of(f, v, 1, &y.n, WEFT_I32));
    golden_free(&y);
    return t;
}

static void begin(hid_t file, bool wells, problem *p)
{
    golden p0 = golden_read(file, wells ? "search/start" : "search/w0");
    golden x = golden_read(file, "search/x");
    *p = (problem){.m = weft_module_new(f, &values_ops, NULL, 0)};
    weft_module_param(p->m, "p", 2, p0.shape, WEFT_CONSTANT(0));
    set(weft_param(p->m, "p"), p0.v);
    p->first = weft_retain(wells ? picker(p0.n, 0) : numbers(x.v, 2, x.shape));
    p->second = wells ? weft_retain(picker(p0.n, 1)) : labels(file);
    golden_free(&p0), golden_free(&x);
}

/* --- traces --- */

static void trace(hid_t file, const char *name, const char *precision, double tolerance)
{
    char group[80];
    double v[64];
    problem p;
    snprintf(group, sizeof group, "search/case/%s", name);
    golden want = part(file, group, "p"), loss = part(file, group, "loss");
    golden evals = part(file, group, "func_evals");
    const bool wells = strncmp(name, "valley", 6) == 0;
    start_in(precision);
    begin(file, wells, &p);
    p.o = weft_lbfgs(
        p.m, WEFT_LBFGS(.lr = number(file, group, "lr"),
                        .max_iter = (int)number(file, group, "max_iter"),
                        .history_size = (int)number(file, group, "history_size"),
                        .line_search = number(file, group, "wolfe") != 0 ? "strong_wolfe" : NULL));
    ck_assert_msg(weft_setup(f, p.m, p.o) == 0, "%s", weft_message(f));
    for (int64_t t = 0, n = want.shape[1]; t < want.shape[0]; t++) {
        p.loss = NULL;
        weft_status s = weft_step_closure(p.o, wells ? valley : regression, &p);
        ck_assert_msg(s == 0, "%s: %s", name, weft_message(f));
        ck_assert_int_eq(weft_steps(p.o), t + 1);
        ck_assert_int_eq(weft_step_count(f), t + 1);
        double l = weft_item(p.loss);
        ck_assert_msg(fabs(l - loss.v[t]) <= tolerance * (1 + fabs(loss.v[t])),
                      "%s: loss %.17g at %d, not %.17g", name, l, (int)t, loss.v[t]);
        get(weft_param(p.m, "p"), v);
        for (int64_t i = 0; i < n; i++)
            ck_assert_msg(fabs(v[i] - want.v[t * n + i]) <= tolerance * 10,
                          "%s: p[%d] is %.17g at %d, not %.17g", name, (int)i, v[i], (int)t,
                          want.v[t * n + i]);
        if (tolerance < 1e-6 || number(file, group, "max_iter") == 1)
            ck_assert_msg(p.calls == (int)evals.v[t], "%s: %d evaluations, not %g", name, p.calls,
                          evals.v[t]);
        weft_step_end(f);
    }
    stop();
    golden_free(&want), golden_free(&loss), golden_free(&evals);
}

/* Rounding, 1e-16, grows with the curvature of the valley, 1e3, over some 100 evaluations. */
START_TEST(traces_are_pytorchs)
{
    char name[60];
    hid_t file = golden_open("optim2.h5");
    ck_assert_int_eq(golden_count(file, "search/case"), 5);
    for (int i = 0; i < 5; i++)
        trace(file, golden_name(file, "search/case", i, name, sizeof name), "64-true", 1e-8);
    trace(file, "regression", "32-true", 1e-4);
    trace(file, "regression_wolfe", "32-true", 1e-3);
    H5Fclose(file);
}
END_TEST

/* PyTorch with its sums in another order (rows and columns permuted at random) ends up to 6e-6 away in
 * p, on a way of 2.1, and 2e-6 in the loss: directions enlarge rounding. The bounds are 5e-5 in p and
 * 5e-6 (1 + loss). */
START_TEST(a_long_trace_in_f32)
{
    hid_t file = golden_open("optim-search-f32.h5");
    trace(file, "regression_100", "32-true", 5e-6);
    H5Fclose(file);
}
END_TEST

/* --- state --- */

static void some_steps(const char *dir, int from, int steps, double v[6])
{
    problem p;
    hid_t file = golden_open("optim2.h5");
    start();
    begin(file, true, &p);
    p.o = weft_lbfgs(p.m,
                     WEFT_LBFGS(.max_iter = 3, .history_size = 4, .line_search = "strong_wolfe"));
    weft_setup(f, p.m, p.o);
    if (from)
        ck_assert_msg(weft_load(f, dir) == 0, "%s", weft_message(f));
    for (int i = 0; i < steps; i++) {
        ck_assert_int_eq(weft_step_closure(p.o, valley, &p), 0);
        weft_step_end(f);
    }
    get(weft_param(p.m, "p"), v);
    if (dir && !from)
        ck_assert_msg(weft_save(f, dir) == 0, "%s", weft_message(f));
    stop();
    H5Fclose(file);
}

START_TEST(resumes_bit_for_bit)
{
    double whole[6], half[6];
    char dir[] = "/tmp/weft-closure-XXXXXX", latest[80], command[100];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(latest, sizeof latest, "%s/latest", dir);
    some_steps(NULL, 0, 7, whole);
    some_steps(dir, 0, 4, half);
    ck_assert(memcmp(whole, half, sizeof whole) != 0);
    some_steps(latest, 4, 3, half);
    ck_assert(memcmp(whole, half, sizeof whole) == 0);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

/* --- what may go wrong --- */

static hid_t file;
static problem at;

static void start_valley(void)
{
    start();
    file = golden_open("optim2.h5");
    begin(file, true, &at);
    at.o = weft_lbfgs(at.m, WEFT_LBFGS(.max_iter = 4, .line_search = "strong_wolfe"));
    ck_assert_int_eq(weft_setup(f, at.m, at.o), 0);
}

static void stop_valley(void)
{
    stop();
    H5Fclose(file);
}

/* At any evaluation: the parameters are those before the step, and the next step works. */
START_TEST(an_error_in_the_closure)
{
    double before[6], after[6];
    ck_assert_int_eq(weft_step_closure(at.o, valley, &at), 0);
    const int first = at.calls;
    get(weft_param(at.m, "p"), before);
    for (int k = 1; k <= 4; k++) {
        at.fail_at = at.calls + k;
        ck_assert_int_eq(weft_step_closure(at.o, valley, &at), WEFT_EUSER);
        ck_assert_ptr_nonnull(strstr(weft_message(f), "gave up"));
        ck_assert_int_eq(weft_step_closure(at.o, valley, &at), WEFT_EUSER); /* still stuck */
        weft_step_end(f);
        weft_clear(f);
        get(weft_param(at.m, "p"), after);
        ck_assert(memcmp(before, after, sizeof before) == 0);
        ck_assert_int_eq(weft_steps(at.o), 1);
    }
    at.fail_at = 0;
    ck_assert_int_eq(weft_step_closure(at.o, valley, &at), 0);
    get(weft_param(at.m, "p"), after);
    ck_assert(memcmp(before, after, sizeof before) != 0 && first > 1);
}
END_TEST

static weft_tensor *no_loss(void *user)
{
    valley(user);
    return NULL;
}

static weft_tensor *no_backward(void *user)
{
    return weft_full(user, 1, 0, NULL, WEFT_DEFAULT);
}

START_TEST(bad_closures)
{
    ck_assert_int_eq(weft_step(at.o), WEFT_ESTATE);
    weft_clear(f);
    weft_backward(f, valley(&at));
    ck_assert_int_eq(weft_step(at.o), WEFT_ESTATE);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "weft_step_closure"));
    weft_clear(f);
    ck_assert_int_eq(weft_step_closure(at.o, NULL, NULL), WEFT_EARG);
    weft_clear(f);
    ck_assert_int_eq(weft_step_closure(at.o, no_loss, &at), WEFT_EARG);
    weft_clear(f);
    ck_assert_int_eq(weft_step_closure(at.o, no_backward, f), WEFT_ESTATE);
    weft_clear(f);
    ck_assert_int_eq(weft_step_closure(weft_sgd(vector(1), NULL), valley, &at), WEFT_ESTATE);
}
END_TEST

/* A loss that overflows at the third evaluation. */
static weft_tensor *overflows(void *user)
{
    problem *p = user;
    const int third = p->calls == 2;
    weft_tensor *v = weft_forward(p->m, p->first);
    return finish(p, weft_scale(weft_sum(square(square(v)), WEFT_ALL), third ? 1e308 * 10 : 1));
}

START_TEST(a_loss_that_is_not_finite)
{
    double before[6], after[6];
    problem p;
    for (int skip = 0; skip < 2; skip++) {
        stop();
        ck_assert_int_eq(
            weft_open(&f, NULL, NULL,
                      WEFT_OPEN(.precision = "64-true", .nonfinite = skip ? "skip" : "error")),
            0);
        begin(file, true, &p);
        p.o = weft_lbfgs(p.m, WEFT_LBFGS(.line_search = "strong_wolfe"));
        weft_setup(f, p.m, p.o);
        get(weft_param(p.m, "p"), before);
        ck_assert_int_eq(weft_step_closure(p.o, overflows, &p),
                         skip ? WEFT_SKIPPED : WEFT_ENONFINITE);
        ck_assert(p.calls == 3 && weft_steps(p.o) == 0 && weft_step_count(f) == skip);
        if (!skip)
            weft_clear(f);
        get(weft_param(p.m, "p"), after);
        ck_assert(memcmp(before, after, sizeof before) == 0);
        weft_step_end(f);
        ck_assert_int_eq(weft_step_closure(p.o, overflows, &p), 0);
    }
}
END_TEST

/* --- an optimizer of the user's own that searches --- */

/* Halves its step until the loss gets smaller. */
static weft_status halve(void *self, const weft_optim_vector *x, int64_t t, double lr)
{
    weft_dev g = *(weft_dev *)self, keep = {g.addr + (size_t)x->n * 8},
             now = {keep.addr + (size_t)x->n * 8};
    double first, next = INFINITY;
    weft_status s = x->evaluate(x, &first, g);
    (void)t;
    if (!s)
        s = x->device->ops->move(x->stream, keep, x->p, (size_t)x->n * 8);
    for (; !s && !(next < first) && lr > 1e-12; lr /= 2) {
        s = x->device->ops->move(x->stream, x->p, keep, (size_t)x->n * 8);
        s = s ? s : x->k->axpy(x->stream, x->p, -lr, g, x->n, x->dtype);
        s = s ? s : x->evaluate(x, &next, now);
    }
    return s;
}

static const weft_optim_ops halve_ops = {
    .size = sizeof halve_ops, .name = "halve", .search = halve};

#define ROOM (3 * 64 * sizeof(double))

START_TEST(a_search_of_the_users_own)
{
    double before = INFINITY;
    problem p;
    weft_dev memory;
    begin(file, true, &p);
    ck_assert_int_eq(weft_device_alloc(f->device, ROOM, WEFT_MEMORY_OTHER, &memory), 0);
    p.o = weft_optimizer_new(p.m, &halve_ops, &memory, sizeof memory, 1);
    ck_assert_int_eq(weft_setup(f, p.m, p.o), 0);
    for (int i = 0; i < 20; i++) {
        p.loss = NULL;
        ck_assert_int_eq(weft_step_closure(p.o, valley, &p), 0);
        ck_assert_double_lt(weft_item(p.loss), before);
        before = weft_item(p.loss);
        weft_step_end(f);
    }
    ck_assert_int_gt(p.calls, 40);
    weft_device_free(f->device, memory, ROOM, WEFT_MEMORY_OTHER);
}
END_TEST

/* Two runs of the same steps: by closure, and by hand. */
START_TEST(first_order_optimizers_evaluate_and_step)
{
    double by_closure[6], by_hand[6];
    for (int i = 0; i < 2; i++) {
        problem p;
        begin(file, true, &p);
        p.o = weft_adam(p.m, WEFT_ADAM(.lr = 0.01));
        weft_setup(f, p.m, p.o);
        for (int t = 0; t < 5; t++) {
            if (i == 0) {
                ck_assert_int_eq(weft_step_closure(p.o, valley, &p), 0);
            } else {
                valley(&p);
                ck_assert_int_eq(weft_step(p.o), 0);
            }
            weft_step_end(f);
        }
        ck_assert_int_eq(p.calls, 5);
        get(weft_param(p.m, "p"), i ? by_hand : by_closure);
    }
    ck_assert(memcmp(by_closure, by_hand, sizeof by_hand) == 0);
}
END_TEST

/* The first evaluation's tensors live until the edge, later ones' do not: memory stays what one
 * evaluation needs, twice. */
static weft_tensor *kept[100];

static weft_tensor *keeping(void *user)
{
    problem *p = user;
    weft_tensor *loss = valley(p);
    kept[p->calls < 100 ? p->calls - 1 : 99] = loss;
    return loss;
}

START_TEST(tensors_of_evaluations)
{
    ck_assert_int_eq(weft_step_closure(at.o, keeping, &at), 0);
    ck_assert_int_ge(at.calls, 4);
    ck_assert(weft_is_valid(kept[0]));
    for (int i = 1; i < at.calls - 1; i++)
        ck_assert(!weft_is_valid(kept[i]));
    weft_step_end(f);
    ck_assert(!weft_is_valid(kept[0]));
}
END_TEST

/* g of the whole tree as a loss; b's optimizer sees only its own part, whose minimum is 2. */
typedef struct parts {
    weft_module **leaf;
    weft_optimizer *o;
} parts;

static weft_tensor *away_from_two(void *user)
{
    parts *p = user;
    weft_tensor *loss = NULL;
    const int64_t two = 2;
    weft_zero_grad(p->o);
    for (int i = 0; i < 3; i++) {
        weft_tensor *x = weft_full(f, 1, 1, &two, WEFT_DEFAULT);
        weft_tensor *d =
            weft_add(weft_forward(p->leaf[i], x), weft_full(f, -4, 0, NULL, WEFT_DEFAULT));
        loss = loss ? weft_add(loss, square(d)) : square(d);
    }
    weft_backward(f, loss);
    return loss;
}

START_TEST(a_part_of_a_tree)
{
    double v[2];
    weft_module *leaf[3], *m = tree(leaf, 2);
    weft_optimizer *o = weft_lbfgs(leaf[1], WEFT_LBFGS(.line_search = "strong_wolfe"));
    ck_assert_int_eq(weft_setup(f, m, o), 0);
    ck_assert_msg(weft_step_closure(o, away_from_two, &(parts){leaf, o}) == 0, "%s",
                  weft_message(f));
    get(weft_param(m, "a.p"), v);
    ck_assert(v[0] == 0.5 && v[1] == 0.5);
    get(weft_param(m, "c.p"), v);
    ck_assert(v[0] == 0.5 && v[1] == 0.5);
    get(weft_param(m, "b.p"), v);
    ck_assert(fabs(v[0] - 2) < 1e-6 && fabs(v[1] - 2) < 1e-6);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("closure");
    TCase *g = tcase_create("lbfgs"), *t = tcase_create("closure");
    weft_log_level(WEFT_LOG_SILENT);
    tcase_add_checked_fixture(t, start_valley, stop_valley);
    suite_add_tcase(s, g);
    suite_add_tcase(s, t);
    tcase_add_test(g, traces_are_pytorchs);
    tcase_add_test(g, a_long_trace_in_f32);
    tcase_add_test(g, resumes_bit_for_bit);
    tcase_add_test(t, an_error_in_the_closure);
    tcase_add_test(t, bad_closures);
    tcase_add_test(t, a_loss_that_is_not_finite);
    tcase_add_test(t, first_order_optimizers_evaluate_and_step);
    tcase_add_test(t, a_search_of_the_users_own);
    tcase_add_test(t, tensors_of_evaluations);
    tcase_add_test(t, a_part_of_a_tree);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
