/* Modules whose forward runs again in backward: the same bits, less memory, and what a module can and
 * cannot do then. */
#include "autograd/tape.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>
#include <weft/sys/module.h>

#define BATCH 6
#define WIDTH 16
#define MOST 8192

static weft_fabric *f;

static void start_in(const char *precision)
{
    ck_assert_int_eq(weft_open(&f, NULL, NULL, WEFT_OPEN(.precision = precision, .threads = 1)), 0);
}

static void start(void)
{
    start_in("32-true");
}

static void stop(void)
{
    weft_clear(f);
    ck_assert_int_eq(weft_close(&f), 0);
}

/* --- the same bits --- */

typedef void chooser(weft_module *m);

static void none(weft_module *m)
{
    (void)m;
}
static void all(weft_module *m)
{
    weft_recompute(m, true);
}
static void blocks(weft_module *m)
{
    for (int64_t i = 0; i < weft_children(m); i++)
        weft_recompute(weft_child(m, i), true);
}
static void nested(weft_module *m)
{
    blocks(m);
    all(m);
    for (int64_t i = 0; i < weft_children(m); i++)
        for (int64_t k = 0; k < weft_children(weft_child(m, i)); k++)
            weft_recompute(weft_child(weft_child(m, i), k), true);
}
static void second(weft_module *m)
{
    weft_recompute(weft_child(m, 1), true);
    weft_recompute(weft_child(m, 1), false);
    weft_recompute(weft_child(m, 2), true);
}

/* Blocks with random numbers, products, normalisation; a weight that two of them share. */
static weft_module *net(void)
{
    weft_module *m[3];
    for (int i = 0; i < 3; i++)
        m[i] = weft_nn_residual(f, weft_nn_sequential(f, weft_nn_layernorm(f, WIDTH),
                                                      weft_nn_linear(f, WIDTH, 3 * WIDTH),
                                                      weft_nn_relu(f), weft_nn_dropout(f, 0.25),
                                                      weft_nn_linear(f, 3 * WIDTH, WIDTH)));
    weft_module *all_of_it = weft_nn_sequential_n(f, 3, m);
    weft_tie(all_of_it, "2.body.1.weight", "0.body.1.weight");
    return all_of_it;
}

typedef struct outcome {
    char bytes[4 * MOST * 8];
    size_t n;
} outcome;

static void take(outcome *o, weft_tensor *t)
{
    size_t bytes = (size_t)weft_numel(t) * weft_dtype_size(weft_dtype_of(t));
    ck_assert_msg(t && o->n + bytes <= sizeof o->bytes, "%s", weft_message(f));
    ck_assert_int_eq(weft_copy_out(t, o->bytes + o->n, bytes), 0);
    o->n += bytes;
}

/* Three steps; of each the loss, the gradient of the input and those of all parameters. */
static outcome *train(chooser *choose, bool input)
{
    outcome *o = calloc(1, sizeof *o);
    weft_module *m = net();
    weft_optimizer *sgd = weft_sgd(m, WEFT_SGD(.lr = 0.1));
    float data[BATCH * WIDTH];
    for (int i = 0; i < BATCH * WIDTH; i++)
        data[i] = (float)((i * 37 % 41) - 20) / 16;
    choose(m);
    ck_assert_int_eq(weft_setup(f, m, sgd), 0);
    for (int step = 0; step < 3; step++) {
        weft_tensor *x = weft_tensor_of(f, data, 2, (const int64_t[]){BATCH, WIDTH}, WEFT_F32);
        if (input)
            weft_require_grad(x);
        weft_tensor *y = weft_forward(m, weft_scale(x, 0.5));
        weft_tensor *loss = weft_mean(weft_mul(y, y), WEFT_ALL);
        ck_assert_int_eq(weft_zero_grad(sgd), 0);
        ck_assert_int_eq(weft_backward(f, loss), 0);
        take(o, loss);
        if (input)
            take(o, weft_gradient(x));
        for (int64_t i = 0; i < weft_param_count(m); i++)
            take(o, weft_gradient(weft_param(m, weft_param_name(m, i))));
        if (input)
            take(o, weft_grad(loss, x));
        take(o, weft_grad(loss, weft_param(m, "1.body.1.weight")));
        take(o, weft_grad(loss, weft_param(m, "0.body.1.weight")));
        ck_assert_int_ge(weft_step(sgd), 0);
        ck_assert_int_eq(weft_step_end(f), 0);
    }
    return o;
}

static const char *const precision[] = {"32-true", "64-true", "bf16-mixed", "bf16-true"};
static chooser *const choice[] = {all, blocks, nested, second};

START_TEST(the_same_bits)
{
    const char *p = precision[_i / 8];
    const bool input = _i % 2;
    start_in(p);
    outcome *plain = train(none, input);
    stop();
    start_in(p);
    outcome *again = train(choice[_i / 2 % 4], input);
    stop();
    ck_assert_uint_gt(plain->n, 1000);
    ck_assert_uint_eq(plain->n, again->n);
    ck_assert_int_eq(memcmp(plain->bytes, again->bytes, plain->n), 0);
    free(plain);
    free(again);
}
END_TEST

/* Batchnorm uses the batch's statistics both times, and takes them into its running ones once. */
START_TEST(running_statistics_move_once)
{
    outcome *o[2];
    for (int again = 0; again < 2; again++) {
        float data[BATCH * WIDTH];
        for (int i = 0; i < BATCH * WIDTH; i++)
            data[i] = (float)((i * 29 % 37) - 15) / 8;
        start();
        weft_module *m = weft_nn_sequential(f, weft_nn_linear(f, WIDTH, WIDTH),
                                            weft_nn_batchnorm(f, WIDTH), weft_nn_relu(f));
        weft_optimizer *sgd = weft_sgd(m, WEFT_SGD(.lr = 0.1));
        weft_recompute(m, again);
        ck_assert_int_eq(weft_setup(f, m, sgd), 0);
        o[again] = calloc(1, sizeof *o[again]);
        for (int step = 0; step < 3; step++) {
            weft_tensor *x = weft_tensor_of(f, data, 2, (const int64_t[]){BATCH, WIDTH}, WEFT_F32);
            weft_tensor *y = weft_forward(m, x);
            weft_zero_grad(sgd);
            ck_assert_int_eq(weft_backward(f, weft_mean(weft_mul(y, y), WEFT_ALL)), 0);
            for (int64_t i = 0; i < weft_buffer_count(m); i++)
                take(o[again], weft_buffer(m, weft_buffer_name(m, i)));
            for (int64_t i = 0; i < weft_param_count(m); i++)
                take(o[again], weft_gradient(weft_param(m, weft_param_name(m, i))));
            weft_step(sgd);
            weft_step_end(f);
        }
        ck_assert_int_ge(weft_buffer_count(m), 2);
        stop();
    }
    ck_assert_uint_eq(o[0]->n, o[1]->n);
    ck_assert_int_eq(memcmp(o[0]->bytes, o[1]->bytes, o[0]->n), 0);
    free(o[0]);
    free(o[1]);
}
END_TEST

/* --- memory --- */

static int64_t arena_of_a_deep_net(bool recompute)
{
    enum { DEPTH = 12, N = 256, ROWS = 256 };
    weft_module *m[DEPTH];
    start();
    for (int i = 0; i < DEPTH; i++) {
        m[i] = weft_nn_residual(f, weft_nn_sequential(f, weft_nn_linear(f, N, N), weft_nn_gelu(f),
                                                      weft_nn_linear(f, N, N), weft_nn_gelu(f),
                                                      weft_nn_linear(f, N, N), weft_nn_gelu(f)));
        weft_recompute(m[i], recompute);
    }
    weft_module *deep = weft_nn_sequential_n(f, DEPTH, m);
    weft_optimizer *sgd = weft_sgd(deep, WEFT_SGD(.lr = 0.1));
    ck_assert_int_eq(weft_setup(f, deep, sgd), 0);
    for (int step = 0; step < 2; step++) {
        weft_tensor *x = weft_full(f, 0.5, 2, (const int64_t[]){ROWS, N}, WEFT_F32);
        weft_backward(f, weft_mean(weft_forward(deep, x), WEFT_ALL));
        weft_step(sgd);
        ck_assert_int_eq(weft_step_end(f), 0);
    }
    const int64_t settled = weft_memory(f).kind[WEFT_MEMORY_ARENA].now;
    stop();
    return settled;
}

START_TEST(activations_are_not_kept)
{
    const int64_t kept = arena_of_a_deep_net(false), again = arena_of_a_deep_net(true);
    ck_assert_msg(again * 3 <= kept, "%lld bytes, %lld without", (long long)again, (long long)kept);
}
END_TEST

/* --- modules of the user's own --- */

typedef struct probe {
    int forwards, again;
    weft_tensor *other, *inner;
    int change; /* from the second forward on, its result is of another shape */
} probe;

static weft_tensor *probe_forward(weft_module *m, void *self, weft_tensor *x)
{
    probe *p = self;
    p->forwards++;
    p->again += weft_is_recomputing(m);
    p->inner = weft_mul(x, weft_module_own(m, "w"));
    weft_tensor *y = weft_mul(p->inner, x);
    if (p->other)
        y = weft_add(y, p->other);
    return p->change && p->forwards > 1 ? weft_unsqueeze(y, 0) : y;
}

static const weft_module_ops probe_ops = {
    .size = sizeof probe_ops, .name = "probe", .forward = probe_forward};

static weft_module *probed(probe p, probe **self)
{
    weft_module *m = weft_module_new(f, &probe_ops, &p, sizeof p);
    weft_module_param(m, "w", 0, NULL, WEFT_CONSTANT(3));
    weft_recompute(m, true);
    ck_assert_int_eq(weft_setup(f, m, weft_sgd(m, NULL)), 0);
    *self = weft_module_self(m);
    return m;
}

static weft_tensor *leaf(double v)
{
    weft_tensor *x = weft_full(f, v, 0, NULL, WEFT_F32);
    weft_require_grad(x);
    return x;
}

START_TEST(forward_runs_once_more_and_knows)
{
    probe *p;
    weft_module *m = probed((probe){0}, &p);
    weft_tensor *y = weft_forward(m, leaf(2));
    ck_assert(p->forwards == 1 && p->again == 0 && !weft_is_recomputing(m));
    ck_assert_int_eq(weft_backward(f, y), 0);
    ck_assert(p->forwards == 2 && p->again == 1 && !weft_is_recomputing(m));
    ck_assert_double_eq(weft_item(weft_gradient(weft_module_own(m, "w"))), 4);
    ck_assert_int_eq(weft_backward(f, y), 0);
    ck_assert(p->forwards == 3 && p->again == 2);
    ck_assert_double_eq(weft_item(weft_gradient(weft_module_own(m, "w"))), 8);
}
END_TEST

START_TEST(nothing_runs_again_in_evaluation)
{
    probe *p;
    weft_module *m = probed((probe){0}, &p);
    weft_eval_begin(f);
    ck_assert_double_eq(weft_item(weft_forward(m, leaf(2))), 12);
    weft_eval_end(f);
    ck_assert(p->forwards == 1 && p->again == 0);
    ck_assert(weft_is_valid(p->inner));
}
END_TEST

START_TEST(what_forward_made_for_others_is_stale)
{
    probe *p;
    weft_module *m = probed((probe){0}, &p);
    weft_tensor *y = weft_forward(m, leaf(2));
    ck_assert(weft_is_valid(y) && !weft_is_valid(p->inner));
}
END_TEST

START_TEST(gradients_reach_what_was_made_outside)
{
    probe *p;
    weft_module *m = probed((probe){0}, &p);
    weft_tensor *a = leaf(5), *x = leaf(2), *twice = weft_scale(x, 2);
    p->other = weft_mul(a, a);
    weft_require_grad(p->other);
    weft_require_grad(twice);
    weft_tensor *y = weft_forward(m, twice);
    ck_assert_int_eq(weft_backward(f, weft_add(weft_scale(y, 10), p->other)), 0);
    ck_assert_double_eq(weft_item(weft_gradient(a)), 110);
    ck_assert_double_eq(weft_item(weft_gradient(p->other)), 11);
    ck_assert_double_eq(weft_item(weft_gradient(x)), 10 * 2 * 3 * 4 * 2);
    ck_assert_double_eq(weft_item(weft_gradient(twice)), 10 * 2 * 3 * 4);
    ck_assert_double_eq(weft_item(weft_grad(y, p->other)), 1);
    ck_assert_double_eq(weft_item(weft_grad(y, a)), 10);
    weft_step_end(f);
    p->other = a = leaf(1); /* a leaf itself */
    ck_assert_int_eq(weft_backward(f, weft_forward(m, leaf(1))), 0);
    ck_assert_double_eq(weft_item(weft_gradient(a)), 1);
}
END_TEST

START_TEST(the_input_may_be_released)
{
    probe *p;
    weft_module *m = probed((probe){0}, &p);
    weft_tensor *x = leaf(2), *twice = weft_scale(x, 2), *y = weft_forward(m, twice);
    weft_release(twice);
    ck_assert_int_eq(weft_backward(f, y), 0);
    ck_assert_double_eq(weft_item(weft_gradient(x)), 2 * 3 * 4 * 2);
}
END_TEST

START_TEST(a_forward_that_changes_is_refused)
{
    probe *p;
    weft_module *m = probed((probe){.change = 1}, &p);
    weft_tensor *y = weft_forward(m, leaf(2));
    ck_assert_int_eq(weft_backward(f, y), WEFT_ESTATE);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "weft_recompute"));
    weft_clear(f);
    p->change = 0;
    ck_assert_int_eq(weft_backward(f, weft_forward(m, leaf(2))), 0);
}
END_TEST

/* One that hands on its input, a view of it, a parameter or a constant keeps working. */
static weft_tensor *hands_on(weft_module *m, void *self, weft_tensor *x)
{
    switch (*(int *)self) {
    case 0:
        return x;
    case 1:
        return weft_reshape(x, 2, (const int64_t[]){2, 1});
    case 2:
        return weft_transpose(weft_mul(x, weft_module_own(m, "w")), 0, 0);
    default:
        return weft_detach(weft_scale(x, 4));
    }
}

static const weft_module_ops hands_on_ops = {
    .size = sizeof hands_on_ops, .name = "hands on", .forward = hands_on};

START_TEST(any_result_will_do)
{
    const float v[] = {1, 2};
    weft_module *m = weft_module_new(f, &hands_on_ops, &_i, sizeof _i);
    weft_module_param(m, "w", 0, NULL, WEFT_CONSTANT(3));
    weft_recompute(m, true);
    ck_assert_int_eq(weft_setup(f, m, weft_sgd(m, NULL)), 0);
    weft_tensor *x = weft_tensor_of(f, v, 1, (const int64_t[]){2}, WEFT_F32);
    weft_require_grad(x);
    weft_tensor *y = weft_forward(m, x);
    ck_assert_int_eq(
        weft_backward(f, weft_sum(weft_mul(weft_reshape(y, 1, (const int64_t[]){2}), x), WEFT_ALL)),
        0);
    const double want[] = {3 * 2, 3 * 2, 9 * 2, 4 * 3}; /* the sum of the gradient's two */
    ck_assert_double_eq(weft_item(weft_sum(weft_gradient(x), 0)), want[_i]);
}
END_TEST

/* --- what the strategy is told --- */

typedef struct told {
    char order[64][64];
    int n;
} told;

static weft_status on_ready(void *self, weft__segment *s)
{
    told *t = self;
    snprintf(t->order[t->n++], 64, "ready %s", s->name);
    return WEFT_OK;
}

static weft_status on_module(void *self, weft_module *m, bool enter, bool backward)
{
    told *t = self;
    snprintf(t->order[t->n++], 64, "%s %s%s", enter ? "enter" : "leave", weft_module_name(m),
             backward ? " back" : "");
    return WEFT_OK;
}

START_TEST(gradients_are_ready_once_and_forward_is_marked_again)
{
    static const char *const want[] = {"enter ",       "enter 0",
                                       "leave 0",      "enter 1",
                                       "enter 0",      "leave 0",
                                       "leave 1",      "leave ",
                                       "leave  back",  /* the root is to be differentiated, */
                                       "leave 1 back", /* and its child, which runs again */
                                       "enter 0",      "leave 0",
                                       "leave 0 back", "ready 1.0.bias",
                                       "enter 0 back", "enter 1 back",
                                       "leave 0 back", "ready 0.weight",
                                       "ready 0.bias", "enter 0 back",
                                       "enter  back"};
    told t = {.n = 0};
    weft_module *part = weft_nn_sequential(f, weft_nn_linear(f, 3, 3));
    weft_module *m = weft_nn_sequential(f, weft_nn_linear(f, 3, 3), part);
    weft_tie(m, "1.0.weight", "0.weight");
    weft_recompute(part, true);
    ck_assert_int_eq(weft_setup(f, m, weft_sgd(m, NULL)), 0);
    const weft__hooks kept = f->tape->hooks;
    f->tape->hooks = (weft__hooks){.self = &t, .grad_ready = on_ready, .module = on_module};
    weft_tensor *x = weft_full(f, 0.5, 2, (const int64_t[]){2, 3}, WEFT_F32);
    weft_tensor *loss = weft_sum(weft_forward(m, x), WEFT_ALL);
    ck_assert_int_eq(weft_backward(f, loss), 0);
    f->tape->hooks = kept;
    for (int i = 0; i < (int)(sizeof want / sizeof want[0]) || i < t.n; i++)
        ck_assert_msg(i < t.n && i < (int)(sizeof want / sizeof want[0]) &&
                          strcmp(t.order[i], want[i]) == 0,
                      "%d: %s", i, i < t.n ? t.order[i] : "nothing");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("recompute");
    TCase *t = tcase_create("alone"), *u = tcase_create("modules");
    tcase_set_timeout(t, 60);
    suite_add_tcase(s, t);
    suite_add_tcase(s, u);
    tcase_add_loop_test(t, the_same_bits, 0, 32);
    tcase_add_test(t, running_statistics_move_once);
    tcase_add_test(t, activations_are_not_kept);
    tcase_add_checked_fixture(u, start, stop);
    tcase_add_test(u, forward_runs_once_more_and_knows);
    tcase_add_test(u, nothing_runs_again_in_evaluation);
    tcase_add_test(u, what_forward_made_for_others_is_stale);
    tcase_add_test(u, gradients_reach_what_was_made_outside);
    tcase_add_test(u, the_input_may_be_released);
    tcase_add_test(u, a_forward_that_changes_is_refused);
    tcase_add_loop_test(u, any_result_will_do, 0, 4);
    tcase_add_test(u, gradients_are_ready_once_and_forward_is_marked_again);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
