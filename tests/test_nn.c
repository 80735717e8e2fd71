/* Modules: names, first values, freezing, what the tree refuses, modules of the user's own. */
#include "core/rng.h"
#include "nn/module.h"

#include <check.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <weft.h>
#include <weft/sys/module.h>

static weft_fabric *f;

static void start(void)
{
    ck_assert_int_eq(weft_open(&f, NULL, NULL, WEFT_OPEN(.threads = 1, .seed = 7)), 0);
}

static void stop(void)
{
    weft_clear(f);
    ck_assert_int_eq(weft_close(&f), 0);
}

static weft_module *perceptron(weft_fabric *g)
{
    return weft_nn_sequential(g, weft_nn_linear(g, 20, 16), weft_nn_relu(g),
                              weft_nn_linear(g, 16, 10));
}

static void values(weft_module *m, const char *name, float *v, size_t n)
{
    ck_assert_int_eq(weft_copy_out(weft_param(m, name), v, n * sizeof *v), 0);
}

/* --- names and counts --- */

START_TEST(parameters_are_named_by_their_place)
{
    static const char *const want[] = {"0.weight", "0.bias", "2.weight", "2.bias"};
    weft_module *m = perceptron(f);
    ck_assert_int_eq(weft_param_count(m), 4);
    for (int i = 0; i < 4; i++) {
        ck_assert_str_eq(weft_param_name(m, i), want[i]);
        ck_assert_ptr_nonnull(weft_param(m, want[i]));
    }
    ck_assert_ptr_null(weft_param_name(m, 4));
    ck_assert_ptr_null(weft_param_name(m, -1));
    ck_assert_int_eq(weft_error(f), 0);
}
END_TEST

START_TEST(elements_are_counted)
{
    weft_module *m = perceptron(f);
    ck_assert_int_eq(weft_param_elements(m), 20 * 16 + 16 + 16 * 10 + 10);
    ck_assert_int_eq(weft_param_count(weft_nn_linear_nobias(f, 3, 4)), 1);
    ck_assert_int_eq(weft_param_elements(weft_nn_relu(f)), 0);
    ck_assert_int_eq(weft_param_count(NULL), 0);
    ck_assert_int_eq(weft_param_elements(NULL), 0);
}
END_TEST

START_TEST(shapes_are_pytorchs)
{
    weft_module *m = perceptron(f);
    ck_assert_int_eq(weft_dim(weft_param(m, "0.weight"), 0), 16);
    ck_assert_int_eq(weft_dim(weft_param(m, "0.weight"), 1), 20);
    ck_assert_int_eq(weft_rank_of(weft_param(m, "2.bias")), 1);
    ck_assert_int_eq(weft_dim(weft_param(m, "2.bias"), 0), 10);
}
END_TEST

START_TEST(the_nearest_name_is_told)
{
    weft_module *m = perceptron(f);
    ck_assert_ptr_null(weft_param(m, "2.weigth"));
    ck_assert_ptr_nonnull(strstr(weft_message(f), "did you mean \"2.weight\""));
    ck_assert_int_eq(weft_error(f), 0);
    ck_assert_ptr_null(weft_param(m, "completely else"));
    ck_assert_ptr_nonnull(strstr(weft_message(f), "completely else"));
    ck_assert_ptr_null(weft_param(NULL, "0.weight"));
}
END_TEST

START_TEST(a_parts_parameters_have_the_whole_name)
{
    weft_module *last = weft_nn_linear(f, 16, 10);
    weft_nn_sequential(f, weft_nn_linear(f, 20, 16), last);
    ck_assert_int_eq(weft_param_count(last), 2);
    ck_assert_str_eq(weft_param_name(last, 0), "1.weight");
    ck_assert_ptr_eq(weft_param(last, "1.bias"), weft_module_own(last, "bias"));
    ck_assert_ptr_null(weft_module_own(last, "0.weight"));
}
END_TEST

/* --- first values --- */

START_TEST(first_values_are_philox_by_name)
{
    float w[320], b[16], bound = (float)(1 / sqrt(20.0));
    weft_module *m = perceptron(f);
    weft_setup(f, m, NULL);
    values(m, "0.weight", w, 320);
    values(m, "0.bias", b, 16);
    for (uint64_t i = 0; i < 320; i++) {
        float u = weft__uniform_f32(7, weft__stream_of("0.weight"), 0, i);
        ck_assert_float_eq_tol(w[i], -bound + 2 * bound * u, 1e-7f);
    }
    for (uint64_t i = 0; i < 16; i++) {
        float u = weft__uniform_f32(7, weft__stream_of("0.bias"), 0, i);
        ck_assert_float_eq_tol(b[i], -bound + 2 * bound * u, 1e-7f);
    }
}
END_TEST

START_TEST(first_values_keep_their_bounds_and_fill_them)
{
    float w[320], lo = 1, hi = -1, bound = (float)(1 / sqrt(20.0));
    weft_module *m = perceptron(f);
    values(m, "0.weight", w, 320);
    for (int i = 0; i < 320; i++) {
        lo = w[i] < lo ? w[i] : lo;
        hi = w[i] > hi ? w[i] : hi;
    }
    ck_assert(lo >= -bound && hi < bound);
    ck_assert(lo < -0.95f * bound && hi > 0.95f * bound);
}
END_TEST

typedef struct elsewhere {
    int threads;
    uint64_t seed;
    float w[320];
} elsewhere;

static void *values_elsewhere(void *self)
{
    elsewhere *e = self;
    weft_fabric *g;
    if (weft_open(&g, NULL, NULL, WEFT_OPEN(.threads = e->threads, .seed = e->seed)) == 0) {
        weft_nn_linear(g, 300, 300);
        weft_setup(g, weft_nn_linear(g, 50, 60), NULL);
        weft_module *m = perceptron(g);
        weft_setup(g, m, NULL);
        weft_copy_out(weft_param(m, "0.weight"), e->w, sizeof e->w);
    }
    weft_close(&g);
    return NULL;
}

START_TEST(first_values_do_not_depend_on_what_else_there_is)
{
    float w[320];
    elsewhere e[3] = {
        {.threads = 1, .seed = 7}, {.threads = 2, .seed = 7}, {.threads = 1, .seed = 7}};
    pthread_t t;
    weft_module *m = perceptron(f);
    values(m, "0.weight", w, 320);
    values_elsewhere(&e[0]);
    values_elsewhere(&e[1]);
    ck_assert_int_eq(pthread_create(&t, NULL, values_elsewhere, &e[2]), 0);
    pthread_join(t, NULL);
    for (int i = 0; i < 3; i++)
        ck_assert_mem_eq(w, e[i].w, sizeof w);
}
END_TEST

START_TEST(another_seed_gives_other_values)
{
    float w[320];
    elsewhere e = {.threads = 1, .seed = 8};
    int equal = 0;
    weft_module *m = perceptron(f);
    values(m, "0.weight", w, 320);
    values_elsewhere(&e);
    for (int i = 0; i < 320; i++)
        equal += w[i] == e.w[i];
    ck_assert_int_lt(equal, 3);
}
END_TEST

START_TEST(equal_bounds_are_a_constant)
{
    weft_module *m = weft_module_new(f, weft_module_table(weft_nn_relu(f)), NULL, 0);
    weft_module_param(m, "p", 1, (int64_t[]){3}, WEFT_CONSTANT(0.25));
    weft_setup(f, m, NULL);
    ck_assert_double_eq(weft_item(weft_mean(weft_param(m, "p"), 0)), 0.25);
}
END_TEST

START_TEST(memory_comes_with_the_first_forward_too)
{
    weft_module *m = perceptron(f);
    weft_tensor *x = weft_full(f, 1, 2, (int64_t[]){5, 20}, WEFT_F32);
    weft_tensor *y = weft_forward(m, x);
    ck_assert_int_eq(weft_dim(y, 0), 5);
    ck_assert_int_eq(weft_dim(y, 1), 10);
    ck_assert_int_eq(weft_setup(f, m, NULL), 0); /* later is early enough */
}
END_TEST

/* --- freezing --- */

START_TEST(frozen_parameters_do_not_move)
{
    float before[2][320], after[2][320];
    weft_module *head = weft_nn_linear(f, 16, 10), *base = weft_nn_linear(f, 20, 16);
    weft_module *m = weft_nn_sequential(f, base, weft_nn_relu(f), head);
    weft_optimizer *o = weft_sgd(m, WEFT_SGD(.lr = 0.5));
    ck_assert_int_eq(weft_freeze(base, true), 0);
    ck_assert_int_eq(weft_setup(f, m, o), 0);
    values(m, "0.weight", before[0], 320);
    values(m, "2.weight", before[1], 160);
    weft_tensor *x = weft_full(f, 1, 2, (int64_t[]){4, 20}, WEFT_F32);
    ck_assert_int_eq(weft_backward(f, weft_sum(weft_forward(m, x), WEFT_ALL)), 0);
    ck_assert_ptr_null(weft_gradient(weft_param(m, "0.weight")));
    ck_assert_ptr_nonnull(weft_gradient(weft_param(m, "2.weight")));
    ck_assert_int_eq(weft_step(o), 0);
    values(m, "0.weight", after[0], 320);
    values(m, "2.weight", after[1], 160);
    ck_assert_mem_eq(before[0], after[0], 320 * sizeof(float));
    ck_assert_mem_ne(before[1], after[1], 160 * sizeof(float));
}
END_TEST

START_TEST(freezing_can_be_undone_before_setup)
{
    weft_module *m = perceptron(f);
    ck_assert_int_eq(weft_freeze(m, true), 0);
    ck_assert_int_eq(weft_freeze(m, false), 0);
    ck_assert_int_eq(weft_setup(f, m, NULL), 0);
    weft_tensor *x = weft_full(f, 1, 2, (int64_t[]){4, 20}, WEFT_F32);
    ck_assert_int_eq(weft_backward(f, weft_sum(weft_forward(m, x), WEFT_ALL)), 0);
}
END_TEST

START_TEST(all_frozen_has_no_loss)
{
    weft_module *m = perceptron(f);
    weft_freeze(m, true);
    weft_setup(f, m, NULL);
    weft_tensor *x = weft_full(f, 1, 2, (int64_t[]){4, 20}, WEFT_F32);
    ck_assert_int_eq(weft_backward(f, weft_sum(weft_forward(m, x), WEFT_ALL)), WEFT_ESTATE);
}
END_TEST

/* A frozen model is a wall for parameters, not for what flows through it. */
START_TEST(gradients_flow_through_what_is_frozen)
{
    weft_module *m = weft_nn_linear(f, 2, 1);
    weft_freeze(m, true);
    weft_setup(f, m, NULL);
    weft_tensor *x = weft_full(f, 1, 2, (int64_t[]){1, 2}, WEFT_F32);
    weft_require_grad(x);
    ck_assert_int_eq(weft_backward(f, weft_sum(weft_forward(m, x), WEFT_ALL)), 0);
    float w[2], g[2];
    values(m, "weight", w, 2);
    ck_assert_int_eq(weft_copy_out(weft_gradient(x), g, sizeof g), 0);
    ck_assert_mem_eq(w, g, sizeof g);
}
END_TEST

/* --- the tree --- */

static void stuck_with(weft_status code, const char *says)
{
    ck_assert_int_eq(weft_error(f), code);
    ck_assert_msg(strstr(weft_message(f), says) != NULL, "\"%s\"", weft_message(f));
    weft_clear(f);
}

START_TEST(a_module_has_one_parent)
{
    weft_module *m = weft_nn_linear(f, 3, 3);
    ck_assert_ptr_nonnull(weft_nn_sequential(f, m));
    ck_assert_ptr_null(weft_nn_sequential(f, m));
    stuck_with(WEFT_ESTATE, "already has a parent");
}
END_TEST

START_TEST(a_module_is_not_part_of_itself)
{
    weft_module *inner = weft_nn_sequential(f, weft_nn_relu(f)),
                *outer = weft_nn_sequential(f, inner);
    ck_assert_ptr_null(weft_module_child(outer, "x", outer));
    stuck_with(WEFT_ESTATE, "part of itself");
    ck_assert_ptr_null(weft_module_child(inner, "x", outer));
    stuck_with(WEFT_ESTATE, "part of itself");
    ck_assert_int_eq(weft_param_count(outer), 0);
}
END_TEST

START_TEST(what_comes_after_setup_is_refused)
{
    weft_module *m = perceptron(f), *none = weft_nn_sequential(f, weft_nn_relu(f));
    weft_setup(f, m, NULL);
    weft_setup(f, none, NULL);
    ck_assert_ptr_null(weft_module_param(m, "late", 0, NULL, WEFT_CONSTANT(0)));
    stuck_with(WEFT_ESTATE, "late");
    ck_assert_ptr_null(weft_module_child(m, "late", weft_nn_linear(f, 2, 2)));
    stuck_with(WEFT_ESTATE, "late");
    ck_assert_ptr_null(weft_module_child(none, "late", weft_nn_linear(f, 2, 2)));
    stuck_with(WEFT_ESTATE, "late");
    ck_assert_ptr_null(weft_nn_sequential(f, m));
    stuck_with(WEFT_ESTATE, "memory");
}
END_TEST

START_TEST(names_are_given_once)
{
    weft_module *m = weft_nn_linear(f, 2, 2), *s = weft_nn_sequential(f, weft_nn_relu(f));
    ck_assert_ptr_null(weft_module_param(m, "bias", 0, NULL, WEFT_CONSTANT(0)));
    stuck_with(WEFT_EARG, "bias");
    ck_assert_ptr_null(weft_module_child(s, "0", weft_nn_relu(f)));
    stuck_with(WEFT_EARG, "0");
    ck_assert_int_eq(weft_param_count(m), 2);
}
END_TEST

START_TEST(another_fabrics_module_is_refused)
{
    weft_fabric *g;
    ck_assert_int_eq(weft_open(&g, NULL, NULL, WEFT_OPEN(.threads = 1)), 0);
    ck_assert_ptr_null(
        weft_module_child(weft_nn_sequential(f, weft_nn_relu(f)), "x", weft_nn_linear(g, 2, 2)));
    stuck_with(WEFT_EHANDLE, "another fabric");
    weft_module *theirs = weft_nn_linear(g, 2, 2);
    weft_optimizer *o = weft_sgd(theirs, NULL);
    weft_loader *l = weft_loader_arrays(g, 2, "ab", 0, NULL, WEFT_U8, NULL, WEFT_U8, NULL);
    ck_assert_int_eq(weft_setup(f, theirs, NULL), WEFT_EHANDLE);
    stuck_with(WEFT_EHANDLE, "another fabric");
    ck_assert_int_eq(weft_setup(g, theirs, NULL), 0);
    ck_assert_int_eq(weft_setup_optimizer(f, o), WEFT_EHANDLE);
    stuck_with(WEFT_EHANDLE, "another fabric");
    ck_assert_int_eq(weft_setup_loader(f, l), WEFT_EHANDLE);
    stuck_with(WEFT_EHANDLE, "another fabric");
    ck_assert_int_eq(weft_close(&g), 0);
}
END_TEST

START_TEST(null_children_give_null)
{
    ck_assert_ptr_null(weft_nn_sequential(f, weft_nn_relu(f), NULL));
    ck_assert_ptr_null(weft_module_child(NULL, "x", NULL));
    ck_assert_ptr_null(weft_module_param(NULL, "x", 0, NULL, WEFT_CONSTANT(0)));
    ck_assert_ptr_null(weft_forward(NULL, NULL));
    ck_assert_int_eq(weft_freeze(NULL, true), WEFT_EARG);
    ck_assert_int_eq(weft_error(f), 0);
}
END_TEST

START_TEST(impossible_parameters_are_refused)
{
    weft_module *m = weft_nn_relu(f);
    ck_assert_ptr_null(weft_module_param(m, "p", -1, NULL, WEFT_CONSTANT(0)));
    stuck_with(WEFT_ESHAPE, "rank -1");
    ck_assert_ptr_null(weft_module_param(m, "p", 9, (int64_t[9]){1}, WEFT_CONSTANT(0)));
    stuck_with(WEFT_ESHAPE, "rank 9");
    ck_assert_ptr_null(weft_nn_linear(f, 0, 3));
    stuck_with(WEFT_EARG, "weft_nn_linear");
    ck_assert_ptr_null(weft_nn_linear(f, INT64_MAX / 2, 3));
    stuck_with(WEFT_ESHAPE, "too many");
    char name[300];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    weft_module *named = weft_nn_relu(f);
    weft_module_param(named, name, 0, NULL, WEFT_CONSTANT(0));
    ck_assert(weft_setup_module(f, named) < 0);
    stuck_with(WEFT_EARG, "256 bytes");
    ck_assert_int_eq(weft_param_count(m), 0);
}
END_TEST

START_TEST(setup_is_once_and_of_the_whole)
{
    weft_module *part = weft_nn_linear(f, 2, 2), *m = weft_nn_sequential(f, part);
    ck_assert_int_eq(weft_setup(f, part, NULL), WEFT_EARG);
    stuck_with(WEFT_EARG, "part of another");
    ck_assert_int_eq(weft_setup(f, m, NULL), 0);
    ck_assert_int_eq(weft_setup(f, m, NULL), WEFT_ESTATE);
}
END_TEST

/* --- modes --- */

START_TEST(modes_reach_all_below)
{
    weft_module *part = weft_nn_linear(f, 2, 2), *m = weft_nn_sequential(f, part);
    ck_assert(weft_is_training(m) && weft_is_training(part));
    weft_train(m, false);
    ck_assert(!weft_is_training(m) && !weft_is_training(part));
    weft_train(part, true);
    ck_assert(!weft_is_training(m) && weft_is_training(part));
    weft_train(m, true);
    weft_eval_begin(f);
    ck_assert(!weft_is_training(m));
    weft_eval_end(f);
    ck_assert(weft_is_training(m));
    ck_assert(!weft_is_training(NULL));
}
END_TEST

START_TEST(sequential_is_one_after_the_other)
{
    float got[2][50];
    weft_module *a = weft_nn_linear(f, 20, 16), *b = weft_nn_linear(f, 16, 10);
    weft_module *m = weft_nn_sequential(f, a, weft_nn_relu(f), b, weft_nn_softmax(f));
    weft_setup(f, m, NULL);
    weft_tensor *x = weft_full(f, 0.5, 2, (int64_t[]){5, 20}, WEFT_F32);
    weft_tensor *y = weft_forward(m, x);
    weft_tensor *z = weft_softmax(weft_forward(b, weft_relu(weft_forward(a, x))));
    ck_assert_int_eq(weft_copy_out(y, got[0], sizeof got[0]), 0);
    ck_assert_int_eq(weft_copy_out(z, got[1], sizeof got[1]), 0);
    ck_assert_mem_eq(got[0], got[1], sizeof got[0]);
}
END_TEST

/* --- a module of the user's own --- */

typedef struct counter {
    int64_t calls;
    int *destroyed;
} counter;

static weft_tensor *count(weft_module *m, void *self, weft_tensor *x)
{
    counter *c = self;
    c->calls++;
    return weft_mul(x, weft_module_own(m, "gain"));
}

static weft_status count_state(void *self, weft_visitor *v)
{
    return weft_state_i64(v, "calls", &((counter *)self)->calls);
}

static void count_destroy(void *self)
{
    ++*((counter *)self)->destroyed;
}

static const weft_module_ops count_ops = {.size = sizeof count_ops,
                                          .name = "count",
                                          .forward = count,
                                          .state = count_state,
                                          .destroy = count_destroy};

static weft_module *counting(weft_fabric *g, int *destroyed)
{
    weft_module *m = weft_module_new(g, &count_ops, &(counter){0, destroyed}, sizeof(counter));
    weft_module_param(m, "gain", 0, NULL, WEFT_CONSTANT(2));
    return m;
}

typedef struct listing {
    weft_visitor v;
    char text[400];
} listing;

static weft_status list(weft_visitor *v, const weft_state_item *item)
{
    listing *l = (listing *)v;
    size_t n = strlen(l->text);
    snprintf(l->text + n, sizeof l->text - n, "%s%s ", v->scope, item->name);
    return WEFT_OK;
}

/* Each has the values of its op, no parameters, and its name. */
START_TEST(activations_are_their_ops)
{
    static const struct {
        const char *name;
        weft_module *(*module)(weft_fabric *);
        weft_tensor *(*op)(weft_tensor *);
    } row[] = {{"relu", weft_nn_relu, weft_relu},
               {"softmax", weft_nn_softmax, weft_softmax},
               {"log_softmax", weft_nn_log_softmax, weft_log_softmax},
               {"gelu", weft_nn_gelu, weft_gelu},
               {"gelu_tanh", weft_nn_gelu_tanh, weft_gelu_tanh},
               {"silu", weft_nn_silu, weft_silu},
               {"sigmoid", weft_nn_sigmoid, weft_sigmoid},
               {"tanh", weft_nn_tanh, weft_tanh}};
    const float v[6] = {-2, -1, -0.5f, 0, 0.5f, 1};
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        weft_module *m = row[i].module(f);
        weft_tensor *x = weft_tensor_of(f, v, 2, (int64_t[]){2, 3}, WEFT_F32);
        weft_tensor *off = weft_sum(weft_sub(weft_forward(m, x), row[i].op(x)), WEFT_ALL);
        ck_assert_double_eq(weft_item(off), 0);
        ck_assert_str_eq(weft_module_table(m)->name, row[i].name);
        ck_assert_int_eq(weft_param_count(m), 0);
        ck_assert_double_ne(weft_item(weft_sum(row[i].op(x), WEFT_ALL)), 0);
    }
}
END_TEST

START_TEST(a_module_of_the_users_own)
{
    int destroyed = 0;
    weft_fabric *g;
    listing l = {.v = {.mode = WEFT_VISIT_SAVE, .item = list}};
    ck_assert_int_eq(weft_open(&g, NULL, NULL, WEFT_OPEN(.threads = 1)), 0);
    weft_module *mine = counting(g, &destroyed),
                *m = weft_nn_sequential(g, mine, counting(g, &destroyed));
    ck_assert_int_eq(weft_setup(g, m, NULL), 0);
    weft_tensor *x = weft_full(g, 3, 0, NULL, WEFT_F32);
    weft_forward(m, x);
    ck_assert_double_eq(weft_item(weft_forward(m, x)), 12);
    ck_assert_int_eq(((counter *)weft_module_self(mine))->calls, 2);
    ck_assert_ptr_eq(weft_module_fabric(mine), g);
    ck_assert_ptr_eq(weft_module_table(mine), &count_ops);
    ck_assert_int_eq(weft__module_state(m, &l.v), 0);
    ck_assert_str_eq(l.text, "0.gain 1.gain 0/calls 1/calls ");
    ck_assert_int_eq(destroyed, 0);
    ck_assert_int_eq(weft_close(&g), 0);
    ck_assert_int_eq(destroyed, 2);
}
END_TEST

START_TEST(incomplete_tables_of_modules_are_refused)
{
    const weft_module_ops bad[] = {{.size = sizeof *bad, .name = "mine"},
                                   {.name = "mine", .forward = count}};
    for (int i = 0; i < 2; i++) {
        ck_assert_ptr_null(weft_module_new(f, &bad[i], NULL, 0));
        stuck_with(WEFT_EARG, "mine");
    }
}
END_TEST

static void add_values(TCase *t)
{
    tcase_add_test(t, parameters_are_named_by_their_place);
    tcase_add_test(t, activations_are_their_ops);
    tcase_add_test(t, elements_are_counted);
    tcase_add_test(t, shapes_are_pytorchs);
    tcase_add_test(t, the_nearest_name_is_told);
    tcase_add_test(t, a_parts_parameters_have_the_whole_name);
    tcase_add_test(t, first_values_are_philox_by_name);
    tcase_add_test(t, first_values_keep_their_bounds_and_fill_them);
    tcase_add_test(t, first_values_do_not_depend_on_what_else_there_is);
    tcase_add_test(t, another_seed_gives_other_values);
    tcase_add_test(t, equal_bounds_are_a_constant);
    tcase_add_test(t, memory_comes_with_the_first_forward_too);
    tcase_add_test(t, frozen_parameters_do_not_move);
    tcase_add_test(t, freezing_can_be_undone_before_setup);
    tcase_add_test(t, all_frozen_has_no_loss);
    tcase_add_test(t, gradients_flow_through_what_is_frozen);
}

static void add_tree(TCase *t)
{
    tcase_add_test(t, a_module_has_one_parent);
    tcase_add_test(t, a_module_is_not_part_of_itself);
    tcase_add_test(t, what_comes_after_setup_is_refused);
    tcase_add_test(t, names_are_given_once);
    tcase_add_test(t, another_fabrics_module_is_refused);
    tcase_add_test(t, null_children_give_null);
    tcase_add_test(t, impossible_parameters_are_refused);
    tcase_add_test(t, setup_is_once_and_of_the_whole);
    tcase_add_test(t, modes_reach_all_below);
    tcase_add_test(t, sequential_is_one_after_the_other);
    tcase_add_test(t, a_module_of_the_users_own);
    tcase_add_test(t, incomplete_tables_of_modules_are_refused);
}

int main(void)
{
    Suite *s = suite_create("nn");
    TCase *t = tcase_create("nn");
    weft_log_level(WEFT_LOG_SILENT);
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, start, stop);
    suite_add_tcase(s, t);
    add_values(t);
    add_tree(t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
