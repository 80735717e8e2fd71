/* Reverse-mode differentiation of what was recorded. */
#ifndef WEFT_AUTOGRAD_H
#define WEFT_AUTOGRAD_H
#include <weft/base.h>
#include <weft/status.h>
#include <weft/tensor.h>
WEFT_BEGIN

/* Gradients of loss, a tensor with one element, with respect to all trainable parameters that it
 * was made from, summed over ranks by the strategy, and added to what weft_zero_grad left.
 *
 * Gradients are sums: a mean over the batch is seeded with this rank's share of the global batch,
 * a sum with 1, so that N ranks compute what one rank would on the same global batch. On several
 * ranks a loss that is neither is refused (WEFT_ENOTSUP): one through a maximum or minimum over the
 * batch's rows, through their sum as a factor of rows, or from means over different numbers of rows.
 *
 * Collective: every rank takes part, also one whose loss is NULL because an error stuck there: it
 * adds zeros, and all ranks learn of the error here. A NULL loss with nothing stuck is a mistake of
 * the caller (WEFT_EARG). @return 0, or the error that sticks, the same on all ranks. */
WEFT_API weft_status weft_backward(weft_fabric *f, weft_tensor *loss);

/* Gradient accumulation. From here on n batches make a step: weft_backward sums over ranks only in the
 * last one of each window of n, and between them weft_step and weft_zero_grad do nothing and return
 * WEFT_POSTPONED, so that the loop stays as it is. The end of an epoch ends a window early. Losses
 * that are means are weighed so that the step sees the mean over all rows of the window (G1). n = 1
 * ends it. Before the loop, or between windows (WEFT_ESTATE). Errors stick: WEFT_EARG,
 * WEFT_ECONFIG if ranks give different n. Collective. */
WEFT_API weft_status weft_accumulate(weft_fabric *f, int64_t n);
/* Whether the batch at hand is not the last of its window. Not collective. */
WEFT_API bool weft_is_accumulating(const weft_fabric *f);

/* For windows of one's own, Fabric's no_backward_sync: between begin and end weft_backward leaves the
 * gradients of m, the whole module given to weft_setup, to each rank; the next one outside sums what
 * all of them have left. With enabled false the scope does nothing. Nests. An error inside is this
 * rank's own until then. weft_step and weft_clip_gradients before then are WEFT_ESTATE. A loss that
 * only all ranks together can weigh (weft_batch_of without global_rows) still costs 8 bytes, and must
 * have been met outside before (WEFT_ESTATE). Call them on all ranks alike. Errors stick: WEFT_ESTATE
 * (m was not set up; end without begin), WEFT_EARG (m is part of another module). */
WEFT_API weft_status weft_no_backward_sync_begin(weft_module *m, bool enabled);
WEFT_API weft_status weft_no_backward_sync_end(weft_module *m);

/* Clipping, between weft_backward and weft_step: exactly one of clip_val and max_norm. norm_type is p
 * of (sum |g|^p)^(1/p), any above 0; INFINITY is the largest |g|. With error_if_nonfinite WEFT_OFF a
 * norm that is NaN or infinite is no error, and nothing waits for the device. */
typedef struct weft_clip_options {
    double clip_val WEFT_INIT;        /* every gradient into [-clip_val, clip_val]; or */
    double max_norm WEFT_INIT;        /* all times max_norm / (norm + 1e-6) if norm is larger */
    double norm_type WEFT_INIT;       /* default 2 */
    int error_if_nonfinite WEFT_INIT; /* default on */
    WEFT_PTR(weft_clip_options)
} weft_clip_options;
#define WEFT_CLIP(...) WEFT__ARGS(weft_clip_options, __VA_ARGS__)

/* Clips the gradients of o's parameters, which are those of all ranks; call it on all ranks alike.
 * Collective under strategies that shard: the norm is that of one rank with all parameters. Sums are
 * formed in f64, in an order that does not depend on threads. max_norm INFINITY only measures.
 * @return by norm: the norm before clipping, f64 of rank 0, which lives until the edge. NULL by
 * value, after an error, and where weft_step is postponed. Errors stick: WEFT_EARG; WEFT_ESTATE
 * without weft_backward since weft_zero_grad or inside weft_no_backward_sync_begin/end;
 * WEFT_ENONFINITE (not where the step is skipped anyway), and parameters stay as they are. */
WEFT_API weft_tensor *weft_clip_gradients(weft_optimizer *o, const weft_clip_options *c);

/* Loss scaling, of precision 16-mixed: weft_backward differentiates the loss times weft_loss_scale, so
 * that f16 holds small gradients, and what comes first of weft_unscale, weft_clip_gradients and
 * weft_step divides an optimizer's gradients by it. If any is not finite then, on any rank, weft_step
 * skips on all (WEFT_SKIPPED): parameters, moments, step counts and schedules stay as they are. The
 * scale changes at the step's edge: halved if some optimizer's step was skipped, doubled after 2000
 * edges with steps and no skip (the options of weft_open; the rule of torch.cuda.amp.GradScaler). Where
 * the loggers are told, it is the metric loss_scale.
 *
 * @return 1 without a loss scale. Not collective. */
WEFT_API double weft_loss_scale(const weft_fabric *f);
/* Steps' edges with a skip for which the loss scale was to blame, also those before a resume. */
WEFT_API int64_t weft_skipped_count(const weft_fabric *f);
/* Divides the gradients of o by the loss scale now, to look at them or to change them before
 * weft_step; once, however often it is called. Without a loss scale it does nothing. Call it on all
 * ranks alike; collective under strategies that shard. @return 0; WEFT_SKIPPED: they are not finite,
 * and weft_step will skip; WEFT_POSTPONED where weft_step is; or an error, which sticks: WEFT_ESTATE as
 * of weft_clip_gradients, WEFT_ENONFINITE where the scale is at its least. */
WEFT_API weft_status weft_unscale(weft_optimizer *o);

/* The gradient that the last weft_backward left for a parameter, or for a tensor on which
 * weft_require_grad was called, as a tensor of its shape that lives until the step's edge. Of a
 * parameter: the sum over ranks; WEFT_ENOTSUP where a strategy cuts it in pieces. It is that of the loss times
 * weft_loss_scale; of a parameter, until weft_unscale, weft_clip_gradients or weft_step. NULL and WEFT_ESTATE if
 * there is none. */
WEFT_API weft_tensor *weft_gradient(weft_tensor *t);

/* The gradient of y, a tensor with one element, with respect to x, as a tensor of x's shape that lives
 * until the step's edge. x is a parameter, a tensor on which weft_require_grad was called before it
 * was used, or one that y was made from by way of these; data may come from weft_batch_of, weft_wrap
 * or weft_tensor_of. The seed is 1: it is the gradient of this rank's y, nothing is weighed, scaled or
 * summed over ranks. weft_gradient and the parameters' gradients stay as they are; weft_backward of the same
 * tensors may come before or after, weft_step only after, as parameters count with the values that
 * they have now. Not collective.
 *
 * Its own gradient is not recorded: weft_backward and weft_grad refuse what was made from it
 * (WEFT_ENOTSUP, second order), unless it went through weft_detach and is a constant.
 * @return NULL after an error has stuck: WEFT_ESHAPE, WEFT_EHANDLE, WEFT_ESTATE (y does not depend on
 * x), WEFT_ENOTSUP. */
WEFT_API weft_tensor *weft_grad(weft_tensor *y, weft_tensor *x);

/* Between begin and end nothing is recorded and modules are in evaluation mode. Nests. Not
 * collective. A weft_next inside the scope moves no step. */
WEFT_API void weft_eval_begin(weft_fabric *f);
WEFT_API void weft_eval_end(weft_fabric *f);

/* Compares the gradients of scalar function fn at x[0..n) with central differences of step eps
 * (0: 1e-6) in f64. fn is called many times and must be pure. *worst, if not NULL, gets the largest
 * |analytic - numeric| / max(1, |numeric|). Tensors are f64.
 * @return WEFT_OK if worst <= tolerance (0: 1e-7), else WEFT_EDATA naming the worst element. */
typedef weft_tensor *(*weft_scalar_fn)(void *user, weft_tensor *const *x);
WEFT_API weft_status weft_gradcheck(weft_fabric *f, weft_scalar_fn fn, void *user, int n,
                                    weft_tensor *const *x, double eps, double tolerance,
                                    double *worst);
WEFT_END
#endif
