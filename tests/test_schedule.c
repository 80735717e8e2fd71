/* Schedules of the learning rate against PyTorch's, and what is refused. */
#include "optim_fixture.h"

#define STEPS 30

static const double zeros[2] = {0, 0};

static double by_hand(int64_t t, int group, void *user)
{
    ++*(int *)user;
    return group == 0 ? 1.0 / (double)(1 + t) : pow(0.5, (double)(t / 3));
}

static int calls;

/* The options that make_golden.py gave PyTorch's class of that name. */
static weft_status as_named(weft_optimizer *o, const char *name)
{
    static const int64_t at[] = {4, 5, 20};
    const struct {
        const char *name;
        weft_schedule_options o;
    } row[] = {
        {"step", {.kind = "step", .step_size = 7, .gamma = 0.3}},
        {"multistep", {.kind = "multistep", .milestones = at, .milestone_count = 3}},
        {"exponential", {.kind = "exponential", .gamma = 0.9}},
        {"linear", {.kind = "linear", .total = 20}},
        {"linear_down", {.kind = "linear", .start_factor = 1, .end_factor = 0.25, .total = 12}},
        {"polynomial", {.kind = "polynomial", .total = 20, .power = 2}},
        {"cosine", {.kind = "cosine", .total = STEPS, .min_lr = 1e-3}},
        {"onecycle", {.kind = "onecycle", .total = STEPS}},
        {"onecycle_late",
         {.kind = "onecycle",
          .total = STEPS,
          .pct_start = 0.6,
          .div_factor = 10,
          .final_div_factor = 100}},
        {"lambda", {.kind = "lambda", .lambda = by_hand, .user = &calls}},
        {"warm_step", {.kind = "step", .step_size = 7, .gamma = 0.3, .warmup = 5}},
        {"plateau", {.kind = "plateau", .patience = 2}},
        {"plateau_max",
         {.kind = "plateau",
          .mode = "max",
          .factor = 0.5,
          .patience = 1,
          .cooldown = 3,
          .threshold = 0.25,
          .threshold_mode = "abs"}},
        {"plateau_floor", {.kind = "plateau", .patience = 1, .cooldown = 1, .min_lr = 1e-3}}};
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++)
        if (strcmp(row[i].name, name) == 0)
            return weft_set_schedule(o, &row[i].o);
    ck_abort_msg("no row for %s", name);
    return WEFT_EARG;
}

/* A model of two parameters: group 0 of rate 0.1, group 1 of rate 0.02. */
static weft_optimizer *two_groups(weft_module *leaf[3])
{
    weft_module *m = tree(leaf, 1);
    weft_optimizer *o = weft_sgd(m, WEFT_SGD(.lr = 0.1));
    weft_group(o, "[bc].p", WEFT_GROUP(.lr = 0.02));
    ck_assert_msg(weft_setup(f, m, o) == 0, "%s", weft_message(f));
    return o;
}

static void step(weft_module *const leaf[3], weft_optimizer *o)
{
    static const double g[3];
    weft_zero_grad(o);
    tree_backward(leaf, g, 1);
    ck_assert_msg(weft_step(o) == 0, "%s", weft_message(f));
    weft_step_end(f);
}

/* PyTorch multiplies step after step: STEPS roundings. */
START_TEST(rates_are_pytorchs)
{
    char name[60], path[80];
    weft_module *leaf[3];
    hid_t file = golden_open("optim2.h5");
    golden metric = golden_read(file, "rate/metric");
    ck_assert_int_eq(golden_count(file, "rate/lr"), 14);
    for (int i = 0; i < 14; i++) {
        golden_name(file, "rate/lr", i, name, sizeof name);
        snprintf(path, sizeof path, "rate/lr/%s", name);
        golden want = golden_read(file, path);
        start();
        weft_optimizer *o = two_groups(leaf);
        ck_assert_msg(as_named(o, name) == 0, "%s", weft_message(f));
        for (int64_t t = 0; t < STEPS; t++) {
            for (int g = 0; g < 2; g++)
                ck_assert_msg(fabs(weft_group_lr(o, g) - want.v[2 * t + g]) <= 1e-15,
                              "%s, group %d at %d: %.17g, not %.17g", name, g, (int)t,
                              weft_group_lr(o, g), want.v[2 * t + g]);
            step(leaf, o);
            if (strncmp(name, "plateau", 7) == 0)
                ck_assert_int_eq(weft_schedule_metric(o, metric.v[t]), 0);
        }
        stop();
        golden_free(&want);
    }
    ck_assert_int_gt(calls, 0);
    golden_free(&metric);
    H5Fclose(file);
}
END_TEST

START_TEST(every_counts_in_epochs)
{
    weft_module *m = vector(2);
    weft_optimizer *o = weft_sgd(m, WEFT_SGD(.lr = 1));
    weft_setup(f, m, o);
    weft_set_schedule(o,
                      WEFT_SCHEDULE(.kind = "exponential", .gamma = 0.5, .every = 4, .warmup = 2));
    for (int t = 0; t < 20; t++) {
        double want = t < 4 ? 0.5 : t < 8 ? 1 : pow(0.5, t / 4 - 2);
        ck_assert_double_eq(weft_lr(o), want);
        step_with(m, o, zeros, 2);
    }
}
END_TEST

START_TEST(after_its_end_a_schedule_stays)
{
    const weft_schedule_options row[] = {
        {.total = 3, .min_lr = 0.25},
        {.kind = "linear", .total = 3, .end_factor = 0.25},
        {.kind = "polynomial", .total = 3},
        {.kind = "onecycle", .total = 3, .final_div_factor = 0.16}};
    const double last[] = {0.25, 0.25, 0, 0.25};
    for (int i = 0; i < 4; i++) {
        weft_module *m = vector(2);
        weft_optimizer *o = weft_sgd(m, WEFT_SGD(.lr = 1));
        weft_setup(f, m, o);
        ck_assert_int_eq(weft_set_schedule(o, &row[i]), 0);
        for (int t = 0; t < 6; t++) {
            ck_assert(t < 3 || fabs(weft_lr(o) - last[i]) < 1e-15);
            step_with(m, o, zeros, 2);
        }
    }
}
END_TEST

START_TEST(bad_schedules_are_refused)
{
    static const int64_t down[] = {5, 4}, early[] = {-1};
    const struct {
        weft_schedule_options o;
        const char *text;
    } row[] = {{{.kind = "steps"}, "did you mean"},
               {{.kind = "step"}, "step_size >= 1"},
               {{.kind = "step", .step_size = 1, .gamma = NAN}, "gamma from 0 up"},
               {{.kind = "multistep"}, "milestones"},
               {{.kind = "multistep", .milestones = down, .milestone_count = 2}, "ascending"},
               {{.kind = "multistep", .milestones = early, .milestone_count = 1}, "from 0 up"},
               {{.kind = "exponential"}, "gamma > 0"},
               {{.kind = "exponential", .gamma = -1}, "gamma > 0"},
               {{.kind = "linear"}, "total > warmup"},
               {{.kind = "linear", .total = 5, .start_factor = -2}, "start_factor"},
               {{.kind = "linear", .total = 5, .end_factor = INFINITY}, "end_factor"},
               {{.kind = "polynomial", .total = 5, .power = -2}, "power > 0"},
               {{.kind = "polynomial", .total = 5, .warmup = 5}, "total > warmup"},
               {{.kind = "onecycle", .total = 5, .pct_start = 1}, "pct_start in [0, 1)"},
               {{.kind = "onecycle", .total = 5, .div_factor = -3}, "div_factor"},
               {{.kind = "onecycle"}, "total > warmup"},
               {{.kind = "lambda"}, "a function lambda"},
               {{.kind = "constant", .every = -1}, "every -1"},
               {{.kind = "plateau", .mode = "smallest"}, "mode"},
               {{.kind = "plateau", .threshold_mode = "relative"}, "threshold_mode"},
               {{.kind = "plateau", .factor = 1}, "factor in [0, 1)"},
               {{.kind = "plateau", .patience = -2}, "patience"},
               {{.kind = "plateau", .threshold = -2}, "threshold"},
               {{.kind = "plateau", .cooldown = -1}, "cooldown"},
               {{.kind = "plateau", .min_lr = -1}, "min_lr"}};
    weft_optimizer *o = weft_sgd(vector(1), WEFT_SGD(.lr = 1));
    weft_set_schedule(o, WEFT_SCHEDULE(.kind = "exponential", .gamma = 0.5, .warmup = 2));
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        ck_assert_msg(weft_set_schedule(o, &row[i].o) == WEFT_EARG, "%d", (int)i);
        ck_assert_msg(strstr(weft_message(f), row[i].text) != NULL, "%s", weft_message(f));
        ck_assert_double_eq(weft_lr(o), 0.5); /* as before */
        weft_clear(f);
    }
}
END_TEST

START_TEST(a_metric_needs_a_plateau)
{
    weft_optimizer *o = weft_sgd(vector(1), WEFT_SGD(.lr = 1));
    ck_assert_int_eq(weft_schedule_metric(o, 1), WEFT_ESTATE);
    weft_clear(f);
    weft_set_schedule(o, WEFT_SCHEDULE(.kind = "step", .step_size = 1));
    ck_assert_int_eq(weft_schedule_metric(o, 1), WEFT_ESTATE);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "no plateau"));
}
END_TEST

static double nonsense(int64_t t, int group, void *user)
{
    (void)group, (void)user;
    return t == 1 ? NAN : 1;
}

START_TEST(a_rate_that_is_none_stops_the_step)
{
    double v[2];
    weft_module *m = vector(2);
    weft_optimizer *o = weft_sgd(m, WEFT_SGD(.lr = 1));
    weft_setup(f, m, o);
    weft_set_schedule(o, WEFT_SCHEDULE(.kind = "lambda", .lambda = nonsense));
    ck_assert_int_eq(step_with(m, o, (double[]){1, 1}, 2), 0);
    ck_assert_int_eq(step_with(m, o, (double[]){1, 1}, 2), WEFT_EUSER);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "learning rate of group 0 at step 1"));
    weft_clear(f);
    get(weft_param(m, "p"), v);
    ck_assert(v[0] == -0.5);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("schedule");
    TCase *g = tcase_create("golden"), *t = tcase_create("interface");
    weft_log_level(WEFT_LOG_SILENT);
    tcase_add_checked_fixture(t, start, stop);
    suite_add_tcase(s, g);
    suite_add_tcase(s, t);
    tcase_add_test(g, rates_are_pytorchs);
    tcase_add_test(t, every_counts_in_epochs);
    tcase_add_test(t, after_its_end_a_schedule_stays);
    tcase_add_test(t, bad_schedules_are_refused);
    tcase_add_test(t, a_metric_needs_a_plateau);
    tcase_add_test(t, a_rate_that_is_none_stops_the_step);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
