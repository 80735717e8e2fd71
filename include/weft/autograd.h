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
 * batch's rows, through their sum as a factor of rows, or a mean over some of them (weft_slice,
 * weft_gather).
 *
 * Collective: every rank takes part, also one whose loss is NULL because an error stuck there: it
 * adds zeros, and all ranks learn of the error here. A NULL loss with nothing stuck is a mistake of
 * the caller (WEFT_EARG). @return 0, or the error that sticks, the same on all ranks. */
WEFT_API weft_status weft_backward(weft_fabric *f, weft_tensor *loss);

/* The gradient that the last weft_backward left for a parameter, or for a tensor on which
 * weft_require_grad was called, as a tensor of its shape that lives until the step's edge. Of a
 * parameter: what all ranks' sum is, if the strategy does not shard it. NULL and WEFT_ESTATE if
 * there is none. */
WEFT_API weft_tensor *weft_gradient(weft_tensor *t);

/* The gradient of y, a tensor with one element, with respect to x, as a tensor of x's shape that lives
 * until the step's edge. x is a parameter, a tensor on which weft_require_grad was called before it
 * was used, or one that y was made from by way of these; data may come from weft_batch_of, weft_wrap
 * or weft_tensor_of. The seed is 1: it is the gradient of this rank's y, nothing is weighed or summed
 * over ranks. weft_gradient and the parameters' gradients stay as they are; weft_backward of the same
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
