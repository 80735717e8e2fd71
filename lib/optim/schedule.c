/* The learning rate as a function of the optimizer's step; <weft/optim.h> has the formulas. */
#include "optim/schedule.h"

#include "core/alloc.h"
#include "core/env.h"
#include "optim/optimizer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define PI 3.14159265358979323846

/* How far from the end of the warm-up to the total, 0 to 1. */
static double done(const weft__schedule *s, int64_t u)
{
    int64_t n = s->o.total - s->o.warmup;
    return u < n ? (double)u / (double)n : 1;
}

static double or (double given, double otherwise)
{
    return given == 0 ? otherwise : given == WEFT_OFF ? 0 : given;
}

static bool has_total(const weft__schedule *s)
{
    return s->o.total > s->o.warmup;
}

static bool from_0(double v)
{
    return v >= 0 && isfinite(v);
}

static double constant(const weft__schedule *s, double lr, int64_t u, int group)
{
    (void)s, (void)u, (void)group;
    return lr;
}

static bool constant_ok(weft__schedule *s)
{
    (void)s;
    return true;
}

static double cosine(const weft__schedule *s, double lr, int64_t u, int group)
{
    (void)group;
    return s->o.min_lr + (lr - s->o.min_lr) * 0.5 * (1 + cos(PI * done(s, u)));
}

static bool cosine_ok(weft__schedule *s)
{
    return has_total(s) && from_0(s->o.min_lr);
}

static double linear(const weft__schedule *s, double lr, int64_t u, int group)
{
    (void)group;
    return lr * (s->o.start_factor + (s->o.end_factor - s->o.start_factor) * done(s, u));
}

static bool linear_ok(weft__schedule *s)
{
    s->o.start_factor = or (s->o.start_factor, 1.0 / 3);
    s->o.end_factor = or (s->o.end_factor, 1);
    return has_total(s) && from_0(s->o.start_factor) && from_0(s->o.end_factor);
}

static double polynomial(const weft__schedule *s, double lr, int64_t u, int group)
{
    (void)group;
    return lr * pow(1 - done(s, u), s->o.power);
}

static bool polynomial_ok(weft__schedule *s)
{
    s->o.power = or (s->o.power, 1);
    return has_total(s) && from_0(s->o.power) && s->o.power > 0;
}

static double step(const weft__schedule *s, double lr, int64_t u, int group)
{
    (void)group;
    return lr * pow(s->o.gamma, (double)(u / s->o.step_size));
}

static bool step_ok(weft__schedule *s)
{
    s->o.gamma = or (s->o.gamma, 0.1);
    return s->o.step_size > 0 && from_0(s->o.gamma);
}

static double multistep(const weft__schedule *s, double lr, int64_t u, int group)
{
    int64_t passed = 0;
    (void)group;
    while (passed < s->o.milestone_count && s->o.milestones[passed] <= u)
        passed++;
    return lr * pow(s->o.gamma, (double)passed);
}

static bool multistep_ok(weft__schedule *s)
{
    const int64_t *at = s->o.milestones;
    s->o.gamma = or (s->o.gamma, 0.1);
    if (!at || s->o.milestone_count < 1 || at[0] < 0 || !from_0(s->o.gamma))
        return false;
    for (int64_t i = 1; i < s->o.milestone_count; i++)
        if (at[i] < at[i - 1])
            return false;
    return true;
}

static double exponential(const weft__schedule *s, double lr, int64_t u, int group)
{
    (void)group;
    return lr * pow(s->o.gamma, (double)u);
}

static bool exponential_ok(weft__schedule *s)
{
    return s->o.gamma > 0 && isfinite(s->o.gamma);
}

/* Smith and Topin 2019, with cosines. */
static double onecycle(const weft__schedule *s, double lr, int64_t u, int group)
{
    double first = lr / s->o.div_factor, last = first / s->o.final_div_factor;
    double end = (double)(s->o.total - s->o.warmup - 1);
    double top = s->o.pct_start * (end + 1) - 1, t = (double)u < end ? (double)u : end;
    (void)group;
    return t <= top ? lr + (first - lr) * 0.5 * (1 + cos(PI * t / top))
                    : last + (lr - last) * 0.5 * (1 + cos(PI * (t - top) / (end - top)));
}

static bool onecycle_ok(weft__schedule *s)
{
    s->o.pct_start = or (s->o.pct_start, 0.3);
    s->o.div_factor = or (s->o.div_factor, 25);
    s->o.final_div_factor = or (s->o.final_div_factor, 1e4);
    return has_total(s) && s->o.pct_start >= 0 && s->o.pct_start < 1 && from_0(s->o.div_factor) &&
           s->o.div_factor > 0 && from_0(s->o.final_div_factor) && s->o.final_div_factor > 0;
}

static double lambda(const weft__schedule *s, double lr, int64_t u, int group)
{
    return lr * s->o.lambda(u, group, s->o.user);
}

static bool lambda_ok(weft__schedule *s)
{
    return s->o.lambda != NULL;
}

static const struct {
    weft__rate *rate;
    bool (*ok)(weft__schedule *s); /* puts defaults in */
    const char *needs;
} kind[] = {{cosine, cosine_ok, "total > warmup and min_lr >= 0"},
            {constant, constant_ok, ""},
            {linear, linear_ok, "total > warmup, and start_factor and end_factor from 0 up"},
            {polynomial, polynomial_ok, "total > warmup and power > 0"},
            {step, step_ok, "step_size >= 1 and gamma from 0 up"},
            {multistep, multistep_ok,
             "milestones, ascending from 0 up, their milestone_count, and gamma "
             "from 0 up"},
            {exponential, exponential_ok, "gamma > 0"},
            {onecycle, onecycle_ok,
             "total > warmup, pct_start in [0, 1), and div_factor and "
             "final_div_factor above 0"},
            {weft__plateau_rate, weft__plateau_ok,
             "mode min or max, threshold_mode rel or abs, factor in "
             "[0, 1), and patience, threshold, cooldown and min_lr "
             "from 0 up"},
            {lambda, lambda_ok, "a function lambda"}};
static const char *const word[] = {"cosine",    "constant",    "linear",   "polynomial", "step",
                                   "multistep", "exponential", "onecycle", "plateau",    "lambda"};
#define KINDS (int)(sizeof kind / sizeof kind[0])

double weft__schedule_rate(const weft__schedule *s, double lr, int64_t steps, int group)
{
    if (!s->rate)
        return lr;
    int64_t t = steps / s->o.every, w = s->o.warmup;
    return t < w ? lr * (double)(t + 1) / (double)w : s->rate(s, lr, t - w, group);
}

bool weft__schedule_text(const weft__schedule *s, int64_t part, char *text, size_t size)
{
    const weft_schedule_options *o = &s->o;
    const double number[] = {(double)o->warmup,   (double)o->total,     o->min_lr,
                             (double)o->every,    (double)o->step_size, o->gamma,
                             o->start_factor,     o->end_factor,        o->power,
                             o->pct_start,        o->div_factor,        o->final_div_factor,
                             (double)s->largest,  (double)s->absolute,  o->factor,
                             (double)o->patience, o->threshold,         (double)o->cooldown};
    const int64_t numbers = sizeof number / sizeof number[0], after = part - numbers - 1;
    int k = 0;
    while (k < KINDS && kind[k].rate != s->rate)
        k++;
    if (part == 0)
        snprintf(text, size, "%s;", k < KINDS ? word[k] : "none");
    else if (part <= numbers)
        snprintf(text, size, "%.17g;", number[part - 1]);
    else if (o->milestones && after < o->milestone_count)
        snprintf(text, size, "%lld;", (long long)o->milestones[after]);
    else
        return false;
    return true;
}

/* Outlives the caller's array. */
static weft_status keep_milestones(weft__schedule *s)
{
    const size_t n = (size_t)s->o.milestone_count;
    int64_t *copy = NULL;
    if (s->rate == multistep && !(copy = weft__new(n, sizeof *copy)))
        return WEFT_ENOMEM;
    if (copy)
        memcpy(copy, s->o.milestones, n * sizeof *copy);
    s->o.milestones = copy;
    return WEFT_OK;
}

static weft_status make(const weft_schedule_options *given, weft__schedule *s)
{
    int k = given->kind ? weft__parse_choice("schedule", given->kind, word, KINDS) : 0;
    if (k < 0)
        return WEFT_EARG;
    *s = (weft__schedule){.rate = kind[k].rate, .o = *given};
    s->o.every = given->every ? given->every : 1;
    if (s->o.warmup < 0 || s->o.every < 0)
        return weft__fail(WEFT_EARG,
                          "schedule %s: warmup is %lld and every %lld; none may be below 0",
                          word[k], (long long)s->o.warmup, (long long)s->o.every);
    if (!kind[k].ok(s))
        return weft__fail(WEFT_EARG, "schedule %s needs %s", word[k], kind[k].needs);
    return keep_milestones(s);
}

weft_status weft_set_schedule(weft_optimizer *o, const weft_schedule_options *s)
{
    weft__schedule new;
    if (!o)
        return WEFT_EARG;
    weft_status code = make(s ? s : WEFT_SCHEDULE(.kind = "constant"), &new);
    if (code)
        return weft__stick(o->object.fabric, code);
    if (new.largest == o->schedule.largest) /* its position, as the steps are that of the others */
        new.plateau = o->schedule.plateau;
    weft__free((void *)o->schedule.o.milestones);
    o->schedule = new;
    return WEFT_OK;
}
