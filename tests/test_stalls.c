/* In a steady step of a device that queues, the host waits for nothing that it has just asked for; and what
 * such a device finds late is an error all the same, with its own step, before anybody uses what came of it. */
#include "device/mock/mock.h"
#include "tensor/tensor.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weft.h>

#define ROWS 128
#define BATCH 8
#define STEPS (ROWS / BATCH)
#define WIDTH 6
#define CLASSES 5

static int64_t tokens[ROWS * WIDTH], ys[ROWS];

static void make_data(void)
{
    for (int i = 0; i < ROWS * WIDTH; i++)
        tokens[i] = (i * 31) % 11;
    for (int i = 0; i < ROWS; i++)
        ys[i] = (i * 13) % CLASSES;
}

typedef struct run {
    weft_fabric *f;
    weft_module *m;
    weft_optimizer *o;
    weft_loader *l;
} run;

static void start(run *r, weft_open_options o)
{
    o.accelerator = "mock";
    o.threads = 1;
    ck_assert_int_eq(weft_open(&r->f, NULL, NULL, &o), 0);
    r->m = weft_nn_sequential(r->f, weft_nn_embedding(r->f, 11, 4), weft_nn_flatten(r->f),
                              weft_nn_linear(r->f, WIDTH * 4, CLASSES));
    r->o = weft_adam(r->m, WEFT_ADAM(.lr = 1e-2));
    r->l = weft_loader_arrays(r->f, ROWS, tokens, 1, (int64_t[]){WIDTH}, WEFT_I64, ys, WEFT_I64,
                              WEFT_LOADER(.global_batch = BATCH, .epochs = 2));
    weft_setup(r->f, r->m, r->o);
    weft_setup_loader(r->f, r->l);
}

static weft_tensor *step(const run *r, const weft_batch *b)
{
    weft_tensor *loss = weft_cross_entropy(weft_forward(r->m, b->x), b->y);
    weft_zero_grad(r->o);
    weft_backward(r->f, loss);
    weft_step(r->o);
    return loss;
}

typedef struct kind {
    const char *nonfinite, *precision, *graph;
    bool clips;
} kind;

static const kind kinds[] = {
    {"ignore", "32-true", "off", false},   {"error", "32-true", "off", true},
    {"error", "bf16-mixed", "off", false}, {"error", "16-mixed", "off", false},
    {"error", "16-mixed", "on", true},     {"error", "32-true", "on", true}};

START_TEST(a_steady_step_waits_for_nothing)
{
    const kind *k = &kinds[_i];
    run r;
    int64_t n = 0, before = 0;
    start(&r, (weft_open_options){
                  .nonfinite = k->nonfinite, .precision = k->precision, .graph = k->graph});
    for (weft_batch b; weft_next(r.l, &b) && n < STEPS; n++) {
        if (n == STEPS / 2)
            before = weft__mock_stalls(r.f->device);
        weft_tensor *loss = weft_cross_entropy(weft_forward(r.m, b.x), b.y);
        weft_zero_grad(r.o);
        weft_backward(r.f, loss);
        if (k->clips)
            weft_clip_gradients(r.o, WEFT_CLIP(.max_norm = 0.1));
        weft_step(r.o);
    }
    const int64_t stalls = weft__mock_stalls(r.f->device) - before;
    ck_assert_msg(n == STEPS && stalls == 0, "%s %s graph %s: %lld waits in %d steps, %s",
                  k->nonfinite, k->precision, k->graph, (long long)stalls, STEPS / 2,
                  weft_message(r.f));
    ck_assert_int_eq(weft_close(&r.f), 0);
}
END_TEST

/* Ends that read what is late. */
enum { LOOP, ITEM, SAVE, CLOSE, ENDS };

/* Step 3 has a bad label, which stands in row 1 of its batch. */
START_TEST(a_bad_label_is_named_late)
{
    const int64_t at = 3 * BATCH + 1, good = ys[at];
    char folder[] = "/tmp/weft-stalls-XXXXXX", want[64], said[400] = "";
    run r;
    int n = 0;
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(want, sizeof want, "sample %lld of the data set, row 1 ", (long long)at);
    ys[at] = CLASSES + 7;
    start(&r, (weft_open_options){.nonfinite = "ignore"});
    for (weft_batch b; weft_next(r.l, &b); n++) {
        weft_tensor *loss = step(&r, &b);
        if (n == 3 && _i == ITEM)
            weft_item(loss);
        if (n == 3 && _i == SAVE)
            ck_assert_int_eq(weft_save(r.f, folder), WEFT_EDATA);
        if (n == 3 && _i != LOOP)
            break;
    }
    ys[at] = good;
    if (_i == CLOSE)
        ck_assert_int_eq(weft_error(r.f), WEFT_OK);
    else
        snprintf(said, sizeof said, "%s", weft_message(r.f));
    ck_assert_msg(_i == CLOSE || (strstr(said, want) && strstr(said, "at step 3")), "%d: %s", _i,
                  said);
    ck_assert_int_eq(n, _i == LOOP ? 6 : 3); /* step 4 was on its way, 5 tells the ranks */
    ck_assert_int_gt(weft_close(&r.f), 0);
    ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

/* Nothing of what went wrong before is told again. */
START_TEST(a_cleared_error_stays_away)
{
    const int64_t at = 3 * BATCH + 1, good = ys[at];
    run r;
    weft_batch b;
    ys[at] = -1;
    start(&r, (weft_open_options){.nonfinite = "ignore"});
    for (int n = 0; n < 4 && weft_next(r.l, &b); n++)
        step(&r, &b);
    ys[at] = good;
    ck_assert(weft_next(r.l, &b));
    ck_assert_int_eq(weft_clear(r.f), 0);
    for (int n = 0; n < 4 && weft_next(r.l, &b); n++)
        step(&r, &b);
    ck_assert_msg(!weft_error(r.f), "%s", weft_message(r.f));
    ck_assert_int_eq(weft_close(&r.f), 0);
}
END_TEST

#define GOOD 4 /* steps before one whose gradients are not finite */

/* Trains for GOOD steps; bad: then one with infinite gradients, until the error comes, which is cleared.
 * Then for as many steps again on the same batch. p: a parameter then. */
static void train(bool bad, const char *graph, float p[CLASSES])
{
    run r;
    int n = 0;
    weft_batch b;
    start(&r, (weft_open_options){.graph = graph});
    while (n < GOOD && weft_next(r.l, &b) && ++n)
        step(&r, &b);
    for (bool first = bad; bad && weft_next(r.l, &b) && !weft_error(r.f); first = false) {
        weft_tensor *loss = weft_cross_entropy(weft_forward(r.m, b.x), b.y);
        weft_zero_grad(r.o);
        weft_backward(r.f, first ? weft_scale(loss, (double)INFINITY) : loss);
        weft_step(r.o);
    }
    ck_assert_int_eq(weft_error(r.f), bad ? WEFT_ENONFINITE : WEFT_OK);
    ck_assert_msg(!bad || strstr(weft_message(r.f), "the loss is inf at step 4; param"), "%s",
                  weft_message(r.f));
    ck_assert_int_eq(weft_step_count(r.f), GOOD);
    ck_assert_int_eq(weft_clear(r.f), 0);
    weft_tensor *x = weft_tensor_of(r.f, tokens, 2, (int64_t[]){BATCH, WIDTH}, WEFT_I64);
    weft_tensor *y = weft_tensor_of(r.f, ys, 1, (int64_t[]){BATCH}, WEFT_I64);
    x = weft_retain(x);
    y = weft_retain(y);
    for (n = 0; n < GOOD && !weft_step_end(r.f); n++)
        step(&r, &(weft_batch){.x = x, .y = y});
    ck_assert_msg(weft_step_count(r.f) == 2 * GOOD, "%s", weft_message(r.f));
    ck_assert_int_eq(weft_copy_out(weft_param(r.m, "2.bias"), p, CLASSES * sizeof *p), 0);
    ck_assert_int_eq(weft_close(&r.f), 0);
}

START_TEST(late_infinities_leave_no_trace)
{
    float plain[CLASSES], bad[CLASSES];
    const char *graph = _i ? "on" : "off";
    train(false, "off", plain);
    train(true, graph, bad);
    ck_assert_msg(memcmp(plain, bad, sizeof bad) == 0, "%g is not %g", (double)bad[0],
                  (double)plain[0]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stalls");
    TCase *c = tcase_create("waits");
    make_data();
    weft_log_level(WEFT_LOG_SILENT);
    tcase_add_loop_test(c, a_steady_step_waits_for_nothing, 0,
                        (int)(sizeof kinds / sizeof kinds[0]));
    tcase_add_loop_test(c, a_bad_label_is_named_late, 0, ENDS);
    tcase_add_test(c, a_cleared_error_stays_away);
    tcase_add_loop_test(c, late_infinities_leave_no_trace, 0, 2);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
