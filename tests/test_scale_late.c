/* A loss scale that is the device's: a run on a device that queues, where the host learns late of the steps that are
 * skipped, ends in the bits of one on the cpu, whatever else the program asks for. */
#include "fabric/facade.h"
#include "optim/optimizer.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weft.h>

#define STEPS 24
#define IN 5
#define OUT 3
#define BATCH 4
#define PARAMS (IN * OUT + OUT)

/* What a program does beside training. */
typedef struct plan {
    double clip, p; /* by norm, */
    double value;   /* by value */
    int accumulate; /* micro-batches */
    int keep;       /* backwards until a weft_zero_grad */
    int twice;      /* every so many steps another one follows before the edge */
    bool unscale, look, ask;
    bool sgd;    /* whose first step differs from the others */
    bool halves; /* a run of half of the steps, and one that resumes it */
} plan;

typedef struct result {
    float p[PARAMS];
    double scale;
    int64_t good, skipped, steps, count;
    int told; /* returns of weft_step that were skips */
} result;

typedef struct run {
    weft_fabric *f;
    weft_module *m;
    weft_optimizer *o;
} run;

/* The scale starts so that it moves all the time. */
static void start(run *r, const char *accelerator, const char *graph, const plan *p)
{
    weft__scaling all = {.init_scale = 1024, .growth_interval = 3, .min_scale = 1e-20};
    ck_assert_int_eq(weft_open(&r->f, NULL, NULL,
                               WEFT_OPEN(.accelerator = accelerator, .graph = graph, .threads = 1)),
                     0);
    ck_assert_int_eq(weft__scaling_complete(&all), 0);
    weft__scaler_start(&r->f->facade->scaler, &all);
    r->m = weft_nn_linear(r->f, IN, OUT);
    r->o = p->sgd ? weft_sgd(r->m, WEFT_SGD(.lr = 0.1, .momentum = 0.9))
                  : weft_adamw(r->m, WEFT_ADAM(.lr = 0.1));
    weft_set_schedule(r->o, WEFT_SCHEDULE(.kind = "linear", .total = STEPS));
    weft_setup(r->f, r->m, r->o);
    if (p->accumulate)
        weft_accumulate(r->f, p->accumulate);
}

/* Step t overflows if bit t is set: the first ones, several in a row, one alone. */
static bool bad(int t)
{
    return 0x30E413 >> t & 1;
}

static int step(const run *r, int t, const plan *p)
{
    float x[BATCH * IN];
    for (int i = 0; i < BATCH * IN; i++)
        x[i] = (float)((i * 7 + t * 3) % 11 - 5) / 4;
    x[t % IN] = bad(t) ? (float)INFINITY : x[t % IN];
    weft_tensor *in = weft_tensor_of(r->f, x, 2, (int64_t[]){BATCH, IN}, WEFT_F32);
    if (!p->keep || t % p->keep == 0)
        weft_zero_grad(r->o);
    weft_backward(r->f, weft_mean(weft_relu(weft_forward(r->m, in)), WEFT_ALL));
    if (p->look && t % 3 == 0)
        weft_item(weft_sum(weft_gradient(weft_param(r->m, "weight")), WEFT_ALL));
    if (p->unscale)
        ck_assert_int_eq(weft_unscale(r->o), bad(t) ? WEFT_SKIPPED : WEFT_OK);
    if (p->clip > 0)
        weft_clip_gradients(r->o, WEFT_CLIP(.max_norm = p->clip, .norm_type = p->p));
    if (p->value > 0)
        weft_clip_gradients(r->o, WEFT_CLIP(.clip_val = p->value));
    return weft_step(r->o) == WEFT_SKIPPED;
}

static void part(const char *accelerator, const char *graph, const plan *p, const char *folder,
                 int from, int to, result *out)
{
    run r;
    start(&r, accelerator, graph, p);
    if (folder)
        ck_assert_int_ge(weft_resume(r.f, folder), 0);
    for (int t = from; t < to; t++) {
        out->told += step(&r, t, p);
        if (p->twice && t % p->twice == 0)
            out->told += step(&r, t + 1, p);
        if (p->ask)
            ck_assert(weft_loss_scale(r.f) > 0 && weft_steps(r.o) <= weft_step_count(r.f));
        ck_assert_msg(!weft_step_end(r.f), "%s", weft_message(r.f));
    }
    out->steps = weft_steps(r.o);
    out->count = weft_step_count(r.f);
    out->scale = weft_loss_scale(r.f);
    out->skipped = weft_skipped_count(r.f);
    out->good = r.f->facade->scaler.good;
    weft_copy_out(weft_param(r.m, "weight"), out->p, IN * OUT * sizeof *out->p);
    weft_copy_out(weft_param(r.m, "bias"), out->p + IN * OUT, OUT * sizeof *out->p);
    ck_assert_msg(!weft_error(r.f), "%s", weft_message(r.f));
    ck_assert_int_eq(weft_close(&r.f), 0);
}

static void train(const char *accelerator, const char *graph, const plan *p, result *out)
{
    char folder[] = "/tmp/weft-scale-XXXXXX", command[64];
    memset(out, 0, sizeof *out);
    if (!p->halves) {
        part(accelerator, graph, p, NULL, 0, STEPS, out);
        return;
    }
    ck_assert_ptr_nonnull(mkdtemp(folder));
    part(accelerator, graph, p, folder, 0, STEPS / 2, out);
    part(accelerator, graph, p, folder, STEPS / 2, STEPS, out);
    snprintf(command, sizeof command, "rm -r %s", folder);
    ck_assert_int_eq(system(command), 0);
}

static const plan plans[] = {{0},
                             {.sgd = true},
                             {.clip = 0.1},
                             {.clip = 0.1, .p = 1, .sgd = true},
                             {.clip = 0.1, .look = true},
                             {.value = 0.01},
                             {.accumulate = 2, .clip = 0.1},
                             {.keep = 3},
                             {.keep = 3, .clip = 0.1, .look = true},
                             {.twice = 5, .clip = 0.1},
                             {.unscale = true, .clip = 0.1},
                             {.ask = true, .clip = 0.1},
                             {.halves = true, .clip = 0.1}};
#define PLANS (int)(sizeof plans / sizeof plans[0])

START_TEST(ends_as_on_the_cpu)
{
    const plan *p = &plans[_i];
    static const char *const graph[] = {"off", "on"};
    result cpu, late;
    train("cpu", "off", p, &cpu);
    ck_assert_int_gt(cpu.skipped, 4);
    for (int g = 0; g < 2; g++) {
        train("mock", graph[g], p, &late);
        ck_assert_msg(
            late.scale == cpu.scale && late.good == cpu.good && late.skipped == cpu.skipped,
            "plan %d graph %s: scale %g not %g, %lld good not %lld, %lld skipped not %lld", _i,
            graph[g], late.scale, cpu.scale, (long long)late.good, (long long)cpu.good,
            (long long)late.skipped, (long long)cpu.skipped);
        ck_assert_msg(late.steps == cpu.steps && late.count == cpu.count,
                      "plan %d graph %s: step %lld of %lld, not %lld of %lld", _i, graph[g],
                      (long long)late.steps, (long long)late.count, (long long)cpu.steps,
                      (long long)cpu.count);
        ck_assert_msg(memcmp(late.p, cpu.p, sizeof cpu.p) == 0, "plan %d graph %s: %g, not %g", _i,
                      graph[g], (double)late.p[0], (double)cpu.p[0]);
        ck_assert_msg(late.told <= cpu.told && late.told >= cpu.told / 2,
                      "plan %d: %d told, not %d", _i, late.told, cpu.told);
    }
}
END_TEST

/* Overflows that no smaller scale ends: the device does no step after the first of them at the least one. */
START_TEST(without_end)
{
    const plan p = {0};
    run r;
    float before[OUT], after[OUT];
    start(&r, "mock", "off", &p);
    r.f->facade->scaler.o.min_scale = 512;
    step(&r, 2, &p);
    weft_step_end(r.f);
    weft_copy_out(weft_param(r.m, "bias"), before, sizeof before);
    for (int t = 0; t < 4 && !weft_step_end(r.f); t++) /* two that overflow, two that do not */
        step(&r, t, &p);
    ck_assert_int_eq(weft_error(r.f), WEFT_ENONFINITE);
    ck_assert_ptr_nonnull(strstr(weft_message(r.f), "at step 2, and the loss scale, 512"));
    ck_assert_int_eq(weft_clear(r.f), 0);
    weft_copy_out(weft_param(r.m, "bias"), after, sizeof after);
    ck_assert(memcmp(before, after, sizeof before) == 0);
    ck_assert_int_eq(weft_steps(r.o), 1);
    step(&r, 2, &p);
    ck_assert(!weft_step_end(r.f) && weft_steps(r.o) == 2 && weft_loss_scale(r.f) == 512);
    ck_assert_int_eq(weft_close(&r.f), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scale late");
    TCase *c = tcase_create("late");
    weft_log_level(WEFT_LOG_SILENT);
    tcase_add_loop_test(c, ends_as_on_the_cpu, 0, PLANS);
    tcase_add_test(c, without_end);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
