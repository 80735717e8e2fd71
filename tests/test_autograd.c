/* The tape: what a gradient is, when it is complete, and what is refused. */
#include "autograd/tape.h"

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <weft.h>
#include <weft/sys/module.h>
#include <weft/sys/op.h>

static weft_fabric *f;
static weft__hooks kept;

static void start(void)
{
    ck_assert_int_eq(weft_open(&f, NULL, NULL, WEFT_OPEN(.precision = "64-true", .threads = 1)), 0);
    kept = f->tape->hooks;
}

static void stop(void)
{
    f->tape->hooks = kept;
    weft_clear(f);
    ck_assert_int_eq(weft_close(&f), 0);
}

/* A leaf that wants its gradient. */
static weft_tensor *leaf(double v)
{
    weft_tensor *x = weft_full(f, v, 0, NULL, WEFT_F64);
    weft_require_grad(x);
    return x;
}

/* A result whose gradient stays. */
static weft_tensor *keep(weft_tensor *x)
{
    weft_require_grad(x);
    return x;
}

static double gradient(weft_tensor *x)
{
    return weft_item(weft_gradient(x));
}

/* p holds two parameters a = 2 and b = 3; its function is theirs to use. */
static weft_tensor *pair_forward(weft_module *m, void *self, weft_tensor *x)
{
    (void)m, (void)self;
    return x;
}

static const weft_module_ops pair_ops = {
    .size = sizeof pair_ops, .name = "pair", .forward = pair_forward};

static weft_module *pair(weft_tensor **a, weft_tensor **b)
{
    weft_module *m = weft_module_new(f, &pair_ops, NULL, 0);
    *a = weft_module_param(m, "a", 0, NULL, WEFT_CONSTANT(2));
    *b = weft_module_param(m, "b", 0, NULL, WEFT_CONSTANT(3));
    return m;
}

static weft_module *ready_pair(weft_tensor **a, weft_tensor **b, weft_optimizer **o)
{
    weft_module *m = pair(a, b);
    *o = weft_sgd(m, WEFT_SGD(.lr = 1));
    ck_assert_int_eq(weft_setup(f, m, *o), 0);
    return m;
}

/* --- sums of paths --- */

START_TEST(a_tensor_used_twice_sums_both)
{
    weft_tensor *x = leaf(3);
    ck_assert_int_eq(weft_backward(f, weft_mul(x, x)), 0);
    ck_assert_double_eq(gradient(x), 6);
}
END_TEST

START_TEST(a_diamond)
{
    weft_tensor *x = leaf(3), *l = weft_scale(x, 2), *r = weft_mul(x, x);
    ck_assert_int_eq(weft_backward(f, weft_mul(weft_add(l, r), r)), 0); /* 2x^3 + x^4 */
    ck_assert_double_eq(gradient(x), 6 * 9 + 4 * 27);
}
END_TEST

START_TEST(an_inner_tensor_has_its_gradient_too)
{
    weft_tensor *x = leaf(3), *y = weft_scale(x, 2);
    weft_require_grad(y);
    ck_assert_int_eq(weft_backward(f, weft_mul(y, y)), 0);
    ck_assert_double_eq(gradient(y), 12);
    ck_assert_double_eq(gradient(x), 24);
}
END_TEST

/* Sums and views hand gradients on where they are; what else is added to one of them changes no other. */
START_TEST(a_gradient_that_is_handed_on_stays_as_it_is)
{
    for (int stay = 0; stay < 64; stay++) { /* those of these bits, beside that of x */
        weft_tensor *x = leaf(3), *y = weft_mul(x, weft_full(f, 2, 0, NULL, WEFT_F64));
        weft_tensor *a = weft_add(y, y), *b = weft_add(a, y), *c = weft_reshape(b, 0, NULL);
        weft_tensor *d = weft_add(c, a), *of[] = {y, a, b, c, d};
        const double want[] = {180, 66, 48, 18, 18};
        for (int i = 0; i < 5; i++)
            if (stay >> i & 1)
                keep(of[i]);
        ck_assert_int_eq(weft_backward(f, weft_mul(d, b)), 0);
        ck_assert_double_eq(gradient(x), 360);
        for (int i = 0; i < 5; i++)
            if (stay >> i & 1)
                ck_assert_double_eq(gradient(of[i]), want[i]);
            else
                ck_assert_ptr_null(weft_gradient(of[i]));
    }
}
END_TEST

/* An op may write over the gradient of its result, unless that is asked for, or somebody else's, too. */
START_TEST(a_gradient_that_is_written_over_is_nobodys)
{
    for (int how = 0; how < 6; how++) {
        const double v[] = {1, -2}, w[] = {1, 2, -1, -1};
        static double gelu[2];
        double got[2], kept[2];
        weft_tensor *x = weft_tensor_of(f, v, 2, (int64_t[]){1, 2}, WEFT_F64);
        weft_require_grad(x);
        weft_tensor *m = weft_tensor_of(f, w, 2, (int64_t[]){2, 2}, WEFT_F64);
        weft_tensor *y = how % 2 ? weft_linear_gelu_tanh(x, m, NULL) : weft_linear_relu(x, m, NULL);
        weft_tensor *z = how / 2 == 2 ? weft_add(y, weft_scale(x, 3)) : weft_scale(y, 3);
        if (how / 2 == 1)
            keep(y);
        ck_assert_int_eq(weft_backward(f, weft_sum(weft_scale(z, 2), WEFT_ALL)), 0);
        ck_assert_int_eq(weft_copy_out(weft_gradient(x), got, sizeof got), 0);
        if (how / 2 == 1) {
            ck_assert_int_eq(weft_copy_out(weft_gradient(y), kept, sizeof kept), 0);
            ck_assert(kept[0] == 6 && kept[1] == 6);
        }
        if (how % 2 == 0) { /* rows of m give -3 and 1: the second alone counts */
            const double g = how / 2 == 2 ? 2 : 6, more = how / 2 == 2 ? 6 : 0;
            ck_assert(got[0] == -g + more && got[1] == -g + more);
        } else if (how == 1) {
            memcpy(gelu, got, sizeof gelu);
        } else if (how == 3) {
            ck_assert(got[0] == gelu[0] && got[1] == gelu[1] && got[0] != 0);
        }
    }
}
END_TEST

/* What nobody asks for is taken again: a chain takes no more for its gradients the longer it is. */
START_TEST(gradients_of_results_give_their_memory_back)
{
    int64_t used[2];
    for (int i = 0; i < 2; i++) {
        weft_tensor *x = weft_full(f, 1, 1, (int64_t[]){100}, WEFT_F64), *y = x;
        weft_require_grad(x);
        for (int k = 0; k < (i ? 40 : 10); k++)
            y = weft_add(weft_mul(y, x), weft_tanh(y));
        const size_t before = weft__engine_mark(f).used;
        ck_assert_int_eq(weft_backward(f, weft_mean(y, WEFT_ALL)), 0);
        ck_assert_uint_eq(weft__engine_mark(f).chunk, 0);
        used[i] = (int64_t)(weft__engine_mark(f).used - before);
    }
    ck_assert_int_le(used[1], used[0]);
    ck_assert_int_lt(used[0], 8 * 832);
}
END_TEST

static weft_tensor *normed(weft_tensor *x)
{
    const double w[] = {3, -1, 4, 1, -5, 9, 2, -6};
    weft_tensor *y = weft_layernorm(x, 1, NULL, NULL, 0);
    return weft_mul(y, weft_tensor_of(f, w, 2, (int64_t[]){2, 4}, WEFT_F64));
}

/* So does a norm to a gradient that is there, with another or by itself. */
START_TEST(a_norm_adds_to_a_gradient)
{
    const double v[] = {1, 4, 2, 8, 5, 7, 1, 3};
    double alone[8], all[8], twice[8], given[8];
    weft_tensor *x = weft_tensor_of(f, v, 2, (int64_t[]){2, 4}, WEFT_F64);
    weft_require_grad(x);
    ck_assert_int_eq(
        weft_copy_out(weft_grad(weft_sum(normed(x), WEFT_ALL), x), alone, sizeof alone), 0);
    weft_tensor *y = weft_scale(x, 1), *n = keep(normed(y)), *d = weft_add(y, n);
    ck_assert_int_eq(weft_backward(f, weft_sum(weft_add(d, weft_scale(d, 2)), WEFT_ALL)), 0);
    ck_assert_int_eq(weft_copy_out(weft_gradient(x), all, sizeof all), 0);
    ck_assert_int_eq(weft_copy_out(weft_gradient(n), given, sizeof given), 0);
    weft_tensor *z = weft_scale(x, 1);
    ck_assert_int_eq(weft_copy_out(weft_grad(weft_sum(weft_add(normed(z), normed(z)), WEFT_ALL), z),
                                   twice, sizeof twice),
                     0);
    for (int i = 0; i < 8; i++) {
        ck_assert_double_eq_tol(all[i], 3 * (1 + alone[i]), 1e-12);
        ck_assert_double_eq_tol(twice[i], 2 * alone[i], 1e-12);
        ck_assert_double_eq(given[i], 3);
    }
}
END_TEST

/* So does a table, whose rows alone change. */
START_TEST(a_table_adds_to_a_gradient)
{
    const int64_t index[] = {1, 1}, shape[] = {2, 4};
    double all[8], given[8];
    weft_tensor *x = weft_full(f, 2, 2, shape, WEFT_F64);
    weft_require_grad(x);
    weft_tensor *y = weft_scale(x, 1);
    weft_tensor *e = weft_embedding(weft_tensor_of(f, index, 1, shape, WEFT_I64), y, -1);
    weft_tensor *d = keep(weft_add(y, x));
    ck_assert_int_eq(weft_backward(f, weft_sum(weft_add(d, e), WEFT_ALL)), 0);
    ck_assert_int_eq(weft_copy_out(weft_gradient(x), all, sizeof all), 0);
    ck_assert_int_eq(weft_copy_out(weft_gradient(d), given, sizeof given), 0);
    for (int i = 0; i < 8; i++)
        ck_assert(all[i] == (i < 4 ? 2 : 4) && given[i] == 1);
}
END_TEST

START_TEST(what_the_loss_does_not_depend_on_has_none)
{
    weft_tensor *x = leaf(3), *y = leaf(4);
    weft_mul(y, y);
    ck_assert_int_eq(weft_backward(f, weft_mul(x, x)), 0);
    ck_assert_ptr_null(weft_gradient(y));
    ck_assert_ptr_nonnull(strstr(weft_message(f), "no gradient"));
    ck_assert_int_eq(weft_error(f), 0);
}
END_TEST

START_TEST(nothing_flows_through_detach)
{
    weft_tensor *x = leaf(3);
    ck_assert_int_eq(weft_backward(f, weft_mul(x, weft_detach(x))), 0);
    ck_assert_double_eq(gradient(x), 3);
}
END_TEST

START_TEST(a_leafs_gradient_ends_with_the_step)
{
    weft_tensor *x = weft_retain(weft_full(f, 3, 0, NULL, WEFT_F64));
    weft_require_grad(x);
    ck_assert_int_eq(weft_backward(f, weft_mul(x, x)), 0);
    ck_assert_double_eq(gradient(x), 6);
    weft_step_end(f);
    ck_assert_ptr_null(weft_gradient(x));
    ck_assert_int_eq(weft_backward(f, weft_scale(x, 5)), 0);
    ck_assert_double_eq(gradient(x), 5);
    weft_release(x);
}
END_TEST

START_TEST(integers_have_no_gradient)
{
    ck_assert_int_eq(weft_require_grad(weft_full(f, 3, 0, NULL, WEFT_I64)), WEFT_EDTYPE);
    ck_assert_int_eq(weft_error(f), WEFT_EDTYPE);
}
END_TEST

/* --- parameters --- */

START_TEST(two_backwards_in_a_step_add_up)
{
    weft_tensor *a, *b;
    weft_optimizer *o;
    ready_pair(&a, &b, &o);
    weft_zero_grad(o);
    ck_assert_int_eq(weft_backward(f, weft_mul(a, b)), 0);
    ck_assert_int_eq(weft_backward(f, weft_mul(a, a)), 0);
    ck_assert_double_eq(gradient(a), 3 + 4);
    ck_assert_double_eq(gradient(b), 2);
}
END_TEST

START_TEST(zero_grad_starts_afresh)
{
    weft_tensor *a, *b;
    weft_optimizer *o;
    ready_pair(&a, &b, &o);
    weft_backward(f, weft_mul(a, b));
    weft_zero_grad(o);
    ck_assert_int_eq(weft_backward(f, weft_mul(a, a)), 0);
    ck_assert_double_eq(gradient(a), 4);
    ck_assert_double_eq(gradient(b), 0);
}
END_TEST

START_TEST(gradients_outlive_the_step_until_zero_grad)
{
    weft_tensor *a, *b;
    weft_optimizer *o;
    ready_pair(&a, &b, &o);
    weft_backward(f, weft_mul(a, b));
    weft_step_end(f);
    ck_assert_double_eq(gradient(a), 3);
    weft_backward(f, weft_mul(a, b));
    ck_assert_double_eq(gradient(a), 6);
    weft_zero_grad(o);
    ck_assert_ptr_null(weft_gradient(a));
}
END_TEST

START_TEST(a_step_follows_the_gradient)
{
    weft_tensor *a, *b;
    weft_optimizer *o;
    ready_pair(&a, &b, &o);
    weft_backward(f, weft_mul(a, b));
    ck_assert_int_eq(weft_step(o), 0);
    ck_assert_double_eq(weft_item(a), 2 - 3);
    ck_assert_double_eq(weft_item(b), 3 - 2);
}
END_TEST

START_TEST(parameters_without_setup_are_refused)
{
    weft_tensor *a, *b;
    weft_module *m = pair(&a, &b);
    ck_assert_ptr_null(weft_mul(a, b));
    ck_assert_int_eq(weft_error(f), WEFT_ESTATE);
    weft_clear(f);
    weft_forward(m, weft_full(f, 1, 0, NULL, WEFT_F64)); /* gives them memory, but no gradients */
    weft_tensor *x = weft_mul(a, b);
    ck_assert_ptr_nonnull(x);
    ck_assert_int_eq(weft_backward(f, x), WEFT_ESTATE);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "was not set up"));
    weft_clear(f);
    ck_assert_ptr_null(weft_gradient(a));
    ck_assert_ptr_null(weft_gradient(b));
}
END_TEST

/* --- the evaluation scope --- */

START_TEST(nothing_is_recorded_in_an_evaluation)
{
    weft_tensor *x = leaf(3);
    size_t nodes = f->tape->nodes;
    weft_eval_begin(f);
    weft_eval_begin(f);
    weft_eval_end(f);
    weft_tensor *y = weft_mul(x, x);
    weft_eval_end(f);
    ck_assert_int_eq(f->tape->nodes, nodes);
    ck_assert_double_eq(weft_item(y), 9);
    ck_assert_int_eq(weft_backward(f, y), WEFT_ESTATE);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "does not depend on any trainable"));
}
END_TEST

START_TEST(an_evaluation_that_was_not_begun_cannot_end)
{
    weft_eval_end(f);
    ck_assert_int_eq(weft_error(f), WEFT_ESTATE);
}
END_TEST

/* --- losses that are none --- */

START_TEST(a_loss_has_one_element)
{
    weft_tensor *x = weft_full(f, 1, 1, (int64_t[]){3}, WEFT_F64);
    weft_require_grad(x);
    ck_assert_int_eq(weft_backward(f, weft_scale(x, 2)), WEFT_ESHAPE);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "3 elements"));
}
END_TEST

START_TEST(a_loss_depends_on_something)
{
    ck_assert_int_eq(weft_backward(f, weft_full(f, 1, 0, NULL, WEFT_F64)), WEFT_ESTATE);
}
END_TEST

START_TEST(a_null_loss_with_nothing_stuck_is_a_mistake)
{
    ck_assert_int_eq(weft_backward(f, NULL), WEFT_EARG);
    ck_assert_int_eq(weft_error(f), WEFT_EARG);
}
END_TEST

START_TEST(a_stuck_error_is_what_backward_returns)
{
    weft_fail(f, WEFT_EDATA, "bad row");
    ck_assert_int_eq(weft_backward(f, NULL), WEFT_EDATA);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "bad row"));
}
END_TEST

START_TEST(a_stale_loss_is_refused)
{
    weft_tensor *x = leaf(2), *y = weft_mul(x, x);
    weft_step_end(f);
    ck_assert_int_eq(weft_backward(f, y), WEFT_EHANDLE);
}
END_TEST

START_TEST(another_fabrics_loss_is_refused)
{
    weft_fabric *g;
    ck_assert_int_eq(weft_open(&g, NULL, NULL, WEFT_OPEN(.threads = 1)), 0);
    weft_tensor *x = weft_full(g, 2, 0, NULL, WEFT_F32);
    weft_require_grad(x);
    ck_assert_int_eq(weft_backward(f, weft_mul(x, x)), WEFT_EHANDLE);
    ck_assert_int_eq(weft_error(f), WEFT_EHANDLE);
    ck_assert_int_eq(weft_error(g), 0);
    ck_assert_int_eq(weft_close(&g), 0);
}
END_TEST

/* Gradients are sums over ranks: a mean is weighed by rows, a sum is not, and both at once cannot
 * be. */
START_TEST(a_sum_and_a_mean_over_the_batch_do_not_mix)
{
    weft_tensor *x = weft_full(f, 1, 2, (int64_t[]){4, 2}, WEFT_F64);
    weft_require_grad(x);
    weft_batch b = weft_batch_of(f, x, NULL, 0, 4);
    weft_tensor *mean = weft_mean(b.x, WEFT_ALL), *sum = weft_sum(b.x, WEFT_ALL);
    ck_assert_ptr_nonnull(weft_add(mean, weft_scale(mean, 2)));
    ck_assert_ptr_nonnull(weft_add(sum, weft_scale(sum, 2)));
    ck_assert_ptr_null(weft_add(mean, sum));
    ck_assert_int_eq(weft_error(f), WEFT_EARG);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "use the mean"));
}
END_TEST

START_TEST(a_sum_over_the_batch_does_not_mix_with_a_penalty)
{
    weft_tensor *x = weft_full(f, 1, 1, (int64_t[]){4}, WEFT_F64), *penalty = leaf(1);
    weft_batch b = weft_batch_of(f, x, NULL, 0, 4);
    ck_assert_ptr_nonnull(weft_add(weft_mean(b.x, 0), penalty));
    ck_assert_ptr_null(weft_add(weft_sum(b.x, 0), penalty));
    ck_assert_int_eq(weft_error(f), WEFT_EARG);
}
END_TEST

/* --- hooks --- */

typedef struct seen {
    char order[32][8];
    int n;
    weft_module *module[32];
    bool enter[32];
    int marks;
    weft__tape *tape;
} seen;

static weft_status on_ready(void *self, weft__segment *s)
{
    seen *t = self;
    snprintf(t->order[t->n++], 8, "%s", s->name);
    return WEFT_OK;
}

static weft_status on_module(void *self, weft_module *m, bool enter, bool backward)
{
    seen *t = self;
    if (!backward)
        return WEFT_OK;
    t->module[t->marks] = m;
    t->enter[t->marks++] = enter;
    return WEFT_OK;
}

START_TEST(a_gradient_is_ready_once_after_its_last_use)
{
    weft_tensor *a, *b;
    weft_optimizer *o;
    seen t = {.n = 0};
    ready_pair(&a, &b, &o);
    f->tape->hooks = (weft__hooks){.self = &t, .grad_ready = on_ready};
    weft_tensor *y = weft_mul(a, b); /* b's only use, a's first */
    ck_assert_int_eq(weft_backward(f, weft_mul(weft_mul(y, a), a)), 0);
    ck_assert_int_eq(t.n, 2);
    ck_assert_str_ne(t.order[0], t.order[1]);
    ck_assert_double_eq(gradient(a), 3 * 4 * 3); /* b a^3 */
    ck_assert_double_eq(gradient(b), 8);
    t.n = 0;
    weft_tensor *aa = weft_mul(a, a), *later = weft_scale(b, 1);
    weft_backward(f, weft_mul(aa, later));
    ck_assert_int_eq(t.n, 2);
    ck_assert_str_eq(t.order[0], "b");
    ck_assert_str_eq(t.order[1], "a");
}
END_TEST

/* Uses that the loss does not depend on are not waited for. */
START_TEST(a_gradient_does_not_wait_for_what_is_not_in_the_loss)
{
    weft_tensor *a, *b;
    weft_optimizer *o;
    seen t = {.n = 0};
    ready_pair(&a, &b, &o);
    f->tape->hooks = (weft__hooks){.self = &t, .grad_ready = on_ready};
    weft_mul(a, b);
    ck_assert_int_eq(weft_backward(f, weft_mul(a, a)), 0);
    ck_assert_int_eq(t.n, 1);
    ck_assert_str_eq(t.order[0], "a");
}
END_TEST

static void marks_of(weft_module *m, weft_module *const *part, int parts)
{
    seen t = {.n = 0};
    ck_assert_int_eq(weft_setup(f, m, NULL), 0);
    f->tape->hooks = (weft__hooks){.self = &t, .module = on_module};
    weft_tensor *x = weft_full(f, 1, 2, (int64_t[]){2, 3}, WEFT_F64);
    ck_assert_int_eq(weft_backward(f, weft_sum(weft_forward(m, x), WEFT_ALL)), 0);
    ck_assert_int_eq(t.marks, 2 * (parts + 1));
    for (int i = 0; i < t.marks; i++) { /* backwards: what was left last comes first */
        weft_module *want = i == 0 || i == t.marks - 1 ? m : part[parts - 1 - (i - 1) / 2];
        ck_assert_msg(t.module[i] == want, "mark %d", i);
        ck_assert_msg(t.enter[i] == (i == t.marks - 1 || (i > 0 && i % 2 == 0)), "mark %d", i);
    }
}

START_TEST(modules_are_marked)
{
    weft_module *part[] = {weft_nn_linear(f, 3, 4), weft_nn_softmax(f), weft_nn_linear(f, 4, 2)};
    marks_of(weft_nn_sequential_n(f, 3, part), part, 3);
}
END_TEST

START_TEST(fused_modules_are_marked_as_two)
{
    weft_module *part[] = {weft_nn_linear(f, 3, 4), weft_nn_relu(f), weft_nn_linear(f, 4, 2)};
    marks_of(weft_nn_sequential_n(f, 3, part), part, 3);
}
END_TEST

/* --- ops of the user's own --- */

static weft_status like(weft_op_call *c)
{
    c->out = c->in[0];
    return WEFT_OK;
}

static weft_status cube(weft_op_call *c)
{
    const double *x = weft_op_host(c, &c->in[0]);
    double *y = weft_op_host(c, &c->out);
    for (int64_t i = 0; i < c->out.numel; i++)
        y[i] = x[i] * x[i] * x[i];
    return WEFT_OK;
}

static weft_status cube_back(weft_op_call *c)
{
    const double *x = weft_op_host(c, &c->in[0]), *g = weft_op_host(c, &c->gout);
    double *gx = weft_op_host(c, &c->gin[0]), factor = *(double *)c->attr;
    for (int64_t i = 0; i < c->out.numel; i++)
        gx[i] = factor * x[i] * x[i] * g[i];
    return WEFT_OK;
}

static weft_status fails(weft_op_call *c)
{
    return weft_op_fail(c, WEFT_EUSER, "no convergence after %d iterations", 7);
}

static const weft_op cube_op = {.size = sizeof cube_op,
                                .name = "cube",
                                .attr_size = sizeof(double),
                                .contiguous = 1,
                                .shape = like,
                                .forward = cube,
                                .backward = cube_back};

static weft_tensor *cubes(void *factor, weft_tensor *const *x)
{
    return weft_sum(weft_apply(f, &cube_op, 1, x, factor), WEFT_ALL);
}

START_TEST(an_op_of_the_users_own_has_its_gradient)
{
    double three = 3;
    weft_tensor *x = leaf(2);
    ck_assert_int_eq(weft_backward(f, cubes(&three, &x)), 0);
    ck_assert_double_eq(gradient(x), 12);
}
END_TEST

START_TEST(gradcheck_passes_what_is_right)
{
    const double v[4] = {1, -2, 0.5, 3};
    double three = 3, worst = -1;
    weft_tensor *x = weft_tensor_of(f, v, 2, (int64_t[]){2, 2}, WEFT_F64);
    ck_assert_int_eq(weft_gradcheck(f, cubes, &three, 1, &x, 0, 0, &worst), 0);
    ck_assert_double_ge(worst, 0);
    ck_assert_double_lt(worst, 1e-7);
}
END_TEST

START_TEST(gradcheck_finds_a_planted_mistake)
{
    const double v[4] = {0, 0, 3, 0};
    double wrong = 3.001, worst = -1;
    weft_tensor *x = weft_tensor_of(f, v, 2, (int64_t[]){2, 2}, WEFT_F64);
    ck_assert_int_eq(weft_gradcheck(f, cubes, &wrong, 1, &x, 0, 0, &worst), WEFT_EDATA);
    ck_assert_double_eq_tol(worst, 0.009 / 27, 1e-6);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "input 0, element 2"));
    ck_assert_int_eq(weft_error(f), 0);
}
END_TEST

START_TEST(gradcheck_refuses_what_it_cannot_judge)
{
    double three = 3;
    weft_tensor *single = weft_full(f, 1, 0, NULL, WEFT_F32), *x = leaf(1);
    ck_assert_int_eq(weft_gradcheck(f, cubes, &three, 1, &single, 0, 0, NULL), WEFT_EDTYPE);
    weft_clear(f);
    ck_assert_int_eq(weft_gradcheck(f, cubes, &three, 0, &x, 0, 0, NULL), WEFT_EARG);
    weft_clear(f);
    weft_step_end(f);
    ck_assert_int_eq(weft_gradcheck(f, cubes, &three, 1, &x, 0, 0, NULL), WEFT_EHANDLE);
}
END_TEST

START_TEST(gradcheck_leaves_no_trace)
{
    double three = 3;
    weft_tensor *x = leaf(2), *y = weft_mul(x, x);
    ck_assert_int_eq(weft_gradcheck(f, cubes, &three, 1, &x, 0, 0, NULL), 0);
    ck_assert_int_eq(weft_backward(f, y), 0);
    ck_assert_double_eq(gradient(x), 4);
}
END_TEST

START_TEST(an_op_without_backward_has_no_gradient)
{
    weft_op op = cube_op;
    double factor = 3;
    op.backward = NULL;
    weft_tensor *x = leaf(2), *y = weft_apply(f, &op, 1, &x, &factor);
    ck_assert_double_eq(weft_item(y), 8);
    ck_assert_int_eq(weft_backward(f, weft_mul(x, y)), 0); /* y is a constant to it */
    ck_assert_double_eq(gradient(x), 8);
    ck_assert_int_eq(weft_backward(f, y), WEFT_ESTATE);
}
END_TEST

START_TEST(a_failing_op_is_named)
{
    weft_op op = cube_op;
    double factor = 3;
    op.forward = fails;
    weft_tensor *x = leaf(2);
    ck_assert_ptr_null(weft_apply(f, &op, 1, &x, &factor));
    ck_assert_int_eq(weft_error(f), WEFT_EUSER);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "cube: no convergence after 7 iterations"));
    weft_clear(f);
    op = cube_op;
    op.backward = fails;
    ck_assert_int_eq(weft_backward(f, weft_apply(f, &op, 1, &x, &factor)), WEFT_EUSER);
}
END_TEST

START_TEST(incomplete_tables_of_ops_are_refused)
{
    weft_op bad[5] = {cube_op, cube_op, cube_op, cube_op, cube_op};
    double factor = 3;
    weft_tensor *x[WEFT_OP_INPUTS + 1];
    for (int i = 0; i <= WEFT_OP_INPUTS; i++)
        x[i] = leaf(i + 1);
    bad[0].size = 0;
    bad[1].shape = NULL;
    bad[2].forward = NULL;
    bad[3].attr_size = 129;
    for (int i = 0; i < 5; i++) {
        ck_assert_ptr_null(weft_apply(f, &bad[i], i == 4 ? WEFT_OP_INPUTS + 1 : 1, x, &factor));
        ck_assert_int_eq(weft_error(f), WEFT_EARG);
        ck_assert_ptr_nonnull(strstr(weft_message(f), "cube"));
        weft_clear(f);
    }
}
END_TEST

/* --- lifetimes --- */

/* What the tape still needs outlives a release: the handle is stale at once, the memory is not. */
START_TEST(a_released_tensor_stays_readable_for_backward)
{
    weft_tensor *x = leaf(2), *c = weft_retain(weft_full(f, 5, 0, NULL, WEFT_F64));
    weft_tensor *y = weft_mul(x, c);
    weft_release(c);
    ck_assert(!weft_is_valid(c));
    ck_assert_int_eq(weft_backward(f, y), 0);
    ck_assert_double_eq(gradient(x), 5);
}
END_TEST

/* Not even an evaluation in between, which frees what it made itself, takes its memory. */
START_TEST(a_tensor_released_in_an_evaluation_stays_readable_too)
{
    weft_batch b;
    weft_tensor *x = leaf(2), *c = weft_retain(weft_full(f, 5, 0, NULL, WEFT_F64));
    weft_tensor *y = weft_mul(x, c);
    weft_loader *l = weft_loader_arrays(f, 2, "ab", 0, NULL, WEFT_U8, NULL, WEFT_U8,
                                        WEFT_LOADER(.global_batch = 1, .evaluation = true));
    weft_eval_begin(f);
    weft_release(c);
    while (weft_next(l, &b))
        ;
    weft_eval_end(f);
    ck_assert_int_eq(weft_backward(f, y), 0);
    ck_assert_double_eq(gradient(x), 5);
}
END_TEST

START_TEST(the_tape_is_empty_after_the_edge)
{
    weft_tensor *x = leaf(2);
    weft_mul(x, x);
    ck_assert_int_gt(f->tape->nodes, 0);
    weft_step_end(f);
    ck_assert_int_eq(f->tape->nodes, 0);
}
END_TEST

/* --- weft_grad --- */

static weft_tensor *numbers(const double *v, int64_t n)
{
    weft_tensor *x = weft_tensor_of(f, v, 1, &n, WEFT_F64);
    weft_require_grad(x);
    return x;
}

/* sum of tanh(x) x^2 + x_0: many paths, one a view. */
static weft_tensor *energy(weft_tensor *x)
{
    weft_tensor *y = weft_mul(weft_tanh(x), weft_mul(x, x));
    return weft_add(weft_sum(y, WEFT_ALL), weft_sum(weft_slice(x, 0, 0, 1, 1), WEFT_ALL));
}

START_TEST(the_gradient_of_an_input_is_that_of_differences)
{
    const double v[3] = {0.5, -1.5, 2}, h = 1e-6;
    double got[3];
    weft_tensor *x = numbers(v, 3);
    ck_assert_int_eq(weft_copy_out(weft_grad(energy(x), x), got, sizeof got), 0);
    for (int i = 0; i < 3; i++) {
        double up[3] = {v[0], v[1], v[2]}, down[3] = {v[0], v[1], v[2]};
        up[i] += h;
        down[i] -= h;
        double slope = (weft_item(energy(numbers(up, 3))) - weft_item(energy(numbers(down, 3))));
        ck_assert_double_eq_tol(got[i], slope / (2 * h), 1e-8);
    }
}
END_TEST

START_TEST(an_inner_tensor_and_a_parameter_have_one_too)
{
    weft_tensor *a, *b, *x = leaf(5);
    weft_optimizer *o;
    ready_pair(&a, &b, &o);
    weft_tensor *inner = weft_mul(weft_mul(a, x), b), *y = weft_mul(inner, inner);
    ck_assert_double_eq(weft_item(weft_grad(y, inner)), 60);
    ck_assert_double_eq(weft_item(weft_grad(y, a)), 60 * 15);
    ck_assert_double_eq(weft_item(weft_grad(y, x)), 60 * 6);
    ck_assert_double_eq(weft_item(weft_grad(y, y)), 1);
}
END_TEST

/* Neither the parameters' gradients nor those that weft_backward left, nor hooks. */
START_TEST(it_leaves_everything_else_alone)
{
    weft_tensor *a, *b, *x = leaf(5);
    weft_optimizer *o;
    seen t = {.n = 0};
    ready_pair(&a, &b, &o);
    weft_tensor *y = keep(weft_mul(weft_mul(a, x), b));
    f->tape->hooks = (weft__hooks){.self = &t, .grad_ready = on_ready, .module = on_module};
    ck_assert_double_eq(weft_item(weft_grad(y, x)), 6);
    ck_assert_double_eq(weft_item(weft_grad(y, a)), 15);
    ck_assert_int_eq(t.n + t.marks, 0);
    ck_assert_ptr_null(weft_gradient(a));
    ck_assert_ptr_null(weft_gradient(x));
    f->tape->hooks = kept;
    ck_assert_int_eq(weft_backward(f, y), 0);
    ck_assert_double_eq(weft_item(weft_grad(weft_scale(y, 2), x)), 12);
    ck_assert_double_eq(weft_item(weft_grad(weft_scale(y, 2), y)), 2);
    ck_assert_double_eq(gradient(a), 15);
    ck_assert_double_eq(gradient(x), 6);
    ck_assert_double_eq(gradient(y), 1);
    ck_assert_int_eq(weft_step(o), 0);
    ck_assert_double_eq(weft_item(a), 2 - 15);
}
END_TEST

START_TEST(an_input_of_a_batch_or_of_the_programs_own)
{
    double v[2] = {3, 4}, got[2];
    weft_tensor *x = weft_wrap(f, v, 1, (int64_t[]){2}, WEFT_F64);
    weft_require_grad(x);
    weft_batch b = weft_batch_of(f, x, NULL, 0, 8);
    weft_tensor *g = weft_grad(weft_mean(weft_mul(b.x, b.x), 0), b.x);
    ck_assert_int_eq(weft_copy_out(g, got, sizeof got), 0);
    ck_assert(got[0] == 3 && got[1] == 4); /* this rank's mean: not weighed by 2 / 8 */
}
END_TEST

START_TEST(an_op_of_the_users_own_is_on_the_way)
{
    double three = 3;
    weft_tensor *x = leaf(2);
    ck_assert_double_eq(weft_item(weft_grad(cubes(&three, &x), x)), 12);
}
END_TEST

/* A path that does not lead to x is not walked: its op would fail. */
static weft_status no_backward(weft_op_call *c)
{
    return weft_op_fail(c, WEFT_EUSER, "walked");
}

START_TEST(other_paths_are_not_walked)
{
    weft_op op = cube_op;
    double three = 3;
    op.backward = no_backward;
    weft_tensor *x = leaf(2), *z = leaf(3), *y = weft_apply(f, &op, 1, &z, &three);
    ck_assert_double_eq(weft_item(weft_grad(weft_mul(x, y), x)), 27);
    ck_assert_ptr_null(weft_grad(weft_mul(x, y), z));
    ck_assert_int_eq(weft_error(f), WEFT_EUSER);
}
END_TEST

/* A hundred times in a step: the memory of a walk is given back. */
START_TEST(a_walk_keeps_no_memory_but_the_result)
{
    weft_tensor *x = weft_full(f, 2, 1, (int64_t[]){100000}, WEFT_F64);
    weft_require_grad(x);
    weft_tensor *y = energy(x);
    weft_grad(y, x);
    size_t chunks = f->engine->chunks, before = weft__engine_mark(f).used;
    weft_tensor *g = weft_grad(y, x);
    ck_assert_int_eq(f->engine->chunks, chunks);
    ck_assert_int_le(weft__engine_mark(f).used - before, 800064);
    ck_assert_double_eq(weft_item(weft_sum(g, 0)), weft_item(weft_sum(weft_grad(y, x), 0)));
}
END_TEST

START_TEST(what_does_not_lead_there_is_refused)
{
    weft_tensor *x = leaf(2), *z = leaf(3), *late = weft_full(f, 1, 0, NULL, WEFT_F64);
    weft_tensor *y = weft_mul(weft_mul(x, x), late);
    weft_require_grad(late);
    weft_tensor *const wrong[] = {z, late, weft_detach(x), weft_full(f, 1, 0, NULL, WEFT_I64)};
    for (int i = 0; i < 4; i++) {
        ck_assert_ptr_null(weft_grad(y, wrong[i]));
        ck_assert_int_eq(weft_error(f), WEFT_ESTATE);
        ck_assert_ptr_nonnull(strstr(weft_message(f), "weft_grad: y does not depend on x"));
        weft_clear(f);
    }
    ck_assert_ptr_null(weft_grad(weft_detach(y), x));
    weft_clear(f);
    ck_assert_ptr_null(weft_grad(weft_full(f, 1, 1, (int64_t[]){2}, WEFT_F64), x));
    ck_assert_int_eq(weft_error(f), WEFT_ESHAPE);
    ck_assert_ptr_null(weft_grad(y, x)); /* an error sticks */
    weft_clear(f);
    ck_assert_ptr_null(weft_grad(NULL, x));
    ck_assert_ptr_null(weft_grad(y, NULL));
    ck_assert_int_eq(weft_error(f), 0);
    weft_step_end(f);
    ck_assert_ptr_null(weft_grad(y, x));
    ck_assert_int_eq(weft_error(f), WEFT_EHANDLE);
}
END_TEST

START_TEST(second_order_is_refused_by_name)
{
    weft_tensor *x = leaf(2), *z = leaf(3), *g = weft_grad(weft_mul(x, weft_mul(x, x)), x);
    ck_assert_double_eq(weft_item(g), 12);
    weft_tensor *loss = weft_add(weft_mul(z, z), weft_mul(g, g));
    ck_assert_int_eq(weft_backward(f, loss), WEFT_ENOTSUP);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "second order"));
    weft_clear(f);
    ck_assert_ptr_null(weft_grad(loss, z));
    ck_assert_int_eq(weft_error(f), WEFT_ENOTSUP);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "second order"));
    weft_clear(f);
    ck_assert_ptr_null(weft_grad(g, x));
    ck_assert_int_eq(weft_error(f), WEFT_ENOTSUP);
    weft_clear(f);
    weft_tensor *constant = weft_mul(weft_mul(z, z), weft_detach(g));
    ck_assert_int_eq(weft_backward(f, constant), 0);
    ck_assert_double_eq(gradient(z), 2 * 3 * 12);
}
END_TEST

static void add_sums(TCase *t)
{
    tcase_add_test(t, a_tensor_used_twice_sums_both);
    tcase_add_test(t, a_diamond);
    tcase_add_test(t, an_inner_tensor_has_its_gradient_too);
    tcase_add_test(t, a_gradient_that_is_handed_on_stays_as_it_is);
    tcase_add_test(t, a_gradient_that_is_written_over_is_nobodys);
    tcase_add_test(t, gradients_of_results_give_their_memory_back);
    tcase_add_test(t, a_norm_adds_to_a_gradient);
    tcase_add_test(t, a_table_adds_to_a_gradient);
    tcase_add_test(t, what_the_loss_does_not_depend_on_has_none);
    tcase_add_test(t, nothing_flows_through_detach);
    tcase_add_test(t, a_leafs_gradient_ends_with_the_step);
    tcase_add_test(t, integers_have_no_gradient);
    tcase_add_test(t, two_backwards_in_a_step_add_up);
    tcase_add_test(t, zero_grad_starts_afresh);
    tcase_add_test(t, gradients_outlive_the_step_until_zero_grad);
    tcase_add_test(t, a_step_follows_the_gradient);
    tcase_add_test(t, parameters_without_setup_are_refused);
    tcase_add_test(t, nothing_is_recorded_in_an_evaluation);
    tcase_add_test(t, an_evaluation_that_was_not_begun_cannot_end);
    tcase_add_test(t, a_released_tensor_stays_readable_for_backward);
    tcase_add_test(t, a_tensor_released_in_an_evaluation_stays_readable_too);
    tcase_add_test(t, the_tape_is_empty_after_the_edge);
}

static void add_losses(TCase *t)
{
    tcase_add_test(t, a_loss_has_one_element);
    tcase_add_test(t, a_loss_depends_on_something);
    tcase_add_test(t, a_null_loss_with_nothing_stuck_is_a_mistake);
    tcase_add_test(t, a_stuck_error_is_what_backward_returns);
    tcase_add_test(t, a_stale_loss_is_refused);
    tcase_add_test(t, another_fabrics_loss_is_refused);
    tcase_add_test(t, a_sum_and_a_mean_over_the_batch_do_not_mix);
    tcase_add_test(t, a_sum_over_the_batch_does_not_mix_with_a_penalty);
    tcase_add_test(t, a_gradient_is_ready_once_after_its_last_use);
    tcase_add_test(t, a_gradient_does_not_wait_for_what_is_not_in_the_loss);
    tcase_add_test(t, modules_are_marked);
    tcase_add_test(t, fused_modules_are_marked_as_two);
}

static void add_user_ops(TCase *t)
{
    tcase_add_test(t, an_op_of_the_users_own_has_its_gradient);
    tcase_add_test(t, gradcheck_passes_what_is_right);
    tcase_add_test(t, gradcheck_finds_a_planted_mistake);
    tcase_add_test(t, gradcheck_refuses_what_it_cannot_judge);
    tcase_add_test(t, gradcheck_leaves_no_trace);
    tcase_add_test(t, an_op_without_backward_has_no_gradient);
    tcase_add_test(t, a_failing_op_is_named);
    tcase_add_test(t, incomplete_tables_of_ops_are_refused);
}

static void add_grad(TCase *t)
{
    tcase_add_test(t, the_gradient_of_an_input_is_that_of_differences);
    tcase_add_test(t, an_inner_tensor_and_a_parameter_have_one_too);
    tcase_add_test(t, it_leaves_everything_else_alone);
    tcase_add_test(t, an_input_of_a_batch_or_of_the_programs_own);
    tcase_add_test(t, an_op_of_the_users_own_is_on_the_way);
    tcase_add_test(t, other_paths_are_not_walked);
    tcase_add_test(t, a_walk_keeps_no_memory_but_the_result);
    tcase_add_test(t, what_does_not_lead_there_is_refused);
    tcase_add_test(t, second_order_is_refused_by_name);
}

int main(void)
{
    Suite *s = suite_create("autograd");
    TCase *t = tcase_create("tape");
    weft_log_level(WEFT_LOG_SILENT);
    tcase_add_checked_fixture(t, start, stop);
    suite_add_tcase(s, t);
    add_sums(t);
    add_losses(t);
    add_user_ops(t);
    add_grad(t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
