/* Optimizers, groups of parameters, and schedules of the learning rate. Names, formulas and defaults
 * are torch.optim's. Zero in an option means its default; where that is not zero, WEFT_OFF means zero.
 * maximize: the gradient is taken as -g. */
#ifndef WEFT_OPTIM_H
#define WEFT_OPTIM_H
#include <weft/base.h>
#include <weft/nn.h>
#include <weft/status.h>
WEFT_BEGIN

/* Stochastic gradient descent:
 *   g += weight_decay p;  v = momentum v + (1-dampening) g (v = g at first)
 *   g = nesterov ? g + momentum v : v;  p -= lr g
 * Its moment is momentum_buffer. */
typedef struct weft_sgd_options {
    double lr WEFT_INIT;           /* default 1e-3 */
    double momentum WEFT_INIT;     /* default 0 */
    double weight_decay WEFT_INIT; /* default 0 */
    bool nesterov WEFT_INIT;       /* default false; needs momentum and no dampening */
    double dampening WEFT_INIT;    /* default 0 */
    bool maximize WEFT_INIT;       /* default false */
    WEFT_PTR(weft_sgd_options)
} weft_sgd_options;
#define WEFT_SGD(...) WEFT__ARGS(weft_sgd_options, __VA_ARGS__)

/* Adam (Kingma and Ba 2015), t counted from 1:
 *   Adam: g += weight_decay p      AdamW (Loshchilov and Hutter 2019): p -= lr weight_decay p
 *   m = beta1 m + (1-beta1) g;  v = beta2 v + (1-beta2) g^2;  amsgrad: v' = max(v', v), else v' = v
 *   p -= lr / (1-beta1^t) * m / (sqrt(v') / sqrt(1-beta2^t) + eps)
 * Its moments are exp_avg, exp_avg_sq and max_exp_avg_sq. */
typedef struct weft_adam_options {
    double lr WEFT_INIT;           /* default 1e-3 */
    double beta1 WEFT_INIT;        /* default 0.9; WEFT_OFF is 0 */
    double beta2 WEFT_INIT;        /* default 0.999; WEFT_OFF is 0 */
    double eps WEFT_INIT;          /* default 1e-8; WEFT_OFF is 0 */
    double weight_decay WEFT_INIT; /* default 0; of AdamW 1e-2, where WEFT_OFF is 0 */
    bool amsgrad WEFT_INIT;        /* default false (Reddi et al. 2018) */
    bool maximize WEFT_INIT;       /* default false */
    /* default false: parameters of 16 bits (bf16-true, 16-true) are rounded up or down at random, with chances such
     * that steps below their last bit add up; the same on any number of ranks. Others are not touched by it */
    bool stochastic_rounding WEFT_INIT;
    WEFT_PTR(weft_adam_options)
} weft_adam_options;
#define WEFT_ADAM(...) WEFT__ARGS(weft_adam_options, __VA_ARGS__)
#define WEFT_ADAMW(...) WEFT__ARGS(weft_adam_options, __VA_ARGS__)

/* RMSprop (Hinton 2012; centered: Graves 2013):
 *   g += weight_decay p;  v = alpha v + (1-alpha) g^2
 *   centered: a = alpha a + (1-alpha) g, s = sqrt(v - a^2) + eps;  else s = sqrt(v) + eps
 *   b = momentum b + g / s;  p -= lr b
 * Its moments are square_avg, momentum_buffer and grad_avg. */
typedef struct weft_rmsprop_options {
    double lr WEFT_INIT;           /* default 1e-2 */
    double alpha WEFT_INIT;        /* default 0.99; WEFT_OFF is 0 */
    double eps WEFT_INIT;          /* default 1e-8; WEFT_OFF is 0 */
    double weight_decay WEFT_INIT; /* default 0 */
    double momentum WEFT_INIT;     /* default 0 */
    bool centered WEFT_INIT;       /* default false */
    bool maximize WEFT_INIT;       /* default false */
    WEFT_PTR(weft_rmsprop_options)
} weft_rmsprop_options;
#define WEFT_RMSPROP(...) WEFT__ARGS(weft_rmsprop_options, __VA_ARGS__)

/* Adagrad (Duchi et al. 2011), t counted from 1:
 *   g += weight_decay p;  v += g^2;  p -= lr / (1 + (t-1) lr_decay) g / (sqrt(v) + eps)
 * Its moment is sum. */
typedef struct weft_adagrad_options {
    double lr WEFT_INIT;                        /* default 1e-2 */
    double lr_decay WEFT_INIT;                  /* default 0 */
    double weight_decay WEFT_INIT;              /* default 0 */
    double initial_accumulator_value WEFT_INIT; /* of v, default 0 */
    double eps WEFT_INIT;                       /* default 1e-10; WEFT_OFF is 0 */
    bool maximize WEFT_INIT;                    /* default false */
    WEFT_PTR(weft_adagrad_options)
} weft_adagrad_options;
#define WEFT_ADAGRAD(...) WEFT__ARGS(weft_adagrad_options, __VA_ARGS__)

/* Muon (Jordan et al. 2024), for matrices (parameters of two dimensions, A x B):
 *   v = momentum v + (1-momentum) g;  u = nesterov ? momentum v + (1-momentum) g : v
 *   X = u / max(|u|, eps), then ns_steps times  G = X X^T,  X = a X + (b G + c G^2) X
 *   p -= lr weight_decay p;  p -= lr r X;  r = sqrt(max(1, A/B)), 0.2 sqrt(max(A, B)) or sqrt(A/B)
 * torch iterates in bf16; here it is in f32, or f64 under 64-true, which moves p by under 1 % of its way
 * otherwise. Other parameters, and those of groups with .adamw = 1 (embeddings, the last layer), are
 * AdamW's, at their group's rate and weight_decay. Whole tensors: a strategy that shards gives a
 * matrix to one rank. Its moments are momentum_buffer (AdamW's exp_avg) and exp_avg_sq. */
typedef struct weft_muon_options {
    double lr WEFT_INIT;                     /* default 1e-3 */
    double momentum WEFT_INIT;               /* default 0.95; WEFT_OFF is 0 */
    double weight_decay WEFT_INIT;           /* default 0.1; WEFT_OFF is 0 */
    int nesterov WEFT_INIT;                  /* default 1; WEFT_OFF: without */
    int ns_steps WEFT_INIT;                  /* default 5; below 100; WEFT_OFF is 0 */
    double ns_coefficients[3] WEFT_INIT;     /* a, b, c; default 3.4445, -4.7750, 2.0315 */
    double eps WEFT_INIT;                    /* default 1e-7; WEFT_OFF is 0 */
    const char *adjust_lr_fn WEFT_INIT;      /* r: "original" (default), "match_rms_adamw" or
                                          * "spectral_unclamped" */
    double beta1 WEFT_INIT, beta2 WEFT_INIT; /* of AdamW, default 0.9 and 0.999 */
    double adamw_eps WEFT_INIT;              /* of AdamW, default 1e-8 */
    WEFT_PTR(weft_muon_options)
} weft_muon_options;
#define WEFT_MUON(...) WEFT__ARGS(weft_muon_options, __VA_ARGS__)

/* L-BFGS (Nocedal and Wright 2006, algorithms 7.4 and 3.5), which steps with weft_step_closure alone.
 * A step ends after max_iter iterations or max_eval evaluations, when no |g| is above tolerance_grad,
 * or when neither the parameters nor the loss move by more than tolerance_change. It keeps
 * 2 history_size + 8 copies of its parameters. No groups; whole tensors. */
typedef struct weft_lbfgs_options {
    double lr WEFT_INIT;               /* default 1 */
    int max_iter WEFT_INIT;            /* default 20 */
    int max_eval WEFT_INIT;            /* default max_iter * 5 / 4 */
    double tolerance_grad WEFT_INIT;   /* default 1e-7; WEFT_OFF is 0 */
    double tolerance_change WEFT_INIT; /* default 1e-9; WEFT_OFF is 0 */
    int history_size WEFT_INIT;        /* default 100; a checkpoint fits the same only */
    const char *line_search WEFT_INIT; /* "none" (default) or "strong_wolfe" */
    WEFT_PTR(weft_lbfgs_options)
} weft_lbfgs_options;
#define WEFT_LBFGS(...) WEFT__ARGS(weft_lbfgs_options, __VA_ARGS__)

/* An optimizer of the trainable parameters of m and all below it. Parameters have one optimizer
 * (WEFT_ESTATE); several on parts of one tree are set up one by one with weft_setup_optimizer, and
 * each zeroes and steps its own part. Options may be NULL. */
WEFT_API weft_optimizer *weft_sgd(weft_module *m, const weft_sgd_options *o);
WEFT_API weft_optimizer *weft_adam(weft_module *m, const weft_adam_options *o);
WEFT_API weft_optimizer *weft_adamw(weft_module *m, const weft_adam_options *o);
WEFT_API weft_optimizer *weft_rmsprop(weft_module *m, const weft_rmsprop_options *o);
WEFT_API weft_optimizer *weft_adagrad(weft_module *m, const weft_adagrad_options *o);
WEFT_API weft_optimizer *weft_muon(weft_module *m, const weft_muon_options *o);
WEFT_API weft_optimizer *weft_lbfgs(weft_module *m, const weft_lbfgs_options *o);

/* Hyperparameters of a group. Zero keeps the optimizer's own, WEFT_OFF is 0. One that the optimizer
 * does not have is WEFT_EARG. */
typedef struct weft_group_options {
    double lr WEFT_INIT; /* the group's own base rate; schedules act on it as on the optimizer's */
    double weight_decay WEFT_INIT;
    double momentum WEFT_INIT, dampening WEFT_INIT; /* SGD; momentum: RMSprop, Muon too */
    double beta1 WEFT_INIT, beta2 WEFT_INIT;        /* Adam, AdamW, Muon */
    double eps WEFT_INIT;                           /* Adam, AdamW, RMSprop, Adagrad */
    double alpha WEFT_INIT;                         /* RMSprop */
    double lr_decay WEFT_INIT;                      /* Adagrad */
    double adamw WEFT_INIT;                         /* Muon: 1: AdamW for matrices too */
    WEFT_PTR(weft_group_options)
} weft_group_options;
#define WEFT_GROUP(...) WEFT__ARGS(weft_group_options, __VA_ARGS__)

/* Gives parameters of o hyperparameters of their own: those whose full name (weft_param_name) matches
 * the pattern (*, ? and [...] as in a shell; * matches dots too), or all below a part of o's module.
 * A parameter belongs to the last group that takes it; what none takes stays with the optimizer's
 * own, group 0. Before o is set up (WEFT_ESTATE), alike on all ranks. A group that takes no parameter
 * makes setup fail (WEFT_ENOENT), different groups on the ranks too (WEFT_ECONFIG). */
WEFT_API weft_status weft_group(weft_optimizer *o, const char *pattern,
                                const weft_group_options *g);
WEFT_API weft_status weft_group_module(weft_optimizer *o, weft_module *part,
                                       const weft_group_options *g);
/* Groups, at least 1; they are numbered in the order they were made. */
WEFT_API int weft_group_count(const weft_optimizer *o);

/* Starts a new sum of the gradients of o's parameters: the next weft_backward overwrites instead of
 * adding. Not collective, but to be called on all ranks alike (else the next weft_backward is
 * WEFT_ECONFIG). @return 0; WEFT_POSTPONED inside a window of weft_accumulate, where it does
 * nothing. */
WEFT_API weft_status weft_zero_grad(weft_optimizer *o);
/* One update of the parameters from their gradients, and the end of a step. Obeys the verdict that
 * the ranks agreed on in weft_backward: after an error nothing changes, on any rank.
 * Collective under strategies that shard. @return 0; WEFT_SKIPPED if the update was left out
 * because of non-finite gradients under .nonfinite = "skip" or with a loss scale (on a GPU, but
 * for ZeRO, that of an earlier step, as it is known late); WEFT_POSTPONED inside a window of
 * weft_accumulate, where it does nothing; or the error that sticks, WEFT_ESTATE before weft_setup,
 * without weft_backward since weft_zero_grad, or where o needs a closure. */
WEFT_API weft_status weft_step(weft_optimizer *o);
/* Evaluates the loss: zeroes o's gradients, runs forward and weft_backward, and returns the loss, a
 * mean or a sum over a batch; NULL after an error. */
typedef weft_tensor *(*weft_closure)(void *user);
/* One step with as many evaluations as o needs: one, then weft_step; L-BFGS one or more. Tensors of
 * the first evaluation live until the edge, those of later ones until the next evaluation. After an
 * error in the closure the parameters are as before the step, and on all ranks alike. Collective.
 * @return what weft_step does; WEFT_EARG if the closure gives no loss; of L-BFGS WEFT_ESTATE inside a
 * window of weft_accumulate or weft_no_backward_sync_begin: it takes whole batches. */
WEFT_API weft_status weft_step_closure(weft_optimizer *o, weft_closure closure, void *user);

/* The learning rate that the next step will use: group 0's, or any group's; NAN if there is none. */
WEFT_API double weft_lr(const weft_optimizer *o);
WEFT_API double weft_group_lr(const weft_optimizer *o, int group);
/* Changes the base rate; a schedule still acts on it. Groups without a rate of their own follow
 * group 0. */
WEFT_API weft_status weft_set_lr(weft_optimizer *o, double lr);
WEFT_API weft_status weft_set_group_lr(weft_optimizer *o, int group, double lr);
/* Steps taken, also those before a resume. */
WEFT_API int64_t weft_steps(const weft_optimizer *o);

/* A group's learning rate as a function of its base rate lr and of t = 0, 1, ..., the steps that the
 * optimizer has taken, divided by `every` (rounded down): with every = weft_loader_batches(train),
 * t counts epochs. For t < warmup it is lr (t+1)/warmup; then, with u = t - warmup and
 * x = min(1, u / (total - warmup)),
 *   constant     lr
 *   cosine       min_lr + (lr - min_lr) (1 + cos(pi x)) / 2
 *   linear       lr (start_factor + (end_factor - start_factor) x)
 *   polynomial   lr (1 - x)^power
 *   step         lr gamma^floor(u / step_size)
 *   multistep    lr gamma^(milestones that are <= u)
 *   exponential  lr gamma^u
 *   onecycle     by cosines from lr / div_factor up to lr at pct_start, then down to
 *                lr / (div_factor final_div_factor); the last step of total is the lowest
 *   plateau      lr, times factor whenever the metric (weft_schedule_metric) has not become better by
 *                threshold for more than patience values, but not below min_lr
 *   lambda       lr times what the function returns
 * Its position is the optimizer's step count, so it is resumed with it, under the program's own
 * options; a plateau's best metric, counts and reductions are in the checkpoint too. Replaces an
 * earlier schedule. Not collective, but to be called on all ranks alike: setup compares what is there
 * by then (WEFT_ECONFIG). */
typedef struct weft_schedule_options {
    const char *kind WEFT_INIT;           /* one of the above; default "cosine" */
    int64_t warmup WEFT_INIT;             /* default 0 */
    int64_t total WEFT_INIT;              /* cosine, linear, polynomial, onecycle: required */
    double min_lr WEFT_INIT;              /* cosine, plateau: default 0 */
    int64_t every WEFT_INIT;              /* steps that t counts as one; default 1 */
    int64_t step_size WEFT_INIT;          /* step: required */
    double gamma WEFT_INIT;               /* step, multistep: default 0.1; exponential: required */
    const int64_t *milestones WEFT_INIT;  /* multistep: ascending; copied */
    int64_t milestone_count WEFT_INIT;    /* multistep: required */
    double start_factor WEFT_INIT;        /* linear: default 1/3; WEFT_OFF is 0 */
    double end_factor WEFT_INIT;          /* linear: default 1; WEFT_OFF is 0 */
    double power WEFT_INIT;               /* polynomial: default 1 */
    double pct_start WEFT_INIT;           /* onecycle: default 0.3; WEFT_OFF is 0 */
    double div_factor WEFT_INIT;          /* onecycle: default 25 */
    double final_div_factor WEFT_INIT;    /* onecycle: default 1e4 */
    const char *mode WEFT_INIT;           /* plateau: "min" (default) or "max" */
    double factor WEFT_INIT;              /* plateau: default 0.1 */
    int64_t patience WEFT_INIT;           /* plateau: default 10; WEFT_OFF is 0 */
    double threshold WEFT_INIT;           /* plateau: default 1e-4; WEFT_OFF is 0 */
    const char *threshold_mode WEFT_INIT; /* plateau: "rel" (default) or "abs" */
    int64_t cooldown WEFT_INIT; /* plateau: values after a reduction that do not count; default 0 */
    double (*lambda)(int64_t t, int group, void *user) WEFT_INIT; /* lambda: required; t - warmup */
    void *user WEFT_INIT;                                         /* lambda's */
    WEFT_PTR(weft_schedule_options)
} weft_schedule_options;
#define WEFT_SCHEDULE(...) WEFT__ARGS(weft_schedule_options, __VA_ARGS__)
WEFT_API weft_status weft_set_schedule(weft_optimizer *o, const weft_schedule_options *s);
/* Gives a plateau schedule the value to watch, as often as it shall count: once an epoch, say. The
 * mean of what the ranks give counts. Collective. @return 0; or an error, which sticks: WEFT_ESTATE if
 * o's schedule is no plateau. */
WEFT_API weft_status weft_schedule_metric(weft_optimizer *o, double value);

WEFT_END
#endif
