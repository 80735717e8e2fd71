/* Recomputed modules on several ranks: the parameters are bit for bit those without, under each strategy
 * and with accumulated batches; and a rank whose forward fails when it runs again leaves nobody waiting. */
#include "mpi_train.h"

#include <weft/sys/module.h>

#define WIDE 24

/* A part of the net that fails on this rank, when it runs again and `fails` says so. */
static bool fails;

static weft_tensor *part_forward(weft_module *m, void *self, weft_tensor *x)
{
    (void)self;
    if (fails && weft_is_recomputing(m))
        return NULL;
    return weft_forward(weft_child(m, 0), x);
}

static const weft_module_ops part_ops = {
    .size = sizeof part_ops, .name = "part", .forward = part_forward};

static weft_module *part(weft_fabric *f, bool recompute)
{
    weft_module *m = weft_module_new(f, &part_ops, NULL, 0);
    weft_module *body = weft_nn_sequential(f, weft_nn_linear(f, WIDE, WIDE), weft_nn_relu(f),
                                           weft_nn_dropout(f, 0.25), weft_nn_linear(f, WIDE, WIDE));
    weft_module_child(m, "body", weft_nn_residual(f, body));
    weft_recompute(m, recompute);
    weft_recompute(body, recompute);
    return m;
}

typedef struct run {
    weft_fabric *f;
    weft_module *m;
    weft_optimizer *o;
} run;

static run begin(const char *strategy, bool recompute, int64_t accumulate)
{
    run r = {.f = NULL};
    weft_open(&r.f, NULL, NULL,
              WEFT_OPEN(.strategy = strategy, .precision = "64-true", .seed = 3, .timeout = 20));
    weft_module *parts[] = {weft_nn_linear(r.f, FEATURES, WIDE), part(r.f, recompute),
                            part(r.f, recompute), weft_nn_linear(r.f, WIDE, CLASSES)};
    r.m = weft_nn_sequential_n(r.f, 4, parts);
    weft_tie(r.m, "2.body.body.0.weight", "1.body.body.0.weight");
    r.o = weft_adam(r.m, WEFT_ADAM(.lr = 1e-2));
    weft_setup(r.f, r.m, r.o);
    if (accumulate > 1)
        weft_accumulate(r.f, accumulate);
    return r;
}

static weft_status train(run *r, int steps)
{
    weft_status worst = WEFT_OK;
    weft_loader *l = weft_loader_arrays(r->f, ROWS, data_x, 1, &features, WEFT_F64, data_y,
                                        WEFT_I32, WEFT_LOADER(.global_batch = 12, .epochs = 9));
    weft_setup_loader(r->f, l);
    for (weft_batch b; steps-- > 0 && weft_next(l, &b);) {
        weft_zero_grad(r->o);
        weft_status s = weft_backward(r->f, weft_cross_entropy(weft_forward(r->m, b.x), b.y));
        worst = s < worst ? s : worst;
        weft_step(r->o);
    }
    return worst;
}

static double with[NUMBERS], without[NUMBERS];

static const struct {
    const char *strategy;
    int64_t accumulate;
} cases[] = {{"auto", 1}, {"zero1", 1}, {"zero2", 1}, {"auto", 3}, {"zero2", 3}};

START_TEST(the_bits_are_those_without)
{
    size_t n[2];
    for (int recompute = 0; recompute < 2; recompute++) {
        run r = begin(cases[_i].strategy, recompute, cases[_i].accumulate);
        ck_all(train(&r, 6) == WEFT_OK);
        n[recompute] = numbers_of(r.m, recompute ? with : without);
        ck_all(weft_close(&r.f) == 0);
    }
    ck_all(n[0] > 1000 && n[0] == n[1]);
    ck_all(memcmp(with, without, n[0] * sizeof *with) == 0);
}
END_TEST

START_TEST(all_are_told_where_one_fails)
{
    run r = begin(cases[_i].strategy, true, 1);
    ck_all(train(&r, 2) == WEFT_OK);
    size_t n = numbers_of(r.m, without);
    fails = all_rank() == all_world() - 1;
    ck_all(train(&r, 1) == WEFT_ESTATE);
    ck_all(strstr(weft_message(r.f), "weft_recompute") != NULL);
    fails = false;
    ck_all(weft_clear(r.f) == 0);
    numbers_of(r.m, with);
    ck_all(memcmp(with, without, n * sizeof *with) == 0);
    ck_all(train(&r, 2) == WEFT_OK);
    n = numbers_of(r.m, with);
    ck_all(same_bytes(with, n * sizeof *with));
    ck_all(weft_close(&r.f) == 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("recompute");
    TCase *t = tcase_create("ranks");
    weft_log_level(WEFT_LOG_SILENT);
    make_data();
    tcase_set_timeout(t, 120);
    suite_add_tcase(s, t);
    tcase_add_loop_test(t, the_bits_are_those_without, 0, 5);
    tcase_add_loop_test(t, all_are_told_where_one_fails, 0, 3);
    return s;
}

int main(int argc, char **argv)
{
    return all_main(&argc, &argv, suite);
}
