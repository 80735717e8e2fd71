/* Optimizers and schedules of the learning rate. Zero in an option means its default. */
#ifndef WEFT_OPTIM_H
#define WEFT_OPTIM_H
#include <weft/base.h>
#include <weft/nn.h>
#include <weft/status.h>
WEFT_BEGIN

/* Stochastic gradient descent as torch.optim.SGD:
 *   g += weight_decay p;  v = momentum v + g (v = g at first);  g = nesterov ? g + momentum v : v
 *   p -= lr g */
typedef struct weft_sgd_options {
    double lr WEFT_INIT;           /* default 1e-3 */
    double momentum WEFT_INIT;     /* default 0 */
    double weight_decay WEFT_INIT; /* default 0 */
    bool nesterov WEFT_INIT;       /* default false; needs momentum */
    WEFT_PTR(weft_sgd_options)
} weft_sgd_options;
#define WEFT_SGD(...) WEFT__ARGS(weft_sgd_options, __VA_ARGS__)

/* Adam as torch.optim.Adam (Kingma and Ba 2015, weight decay in its L2 form), t counted from 1:
 *   g += weight_decay p;  m = beta1 m + (1-beta1) g;  v = beta2 v + (1-beta2) g^2
 *   p -= lr / (1-beta1^t) * m / (sqrt(v) / sqrt(1-beta2^t) + eps) */
typedef struct weft_adam_options {
    double lr WEFT_INIT;           /* default 1e-3 */
    double beta1 WEFT_INIT;        /* default 0.9; WEFT_OFF is 0 */
    double beta2 WEFT_INIT;        /* default 0.999; WEFT_OFF is 0 */
    double eps WEFT_INIT;          /* default 1e-8; WEFT_OFF is 0 */
    double weight_decay WEFT_INIT; /* default 0 */
    WEFT_PTR(weft_adam_options)
} weft_adam_options;
#define WEFT_ADAM(...) WEFT__ARGS(weft_adam_options, __VA_ARGS__)

/* An optimizer of all trainable parameters of m. Options may be NULL. */
WEFT_API weft_optimizer *weft_sgd(weft_module *m, const weft_sgd_options *o);
WEFT_API weft_optimizer *weft_adam(weft_module *m, const weft_adam_options *o);

/* Starts a new sum of gradients: the next weft_backward overwrites instead of adding. Not
 * collective, but to be called on all ranks alike. @return 0; WEFT_POSTPONED inside a window of
 * weft_accumulate, where it does nothing. */
WEFT_API weft_status weft_zero_grad(weft_optimizer *o);
/* One update of the parameters from their gradients, and the end of a step. Obeys the verdict that
 * the ranks agreed on in weft_backward: after an error nothing changes, on any rank.
 * Collective under strategies that shard. @return 0; WEFT_SKIPPED if the update was left out
 * because of non-finite gradients under .nonfinite = "skip"; WEFT_POSTPONED inside a window of
 * weft_accumulate, where it does nothing; or the error that sticks, WEFT_ESTATE before weft_setup, or
 * without weft_backward since weft_zero_grad. */
WEFT_API weft_status weft_step(weft_optimizer *o);

/* The learning rate that the next step will use. */
WEFT_API double weft_lr(const weft_optimizer *o);
/* Changes the base rate; a schedule still multiplies it. */
WEFT_API weft_status weft_set_lr(weft_optimizer *o, double lr);
/* Steps taken, also those before a resume. */
WEFT_API int64_t weft_steps(const weft_optimizer *o);

/* Learning rate as a function of the optimizer's step t = 0, 1, ...: for t < warmup it is
 * lr (t+1)/warmup; then
 *   constant: lr      cosine: min_lr + (lr - min_lr) (1 + cos(pi (t-warmup)/(total-warmup))) / 2
 * and for t >= total a cosine stays at min_lr. Its position is the optimizer's step count, so it
 * is resumed with it, under the program's own total. Replaces an earlier schedule. */
typedef struct weft_schedule_options {
    const char *kind WEFT_INIT; /* "cosine" (default) or "constant" */
    int64_t warmup WEFT_INIT;   /* steps, default 0 */
    int64_t total WEFT_INIT;    /* steps; required for cosine */
    double min_lr WEFT_INIT;    /* default 0 */
    WEFT_PTR(weft_schedule_options)
} weft_schedule_options;
#define WEFT_SCHEDULE(...) WEFT__ARGS(weft_schedule_options, __VA_ARGS__)
WEFT_API weft_status weft_set_schedule(weft_optimizer *o, const weft_schedule_options *s);

WEFT_END
#endif
