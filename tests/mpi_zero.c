/* What is otherwise where a strategy cuts: the same loops under ddp, zero1 and zero2 give the same
 * parameters and the same returned values, with one layer's weights as a second use of another's, and
 * pieces that end within tensors. */
#include "mpi_train.h"

#include <weft/memory.h>
#include <weft/sys/optimizer.h>

#define STEPS 6
#define WIDE 400 /* x WIDE f64 are more than a bucket of 1 MiB */

typedef struct run {
    weft_fabric *f;
    weft_module *m;
    weft_optimizer *a, *b; /* of layers 0 and 2, and of the others */
    double note[128];
    int notes;
} run;

typedef void body(run *r);

static double result[3][NUMBERS];

static void note(run *r, double v)
{
    r->note[r->notes++] = v;
}

static void make(run *r, bool two)
{
    weft_fabric *f = r->f;
    weft_module *first = weft_nn_linear(f, FEATURES, WIDE),
                *last = weft_nn_linear(f, WIDE, CLASSES);
    r->m =
        weft_nn_sequential(f, first, weft_nn_relu(f), weft_nn_linear(f, WIDE, WIDE),
                           weft_nn_relu(f), weft_nn_linear(f, WIDE, WIDE), weft_nn_relu(f), last);
    weft_tie(r->m, "4.weight", "2.weight");
    r->a = weft_adam(two ? first : r->m, WEFT_ADAM(.lr = 1e-3, .weight_decay = 1e-2));
    r->b = two ? weft_sgd(last, WEFT_SGD(.lr = 1e-2, .momentum = 0.9)) : NULL;
    weft_setup(f, r->m, r->a);
    if (two)
        weft_setup_optimizer(f, r->b);
}

/* This rank's rows of batch i, of 2 to 9 rows a rank. */
static weft_tensor *loss(run *r, int i)
{
    int64_t each = 2 + i % 8, all = each * all_world(), first = i * 7 + each * all_rank();
    weft_tensor *x = weft_tensor_of(r->f, data_x + first * FEATURES, 2,
                                    (const int64_t[]){each, FEATURES}, WEFT_F64);
    weft_tensor *y = weft_tensor_of(r->f, data_y + first, 1, &each, WEFT_I32);
    weft_batch b = weft_batch_of(r->f, x, y, first, all);
    return weft_cross_entropy(weft_forward(r->m, b.x), b.y);
}

static weft_status step(run *r)
{
    weft_status s = weft_step(r->a), t = r->b ? weft_step(r->b) : WEFT_OK;
    return s ? s : t;
}

static void zero(run *r)
{
    weft_zero_grad(r->a);
    weft_zero_grad(r->b);
}

static size_t under(const char *strategy, body *go, bool two, double *out)
{
    run r = {0};
    weft_open_mpi(&r.f, MPI_COMM_WORLD,
                  WEFT_OPEN(.strategy = strategy, .precision = "64-true", .bucket_mb = 1, .seed = 3,
                            .nonfinite = "skip", .timeout = 20));
    make(&r, two);
    ck_all(!weft_error(r.f));
    go(&r);
    size_t n = numbers_of(r.m, out);
    ck_all(same_bytes(out, n * sizeof *out));
    memcpy(out + n, r.note, (size_t)r.notes * sizeof *out);
    ck_all(weft_close(&r.f) == 0);
    return n + (size_t)r.notes;
}

static void alike(body *go, bool two)
{
    static const char *const strategy[] = {"ddp", "zero1", "zero2"};
    size_t n = 0;
    for (int i = 0; i < 3; i++) {
        size_t k = under(strategy[i], go, two, result[i]);
        n = i ? n : k;
        ck_all(k == n);
        double d = furthest(result[i], result[0], n);
        if (!(d <= 1e-12))
            fprintf(stderr, "# %s: %g apart\n", strategy[i], d);
        ck_all(d <= 1e-12);
    }
}

static void plain(run *r)
{
    for (int i = 0; i < STEPS; i++) {
        zero(r);
        note(r, weft_item(loss(r, i)));
        weft_backward(r->f, loss(r, i));
        note(r, step(r));
        weft_step_end(r->f);
    }
}

START_TEST(tied_and_parted)
{
    alike(plain, false);
    alike(plain, true);
}
END_TEST

static void adds_up(run *r)
{
    for (int i = 0; i < STEPS; i++) {
        if (i % 3 == 0)
            weft_zero_grad(r->a); /* r->b's go on adding up */
        weft_backward(r->f, loss(r, i));
        weft_backward(r->f, weft_scale(loss(r, i), 0.5));
        note(r, step(r));
        weft_step_end(r->f);
    }
}

START_TEST(gradients_add_up)
{
    alike(adds_up, true);
}
END_TEST

static void windows(run *r)
{
    weft_accumulate(r->f, 3);
    for (int i = 0; i < 3 * STEPS; i++) {
        zero(r);
        weft_backward(r->f, loss(r, i));
        weft_clip_gradients(r->a, WEFT_CLIP(.max_norm = 0.5));
        note(r, step(r));
        weft_step_end(r->f);
    }
}

static void scopes(run *r)
{
    for (int i = 0; i < STEPS; i++) {
        zero(r);
        for (int k = 0; k < 3; k++) {
            weft_no_backward_sync_begin(r->m, k < 2);
            note(r, weft_backward(r->f, loss(r, i + k)));
            weft_no_backward_sync_end(r->m);
        }
        note(r, step(r));
        weft_step_end(r->f);
    }
}

START_TEST(accumulation)
{
    alike(windows, false);
    alike(windows, true);
    alike(scopes, false);
}
END_TEST

static void clipped(run *r)
{
    static const double norm[] = {1, 2, 3, INFINITY};
    for (int i = 0; i < STEPS; i++) {
        zero(r);
        weft_backward(r->f, loss(r, i));
        if (i < 4)
            note(r, weft_item(weft_clip_gradients(
                        r->a, WEFT_CLIP(.max_norm = 0.1, .norm_type = norm[i]))));
        else
            weft_clip_gradients(r->a, WEFT_CLIP(.clip_val = 1e-3));
        note(r, step(r));
        weft_step_end(r->f);
    }
}

START_TEST(clipping)
{
    alike(clipped, false);
    alike(clipped, true);
}
END_TEST

static void freezes(run *r)
{
    for (int i = 0; i < STEPS; i++) {
        weft_freeze(weft_module_at(r->m, "0"), i % 2 == 0);
        zero(r);
        weft_backward(r->f, loss(r, i));
        note(r, step(r));
        weft_step_end(r->f);
    }
}

/* The gradients of one rank are not finite in one step: all skip it. */
static void skips(run *r)
{
    for (int i = 0; i < STEPS; i++) {
        zero(r);
        weft_tensor *l = loss(r, i);
        weft_backward(r->f, i == 2 && all_rank() == all_world() - 1 ? weft_scale(l, INFINITY) : l);
        note(r, step(r) == WEFT_SKIPPED);
        weft_step_end(r->f);
    }
}

START_TEST(frozen_and_skipped)
{
    alike(freezes, false);
    alike(skips, false);
}
END_TEST

/* One rank fails in forward, one takes a step without gradients: all hear of it, none waits, and all
 * go on from the same parameters. */
static void fails(run *r)
{
    const bool last = all_rank() == all_world() - 1;
    for (int i = 0; i < STEPS; i++) {
        zero(r);
        weft_tensor *l = loss(r, i);
        if (i == 1 && last)
            l = weft_matmul(l, l);
        weft_status s = weft_backward(r->f, l);
        note(r, s);
        if (i == 3 && last)
            zero(r);
        step(r);
        s = weft_step_end(r->f);
        note(r, s);
        if (s)
            weft_clear(r->f);
    }
}

START_TEST(a_rank_fails)
{
    static const char *const strategy[] = {"ddp", "zero1", "zero2"};
    size_t n[3];
    for (int i = 0; i < 3; i++)
        n[i] = under(strategy[i], fails, false, result[i]);
    for (int i = 1; i < 3; i++) {
        const double *a = result[0] + n[0] - 2 * STEPS, *b = result[i] + n[i] - 2 * STEPS;
        ck_all(n[i] == n[0] && memcmp(a, b, 2 * STEPS * sizeof *a) == 0);
        ck_all(a[2] < 0 && a[3] < 0 && (a[7] < 0 || a[8] < 0) && a[4] == 0 && a[11] == 0);
    }
}
END_TEST

/* f32, Adam: 8 + 8/P bytes a parameter and 4 + 12/P with two buckets, beside 16. */
START_TEST(memory)
{
    static const char *const strategy[] = {"ddp", "zero1", "zero2"};
    for (int i = 0; i < 3; i++) {
        run r = {0};
        weft_open_mpi(&r.f, MPI_COMM_WORLD, WEFT_OPEN(.strategy = strategy[i], .bucket_mb = 1));
        make(&r, false);
        const weft_memory_report m = weft_memory(r.f);
        const int64_t p = m.kind[WEFT_MEMORY_PARAMS].now, w = all_world();
        const int64_t biggest = p < 1 << 20 ? p : 1 << 20;
        ck_all(p >= 4 * weft_param_elements(r.m) &&
               p <= 1.05 * 4 * (double)weft_param_elements(r.m));
        ck_all(m.kind[WEFT_MEMORY_MOMENTS].now == 2 * p / (i ? w : 1));
        ck_all(i == 2 || m.kind[WEFT_MEMORY_GRADS].now == p + 64);
        ck_all(i < 2 || m.kind[WEFT_MEMORY_GRADS].now <= p / w + 2 * biggest);
        ck_all(weft_close(&r.f) == 0);
    }
}
END_TEST

START_TEST(what_needs_the_whole)
{
    for (int i = 0; i < 2; i++) {
        weft_fabric *f;
        weft_open_mpi(&f, MPI_COMM_WORLD, WEFT_OPEN(.strategy = i ? "zero2" : "zero1"));
        weft_module *m = small_net(f);
        ck_all(weft_setup(f, m, weft_lbfgs(m, NULL)) == WEFT_ENOTSUP);
        ck_all(strstr(weft_message(f), i ? "zero2" : "zero1") != NULL);
        weft_clear(f);
        weft_tensor *x = weft_tensor_of(f, data_x, 2, (const int64_t[]){3, FEATURES}, WEFT_F64);
        weft_backward(f, weft_mean(weft_forward(m, weft_cast(x, WEFT_F32)), WEFT_ALL));
        weft_tensor *g = weft_gradient(weft_param(m, "0.bias"));
        ck_all(all_world() == 1 ? g != NULL : !g && strstr(weft_message(f), "0.bias"));
        ck_all(weft_close(&f) == 0);
    }
}
END_TEST

/* One that needs whole tensors: p -= lr sum(g) / n, whose sum must be over all of the parameter. */
static weft_status whole(weft_stream *s, const weft_kernels *k, void *self, const weft_optim_run *r,
                         int64_t t, double lr)
{
    (void)self, (void)t;
    return k->axpy(s, r->p, -lr * (double)r->n, r->g, r->n, r->dtype);
}

static const weft_optim_ops whole_ops = {.size = sizeof whole_ops,
                                         .name = "whole",
                                         .moments = 1,
                                         .moment_name = {"m"},
                                         .whole_tensors = true,
                                         .update = whole};

START_TEST(whole_tensors)
{
    static const char *const strategy[] = {"ddp", "zero1", "zero2"};
    for (int i = 0; i < 3; i++) {
        run r = {0};
        weft_open_mpi(&r.f, MPI_COMM_WORLD,
                      WEFT_OPEN(.strategy = strategy[i], .precision = "64-true", .bucket_mb = 1));
        r.m = small_net(r.f);
        r.a = weft_optimizer_new(r.m, &whole_ops, NULL, 0, 1e-3);
        weft_setup(r.f, r.m, r.a);
        plain(&r);
        size_t n = numbers_of(r.m, result[i]);
        ck_all(weft_close(&r.f) == 0);
        ck_all(furthest(result[i], result[0], n) <= 1e-12);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("zero");
    TCase *t = tcase_create("as ddp");
    make_data();
    tcase_add_test(t, tied_and_parted);
    tcase_add_test(t, gradients_add_up);
    tcase_add_test(t, accumulation);
    tcase_add_test(t, clipping);
    tcase_add_test(t, frozen_and_skipped);
    tcase_add_test(t, a_rank_fails);
    tcase_add_test(t, memory);
    tcase_add_test(t, what_needs_the_whole);
    tcase_add_test(t, whole_tensors);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv)
{
    weft_log_level(WEFT_LOG_SILENT);
    return all_main(&argc, &argv, suite);
}
