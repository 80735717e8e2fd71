/* Groups of parameters, and several optimizers on one tree. */
#include "optim_fixture.h"

#include <unistd.h>

#define N 5

static void values_of(weft_module *const leaf[3], double v[3][N])
{
    for (int i = 0; i < 3; i++)
        get(weft_param(leaf[i], weft_param_name(leaf[i], 0)), v[i]);
}

static weft_optimizer *grouped(weft_module *m)
{
    weft_optimizer *o = weft_adamw(m, WEFT_ADAMW(.lr = 1e-2, .weight_decay = 0.1));
    weft_group(o, "b.*", WEFT_GROUP(.lr = 3e-2, .weight_decay = WEFT_OFF));
    weft_group(o, "c.p", WEFT_GROUP(.beta1 = 0.5, .beta2 = 0.9, .eps = 1e-4));
    weft_set_schedule(o, WEFT_SCHEDULE(.kind = "step", .step_size = 10, .gamma = 0.5));
    return o;
}

START_TEST(a_trace_of_three_groups)
{
    double v[3][N];
    weft_module *leaf[3], *m;
    hid_t file = golden_open("optim2.h5");
    golden p0 = golden_read(file, "groups/p0"), g = golden_read(file, "groups/grads");
    golden want = golden_read(file, "groups/p"), lr = golden_read(file, "groups/lr");
    m = tree(leaf, N);
    weft_optimizer *o = grouped(m);
    ck_assert_msg(weft_setup(f, m, o) == 0, "%s", weft_message(f));
    ck_assert_int_eq(weft_group_count(o), 3);
    for (int i = 0; i < 3; i++)
        set(weft_param(m, weft_param_name(m, i)), p0.v + i * N);
    for (int64_t t = 0; t < g.shape[0]; t++) {
        for (int i = 0; i < 3; i++)
            ck_assert_msg(fabs(weft_group_lr(o, i) - lr.v[3 * t + i]) < 1e-16, "%d at %d: %.17g", i,
                          (int)t, weft_group_lr(o, i));
        weft_zero_grad(o);
        tree_backward(leaf, g.v + t * 3 * N, N);
        ck_assert_int_eq(weft_step(o), 0);
        values_of(leaf, v);
        for (int i = 0; i < 3 * N; i++)
            ck_assert_msg(fabs(v[i / N][i % N] - want.v[t * 3 * N + i]) < 1e-14, "%d at %d", i,
                          (int)t);
        weft_step_end(f);
    }
    golden_free(&p0), golden_free(&g), golden_free(&want), golden_free(&lr);
    H5Fclose(file);
}
END_TEST

static const double ones[3 * N] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

/* The change of the first element of each vector in one step with gradients 1; from 0.5. */
static void changes(weft_module *const leaf[3], weft_optimizer *o, double out[3])
{
    double v[3][N], w[3][N];
    values_of(leaf, v);
    weft_zero_grad(o);
    tree_backward(leaf, ones, N);
    ck_assert_int_eq(weft_step(o), 0);
    values_of(leaf, w);
    for (int i = 0; i < 3; i++)
        out[i] = w[i][0] - v[i][0];
    weft_step_end(f);
}

START_TEST(the_last_group_that_takes_it_has_a_parameter)
{
    double d[3];
    weft_module *leaf[3], *m = tree(leaf, N);
    weft_optimizer *o = weft_sgd(m, WEFT_SGD(.lr = 1));
    ck_assert_int_eq(weft_group(o, "*", WEFT_GROUP(.lr = 2)), 0);
    ck_assert_int_eq(weft_group(o, "[bc].p", WEFT_GROUP(.lr = 4)), 0);
    ck_assert_int_eq(weft_group_module(o, leaf[2], WEFT_GROUP(.lr = 8)), 0);
    ck_assert_int_eq(weft_setup(f, m, o), 0);
    changes(leaf, o, d);
    ck_assert(d[0] == -2 && d[1] == -4 && d[2] == -8);
}
END_TEST

START_TEST(rates_of_groups)
{
    double d[3];
    weft_module *leaf[3], *m = tree(leaf, N);
    weft_optimizer *o = weft_sgd(m, WEFT_SGD(.lr = 1));
    weft_group(o, "b.*", WEFT_GROUP(.weight_decay = 0.25)); /* follows group 0's rate */
    weft_group(o, "c.*", WEFT_GROUP(.lr = WEFT_OFF));
    weft_setup(f, m, o);
    ck_assert_int_eq(weft_set_lr(o, 2), 0);
    changes(leaf, o, d);
    ck_assert(d[0] == -2 && d[1] == -2 * 1.125 && d[2] == 0);
    ck_assert_int_eq(weft_set_group_lr(o, 1, 0.5), 0);
    ck_assert_int_eq(weft_set_group_lr(o, 2, 0.25), 0);
    changes(leaf, o, d);
    ck_assert(d[0] == -2 && d[1] == -0.5 * (1 - 0.25 * 1.75) && d[2] == -0.25);
    ck_assert(weft_group_lr(o, 0) == 2 && weft_group_lr(o, 1) == 0.5);
    ck_assert(isnan(weft_group_lr(o, 3)) && isnan(weft_group_lr(o, -1)));
    ck_assert_int_eq(weft_set_group_lr(o, 3, 1), WEFT_EARG);
    ck_assert_int_eq(weft_set_group_lr(o, 1, -1), WEFT_EARG);
    ck_assert_int_eq(weft_error(f), 0);
}
END_TEST

/* Momentum that only a group has: v = 1, then 1.9. */
START_TEST(a_moment_that_one_group_uses)
{
    double d[3];
    weft_module *leaf[3], *m = tree(leaf, N);
    weft_optimizer *o = weft_sgd(m, WEFT_SGD(.lr = 1));
    weft_group(o, "b.*", WEFT_GROUP(.momentum = 0.9));
    weft_setup(f, m, o);
    changes(leaf, o, d);
    changes(leaf, o, d);
    ck_assert(d[0] == -1 && fabs(d[1] + 1.9) < 1e-15 && d[2] == -1);
}
END_TEST

static void refused(weft_status got, weft_status want, const char *text)
{
    ck_assert_int_eq(got, want);
    ck_assert_msg(strstr(weft_message(f), text) != NULL, "%s", weft_message(f));
    weft_clear(f);
}

START_TEST(bad_groups_are_refused)
{
    weft_module *leaf[3], *m = tree(leaf, N), *other = vector(1);
    weft_optimizer *o = weft_adam(m, NULL), *s = weft_sgd(other, NULL);
    refused(weft_group(o, "*", WEFT_GROUP(.beta1 = 1)), WEFT_EARG, "adam: beta1 is 1");
    refused(weft_group(o, "*", WEFT_GROUP(.eps = NAN)), WEFT_EARG, "adam: eps is nan");
    refused(weft_group(o, "*", WEFT_GROUP(.weight_decay = -2)), WEFT_EARG, "weight_decay is -2");
    refused(weft_group(o, "*", WEFT_GROUP(.momentum = 0.9)), WEFT_EARG, "adam has no momentum");
    refused(weft_group(o, "*", WEFT_GROUP(.alpha = 0.9)), WEFT_EARG, "adam has no alpha");
    refused(weft_group(s, "*", WEFT_GROUP(.beta2 = 0.9)), WEFT_EARG, "sgd has no beta2");
    refused(weft_group(o, "*", WEFT_GROUP(.lr = -2)), WEFT_EARG, "learning rate -2");
    refused(weft_group(o, "*", WEFT_GROUP(.lr = INFINITY)), WEFT_EARG, "learning rate inf");
    refused(weft_group(o, "", NULL), WEFT_EARG, "pattern is empty");
    refused(weft_group(o, NULL, NULL), WEFT_EARG, "pattern is empty");
    refused(weft_group_module(o, NULL, NULL), WEFT_EARG, "the module is NULL");
    ck_assert_int_eq(weft_group_count(o), 1);
    ck_assert_int_eq(weft_group_module(o, other, NULL), 0); /* found at setup: the tree may grow */
    refused(weft_setup(f, m, o), WEFT_ENOENT, "group 1 of adam, a module, takes no parameter");
    ck_assert_int_eq(weft_group(s, "q*", NULL), 0);
    refused(weft_setup(f, other, s), WEFT_ENOENT, "\"q*\"");
}
END_TEST

START_TEST(groups_come_before_setup)
{
    weft_module *leaf[3], *m = tree(leaf, N);
    weft_optimizer *o = weft_adam(m, NULL);
    weft_setup(f, m, o);
    refused(weft_group(o, "*", NULL), WEFT_ESTATE, "was set up before");
    refused(weft_group(weft_lbfgs(vector(1), NULL), "*", NULL), WEFT_ENOTSUP,
            "lbfgs has no groups");
}
END_TEST

/* --- several optimizers on one tree --- */

START_TEST(two_optimizers_on_one_tree)
{
    double v[3][N];
    weft_module *leaf[3], *m = tree(leaf, N);
    weft_optimizer *a = weft_sgd(leaf[0], WEFT_SGD(.lr = 1));
    weft_optimizer *c = weft_sgd(leaf[2], WEFT_SGD(.lr = 2, .momentum = 0.5));
    ck_assert_int_eq(weft_setup(f, m, a), 0);
    ck_assert_int_eq(weft_setup_optimizer(f, c), 0);
    weft_zero_grad(a), weft_zero_grad(c);
    tree_backward(leaf, ones, N);
    ck_assert_int_eq(weft_step(a), 0);
    values_of(leaf, v);
    ck_assert(v[0][0] == -0.5 && v[1][0] == 0.5 && v[2][0] == 0.5);
    weft_zero_grad(a); /* keeps c's gradients, which the next backward adds to */
    ck_assert_int_eq(weft_step(a), WEFT_ESTATE);
    weft_clear(f);
    weft_zero_grad(a), weft_zero_grad(c);
    tree_backward(leaf, ones, N);
    weft_zero_grad(a);
    tree_backward(leaf, ones, N);
    ck_assert_int_eq(weft_step(c), 0);
    ck_assert_int_eq(weft_step(a), 0);
    values_of(leaf, v);
    ck_assert(v[0][0] == -1.5 && v[1][N - 1] == 0.5 && v[2][0] == 0.5 - 2 * 2);
    ck_assert(weft_steps(a) == 2 && weft_steps(c) == 1);
}
END_TEST

START_TEST(parameters_have_one_optimizer)
{
    weft_module *leaf[3], *m = tree(leaf, N);
    ck_assert_ptr_nonnull(weft_sgd(leaf[1], NULL));
    ck_assert_ptr_null(weft_adam(leaf[1], NULL));
    refused(weft_error(f), WEFT_ESTATE, "adam: the module already has an optimizer, sgd");
    ck_assert_ptr_null(weft_adam(m, NULL));
    refused(weft_error(f), WEFT_ESTATE, "\"b\" already has an optimizer, sgd");
    ck_assert_ptr_nonnull(weft_adam(leaf[0], NULL));
    weft_module *part = vector(1);
    weft_optimizer *early = weft_sgd(part, NULL);
    weft_module *whole = weft_nn_sequential(f, part);
    ck_assert_ptr_null(weft_rmsprop(whole, NULL));
    refused(weft_error(f), WEFT_ESTATE, "\"0\" already has an optimizer, sgd");
    ck_assert_int_eq(weft_setup(f, whole, early), 0);
}
END_TEST

/* What overlaps only because the tree has grown since is found at setup. */
START_TEST(an_overlap_that_came_later)
{
    weft_module *box = weft_module_new(f, &tree_ops, NULL, 0), *part = vector(2);
    weft_module_param(box, "q", 1, (int64_t[]){2}, WEFT_CONSTANT(1));
    weft_optimizer *a = weft_sgd(part, NULL), *b = weft_adam(box, NULL);
    weft_module_child(box, "late", part);
    ck_assert_int_eq(weft_setup_module(f, box), 0);
    refused(weft_setup_optimizer(f, b), WEFT_ESTATE, "\"late\" already has an optimizer, sgd");
    refused(weft_setup_optimizer(f, a), WEFT_ESTATE, "already has an optimizer, adam");
}
END_TEST

START_TEST(a_frozen_part)
{
    double d[3];
    weft_module *leaf[3], *m = tree(leaf, N);
    weft_freeze(leaf[1], true);
    weft_optimizer *o = weft_sgd(m, WEFT_SGD(.lr = 1));
    weft_group(o, "b.*", WEFT_GROUP(.lr = 3)); /* takes it, though it is frozen */
    ck_assert_int_eq(weft_setup(f, m, o), 0);
    changes(leaf, o, d);
    ck_assert(d[0] == -1 && d[1] == 0 && d[2] == -1);
}
END_TEST

/* --- the user's own --- */

typedef struct pull {
    double rho, weight_decay;
    int *runs;
} pull;

/* p -= lr (g + rho m), where m starts at weight_decay and stays. */
static weft_status pull_update(weft_stream *s, const weft_kernels *k, void *self,
                               const weft_optim_run *r, int64_t t, double lr)
{
    const pull *o = self;
    (void)t;
    ++*o->runs;
    ck_assert(r->moment[0].addr == 0 && r->moment[1].addr != 0);
    weft_status code = k->axpy(s, r->p, -lr, r->g, r->n, r->dtype);
    return code ? code : k->axpy(s, r->p, -lr * o->rho, r->moment[1], r->n, r->dtype);
}

static unsigned second_only(const void *self)
{
    (void)self;
    return 2;
}

static double starts_at_weight_decay(const void *self, int k)
{
    return k == 1 ? ((const pull *)self)->weight_decay : 7;
}

static const weft_hyper pull_hyper[] = {{"rho", offsetof(pull, rho), 0.5, 0, 2},
                                        {"weight_decay", offsetof(pull, weight_decay), 4, 0, 100}};
static const weft_optim_ops pull_ops = {.size = sizeof pull_ops,
                                        .name = "pull",
                                        .moments = 2,
                                        .moment_name = {"one", "two"},
                                        .update = pull_update,
                                        .hyper = pull_hyper,
                                        .hypers = 2,
                                        .uses = second_only,
                                        .start = starts_at_weight_decay};

START_TEST(an_optimizer_of_the_users_own)
{
    double d[3];
    int runs = 0;
    weft_module *leaf[3], *m = tree(leaf, N);
    ck_assert_ptr_null(weft_optimizer_new(m, &pull_ops, &(pull){.rho = 2}, sizeof(pull), 1));
    refused(weft_error(f), WEFT_EARG, "pull: rho is 2; it must be in [0, 2)");
    weft_optimizer *o = weft_optimizer_new(m, &pull_ops, &(pull){.runs = &runs}, sizeof(pull), 1);
    weft_group(o, "c.*", WEFT_GROUP(.weight_decay = WEFT_OFF));
    ck_assert_int_eq(weft_setup(f, m, o), 0);
    changes(leaf, o, d);
    ck_assert(d[0] == -3 && d[1] == -3 && d[2] == -1);
    ck_assert_int_eq(runs, 2); /* c, and b with a */
}
END_TEST

/* --- checkpoints --- */

typedef weft_optimizer *maker(weft_module *m);

static weft_optimizer *make_amsgrad(weft_module *m)
{
    return weft_adamw(m, WEFT_ADAMW(.lr = 1e-2, .amsgrad = true));
}

static weft_optimizer *make_rmsprop(weft_module *m)
{
    return weft_rmsprop(m, WEFT_RMSPROP(.momentum = 0.9, .centered = true));
}

static weft_optimizer *make_adagrad(weft_module *m)
{
    return weft_adagrad(m, WEFT_ADAGRAD(.lr_decay = 0.1, .initial_accumulator_value = 0.5));
}

static weft_optimizer *make_sgd(weft_module *m)
{
    weft_optimizer *o = weft_sgd(m, WEFT_SGD(.lr = 0.1, .momentum = 0.9, .dampening = 0.5));
    weft_set_schedule(o, WEFT_SCHEDULE(.kind = "plateau", .patience = 1, .factor = 0.5));
    return o;
}

static maker *const made[] = {make_amsgrad, make_rmsprop, make_adagrad, make_sgd, grouped};
#define MAKERS 5

/* PyTorch's names, and whether the checkpoint has them: what no group uses is not there. */
static const struct {
    const char *name;
    bool there;
} item[MAKERS][4] = {
    {{"exp_avg/a.p", true}, {"exp_avg_sq/a.p", true}, {"max_exp_avg_sq/a.p", true}},
    {{"square_avg/a.p", true}, {"momentum_buffer/a.p", true}, {"grad_avg/a.p", true}},
    {{"sum/a.p", true}, {"sum/b.p", false}},
    {{"momentum_buffer/a.p", true}, {"schedule/best", true}},
    {{"exp_avg/c.p", true}, {"max_exp_avg_sq/c.p", false}}};

static void check_names(const char *step, int maker)
{
    char command[200];
    for (int i = 0; i < 4 && item[maker][i].name; i++) {
        snprintf(command, sizeof command, "grep -q '\"optimizer/%s\"' '%s/MANIFEST'",
                 item[maker][i].name, step);
        ck_assert_msg((system(command) == 0) == item[maker][i].there, "%s", command);
    }
}

/* `steps` steps from step `from` on, of the tree whose part b has an optimizer of its own. */
static void run(maker *make, const char *dir, int from, int steps, double v[3][N])
{
    weft_module *leaf[3], *m;
    start();
    m = tree(leaf, N);
    weft_optimizer *o = make == grouped ? make(m) : make(leaf[0]);
    weft_optimizer *other = make == grouped ? NULL : weft_adam(leaf[1], NULL);
    ck_assert_msg(weft_setup(f, m, o) == 0, "%s", weft_message(f));
    if (other)
        weft_setup_optimizer(f, other);
    if (from)
        ck_assert_msg(weft_load(f, dir) == 0, "%s", weft_message(f));
    ck_assert_int_eq(weft_steps(o), from);
    for (int t = from; t < from + steps; t++) {
        double g[3 * N];
        for (int i = 0; i < 3 * N; i++)
            g[i] = sin(1 + t + 7 * i);
        weft_zero_grad(o), weft_zero_grad(other);
        tree_backward(leaf, g, N);
        if (make == make_sgd)
            weft_schedule_metric(o, 1 + 0.1 * t);
        weft_step(o);
        if (other)
            weft_step(other);
        weft_step_end(f);
    }
    values_of(leaf, v);
    if (!from && dir)
        ck_assert_msg(weft_save(f, dir) == 0, "%s", weft_message(f));
    stop();
}

START_TEST(resumes_bit_for_bit)
{
    double whole[3][N], half[3][N];
    char dir[] = "/tmp/weft-groups-XXXXXX", step[80], command[100];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    run(made[_i], NULL, 0, 12, whole);
    run(made[_i], dir, 0, 7, half);
    ck_assert(memcmp(whole, half, sizeof whole) != 0);
    snprintf(step, sizeof step, "%s/latest", dir);
    check_names(step, _i);
    run(made[_i], step, 7, 5, half);
    ck_assert(memcmp(whole, half, sizeof whole) == 0);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("groups");
    TCase *t = tcase_create("groups"), *r = tcase_create("resume");
    weft_log_level(WEFT_LOG_SILENT);
    tcase_add_checked_fixture(t, start, stop);
    suite_add_tcase(s, t);
    suite_add_tcase(s, r);
    tcase_set_timeout(r, 60);
    tcase_add_test(t, a_trace_of_three_groups);
    tcase_add_test(t, the_last_group_that_takes_it_has_a_parameter);
    tcase_add_test(t, rates_of_groups);
    tcase_add_test(t, a_moment_that_one_group_uses);
    tcase_add_test(t, bad_groups_are_refused);
    tcase_add_test(t, groups_come_before_setup);
    tcase_add_test(t, two_optimizers_on_one_tree);
    tcase_add_test(t, parameters_have_one_optimizer);
    tcase_add_test(t, an_overlap_that_came_later);
    tcase_add_test(t, a_frozen_part);
    tcase_add_test(t, an_optimizer_of_the_users_own);
    tcase_add_loop_test(r, resumes_bit_for_bit, 0, MAKERS);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
