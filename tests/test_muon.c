/* Muon: against torch's traces, whose iteration was made to keep the gradient's type and, more loosely,
 * those in bf16; who is AdamW's; its memory, its state, and what is refused. */
#include "optim_fixture.h"

#include "core/alloc.h"

static double attribute(hid_t file, const char *group, const char *name)
{
    double v = 0;
    golden_attributes(file, group, name, &v, 1);
    return v;
}

static bool has(hid_t file, const char *group, const char *name)
{
    double v;
    return golden_attributes(file, group, name, &v, 1) == 1;
}

/* An option that the trace has as 0 is off. */
#define A(name)                                                                                    \
    (has(file, g, name) && attribute(file, g, name) == 0 ? WEFT_OFF : attribute(file, g, name))

static weft_optimizer *described(hid_t file, const char *g, weft_module *m)
{
    static const char *const word[] = {NULL, "match_rms_adamw", "spectral_unclamped"};
    return weft_muon(m,
                     WEFT_MUON(.lr = A("lr"), .momentum = A("momentum"),
                               .weight_decay = A("weight_decay"), .nesterov = (int)A("nesterov"),
                               .ns_steps = (int)A("ns_steps"), .eps = A("eps"),
                               .ns_coefficients = {attribute(file, g, "a"), attribute(file, g, "b"),
                                                   attribute(file, g, "c")},
                               .adjust_lr_fn = word[(int)attribute(file, g, "adjust")]));
}

/* --- a module of one matrix, p, and one vector, q, whose gradient is x --- */

static weft_tensor *parts_forward(weft_module *m, void *self, weft_tensor *x)
{
    (void)self;
    weft_tensor *p = weft_reshape(weft_module_own(m, "p"), 1, (int64_t[]){-1});
    weft_tensor *q = weft_module_own(m, "q");
    const int64_t n = weft_numel(p);
    return weft_add(weft_sum(weft_mul(p, weft_slice(x, 0, 0, n, 1)), WEFT_ALL),
                    weft_sum(weft_mul(q, weft_slice(x, 0, n, n + weft_numel(q), 1)), WEFT_ALL));
}

static const weft_module_ops parts_ops = {
    .size = sizeof parts_ops, .name = "parts", .forward = parts_forward};

static weft_module *parts(int64_t rows, int64_t columns, int64_t n)
{
    weft_module *m = weft_module_new(f, &parts_ops, NULL, 0);
    weft_module_param(m, "p", 2, (int64_t[]){rows, columns}, WEFT_CONSTANT(0.5));
    weft_module_param(m, "q", 1, &n, WEFT_CONSTANT(0.5));
    return m;
}

/* --- traces --- */

/* Farthest from torch's, relative to the step's largest parameter; or, of the way that torch's went. */
static double trace(hid_t file, const char *name, const char *precision, const char *kind)
{
    double worst = 0, off = 0, way = 0, v[200], g[201] = {0};
    golden p0 = part(file, name, "p0"), grads = part(file, name, "grads");
    golden want = part(file, name, kind);
    const int64_t n = p0.n;
    start_in(precision);
    weft_module *m = parts(p0.shape[0], p0.shape[1], 1);
    weft_optimizer *o = described(file, name, m);
    ck_assert_msg(weft_setup(f, m, o) == 0, "%s", weft_message(f));
    set(weft_param(m, "p"), p0.v);
    for (int64_t t = 0; t < grads.shape[0]; t++) {
        double most = 0;
        memcpy(g, grads.v + t * n, (size_t)n * sizeof *g);
        ck_assert_int_eq(step_with(m, o, g, n + 1), 0);
        get(weft_param(m, "p"), v);
        const double *to = want.v + t * n;
        for (int64_t i = 0; i < n; i++) {
            most = fmax(most, fabs(to[i]));
            off += (v[i] - to[i]) * (v[i] - to[i]);
            way += (to[i] - p0.v[i]) * (to[i] - p0.v[i]);
        }
        for (int64_t i = 0; i < n; i++)
            worst = fmax(worst, fabs(v[i] - to[i]) / most);
        weft_step_end(f);
    }
    stop();
    golden_free(&p0), golden_free(&grads), golden_free(&want);
    return strcmp(kind, "p_bf16") == 0 ? sqrt(off / way) : worst;
}

/* The iteration multiplies what is small by up to 3.4^5 = 500 before it is as large as the rest, its
 * roundings too; both sides round 100 times. bf16 has 2^-9. */
static const struct {
    const char *precision, *kind;
    double most;
} row[] = {{"64-true", "p_f64", 1e-13}, {"32-true", "p_f32", 2e-5}, {"32-true", "p_bf16", 1e-2}};

START_TEST(traces)
{
    char name[60];
    hid_t file = golden_open("muon.h5");
    ck_assert_int_eq(golden_count(file, "/"), 5);
    for (int i = 0; i < 5; i++) {
        golden_name(file, "/", i, name, sizeof name);
        const double off = trace(file, name, row[_i].precision, row[_i].kind);
        ck_assert_msg(off <= row[_i].most, "%s of %s: %.3g off", row[_i].kind, name, off);
        ck_assert_msg(off >= 1e-4 || _i < 2, "%s: nothing was rounded to bf16", name);
    }
    H5Fclose(file);
}
END_TEST

/* --- what is not Muon's --- */

/* One AdamW step from 0.5 with rate lr and gradient g. */
static double adamw(double lr, double decay, double g)
{
    return 0.5 * (1 - lr * decay) - lr * g / (fabs(g) + 1e-8);
}

START_TEST(others_are_adamws)
{
    double v[6];
    const double g[9] = {1, -2, 3, -4, 5, -6, 0.5, -0.25, 8};
    weft_module *m = parts(2, 3, 3);
    weft_optimizer *o = weft_muon(m, WEFT_MUON(.lr = 0.125));
    weft_group(o, "q", WEFT_GROUP(.lr = 0.25, .weight_decay = 0.5));
    ck_assert_int_eq(weft_setup(f, m, o), 0);
    ck_assert_int_eq(step_with(m, o, g, 9), 0);
    get(weft_param(m, "q"), v);
    for (int i = 0; i < 3; i++)
        ck_assert_double_eq_tol(v[i], adamw(0.25, 0.5, g[6 + i]), 1e-15);
    get(weft_param(m, "p"), v);
    ck_assert(fabs(v[0] - adamw(0.125, 0.1, g[0])) > 1e-3); /* and this is Muon's */
}
END_TEST

START_TEST(a_group_gives_matrices_to_adamw)
{
    double v[6];
    const double g[7] = {1, -2, 3, -4, 5, -6, 1};
    weft_module *m = parts(2, 3, 1);
    weft_optimizer *o = weft_muon(m, WEFT_MUON(.lr = 0.125, .weight_decay = WEFT_OFF));
    weft_group(o, "p", WEFT_GROUP(.adamw = 1));
    const int64_t other = weft_memory(f).kind[WEFT_MEMORY_OTHER].now;
    ck_assert_int_eq(weft_setup(f, m, o), 0);
    ck_assert_int_eq(weft_memory(f).kind[WEFT_MEMORY_OTHER].now, other); /* nothing to work in */
    ck_assert_int_eq(step_with(m, o, g, 7), 0);
    get(weft_param(m, "p"), v);
    for (int i = 0; i < 6; i++)
        ck_assert_double_eq_tol(v[i], adamw(0.125, 0, g[i]), 1e-15);
}
END_TEST

START_TEST(what_is_wrong_is_refused)
{
    static const struct {
        weft_muon_options o;
        const char *message;
    } bad[] = {{{.momentum = 1}, "muon: momentum is 1; it must be in [0, 1)"},
               {{.weight_decay = -2}, "muon: weight_decay is -2"},
               {{.ns_steps = 100}, "muon: ns_steps is 100; it must be in [0, 100)"},
               {{.ns_steps = -7}, "muon: ns_steps is -7"},
               {{.nesterov = 2}, "muon: nesterov is 2"},
               {{.eps = NAN}, "muon: eps is nan"},
               {{.lr = -1}, "muon: the learning rate -1"},
               {{.ns_coefficients = {1, NAN, 0}}, "muon: ns_coefficients b is nan"},
               {{.beta2 = 1}, "muon: beta2 is 1"},
               {{.adamw_eps = -3}, "muon: adamw_eps is -3"},
               {{.adjust_lr_fn = "match_rms"}, "match_rms_adamw"}};
    weft_module *m = parts(2, 2, 1);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_assert_ptr_null(weft_muon(m, &bad[i].o));
        ck_assert_int_eq(weft_error(f), WEFT_EARG);
        ck_assert_msg(strstr(weft_message(f), bad[i].message) != NULL, "%s", weft_message(f));
        weft_clear(f);
    }
    ck_assert_ptr_null(weft_muon(NULL, NULL));
    weft_optimizer *o = weft_muon(m, NULL);
    ck_assert_double_eq(weft_lr(o), 1e-3);
    ck_assert_int_eq(weft_group(o, "p", WEFT_GROUP(.adamw = 2)), WEFT_EARG);
    weft_clear(f);
    ck_assert_int_eq(weft_group(weft_sgd(parts(1, 1, 1), NULL), "p", WEFT_GROUP(.adamw = 1)),
                     WEFT_EARG);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "sgd has no adamw"));
}
END_TEST

/* --- memory and state --- */

START_TEST(a_step_asks_for_no_memory)
{
    const double g[128] = {1, 2, 3};
    weft_module *m = parts(16, 7, 16);
    weft_optimizer *o = weft_muon(m, NULL);
    const int64_t other = weft_memory(f).kind[WEFT_MEMORY_OTHER].now;
    ck_assert_int_eq(weft_setup(f, m, o), 0);
    /* x and y of 112, two of 7 x 7, two numbers, each from a multiple of 64 bytes */
    ck_assert_int_eq(weft_memory(f).kind[WEFT_MEMORY_OTHER].now - other, 2 * 896 + 2 * 448 + 128);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(step_with(m, o, g, 128), 0);
    const weft_memory_report before = weft_memory(f);
    weft_zero_grad(o);
    weft_backward(f, weft_forward(m, numbers(g, 1, (int64_t[]){128})));
    weft__fail_alloc(1);
    ck_assert_int_eq(weft_step(o), 0);
    ck_assert_int_eq(weft__fail_alloc(0), 1);
    ck_assert_int_eq(weft_memory(f).device.now, before.device.now);
}
END_TEST

static void run(const char *dir, int from, int to, double v[30])
{
    weft_module *m;
    start_in("32-true");
    m = parts(3, 8, 6);
    weft_optimizer *o = weft_muon(m, WEFT_MUON(.lr = 0.05));
    weft_set_schedule(o, WEFT_SCHEDULE(.total = 12));
    ck_assert_int_eq(weft_setup(f, m, o), 0);
    if (from)
        ck_assert_msg(weft_load(f, dir) == 0, "%s", weft_message(f));
    for (int t = from; t < to; t++) {
        double g[30];
        for (int i = 0; i < 30; i++)
            g[i] = sin(1 + t + 7 * i);
        ck_assert_int_eq(step_with(m, o, g, 30), 0);
    }
    get(weft_param(m, "p"), v);
    get(weft_param(m, "q"), v + 24);
    if (!from && dir)
        ck_assert_msg(weft_save(f, dir) == 0, "%s", weft_message(f));
    stop();
}

START_TEST(resumes_bit_for_bit)
{
    double whole[30], half[30];
    char dir[] = "/tmp/weft-muon-XXXXXX", step[80], command[300];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    run(NULL, 0, 12, whole);
    run(dir, 0, 7, half);
    ck_assert(memcmp(whole, half, sizeof whole) != 0);
    snprintf(step, sizeof step, "%s/latest", dir);
    snprintf(command, sizeof command,
             "grep -q '\"optimizer/momentum_buffer/p\"' '%s/MANIFEST' && "
             "grep -q '\"optimizer/exp_avg_sq/q\"' '%s/MANIFEST'",
             step, step);
    ck_assert_int_eq(system(command), 0);
    run(step, 7, 12, half);
    ck_assert(memcmp(whole, half, sizeof whole) == 0);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("muon");
    TCase *g = tcase_create("golden"), *t = tcase_create("interface");
    weft_log_level(WEFT_LOG_SILENT);
    tcase_add_checked_fixture(t, start, stop);
    suite_add_tcase(s, g);
    suite_add_tcase(s, t);
    tcase_add_loop_test(g, traces, 0, 3);
    tcase_add_test(g, resumes_bit_for_bit);
    tcase_add_test(t, others_are_adamws);
    tcase_add_test(t, a_group_gives_matrices_to_adamw);
    tcase_add_test(t, what_is_wrong_is_refused);
    tcase_add_test(t, a_step_asks_for_no_memory);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
